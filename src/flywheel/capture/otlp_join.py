"""Messages that arrive as log records, apart from their span: both are kept, and become one interaction.

Instrumentations of semantic conventions up to 1.36 send a call's messages as log records (`/v1/logs`) and the call
itself as a span (`/v1/traces`): two requests, in either order, the messages often in several. Neither alone is the
interaction, and neither request may wait for the other, since its 200 means *on stable storage*. So each part is stored
at once, as a fact about the interaction (feedback of kind `outcome`, named `otlp.messages` or `otlp.span`); after every
commit whoever finds a set complete stores the interaction. Complete: the span, with question and answer or an error.

The parts' content has been through redaction and pseudonyms like any interaction's before it is stored.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from flywheel.capture.drafts import Limits, interaction_of
from flywheel.capture.intake import Taken
from flywheel.errors import InvalidRecord
from flywheel.records import Feedback, Interaction, from_dict, to_dict

if TYPE_CHECKING:
    from flywheel.capture.intake import Intake
    from flywheel.capture.recorder import Recorder
    from flywheel.store import Log, State

__all__ = ["MESSAGES", "SPAN", "Apart", "Part", "Parts", "together"]

MESSAGES, SPAN = "otlp.messages", "otlp.span"
_SETTING = "otlp.scopes"
_MOST_SCOPES = 200
_REFRESH = 600.0  # seconds
_BELIEVED = 3600.0


@dataclass(frozen=True, slots=True)
class Part:
    """A draft of what one part tells of an interaction; `name` is `otlp.messages` or `otlp.span`."""

    name: str
    draft: dict[str, Any]
    owner: int


class Apart:
    """Which instrumentation scopes send messages as log records, and which send spans: remembered in the state.

    What was seen an hour ago is believed: whoever switches the capture of content off is noticed.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, float]] | None = None

    def talking(self, now: datetime) -> frozenset[str]:
        """The scopes that send messages apart from their spans."""
        return self._fresh("talking", now)

    def spanning(self, now: datetime) -> frozenset[str]:
        """The scopes that send spans of calls."""
        return self._fresh("spanning", now)

    def learn(self, talking: Iterable[str], spanning: Iterable[str], now: datetime) -> None:
        """Remember what was seen; written at most every ten minutes a scope."""
        moment = now.timestamp()
        with self._lock:
            seen = self._all()
            changed = False
            for what, scopes in (("talking", talking), ("spanning", spanning)):
                for scope in scopes:
                    known = seen.setdefault(what, {})
                    if moment - known.get(scope[:200], 0.0) > _REFRESH and (
                        scope in known or len(known) < _MOST_SCOPES
                    ):
                        known[scope[:200]] = moment
                        changed = True
            if changed:
                self._state.set(_SETTING, seen)

    def _fresh(self, what: str, now: datetime) -> frozenset[str]:
        with self._lock:
            known = self._all().get(what, {})
            return frozenset(scope for scope, at in known.items() if now.timestamp() - at < _BELIEVED)

    def _all(self) -> dict[str, dict[str, float]]:
        if self._seen is None:
            self._seen = dict(self._state.get(_SETTING, {}))
        return self._seen


