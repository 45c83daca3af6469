"""Parquet files, read in batches."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from flywheel.capture.cells import read_cell
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.files import file_at
from flywheel.errors import InvalidConfig

__all__ = ["Parquet", "ParquetRows"]

_BATCH = 1000


class ParquetRows:
    """The rows of a Parquet file as `(place, {column: value})`; nothing of it is more than a batch in memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        try:
            with pq.ParquetFile(path) as file:
                self.header = [str(name) for name in file.schema_arrow.names]
                self._count = int(file.metadata.num_rows)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
            raise InvalidConfig(
                f"{path.name} cannot be read as Parquet: {problem}. Check that it was written to its end"
            ) from problem
        self._seen = 0

    @property
    def done(self) -> float:
        """The share of rows that has been read."""
        return float(self._seen / max(1, self._count))

    @property
    def cursor(self) -> str | None:
        """Which row was the last."""
        return json.dumps({"row": self._seen, "rows": self._count}) if self._seen else None

    def read(self, after: str | None = None) -> Iterator[tuple[str, Any]]:
        """Yield the rows, or those after a cursor; whole groups of rows before it are not read."""
        import pyarrow.parquet as pq

        begin = _row(after, self._count)
        with pq.ParquetFile(self._path) as file:
            groups: list[int] = []
            before = 0
            for number in range(file.num_row_groups):
                size = file.metadata.row_group(number).num_rows
                if before + size <= begin and not groups:
                    before += size
                else:
                    groups.append(number)
            self._seen = before
            for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups):
                for row in batch.to_pylist():
                    self._seen += 1
                    if self._seen > begin:
                        yield f"row {self._seen}", {str(name): _value(value) for name, value in row.items()}


def _row(cursor: str | None, count: int) -> int:
    if cursor is None:
        return 0
    try:
        place = json.loads(cursor)
        return int(place["row"]) if place["rows"] == count else 0
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of a Parquet file. Leave it out to read from the start"
        ) from problem


class Parquet:
    """The source `parquet`: a Parquet file, read in batches.

    NaN in a column of numbers is how pandas writes a missing value, and is taken for one.

    `done` is the share of rows that has been read. `cursor` is the last row; `read(…, after=cursor)` goes on, unless
    the file has been written anew with another number of rows.
    """

    name = "parquet"

    def __init__(self) -> None:
        self._rows: ParquetRows | None = None

    @property
    def done(self) -> float:
        """The share of rows that has been read."""
        return self._rows.done if self._rows else 0.0

    @property
    def cursor(self) -> str | None:
        """The last row; None before the first."""
        return self._rows.cursor if self._rows else None

    def columns(self, location: str) -> list[str]:
        """The names in the schema."""
        return ParquetRows(file_at(location)).header

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        self._rows = rows = ParquetRows(file_at(location))
        chosen = guess_mapping(rows.header) if mapping is None else mapping
        for _, row in rows.read(after):
            yield shape({name: _cell(value) for name, value in row.items()}, chosen)


def _cell(value: Any) -> Any:
    """Text that holds a JSON list, object or text is read as such."""
    return read_cell(value) if isinstance(value, str) and value[:1] in ("{", "[", '"') else value


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value
