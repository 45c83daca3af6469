"""Files of log lines: one, a folder or a pattern of them, rotated and compressed, oldest first."""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import json
import lzma
import os
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from flywheel.errors import InvalidConfig, NotFound

__all__ = ["Line", "LogFiles", "Occurrences"]

LONGEST_LINE = 64 * 1024
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)
_PACKED_NAME = re.compile(r"\.(gz|bz2|xz)\Z")
_ROTATION = re.compile(r"[-._]\d[\dT:_.-]*(?=\.|\Z)")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, without its end; or the `problem` why it cannot be read."""

    path: Path
    number: int
    text: str
    problem: str | None = None

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.path.name} line {self.number}"


class Occurrences:
    """Ids of lines: the same line has the same one in whichever rotated file it stands, and a second one its own.

    How often a line came is remembered for the last half million lines (60 MB), which is where a repetition can be: a
    repeated line has the same time.
    """

    _MOST = 500_000

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def id_of(self, stem: str, text: str) -> str:
        """The id of this occurrence of a line in files of this name."""
        digest = hashlib.blake2b(f"{stem}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        count = self._seen.pop(digest, 0) + 1
        self._seen[digest] = count
        if len(self._seen) > self._MOST:
            self._seen.popitem(last=False)
        if count > 1:
            digest = hashlib.blake2b(digest + str(count).encode(), digest_size=16).digest()
        return f"log_{digest.hex()}"


class LogFiles:
    """The files of a location, in the order in which they were written. `done` is the share that has been read.

    Oldest first means: by the first time that `time_in` finds in a file's first lines (it gets a line and when the
    file was last written), else by when it was last written.
    """

    def __init__(self, location: str, time_in: Callable[[str, datetime], str | None]) -> None:
        paths = _without_twins(_matching(location))
        keys = {path: self._began(path, time_in) for path in paths}
        self.paths = sorted(paths, key=lambda path: (keys[path], path.name))
        self.done = 0.0
        self._sizes = {path: path.stat().st_size for path in self.paths}
        self._whole = max(1, sum(self._sizes.values()))
        self._marks = {path: _fingerprint(path) for path in self.paths}
        self._reached: dict[str, tuple[int, int, str]] = {}

    def _began(self, path: Path, time_in: Callable[[str, datetime], str | None]) -> float:
        written = written_at(path)
        for line in first_lines(path, 20):
            said = time_in(line, written)
            if said is not None:
                began = datetime.fromisoformat(said)
                return (began if began.tzinfo else began.replace(tzinfo=UTC)).timestamp()
        return written.timestamp()

    def lines(self, path: Path) -> Iterator[Line]:
        """The lines of a file; what cannot be read of it is one line with a problem, and the end of the file."""
        before = sum(self._sizes[earlier] for earlier in self.paths[: self.paths.index(path)])
        number = 0
        try:
            with path.open("rb") as raw:
                packed = _unpacked(raw)
                while line := packed.readline(LONGEST_LINE + 2):
                    number += 1
                    if number % 256 == 0:
                        self.done = min(1.0, (before + os.lseek(raw.fileno(), 0, os.SEEK_CUR)) / self._whole)
                    if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                        while (rest := packed.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                            pass
                        yield Line(path, number, "", f"the line is longer than {LONGEST_LINE:,} bytes")
                    else:
                        yield Line(path, number, _text(line))
        except _BROKEN as problem:
            yield Line(path, number + 1, "", f"the file breaks off here: {problem}")
        self.done = min(1.0, (before + self._sizes[path]) / self._whole)

    def after(self, cursor: str | None) -> Iterator[tuple[Path, int]]:
        """The files in which there is something new since a cursor, each with the number of its lines that were done.

        A file is known again by how it begins, under whatever name. The one before a file with news is given too, as
        wholly done: a line may be repeated across the two. What a cursor does not know is read whole, and what is
        stored already is not stored twice.
        """
        known = _stands(cursor)
        self._reached = {
            self._marks[path]: known[self._marks[path]] for path in self.paths if self._marks[path] in known
        }
        done = [self._done(path) for path in self.paths]
        for number, path in enumerate(self.paths):
            news_next = any(lines < _ALL for lines in done[number + 1 : number + 2])
            if done[number] < _ALL or news_next:
                yield path, done[number]
                line, _, last = self._reached.get(self._marks[path], (0, 0, ""))
                if line:
                    self._reached[self._marks[path]] = line, self._sizes[path], last

    def reached(self, line: Line) -> None:
        """Note that everything up to this line of this file has been given."""
        self._reached[self._marks[line.path]] = line.number, 0, _digest(line.text)[:8]

    @property
    def cursor(self) -> str | None:
        """How far each file has been read: None before the first line. It holds no word of the files."""
        if not self._reached:
            return None
        return json.dumps(self._reached)

    def _done(self, path: Path) -> int:
        line, size, last = self._reached.get(self._marks[path], (0, 0, ""))
        if line and size == self._sizes[path]:
            return _ALL
        return line if line and self._holds(path, line, last) else 0

    def _holds(self, path: Path, number: int, last: str) -> bool:
        return any(line.number == number and _digest(line.text)[:8] == last for line in self.lines(path))


_ALL = 2**62


def written_at(path: Path) -> datetime:
    """When a file was last written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def stem_of(path: Path) -> str:
    """A file's name without what rotation adds to it.

    >>> [stem_of(Path(name)) for name in ("access.log", "access.log.12.gz", "app.log-20260131", "app-2026-01-31.log")]
    ['access.log', 'access.log', 'app.log', 'app.log']
    """
    return _ROTATION.sub("", _PACKED_NAME.sub("", path.name)) or path.name


