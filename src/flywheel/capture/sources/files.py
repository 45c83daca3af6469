"""Files that logs lie in: where they are, what their ending says, how far they have been read.

Packed files (gzip, bzip2, xz) are read as if they were not.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from flywheel.errors import InvalidConfig, NotFound

__all__ = [
    "AS_TEXT",
    "ENDINGS",
    "LONGEST_LINE",
    "Line",
    "LineFile",
    "file_at",
    "first_bytes",
    "format_of",
    "unpacked",
    "unreadable",
]

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""What a file's name says about its format."""

LONGEST_LINE = 64 * 1024 * 1024
AS_TEXT = ("input", "error", "comment", "report", "id", "interaction_id", "user", "session", "model", "by")
"""Fields whose cells are text even where they look like numbers."""

BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What a packed file that breaks off raises."""

_PACKED_NAME = re.compile(r"\.(gz|bz2|xz)\Z", re.IGNORECASE)
_MAGIC: tuple[tuple[bytes, Any], ...] = ((b"\x1f\x8b", gzip.GzipFile), (b"BZh", bz2.BZ2File), (b"\xfd7zXZ", lzma.open))
_HEAD = 4096


def format_of(location: str) -> str:
    """Name the format of a file by its ending: `jsonl`, `csv` or `parquet`; what packs it does not count.

    >>> format_of("logs/2026-01.ndjson.gz")
    'jsonl'
    """
    ending = Path(_PACKED_NAME.sub("", location)).suffix.lower()
    if ending not in ENDINGS:
        raise InvalidConfig(f"{location!r} does not end in one of {', '.join(ENDINGS)}: say which format it has")
    return ENDINGS[ending]


def unreadable(place: str, problem: str, body: Any = None) -> dict[str, Any]:
    """What stands for a row that could not be read; `body` is as much of it as may be kept."""
    draft = {"kind": "unreadable", "place": place, "problem": problem}
    return draft if body is None else {**draft, "body": body}


def file_at(location: str) -> Path:
    """The file at a location; `NotFound` when there is none."""
    path = Path(location).expanduser()
    if not path.is_file():
        raise NotFound(f"there is no file {location!r}. Check the path")
    return path


def unpacked(raw: IO[bytes]) -> IO[bytes]:
    """The content of an open file, unpacked where it is packed."""
    head = raw.read(6)
    raw.seek(0)
    for magic, reader in _MAGIC:
        if head.startswith(magic):
            return cast(IO[bytes], reader(fileobj=raw) if reader is gzip.GzipFile else reader(raw))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise InvalidConfig("it is packed with zstd, which is not read. Unpack it first: zstd -d")
    return raw


def first_bytes(path: Path, count: int) -> bytes:
    """The beginning of a file's content, as far as it can be unpacked."""
    try:
        with path.open("rb") as raw:
            return unpacked(raw).read(count)
    except BROKEN:
        return b""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file with its end, by number from 1; or the `problem` why it cannot be read."""

    number: int
    bytes: bytes
    problem: str | None = None


class LineFile:
    """A text file read line by line, which knows how far it is and goes on from there.

    `done` is the share that has been read. `cursor` is where the last line that was yielded ended; it goes on in the
    same file, also after it has grown, renamed or moved. In another file it says nothing, and all is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done = 0.0
        self._byte = self._number = 0
        self._last = b""
        self._head = _digest(first_bytes(path, _HEAD))
        self.resumed = False

    @property
    def cursor(self) -> str | None:
        """Where the last line ended; it holds no word of the file."""
        if not self._number:
            return None
        place = {"byte": self._byte, "line": self._number, "length": len(self._last), "last": _digest(self._last)}
        return json.dumps({**place, "head": self._head} if self._byte >= _HEAD else place)

    def lines(self, after: str | None = None) -> Iterator[Line]:
        """Yield the lines, or those after a cursor; a file that breaks off ends with a problem."""
        size = max(1, self._path.stat().st_size)
        self.done, self._byte, self._number, self._last, self.resumed = 0.0, 0, 0, b"", False
        try:
            with self._path.open("rb") as raw:
                content = unpacked(raw)
                if after is not None:
                    self._go_on(content, after)
                while line := content.readline(LONGEST_LINE):
                    problem = None
                    length = len(line)
                    if length == LONGEST_LINE and not line.endswith(b"\n"):
                        problem = f"the line is longer than {LONGEST_LINE:,} bytes"
                        while rest := content.readline(LONGEST_LINE):
                            length += len(rest)
                            if rest.endswith(b"\n"):
                                break
                    self._byte += length
                    self._number += 1
                    self._last = line if problem is None else b""
                    if self._number % 64 == 0:
                        self.done = min(1.0, os.lseek(raw.fileno(), 0, os.SEEK_CUR) / size)
                    yield Line(self._number, line if problem is None else b"", problem)
        except BROKEN as problem:
            if isinstance(problem, FileNotFoundError | PermissionError):
                raise
            yield Line(self._number + 1, b"", f"the file breaks off here: {problem}")
        self.done = 1.0

    def _go_on(self, content: IO[bytes], cursor: str) -> None:
        place = _place(cursor)
        byte, length = place["byte"], place["length"]
        same = place.get("head") in (None, self._head)
        if same and byte >= length:
            content.seek(byte - length)
            last = content.read(length)
            if len(last) == length and _digest(last) == place["last"]:
                self._byte, self._number, self._last, self.resumed = byte, place["line"], last, True
                return
        content.seek(0)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def _place(cursor: str) -> dict[str, Any]:
    try:
        place = json.loads(cursor)
        if all(isinstance(place[name], int) for name in ("byte", "line", "length")) and isinstance(place["last"], str):
            return dict(place)
    except (ValueError, KeyError, TypeError):
        pass
    raise InvalidConfig(f"{cursor[:80]!r} is not a cursor of a file. Leave it out to read from the start")
