"""The database under the log and the state: SQLite in the folder, or PostgreSQL by URL, through the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from flywheel.errors import CorruptStore, InvalidConfig, MissingExtra, StoreBusy, StoreUnavailable

__all__ = ["Database", "open_database"]

_BUSY_SECONDS = 30
_WRITE = "flywheel_write"
_OUTSIDE = "flywheel_outside"
_PRAGMAS = (
    "PRAGMA busy_timeout=30000",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # NORMAL would lose acknowledged records when the power goes
    "PRAGMA secure_delete=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA journal_size_limit=67108864",
)


class Database:
    """Transactions on one database. `read()` and `write()` give a connection and speak Flywheel's errors.

    A write holds the database's one write lock on SQLite from its first statement (`BEGIN IMMEDIATE`), so that what it
    read is still true when it writes; on PostgreSQL the rows it must not race for are locked with `FOR UPDATE`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(**{_WRITE: True})

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent reading transaction."""
        with _translated(self.engine), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One writing transaction: on stable storage when the block has ended, undone when it raised."""
        with _translated(self.engine), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def outside(self) -> Iterator[Callable[[sa.TextClause], list[Any]]]:
        """A way to run what cannot be inside a transaction (VACUUM and the like), on a connection of its own."""
        options: dict[str, Any] = {_OUTSIDE: True} if self.kind == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        with _translated(self.engine), self.engine.connect().execution_options(**options) as connection:

            def run(statement: sa.TextClause) -> list[Any]:
                result = connection.execute(statement)
                return list(result.all()) if result.returns_rows else []

            yield run

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def open_database(url: str, folder: Path) -> Database:
    """Connect to `url`, or to SQLite at `folder/flywheel.db` when it is empty."""
    if not url:
        return Database(_sqlite(folder / "flywheel.db"))
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError) as problem:
        raise InvalidConfig(
            "store.url is not a database URL. Write postgresql://user@host:5432/name, or leave it empty for SQLite"
        ) from problem
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return Database(_postgresql(parsed.set(drivername="postgresql+psycopg")))
    raise InvalidConfig(
        f"store.url starts with {parsed.drivername!r}, which Flywheel does not speak. "
        "Write postgresql://user@host:5432/name, or leave it empty for SQLite in the folder"
    )


def _sqlite(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; the driver would say it too late
        for statement in _PRAGMAS:
            connection.execute(statement).close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(_OUTSIDE, False):
            return
        writes = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    try:
        engine = sa.create_engine(url, connect_args={"connect_timeout": 10}, pool_pre_ping=True)
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            f"PostgreSQL needs the package {missing.name!r}. Run: pip install 'dataflywheel[postgres]'"
        ) from missing

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # An acknowledged record is on stable storage whatever the server's default says.
        autocommit, connection.autocommit = connection.autocommit, True
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET timezone = 'UTC'")
        connection.autocommit = autocommit

    return engine


@contextmanager
def _translated(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except exc.TimeoutError as problem:
        raise StoreBusy("every connection to the database is in use. Try again, or use fewer threads") from problem
    except exc.DBAPIError as problem:
        said = str(problem.orig).strip()
        place = engine.url.render_as_string(hide_password=True)
        if "locked" in said or "busy" in said:
            raise StoreBusy(
                f"the database {place} was locked by another process for {_BUSY_SECONDS} s ({said}). Try again"
            ) from problem
        if "malformed" in said or "not a database" in said:
            raise CorruptStore(
                f"the database {place} is damaged ({said}). Restore it from a backup, or mend it with: sqlite3 .recover"
            ) from problem
        if engine.dialect.name == "sqlite" and isinstance(problem, exc.OperationalError):
            raise StoreUnavailable(
                f"the disk did not take a call of the database {place} ({said}). Free some space or check the disk, "
                "then try again"
            ) from problem
        if isinstance(problem, exc.OperationalError | exc.InterfaceError) or problem.connection_invalidated:
            raise StoreUnavailable(
                f"the database {place} did not take the call ({said}). Check that it runs and has space, then try again"
            ) from problem
        raise
