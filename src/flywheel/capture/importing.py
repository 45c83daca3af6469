"""Bringing in a log you already have: nothing is stored twice, a bad row stops nothing, and a kill costs little."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flywheel.capture.checks import moment as check_moment
from flywheel.capture.import_books import Books, Imported
from flywheel.capture.mapping import columns_of, guess_mapping
from flywheel.capture.recorder import Recorder
from flywheel.capture.sources.places import without_secrets
from flywheel.errors import InvalidConfig, InvalidRecord

if TYPE_CHECKING:
    from flywheel.ports import Progress, Source
    from flywheel.store import State

__all__ = ["Imported", "import_records"]

_SAMPLE = 5
_TELL = 1000
_TIMED = ("elasticsearch", "opensearch", "cloudwatch", "mlflow")
"""Sources that take `since=` after the location, so that the service itself leaves older records out."""


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
    since: datetime | Literal["last"] | None = None,
    state: State | None = None,
    resume: bool = True,
    dry_run: bool = False,
) -> Imported:
    """Read the records of `location` through a source, and store them.

    Rows without an id get one made from the file's name, their content and how often that content came before, so
    that importing a file again, or after it has grown, stores only what is new. Rows without a time get `at`, or else
    the file's own. `timezone` (`Europe/Berlin`) is what times without a zone are in; without it such a row is bad. A
    bad row goes to `on_bad(place, reason, record)`, by default the dead-letter table.

    With `state`, the place is kept there after each commit: an import that was killed goes on where it was, unless
    `resume` is false. A finished import that is begun again reads everything, and stores only what is new; with
    `since="last"` it reads on behind the end of the last one. With a time, older records are left out.

    The mapping holds fields (field → column) and the source's own settings. `dry_run` stores nothing and returns the
    mapping, guessed around what was given, with the first records read by it.

    Time and memory: O(rows), 100 bytes a row without an id. Going on costs a seek where rows have ids of their own, and
    reading the rows before again, without storing them, where they have none.
    """
    where = _with_settings(location, source, mapping, since)
    shown, chosen = _plan(source, where, mapping)
    if dry_run:
        return Imported(mapping=shown, sample=tuple(islice(source.read(where, chosen), _SAMPLE)))
    mark = _Mark(state, source, where, chosen)
    begun = mark.load(resume=resume, last=since == "last")
    moment = at or (begun.moment if begun else None) or _file_time(location)
    run = _Run(recorder, source, Path(without_secrets(location)).name, moment, on_bad, mark, _zone(timezone))
    oldest = since if isinstance(since, datetime) else None
    for number, record in run.records(where, chosen, begun):
        run.take(number, record, older=oldest is not None and _is_older(record, oldest))
        if progress and number % _TELL == 0:
            progress("import", float(getattr(source, "done", 0.0)))
    run.end()
    if progress:
        progress("import", 1.0)
    return replace(
        run.books.sums,
        mapping=shown,
        source=source.name,
        resumed=run.resumed,
        older=run.older,
        passed=int(getattr(source, "passed", 0)),
    )


class _Run:
    """One import under way: its books, and how far it is."""

    def __init__(
        self,
        recorder: Recorder,
        source: Source,
        name: str,
        moment: datetime,
        on_bad: Callable[[str, str, Any], None] | None,
        mark: _Mark,
        zone: tzinfo | None,
    ) -> None:
        self.resumed = self.older = 0
        self._source = source
        self._moment = moment
        self._mark = mark
        self._zone = zone
        self._records = 0
        self._trail = b""
        self._committed = False
        self._new_books: Callable[[], Books] = lambda: Books(recorder, name, moment, on_bad, self._on_commit)
        self.books = self._new_books()

    def records(
        self, location: str, mapping: dict[str, str] | None, begun: _Begun | None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the records that are left, by number."""
        if begun is None:
            rest = self._read(location, mapping)
        elif begun.cursor is not None and not begun.derived and hasattr(self._source, "cursor"):
            self.resumed = self._records = begun.records
            self._trail = begun.trail
            rest = self._read(location, mapping, after=begun.cursor)
        else:
            rest = self._read(location, mapping)
            if not self._passed_by(rest, begun):
                self.books = self._new_books()  # it is another file now: all of it, and what is known is skipped
                self._records = self.resumed = 0
                self._trail = b""
                rest = self._read(location, mapping)
        yield from enumerate(rest, start=self._records + 1)

    def _read(self, location: str, mapping: dict[str, str] | None, **after: str) -> Iterator[dict[str, Any]]:
        source: Any = self._source
        for record in source.read(location, mapping, **after):
            if self._zone is not None:
                _in_zone(record, self._zone)
            yield record

    def _passed_by(self, rest: Iterator[dict[str, Any]], begun: _Begun) -> bool:
        """Read again what was dealt with, for the ids of what is left; false when it is not the same any more."""
        for record in islice(rest, begun.records):
            self._follow(self.books.pass_by(record))
            self._records += 1
        self.books.derived = begun.derived
        self.resumed = self._records
        return self._records == begun.records and self._trail == begun.trail

    def take(self, number: int, record: dict[str, Any], *, older: bool) -> None:
        """Take a record into the books, or leave it out because it is older than what is wanted."""
        self._records = number
        if older:
            self.older += 1
            self._follow(self.books.pass_by(record))
        else:
            self._follow(self.books.take(number, record))
        if self._committed:  # all of it up to this record
            self._save(finished=False)

    def end(self) -> None:
        """Commit the rest."""
        self.books.flush()
        self._save(finished=True)

    def _save(self, *, finished: bool) -> None:
        cursor = getattr(self._source, "cursor", None)
        self._mark.save(_Begun(cursor, self._records, self.books.derived, self._trail, self._moment), finished=finished)
        self._committed = False

    def _on_commit(self) -> None:
        self._committed = True

    def _follow(self, token: str) -> None:
        """A digest of which records came, in order."""
        told = self._trail + token.encode("utf-8", "surrogatepass")
        self._trail = hashlib.blake2b(told, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _Begun:
    """How far an import had come."""

    cursor: str | None
    records: int
    derived: bool
    trail: bytes
    moment: datetime


class _Mark:
    """Where the place of an import is kept: one for each source, location and mapping."""

    def __init__(self, state: State | None, source: Source, location: str, mapping: Mapping[str, str] | None) -> None:
        self._state = state
        path = Path(location)
        where = str(path.resolve()) if path.exists() else location
        words = json.dumps([source.name, where, dict(mapping or {})], sort_keys=True)
        self._key = "import:" + hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def load(self, *, resume: bool, last: bool) -> _Begun | None:
        """The place of an import that was broken off, or, with `last`, of the last one; None to read from the start."""
        kept = self._state.get(self._key) if self._state is not None and resume else None
        if kept is None or (kept["finished"] and not last):
            return None
        moment = datetime.fromisoformat(kept["moment"])
        return _Begun(kept["cursor"], kept["records"], kept["derived"], bytes.fromhex(kept["trail"]), moment)

    def save(self, place: _Begun, *, finished: bool) -> None:
        """Keep the place. What came before it is on disk already."""
        if self._state is not None:
            kept = {"cursor": place.cursor, "records": place.records, "derived": place.derived, "finished": finished}
            self._state.set(self._key, {**kept, "trail": place.trail.hex(), "moment": place.moment.isoformat()})


def _plan(
    source: Source, location: str, mapping: Mapping[str, str] | None
) -> tuple[dict[str, str], dict[str, str] | None]:
    """The mapping to show, and the one to read by."""
    own = getattr(source, "settings", ())
    fields = {name: column for name, column in (mapping or {}).items() if name not in own}
    known = getattr(source, "maps", None)
    if known is None:
        chosen = guess_mapping(columns_of(source, location), fields)
        return chosen, chosen
    if fields:
        raise InvalidConfig(
            f"the source {source.name!r} knows what its fields mean: {next(iter(fields))!r} cannot be mapped. "
            + (f"It can be told: {', '.join(own)}. " if own else "")
            + "To map columns yourself, name the format: source jsonl, csv or parquet"
        )
    return dict(known), None


def _with_settings(
    location: str, source: Source, mapping: Mapping[str, str] | None, since: datetime | str | None
) -> str:
    """The location with the source's settings after it."""
    own = getattr(source, "settings", ())
    pairs = {name: str(value) for name, value in (mapping or {}).items() if name in own}
    if isinstance(since, datetime) and source.name in _TIMED and "since=" not in location:
        pairs["since"] = since.isoformat()
    words = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())
    return f"{location}{'&' if '?' in location else '?'}{words}" if words else location


def _is_older(record: Mapping[str, Any], oldest: datetime) -> bool:
    try:
        moment = check_moment(record.get("at"), "at")
    except InvalidRecord:
        return False  # it will be told so
    return moment is not None and moment < oldest


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


def _in_zone(record: dict[str, Any], zone: tzinfo) -> None:
    for name in ("at", "sent_at"):
        value = record.get(name)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                continue
        if isinstance(value, datetime) and value.tzinfo is None:
            record[name] = value.replace(tzinfo=zone)
