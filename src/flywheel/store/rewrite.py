"""Files of rows (JSON lines, JSON, CSV, Parquet) written anew without what is to go; each whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flywheel.errors import StoreUnavailable
from flywheel.store.terms import SEPARATOR, Terms

__all__ = ["rewrite"]

_ROWS = 5_000
_LONGEST_CELL = 1 << 30

Mend = Callable[[Any], Any]


def rewrite(path: Path, terms: Terms, mend: Mend) -> int | None:
    """Take out of a file the rows that hold any of the terms; say how many, or None for a form that is not known.

    `mend` gets the value of a JSON row first: what it gives back without the terms is kept in the row's place. Other
    rows stay byte for byte in text files, and value for value in Parquet.
    """
    write = _FORMS.get(path.suffix.lower())
    if write is None:
        return None
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        removed = write(path, draft, terms, mend)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.chmod(path.stat().st_mode & 0o777)
        draft.replace(path)
    except (ValueError, csv.Error, pa.ArrowException, UnicodeDecodeError):
        return None  # not what its name says
    except OSError as problem:
        raise StoreUnavailable(
            f"{path} cannot be written anew: {problem}. Free some space or check the rights, then do the same again"
        ) from problem
    finally:
        draft.unlink(missing_ok=True)
    return removed


def _lines(path: Path, draft: Path, terms: Terms, mend: Mend) -> int:
    removed = 0
    with path.open("rb") as old, draft.open("wb") as new:
        for line in old:
            if not terms.within(line):
                new.write(line)
                continue
            removed += 1
            try:
                kept = mend(json.loads(line))
            except ValueError:
                continue
            text = json.dumps(kept, ensure_ascii=False).encode()
            if kept is not None and not terms.within(text):
                new.write(text + b"\n")
    return removed


def _document(path: Path, draft: Path, terms: Terms, mend: Mend) -> int:
    """A JSON list, such as the tasks of a labelling tool; anything else is mended as one."""
    value = json.loads(path.read_bytes())
    if isinstance(value, list):
        kept = [one for one in (_mended(row, terms, mend) for row in value) if one is not None]
        removed = sum(terms.within(json.dumps(row)) for row in value)
        draft.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
        return removed
    found = terms.within(json.dumps(value))
    draft.write_text(json.dumps(mend(value) if found else value, ensure_ascii=False, indent=1), encoding="utf-8")
    return int(found)


def _mended(row: Any, terms: Terms, mend: Mend) -> Any:
    if not terms.within(json.dumps(row)):
        return row
    kept = mend(row)
    return None if kept is None or terms.within(json.dumps(kept)) else kept


def _table(path: Path, draft: Path, terms: Terms, mend: Mend) -> int:
    csv.field_size_limit(_LONGEST_CELL)
    removed = 0
    with path.open(encoding="utf-8", newline="") as old, draft.open("w", encoding="utf-8", newline="") as new:
        writer = csv.writer(new, lineterminator="\r\n")
        for row in csv.reader(old):
            kept = [_cell(cell, terms, mend) for cell in row] if _holds(row, terms) else row
            if _holds(kept, terms):
                removed += 1
            else:
                removed += kept != row
                writer.writerow(kept)
    return removed


def _holds(row: list[Any], terms: Terms) -> bool:
    return terms.within(SEPARATOR.join(str(cell).encode("utf-8", "surrogatepass") for cell in row if cell is not None))


def _cell(cell: Any, terms: Terms, mend: Mend) -> Any:
    if not isinstance(cell, str) or cell[:1] not in ("{", "[") or not terms.within(cell):
        return cell
    try:
        return json.dumps(mend(json.loads(cell)), ensure_ascii=False)
    except ValueError:
        return cell


def _parquet(path: Path, draft: Path, terms: Terms, mend: Mend) -> int:
    removed = 0
    with pq.ParquetFile(path) as old, pq.ParquetWriter(draft, old.schema_arrow) as new:
        for batch in old.iter_batches(_ROWS):
            rows = batch.to_pylist()
            kept = list(_rows(rows, terms, mend))
            changed = sum(before is not after for before, after in zip(rows, kept, strict=True))
            removed += changed
            left = [row for row in kept if row is not None]
            if not changed:
                new.write_batch(batch)
            elif left:
                new.write_batch(pa.RecordBatch.from_pylist(left, batch.schema))
    return removed


def _rows(rows: list[dict[str, Any]], terms: Terms, mend: Mend) -> Iterator[dict[str, Any] | None]:
    for row in rows:
        if not _holds(list(row.values()), terms):
            yield row
            continue
        kept = {name: _cell(value, terms, mend) for name, value in row.items()}
        yield None if _holds(list(kept.values()), terms) else kept


_FORMS: dict[str, Callable[[Path, Path, Terms, Mend], int]] = {
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".log": _lines,
    ".txt": _lines,
    ".json": _document,
    ".csv": _table,
    ".parquet": _parquet,
}
