"""What was collected and is not delivered yet, on disk: it survives the process, a kill and the end of the network.

A folder of segments, each a file of JSON lines (drafts: what is sent, with its `kind`), appended and synced a batch at
a time, cut off or removed when the server has answered for it. Every process writes segments of its own, held by a lock
that its end releases; the next one adopts what a dead one left. Ids are in the lines, so what is sent twice is stored
once. `forget` takes lines out for an erasure, while recorders run.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from flywheel.capture.backlog import Batch
from flywheel.capture.outbox import FEEDBACK, INTERACTION

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Spool", "SpoolFull", "forget"]

_SEGMENT_BYTES = 1024 * 1024
_GATE = "gate.lock"
_HEADS = {kind: f'{{"kind":"{kind}",'.encode() for kind in (INTERACTION, FEEDBACK)}


class SpoolFull(OverflowError):
    """The spool has reached its limit; what should have been added was not."""


class _Segment:
    """A file, how far it was read and answered for, and how much was ever written and answered for."""

    def __init__(self, path: Path, written: int = 0, owner: _Owner | None = None) -> None:
        self.path = path
        self.offset = 0
        self.inode = 0
        self.written = written
        self.answered = 0
        self.owner = owner  # of the dead process it was adopted from

    @property
    def waiting(self) -> int:
        """Bytes that are not answered for."""
        return self.written - self.answered


class Spool:
    """The backlog on disk. `problems` counts lines that a crash left unreadable; they are passed over."""

    def __init__(self, folder: str | os.PathLike[str], most_bytes: int) -> None:
        self.folder = Path(folder)
        self.problems = 0
        self._most = most_bytes
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._open: _Segment | None = None
        self._number = 0
        self._owner: _Owner | None = None

    def start(self) -> None:
        """Make the folder where there is none, take a name in it, adopt what the dead left. Raises `OSError`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            if self._owner is None:
                self._owner = _Owner(self.folder, f"{os.getpid()}-{secrets.token_hex(6)}")
                if not self._owner.hold():
                    raise OSError(f"{self._owner.path} is held by another process")
        self.adopt()

    def adopt(self) -> int:
        """Take over the segments of processes that live no more; how many."""
        found = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            name = path.name.rsplit(".", 2)[0]
            with self._lock:
                if self._owner is None or name == self._owner.name or any(s.path == path for s in self._segments):
                    continue
                owner = next((s.owner for s in self._segments if s.owner is not None and s.owner.name == name), None)
                if owner is None:
                    owner = _Owner(self.folder, name)
                    if not owner.hold():
                        continue
                size = _size(path)
                self._segments.insert(found, _Segment(path, size, owner))
                found += 1
        return found

    def add(self, kind: str, lines: Sequence[bytes]) -> None:
        """Append lines and sync. Raises `SpoolFull`, or `OSError` when the disk refuses; then none of them is kept."""
        if not lines:
            return
        head = _HEADS[kind]
        data = b"".join([head + line[1:] + b"\n" for line in lines])
        with self._lock, _gate(self.folder):
            if self.size + len(data) > self._most:
                raise SpoolFull(f"{self.folder} holds {self.size:,} bytes of at most {self._most:,}")
            segment = self._open
            if segment is not None and segment.waiting + segment.offset < _SEGMENT_BYTES and segment.path.exists():
                _append(segment.path, data)
            else:
                segment = self._next()
                try:
                    _append(segment.path, data)
                    _sync_folder(self.folder)
                except OSError:
                    segment.path.unlink(missing_ok=True)
                    raise
                self._segments.append(segment)
                self._open = segment
            segment.written += len(data)

    def first(self, most_records: int, most_bytes: int) -> Batch | None:
        """Read the lines of one kind that stand first. Raises `OSError`."""
        with self._lock, _gate(self.folder):
            while self._segments:
                segment = self._segments[0]
                try:
                    batch = self._read(segment, most_records, most_bytes)
                except FileNotFoundError:  # somebody tidied the folder
                    segment.answered = segment.written
                    self._leave(segment)
                    continue
                if batch is not None:
                    return batch
                self._finish(segment)
                if segment is self._open:
                    return None
            return None

    def done(self, batch: Batch) -> None:
        """Note that the server has answered for a batch; a segment that is through is emptied or removed."""
        segment, inode, end = batch.place
        with self._lock, _gate(self.folder):
            if segment.inode != inode or segment not in self._segments:
                return
            segment.answered += end - segment.offset
            segment.offset = end
            if end >= _size(segment.path):
                self._finish(segment)

    def mark(self) -> list[tuple[_Segment, int]]:
        """Note how far each segment is written."""
        with self._lock:
            return [(segment, segment.written) for segment in self._segments]

    def passed(self, mark: list[tuple[_Segment, int]]) -> bool:
        """Was all of that answered for?"""
        with self._lock:
            return all(segment.answered >= min(written, segment.written) for segment, written in mark)

    @property
    def size(self) -> int:
        """The bytes that wait here, those of dead processes included."""
        return sum(segment.waiting for segment in self._segments)

    def close(self) -> None:
        """Let go of the folder: what is left waits for the next process."""
        with self._lock:
            owners = {id(segment.owner): segment.owner for segment in self._segments if segment.owner is not None}
            for segment in [one for one in self._segments if one is self._open and not one.waiting]:
                segment.path.unlink(missing_ok=True)
            for owner in (*owners.values(), self._owner):
                if owner is not None:
                    owner.release(remove=not any(self.folder.glob(f"{owner.name}.*.jsonl")))
            self._segments, self._open, self._owner = [], None, None

    def abandon(self) -> None:
        """In a forked child: close the inherited handles. The segments are the parent's."""
        for owner in {id(one): one for one in (self._owner, *(s.owner for s in self._segments))}.values():
            if owner is not None:
                owner.close()

    def _next(self) -> _Segment:
        assert self._owner is not None, "start() comes first"
        self._number += 1
        path = self.folder / f"{self._owner.name}.{self._number:06d}.jsonl"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return _Segment(path)

    def _read(self, segment: _Segment, most_records: int, most_bytes: int) -> Batch | None:
        with open(segment.path, "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if segment.inode != inode:  # an erasure has rewritten it
                if segment.inode:
                    segment.written = segment.answered + os.fstat(file.fileno()).st_size
                segment.inode, segment.offset = inode, 0
            file.seek(segment.offset)
            kind = None
            lines: list[bytes] = []
            size = 0
            while len(lines) < most_records:
                line = file.readline()
                found = next((name for name, head in _HEADS.items() if line.startswith(head)), None)
                if not line.endswith(b"}\n") or found is None:
                    if not line:
                        break
                    if not lines:  # what a crash left half-written, or nobody's
                        self.problems += 1
                        segment.offset += len(line)
                        segment.answered += len(line)
                        continue
                    break
                size += len(line)
                if (kind is not None and found != kind) or (lines and size > most_bytes):
                    size -= len(line)
                    break
                kind = found
                lines.append(b"{" + line[len(_HEADS[found]) : -1])
        if kind is None:
            return None
        return Batch(kind, lines, (segment, inode, segment.offset + size), adopted=segment.owner is not None)

    def _finish(self, segment: _Segment) -> None:
        """All of a segment is answered for: empty it if it is the open one, else remove it."""
        if segment is self._open and segment.waiting <= 0 and segment.offset < _SEGMENT_BYTES:
            if segment.offset:
                os.truncate(segment.path, 0)
                segment.offset = 0
            return
        segment.path.unlink(missing_ok=True)
        segment.answered = segment.written
        self._leave(segment)

    def _leave(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        if segment is self._open:
            self._open = None
        if segment.owner is not None and not any(one.owner is segment.owner for one in self._segments):
            segment.owner.release(remove=True)


class _Owner:
    """A process's name in the folder: a file, locked for as long as the process lives."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = folder / f"{name}.owner"
        self._file: BinaryIO | None = None

    def hold(self) -> bool:
        file = open(self.path, "ab")  # noqa: SIM115  (held open: closing it is letting go)
        if not _lock(file, wait=False):
            file.close()
            return False
        self._file = file
        return True

    def release(self, *, remove: bool) -> None:
        if remove:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def forget(folder: str | os.PathLike[str], matches: Callable[[Mapping[str, Any]], bool]) -> int:
    """Take the records for which `matches` says yes out of every segment of a spool; how many there were.

    Each record is a draft (`{"kind": "interaction", ...}`). Safe while recorders write there: they notice. A line that
    is no record is taken out too, since nobody can tell whose it is.
    """
    removed = 0
    place = Path(folder)
    if not place.is_dir():
        return 0
    with _gate(place):
        for path in sorted(place.glob("*.jsonl")):
            kept = bytearray()
            before = removed
            for line in path.read_bytes().splitlines(keepends=True):
                draft = _draft(line)
                if draft is None or matches(draft):
                    removed += 1
                else:
                    kept += line
            if removed == before:
                continue
            beside = path.with_suffix(".rewritten")
            with open(beside, "wb") as file:
                os.chmod(beside, 0o600)
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        _sync_folder(place)
    return removed


def _append(path: Path, data: bytes) -> None:
    """Append and sync, all or nothing."""
    with open(path, "ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(data) != len(data):
                raise OSError(f"{path} took only a part of {len(data):,} bytes")
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), before)
            raise


def _draft(line: bytes) -> Mapping[str, Any] | None:
    try:
        draft = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return draft if isinstance(draft, dict) else None


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    """One at a time in a folder, over all processes."""
    with open(folder / _GATE, "ab") as file:
        _lock(file, wait=True)
        yield


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock a file until it is closed, or its process ends."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if wait:
            raise
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
