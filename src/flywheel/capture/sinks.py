"""Ways out: JSON lines, CSV and Parquet files, written all or nothing."""

from __future__ import annotations

import csv
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flywheel.capture.cells import guarded, read_cell, write_cell
from flywheel.capture.sources.files import format_of
from flywheel.errors import InvalidConfig, StoreUnavailable

__all__ = ["Csv", "JsonLines", "Parquet", "sink_for"]

_BATCH = 5000


def sink_for(location: str) -> str:
    """Name the sink for a file by its ending."""
    ending = Path(location).suffix.lower()
    if ending in (".gz", ".bz2", ".xz", ".tsv"):
        raise InvalidConfig(
            f"{location!r} ends in {ending}, but exports are written plain and with commas. Name it .jsonl, .csv or "
            ".parquet, and pack it afterwards"
        )
    return format_of(location)


@contextmanager
def _whole(location: str) -> Iterator[Path]:
    """A file beside the target, which takes its place when all is written and on disk, and vanishes otherwise."""
    target = Path(location)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(target)
    except OSError as problem:
        raise StoreUnavailable(
            f"{location} cannot be written: {problem}. Free some space or check the rights"
        ) from problem
    finally:
        if draft.exists():
            draft.unlink()


@contextmanager
def _spooled(
    rows: Iterable[dict[str, Any]], draft: Path
) -> Iterator[tuple[Callable[[], Iterator[dict[str, Any]]], list[str]]]:
    """Keep the rows on disk while all their columns become known: a table's header comes first, its columns last."""
    spool = draft.with_name(f"{draft.name}.rows")
    columns: dict[str, None] = {}
    try:
        with spool.open("w", encoding="utf-8") as file:
            for row in rows:
                columns.update(dict.fromkeys(row))
                file.write(_line(row))

        def again() -> Iterator[dict[str, Any]]:
            with spool.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)

        yield again, list(columns)
    finally:
        spool.unlink(missing_ok=True)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_iso) + "\n"


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"a {type(value).__name__} cannot be exported; pass JSON values and datetimes")


class JsonLines:
    """The sink `jsonl`: one JSON object a line, nothing lost."""

    name = "jsonl"

    def write(self, rows: Iterable[dict[str, Any]], location: str) -> int:
        """Write the rows, all or nothing; return how many."""
        count = 0
        with _whole(location) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(_line(row))
                count += 1
            file.flush()
        return count


class Csv:
    """The sink `csv`: a comma-separated file with a header, in UTF-8, safe to open in a spreadsheet.

    Cells that would run as a formula get a leading apostrophe; nested values are JSON text.
    """

    name = "csv"

    def write(self, rows: Iterable[dict[str, Any]], location: str) -> int:
        """Write the rows, all or nothing; return how many."""
        count = 0
        with (
            _whole(location) as draft,
            _spooled(rows, draft) as (again, columns),
            draft.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\r\n")  # as RFC 4180 says; quotes both
            writer.writerow([guarded(name) for name in columns])
            for row in again():
                writer.writerow([guarded(write_cell(row.get(name))) for name in columns])
                count += 1
        return count


class Parquet:
    """The sink `parquet`: a column per key; nested values, and columns of mixed kinds, are JSON text."""

    name = "parquet"

    def write(self, rows: Iterable[dict[str, Any]], location: str) -> int:
        """Write the rows, all or nothing; return how many."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        count = 0
        with _whole(location) as draft, _spooled(rows, draft) as (again, columns):
            kinds: dict[str, set[type]] = {name: set() for name in columns}
            for row in again():
                for name, value in row.items():
                    if value is not None:
                        kinds[name].add(type(value))
            arrow = {name: _arrow(found, pa) for name, found in kinds.items()}
            schema = pa.schema([(name, arrow[name]) for name in columns])
            with pq.ParquetWriter(draft, schema) as writer:
                batch: list[dict[str, Any]] = []
                for row in again():
                    batch.append({name: _fit(row.get(name), kinds[name]) for name in columns})
                    count += 1
                    if len(batch) == _BATCH:
                        writer.write_table(pa.Table.from_pylist(batch, schema))
                        batch.clear()
                writer.write_table(pa.Table.from_pylist(batch, schema))
        return count


def _arrow(found: set[type], pa: Any) -> Any:
    if found == {bool}:
        return pa.bool_()
    if found == {int}:
        return pa.int64()
    if found in ({float}, {int, float}):
        return pa.float64()
    return pa.string()


def _fit(value: Any, found: set[type]) -> Any:
    """Text columns that would be read back as JSON are written so that they are not taken for it."""
    if value is None or found in ({bool}, {int}, {float}, {int, float}):
        return value
    if isinstance(value, str) and (
        value[:1] not in ("{", "[", '"') or (isinstance(read_cell(value), str) and value[:1] != '"')
    ):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
