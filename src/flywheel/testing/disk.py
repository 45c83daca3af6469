"""The disk under SQLite, watched: every write, sync and deletion is recorded, and any of them can be made to fail.

    with watched(folder) as disk:
        store = Store.open(folder, Config())      # your real code, and the real SQLite of Python's `sqlite3`
        store.log.append(records)
        disk.mark("acknowledged")                  # your own moments, in order with what reached the disk
    disk.events                                    # what `flywheel.testing.power` cuts off at random places

    disk.refuse = lambda operation, name: FULL if operation == "write" else None   # from now on the disk is full
    disk.refuse = None                             # there is space again

Between SQLite and the operating system stands a table of functions, the VFS (https://sqlite.org/vfs.html). Within the
block a copy of it is the default, in which those that change files pass through here on their way to the originals.
Shared memory and locks are left alone, so that threads and processes work as ever. Linux and macOS; once at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywheel.testing.vfs import Vfs

__all__ = [
    "CANT_OPEN",
    "FSYNC_FAILED",
    "FULL",
    "WRITE_FAILED",
    "Disk",
    "Entry",
    "Event",
    "Lost",
    "Mark",
    "Sync",
    "SyncFolder",
    "Truncate",
    "Write",
    "watched",
]

FULL = 13
"""SQLite's word for a write that found no space (SQLITE_FULL)."""
CANT_OPEN = 14
"""A file that could not be made (SQLITE_CANTOPEN): so a full disk answers too."""
WRITE_FAILED = 10 | 3 << 8
"""A write that failed for another reason (SQLITE_IOERR_WRITE)."""
FSYNC_FAILED = 10 | 4 << 8
"""A sync that failed (SQLITE_IOERR_FSYNC)."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes handed to the operating system for a file; it may keep them in memory until the file is synced."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file made shorter or longer."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What happened to a file before the event number `upto` is on stable storage."""

    file: int
    upto: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A sync failed: what was written to the file before the event number `upto` may never arrive."""

    file: int
    upto: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in the folder now leads to a file, or (None) to nothing."""

    name: str
    file: int | None


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """The names as they were before the event number `upto` are on stable storage."""

    upto: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of your own, such as an acknowledgement."""

    value: Any


Event = Write | Truncate | Sync | Lost | Entry | SyncFolder | Mark


@dataclass
class Disk:
    """What SQLite does to the files of one folder.

    `events` has it all in order. `first` holds the files that were there at the start: their number, name and bytes.
    `refuse(operation, name)` is asked before each `open` of a file that does not exist, `write`, `truncate` and `sync`;
    a result code instead of None makes it fail. A write that fails has written half of its bytes, as on a full disk.
    """

    folder: Path
    events: list[Event] = field(default_factory=list)
    first: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    refuse: Callable[[str, str], int | None] | None = None

    def __post_init__(self) -> None:
        self.folder = Path(os.path.realpath(self.folder))
        self._named: dict[str, int] = {}
        for found in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if found.is_file() and not found.name.endswith("-shm"):
                self.first[len(self.first)] = (found.name, found.read_bytes())
                self._named[found.name] = len(self.first) - 1
        self._numbers = len(self.first)
        self._open: dict[int, tuple[int, str]] = {}  # address of SQLite's handle -> file, name
        self._moment = threading.RLock()
        self._thread = threading.local()

    def mark(self, value: Any) -> None:
        """Note a moment of your own among the events."""
        with self._moment:
            self.events.append(Mark(value))

    def _refused(self, operation: str, name: str) -> int | None:
        return self.refuse(operation, name) if self.refuse is not None else None

    # --- what the patched functions do; each returns SQLite's result code ---

    def open(self, name: str, handle: int, original: Callable[[], int]) -> int:
        """Open a file, noting it when it is new."""
        with self._moment:
            existed = (self.folder / name).exists()
            code = None if existed else self._refused("open", name)
            if code is not None:
                return code
            result = original()
            if result == 0:
                if not existed or name not in self._named:
                    self._named[name] = self._numbers
                    self._numbers += 1
                    self.events.append(Entry(name, self._named[name]))
                self._open[handle] = (self._named[name], name)
            return result

    def delete(self, name: str, original: Callable[[], int]) -> int:
        """Delete a file."""
        with self._moment:
            existed = self._named.pop(name, None) is not None
            if existed:
                self.events.append(Entry(name, None))
            result = original()
            self._folder_synced()
            return result

    def write(self, handle: int, data: bytes, offset: int, original: Callable[[int], int]) -> int:
        """Write bytes; `original` takes how many of them."""
        file, name = self._open[handle]
        with self._moment:
            code = self._refused("write", name)
            if code is not None:
                data = data[: len(data) // 2]
            self.events.append(Write(file, offset, data))
            result = original(len(data)) if data else 0
            return result if code is None else code

    def truncate(self, handle: int, size: int, original: Callable[[], int]) -> int:
        """Give a file another size."""
        file, name = self._open[handle]
        with self._moment:
            code = self._refused("truncate", name)
            if code is not None:
                return code
            self.events.append(Truncate(file, size))
            return original()

    def sync(self, handle: int, original: Callable[[], int]) -> int:
        """Bring a file to stable storage. Others may write meanwhile: that is not covered."""
        file, name = self._open[handle]
        with self._moment:
            code = self._refused("sync", name)
            upto = len(self.events)
        result = original() if code is None else code
        with self._moment:
            self.events.append(Sync(file, upto) if result == 0 else Lost(file, upto))
            self._folder_synced()
        return result

    def folder_syncing(self) -> None:
        """The names as they are now will be on stable storage when this thread's call comes back."""
        self._thread.names = len(self.events)

    def _folder_synced(self) -> None:
        upto, self._thread.names = getattr(self._thread, "names", None), None
        if upto is not None:
            self.events.append(SyncFolder(upto))


@contextmanager
def watched(folder: Path) -> Iterator[Disk]:
    """Watch what SQLite does to the files of `folder` that are opened within the block.

    Raises `RuntimeError` where this Python's SQLite cannot be reached, and when something is being watched already.
    """
    if not _one.acquire(blocking=False):
        raise RuntimeError("a folder is being watched already. End that block first")
    try:
        disk = Disk(folder)
        vfs = Vfs(disk)
        _kept.append(vfs)
        vfs.install()
        try:
            yield disk
        finally:
            vfs.remove()
        if vfs.problem is not None:
            raise vfs.problem
    finally:
        _one.release()


_one = threading.Lock()
_kept: list[Vfs] = []  # a connection made within the block may outlive it, and still calls these functions
