"""SQLite's VFS with functions of ours in it, by `ctypes`: no compiler, and the very SQLite that `sqlite3` uses."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Vfs", "Watcher"]

_FAILED = 10  # SQLITE_IOERR

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_Open = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_Delete = ctypes.CFUNCTYPE(_I, _P, _P, _I)
_Write = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)
_Truncate = ctypes.CFUNCTYPE(_I, _P, _L)
_Sync = ctypes.CFUNCTYPE(_I, _P, _I)
_SetCall = ctypes.CFUNCTYPE(_I, _P, ctypes.c_char_p, _P)
_GetCall = ctypes.CFUNCTYPE(_P, _P, ctypes.c_char_p)
_OpenFolder = ctypes.CFUNCTYPE(_I, _P, _P)


class _Functions(ctypes.Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = [
        ("version", _I), ("size_of_file", _I), ("longest_path", _I), ("next", _P), ("name", ctypes.c_char_p),
        ("data", _P), ("open", _P), ("delete", _P), ("access", _P), ("full_path", _P), ("dl_open", _P),
        ("dl_error", _P), ("dl_sym", _P), ("dl_close", _P), ("randomness", _P), ("sleep", _P), ("time", _P),
        ("last_error", _P), ("time64", _P), ("set_call", _P), ("get_call", _P), ("next_call", _P),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3: what can be done with an open file."""

    _fields_ = [
        ("version", _I), ("close", _P), ("read", _P), ("write", _P), ("truncate", _P), ("sync", _P), ("size", _P),
        ("lock", _P), ("unlock", _P), ("reserved", _P), ("control", _P), ("sector", _P), ("traits", _P),
        ("shm_map", _P), ("shm_lock", _P), ("shm_barrier", _P), ("shm_unmap", _P), ("fetch", _P), ("unfetch", _P),
    ]  # fmt: skip


class Watcher(Protocol):
    """Who is told. Each call returns SQLite's result code, and calls `original` for the real thing to happen."""

    folder: Path

    def open(self, name: str, handle: int, original: Callable[[], int]) -> int:
        """A file of the folder is opened, or made; `handle` names it until it is closed."""

    def delete(self, name: str, original: Callable[[], int]) -> int:
        """A file of the folder is deleted."""

    def write(self, handle: int, data: bytes, offset: int, original: Callable[[int], int]) -> int:
        """Bytes are written; `original` takes how many of them."""

    def truncate(self, handle: int, size: int, original: Callable[[], int]) -> int:
        """A file is given another size."""

    def sync(self, handle: int, original: Callable[[], int]) -> int:
        """A file is brought to stable storage."""

    def folder_syncing(self) -> None:
        """The folder itself is about to be brought to stable storage, within the call of the same thread."""


class Vfs:
    """One watcher's VFS. It has to stay in memory as long as a connection that was made with it.

    `problem` is the first exception of the watcher: SQLite was given an I/O error for it.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.problem: Exception | None = None
        self._patched: dict[int, _Methods] = {}
        self._lock = threading.Lock()
        library = ctypes.CDLL(getattr(import_module("_sqlite3"), "__file__", None))
        try:
            find, self._register = library.sqlite3_vfs_find, library.sqlite3_vfs_register
        except AttributeError as missing:
            raise RuntimeError("this Python hides its SQLite: use one that is linked to libsqlite3") from missing
        find.restype, find.argtypes = _P, [ctypes.c_char_p]
        self._register.restype, self._register.argtypes = _I, [_P, _I]
        self._address: int = find(None) or 0
        system = _Functions.from_address(self._address) if self._address else None
        if system is None or system.version < 3 or not system.set_call:
            raise RuntimeError(f"SQLite {sqlite3.sqlite_version} here has no VFS of version 3 to watch")
        get_call: Any = _GetCall(system.get_call)
        self._set_call: Any = _SetCall(system.set_call)
        self._folder_address: int = get_call(self._address, b"openDirectory")
        self._system_open: Any = _Open(system.open)
        self._system_delete: Any = _Delete(system.delete)
        self._system_folder: Any = _OpenFolder(self._folder_address)
        self._kept: list[Any] = [_Open(self._open), _Delete(self._delete), _OpenFolder(self._open_folder)]
        self._functions = _Functions.from_buffer_copy(system)
        self._functions.name = b"flywheel-watched"
        self._functions.open, self._functions.delete, self._folder_hook = map(_pointer, self._kept)

    def install(self) -> None:
        """Make this the VFS of every connection that is opened from now on."""
        self._set_call(self._address, b"openDirectory", self._folder_hook)
        self._register(ctypes.addressof(self._functions), 1)

    def remove(self) -> None:
        """Give SQLite its own VFS back."""
        self._register(self._address, 1)
        self._set_call(self._address, b"openDirectory", self._folder_address)

    def _name(self, address: int | None) -> str | None:
        """The file's name, if it lies in the folder; SQLite's temporary files have none."""
        path = Path(os.fsdecode(ctypes.string_at(address))) if address else None
        return path.name if path is not None and path.parent == self._watcher.folder else None

    def _told(self, tell: Callable[[], int]) -> int:
        """An exception cannot pass through SQLite: keep it, and let SQLite see an I/O error."""
        try:
            return tell()
        except Exception as problem:
            self.problem = self.problem or problem
            return _FAILED

    def _open(self, _vfs: int, address: int, handle: int, flags: int, out: int) -> int:
        def original() -> int:
            return int(self._system_open(self._address, address, handle, flags, out))

        name = self._name(address)
        if name is None:
            return original()
        result = self._told(lambda: self._watcher.open(name, handle, original))
        methods = _P.from_address(handle)
        if result == 0:
            methods.value = ctypes.addressof(self._methods(methods.value or 0))
        return result

    def _delete(self, _vfs: int, address: int, sync: int) -> int:
        def original() -> int:
            return int(self._system_delete(self._address, address, sync))

        name = self._name(address)
        return original() if name is None else self._told(lambda: self._watcher.delete(name, original))

    def _open_folder(self, path: int, out: int) -> int:
        def tell() -> int:
            if os.path.dirname(os.fsdecode(ctypes.string_at(path))) == str(self._watcher.folder):
                self._watcher.folder_syncing()
            return int(self._system_folder(path, out))

        return self._told(tell)

    def _methods(self, address: int) -> _Methods:
        """The table of methods at `address` with ours in it."""
        with self._lock:
            if address not in self._patched:
                self._patched[address] = self._patch(_Methods.from_address(address))
            return self._patched[address]

    def _patch(self, system: _Methods) -> _Methods:
        write: Any = _Write(system.write)
        truncate: Any = _Truncate(system.truncate)
        sync: Any = _Sync(system.sync)
        watcher = self._watcher

        def on_write(handle: int, data: int, count: int, offset: int) -> int:
            content = ctypes.string_at(data, count)
            return self._told(
                lambda: watcher.write(handle, content, offset, lambda size: write(handle, data, size, offset))
            )

        def on_truncate(handle: int, size: int) -> int:
            return self._told(lambda: watcher.truncate(handle, size, lambda: truncate(handle, size)))

        def on_sync(handle: int, flags: int) -> int:
            return self._told(lambda: watcher.sync(handle, lambda: sync(handle, flags)))

        ours = [_Write(on_write), _Truncate(on_truncate), _Sync(on_sync)]
        self._kept.extend(ours)
        table = _Methods.from_buffer_copy(system)
        table.write, table.truncate, table.sync = map(_pointer, ours)
        return table


def _pointer(function: Any) -> int | None:
    return ctypes.cast(function, _P).value