def first_lines(path: Path, count: int) -> list[str]:
    """The first lines of a file that hold something, as far as they can be read."""
    found: list[str] = []
    try:
        with path.open("rb") as raw:
            packed = _unpacked(raw)
            for _ in range(10 * count):
                line = packed.readline(LONGEST_LINE)
                if not line or len(found) == count:
                    break
                if line.strip():
                    found.append(_text(line))
    except _BROKEN:
        pass  # whoever reads the file is told where it breaks off
    return found


def _fingerprint(path: Path) -> str:
    """What stays the same about a file when it is renamed, compressed or appended to: how it begins."""
    return _digest("\n".join([stem_of(path), *first_lines(path, 5)]))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _matching(location: str) -> list[Path]:
    path = Path(location).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [one for one in path.iterdir() if one.is_file() and not one.name.startswith(".")]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]
    if not found:
        raise NotFound(
            f"there is no file at {location!r}. Give a file, a folder of files, or a pattern such as logs/*.log*"
        )
    return found


def _without_twins(paths: list[Path]) -> list[Path]:
    """Leave out the packed copy of a file that stands beside it, as while it is being rotated."""
    names = set(paths)
    twins = {
        path
        for path in paths
        if _PACKED_NAME.search(path.name)
        and (plain := path.with_name(_PACKED_NAME.sub("", path.name))) in names
        and first_lines(plain, 5) == first_lines(path, 5)
    }
    return [path for path in paths if path not in twins]


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    head = raw.read(6)
    raw.seek(0)
    for magic, reader in _PACKED.items():
        if head.startswith(magic):
            return cast(IO[bytes], reader(raw))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise OSError("it is packed with zstd, which is not read. Unpack it first: zstd -d")
    return raw


def _text(line: bytes) -> str:
    """Bytes that are not UTF-8 are written out, so that no line is lost for a letter."""
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n").removeprefix("\ufeff")


def _stands(cursor: str | None) -> dict[str, tuple[int, int, str]]:
    if cursor is None:
        return {}
    try:
        said = json.loads(cursor)
        return {str(mark): (int(line), int(size), str(last)) for mark, (line, size, last) in said.items()}
    except (ValueError, AttributeError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of log files. Leave it out to read from the start"
        ) from problem
