"""Coverage-guided fuzzing of what reads strangers' bytes: `python fuzz_decoders.py DECODER -runs=N` (needs atheris).

A decoder may refuse with an error of Flywheel's. Anything else that escapes it is a finding.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["flywheel.capture"]):
    from flywheel.capture import bulk, exchanges, otlp, wire
    from flywheel.capture.drafts import Limits, feedback_of, interaction_of
    from flywheel.capture.redact import Patterns
    from flywheel.capture.spoken import read_spoken
from flywheel.errors import FlywheelError

_redactor = Patterns()


def records(data: bytes) -> None:
    """Both ways of cutting a body, and both ways of reading a record."""
    for lines in (False, True):
        for part in wire.records_in(data, lines=lines, limit=100_000):
            if isinstance(part, bytes):
                read_spoken(part)
                _checked(part)
    wire._carefully(data, 100_000)


def _checked(part: bytes) -> None:
    try:
        draft = json.loads(part)
    except (ValueError, RecursionError):
        return
    if isinstance(draft, dict):
        for check in (interaction_of, feedback_of):
            try:
                check(draft, Limits(100_000))
            except FlywheelError:
                continue


def traces(data: bytes) -> None:
    """OTLP spans, protobuf and JSON."""
    for kind in ("application/x-protobuf", "application/json"):
        otlp.decode(data, kind, "traces", keep_other=True)


def logs(data: bytes) -> None:
    """OTLP log records, protobuf and JSON."""
    for kind in ("application/x-protobuf", "application/json"):
        otlp.decode(data, kind, "logs", keep_other=True)


def shipped(data: bytes) -> None:
    """Elasticsearch's _bulk."""
    list(bulk.Bulk().drafts(data, "index", 100_000))


def exchange(data: bytes) -> None:
    """An exchange with a chat model."""
    text = data.decode("utf-8", "replace")
    exchanges.draft_of_exchange(text, text)


def redaction(data: bytes) -> None:
    """The redactor: it may not fail, and what it has cleaned stays as it is."""
    once, _ = _redactor.redact(data.decode("utf-8", "replace"))
    again, found = _redactor.redact(once)
    assert again == once, (once, again, found)


DECODERS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (records, traces, logs, shipped, exchange, redaction)
}


def main() -> None:
    decoder = DECODERS[sys.argv.pop(1)]

    def test(data: bytes) -> None:
        with contextlib.suppress(FlywheelError):
            decoder(data)

    atheris.Setup(sys.argv, test)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
