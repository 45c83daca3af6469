"""The tables: the log's projection into Delta Lake, filled exactly once, rebuilt from the log at any time.

The last sequence number that a table holds rides in the same Delta commit as its rows, as an application transaction.
A fill that is killed has therefore either happened with its number or not at all, and of two fills that race, Delta
refuses the second. Each rebuild writes a *generation* of its own (`tables/2/interactions`); one row in the state says
which generation is read, and changing it is the swap.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from flywheel.config import StoreSettings
from flywheel.errors import CorruptStore, InvalidConfig, StoreBusy, StoreUnavailable
from flywheel.ports import Progress
from flywheel.store import codec, locks
from flywheel.store.database import Database
from flywheel.store.engine import Engine, Pinned, make_engine
from flywheel.store.log import Log
from flywheel.store.projection import (
    FEEDBACK_SCHEMA,
    INTERACTIONS_SCHEMA,
    Fact,
    Leaves,
    conflict_stem,
    feedback_columns,
    interaction_columns,
)
from flywheel.store.snapshot import Snapshot
from flywheel.store.state import State

__all__ = ["Tables"]

_APP = "flywheel-log"
_NAMES = ("interactions", "feedback")
_SCHEMAS = {"interactions": INTERACTIONS_SCHEMA, "feedback": FEEDBACK_SCHEMA}
_KINDS = {"interactions": codec.INTERACTION, "feedback": codec.FEEDBACK}
_CHUNK_ROWS = 50_000
_CHUNK_BYTES = 48 * 1024 * 1024
_SMALL = 32 * 1024 * 1024  # a smaller file is worth merging
_MANY = 32  # with so many small files, reading them slows down
_PATIENCE = 600.0
_ATTEMPTS = 5
_SETTINGS = {"delta.logRetentionDuration": "interval 2 days"}


@dataclass(frozen=True, slots=True)
class _Version:
    """What is known of one version of one table."""

    stamp: tuple[int, str, int] | None
    pinned: Pinned
    cursor: int
    """The last fact it holds."""
    all_placed: bool
    """Whether every value has found a column."""


class Tables:
    """The columns of everything logged, in Delta Lake: `sync` brings them up to the log, `snapshot` reads them."""

    def __init__(self, folder: Path, settings: StoreSettings, database: Database, log: Log, state: State) -> None:
        self._folder = folder
        self._remote = settings.tables.rstrip("/")
        self._keep = timedelta(hours=settings.keep_old_files_hours)
        self._engine_name = settings.engine
        self._database = database
        self._log = log
        self._state = state
        self._versions: dict[str, _Version] = {}
        self._conflicted: tuple[str, dict[str, int]] | None = None
        path = str(folder.resolve())
        if not self._remote and (set(path) & set("[]") or unquote(path) != path):
            raise InvalidConfig(f"{path} has a bracket or an escape such as %20 in it: Delta Lake cannot. Rename it")

    @cached_property
    def _engine(self) -> Engine:
        return make_engine(self._engine_name, self._folder / "tmp")

    # --- filling ---

    def sync(self, log: Log, progress: Progress | None = None) -> int:
        """Add to the tables what the log has and they have not; return how many facts that was.

        Exactly once, whatever is killed or runs beside it. Waits for another process that does the same. O(new facts),
        and a few reads of the database where there are none.
        """
        if self._is_full(log):
            return 0
        with locks.held(self._database, self._folder, "tables", _PATIENCE):
            added = self._fill(self._current(), log, progress)
            self._tidy(always=False)
        return added

    def _is_full(self, log: Log) -> bool:
        """Do the tables hold all of the log, with nothing left to tidy away?"""
        if self._remote or self._registered()["retired"]:
            return False
        last, generation = log.last(), self._current()
        with _mended():
            return all(self._version(generation, name).cursor == last for name in _NAMES)

    def rebuild(self, log: Log, progress: Progress | None = None, *, at_once: bool = False) -> int:
        """Make the tables anew from the log beside the old ones, then swap; return how many facts they hold.

        Readers go on with the old ones meanwhile, and a kill leaves those in place. With `at_once` no file of the old
        ones is kept for them (an erasure): whoever still reads begins again. O(facts).
        """
        with locks.held(self._database, self._folder, "tables", _PATIENCE):
            old = self._current()
            new = old + 1
            for left in self._strays():  # what a killed rebuild left behind
                self._remove(left)
            while any(self._open(new, name) is not None for name in _NAMES):
                new += 1
            added = self._fill(new, log, progress)
            retired = {**self._registered()["retired"], str(old): datetime.now(UTC).isoformat()}
            self._state.set("tables", {"current": new, "retired": retired})
            if at_once:
                for generation in range(1, new):  # strays of killed rebuilds too
                    self._remove(generation)
                self._state.set("tables", {"current": new, "retired": {}})
            self._tidy(always=False)
        return added

    def compact(self) -> None:
        """Merge small files, and remove those that were replaced longer ago than `store.keep_old_files_hours`."""
        with locks.held(self._database, self._folder, "tables", _PATIENCE):
            self._tidy(always=True)

    def close(self) -> None:
        """Give the engine's memory back."""
        if "_engine" in self.__dict__:
            self._engine.close()

    def _fill(self, generation: int, log: Log, progress: Progress | None) -> int:
        for attempt in range(_ATTEMPTS):
            try:
                with _mended():
                    return self._fill_once(generation, log, progress)
            except CommitFailedError as problem:
                # Another process filled beside us (its lock was lost): begin again from what the tables hold now.
                if attempt == _ATTEMPTS - 1:
                    raise StoreBusy(
                        f"the tables were written by another process {_ATTEMPTS} times in a row ({problem}). Try again"
                    ) from problem
        return 0

    def _fill_once(self, generation: int, log: Log, progress: Progress | None) -> int:
        tables = {name: self._ensure(generation, name) for name in _NAMES}
        cursors = {name: _cursor(table) for name, table in tables.items()}
        leaves = Leaves({field.name: field.type for field in _arrow_schema(tables["interactions"])})
        last, start, added = log.last(), min(cursors.values()), 0
        if max(cursors.values()) > last:
            raise CorruptStore(
                f"the tables hold facts up to {max(cursors.values())}, the log only up to {last}: the database was "
                "replaced by an older one. Run: flywheel rebuild"
            )
        for chunk in log.scan(start, last, _CHUNK_ROWS, _CHUNK_BYTES):
            upto = chunk[-1][0]
            for name in _NAMES:
                rows = [fact for fact in chunk if fact[1] == _KINDS[name] and fact[0] > cursors[name]]
                if rows:
                    self._write(tables[name], _project(name, rows, leaves), upto)
                    cursors[name] = upto
                    added += len(rows)
            if progress:
                progress("sync", (upto - start) / (last - start))
        for name, cursor in cursors.items():
            if cursor < last:  # nothing of its kind came: it still has to say that it has seen everything
                tables[name].create_write_transaction(
                    [], "append", tables[name].schema(), commit_properties=_commit(last)
                )
        return added

    def _write(self, table: DeltaTable, rows: pa.Table, upto: int) -> None:
        write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=_commit(upto))

    def _ensure(self, generation: int, name: str) -> DeltaTable:
        uri = self._uri(generation, name)
        try:
            return DeltaTable(uri)
        except TableNotFoundError:
            if not self._remote:
                self._place(generation, name).mkdir(parents=True, exist_ok=True)
            return DeltaTable.create(uri, _SCHEMAS[name], mode="ignore", configuration=_SETTINGS)

    # --- tidying ---

    def _tidy(self, always: bool) -> None:
        with _mended():
            for name in _NAMES:
                if not always and not self._remote:
                    files = self._version(self._current(), name).pinned.files
                    if len(files) < _MANY:  # as the snapshot that is asked for next will have them
                        continue
                table = self._open(self._current(), name)
                if table is None or not (always or _small_files(table) >= _MANY):
                    continue
                table.optimize.compact(max_concurrent_tasks=1)
                hours = math.ceil(self._keep / timedelta(hours=1))
                table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True)
        registered = self._registered()
        now = datetime.now(UTC)
        over = [g for g, since in registered["retired"].items() if datetime.fromisoformat(since) + self._keep <= now]
        if over:
            for generation in over:
                self._remove(int(generation))
            left = {g: since for g, since in registered["retired"].items() if g not in over}
            self._state.set("tables", {"current": registered["current"], "retired": left})

    def _strays(self) -> list[int]:
        """Generations in the folder that nobody reads."""
        registered, root = self._registered(), self._folder / "tables"
        if self._remote or not root.is_dir():
            return []
        known = {str(registered["current"]), *registered["retired"]}
        return [int(found.name) for found in root.iterdir() if found.name.isdigit() and found.name not in known]

    def _remove(self, generation: int) -> None:
        if not self._remote:
            shutil.rmtree(self._folder / "tables" / str(generation), ignore_errors=True)
            return
        for name in _NAMES:
            for filesystem, path in self._objects(generation, name):
                filesystem.delete_file(path)

    def objects(self) -> Iterator[tuple[str, Any]]:
        """Every file of tables that lie outside the folder: what it is called, and an open stream of its bytes."""
        if not self._remote:
            return
        registered = self._registered()
        for generation in (registered["current"], *registered["retired"]):
            for name in _NAMES:
                for filesystem, path in self._objects(int(generation), name):
                    with filesystem.open_input_file(path) as stream:
                        yield f"tables: {generation}/{name}/{path}", stream

    def _objects(self, generation: int, name: str) -> list[tuple[Any, str]]:
        from deltalake.fs import DeltaStorageHandler
        from pyarrow import fs

        if self._open(generation, name) is None:
            return []
        filesystem = fs.PyFileSystem(DeltaStorageHandler(self._uri(generation, name)))
        found = filesystem.get_file_info(fs.FileSelector("", recursive=True))
        # The log last: what a kill leaves is still a table, and found again.
        files = sorted((info.path.startswith("_delta_log"), info.path) for info in found if info.is_file)
        return [(filesystem, path) for _, path in files]

    # --- reading ---

    def snapshot(self, upto: int | None = None) -> Snapshot:
        """The rows with `seq` up to `upto`, or all that the tables hold, fixed from now on."""
        for attempt in range(_ATTEMPTS):
            generation = self._current()
            try:
                with _mended():
                    versions = [self._version(generation, name) for name in _NAMES]
                break
            except CorruptStore:
                # A rebuild may have swapped the generation under our hands; then there is a new one to read.
                if attempt == _ATTEMPTS - 1 or self._current() == generation:
                    raise
        held = min(version.cursor for version in versions)
        seq = held if upto is None else min(upto, held)
        return Snapshot(self._engine, self._log, versions[0].pinned, versions[1].pinned, seq, 0, seq)

    @property
    def generation(self) -> int:
        """Which rebuild of the tables is read; what was added up from another one may count what is gone."""
        return self._current()

    def conflicts(self) -> dict[str, int]:
        """How many values did not fit the type of their column (or found no column), by column.

        Counted once a version of the tables. O(files) where every value has found its column, which is what the files
        say of themselves; else O(n) for the columns that hold the others.
        """
        with _mended():
            version = self._version(self._current(), "interactions")
        if self._conflicted is not None and self._conflicted[0] == version.pinned.name:
            return dict(self._conflicted[1])
        table = self.snapshot().interactions
        beside = {name: stem for name in table.columns if (stem := conflict_stem(name)) is not None}
        counted: Counter[str] = Counter()
        if beside:
            totals = table.aggregate(**{name: table[name].count() for name in beside}).to_pyarrow().to_pylist()[0]
            for name, stem in beside.items():
                counted[stem] += totals[name]
        if not version.all_placed:
            homeless = table.filter(table.unplaced.notnull()).select("unplaced")
            for text in homeless.to_pyarrow().column(0).to_pylist():
                counted.update(msgspec.json.decode(text, type=dict[str, Any]).keys())
        found = {name: count for name, count in sorted(counted.items()) if count}
        self._conflicted = (version.pinned.name, found)
        return dict(found)

    def _version(self, generation: int, name: str) -> _Version:
        """The newest version of a table; opened again only where something was committed since."""
        stamp = self._stamp(generation, name)  # before the table is opened: what comes meanwhile is read next time
        known = self._versions.get(name)
        if known is not None and stamp is not None and known.stamp == stamp:
            return known
        table = self._open(generation, name)
        pinned = self._pin(generation, name, table)
        if table is None:
            return _Version(stamp, pinned, 0, True)
        found = _Version(stamp, pinned, _cursor(table), name != "interactions" or _all_placed(table))
        self._versions[name] = found
        return found

    def _stamp(self, generation: int, name: str) -> tuple[int, str, int] | None:
        """What tells a table's newest commit from every other; None where that is not cheap to know."""
        if self._remote:
            return None
        try:
            with os.scandir(self._place(generation, name) / "_delta_log") as found:
                commits = [(one.name, one.stat().st_mtime_ns) for one in found if one.name.endswith(".json")]
        except OSError:
            return None
        # The newest of all times too: a commit that was damaged or put back is no longer the one that was read.
        return (generation, max(commits)[0], max(at for _, at in commits)) if commits else None

    def _pin(self, generation: int, name: str, table: DeltaTable | None) -> Pinned:
        if table is None:
            return Pinned(f"{name}_empty", _SCHEMAS[name], ())
        paths = _paths(table)
        digest = hashlib.blake2b("\n".join(paths).encode(), digest_size=8).hexdigest()
        label = f"{name}_{generation}_{table.version()}_{digest}"
        schema = _arrow_schema(table)
        if self._remote:
            return Pinned(label, schema, (), table.to_pyarrow_dataset)
        root = self._place(generation, name)
        return Pinned(label, schema, tuple(str(root / path) for path in paths))

    # --- where ---

    def _registered(self) -> dict[str, Any]:
        found: dict[str, Any] = self._state.get("tables", {"current": 1, "retired": {}})
        return found

    def _current(self) -> int:
        return int(self._registered()["current"])

    def _uri(self, generation: int, name: str) -> str:
        if self._remote:
            return f"{self._remote}/{generation}/{name}"
        return self._place(generation, name).as_uri()  # a plain path with a % in it would be misread

    def _place(self, generation: int, name: str) -> Path:
        return self._folder.resolve() / "tables" / str(generation) / name

    def _open(self, generation: int, name: str) -> DeltaTable | None:
        try:
            return DeltaTable(self._uri(generation, name))
        except TableNotFoundError:
            return None


