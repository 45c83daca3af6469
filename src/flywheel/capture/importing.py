"""Bringing in a log you already have: nothing is stored twice, and a bad row never stops the rest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flywheel.capture.checks import FEEDBACK_KINDS
from flywheel.capture.drafts import INTERACTION_FIELDS, Limits, feedback_of, interaction_of
from flywheel.capture.mapping import columns_of, guess_mapping
from flywheel.capture.recorder import Recorder
from flywheel.errors import InvalidConfig, InvalidRecord
from flywheel.records import Feedback, Interaction

if TYPE_CHECKING:
    from flywheel.ports import Progress, Source

__all__ = ["Imported", "import_records"]

_BATCH = 1000
_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Imported:
    """The books of one import: `read` = `stored` + `duplicates` + `conflicts` + `rejected`.

    They count facts: a row with an input and a label holds two. `conflicts` are ids that the log knows with other
    content; the first one stands. `rejected` rows are among the dead letters with the reason.
    """

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    mapping: dict[str, str] = field(default_factory=dict)
    """The mapping that was used, field → column."""
    sample: tuple[dict[str, Any], ...] = ()
    """The first records as they will be read; only of a dry run."""


def import_records(
    recorder: Recorder,
    source: Source,
    location: str,
    mapping: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    on_bad: Callable[[str, str, Any], None] | None = None,
    *,
    at: datetime | None = None,
    timezone: str | None = None,
    dry_run: bool = False,
) -> Imported:
    """Read the records of `location` through a source, and store them.

    Rows without an id get one made from the file's name, their content and how often that content came before, so
    that importing a file again, or after it has grown, stores only what is new. Rows without a time get `at`, or else
    the file's own. `timezone` (`Europe/Berlin`) is what times without a zone are in; without it such a row is bad. A
    bad row goes to `on_bad(place, reason, record)`, by default the dead-letter table.

    `dry_run` stores nothing and returns the mapping, guessed around what was given, with the first records read by it.

    Time and memory: O(rows), 100 bytes a row without an id.
    """
    chosen = guess_mapping(columns_of(source, location), mapping)
    if dry_run:
        return Imported(mapping=chosen, sample=tuple(islice(source.read(location, chosen), _SAMPLE)))
    moment = at or _file_time(location)
    books = _Books(
        recorder, location, moment, on_bad or (lambda place, why, record: recorder.refuse(place, why, record, moment))
    )
    zone = _zone(timezone)
    records = source.read(location, chosen)
    for number, record in enumerate(records, start=1):
        books.take(number, _in_zone(record, zone) if zone else record)
        if progress and number % _BATCH == 0:
            progress("import", float(getattr(source, "done", 0.0)))
    books.flush()
    if progress:
        progress("import", 1.0)
    return replace(books.sums, mapping=chosen)


class _Books:
    """One import under way."""

    def __init__(
        self, recorder: Recorder, location: str, moment: datetime, on_bad: Callable[[str, str, Any], None]
    ) -> None:
        self.sums = Imported()
        self._recorder = recorder
        self._file = Path(location).name
        self._moment = moment
        self._on_bad = on_bad
        self._limits = Limits(recorder.max_record_bytes)
        self._seen: Counter[bytes] = Counter()
        self._batch: list[Interaction | Feedback] = []

    def take(self, number: int, record: dict[str, Any]) -> None:
        place = f"import {self._file}, record {number}"
        if record.get("kind") == "unreadable":
            self._reject(f"import {self._file}, {record['place']}", str(record["problem"]), None, 1)
            return
        try:
            facts = [self._recorder.prepare(fact) for fact in self._facts(record)]
        except InvalidRecord as problem:
            self._reject(place, str(problem), record, _count(record))
            return
        except RecursionError:
            self._reject(place, "the record is nested too deep", None, _count(record))
            return
        self._add(read=len(facts))
        self._batch.extend(facts)
        if len(self._batch) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        if self._batch:
            done = self._recorder.store(self._batch)
            self._add(stored=done.stored, duplicates=done.duplicates, conflicts=done.conflicts)
            self._batch.clear()

    def _facts(self, record: dict[str, Any]) -> list[Interaction | Feedback]:
        given = {name: value for name, value in record.items() if name != "kind"}
        given.setdefault("at", self._moment)
        given["id"] = _as_text(given.get("id")) or self._derived(record)
        if record["kind"] == "feedback":
            given["interaction_id"] = _as_text(given.get("interaction_id"))
            return list(feedback_of(given, self._limits))
        said = {kind: given.pop(kind) for kind in FEEDBACK_KINDS if kind in given}
        about: dict[str, Any] = {name: given.pop(name) for name in ("source", "by") if name in given}
        known = {name: value for name, value in given.items() if name in INTERACTION_FIELDS}
        unknown = {name: value for name, value in given.items() if name not in INTERACTION_FIELDS}
        if unknown:
            known["extra"] = {**unknown, **(known.get("extra") or {})}
        for name in ("user", "session", "model"):
            if name in known:
                known[name] = _as_text(known[name])
        facts: list[Interaction | Feedback] = [interaction_of(known, self._limits)]
        if said:
            if "label" in said:
                about.setdefault("source", "system")  # a column of right answers is ground truth, not a click
            fact: dict[str, Any] = {**said, **about, "interaction_id": known["id"], "at": known["at"]}
            fact["id"] = f"{known['id']}:fb"
            facts.extend(feedback_of(fact, self._limits))
        return facts

    def _derived(self, record: dict[str, Any]) -> str:
        content = json.dumps([self._file, record], sort_keys=True, default=repr)  # takes bad records too
        digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
        self._seen[digest] += 1
        again = self._seen[digest]
        return "imp_" + hashlib.blake2b(digest + str(again).encode(), digest_size=16).hexdigest()

    def _reject(self, place: str, reason: str, record: Any, facts: int) -> None:
        self._on_bad(place, reason, record)
        self._add(read=facts, rejected=facts)

    def _add(self, **more: int) -> None:
        self.sums = replace(self.sums, **{name: getattr(self.sums, name) + count for name, count in more.items()})


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


def _file_time(location: str) -> datetime:
    path = Path(location)
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.is_file() else datetime.now(UTC)


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as problem:
        raise InvalidConfig(f"{name!r} is not a time zone. Pass one such as UTC or Europe/Berlin") from problem


def _in_zone(record: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    for name in ("at", "sent_at"):
        value = record.get(name)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                continue
        if isinstance(value, datetime) and value.tzinfo is None:
            record[name] = value.replace(tzinfo=zone)
    return record
