"""One folder's log, tables and state, opened together."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.config import Config
from flywheel.errors import InvalidConfig, StoreUnavailable
from flywheel.store import locks
from flywheel.store.database import Database, open_database
from flywheel.store.log import Log
from flywheel.store.migrations import migrate
from flywheel.store.state import State

if TYPE_CHECKING:
    from flywheel.store.erase import Eraser
    from flywheel.store.tables import Tables
    from flywheel.store.terms import Terms
    from flywheel.store.traces import Traces

__all__ = ["Store"]

_PATIENCE = 60.0  # seconds to wait for another process that lays out or upgrades the database


class Store:
    """Everything a flywheel keeps: `log` (facts), `tables` (their columns), `state` (the workflow).

    >>> import tempfile
    >>> from datetime import UTC, datetime
    >>> from flywheel.records import Interaction
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = Store.open(Path(folder.name), Config())
    >>> store.log.append([Interaction(id="a", at=datetime(2026, 1, 1, tzinfo=UTC), input="hello")])
    Appended(stored=1, duplicates=0, conflicts=0, letters=0)
    >>> store.tables.sync(store.log)
    1
    >>> store.tables.snapshot().count()
    1
    >>> store.close(); folder.cleanup()
    """

    def __init__(self, folder: Path, config: Config, database: Database) -> None:
        self.folder = folder
        self.config = config
        self._database = database
        self.log = Log(database)
        self.state = State(database)

    @classmethod
    def open(cls, folder: Path, config: Config) -> Store:
        """Open a folder, making it, its database and its newest schema on first use.

        Raises `InvalidConfig` for a URL or folder that cannot be used, `CorruptStore` when a newer Flywheel wrote it.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not config.store.url and not (folder / "flywheel.db").exists():
                _anchor(folder)
        except FileExistsError as problem:
            raise InvalidConfig(f"{folder} is a file. Name a folder, or one that does not exist yet") from problem
        except OSError as problem:
            raise StoreUnavailable(
                f"the folder {folder} cannot be made: {problem}. Check permissions and free space"
            ) from problem
        database = open_database(config.store.url, folder)
        try:
            # On SQLite the lock is a file, so that it also guards the very first opening of the database.
            with locks.held(database, folder, "schema", _PATIENCE):
                migrate(database)
        except BaseException:
            database.close()
            raise
        return cls(folder, config, database)

    @cached_property
    def tables(self) -> Tables:
        """The columnar projection of the log. Loaded when first used: a process that only logs never waits for it."""
        from flywheel.store.tables import Tables

        return Tables(self.folder, self.config.store, self._database, self.log, self.state)

    @cached_property
    def eraser(self) -> Eraser:
        """What takes facts, and all that was made of them, out of the database."""
        from flywheel.store.erase import Eraser

        return Eraser(self._database, self.log)

    def sweep(self, *, deep: bool) -> list[str]:
        """Overwrite what was deleted; `deep` also writes the database anew. Returns what could not be done, and why."""
        from flywheel.store.sweep import sweep

        return sweep(self._database, self.folder, deep=deep)

    def search(self, terms: Terms, files: Sequence[Path] = (), skip: Callable[[Path], bool] | None = None) -> Traces:
        """Look for terms in every byte: of the folder, of `files` outside it, of the database and, where they can be
        read, of the PostgreSQL server's files. O(bytes)."""
        from flywheel.store.sweep import server_files
        from flywheel.store.traces import Traces

        found = Traces(terms)
        found.database(self._database)
        for path in files:
            found.file(path)
        for place, stream in self.tables.objects():
            found.stream(stream, place)
        for root in server_files(self._database):
            found.folder(root, called=f"postgresql: {root.name}/")
        found.folder(self.folder, skip)
        return found

    def lock(self, name: str, wait: float = 0.0) -> AbstractContextManager[None]:
        """Hold a lock between processes for a `with` block; a kill releases it.

        Waits up to `wait` seconds, then raises `StoreBusy`. Not reentrant.
        """
        return locks.held(self._database, self.folder, name, wait)

    def close(self) -> None:
        """Give back connections and memory. What was appended is on disk already."""
        if "tables" in self.__dict__:
            self.tables.close()
        self._database.close()


def _anchor(folder: Path) -> None:
    """Bring the names that lead to a folder to stable storage: SQLite only looks after those inside it."""
    if os.name != "posix":
        return  # elsewhere a folder cannot be synced
    for place in folder.resolve().parents:
        try:
            above = os.open(place, os.O_RDONLY)
        except PermissionError:
            continue
        try:
            os.fsync(above)
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot do it for folders
                raise
        finally:
            os.close(above)
        if place.is_mount():
            return
