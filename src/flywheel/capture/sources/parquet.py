"""The source `parquet`: a Parquet file, read in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from flywheel.capture.cells import read_cell
from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.files import file_at

__all__ = ["Parquet"]


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

        return [str(name) for name in pq.read_schema(file_at(location)).names]

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        import pyarrow.parquet as pq

        chosen = guess_mapping(self.columns(location)) if mapping is None else mapping
        with pq.ParquetFile(file_at(location)) as file:
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
