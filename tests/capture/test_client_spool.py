"""Records in a spool are on disk until the server has answered: in order, bounded, adopted from the dead, erasable."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import nowhere, serving, storm

import flywheel
from flywheel.capture import spool as spooling
from flywheel.capture.delivery import Patience
from flywheel.capture.spool import Spool, SpoolFull, forget


def lines(*names):
    return [json.dumps({"id": name}).encode() for name in names]


def ids(batch):
    return [json.loads(line)["id"] for line in batch.lines]


def drained(spool):
    found = []
    while (batch := spool.first(100, 10_000)) is not None:
        found += [(batch.kind, one) for one in ids(batch)]
        spool.done(batch)
    return found


@pytest.fixture
def spool(tmp_path):
    opened = Spool(tmp_path / "spool", 1_000_000)
    opened.start()
    yield opened
    opened.close()


def files(spool):
    return sorted(path for path in spool.folder.glob("*.jsonl") if path.stat().st_size)


def test_first_in_first_out_by_kind(spool):
    spool.add("interaction", lines("a", "b"))
    spool.add("feedback", lines("f"))
    spool.add("interaction", lines("c"))
    assert drained(spool) == [("interaction", "a"), ("interaction", "b"), ("feedback", "f"), ("interaction", "c")]
    assert spool.first(10, 1000) is None
    assert files(spool) == []
    assert spool.size == 0


def test_a_line_on_disk_is_a_draft_that_anybody_can_read(spool):
    spool.add("interaction", ['{"id":"a","input":"Müller 💳"}'.encode()])
    (path,) = files(spool)
    assert json.loads(path.read_text("utf-8")) == {"kind": "interaction", "id": "a", "input": "Müller 💳"}
    assert "Müller".encode() in path.read_bytes()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700


def test_batches_keep_their_limits(spool):
    spool.add("interaction", lines(*map(str, range(10))))
    assert len(spool.first(3, 10_000).lines) == 3
    assert len(spool.first(100, 90).lines) == 2
    assert len(spool.first(100, 1).lines) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.integers(1, 4), st.booleans()), max_size=20))
def test_nothing_is_lost_or_doubled_however_adding_and_answering_alternate(tmp_path_factory, steps):
    opened = Spool(tmp_path_factory.mktemp("spool"), 1_000_000)
    opened.start()
    expected, seen, number = [], [], 0
    for feedback, add, take, answer in steps:
        kind = "feedback" if feedback else "interaction"
        names = [str(number + n) for n in range(add)]
        number += add
        opened.add(kind, lines(*names))
        expected += [(kind, name) for name in names]
        batch = opened.first(take, 10_000)
        if answer and batch is not None:
            seen += [(batch.kind, one) for one in ids(batch)]
            opened.done(batch)
    seen += drained(opened)
    assert seen == expected
    assert opened.size == 0
    opened.close()
    assert list(opened.folder.glob("*.jsonl")) == []


def test_segments_are_begun_anew_and_removed_one_by_one(spool, monkeypatch):
    monkeypatch.setattr(spooling, "_SEGMENT_BYTES", 100)
    for n in range(12):
        spool.add("interaction", lines(f"record-{n}"))
    before = len(files(spool))
    assert before >= 4
    for _ in range(4):
        spool.done(spool.first(1, 1000))
    assert len(files(spool)) < before
    assert [name for _, name in drained(spool)] == [f"record-{n}" for n in range(4, 12)]


def test_a_mark_is_passed_when_what_stood_before_it_is_answered_for(spool):
    spool.add("interaction", lines("a", "b"))
    mark = spool.mark()
    spool.add("interaction", lines("c"))
    assert not spool.passed(mark)
    spool.done(spool.first(2, 1000))
    assert spool.passed(mark)


def test_a_full_spool_takes_nothing_more(tmp_path):
    small = Spool(tmp_path / "s", 100)
    small.start()
    small.add("interaction", lines("a"))
    with pytest.raises(SpoolFull):
        small.add("interaction", lines("x" * 100))
    assert drained(small) == [("interaction", "a")]
    small.close()


def test_a_write_that_breaks_off_leaves_nothing_behind(spool, monkeypatch):
    spool.add("interaction", lines("a"))
    real = os.fsync

    def full(handle):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        spool.add("interaction", lines("b"))
    monkeypatch.setattr(os, "fsync", real)
    spool.add("interaction", lines("c"))
    assert [name for _, name in drained(spool)] == ["a", "c"]


def test_half_written_and_strange_lines_of_the_dead_are_passed_over(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    whole = b'{"kind":"interaction","id":"a"}\n'
    (folder / "1-dead.000001.jsonl").write_bytes(b"\0\0\0\n" + whole + b"what\n" + whole[:10])
    opened = Spool(folder, 1_000_000)
    opened.start()
    assert drained(opened) == [("interaction", "a")]
    assert opened.problems == 3
    opened.close()
    assert list(folder.glob("*.jsonl")) == []


def test_what_lives_is_not_adopted_and_what_died_is_adopted_once(tmp_path):
    one, two, three = (Spool(tmp_path / "s", 1_000_000) for _ in range(3))
    one.start()
    one.add("interaction", lines("a"))
    two.start()
    assert two.first(10, 1000) is None
    one.close()
    assert two.adopt() == 1
    three.start()
    assert three.adopt() == 0
    batch = two.first(10, 1000)
    assert batch.adopted
    assert ids(batch) == ["a"]
    two.done(batch)
    for opened in (two, three):
        opened.close()
    assert list((tmp_path / "s").glob("*.jsonl")) == list((tmp_path / "s").glob("*.owner")) == []


def test_forgetting_a_user_while_the_recorder_writes(spool):
    for n in range(6):
        spool.add("interaction", [json.dumps({"id": str(n), "user": "ana" if n % 2 else "bo"}).encode()])
    spool.done(spool.first(1, 1000))
    in_flight = spool.first(1, 1000)
    assert forget(spool.folder, lambda draft: draft.get("user") == "ana") == 3
    assert b"ana" not in b"".join(path.read_bytes() for path in spool.folder.iterdir())
    spool.done(in_flight)  # of the file that was
    spool.add("interaction", lines("later"))
    names = [name for _, name in drained(spool)]
    assert [name for name in names if name not in ("0",)] == ["2", "4", "later"]
    assert spool.size == 0
    assert forget(spool.folder / "nowhere", lambda draft: True) == 0


def test_records_reach_the_disk_while_the_server_is_away_and_the_server_when_it_is_back(tmp_path, monkeypatch):
    with flywheel.connect(nowhere(), spool=tmp_path / "s", max_age=0.005, exit_timeout=0.1) as c:
        sent = [c.log(input=n, user="u") for n in range(50)]
        assert not c.flush(0.1)
        assert c.stats()["memory_bytes"] == 0
        assert c.stats()["waiting"] == 50
    assert c.stats()["dropped"] == {}
    monkeypatch.setattr(Patience, "wait", lambda self, asked: 0.002)
    with serving(storm(0.4, seed=1)) as server:
        with flywheel.connect(server.url, spool=tmp_path / "s", max_age=0.005, batch_records=5) as c:
            sent += [c.log(input=n) for n in range(50)]
            assert c.flush(30)
            stats = c.stats()
        assert [record["id"] for record in server.order] == sent
        assert server.counts["rejected"] == 0
    assert (stats["recovered"], stats["delivered"], stats["spool_bytes"]) == (50, 50, 0)
    assert list((tmp_path / "s").glob("*.jsonl")) == []


def test_what_lies_in_the_spool_is_sent_before_anything_is_logged(tmp_path):
    with flywheel.connect(nowhere(), spool=tmp_path, max_age=0.005, exit_timeout=0) as c:
        c.log(input=1)
        for _ in range(2000):  # until it lies there: the host never waits for that
            if any(path.is_file() and b'"input"' in path.read_bytes() for path in tmp_path.rglob("*")):
                break
            time.sleep(0.01)
    with serving() as server:
        for _ in range(200):  # on a busy machine the first one's thread takes its time to let go of the spool
            with flywheel.connect(server.url, spool=tmp_path, max_age=0.005) as c:
                assert c.flush(20)
            if server.stored:
                break
            time.sleep(0.05)
    assert len(server.stored) == 1


def test_a_spool_that_cannot_be_written_leaves_records_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with serving() as server, flywheel.connect(server.url, spool=tmp_path / "file" / "s", max_age=0.005) as c:
        c.log(input=1)
        assert c.flush(20)
    assert len(server.stored) == 1
    assert "spool" in caplog.text


def test_redaction_comes_before_the_disk(tmp_path):
    with flywheel.connect(nowhere(), spool=tmp_path, redact=True, max_age=0.005, exit_timeout=0) as c:
        c.log(input="write to ana@example.org")
        c.flush(0.05)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"[email]" in written
    assert b"ana@example.org" not in written


VICTIM = """
import os, signal, sys, time, flywheel
c = flywheel.connect(sys.argv[1], spool=sys.argv[2], max_age=0.005)
for n in range(300):
    c.log(input=n, id=f"k{n}")
while c.stats()["waiting"] and c.stats()["memory_bytes"]:
    time.sleep(0.005)
print("on disk", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_kill_loses_nothing_that_was_spooled(tmp_path):
    """Half of it was delivered before, without an answer: then it arrives twice and is stored once."""
    with serving(lambda number: "lost" if number == 0 else "503" if number < 4 else "") as server:
        done = subprocess.run(
            [sys.executable, "-c", VICTIM, server.url, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.stdout == "on disk\n", done.stderr
        server.misbehave = lambda number: ""
        with flywheel.connect(server.url, spool=tmp_path, max_age=0.005) as c:
            assert c.flush(20)
            c.log(input="last", id="last")
            assert c.flush(20)
        assert sorted(key for _, key in server.stored) == sorted([f"k{n}" for n in range(300)] + ["last"])
        assert server.counts["rejected"] == 0
    assert list(tmp_path.glob("*.jsonl")) == []
