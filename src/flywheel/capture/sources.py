"""Ways in: JSON lines, CSV and Parquet files.

A row that cannot be read is yielded as `unreadable`, so that the rest can go on.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from flywheel.capture.cells import read_cell, unguarded
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.errors import InvalidConfig, InvalidRecord, NotFound

__all__ = ["Csv", "JsonLines", "Parquet", "source_for"]

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_PEEK = 100
_LONGEST_LINE = 64 * 1024 * 1024
_AS_TEXT = ("input", "error", "comment", "report", "id", "interaction_id", "user", "session", "model", "by")


def source_for(location: str) -> str:
    """Name the source (and the sink) for a file by its ending."""
    ending = Path(location).suffix.lower()
    if ending not in ENDINGS:
        raise InvalidConfig(f"{location!r} does not end in one of {', '.join(ENDINGS)}: say which format it has")
    return ENDINGS[ending]


def unreadable(place: str, problem: str) -> dict[str, Any]:
    """What stands for a row that could not be read."""
    return {"kind": "unreadable", "place": place, "problem": problem}


def _file(location: str) -> Path:
    path = Path(location)
    if not path.is_file():
        raise NotFound(f"there is no file {location!r}. Check the path; a folder or a pattern is not taken")
    return path


class JsonLines:
    """The source `jsonl`: one JSON object a line. `done` is the share of the file that has been read."""

    name = "jsonl"

    def __init__(self) -> None:
        self.done = 0.0

    def columns(self, location: str) -> list[str]:
        """The keys of the first hundred objects."""
        found: dict[str, None] = {}
        for _, row in islice(self._rows(_file(location)), _PEEK):
            if isinstance(row, dict):
                found.update(dict.fromkeys(row))
        return list(found)

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        path = _file(location)
        chosen = guess_mapping(self.columns(location)) if mapping is None else mapping
        for place, row in self._rows(path):
            if isinstance(row, dict):
                yield shape(row, chosen)
            else:
                yield unreadable(place, str(row))

    def _rows(self, path: Path) -> Iterator[tuple[str, Any]]:
        size = max(1, path.stat().st_size)
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                self.done = min(1.0, file.tell() / size)
                if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield f"line {number}", f"the line is longer than {_LONGEST_LINE:,} bytes"
                elif line.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield f"line {number}", _parse(line)


def _parse(line: bytes) -> Any:
    """A dict, or what is wrong with the line; never the line itself, which may hold anything."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        return f"byte {problem.start + 1} is not UTF-8"
    except RecursionError:
        return "it is nested too deep"
    except ValueError as problem:
        return f"it is not JSON: {problem.args[0]}"
    return row if isinstance(row, dict) else f"it is a JSON {type(row).__name__}, not an object"


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
        with _file(location).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [unguarded(name) for name in next(csv.reader(file), [])]

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        header = self.columns(location)
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise InvalidRecord(twice, f"{location} has two columns of this name", "Rename one of them in the header")
        chosen = guess_mapping(header) if mapping is None else mapping
        textual = {column for field, column in chosen.items() if field in _AS_TEXT}
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
        size = max(1, _file(location).stat().st_size)
        with _file(location).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
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


class Parquet:
    """The source `parquet`: a Parquet file, read in batches. `done` is the share of rows that has been read.

    NaN in a column of numbers is how pandas writes a missing value, and is taken for one.
    """

    name = "parquet"

    def __init__(self) -> None:
        self.done = 0.0

    def columns(self, location: str) -> list[str]:
        """The names in the schema."""
        import pyarrow.parquet as pq

        return [str(name) for name in pq.read_schema(_file(location)).names]

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        import pyarrow.parquet as pq

        chosen = guess_mapping(self.columns(location)) if mapping is None else mapping
        with pq.ParquetFile(_file(location)) as file:
            rows = max(1, file.metadata.num_rows)
            seen = 0
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    seen += 1
                    self.done = seen / rows
                    yield shape({name: _value(value) for name, value in row.items()}, chosen)


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str):
        return read_cell(value) if value[:1] in ("{", "[", '"') else value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value
