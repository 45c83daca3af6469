"""From the bytes of an OTLP request to durable facts and the answer: decode, store, join, say what was not taken."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flywheel.capture import otlp, otlp_answers
from flywheel.capture.otlp_join import Apart, Parts
from flywheel.errors import Undecodable

if TYPE_CHECKING:
    from flywheel.capture.intake import Intake, Taken
    from flywheel.capture.otlp_wire import Signal
    from flywheel.capture.recorder import Recorder
    from flywheel.store import Log, State

__all__ = ["Receiver"]

_GOOD = ("stored", "duplicate")
_REMEMBERED = 100_000
_FIGURES = ("received", "stored", "duplicates", "conflicts", "rejected", "dead_lettered")


class Receiver:
    """Takes OTLP requests in for one flywheel. Safe to share between threads."""

    def __init__(self, intake: Intake, recorder: Recorder, log: Log, state: State, *, keep_other: bool = False) -> None:
        self._intake = intake
        self._limit = recorder.max_record_bytes
        self._keep_other = keep_other
        self._apart = Apart(state)
        self._parts = Parts(intake, recorder, log)
        self._responses: dict[str, str] = {}
        self._learning = threading.Lock()

    def receive(
        self,
        body: bytes,
        content_type: str,
        signal: Signal,
        *,
        counts: Mapping[str, int] | None = None,
        at: datetime | None = None,
    ) -> tuple[Taken, bytes]:
        """Take a request in; return its books and the body of the answer.

        When this returns, all that was accepted is on stable storage. Raises `Undecodable` (the body is then a dead
        letter), `UnsupportedMedia`, `TooLarge`, `StoreBusy` and `StoreUnavailable`; after the last two the same
        request may be sent again.
        """
        source, now = f"otlp {signal}", at or datetime.now(UTC)
        reading = otlp.Reading(
            body,
            content_type,
            signal,
            max_record_bytes=self._limit,
            keep_other=self._keep_other,
            talking=self._apart.talking(now),
            spanning=self._apart.spanning(now),
            known=self._responses,
            counts=dict(counts or {}),
        )
        try:
            taken = self._intake.take(reading, source=source, at=now, counts=reading.counts)
        except Undecodable as problem:
            self._intake.refuse_body(body, str(problem), source=source)
            raise
        self._learn(reading.responses)
        if reading.talked or reading.spanned:
            self._apart.learn(reading.talked, reading.spanned, now)
        fates = zip(reading.owners, taken.outcomes, strict=True)
        rejected = {owner for owner, outcome in fates if outcome not in _GOOD}
        reasons = [reason for _, reason in taken.errors]
        if reading.parts:
            of_parts, refused = self._parts.take(reading.parts, source)
            taken = replace(
                taken,
                **{name: getattr(taken, name) + getattr(of_parts, name) for name in _FIGURES},
            )
            rejected |= refused.keys()
            reasons += refused.values()
        return taken, _answer(reading, rejected, reasons)

    def _learn(self, found: Mapping[str, str]) -> None:
        """Remember which interaction a response id belongs to, so that evaluations find theirs; forget the oldest."""
        with self._learning:
            self._responses.update(found)
            for _ in range(len(self._responses) - _REMEMBERED):
                del self._responses[next(iter(self._responses))]


def _answer(reading: otlp.Reading, rejected: set[int], reasons: list[str]) -> bytes:
    what = "spans" if reading.signal == "traces" else "log records"
    message = ""
    if rejected:
        why = "; ".join(list(dict.fromkeys(reasons))[:3])
        message = f"{len(rejected)} of {reading.records} {what} were not stored: {why}"
    return otlp_answers.export_response(
        reading.signal, json=otlp.is_json(reading.content_type), rejected=len(rejected), message=message[:2000]
    )
