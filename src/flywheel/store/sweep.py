"""Leaving nothing behind what was deleted: free pages, write-ahead logs, statistics, spilled files.

SQLite's `secure_delete` overwrites what is deleted, but pages that were split before may keep an older copy, and so may
the write-ahead log: the log is emptied and the file written anew. PostgreSQL keeps deleted rows in its pages until
VACUUM FULL writes the table anew, values in its statistics, old files until a checkpoint, and everything once more in
the segments of its write-ahead log, which are overwritten here where the role may do so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from flywheel.errors import StoreBusy
from flywheel.store.database import Database

__all__ = ["server_files", "sweep"]

_PATIENCE = 60.0
_SEGMENTS = 256  # of 16 MiB: more are not overwritten, for the sake of the server's disk

_FULL = (
    sa.text("VACUUM (FULL, ANALYZE) facts"),
    sa.text("VACUUM (FULL, ANALYZE) conflicts"),
    sa.text("VACUUM (FULL, ANALYZE) dead_letters"),
    sa.text("VACUUM (FULL, ANALYZE) items"),
    sa.text("VACUUM (FULL, ANALYZE) examples"),
    sa.text("VACUUM (FULL, ANALYZE) datasets"),
    sa.text("VACUUM (FULL, ANALYZE) dataset_sources"),
    sa.text("VACUUM (FULL, ANALYZE) candidates"),
    sa.text("VACUUM (FULL, ANALYZE) spins"),
    sa.text("VACUUM (FULL, ANALYZE) steps"),
    sa.text("VACUUM (FULL, ANALYZE) modes"),
    sa.text("VACUUM (FULL, ANALYZE) settings"),
    sa.text("VACUUM (FULL, ANALYZE) whys"),
    sa.text("VACUUM (FULL, ANALYZE) reports"),
    sa.text("VACUUM (FULL, ANALYZE) contacts"),
)
_STATISTICS = sa.text("VACUUM (FULL) pg_catalog.pg_statistic")  # most common values, copied from the rows
_CHECKPOINT = sa.text("CHECKPOINT")
_COUNT_WAL = sa.text("SELECT count(*) FROM pg_ls_waldir()")
_WRITE_WAL = sa.text("SELECT pg_logical_emit_message(true, 'flywheel', '')")
_SWITCH_WAL = sa.text("SELECT pg_switch_wal()")
_WHERE = sa.text("SELECT current_setting('data_directory')")
_WHICH = sa.text("SELECT system_identifier FROM pg_control_system()")
_OWN = sa.text("SELECT oid FROM pg_database WHERE datname = current_database()")


def sweep(database: Database, folder: Path, *, deep: bool) -> list[str]:
    """Overwrite what was deleted; `deep` writes the tables of the database anew. Say what could not be done, and why.

    Others can go on; on PostgreSQL they wait while a table is written anew. Raises `StoreBusy` when somebody reads an
    old version of the database for more than a minute: the sweep can be done again.
    """
    _spilled(folder)
    if database.kind == "postgresql":
        return _sweep_postgresql(database) if deep else []
    _sweep_sqlite(database, deep)
    return []


def _spilled(folder: Path) -> None:
    """What the engine has put on disk for want of memory; whoever still reads it has it open."""
    for path in sorted((folder / "tmp").rglob("*"), reverse=True):
        if path.is_file():
            path.unlink(missing_ok=True)


def _sweep_sqlite(database: Database, deep: bool) -> None:
    with database.outside() as run:
        _empty_wal(run)
        if deep:
            run(sa.text("VACUUM"))
            _empty_wal(run)


def _empty_wal(run: Callable[[sa.TextClause], list[Any]]) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        busy = run(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))[0][0]
        if not busy:
            return
        if time.monotonic() >= until:
            raise StoreBusy(
                f"another process has been reading an old version of the database for more than {_PATIENCE:g} s, so "
                "deleted rows stay in its write-ahead log. Let it finish, then do the same again"
            )
        time.sleep(0.1)


def _sweep_postgresql(database: Database) -> list[str]:
    undone: list[str] = []
    with database.outside() as run:
        for statement in _FULL:
            run(statement)
        if not _try(run, _STATISTICS):
            undone.append("old values may stay in pg_statistic until it is vacuumed: the role is no superuser")
        if not _try(run, _CHECKPOINT):
            undone.append(
                "the server's old files stay until its next checkpoint: grant the role pg_checkpoint, or run CHECKPOINT"
            )
            return undone
        undone += _overwrite_wal(run)
        _try(run, _CHECKPOINT)
    return undone


def _overwrite_wal(run: Callable[[sa.TextClause], list[Any]]) -> list[str]:
    """Make every segment that is there the current one once, and leave it: the server fills its rest with zeros.

    The one in use is left first, and a checkpoint hands it, with all older ones, to be used again.
    """
    refused = ["the write-ahead log's old segments stay until the server reuses them: the role is no superuser"]
    if not (_try(run, _COUNT_WAL) and _try(run, _WRITE_WAL) and _try(run, _SWITCH_WAL) and _try(run, _CHECKPOINT)):
        return refused
    segments = int(run(_COUNT_WAL)[0][0])
    if segments > _SEGMENTS:
        return [f"the write-ahead log has {segments} segments, too many to overwrite; the server reuses them in time"]
    for _ in range(segments + 1):
        if not (_try(run, _WRITE_WAL) and _try(run, _SWITCH_WAL)):
            return refused
    return []


def _try(run: Callable[[sa.TextClause], list[Any]], statement: sa.TextClause) -> bool:
    """Run it where the role may."""
    try:
        run(statement)
    except (exc.ProgrammingError, exc.NotSupportedError):
        return False
    return True


def server_files(database: Database) -> list[Path]:
    """The folders in which a PostgreSQL on this machine keeps this database, where they can be read; else none."""
    if database.kind != "postgresql":
        return []
    with database.outside() as run:
        if not (_try(run, _WHERE) and _try(run, _WHICH)):
            return []
        root, number, own = Path(run(_WHERE)[0][0]), int(run(_WHICH)[0][0]), int(run(_OWN)[0][0])
    try:
        # Another server may have the same path on its machine: each cluster has a number of its own.
        control = (root / "global" / "pg_control").read_bytes()
    except OSError:
        return []
    if number not in (int.from_bytes(control[:8], "little"), int.from_bytes(control[:8], "big")):
        return []
    return [root / "base" / str(own), root / "global", root / "pg_wal"]