class Parts:
    """Stores parts, and interactions whose parts are complete."""

    def __init__(self, intake: Intake, recorder: Recorder, log: Log) -> None:
        self._intake = intake
        self._recorder = recorder
        self._log = log

    def take(self, parts: Sequence[Part], source: str) -> tuple[Taken, dict[int, str]]:
        """Store parts; return the books, and the owners of those that were not stored with the reason.

        When this returns, they are on stable storage, and so are the interactions that they completed.
        """
        facts, refused, books = [], {}, Taken()
        for part in parts:
            if not self._recorder.consents(None):
                self._recorder.count_refused(1)
                books = _sum(books, Taken(received=1, rejected=1))
                refused[part.owner] = "there is no consent to keep it; it was counted only"
                continue
            try:
                facts.append(self._fact(part))
            except InvalidRecord as problem:
                books = _sum(books, self._intake.take([part.draft], source=source))
                refused[part.owner] = str(problem)
        done = self._log.append(facts)
        books = _sum(books, Taken(len(facts), done.stored, done.duplicates, done.conflicts))
        return _sum(books, self._join([fact.interaction_id for fact in facts])), refused

    def _fact(self, part: Part) -> Feedback:
        given = {key: value for key, value in part.draft.items() if key != "kind" and value is not None}
        given.setdefault("input", None)
        ready = self._recorder.prepare(interaction_of(given, Limits(self._recorder.max_record_bytes)))
        told = to_dict(ready)
        return Feedback(
            id=hashlib.blake2b(
                part.name.encode() + msgspec.json.encode(told, order="sorted"), digest_size=16
            ).hexdigest(),
            interaction_id=ready.id,
            at=ready.at,
            kind="outcome",
            name=part.name,
            value=len(ready.input) if isinstance(ready.input, list) else 1,
            source="system",
            by=ready.user,
            extra={"part": told},
        )

    def _join(self, ids: Sequence[str]) -> Taken:
        """Store the interactions among these whose parts are all there; joined twice they are stored once."""
        if not ids:
            return Taken()
        known = self._log.interactions(ids)
        waiting = [id for id in dict.fromkeys(ids) if id not in known]
        parts: dict[str, list[Feedback]] = defaultdict(list)
        for fact in self._log.feedback_of(waiting):
            if fact.kind == "outcome" and fact.name in (MESSAGES, SPAN) and "part" in fact.extra:
                parts[fact.interaction_id].append(fact)
        whole = [one for id in waiting if (one := together(parts[id])) is not None]
        if not whole:
            return Taken()
        done = self._log.append(whole)
        return Taken(len(whole), done.stored, done.duplicates, done.conflicts)


def together(facts: Sequence[Feedback]) -> Interaction | None:
    """Put the parts of one interaction together; None while something is missing."""
    told = [(fact.name, from_dict(Interaction, fact.extra["part"])) for fact in facts]
    span = next((part for name, part in told if name == SPAN), None)
    messages = sorted((part for name, part in told if name == MESSAGES), key=lambda part: (part.at, str(part.input)))
    if span is None or not messages:
        return None
    asked: list[Any] = []
    for part in messages:
        if part.input is not None:
            asked.extend(part.input if isinstance(part.input, list) else [part.input])
    answered = [part for part in messages if part.output is not None]
    if not (asked and answered) and not any(part.error for part in (span, *messages)):
        return None
    context: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for part in (*messages, span):
        context |= part.context
        extra |= {key: value for key, value in part.extra.items() if key != "redacted"}
    redacted = _counts(part.extra.get("redacted") for part in (*messages, span))
    if redacted:
        extra["redacted"] = redacted
    return replace(
        span,
        input=asked or None,
        output=answered[-1].output if answered else None,
        error=span.error or next((part.error for part in messages if part.error), None),
        user=span.user or next((part.user for part in messages if part.user), None),
        session=span.session or next((part.session for part in messages if part.session), None),
        model=span.model or next((part.model for part in messages if part.model), None),
        context=context,
        extra=extra,
    )


def _counts(all_counts: Iterable[Any]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counts in all_counts:
        if isinstance(counts, Mapping):
            for kind, count in counts.items():
                total[kind] = total.get(kind, 0) + count
    return dict(sorted(total.items()))


def _sum(first: Taken, second: Taken) -> Taken:
    return replace(
        first,
        received=first.received + second.received,
        stored=first.stored + second.stored,
        duplicates=first.duplicates + second.duplicates,
        conflicts=first.conflicts + second.conflicts,
        rejected=first.rejected + second.rejected,
        dead_lettered=first.dead_lettered + second.dead_lettered,
    )
