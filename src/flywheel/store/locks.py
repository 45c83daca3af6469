"""Locks between processes that a kill releases: files on SQLite, advisory locks on PostgreSQL."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import filelock
import sqlalchemy as sa

from flywheel.errors import StoreBusy, StoreUnavailable
from flywheel.store.database import Database

__all__ = ["file_lock", "held"]

_POLL = 0.05


@contextmanager
def held(database: Database, folder: Path, name: str, wait: float) -> Iterator[None]:
    """Hold the lock `name` for the block. Not reentrant: a second holder, in this process too, waits and then fails.

    Raises `StoreBusy` when somebody else holds it for longer than `wait` seconds.
    """
    if database.kind == "postgresql":
        with _advisory(database, name, wait):
            yield
    else:
        with file_lock(folder, name, wait):
            yield


@contextmanager
def file_lock(folder: Path, name: str, wait: float) -> Iterator[None]:
    """The same with a file in `folder/locks`; the system lets go of it when the process ends in any way."""
    path = folder / "locks" / f"{quote(name, safe='')}.lock"
    lock = filelock.FileLock(path, timeout=wait, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(poll_interval=_POLL)
    except filelock.Timeout as problem:
        raise _busy(name, wait) from problem
    except OSError as problem:
        raise StoreUnavailable(
            f"the lock {path} cannot be made: {problem}. Check the folder's permissions and free space, then try again"
        ) from problem
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _advisory(database: Database, name: str, wait: float) -> Iterator[None]:
    key = int.from_bytes(hashlib.blake2b(f"flywheel:{name}".encode(), digest_size=8).digest(), "big", signed=True)
    until = time.monotonic() + wait
    # A connection of its own outside any transaction: PostgreSQL lets go of the lock when the connection ends.
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))):
            if time.monotonic() >= until:
                raise _busy(name, wait)
            time.sleep(_POLL)
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))


def _busy(name: str, wait: float) -> StoreBusy:
    return StoreBusy(
        f"{name!r} is held by another process or thread and not free within {wait:g} s. Let it finish, or wait longer"
    )
