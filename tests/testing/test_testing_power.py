"""The model of a power cut keeps what was synced, and lets everything else happen."""

import sqlite3
from contextlib import closing, suppress

import pytest

from flywheel.testing.disk import FSYNC_FAILED, FULL, Entry, Lost, Mark, Sync, SyncFolder, Truncate, Write, watched
from flywheel.testing.power import SECTOR, power_cuts


def insert(folder, values, synchronous="FULL"):
    with closing(sqlite3.connect(folder / "a.db", isolation_level=None)) as plain:
        plain.execute("PRAGMA journal_mode=WAL")
        plain.execute(f"PRAGMA synchronous={synchronous}")
        plain.execute("CREATE TABLE IF NOT EXISTS t (x)")
        for value in values:
            plain.execute("INSERT INTO t VALUES (?)", (value,))
            yield value


def left_in(disk, cuts=300):
    """Every distinct content of the file `f` (None: it is not there) after a cut at the end."""
    disk.events.append(Mark("the end"))
    return {cut.files.get("f") for cut in power_cuts(disk, cuts, seed=2) if "the end" in cut.marks}


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "f").write_bytes(b"o" * SECTOR * 2)
    with watched(tmp_path) as disk:
        return disk


def test_what_was_synced_is_there(disk):
    disk.events += [Write(0, 0, b"n" * SECTOR), Sync(0, 1)]
    assert left_in(disk) == {b"n" * SECTOR + b"o" * SECTOR}


def test_sectors_that_were_not_synced_arrive_or_not_by_themselves_and_torn(disk):
    disk.events += [Write(0, 0, b"n" * SECTOR * 2)]
    found = left_in(disk, 2000)
    old, new = b"o" * SECTOR, b"n" * SECTOR
    assert {old + old, old + new, new + old, new + new} < found
    assert all(sector.rstrip(b"o").strip(b"n") == b"" for image in found for sector in (image[:SECTOR], image[SECTOR:]))


def test_bytes_beside_a_write_never_change(disk):
    disk.events += [Write(0, 100, b"n" * 50)]
    for image in left_in(disk):
        assert image[:100] == b"o" * 100
        assert image[150:] == b"o" * (2 * SECTOR - 150)


def test_a_size_that_was_not_synced_is_old_or_new(disk):
    disk.events += [Truncate(0, 10)]
    assert {len(image) for image in left_in(disk)} == {10, 2 * SECTOR}


def test_a_sync_covers_only_what_came_before_it_began(disk):
    disk.events += [Write(0, 0, b"1"), Write(0, 1, b"2"), Sync(0, 1)]
    assert {image[:2] for image in left_in(disk)} == {b"1o", b"12"}


def test_what_a_failed_sync_left_out_never_arrives(disk):
    disk.events += [Write(0, 0, b"1"), Lost(0, 1), Write(0, 1, b"2"), Sync(0, 3)]
    assert {image[:2] for image in left_in(disk)} == {b"o2"}


def test_names_need_their_folder_synced(disk):
    disk.events += [Entry("f", None), Entry("f", 1), Write(1, 0, b"new"), Sync(1, 3)]
    assert left_in(disk) == {None, b"new", b"o" * SECTOR * 2}
    disk.events += [SyncFolder(4)]
    disk.events += [Mark("really")]
    after = {cut.files.get("f") for cut in power_cuts(disk, 300, seed=2) if "really" in cut.marks}
    assert after == {b"new"}


def test_sqlite_is_watched_and_loses_nothing_with_care(tmp_path):
    for care, lossy in (("FULL", False), ("OFF", True)):
        folder = tmp_path / care
        folder.mkdir()
        with watched(folder) as disk:
            for value in insert(folder, range(12), care):
                disk.mark(value)
        missing = 0
        for number, cut in enumerate(power_cuts(disk, 40, seed=3)):
            cut.write(tmp_path / f"{care}-{number}")
            with closing(sqlite3.connect(tmp_path / f"{care}-{number}" / "a.db")) as plain:
                try:
                    found = [row[0] for row in plain.execute("SELECT x FROM t")]
                except sqlite3.DatabaseError:
                    found = []
            missing += len(set(cut.marks) - set(found))
        assert (missing > 0) == lossy


def test_a_disk_can_be_full_for_a_while(tmp_path):
    with watched(tmp_path) as disk:
        list(insert(tmp_path, [1]))
        for operation, code, said in (("write", FULL, "full"), ("sync", FSYNC_FAILED, "I/O")):
            disk.refuse = lambda asked, name, operation=operation, code=code: code if asked == operation else None
            with pytest.raises(sqlite3.OperationalError, match=said):
                list(insert(tmp_path, [2]))
            disk.refuse = None
        list(insert(tmp_path, [3]))
    with closing(sqlite3.connect(tmp_path / "a.db")) as plain:
        assert plain.execute("SELECT x FROM t").fetchall() == [(1,), (3,)]


def test_one_folder_at_a_time(tmp_path):
    with watched(tmp_path), pytest.raises(RuntimeError, match="already"), watched(tmp_path):
        pass


def test_a_mistake_of_the_test_is_told(tmp_path):
    def ask_wrongly():
        with watched(tmp_path) as disk, suppress(sqlite3.OperationalError):
            disk.refuse = lambda operation, name: {}["mistake"]
            list(insert(tmp_path, [1]))

    with pytest.raises(KeyError, match="mistake"):
        ask_wrongly()
    list(insert(tmp_path, [1]))
