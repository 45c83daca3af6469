"""What runs Ibis expressions over the tables' files: DuckDB inside this process, or a Spark session."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis

from flywheel.errors import InvalidConfig, InvalidRecord, MissingExtra

__all__ = ["Engine", "Pinned", "make_engine"]

_MEMORY = "1GB"  # beyond this DuckDB spills to disk
_REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class Pinned:
    """One version of one Delta table: its columns and its live files, fixed when it was looked up.

    `files` are local paths. Where the table lies in an object store they are empty and `dataset` opens it for reading.
    """

    name: str
    """Tells this version from every other."""
    schema: Any
    """Arrow schema."""
    files: tuple[str, ...]
    dataset: Callable[[], Any] | None = None


class Engine(Protocol):
    """Gives a table's version as an Ibis table."""

    def table(self, pinned: Pinned) -> ibis.Table:
        """The rows of this version; the columns in the table's own order."""
        ...

    def hold(self, table: ibis.Table) -> ibis.Table:
        """The same rows, where many small questions about them are quick; given up with the last use of the answer."""
        ...

    def ask(self, sql: str, tables: Mapping[str, ibis.Table]) -> ibis.Table:
        """What SQL in DuckDB's dialect makes of tables by name."""
        ...

    def close(self) -> None:
        """Give memory and connections back."""
        ...


def make_engine(name: str, spill: Path) -> Engine:
    """`duckdb` or `spark`, as `store.engine` says."""
    if name == "duckdb":
        return _Duck(spill)
    if name == "spark":
        return _Spark()
    raise InvalidConfig(f"store.engine is {name!r}; it takes 'duckdb' or 'spark'")


class _Duck:
    """One DuckDB in memory, a connection a thread: they share its memory limit, never their results."""

    def __init__(self, spill: Path) -> None:
        import duckdb

        self._root = duckdb.connect(":memory:", config={"memory_limit": _MEMORY, "temp_directory": str(spill)})
        self._own = threading.local()
        self._lock = threading.Lock()
        self._held = itertools.count(1)

    def table(self, pinned: Pinned) -> ibis.Table:
        connection = self._connection()
        known = self._own.known
        if pinned.name not in known:
            if len(known) >= _REMEMBERED:
                # A name is forgotten, not its view: expressions that still use the view go on working.
                del known[next(iter(known))]
            known[pinned.name] = self._open(connection, pinned)
        found: ibis.Table = known[pinned.name]
        return found

    def hold(self, table: ibis.Table) -> ibis.Table:
        connection, name = self._connection(), f"held_{next(self._held)}"
        made: ibis.Table = connection.create_table(name, table, temp=True)
        weakref.finalize(made.op(), _give_up, connection, name).atexit = False
        return made

    def ask(self, sql: str, tables: Mapping[str, ibis.Table]) -> ibis.Table:
        return _asked(self._connection(), sql, tables)

    def _connection(self) -> Any:
        if not hasattr(self._own, "connection"):
            with self._lock:
                cursor = self._root.cursor()
            self._own.connection = ibis.duckdb.from_connection(cursor)
            self._own.known = {}
        return self._own.connection

    def _open(self, connection: Any, pinned: Pinned) -> ibis.Table:
        if pinned.dataset is not None:
            connection.con.register(pinned.name, pinned.dataset())
            return _complete(connection.table(pinned.name), pinned)
        if not pinned.files:
            return ibis.memtable(pinned.schema.empty_table())
        return _complete(
            connection.read_parquet(list(pinned.files), table_name=pinned.name, union_by_name=True), pinned
        )

    def close(self) -> None:
        self._root.close()


class _Spark:
    """A Spark session: the one that runs already, or a local one. It reads the live files as plain Parquet."""

    def __init__(self) -> None:
        try:
            from pyspark.sql import SparkSession
        except ModuleNotFoundError as missing:
            raise MissingExtra(
                "store.engine is 'spark', and pyspark is not installed. Run: pip install 'dataflywheel[spark]'"
            ) from missing
        builder = SparkSession.builder.appName("flywheel").config("spark.sql.session.timeZone", "UTC")
        self._session = builder.getOrCreate()
        self._connection = ibis.pyspark.connect(self._session)
        self._known: dict[str, ibis.Table] = {}

    def table(self, pinned: Pinned) -> ibis.Table:
        if pinned.name not in self._known:
            if pinned.dataset is not None:
                raise InvalidConfig(
                    "store.engine 'spark' does not read tables in an object store. Use a folder that all workers see"
                )
            self._known[pinned.name] = self._open(pinned)
        return self._known[pinned.name]

    def _open(self, pinned: Pinned) -> ibis.Table:
        if not pinned.files:
            return ibis.memtable(pinned.schema.empty_table())
        frame = self._session.read.option("mergeSchema", "true").parquet(*pinned.files)
        frame.createOrReplaceTempView(pinned.name)
        return _complete(self._connection.table(pinned.name), pinned)

    def hold(self, table: ibis.Table) -> ibis.Table:
        return table  # a session has its own ways of keeping what is read again

    def ask(self, sql: str, tables: Mapping[str, ibis.Table]) -> ibis.Table:
        return _asked(self._connection, sql, tables)

    def close(self) -> None:
        self._known.clear()


def _give_up(connection: Any, name: str) -> None:
    """Drop a table that was held; where the engine was closed before, it is gone already."""
    from duckdb import Error

    with suppress(Error):
        connection.drop_table(name, force=True)


def _complete(found: ibis.Table, pinned: Pinned) -> ibis.Table:
    """Every column of the schema, in its order: a column may be in no live file."""
    types = ibis.Schema.from_pyarrow(pinned.schema)
    if tuple(found.columns) == tuple(types):
        return found  # nothing to add: a selection of every column would be part of each question
    there = set(found.columns)
    return found.select(**{name: found[name] if name in there else ibis.null(kind) for name, kind in types.items()})


def _asked(connection: Any, sql: str, tables: Mapping[str, ibis.Table]) -> ibis.Table:
    from duckdb import Error
    from sqlglot.errors import SqlglotError

    for name, table in tables.items():
        connection.create_view(name, table, overwrite=True)
    try:
        found: ibis.Table = connection.sql(sql, dialect="duckdb")
    except (Error, SqlglotError, ibis.common.exceptions.IbisError) as problem:
        raise InvalidRecord(
            "sql",
            f"it cannot be run ({str(problem).splitlines()[0][:300]})",
            "Query the tables interactions and feedback; their columns are in docs/architecture.md",
        ) from problem
    return found
