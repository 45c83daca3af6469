"""A disk that is full or fails, at every write: a clear error, nothing lost, nothing doubled, and on it goes."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from starlette.testclient import TestClient

import flywheel
from flywheel.config import Config
from flywheel.errors import Retryable, StoreUnavailable
from flywheel.records import Feedback, Interaction
from flywheel.server import make_app
from flywheel.store import Letter, Store, codec, database
from flywheel.testing.disk import CANT_OPEN, FSYNC_FAILED, FULL, WRITE_FAILED, Disk, watched

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)

pytestmark = pytest.mark.fault

Step = Callable[[Store], object]


def ask(key: str, text: str = "hello") -> Interaction:
    return Interaction(id=key, at=AT, input=text, output="answer", context={"n": len(key)})


def say(key: str, about: str) -> Feedback:
    return Feedback(id=key, interaction_id=about, at=AT, kind="rating", value=-1)


def commit(*records: Interaction | Feedback, letters: tuple[bytes, ...] = (), dropped: int = 0) -> Step:
    encoded = [codec.encode(record) for record in records]
    kept = [Letter("test", "not JSON", body, AT) for body in letters]
    counts = {"received": len(encoded) + len(kept) + dropped, "rejected": dropped}
    return lambda store: store.log.commit(encoded, AT, kept, counts)


def settle(store: Store) -> None:
    """What a person does with a letter: look whether it is there, then settle it."""
    for letter in store.log.dead_letters():
        if letter["body"] == b"{":
            store.log.settle_letter(letter["id"], [codec.encode(ask("mended"))])


STEPS: tuple[Step, ...] = (
    commit(ask("a")),
    commit(ask("b"), ask("a"), say("fb", "b")),
    commit(*(ask(f"many-{i}", "word " * 60 * i) for i in range(8))),
    commit(ask("a", "other content"), letters=(b"{", b"["), dropped=1),
    settle,
    lambda store: store.state.set("number", 7),
    commit(ask("large", "x" * 20_000)),
    commit(ask("c"), ask("c"), ask("b")),
)


class Trouble:
    """The disk does as it should until the n-th operation; then that one fails, or every one until it is mended."""

    def __init__(self, disk: Disk, at: int, codes: dict[str, int], lasting: bool) -> None:
        self.disk, self.left, self.codes, self.lasting = disk, at, codes, lasting
        self.struck = self.seen = 0
        disk.refuse = self.refuse

    def refuse(self, operation: str, _name: str) -> int | None:
        if operation not in self.codes:
            return None
        self.seen += 1
        self.left -= 1
        if self.left > 0 or (self.struck and not self.lasting):
            return None
        self.struck += 1
        return self.codes[operation]

    def mend(self) -> None:
        self.disk.refuse = None


def everything(store: Store) -> dict[str, Any]:
    """All that the log and the state hold."""
    return {
        "rows": [(row.seq, row.kind, row.id, row.body) for row in store.log.read(0)],
        "books": store.log.books(),
        "counts": store.log.counts(),
        "letters": [letter["body"] for letter in store.log.dead_letters()],
        "conflicts": [conflict["body"] for conflict in store.log.conflicting()],
        "number": store.state.get("number"),
    }


def balanced(books: dict[str, int]) -> bool:
    return books["received"] == sum(books[name] for name in ("stored", "duplicates", "rejected", "dead_lettered"))


def insist(call: Callable[[], Any], trouble: Trouble, store: Store | None) -> Any:
    """Call as a patient caller does: after a `StoreUnavailable`, again when the disk is mended."""
    before = everything(store) if store else None
    try:
        return call()
    except Retryable as raised:
        problem = raised
    assert isinstance(problem, StoreUnavailable), problem
    assert trouble.struck
    assert "flywheel.db" in str(problem)
    assert "again" in str(problem)
    if store:
        assert everything(store) == before, "a call that failed left something behind"
    trouble.mend()
    return call()


def run(folder: Path, steps: tuple[Step, ...], at: int, codes: dict[str, int], lasting: bool) -> tuple[Any, Trouble]:
    """Open the folder, take the steps and close it, with trouble at the n-th operation; what it holds then."""
    with watched(folder) as disk:
        trouble = Trouble(disk, at, codes, lasting)
        store = insist(lambda: Store.open(folder, Config()), trouble, None)
        for step in steps:
            insist(lambda step=step: step(store), trouble, store)
        held = everything(store)
        store.close()
        trouble.mend()
    with closing(Store.open(folder, Config())) as store:
        assert everything(store) == held, "reopening shows something else"
        assert balanced(held["books"])
    with closing(sqlite3.connect(folder / "flywheel.db")) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    return held, trouble


@pytest.fixture
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PRAGMAS", (*database._PRAGMAS, "PRAGMA wal_autocheckpoint=20"))


FAULTS = {
    "full": ({"write": FULL, "open": CANT_OPEN}, True),
    "a failing write": ({"write": WRITE_FAILED, "truncate": WRITE_FAILED}, False),
    "a failing sync": ({"sync": FSYNC_FAILED}, False),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("fresh", [True, False], ids=["a new folder", "a folder in use"])
def test_trouble_at_every_operation(tmp_path, frequent_checkpoints, capsys, fault, fresh):
    codes, lasting = FAULTS[fault]
    begun = tmp_path / "begun"
    begun.mkdir()
    if not fresh:
        with closing(Store.open(begun, Config())) as store:
            STEPS[0](store)
    steps = STEPS[:1] if fresh else STEPS[1:]

    def attempt(at: int) -> tuple[Any, Trouble]:
        folder = tmp_path / "bot"
        shutil.copytree(begun, folder)
        try:
            return run(folder, steps, at, codes, lasting)
        finally:
            shutil.rmtree(folder)

    expected, undisturbed = attempt(1_000_000)
    assert undisturbed.struck == 0
    for at in range(1, undisturbed.seen + 1):
        held, trouble = attempt(at)
        assert trouble.struck, f"operation {at} never came"
        assert held == expected, f"trouble at operation {at}"
    with capsys.disabled():
        print(f"\n{fault} at each of {undisturbed.seen} operations: nothing lost, nothing doubled")


def test_four_writers_on_a_disk_that_is_full_every_now_and_then(tmp_path, frequent_checkpoints):
    chance = random.Random(5)
    left = {"failing": 0}
    (tmp_path / "bot").mkdir()

    def refuse(operation: str, _name: str) -> int | None:
        if not left["failing"] and chance.random() < 0.01:
            left["failing"] = chance.randint(1, 40)
        left["failing"] = max(0, left["failing"] - 1)
        codes = {"write": (FULL, WRITE_FAILED), "open": (CANT_OPEN,), "sync": (FSYNC_FAILED,)}
        return chance.choice(codes.get(operation, (FULL,))) if left["failing"] else None

    def write(writer: int) -> int:
        refused = 0
        for number in range(40):
            step = commit(ask(f"{writer}-{number}"), ask(f"shared-{number}"), letters=(b"%d" % number,), dropped=1)
            while True:
                try:
                    step(store)
                    break
                except StoreUnavailable:
                    refused += 1
        return refused

    with watched(tmp_path / "bot") as disk:
        store = Store.open(tmp_path / "bot", Config())
        disk.refuse = refuse
        with ThreadPoolExecutor(4) as pool:
            refused = sum(pool.map(write, range(4)))
        disk.refuse = None
        held = everything(store)
        store.close()
    assert refused > 20
    assert sorted(row[2] for row in held["rows"]) == sorted(
        [f"shared-{n}" for n in range(40)] + [f"{writer}-{n}" for writer in range(4) for n in range(40)]
    )
    assert held["books"] == {
        "received": 640, "stored": 200, "duplicates": 240, "rejected": 160, "dead_lettered": 40,
    }  # fmt: skip
    with closing(Store.open(tmp_path / "bot", Config())) as store:
        assert everything(store) == held


def test_a_server_says_503_until_there_is_space(tmp_path):
    (tmp_path / "bot").mkdir()
    with watched(tmp_path / "bot") as disk, flywheel.open(tmp_path / "bot") as fw:
        with TestClient(make_app({"bot": fw}), base_url="http://127.0.0.1") as client:

            def post(key: str) -> Response:
                return client.post("/v1/interactions", json=[{"id": key, "input": key}])

            assert post("a").json()["accepted"] == 1
            disk.refuse = lambda operation, name: FULL if operation == "write" else None
            for _ in range(3):
                answer = post("b")
                assert answer.status_code == 503
                assert answer.headers["Retry-After"]
                assert "nothing of it was stored" in answer.json()["error"]["message"]
            bad = client.post("/v1/interactions", content=b"{{", headers={"Content-Type": "application/json"})
            assert bad.status_code == 503, "a dead letter that cannot be kept is to be sent again"
            assert [item["id"] for item in client.get("/v1/interactions").json()["items"]] == ["a"]
            disk.refuse = None
            assert post("b").json()["accepted"] == 1
        books = {"received": 2, "stored": 2, "duplicates": 0, "rejected": 0, "dead_lettered": 0}
        assert fw.books() == books


# --- a real disk without space ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB and 100 files in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.name != "posix" or mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root on Linux")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=8m,nr_inodes=100", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    """Fill a disk to the last byte, or all but `leave` bytes; deleting the file frees it again."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as out, suppress(OSError):
        while out.write(bytes(4096)):
            pass
    assert shutil.disk_usage(place).free == 0
    os.truncate(ballast, ballast.stat().st_size - leave)
    return ballast


