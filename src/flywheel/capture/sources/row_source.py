"""Exports of other tools: files of rows whose meaning is known, one file, a folder of them or a pattern.

What the formats have in common is here; what a row means is in a file for each tool.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

from flywheel.capture.genai_messages import parsed
from flywheel.capture.sources.delimited import DelimitedRows
from flywheel.capture.sources.files import file_at, first_bytes, format_of, unreadable
from flywheel.capture.sources.jsonl import JsonRows
from flywheel.capture.sources.parquet import ParquetRows
from flywheel.capture.sources.places import place_of
from flywheel.errors import FlywheelError, InvalidConfig, NotFound

__all__ = ["RowSource", "files_at", "first_rows", "listed", "rows_of", "said", "utc"]

_PEEK = 50
Rows = JsonRows | DelimitedRows | ParquetRows


def rows_of(path: Path) -> Rows:
    """The rows of a file by what it holds: Parquet, JSON, or a table as text."""
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return ParquetRows(path)
    try:
        kind = format_of(path.name)
    except InvalidConfig:
        head = first_bytes(path, 4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        if head[:1] not in (b"{", b"["):
            raise
        kind = "jsonl"
    return DelimitedRows(path) if kind == "csv" else ParquetRows(path) if kind == "parquet" else JsonRows(path)


def first_rows(path: Path, count: int = _PEEK) -> list[dict[str, Any]]:
    """The first rows that can be read, at most so many."""
    return [row for _, row in islice(rows_of(path).read(), count) if isinstance(row, dict)]


def files_at(location: str) -> list[Path]:
    """The files at a location: itself, those in a folder (and its folders) with a known ending, or of a pattern."""
    path = Path(location).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [one for one in path.rglob("*") if one.is_file() and _known(one) and not _hidden(one, path)]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]
    if not found:
        if not path.is_dir():
            file_at(location)
        raise NotFound(f"there are no JSON, CSV or Parquet files in {location!r}. Check the folder")
    return sorted(found)


def _known(path: Path) -> bool:
    try:
        format_of(path.name)
    except InvalidConfig:
        return False
    return True


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def said(row: Mapping[str, Any], *names: str) -> Any:
    """What a row says under the first of these names: JSON text read, an empty cell and NaN taken for nothing."""
    for name in names:
        value = row.get(name)
        if value is None or value == "" or (isinstance(value, float) and value != value):
            continue
        return parsed(value)
    return None


def listed(row: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    """The objects of the first list that a row has under these names."""
    for name in names:
        value = said(row, name)
        if isinstance(value, list):
            return [one for one in value if isinstance(one, dict)]
    return []


def utc(value: Any) -> Any:
    """A time that was written without an offset, in UTC; anything else as it is."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


