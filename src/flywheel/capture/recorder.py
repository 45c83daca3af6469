"""The recorder: checks, redacts and stores what a product tells about itself.

The SDK behind `fw.log` and `fw.feedback`.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

import msgspec

from flywheel.capture.checks import too_large
from flywheel.capture.drafts import UNSAID, Limits, feedback_of, interaction_of
from flywheel.capture.identity import new_id, pseudonym
from flywheel.capture.spoken import SpokenInteraction
from flywheel.errors import InvalidRecord
from flywheel.records import Feedback, Interaction
from flywheel.store import Letter
from flywheel.store import codec as stored_form

if TYPE_CHECKING:
    import pyarrow

    from flywheel.capture.policy import Policy
    from flywheel.ports import Progress, Redactor
    from flywheel.store import Appended, Log

__all__ = ["Recorder"]

P = ParamSpec("P")
R = TypeVar("R")
_write = msgspec.json.Encoder().encode
Fact = TypeVar("Fact", bound=Interaction | Feedback)

_BATCH = 1000
_REMEMBERED = 20_000  # names and pseudonyms, so that what comes again and again is worked out once
_PSEUDONYM = re.compile(r"u_[0-9a-f]{32}")
_LONGEST_LETTER = 65_536
_UNFIT = frozenset({"user", "by", "session"})


_MADE = re.compile(
    r"(imp_)?[0-9a-f]{32}(-[0-9a-f]{16})?(:fb\w*)?|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.IGNORECASE,
)
"""Ids that a machine drew: they say nothing of anybody, though some have digits like those of a telephone number."""


class Recorder:
    """Stores interactions and feedback. When a call returns, what it was given is on stable storage.

    Order of things: check, redact, replace users by pseudonyms, check the size, store. A record that cannot be stored
    raises `InvalidRecord` with the field and the fix, and leaves nothing behind. Safe to share between threads.

    `redacted` counts what was removed by kind since the process began (each record also keeps its own counts in
    `extra["redacted"]`); `unrecorded` counts calls of watched functions that could not be stored, by reason.
    """

    def __init__(
        self,
        log: Log,
        *,
        redactor: Redactor,
        pseudonym_key: bytes | None = None,
        max_record_bytes: int = 1_048_576,
        consent_required: bool = False,
        policy: Policy | None = None,
    ) -> None:
        self._log = log
        self._redactor = redactor
        self._key = pseudonym_key
        self._limits = Limits(max_record_bytes)
        self._consent_required = consent_required
        self._policy = policy
        self._names: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._counting = threading.Lock()
        self.redacted: Counter[str] = Counter()
        self.unrecorded: Counter[str] = Counter()

    # --- interactions ---

    def log(
        self,
        *,
        input: Any,
        output: Any = None,
        id: str | None = None,
        at: datetime | None = None,
        sent_at: datetime | None = None,
        scores: Mapping[str, float] | None = None,
        confidence: float | None = None,
        latency_ms: float | None = None,
        error: str | None = None,
        model: str | None = None,
        user: str | None = None,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        propensity: float | None = None,
        consent: bool | None = None,
        **extra: Any,
    ) -> str:
        """Store one interaction and return its id. Other keywords are kept as `extra`.

        With `consent=False` (or without `consent=True` where `[privacy] consent = "required"`) nothing is kept but a
        count; the id comes back all the same.

        Raises `InvalidRecord`; also for a keyword that looks like a misspelt field (`confidense`).
        """
        given = {
            "input": input,
            "output": output,
            "id": id,
            "at": at,
            "sent_at": sent_at,
            "scores": scores,
            "confidence": confidence,
            "latency_ms": latency_ms,
            "error": error,
            "model": model,
            "user": user,
            "session": session,
            "context": context,
            "propensity": propensity,
            "consent": consent,
        }
        record = interaction_of({**given, **extra}, self._limits)
        if not self.consents(consent):
            self.count_refused(1)
            return record.id
        record = self.prepare(record)
        self._log.append([record])
        return record.id

    def log_many(
        self, records: Iterable[Mapping[str, Any]] | pyarrow.Table, progress: Progress | None = None
    ) -> list[str]:
        """Store many interactions, dicts with the keywords of `log` or an Arrow table; return their ids in order.

        They are stored in batches of a thousand. At a bad record all the ones before it are stored, it and those
        after it are not, and `InvalidRecord` says which it was (`records[17].confidence`). With ids of your own the
        whole call can be repeated after mending it: what is stored already counts as a duplicate.
        """
        return self._store_many(records, self._interactions_of, progress, "log_many")

    # --- feedback ---

    def feedback(
        self,
        interaction_id: str,
        *,
        rating: float | None = None,
        label: Any = UNSAID,
        comment: str | None = None,
        outcome: Mapping[str, Any] | None = None,
        report: str | None = None,
        id: str | None = None,
        at: datetime | None = None,
        source: str = "user",
        by: str | None = None,
        propensity: float | None = None,
    ) -> list[str]:
        """Store what became known about an interaction; each thing said is a fact with an id of its own.

        `rating` is a number (negative is bad), `label` the right output, `comment` and `report` text, `outcome` named
        business metrics (`{"retained": 1}`). `source` is `user`, `reviewer`, `judge` or `system`. The interaction may
        arrive later than its feedback. A given `id` is used as it is for one fact, and extended by the kind for
        several.
        """
        given = {
            "interaction_id": interaction_id,
            "rating": rating,
            "comment": comment,
            "outcome": outcome,
            "report": report,
            "id": id,
            "at": at,
            "source": source,
            "by": by,
            "propensity": propensity,
        }
        if label is not UNSAID:
            given["label"] = label
        facts = [self.prepare(fact) for fact in feedback_of(given, self._limits)]
        self._log.append(facts)
        return [fact.id for fact in facts]

    def feedback_many(
        self, records: Iterable[Mapping[str, Any]] | pyarrow.Table, progress: Progress | None = None
    ) -> list[str]:
        """Store many feedbacks: dicts with the keywords of `feedback`, or with `kind` and `value`, or an Arrow table.

        An Arrow table's null is a thing not said. Batches and errors are as in `log_many`.
        """
        return self._store_many(
            records,
            lambda row: [self.prepare(fact) for fact in feedback_of(row, self._limits)],
            progress,
            "feedback_many",
        )

    # --- products' own functions ---

    def watch(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a callable so that each call is logged: input, output, latency, and the exception if there was one.

        Works on functions, methods, coroutines, generators and asynchronous generators. One positional argument is the
        input itself; otherwise the input is `{name: value}`. What a generator yields is its output (joined, if text).
        The product comes first: results and exceptions pass through untouched, and a call that cannot be stored is
        counted in `unrecorded` and told to the `flywheel` logger, never raised.
        """
        from flywheel.capture.watch import watched

        return watched(self, function)

    # --- for importers and the watcher ---

    @property
    def max_record_bytes(self) -> int:
        """The largest record that is taken."""
        return self._limits.max_bytes

    def prepare(self, record: Fact, *, again: bool = False) -> Fact:
        """Redact a checked record, replace the user by a pseudonym, and check its size. Writes nothing.

        `again` for a record that has been here before (a dead letter): its pseudonyms stand.
        """
        found: Counter[str] = Counter()
        given = record
        if isinstance(record, Interaction):
            ready: Interaction | Feedback = self._interaction(record, found)
        else:
            ready = self._feedback(record, found)
        for field in ("user", "session", "by") if again else ():
            value = getattr(given, field, None)
            if value is not None and _PSEUDONYM.fullmatch(value):
                ready = replace(ready, **{field: value})
        if found:
            ready = replace(ready, extra={**ready.extra, "redacted": dict(sorted(found.items()))})
        size = len(msgspec.json.encode(ready))
        if size > self._limits.max_bytes:
            parts = {name: len(msgspec.json.encode(getattr(ready, name))) for name in ready.__slots__}
            raise too_large(max(parts, key=lambda name: parts[name]), size, self._limits.max_bytes)
        with self._counting:
            self.redacted.update(found)
        return cast(Fact, ready)

    def store(
        self, records: Iterable[Interaction | Feedback], letters: Sequence[Letter] = (), without_consent: int = 0
    ) -> Appended:
        """Store prepared records in one commit, with dead letters and how many were not kept for want of consent."""
        facts = [stored_form.encode(record) for record in records]
        received = len(facts) + len(letters) + without_consent
        refused = {"rejected": without_consent, "no_consent": without_consent} if without_consent else {}
        return self._log.commit(facts, letters=letters, counts={"received": received, **refused})

    def consents(self, consent: bool | None) -> bool:
        """May a record that says this about consent be kept?"""
        return consent is True or (consent is None and not self._consent_required)

    def count_refused(self, records: int) -> None:
        """Count records that were not kept for want of consent: nothing else of them stays."""
        self._log.commit([], counts={"received": records, "rejected": records, "no_consent": records})

    def refuse(self, source: str, reason: str, record: Any, at: datetime) -> None:
        """Keep a record that could not be stored among the dead letters; the same letter twice is kept once."""
        self._log.commit([], letters=[self.letter(source, reason, record, at)])

    def letter(self, source: str, reason: str, record: Any, at: datetime) -> Letter:
        """Make the dead letter of a record: redacted, users as pseudonyms, cut at 64 kB."""
        kept = record
        if isinstance(record, Mapping):
            kept = dict(record)
            for field in _UNFIT & kept.keys():
                if kept[field] is not None and not _PSEUDONYM.fullmatch(str(kept[field])):
                    kept[field] = pseudonym(self._key, str(kept[field]))
        found: Counter[str] = Counter()
        written = _printable(kept)
        if self._policy is not None and isinstance(written, dict):
            written, counts = self._policy.clean(written, self._redactor)
            found.update(counts)
        else:
            written = self._clean(written, found)
        body = msgspec.json.encode(written)
        words, place = str(self._clean(reason, found)), str(self._clean(source, found))
        with self._counting:
            self.redacted.update(found)
        whole = isinstance(record, Mapping) and len(body) <= _LONGEST_LETTER
        return Letter(place, words, body[:_LONGEST_LETTER], at, "draft" if whole else "bytes")

    def spoken(self, record: SpokenInteraction) -> tuple[int, str, str | None, bytes]:
        """Redact a record that was read the quick way, and write it as the log keeps it.

        Raises `InvalidRecord` when it has become too large.
        """
        found: Counter[str] | None = None
        told = self._decided({"model": record.model, "session": record.session, "user": record.user})
        if told is not None:
            record.model, record.session, record.user = told[0]["model"], told[0]["session"], told[0]["user"]
        fields = {
            "input": record.input,
            "output": record.output,
            "scores": record.scores,
            "error": record.error,
            "context": record.context,
            "extra": record.extra,
        }
        cleaned, counts = self._redacted(fields)
        if cleaned is not fields:
            record.input, record.output = cleaned.get("input"), cleaned.get("output")
            record.scores, record.error = cleaned.get("scores"), cleaned.get("error")
            record.context, record.extra = cleaned.get("context") or {}, cleaned.get("extra") or {}
        if counts or told is not None:
            found = Counter(counts)
            found.update(told[1] if told is not None else {})
        record.id = self._remembered(record.id, found) if record.id else new_id(record.at)
        if record.at is None:
            record.at = datetime.now(UTC)
        if record.user is not None:
            record.user = self._user_of(record.user)
        if record.model is not None:
            record.model = self._remembered(record.model, found)
        if record.session is not None:
            record.session = self._remembered(record.session, found)
        if found:
            record.extra = {**record.extra, "redacted": dict(sorted(found.items()))}
            with self._counting:
                self.redacted.update(found)
        body = _write(record)
        if len(body) > self._limits.max_bytes:
            raise too_large("record", len(body), self._limits.max_bytes)
        return stored_form.INTERACTION, record.id, None, body

    def _interaction(self, record: Interaction, found: Counter[str]) -> Interaction:
        told = self._decided({"model": record.model, "session": record.session, "user": record.user})
        if told is not None:
            record = replace(record, **told[0])
            found.update(told[1])
        names = ("input", "output", "scores", "error", "context", "extra")
        fields = {name: getattr(record, name) for name in names}
        cleaned, counts = self._redacted(fields)
        found.update(counts)
        changed: dict[str, Any] = {} if cleaned is fields else {name: cleaned.get(name) for name in names}
        for name in ("context", "extra"):
            if changed and changed[name] is None:
                changed[name] = {}
        return replace(
            record,
            id=self._name(record.id, found),
            model=record.model and self._name(record.model, found),
            user=self._user(record.user, found),
            session=record.session and self._name(record.session, found),
            **changed,
        )

    def _feedback(self, record: Feedback, found: Counter[str]) -> Feedback:
        told = self._decided({"by": record.by})
        if told is not None:
            record = replace(record, **told[0])
            found.update(told[1])
        fields = {"value": record.value, "name": record.name, "extra": record.extra}
        if self._policy is not None:
            fields["kind"] = record.kind  # the value also goes by it
        cleaned, counts = self._redacted(fields)
        found.update(counts)
        return replace(
            record,
            id=self._name(record.id, found),
            interaction_id=self._name(record.interaction_id, found),
            value=cleaned.get("value"),
            name=cleaned.get("name"),
            by=self._user(record.by, found) if record.source == "user" else record.by and self._name(record.by, found),
            extra=cleaned.get("extra") or {},
        )

    def _decided(self, names: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]] | None:
        """What the operator's policy makes of names; None where there is no policy."""
        if self._policy is None:
            return None
        return self._policy.apply(names)

    def _redacted(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """The free fields of a record after policy and redactor; the same object when nothing was found."""
        if self._policy is not None:
            return self._policy.clean(fields, self._redactor)
        return self._redactor.redact(fields)

    def _clean(self, value: Any, found: Counter[str]) -> Any:
        if value is None or value == {}:
            return value
        cleaned, counts = self._redactor.redact(value)
        found.update(counts)
        return cleaned

    def _user(self, value: str | None, found: Counter[str]) -> str | None:
        if value is None:
            return None
        return self._name(value, found) if self._key is None else self._user_of(value)

    def _user_of(self, value: str) -> str:
        if self._key is None:
            return self._name(value, Counter())
        known = self._users.get(value)
        if known is None:
            if len(self._users) >= _REMEMBERED:
                self._users.clear()
            known = self._users[value] = pseudonym(self._key, value)
        return known

    def _remembered(self, value: str, found: Counter[str] | None) -> str:
        """`_name` for names that come again: models, sessions; an id that a machine drew needs no remembering."""
        if _MADE.fullmatch(value):
            return value
        known = self._names.get(value)
        if known is None:
            counts: Counter[str] = Counter()
            known = self._name(value, counts)
            if not counts:
                if len(self._names) >= _REMEMBERED:
                    self._names.clear()
                self._names[value] = known
            elif found is not None:
                found.update(counts)
        return known

    def _name(self, value: str, found: Counter[str]) -> str:
        """An id that holds personal data becomes a digest of itself, so that what belongs together stays together."""
        if _MADE.fullmatch(value):
            return value
        cleaned, counts = self._redactor.redact(value)
        if cleaned == value:
            return value
        found.update(counts)
        return pseudonym(self._key, value, prefix="id")

    def _interactions_of(self, row: Mapping[str, Any]) -> list[Interaction]:
        record = interaction_of(row, self._limits)
        if self.consents(record.consent):
            return [self.prepare(record)]
        self.count_refused(1)
        return []

    def _store_many(
        self,
        records: Iterable[Mapping[str, Any]] | pyarrow.Table,
        facts_of: Callable[[Mapping[str, Any]], list[Any]],
        progress: Progress | None,
        step: str,
    ) -> list[str]:
        total = _length(records)
        ids: list[str] = []
        batch: list[Any] = []
        stored = 0  # rows, not facts

        def flush(rows: int) -> None:
            nonlocal stored
            if batch:
                self._log.append(batch)
                ids.extend(fact.id for fact in batch)
                batch.clear()
            stored = rows
            if progress and total:
                progress(step, min(1.0, stored / total))

        place = -1
        for place, row in enumerate(_rows(records)):
            try:
                if not isinstance(row, Mapping):
                    raise InvalidRecord("record", f"a {type(row).__name__} is not a record", "Pass dicts: {'input': …}")
                batch.extend(facts_of(row))
            except InvalidRecord as problem:
                flush(place)
                _blame(problem, place)
            if len(batch) >= _BATCH:
                flush(place + 1)
        flush(place + 1)
        return ids


def _blame(problem: InvalidRecord, place: int) -> NoReturn:
    """Say which of many records it was, and what is stored now."""
    before = f"The {place} before it are stored" if place else "Nothing is stored"
    raise InvalidRecord(
        f"records[{place}].{problem.field}", problem.problem, f"{problem.fix}. {before}; nothing from this one on is"
    ) from problem


def _rows(records: Iterable[Mapping[str, Any]] | pyarrow.Table) -> Iterator[Mapping[str, Any]]:
    if hasattr(records, "to_batches"):  # an Arrow table or batch reader; its nulls are things not said
        for part in records.to_batches(max_chunksize=_BATCH):
            for row in part.to_pylist():
                yield {name: value for name, value in row.items() if value is not None}
        return
    yield from records


def _length(records: Any) -> int:
    if hasattr(records, "num_rows"):
        return int(records.num_rows)
    return len(records) if isinstance(records, Sized) else 0


def _printable(value: Any, depth: int = 0) -> Any:
    """Write down whatever it is, JSON or not, without failing: dead letters are read by people."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value[:65_536].encode("utf-8", "replace").decode()
    if isinstance(value, int | float):
        return value if abs(value) < 2**63 else str(value)  # NaN compares false
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    if depth < 8 and isinstance(value, Mapping):
        return {
            str(_printable(str(key)[:200])): _printable(item, depth + 1) for key, item in list(value.items())[:1000]
        }
    if depth < 8 and isinstance(value, list | tuple):
        return [_printable(item, depth + 1) for item in value[:1000]]
    return f"<{type(value).__name__}>"