def test_the_log_on_a_disk_that_really_is_full(small_disk):
    with closing(Store.open(small_disk / "bot", Config())) as store:
        for number in range(20):
            commit(ask(f"a{number}"))(store)
        ballast = fill(small_disk)
        acknowledged, refused = [f"a{number}" for number in range(20)], []
        for number in range(60):
            try:
                commit(ask(f"b{number}", "word " * 400))(store)
                acknowledged.append(f"b{number}")
            except StoreUnavailable:
                refused.append(f"b{number}")
        assert len(refused) > 30
        with pytest.raises(StoreUnavailable, match=r"full.*space"):
            commit(ask(refused[0], "word " * 400))(store)
        assert [row.id for row in store.log.read(0)] == acknowledged
        ballast.unlink()
        for key in [*refused, *acknowledged]:
            commit(ask(key, "word " * 400 if key[0] == "b" else "hello"))(store)
        held = everything(store)
        assert [row[2] for row in held["rows"]] == acknowledged + refused
        assert held["books"]["received"] == 2 * len(acknowledged) + len(refused)
        assert held["books"]["duplicates"] == len(acknowledged)
        assert balanced(held["books"])
    with closing(Store.open(small_disk / "bot", Config())) as store:
        assert everything(store) == held


def test_opening_on_a_full_disk_says_so_and_works_when_there_is_space(small_disk):
    ballast = fill(small_disk)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="space"):
            Store.open(small_disk / "bot", Config())
    with pytest.raises(StoreUnavailable, match=r"flywheel.toml.*space"):
        flywheel.open(small_disk / "bot")
    assert not (small_disk / "bot" / "flywheel.toml").exists(), "no settings rather than half of them"
    ballast.unlink()
    with closing(Store.open(small_disk / "bot", Config())) as store:
        commit(ask("a"))(store)
    ballast = fill(small_disk)
    with pytest.raises(StoreUnavailable, match="space"):
        Store.open(small_disk / "bot", Config())  # SQLite needs 32 KB for what its processes share
    os.truncate(ballast, ballast.stat().st_size - 65_536)
    with closing(Store.open(small_disk / "bot", Config())) as store:
        assert [row.id for row in store.log.read(0)] == ["a"], "with a little space what is there can be read"
        with pytest.raises(StoreUnavailable, match="space"):
            commit(ask("b", "x" * 100_000))(store)


