"""What arrives, whatever its dialect, becomes durable facts, dead letters and counts in one commit.

The books balance: what was received is what was stored, known already, rejected or dead-lettered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from flywheel.capture.drafts import Limits, feedback_of, interaction_of
from flywheel.capture.spoken import looks_plain, read_spoken
from flywheel.capture.wire import records_in
from flywheel.errors import InvalidRecord, Undecodable
from flywheel.store import Letter
from flywheel.store.codec import encode
from flywheel.store.log import CONFLICT, STORED

if TYPE_CHECKING:
    from flywheel.capture.recorder import Recorder
    from flywheel.store import Log

__all__ = ["Intake", "Taken"]

REJECTED, DEAD = 3, 4
OUTCOMES = ("stored", "duplicate", "conflict", "rejected", "dead-lettered")
_SAYS = {
    CONFLICT: "the id is known with other content; the first one stands",
    REJECTED: "there is no consent to keep it; it was counted only",
}
_MOST_ERRORS = 100
_Fact = tuple[int, str, str | None, bytes]

_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Taken:
    """The books of one batch: `received` = `stored` + `duplicates` + `conflicts` + `rejected` + `dead_lettered`.

    They count facts: feedback that says two things is two. `outcomes` says for each draft in order what became of it
    (a word of `OUTCOMES`), and `errors` why, for the first hundred that were not stored.
    """

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    outcomes: tuple[str, ...] = ()
    errors: tuple[tuple[int, str], ...] = ()
    ids: tuple[str | None, ...] = ()
    """The id under which each draft was stored, None for one that was not."""


class Intake:
    """The way from decoded drafts, or from JSON bytes, into the log. Safe to share between threads."""

    def __init__(self, recorder: Recorder, log: Log) -> None:
        self._recorder = recorder
        self._log = log
        self._limits = Limits(recorder.max_record_bytes)

    def take(
        self,
        drafts: Iterable[Mapping[str, Any]],
        *,
        source: str,
        at: datetime | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> Taken:
        """Store drafts (dicts with `kind`) in one commit; `counts` are added to the books beside them.

        A bad draft becomes a dead letter with its reason and never stops the others. When this returns, all of it is
        on stable storage. Raises `StoreBusy` or `StoreUnavailable`; then taking the same drafts again is right.
        """
        batch = _Batch(self._recorder, self._limits, source, at or datetime.now(UTC))
        for draft in drafts:
            batch.careful(draft)
        return batch.settle(self._log, counts)

    def take_body(
        self,
        body: bytes | bytearray,
        *,
        kind: str,
        lines: bool,
        source: str,
        at: datetime | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> Taken:
        """Store the records of a JSON array or of JSON lines, all of one `kind`, as `take` does.

        Raises `Undecodable` for a body that is no JSON as a whole, after it has become a dead letter, and `TooLarge`.
        """
        batch = _Batch(self._recorder, self._limits, source, at or datetime.now(UTC))
        try:
            records = records_in(body, lines=lines, limit=self._limits.max_bytes)
            plain = looks_plain(body)
            for raw in records:
                if isinstance(raw, str):
                    batch.too_long(raw)
                elif kind == "interaction":
                    batch.quick(raw, plain)
                else:
                    batch.raw(raw, kind)
        except Undecodable as problem:
            self.refuse_body(body, str(problem), source=source, at=at)
            raise
        return batch.settle(self._log, counts)

    def refuse_body(self, body: bytes | bytearray, reason: str, *, source: str, at: datetime | None = None) -> None:
        """Keep a body that could not be decoded among the dead letters: its beginning, redacted."""
        text = bytes(body[:65_536]).decode("utf-8", "replace")
        self._recorder.refuse(source, reason, text, at or datetime.now(UTC))

    def count(self, **counts: int) -> None:
        """Add to the books what was counted and not kept."""
        self._log.commit([], counts={"received": 0, **counts})

    def retry(self, letter: Mapping[str, Any]) -> Taken:
        """Try a dead letter again; what it holds now becomes facts, and it is gone. Raises `InvalidRecord` again."""
        if letter["kind"] != "draft":
            raise InvalidRecord(
                f"dead letter {letter['id']}",
                "it holds bytes, not a record",
                "Send it again from where it came, mended",
            )
        draft = _decode(letter["body"])
        facts = [encode(fact) for fact in _facts(self._recorder, self._limits, draft, letter["at"], again=True)]
        done = self._log.settle_letter(letter["id"], facts)
        return Taken(len(facts), done.stored, done.duplicates, done.conflicts)


class _Batch:
    """One batch under way: facts ready to be written, letters, and which draft each came from."""

    def __init__(self, recorder: Recorder, limits: Limits, source: str, at: datetime) -> None:
        self._recorder = recorder
        self._limits = limits
        self._source = source
        self._at = at
        self._facts: list[_Fact] = []
        self._owners: list[int] = []
        self._letters: list[Letter] = []
        self._rejected = 0
        self._without = 0
        self._outcomes = bytearray()
        self._ids: list[str | None] = []
        self._reasons: dict[int, str] = {}

    def quick(self, raw: bytes, plain: bool) -> None:
        """An interaction as JSON: the quick way if it is as it should be, else the careful one."""
        spoken = read_spoken(raw, plain=plain)
        if spoken is None:
            self.raw(raw, "interaction")
        elif not self._recorder.consents(spoken.consent):
            self._reject(1)
        else:
            if spoken.at is None:
                spoken.at = self._at
            try:
                self._add([self._recorder.spoken(spoken)])
            except InvalidRecord as problem:
                self.too_long(str(problem))

    def raw(self, raw: bytes, kind: str) -> None:
        """A record as JSON, the careful way."""
        try:
            draft = _decode(raw)
        except RecursionError:
            self._dead("the record is nested too deep. Flatten it, or send the deep part as JSON text", None)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            self._dead(f"the record is not JSON ({problem})", raw.decode("utf-8", "replace"))
        else:
            if isinstance(draft, dict):
                said = draft.get("kind")
                self.careful(
                    draft if kind == "feedback" and said not in (None, "feedback") else {**draft, "kind": kind}
                )
            else:
                self._dead(f"the record is a JSON {type(draft).__name__}, not an object", draft)

    def careful(self, draft: Mapping[str, Any]) -> None:
        """A draft of any source."""
        if draft.get("kind") == "unreadable":
            self._dead(f"{draft.get('place', '')}: {draft.get('problem', '')}".strip(": "), draft.get("body"))
            return
        try:
            consent = draft.get("consent")
            if not self._recorder.consents(consent if isinstance(consent, bool) else None) and _about(draft):
                self._reject(1)
                return
            facts = _facts(self._recorder, self._limits, draft, self._at)
            self._add([encode(fact) for fact in facts])
        except InvalidRecord as problem:
            self._dead(str(problem), draft)
        except RecursionError:
            self._dead("the record is nested too deep. Flatten it, or send the deep part as JSON text", None)

    def too_long(self, reason: str) -> None:
        """A record over the limit: counted, told, not kept."""
        self._outcomes.append(REJECTED)
        self._ids.append(None)
        self._reasons[len(self._outcomes) - 1] = reason
        self._rejected += 1

    def settle(self, log: Log, counts: Mapping[str, int] | None) -> Taken:
        """Write everything in one commit."""
        dead = self._outcomes.count(DEAD)
        received = len(self._facts) + dead + self._rejected
        books = {"received": received, "rejected": self._rejected, "no_consent": self._without, **(counts or {})}
        done = log.commit(self._facts, self._at, self._letters, books)
        known = dead - done.letters
        for owner, fate in zip(self._owners, done.fates, strict=True):
            if fate != STORED:
                self._outcomes[owner] = max(self._outcomes[owner], fate)
        if any(self._outcomes):
            for place, outcome in enumerate(self._outcomes):
                if outcome in _SAYS and place not in self._reasons:
                    self._reasons[place] = _SAYS[outcome]
        return Taken(
            received=received,
            stored=done.stored,
            duplicates=done.duplicates,
            conflicts=done.conflicts,
            rejected=self._rejected,
            dead_lettered=dead - known,
            outcomes=tuple(map(OUTCOMES.__getitem__, self._outcomes)),
            errors=tuple(sorted(self._reasons.items())[:_MOST_ERRORS]),
            ids=tuple(self._ids),
        )

    def _add(self, facts: list[_Fact]) -> None:
        owner = len(self._outcomes)
        self._outcomes.append(STORED)
        self._ids.append(facts[0][1] if facts else None)
        self._facts.extend(facts)
        self._owners.extend([owner] * len(facts))

    def _reject(self, facts: int) -> None:
        self._outcomes.append(REJECTED)
        self._ids.append(None)
        self._rejected += facts
        self._without += facts

    def _dead(self, reason: str, record: Any) -> None:
        self._outcomes.append(DEAD)
        self._ids.append(None)
        self._reasons[len(self._outcomes) - 1] = reason
        self._letters.append(self._recorder.letter(self._source, reason, record, self._at))


def _about(draft: Mapping[str, Any]) -> bool:
    """Is it something that needs consent? Feedback does where it says so itself."""
    return draft.get("kind") == "interaction" or draft.get("consent") is not None


def _facts(
    recorder: Recorder, limits: Limits, draft: Mapping[str, Any], at: datetime, *, again: bool = False
) -> list[Any]:
    """The facts a draft holds, checked, redacted and with pseudonyms; `again` for one that has been through it."""
    given = {name: value for name, value in draft.items() if name != "kind" and value is not None}
    if "label" in draft:
        given["label"] = draft["label"]
    if "input" in draft:
        given["input"] = draft["input"]
    kind = draft.get("kind")
    given.setdefault("at", at)
    if kind == "interaction":
        facts: list[Any] = [interaction_of(given, limits)]
    elif kind in (None, "feedback") or "interaction_id" in draft:
        given.pop("consent", None)
        if kind not in (None, "feedback"):
            given["kind"] = kind
        facts = list(feedback_of(given, limits))
    else:
        raise InvalidRecord("kind", f"{kind!r} is no kind of record", "Pass interaction or feedback")
    return [recorder.prepare(fact, again=again) for fact in facts]
