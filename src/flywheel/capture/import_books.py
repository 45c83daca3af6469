"""The books of one import: records become facts, letters and counts, a batch a commit."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flywheel.capture.checks import FEEDBACK_KINDS
from flywheel.capture.drafts import INTERACTION_FIELDS, Limits, feedback_of, interaction_of
from flywheel.errors import InvalidRecord
from flywheel.records import Feedback, Interaction
from flywheel.store import Letter

if TYPE_CHECKING:
    from flywheel.capture.recorder import Recorder

__all__ = ["Books", "Imported"]

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Imported:
    """The books of one import: `read` = `stored` + `duplicates` + `conflicts` + `rejected`.

    They count facts: a row with an input and a label holds two. `conflicts` are ids that the log knows with other
    content; the first one stands. `rejected` rows are among the dead letters with the reason, or came without consent.
    """

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    mapping: dict[str, str] = field(default_factory=dict)
    """The mapping that was used, field → column; of a source that knows its fields, where each comes from."""
    sample: tuple[dict[str, Any], ...] = ()
    """The first records as they will be read; only of a dry run."""
    resumed: int = 0
    """Records that an import before this one had dealt with, so that this one went on behind them."""
    older: int = 0
    """Records from before the time since when they are wanted."""
    passed: int = 0
    """Rows of an export that are no interaction and no feedback: steps in between, deleted ones."""
    source: str = ""
    """The source that read them."""
    why: str = ""
    """Why this source was chosen."""


class Books:
    """One import under way. `on_commit` is called after each commit."""

    def __init__(
        self,
        recorder: Recorder,
        file: str,
        moment: datetime,
        on_bad: Callable[[str, str, Any], None] | None,
        on_commit: Callable[[], None],
    ) -> None:
        self.derived = False
        """Has a record been given an id made of its content?"""
        self._counts: Counter[str] = Counter()
        self._recorder = recorder
        self._file = file
        self._moment = moment
        self._on_bad = on_bad
        self._on_commit = on_commit
        self._limits = Limits(recorder.max_record_bytes)
        self._seen: Counter[bytes] = Counter()
        self._batch: list[Interaction | Feedback] = []
        self._letters: list[Letter] = []
        self._without = 0

    @property
    def sums(self) -> Imported:
        """The books so far."""
        count = self._counts
        return Imported(
            read=count["read"],
            stored=count["stored"],
            duplicates=count["duplicates"],
            conflicts=count["conflicts"],
            rejected=count["rejected"],
        )

    def pass_by(self, record: Mapping[str, Any]) -> str:
        """Take note of a record that was dealt with before; returns what tells it from others."""
        if record.get("kind") == "unreadable":
            return str(record.get("place"))
        return _as_text(record.get("id")) or self._derived(dict(record))

    def take(self, number: int, record: dict[str, Any]) -> str:
        """Take a record; returns what tells it from others."""
        if record.get("kind") == "unreadable":
            place = str(record.get("place"))
            self._reject(f"import {self._file}, {place}", str(record.get("problem")), record.get("body"), 1)
            return place
        place = f"import {self._file}, record {number}"
        known = _as_text(record.get("id"))
        if not known:
            known, self.derived = self._derived(record), True
        try:
            if self._refused(record):
                self._without += (count := _count(record))
                self._add(read=count, rejected=count)
                self._full()
                return str(known)
            facts = [self._recorder.prepare(fact) for fact in self._facts(record, known)]
        except InvalidRecord as problem:
            self._reject(place, str(problem), record, _count(record))
        except RecursionError:
            self._reject(place, "the record is nested too deep", None, _count(record))
        else:
            self._add(read=len(facts))
            self._batch.extend(facts)
            self._full()
        return str(known)

    def flush(self) -> None:
        """Commit what was taken."""
        if self._batch or self._letters or self._without:
            done = self._recorder.store(self._batch, self._letters, self._without)
            self._add(stored=done.stored, duplicates=done.duplicates, conflicts=done.conflicts)
            self._batch.clear()
            self._letters.clear()
            self._without = 0
            self._on_commit()

    def _full(self) -> None:
        if len(self._batch) + len(self._letters) >= _BATCH:
            self.flush()

    def _refused(self, record: Mapping[str, Any]) -> bool:
        consent = record.get("consent")
        about = record.get("kind") == "interaction" or consent is not None
        return about and not self._recorder.consents(consent if isinstance(consent, bool) else None)

    def _facts(self, record: dict[str, Any], known: str) -> list[Interaction | Feedback]:
        given = {name: value for name, value in record.items() if name != "kind"}
        given.setdefault("at", self._moment)
        given["id"] = known
        if record["kind"] == "feedback":
            given["interaction_id"] = _as_text(given.get("interaction_id"))
            given.pop("consent", None)
            return list(feedback_of(given, self._limits))
        said = {kind: given.pop(kind) for kind in FEEDBACK_KINDS if kind in given}
        about: dict[str, Any] = {name: given.pop(name) for name in ("source", "by") if name in given}
        fields = {name: value for name, value in given.items() if name in INTERACTION_FIELDS}
        unknown = {name: value for name, value in given.items() if name not in INTERACTION_FIELDS}
        if unknown:
            fields["extra"] = {**unknown, **(fields.get("extra") or {})}
        for name in ("user", "session", "model"):
            if name in fields:
                fields[name] = _as_text(fields[name])
        facts: list[Interaction | Feedback] = [interaction_of(fields, self._limits)]
        if said:
            if "label" in said:
                about.setdefault("source", "system")  # a column of right answers is ground truth, not a click
            fact: dict[str, Any] = {**said, **about, "interaction_id": fields["id"], "at": fields["at"]}
            fact["id"] = f"{fields['id']}:fb"
            facts.extend(feedback_of(fact, self._limits))
        return facts

    def _derived(self, record: dict[str, Any]) -> str:
        content = json.dumps([self._file, record], sort_keys=True, default=repr)  # takes bad records too
        digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
        self._seen[digest] += 1
        again = self._seen[digest]
        return "imp_" + hashlib.blake2b(digest + str(again).encode(), digest_size=16).hexdigest()

    def _reject(self, place: str, reason: str, record: Any, facts: int) -> None:
        self._add(read=facts, rejected=facts)
        if self._on_bad is not None:
            self._on_bad(place, reason, record)
            return
        self._letters.append(self._recorder.letter(place, reason, record, self._moment))
        self._full()

    def _add(self, **more: int) -> None:
        for name, count in more.items():
            self._counts[name] += count


def _count(record: Mapping[str, Any]) -> int:
    """How many facts a bad record would have held."""
    said = 0
    for kind in FEEDBACK_KINDS:
        value = record.get(kind)
        said += max(1, len(value)) if kind == "outcome" and isinstance(value, dict) else int(kind in record)
    return max(1, said) if record.get("kind") == "feedback" else 1 + said


def _as_text(value: Any) -> Any:
    """Files often hold ids as whole numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
