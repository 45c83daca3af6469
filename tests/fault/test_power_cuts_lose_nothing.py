"""The power goes at any moment of a busy log: what was acknowledged is there byte for byte, and the books balance.

`FLYWHEEL_FAULT_CUTS` sets the number of power cuts.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from flywheel import config
from flywheel.capture.identity import pseudonym_key
from flywheel.config import Config
from flywheel.errors import StoreUnavailable
from flywheel.records import Feedback, Interaction
from flywheel.store import Letter, Store, codec, database
from flywheel.store.log import CONFLICT, Log
from flywheel.testing.disk import CANT_OPEN, FSYNC_FAILED, FULL, WRITE_FAILED, Disk, Lost, Mark, watched
from flywheel.testing.power import Cut, power_cuts

CUTS = int(os.environ.get("FLYWHEEL_FAULT_CUTS", "2000"))
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WRITERS, COMMITS = 4, 60

pytestmark = pytest.mark.fault


R = TypeVar("R")
Fact = tuple[int, bytes]  # kind and body


@dataclass(frozen=True)
class Begun:
    """What a call is about to store."""

    facts: list[Fact]


@dataclass(frozen=True)
class Promise:
    """What a call has acknowledged; `settled` is a letter that is none any more."""

    facts: list[Fact] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    setting: int = 0
    settled: bytes = b""


def ask(key: str, text: str) -> Interaction:
    return Interaction(id=key, at=AT, input=text, output={"answer": len(text)}, context={"n": len(key)})


def patient(call: Callable[[], R]) -> R:
    """Call until the disk takes it."""
    while True:
        try:
            return call()
        except StoreUnavailable:
            continue


def send(log: Log, disk: Disk, records: list[Interaction | Feedback], letters: list[Letter], dropped: int) -> None:
    """Append, again where the disk failed, then promise what the answer says."""
    encoded = [codec.encode(record) for record in records]
    arrived = len(records) + len(letters) + dropped
    disk.mark(Begun([(kind, body) for kind, _, _, body in encoded]))
    done = patient(lambda: log.commit(encoded, AT, letters, {"received": arrived, "rejected": dropped}))
    facts = [(kind, body) for (kind, _, _, body), fate in zip(encoded, done.fates, strict=True) if fate != CONFLICT]
    fates = {
        "received": arrived,
        "stored": done.stored,
        "duplicates": done.duplicates,
        "rejected": done.conflicts + dropped,
        "dead_lettered": done.letters,
    }
    disk.mark(Promise(facts, [letter.body for letter in letters], Counter(fates)))


def write(log: Log, disk: Disk, writer: int) -> None:
    """Commits of one small record to many large ones; duplicates, conflicts, feedback and dead letters among them."""
    chance = random.Random(writer)
    for turn in range(COMMITS):
        size = chance.choice((1, 1, 1, 2, 3, 12))
        letters, dropped = [], 0
        records: list[Interaction | Feedback] = [
            ask(f"{writer}-{turn}-{i}", "word " * chance.choice((1, 20, 20, 200, 3000))) for i in range(size)
        ]
        records.append(Feedback(id=f"f{writer}-{turn}", interaction_id=records[0].id, at=AT, kind="rating", value=-1))
        records.append(ask(f"shared-{turn}", "every writer sends it"))
        if turn % 5 == 0:
            records.append(ask("disputed", f"as {writer} has it at {turn}"))
        if turn % 7 == 0:
            letters = [Letter("test", "not JSON", b"{" * (turn + 1), AT), Letter("test", "mine", b"%d" % writer, AT)]
            dropped = 1
        send(log, disk, records, letters, dropped)


def live(folder: Path, disk: Disk, writers: int) -> None:
    """Three lives of a folder: several writers at once, one with checkpoints of every kind, and a quiet one."""
    with closing(Store.open(folder, Config())) as store, ThreadPoolExecutor(writers) as pool:
        list(pool.map(lambda writer: write(store.log, disk, writer), range(writers)))
    with closing(patient(lambda: Store.open(folder, Config()))) as store:
        for number in range(1, 13):
            patient(lambda number=number: store.state.set("number", number))
            disk.mark(Promise(setting=number))
            send(store.log, disk, [ask(f"later-{number}-{i}", "x" * 7 * i) for i in range(number)], [], 0)
            with closing(sqlite3.connect(folder / "flywheel.db")) as other, suppress(sqlite3.OperationalError):
                other.execute(f"PRAGMA wal_checkpoint({('PASSIVE', 'RESTART', 'TRUNCATE')[number % 3]})")
        letter = store.log.dead_letters(limit=1)[0]
        mended = codec.encode(ask("mended", "a letter that has become a record"))
        disk.mark(Begun([(mended[0], mended[3])]))
        disk.mark(Promise(settled=letter["body"]))  # from here on it may be one or the other
        patient(lambda: store.log.settle_letter(letter["id"], [mended]))
        disk.mark(Promise([(mended[0], mended[3])]))
        send(store.log, disk, [ask(f"many-{i}", "y" * (i % 900)) for i in range(400)], [], 0)
    with closing(patient(lambda: Store.open(folder, Config()))) as store:
        for number in range(60):
            send(store.log, disk, [ask(f"last-{number}", "z" * number)], [], 0)


@contextmanager
def pragmas(monkeypatch: pytest.MonkeyPatch, synchronous: str) -> Iterator[None]:
    """Frequent checkpoints, so that the log of the database is begun anew many times; and another care for the disk."""
    said = [line.replace("synchronous=FULL", f"synchronous={synchronous}") for line in database._PRAGMAS]
    assert f"PRAGMA synchronous={synchronous}" in said
    with monkeypatch.context() as patch:
        patch.setattr(database, "_PRAGMAS", (*said, "PRAGMA wal_autocheckpoint=60"))
        yield


def record(
    folder: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str, writers: int = WRITERS, trouble: float = 0.0
) -> Disk:
    """Watch a folder live, on a disk of which a share of the operations fails."""
    chance = random.Random(3)
    folder.mkdir()

    def refuse(operation: str, _name: str) -> int | None:
        codes = {"write": (FULL, WRITE_FAILED), "open": (CANT_OPEN,), "sync": (FSYNC_FAILED,)}
        failing = chance.random() < (20 * trouble if operation == "sync" else trouble)
        return chance.choice(codes.get(operation, (FULL,))) if failing else None

    with pragmas(monkeypatch, synchronous), watched(folder) as disk:
        if trouble:
            Store.open(folder, Config()).close()
            disk.refuse = refuse
        live(folder, disk, writers)
    return disk


def promised(cut: Cut) -> tuple[set[Fact], set[bytes], Counter[str], int]:
    """The facts, dead letters, counts and setting that were acknowledged before the cut."""
    promises = [mark for mark in cut.marks if isinstance(mark, Promise)]
    facts = {fact for promise in promises for fact in promise.facts}
    letters = {letter for promise in promises for letter in promise.letters} - {p.settled for p in promises}
    counted = sum((promise.counted for promise in promises), Counter())
    return facts, letters, counted, max((promise.setting for promise in promises), default=0)


def lost(cut: Cut, folder: Path, known: set[Fact]) -> int:
    """Open what a power cut has left, and look. Returns how many acknowledged things are not there.

    Whatever else may not be is asserted: damage, gaps, doubles, bytes that nobody sent, books that do not balance.
    """
    facts, letters, counted, setting = promised(cut)
    cut.write(folder)
    with closing(Store.open(folder, Config())) as store:
        with closing(sqlite3.connect(folder / "flywheel.db")) as plain:
            assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = [row for chunk in store.log.scan(0, store.log.last(), 100_000, 1 << 40) for row in chunk]
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "sequence numbers have a gap"
        there = Counter((row[1], row[3]) for row in rows)
        assert not there or max(there.values()) == 1, "a record is there twice"
        assert not set(there) - known, "the log holds what nobody sent"
        kept = Counter(letter["body"] for letter in store.log.dead_letters(limit=1000))
        books, counts = store.log.books(), store.log.counts()
        sums = sum(books[name] for name in ("stored", "duplicates", "rejected", "dead_lettered"))
        assert books["received"] == sums, books
        assert books["stored"] == len(rows), books
        assert books["dead_lettered"] == kept.total(), books
        assert [counts["interactions"], counts["feedback"]] == [sum(row[1] == kind for row in rows) for kind in (1, 2)]
        held = [*(key for key in facts if key in there), *(key for key in letters if key in kept)]
        short = sum(max(0, counted[name] - books[name]) for name in ("received", "duplicates", "rejected"))
        missing = len(facts) + len(letters) - len(held) + short + (store.state.get("number", 0) < setting)
        one = next(iter(sorted(there)), None)
        done = store.log.append([ask("after the cut", "it goes on"), *([codec.as_record(*one)] if one else [])])
        assert (done.stored, done.duplicates) == (1, int(one is not None))
    shutil.rmtree(folder)
    return missing


def everything_sent(disk: Disk) -> set[Fact]:
    marks = [event.value for event in disk.events if isinstance(event, Mark)]
    return {fact for mark in marks if isinstance(mark, Begun) for fact in mark.facts}


def cut_and_look(disk: Disk, cuts: int, after: Path) -> int:
    """Assert of so many power cuts that nothing acknowledged is lost; how many records that were."""
    known, acknowledged, looked = everything_sent(disk), 0, 0
    assert len(known) > 500
    for cut in power_cuts(disk, cuts, seed=1):
        missing = lost(cut, after, known)
        assert missing == 0, f"cut before event {cut.at} of {len(disk.events)}: {missing} acknowledged things are lost"
        acknowledged += len(promised(cut)[0])
        looked += 1
    assert looked == cuts
    return acknowledged


def test_what_was_acknowledged_survives_every_power_cut(tmp_path, monkeypatch, capsys):
    disk = record(tmp_path / "bot", monkeypatch, "FULL")
    acknowledged = cut_and_look(disk, CUTS, tmp_path / "after")
    with capsys.disabled():
        print(f"\n{CUTS} power cuts among {len(disk.events)} events: 0 of {acknowledged} acknowledged records are lost")


def test_also_where_the_disk_had_failed_before(tmp_path, monkeypatch, capsys):
    """What a failed sync should have brought to the disk never arrives, unless it is written again.

    One writer: a real system tells every handle of a file about a failed sync, the model only the one that asked.
    """
    disk = record(tmp_path / "bot", monkeypatch, "FULL", writers=1, trouble=0.005)
    failed = sum(isinstance(event, Lost) for event in disk.events)
    assert failed > 3
    cut_and_look(disk, CUTS // 10, tmp_path / "after")
    with capsys.disabled():
        print(f"\n{CUTS // 10} power cuts after {failed} failed syncs: no acknowledged record is lost")


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_the_model_shows_what_less_care_loses(tmp_path, monkeypatch, capsys, synchronous):
    disk = record(tmp_path / "bot", monkeypatch, synchronous)
    known = everything_sent(disk)
    cuts = max(20, CUTS // 10)
    losing = damaged = 0
    for cut in power_cuts(disk, cuts, seed=1):
        try:
            losing += lost(cut, tmp_path / "after", known) > 0
        except Exception:  # what a damaged file leads to can be anything
            damaged += 1
            shutil.rmtree(tmp_path / "after")
    with capsys.disabled():
        print(
            f"\nsynchronous={synchronous}: {losing} of {cuts} cuts lose acknowledged records, {damaged} damage the file"
        )
    assert losing + damaged > 0, "the model does not bite"
    if synchronous == "NORMAL":  # SQLite promises then that what is left is sound, only older
        assert damaged == 0


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The files and folders that Python code has synced: their number, and of a folder how many names it had then."""
    seen: list[tuple[int, int]] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        found = os.fstat(handle)
        seen.append((found.st_ino, len(os.listdir(handle)) if stat.S_ISDIR(found.st_mode) else -1))

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


posix = pytest.mark.skipif(os.name != "posix", reason="only there can a folder be synced")


@posix
def test_the_way_to_a_new_folder_is_on_stable_storage_too(tmp_path, synced):
    folder = tmp_path / "products" / "bots" / "one"
    Store.open(folder, Config()).close()
    assert {(place.stat().st_ino, 1) for place in (tmp_path, folder.parent, folder.parent.parent)} <= set(synced)
    synced.clear()
    Store.open(folder, Config()).close()
    assert not synced, "a folder in use stands already"


@posix
def test_the_settings_and_the_key_of_the_pseudonyms_are_on_stable_storage(tmp_path, synced):
    path = config.write(tmp_path, {"product": {"task": "ranking"}})
    assert (path.stat().st_ino, -1) in synced
    pseudonym_key(tmp_path)
    assert ((tmp_path / "pseudonym.key").stat().st_ino, -1) in synced
    assert (tmp_path.stat().st_ino, 2) in synced
    assert sorted(found.name for found in tmp_path.iterdir()) == ["flywheel.toml", "pseudonym.key"]
