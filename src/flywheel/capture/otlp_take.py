"""From the bytes of an OTLP request to durable facts and the answer: decode, store, join, say what was not taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flywheel.capture import otlp, otlp_answers
from flywheel.errors import Undecodable, UnsupportedMedia

if TYPE_CHECKING:
    from flywheel.capture.intake import Intake, Taken
    from flywheel.capture.otlp_wire import Signal

__all__ = ["Received", "Responses", "receive"]

_GOOD = ("stored", "duplicate")
_REMEMBERED = 100_000


class Responses(dict[str, str]):
    """Which interaction a response id belongs to: the newest hundred thousand, so that evaluations find theirs."""

    def learn(self, found: Mapping[str, str]) -> None:
        """Remember more, and forget the oldest."""
        self.update(found)
        for _ in range(len(self) - _REMEMBERED):
            del self[next(iter(self))]


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a request: the books, and the body of the answer."""

    taken: Taken
    answer: bytes


def receive(
    intake: Intake,
    body: bytes,
    content_type: str,
    signal: Signal,
    *,
    max_record_bytes: int,
    keep_other: bool,
    responses: Responses,
    counts: Mapping[str, int] | None = None,
) -> Received:
    """Take a request in. When this returns, all that was accepted is on stable storage.

    Raises `Undecodable` (the body is then a dead letter), `UnsupportedMedia`, `TooLarge`, `StoreBusy` and
    `StoreUnavailable`; after the last two the same request may be sent again.
    """
    source = f"otlp {signal}"
    try:
        found = otlp.decode(
            body,
            content_type,
            signal,
            max_record_bytes=max_record_bytes,
            keep_other=keep_other,
            responses=responses,
        )
    except UnsupportedMedia:
        raise
    except Undecodable as problem:
        intake.refuse_body(body, str(problem), source=source)
        raise
    books = {**(counts or {}), "other_spans" if signal == "traces" else "other_log_records": found.other}
    taken = intake.take(found.drafts, source=source, counts=books)
    responses.learn(found.responses)
    return Received(taken, _answer(found, taken, signal, json=otlp.is_json(content_type)))


def _answer(found: otlp.Decoded, taken: Taken, signal: Signal, *, json: bool) -> bytes:
    fates = zip(found.owners, taken.outcomes, strict=True)
    rejected = {owner for owner, outcome in fates if outcome not in _GOOD}
    what = "spans" if signal == "traces" else "log records"
    message = ""
    if rejected:
        reasons = list(dict.fromkeys(reason for _, reason in taken.errors))[:3]
        message = f"{len(rejected)} of {found.records} {what} were not stored: {'; '.join(reasons)}"
    return otlp_answers.export_response(signal, json=json, rejected=len(rejected), message=message[:2000])
