"""The source `csv`: comma-separated values with a header."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from typing import Any

from flywheel.capture.cells import read_cell, unguarded
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.files import AS_TEXT, LONGEST_LINE, file_at, unreadable
from flywheel.errors import InvalidRecord

__all__ = ["Csv"]


class Csv:
    """The source `csv`: a comma-separated file with a header, in UTF-8. `done` is the share that has been read.

    Cells are read as `flywheel.capture.cells` says; input, ids and comments are always text unless they hold a JSON
    list, object or quoted text.
    """

    name = "csv"

    def __init__(self) -> None:
        self.done = 0.0

    def columns(self, location: str) -> list[str]:
        """The header."""
        with file_at(location).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [unguarded(name) for name in next(csv.reader(file), [])]

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        header = self.columns(location)
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise InvalidRecord(twice, f"{location} has two columns of this name", "Rename one of them in the header")
        chosen = guess_mapping(header) if mapping is None else mapping
        textual = {column for field, column in chosen.items() if field in AS_TEXT}
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
        size = max(1, file_at(location).stat().st_size)
        with file_at(location).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            next(reader, None)
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    break
                except csv.Error as problem:
                    yield unreadable(f"line {reader.line_num}", str(problem))
                    continue
                self.done = min(1.0, os.lseek(file.fileno(), 0, os.SEEK_CUR) / size)
                if not cells:
                    continue
                if len(cells) != len(header):
                    place = f"line {reader.line_num}"
                    yield unreadable(place, f"it has {len(cells)} cells where the header has {len(header)}")
                    continue
                pairs = zip(header, cells, strict=True)
                yield shape({name: _cell(cell, textual=name in textual) for name, cell in pairs}, chosen)


def _cell(cell: str, *, textual: bool) -> Any:
    cell = unguarded(cell)
    value = read_cell(cell)
    return cell if textual and isinstance(value, int | float) else value