def _project(name: str, rows: Sequence[Fact], leaves: Leaves) -> pa.Table:
    return interaction_columns(rows, leaves) if name == "interactions" else feedback_columns(rows)


def _commit(upto: int) -> CommitProperties:
    return CommitProperties(app_transactions=[Transaction(_APP, upto)])


def _cursor(table: DeltaTable) -> int:
    return int(table.transaction_version(_APP) or 0)


def _arrow_schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _all_placed(table: DeltaTable) -> bool:
    """Do the files say that every value has found a column?"""
    actions = pa.table(table.get_add_actions(flatten=True))
    if "null_count.unplaced" not in actions.column_names:
        return not actions.num_rows
    rows, empty = actions.column("num_records").to_pylist(), actions.column("null_count.unplaced").to_pylist()
    return all(count is not None and count == none for count, none in zip(rows, empty, strict=True))


def _paths(table: DeltaTable) -> list[str]:
    return sorted(pa.table(table.get_add_actions()).column("path").to_pylist())


def _small_files(table: DeltaTable) -> int:
    return sum(size < _SMALL for size in pa.table(table.get_add_actions()).column("size_bytes").to_pylist())


@contextmanager
def _mended() -> Iterator[None]:
    """Say in Flywheel's words what is wrong with the tables, and how to mend it."""
    try:
        yield
    except CommitFailedError:
        raise
    except (DeltaError, OSError) as problem:
        if "No space left" in str(problem):
            raise StoreUnavailable(f"the disk is full: {problem}. Free some space, then try again") from problem
        raise CorruptStore(f"the tables cannot be read or written ({problem}). Run: flywheel rebuild") from problem
