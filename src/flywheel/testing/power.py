"""Power cuts in a model: what a disk may hold when the power goes at any moment of a recorded run.

    with watched(folder) as disk: ...                  # `flywheel.testing.disk` records the run
    for cut in power_cuts(disk, 2000, seed=1):
        cut.write(tmp_path / "after")                  # open it, and look whether `cut.marks` is all there

The model is as unkind as POSIX allows. Of each file that is there which was synced. Of what came after, each sector of
512 bytes is there or not by itself, in any version it has had since, now and then torn in the middle; the file is as
long as it was at any moment since, with zeros where data did not arrive; making it shorter happened at once or not at
all, also when what was written later arrived; and a name that was made or deleted, but whose folder was
not synced, may lead to the new file, to the old one or to nothing. What a failed sync was to bring never arrives,
unless it is written again (https://lwn.net/Articles/752063/). Bytes that nobody wrote never change (which SQLite
relies on too: https://sqlite.org/psow.html).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flywheel.testing.disk import Disk, Entry, Lost, Mark, Sync, SyncFolder, Truncate, Write

__all__ = ["SECTOR", "Cut", "power_cuts"]

SECTOR = 512
_TORN = 0.05  # share of the unsynced sectors that are torn in the middle
_LUCK = ((1.0, 0.0), (0.0, 1.0), (0.9, 0.1), (0.1, 0.9), (0.5, 0.5), (0.0, 0.0))  # chance of the newest, of the oldest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cut:
    """One power cut: the event it came before, what was marked until then, and the files that are left."""

    at: int
    marks: list[Any]
    files: dict[str, bytes]

    def write(self, folder: Path) -> None:
        """Write the files into a folder, which is made."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def power_cuts(disk: Disk, cuts: int, seed: int) -> Iterator[Cut]:
    """Yield `cuts` power cuts in the order of their moments, each drawn uniformly among the recorded events.

    The same events and seed give the same cuts. Memory: the files once, and what was not synced.
    """
    chance = random.Random(seed)
    moments = sorted(chance.randrange(len(disk.events) + 1) for _ in range(cuts))
    files = {number: _File(bytearray(content)) for number, (_, content) in disk.first.items()}
    names = _Names({name: number for number, (name, _) in disk.first.items()})
    marks: list[Any] = []
    position = 0
    for moment in moments:
        for index in range(position, moment):
            match disk.events[index]:
                case Write(file) | Truncate(file) as change:
                    files[file].pending.append((index, change))
                case Sync(file, upto):
                    files[file].sync(upto)
                case Lost(file, upto):
                    files[file].lose(upto)
                case Entry(_, file) as entry:
                    names.pending.append((index, entry))
                    if file is not None:
                        files.setdefault(file, _File(bytearray()))
                case SyncFolder(upto):
                    names.sync(upto)
                case Mark(value):
                    marks.append(value)
        position = moment
        luck = _Luck(chance)
        left = {name: files[number].after(luck) for name, number in names.after(luck).items()}
        yield Cut(moment, list(marks), left)


class _File:
    """What of a file is on stable storage, and what has happened to it since."""

    def __init__(self, durable: bytearray) -> None:
        self.durable = durable
        self.pending: list[tuple[int, Write | Truncate]] = []

    def sync(self, upto: int) -> None:
        for _, change in (one for one in self.pending if one[0] < upto):
            _apply(self.durable, change)
        self.pending = [one for one in self.pending if one[0] >= upto]

    def lose(self, upto: int) -> None:
        # After a failed sync a system takes what it had in memory for written, and never tries again.
        self.pending = [one for one in self.pending if one[0] >= upto or isinstance(one[1], Truncate)]

    def after(self, luck: _Luck) -> bytes:
        if not self.pending:
            return bytes(self.durable)
        truncations = sum(isinstance(change, Truncate) for _, change in self.pending)
        arrived = luck.one_of(list(range(truncations + 1)))
        left, latest = bytearray(self.durable), bytearray(self.durable)
        versions: dict[int, list[bytes]] = {}
        sizes = [len(left)]
        for _, change in self.pending:
            if isinstance(change, Truncate):
                arrived -= 1
                if arrived < 0:
                    continue
                _apply(left, change)
                _apply(latest, change)
                versions = _cut(versions, change.size)
                sizes = [change.size]
                continue
            _apply(latest, change)
            for sector in range(change.offset // SECTOR, -(-(change.offset + len(change.data)) // SECTOR)):
                place = slice(sector * SECTOR, (sector + 1) * SECTOR)
                versions.setdefault(sector, [_full(left[place])]).append(_full(latest[place]))
            sizes.append(len(latest))
        left.extend(bytes(max(sizes) + SECTOR - len(left)))
        for sector, had in versions.items():
            left[sector * SECTOR : (sector + 1) * SECTOR] = luck.torn(had)
        return bytes(left[: luck.one_of(sizes)])


class _Names:
    """The folder: which name leads to which file, on stable storage and since."""

    def __init__(self, durable: dict[str, int]) -> None:
        self.durable: dict[str, int | None] = {**durable}
        self.pending: list[tuple[int, Entry]] = []

    def sync(self, upto: int) -> None:
        self.durable.update((entry.name, entry.file) for index, entry in self.pending if index < upto)
        self.pending = [one for one in self.pending if one[0] >= upto]

    def after(self, luck: _Luck) -> dict[str, int]:
        versions: dict[str, list[int | None]] = {name: [file] for name, file in self.durable.items()}
        for _, entry in self.pending:
            versions.setdefault(entry.name, [None]).append(entry.file)
        left = {name: luck.one_of(had) for name, had in sorted(versions.items())}
        return {name: file for name, file in left.items() if file is not None}


class _Luck:
    """How much the disk had written of its own accord when one cut came: from everything to nothing."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._newest, self._oldest = chance.choice(_LUCK)

    def one_of(self, had: list[T]) -> T:
        """One of the versions, which stand in the order in which they came."""
        drawn = self._chance.random()
        if drawn < self._newest:
            return had[-1]
        return had[0] if drawn < self._newest + self._oldest else self._chance.choice(had)

    def torn(self, had: list[bytes]) -> bytes:
        """One of a sector's versions, or the beginning of one and the end of the one before."""
        if max(self._newest, self._oldest) < 1 and self._chance.random() < _TORN:
            newer, middle = self._chance.randrange(1, len(had)), self._chance.randrange(SECTOR)
            return had[newer][:middle] + had[newer - 1][middle:]
        return self.one_of(had)


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data


def _cut(versions: dict[int, list[bytes]], size: int) -> dict[int, list[bytes]]:
    """The versions of the sectors of a file that has been made shorter."""
    last, rest = divmod(size, SECTOR)
    left = {sector: had for sector, had in versions.items() if sector <= last}
    if last in left:
        left[last] = [_full(version[:rest]) for version in left[last]]
    return left


def _full(sector: bytes | bytearray) -> bytes:
    return bytes(sector).ljust(SECTOR, b"\0")
