"""Tables as text: values with a comma, semicolon, tab or bar between them, under a header."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from flywheel.capture.cells import read_cell, unguarded
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.files import AS_TEXT, LONGEST_LINE, LineFile, file_at, first_bytes, unreadable
from flywheel.errors import InvalidConfig, InvalidRecord

__all__ = ["Csv", "DelimitedRows"]

_DELIMITERS = ",;\t|"
_PEEK = 1 << 16


class DelimitedRows:
    """The rows of such a file as `(place, {column: cell})`, or `(place, problem)` for one that does not fit the header.

    Cells are text, as they stand in the file but for the guard against formulas.
    """

    def __init__(self, path: Path) -> None:
        head = first_bytes(path, _PEEK)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InvalidConfig(
                f"{path.name} is in UTF-16. Save it as UTF-8, or turn it over: iconv -f UTF-16 -t UTF-8"
            )
        self._old_mac = b"\r" in head and b"\n" not in head
        self._lines = LineFile(path)
        self.delimiter = _delimiter(head.decode("utf-8-sig", "surrogateescape"))
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
        try:
            header = next(csv.reader(self._texts(None), delimiter=self.delimiter), [])
        except csv.Error as problem:
            raise InvalidRecord(
                "header",
                f"the first row of {path} is no row of a table: {problem}",
                "Save it with one kind of line end",
            ) from problem
        self.header = [unguarded(name) for name in header]
        if len(set(self.header)) < len(self.header):
            twice = next(name for name in self.header if self.header.count(name) > 1)
            raise InvalidRecord(twice, f"{path} has two columns of this name", "Rename one of them in the header")

    @property
    def done(self) -> float:
        """The share that has been read."""
        return self._lines.done

    @property
    def cursor(self) -> str | None:
        """Where the last row ended."""
        return None if self._old_mac else self._lines.cursor

    def read(self, after: str | None = None) -> Iterator[tuple[str, Any]]:
        """Yield the rows, or those after a cursor."""
        texts = self._texts(after)
        first = next(texts, None)
        begun = self._lines.resumed
        reader = csv.reader(_with(first, texts), delimiter=self.delimiter)
        if not begun:
            next(reader, None)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                yield f"line {self._number}", str(problem)
                continue
            if self._broken:
                yield f"line {self._number}", self._broken
                return
            if not cells:
                continue
            if len(cells) != len(self.header):
                yield f"line {self._number}", f"it has {len(cells)} cells where the header has {len(self.header)}"
                continue
            yield f"line {self._number}", dict(zip(self.header, map(unguarded, cells), strict=True))

    def _texts(self, after: str | None) -> Iterator[str]:
        self._number = 0
        self._broken: str | None = None
        for line in self._lines.lines(after):
            self._number = line.number
            if line.problem is not None:
                self._broken = line.problem
                yield "\n"
                return
            text = line.bytes.decode("utf-8-sig" if line.number == 1 else "utf-8", "surrogateescape")
            if self._old_mac:
                yield from text.splitlines(keepends=True)
            else:
                yield text


def _with(first: str | None, rest: Iterator[str]) -> Iterator[str]:
    if first is not None:
        yield first
        yield from rest


def _delimiter(head: str) -> str:
    """The sign that parts most cells, in the same number in most of the first rows."""
    best, most = ",", (0, 0)
    lines = head.splitlines(keepends=True)
    if len(head) >= _PEEK:
        lines = lines[:-1] or lines
    for sign in _DELIMITERS:
        try:
            widths = [len(cells) for cells in islice(csv.reader(lines, delimiter=sign), 50) if cells]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            fitting = Counter(widths)[widths[0]]
            if (fitting * 10 >= 8 * len(widths), widths[0]) > most:
                best, most = sign, (fitting * 10 >= 8 * len(widths), widths[0])
    return best


class Csv:
    """The source `csv`: a table as text with a header, in UTF-8; also packed (`.gz`, `.bz2`, `.xz`).

    What is between the cells (comma, semicolon, tab or bar) is guessed from the first rows. Cells are read as
    `flywheel.capture.cells` says; input, ids and comments are always text unless they hold a JSON list, object or
    quoted text.

    `done` is the share that has been read. `cursor` is where the last row ended; `read(…, after=cursor)` goes on, also
    in a file that has grown.
    """

    name = "csv"

    def __init__(self) -> None:
        self._rows: DelimitedRows | None = None

    @property
    def done(self) -> float:
        """The share that has been read."""
        return self._rows.done if self._rows else 0.0

    @property
    def cursor(self) -> str | None:
        """Where the last row ended; None before the first."""
        return self._rows.cursor if self._rows else None

    def columns(self, location: str) -> list[str]:
        """The header."""
        return list(DelimitedRows(file_at(location)).header)

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        self._rows = rows = DelimitedRows(file_at(location))
        chosen = guess_mapping(rows.header) if mapping is None else mapping
        textual = {column for field, column in chosen.items() if field in AS_TEXT}
        for place, row in rows.read(after):
            if isinstance(row, dict):
                cells = {name: _cell(cell, textual=name in textual) for name, cell in row.items()}
                yield shape(cells, chosen)
            else:
                yield unreadable(place, str(row))


def _cell(cell: str, *, textual: bool) -> Any:
    value = read_cell(cell)
    return cell if textual and isinstance(value, int | float) else value
