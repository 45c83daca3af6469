"""Between recorder and server everything breaks: connections, answers, the server. Nothing is lost, nothing is doubled.

`FLYWHEEL_FAULT_AWAY` sets for how many seconds the server is away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forked_server import NEVER, Lives, free_port
from storm_proxy import StormProxy

import flywheel

AWAY = float(os.environ.get("FLYWHEEL_FAULT_AWAY", "5"))
WRITERS, RECORDS, TIMES = 8, 120, 10

pytestmark = pytest.mark.fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bot"
    flywheel.open(place, task="classification").close()
    return place


@pytest.fixture
def lives(folder: Path) -> Iterator[Lives]:
    """The server's lives; `lives.port` is where each of them listens."""
    lives = Lives(folder, free_port())
    yield lives
    lives.close()


class Writer:
    """A product in a process of its own."""

    def __init__(self, port: int, name: str, *, records: int, times: int = 1, **told: Any) -> None:
        self.name = name
        options = {"max_age": 0.05, "batch_records": 10, "timeout": 20.0, **told.pop("options", {})}
        plan = {"pause": 0.0, "patience": 4 * NEVER, "words": 20, **told}
        plan |= {"url": f"http://127.0.0.1:{port}", "name": name, "records": records, "times": times}
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("storm_writer.py")),
                json.dumps({**plan, "options": options}),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def logged(self) -> None:
        """Wait until it has logged everything."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "logged\n"

    def stats(self) -> dict[str, Any]:
        """What its recorder says in the end."""
        out, _ = self.process.communicate(timeout=6 * NEVER)
        assert self.process.returncode == 0
        return json.loads(out.splitlines()[-1])


def look(folder: Path) -> tuple[Counter[str], dict[str, int]]:
    """The ids that are there, and the books, which balance."""
    with flywheel.open(folder) as fw:
        rows, after = [], 0
        while batch := fw._store.log.read(after):
            rows.extend(batch)
            after = batch[-1].seq
        books = fw.books()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), "the sequence has a gap"
        assert all(
            f"question {row.id} word" in row.body.decode()
            for row in rows
            if row.kind == "interaction" and "-" in row.id
        )
        assert books["received"] == sum(books[part] for part in ("stored", "duplicates", "rejected", "dead_lettered"))
        assert books["stored"] == len(rows)
    return Counter(row.id for row in rows if row.id != "the first"), books


def wanted(name: str, records: int) -> set[str]:
    return {f"{kind}{name}-{number}" for number in range(records) for kind in ("", "f-")}


def test_cut_connections_storms_and_every_record_ten_times(folder, lives, capsys):
    lives.begin()
    lives.served()
    proxy = StormProxy(lives.port, cut=0.3, every=2.0, storm=0.4)
    # Eight writers send the same records: two of them twice, so that each is sent ten times.
    people = [Writer(proxy.port, "all", records=RECORDS, times=2 if n < TIMES - WRITERS else 1) for n in range(WRITERS)]
    stats = [person.stats() for person in people]
    proxy.close()
    found, books = look(folder)
    assert set(found) == wanted("all", RECORDS)
    assert max(found.values()) == 1
    for one in stats:
        assert one["dropped"] == {}
        assert one["delivered"] == one["logged"]
    sent = sum(one["logged"] for one in stats)
    assert sent == TIMES * 2 * RECORDS
    assert books["stored"] == 2 * RECORDS + 1  # and the server's own first one
    assert books["received"] >= sent + 1
    assert books["duplicates"] == books["received"] - books["stored"]
    assert books["rejected"] == books["dead_lettered"] == 0
    cuts = proxy.met.total() - proxy.met["whole"] - proxy.met["storm"]
    assert all(proxy.met[fate] for fate in ("before", "inside", "unanswered", "half answered", "answered", "storm"))
    with capsys.disabled():
        print(
            f"\n{sent} records in {proxy.met.total()} connections, {cuts} of them cut, {proxy.met['storm']} turned "
            f"away: 0 of {2 * RECORDS} lost, 0 doubled"
        )


def test_a_server_that_is_away_and_recorders_with_a_spool(folder, lives, tmp_path, capsys):
    child = lives.begin()
    lives.served()
    proxy = StormProxy(lives.port, cut=0.3)
    told = {"records": 150, "pause": AWAY / 150, "patience": 4 * NEVER}
    people = [Writer(proxy.port, f"w{n}", options={"spool": str(tmp_path / f"spool{n}")}, **told) for n in range(4)]
    time.sleep(AWAY / 4)
    lives.kill(child)
    gone = time.monotonic()
    people[0].logged()
    time.sleep(1)  # until everything is in its spool
    people[0].process.kill()
    time.sleep(max(0.0, gone + AWAY - time.monotonic()))
    lives.begin()
    lives.served()
    again = Writer(proxy.port, "again", records=1, options={"spool": str(tmp_path / "spool0")})
    stats = [person.stats() for person in (*people[1:], again)]
    proxy.close()
    found, books = look(folder)
    assert set(found) == wanted("again", 1).union(*(wanted(f"w{n}", 150) for n in range(4)))
    assert max(found.values()) == 1
    assert all(one["delivered"] == one["logged"] and one["dropped"] == {} for one in stats)
    assert stats[-1]["recovered"] > 0
    assert books["stored"] == len(found) + 1
    assert books["rejected"] == books["dead_lettered"] == books.get("client_dropped", 0) == 0
    with capsys.disabled():
        print(f"\naway for {AWAY:g} s, with spools, one recorder killed: {len(found)} records, 0 lost, 0 doubled")


def test_a_server_that_is_away_and_recorders_without_a_spool(folder, lives, capsys):
    child = lives.begin()
    lives.served()
    proxy = StormProxy(lives.port, cut=0.3)
    options = {"max_memory_bytes": 40_000}  # about a hundred records
    told = {"records": 600, "pause": AWAY / 600, "options": options}
    people = [Writer(proxy.port, f"w{n}", **told) for n in range(4)]
    time.sleep(AWAY / 4)
    lives.kill(child)
    time.sleep(AWAY)
    proxy.next = ["unanswered", "half answered"] * 3  # what is told with them is known already when it is told again
    lives.begin()
    lives.served()
    stats = [person.stats() for person in people]
    proxy.close()
    found, books = look(folder)
    assert max(found.values()) == 1
    dropped = 0
    for number, one in enumerate(stats):
        assert set(one["dropped"]) == {"queue full"}
        assert one["logged"] == one["delivered"] + one["dropped"]["queue full"]
        assert one["delivered"] == len(set(found) & wanted(f"w{number}", 600)) > 0
        dropped += one["dropped"]["queue full"]
    assert books["client_dropped"] == dropped
    assert books["stored"] == len(found) + 1
    assert books["rejected"] == books["dead_lettered"] == 0
    with capsys.disabled():
        print(f"\naway for {AWAY:g} s, no spools: {len(found)} stored, {dropped} dropped, counted and told: exactly")
