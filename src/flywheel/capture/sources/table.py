"""A table of any database that Ibis reads, or of Parquet or Delta files, in the order of a key."""

from __future__ import annotations

import glob
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flywheel.capture.mapping import guess_mapping
from flywheel.capture.sources.documents import json_value, record_of
from flywheel.capture.sources.places import Place, place_of, without_secrets
from flywheel.errors import FlywheelError, InvalidConfig, MissingExtra, NotFound, StoreBusy, StoreUnavailable

__all__ = ["Table"]

_SETTINGS = ("table", "key", "schema", "size")
_KEYS = (
    "id",
    "interaction_id",
    "request_id",
    "event_id",
    "uuid",
    "at",
    "timestamp",
    "created_at",
    "event_time",
    "ts",
    "time",
)
_STREAMING = ("duckdb", "postgres")
"""Backends whose batches come as they are read; of others, pages are asked for one by one."""


class Table:
    """The source `table`: `table:duckdb:///path.db?table=t`, `table:sqlite:///…`, `table:postgresql://…`,
    `table:parquet:folder/*.parquet`, `table:delta:folder`, and any other URL that `ibis.connect` takes.

    Settings: `table` (and `schema`) names it; `key` is the column whose order rows are read in, by default `id`, a
    time, or the first column that can be sorted: a reading which was cut off goes on after the last one. An index on it
    helps. `size` rows a batch (5,000). The password of a database may stand in the URL or
    come from where its driver finds it (`PGPASSWORD`); it is in no error, cursor or record.

    Never more than some batches are in memory. Files are opened for reading only.

    `done` is the share of rows that has been read. `cursor` is the last key; `read(…, after=cursor)` goes on with it.
    """

    name = "table"

    def __init__(self) -> None:
        self.done = 0.0
        self.cursor: str | None = None

    def columns(self, location: str) -> list[str]:
        """The table's columns."""
        with _opened(self._place(location)) as table:
            return [str(name) for name in table.columns]

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield a record for each row: by the key, those without one last."""
        place = self._place(location)
        self.done, self.cursor = 0.0, after
        size = place.number("size", 5_000, 1, 100_000)
        with _opened(place) as table:
            chosen = guess_mapping(table.columns) if mapping is None else mapping
            key = _key(place, table)
            numbered = _said(place, lambda: int(table.count().execute()))
            last, begun = _cursor(after)
            seen = 0
            column = table[key]
            parts = [table.filter(column.isnull())]
            if not begun or last is not None:
                with_key = table.filter(column.notnull())
                if last is not None:
                    limit = _from(table, column, last)
                    seen = _said(place, lambda: int(table.filter(column < limit).count().execute()))
                    with_key = with_key.filter(column >= limit)
                parts.insert(0, with_key)
            for part in parts:
                for row in _rows(place, part, key, size):
                    seen += 1
                    self.done = min(0.999, seen / max(1, numbered))
                    self.cursor = _marked(row[key])
                    yield record_of({name: json_value(value) for name, value in row.items()}, chosen)
        self.done = 1.0

    def _place(self, location: str) -> Place:
        return place_of(location, (self.name,), _SETTINGS, keep_others=True)


def _rows(place: Place, part: Any, key: str, size: int) -> Iterator[dict[str, Any]]:
    """The rows of an expression in the order of the key; equal keys in the order of the other columns."""
    schema = part.schema()
    others = [name for name, kind in schema.items() if name != key and _sortable(kind)]
    ordered = part.order_by([part[key], *(part[name] for name in others)])
    if part.get_backend().name in _STREAMING:
        batches = _said(place, lambda: ordered.to_pyarrow_batches(chunk_size=size))
        while (batch := _said(place, lambda: next(batches, None))) is not None:
            yield from batch.to_pylist()
        return
    by_key = schema[key].is_numeric() or schema[key].is_string()
    rest, last, again = ordered, None, 0
    while True:
        batches = _said(place, rest.limit(size, offset=again).to_pyarrow_batches)
        page = [row for batch in batches for row in batch.to_pylist()]
        yield from page
        if len(page) < size:
            return
        again += len(page)
        if by_key and page[-1][key] is not None:  # go on behind the last key, so that an index is of use
            same = sum(row[key] == page[-1][key] for row in page)
            again = same if page[-1][key] != last else again
            last = page[-1][key]
            rest = ordered.filter(ordered[key] >= _literal(last, schema[key]))


def _from(table: Any, column: Any, last: Any) -> Any:
    """Where to go on. Where times are texts (SQLite) their forms differ, so reading begins a day before."""
    kind = column.type()
    if kind.is_timestamp() and table.get_backend().name not in _STREAMING:
        last = (datetime.fromisoformat(last) - timedelta(days=1)).isoformat()
    return _literal(last, kind)


def _sortable(kind: Any) -> bool:
    return bool(kind.is_numeric() or kind.is_string() or kind.is_temporal() or kind.is_boolean() or kind.is_uuid())


def _key(place: Place, table: Any) -> str:
    wanted = place.settings.get("key")
    if wanted is not None:
        if wanted not in table.columns:
            raise InvalidConfig(f"there is no column {wanted!r} to be the key. There are: {', '.join(table.columns)}")
        return str(wanted)
    kinds = table.schema()
    sortable = [name for name in table.columns if _sortable(kinds[name])]
    if not sortable:
        raise InvalidConfig(
            f"no column of {place.shown} can be sorted by, so that reading could go on. Read a view of it"
        )
    plain = {name.lower(): name for name in reversed(sortable)}
    return str(next((plain[name] for name in _KEYS if name in plain), sortable[0]))


@contextmanager
def _opened(place: Place) -> Iterator[Any]:
    """The table as an Ibis expression; its connection is closed at the end."""
    connection, table = _said(place, lambda: _connected(place))
    try:
        yield table
    finally:
        connection.disconnect()


def _connected(place: Place) -> tuple[Any, Any]:
    import ibis

    kind, _, rest = _with_kind(place.path).partition(":")
    if kind in ("parquet", "delta"):
        connection = ibis.duckdb.connect()
        files = _parquet_files(rest) if kind == "parquet" else _delta_files(rest)
        return connection, connection.read_parquet(files, union_by_name=True)
    if not rest.startswith("//"):
        raise InvalidConfig(
            f"{place.shown!r} is not the URL of a table. Write it as duckdb:///path.db?table=t, "
            "sqlite:///path.db?table=t, postgresql://user@host/database?table=t, parquet:folder/*.parquet or "
            "delta:folder"
        )
    name = place.settings.get("table")
    if name is None:
        raise InvalidConfig(f"{place.shown} holds more than one table, maybe. Name it: ?table=NAME")
    if kind in ("duckdb", "sqlite"):
        path = _database_file(rest)
        if kind == "duckdb":
            connection = ibis.duckdb.connect(path, read_only=True)
        else:
            uri = f"{path.resolve().as_uri()}?mode=ro"
            connection = ibis.sqlite.from_connection(sqlite3.connect(uri, uri=True))
    else:
        connection = ibis.connect(place.path)
    schema = place.settings.get("schema")
    known = connection.list_tables(database=schema) if schema else connection.list_tables()
    if name not in known:
        connection.disconnect()
        raise NotFound(
            f"there is no table {name!r} in {place.shown}. There are: {', '.join(sorted(known)[:20]) or 'none'}"
        )
    return connection, connection.table(name, database=schema) if schema else connection.table(name)


def _with_kind(path: str) -> str:
    """A folder that is a Delta table, and a file that ends in `.parquet`, need not say so."""
    if (Path(path) / "_delta_log").is_dir():
        return f"delta:{path}"
    return f"parquet:{path}" if path.endswith(".parquet") and ":" not in path else path


def _database_file(rest: str) -> Path:
    """`///path` is an absolute path, or a relative one where there is no such file, as people write both."""
    path = Path(rest.removeprefix("//").partition("?")[0])
    for candidate in (path, Path(str(path).lstrip("/"))):
        if candidate.is_file():
            return candidate
    raise NotFound(f"there is no file {str(path)!r}. Check the path behind the slashes")


def _parquet_files(pattern: str) -> list[str]:
    path = Path(pattern)
    files = (
        sorted(str(one) for one in path.rglob("*.parquet"))
        if path.is_dir()
        else sorted(glob.glob(pattern, recursive=True))
    )
    if not files:
        raise NotFound(
            f"there is no Parquet file at {pattern!r}. Give a file, a folder or a pattern such as logs/*.parquet"
        )
    return files


def _delta_files(folder: str) -> list[str]:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(folder)
    except TableNotFoundError as problem:
        raise NotFound(f"there is no Delta table in {folder!r}. Check the path") from problem
    return list(table.file_uris())


def _said(place: Place, call: Callable[[], Any]) -> Any:
    """Ask the database. Drivers are many, and what they say may hold the password: it is told without."""
    try:
        return call()
    except FlywheelError:
        raise
    except ImportError:
        kind = place.path.partition(":")[0]
        raise MissingExtra(
            f"{place.shown} needs a driver that is not installed. Run: pip install 'ibis-framework[{kind}]'"
        ) from None
    except Exception as problem:  # each driver has errors of its own, known by name only (PEP 249)
        told = f"{type(problem).__name__}: {_without_password(str(problem), place.path)}"
        kinds = {kind.__name__ for kind in type(problem).__mro__}
        if "lock" in told.lower() and "OperationalError" in kinds:
            raise StoreBusy(f"{place.shown} is held by another process. Try again when it is done: {told}") from None
        if kinds & {"OperationalError", "InterfaceError", "OSError"}:
            raise StoreUnavailable(f"{place.shown} did not answer: {told}") from None
        raise InvalidConfig(f"{place.shown} cannot be read: {told}") from None


def _without_password(text: str, url: str) -> str:
    text = without_secrets(text)
    userinfo = url.partition("//")[2].rpartition("@")[0]
    password = userinfo.partition(":")[2]
    for secret in {password, unquote(password)} - {""}:
        text = text.replace(secret, "…")
    return text.strip().split("\n", 1)[0][:500]


def _literal(value: Any, kind: Any) -> Any:
    import ibis

    return ibis.literal(value, type=kind)


def _marked(key: Any) -> str:
    if isinstance(key, datetime | date):
        key = key.isoformat()
    elif key is not None and not isinstance(key, str | int | float | bool):
        key = str(key)
    return json.dumps({"key": key})


def _cursor(cursor: str | None) -> tuple[Any, bool]:
    """The last key, and whether there was a reading before this one."""
    if cursor is None:
        return None, False
    try:
        return json.loads(cursor)["key"], True
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of a table. Leave it out to read from the start"
        ) from problem