def test_opening_where_no_file_can_be_made_says_so(small_disk):
    spare: list[Path] = []
    with suppress(OSError):
        for number in range(1000):
            (small_disk / f"file-{number}").touch()
            spare.append(small_disk / f"file-{number}")
    assert 80 < len(spare) < 1000
    for _ in range(4):  # room for: nothing; the folder; its locks; a lock
        with pytest.raises(StoreUnavailable, match="space"):
            Store.open(small_disk / "bot", Config())
        spare.pop().unlink()
    for _ in range(10):
        spare.pop().unlink()
    with closing(Store.open(small_disk / "bot", Config())) as store:
        commit(ask("a"))(store)


def test_the_tables_wait_for_space_and_the_log_goes_on(small_disk):
    noise = random.Random(3)
    with closing(Store.open(small_disk / "bot", Config())) as store:
        store.log.append([ask("first")])
        assert store.tables.sync(store.log) == 1
        commit(*(ask(f"a{number}", noise.randbytes(200).hex()) for number in range(3000)))(store)
        ballast = fill(small_disk, leave=200_000)
        for number in range(3):
            with pytest.raises(StoreUnavailable, match="space"):
                store.tables.sync(store.log)
            store.log.append([ask(f"meanwhile-{number}")])
        assert store.tables.snapshot().count() == 1
        ballast.unlink()
        assert store.tables.sync(store.log) == 3003
        assert store.tables.snapshot().count() == 3004