class RowSource:
    """A source of files whose rows have a known form. A tool's source says what a row is about.

    `done` is the share that has been read, `passed` how many rows were no interaction and no feedback. `cursor` is
    where the last row ended whose drafts have all been yielded; `read(…, after=cursor)` goes on there.
    """

    name: ClassVar[str]
    settings: ClassVar[tuple[str, ...]] = ()
    """What can be set, after the location (`?spans=all`) or in the mapping."""
    maps: ClassVar[dict[str, str]] = {}
    """Field → where it is taken from, for people."""
    joins: ClassVar[bool] = False
    """Do later rows need to know of earlier ones? Then these are read again when an import goes on."""

    def __init__(self) -> None:
        self.done = 0.0
        self.passed = 0
        self._at = _At()
        self._holds: Literal["", "new", "on"] = ""
        """Is the row held back for rows to come: is it the first that is, or are there others before it?"""

    @property
    def cursor(self) -> str | None:
        """Where reading can go on; None before the first row."""
        return self._at.marked()

    def begin(self, settings: Mapping[str, str], ranks: Sequence[int]) -> None:
        """Get ready to read from the start; `ranks` are those of the files, in the order in which they come."""

    def rank(self, rows: list[dict[str, Any]]) -> int | None:
        """Of several files: which to read first (the lowest); None for a file that is of no interest."""
        return 0

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield the drafts of a row."""
        raise NotImplementedError

    def end(self) -> Iterator[dict[str, Any]]:
        """Yield what was held back for rows to come, at the end."""
        return iter(())

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the drafts in order. The mapping may hold the source's settings; its fields are known."""
        place = place_of(location, (self.name,), self.settings)
        ranked = self._ordered(files_at(place.path))
        self.done, self.passed, self._holds = 0.0, 0, ""
        self.begin({**place.settings, **self._own(mapping)}, [rank for rank, _ in ranked])
        stand = _cursor(after)
        self._at = safe = behind = stand
        whole = max(1, sum(path.stat().st_size for _, path in ranked))
        before = 0
        finished: tuple[str, ...] = ()
        for _, path in ranked:
            size, mark = path.stat().st_size, _mark(path)
            known = _ALL if mark in stand.finished else stand.rows if mark == stand.file else 0
            if known != _ALL or self.joins:
                reader = rows_of(path)
                seeks = 0 < known < _ALL and not self.joins
                number = known if seeks else 0
                for where, row in reader.read(stand.inner if seeks else None):
                    number += 1
                    self.done = min(1.0, (before + reader.done * size) / whole)
                    found = self._made(row, where if len(ranked) == 1 else f"{path.name} {where}")
                    if number <= known and not seeks:
                        continue
                    here = _At(finished, mark, reader.cursor, number)
                    end = {"": here, "new": behind, "on": safe}[self._holds]
                    for count, draft in enumerate(found, 1):
                        self._at = end if count == len(found) else safe
                        yield draft
                    safe, behind = end, here
            before += size
            finished = (*finished, mark)
            behind = _At(finished)
            safe = safe if self._holds else behind
        self.done = 1.0
        yield from self.end()
        self._at = _At(finished)

    def _made(self, row: Any, place: str) -> list[dict[str, Any]]:
        if not isinstance(row, dict):
            return [unreadable(place, str(row))]
        try:
            return list(self.drafts(row, place))
        except RecursionError:
            return [unreadable(place, "it is nested too deep")]

    def _own(self, mapping: Mapping[str, str] | None) -> dict[str, str]:
        for name in mapping or ():
            if name not in self.settings:
                can = f"It can be told {', '.join(self.settings)}" if self.settings else "Leave the mapping out"
                raise InvalidConfig(
                    f"the source {self.name!r} knows what its fields mean, and {name!r} is not to be set. {can}; to "
                    "map columns yourself, name the format: source jsonl, csv or parquet"
                )
        return dict(mapping or {})

    def _ordered(self, paths: list[Path]) -> list[tuple[int, Path]]:
        ranked = []
        for path in paths:
            try:
                rank = self.rank(first_rows(path))
            except FlywheelError:
                if len(paths) == 1:
                    raise
                rank = None
            if rank is not None or len(paths) == 1:
                ranked.append((rank or 0, path))
        if not ranked:
            raise InvalidConfig(f"none of the {len(paths)} files holds what the source {self.name!r} reads")
        return sorted(ranked)


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a list of files: those behind it, the one it is in, and how far."""

    finished: tuple[str, ...] = ()
    file: str | None = None
    inner: str | None = None
    rows: int = 0

    def marked(self) -> str | None:
        if not self.finished and self.file is None:
            return None
        return json.dumps({"finished": self.finished, "file": self.file, "inner": self.inner, "rows": self.rows})


_ALL = 2**62


def _mark(path: Path) -> str:
    return hashlib.blake2b(str(path.resolve()).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _cursor(cursor: str | None) -> _At:
    if cursor is None:
        return _At()
    try:
        place = json.loads(cursor)
        return _At(tuple(map(str, place["finished"])), place["file"], place["inner"], int(place["rows"]))
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of this source. Leave it out to read from the start"
        ) from problem
