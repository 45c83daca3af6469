"""SIGKILL at random moments of logging and spinning: nothing acknowledged is lost, nothing is done twice.

`FLYWHEEL_FAULT_KILLS` sets the number of kills (`make fault` takes 200).
"""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

import flywheel

KILLS = int(os.environ.get("FLYWHEEL_FAULT_KILLS", "25"))
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORDS = ["card", "transfer", "refund", "balance", "limit"]
OPTIONS = {"release": {"registry": "folder"}}

pytestmark = [pytest.mark.slow, pytest.mark.fault]


def topic(text: str) -> str:
    return next(word for word in WORDS if word in text)


def work(folder: str, life: int, acknowledged) -> None:
    """Log, complain and spin without end; tell the parent of every acknowledgement."""
    with flywheel.open(folder, **OPTIONS) as fw:
        turn = 0
        while True:
            turn += 1
            at = AT + timedelta(minutes=life, seconds=turn)
            texts = [f"about my {WORDS[(turn + i) % len(WORDS)]} number {life}-{turn}-{i}" for i in range(6)]
            answers = fw.predict(texts, users=[f"u{i}" for i in range(6)], at=at)
            acknowledged.send([answer.id for answer in answers])
            acknowledged.send(fw.feedback(answers[0].id, rating=-1, at=at))
            if turn % 5 == 0:
                fw.spin(budget=5, at=at, labeler=lambda item: topic(item.input))


def drain(pipe, seen: list[str]) -> None:
    """Read what was acknowledged before the kill; a message cut in half was not an acknowledgement."""
    try:
        while pipe.poll(0):
            seen.extend(pipe.recv())
    except (EOFError, OSError):
        pass


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(tmp_path):
    folder = tmp_path / "bot"
    rng = random.Random(7)
    acknowledged: list[str] = []
    with flywheel.open(folder, task="classification", **OPTIONS) as fw:
        texts = [f"{ask} {word}" for ask in ("where is my", "about my", "help with", "no") for word in WORDS[:4]]
        fw.seed(texts, [topic(text) for text in texts], at=AT)
        fw.spin(budget=0, at=AT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["flywheel.wheel", "flywheel.train.text", "sklearn.cluster", "cleanlab.filter"])
    for life in range(KILLS):
        reader, writer = context.Pipe(duplex=False)
        child = context.Process(target=work, args=(str(folder), life, writer))
        child.start()
        writer.close()
        deadline = time.monotonic() + 0.3 + rng.random() * 2.0
        while time.monotonic() < deadline:
            drain(reader, acknowledged)
            time.sleep(0.002)
        assert child.is_alive(), "the child was to run until it is killed"
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        drain(reader, acknowledged)
        reader.close()
    check(folder, acknowledged)


def check(folder, acknowledged: list[str]) -> None:
    with flywheel.open(folder, **OPTIONS) as fw:
        while fw.spin(budget=5, at=AT + timedelta(days=2), labeler=lambda item: topic(item.input)).state != "done":
            pass
        rows, after = [], 0
        while batch := fw._store.log.read(after):
            rows.extend(batch)
            after = batch[-1].seq
        ids = Counter(row.id for row in rows)
        assert len(acknowledged) > KILLS
        assert not [key for key in acknowledged if ids[key] != 1]
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), "the sequence has no gap"
        fw._store.tables.sync(fw._store.log)
        snapshot = fw._store.tables.snapshot()
        seqs = [*snapshot.interactions.seq.to_pyarrow().to_pylist(), *snapshot.feedback.seq.to_pyarrow().to_pylist()]
        assert sorted(seqs) == [row.seq for row in rows], "every fact is in the tables exactly once"
        items = fw._store.state.items()
        assert len({item.id for item in items}) == len(items)
        asked = Counter(item.interaction_id for item in items if not item.relabel)
        assert max(asked.values()) == 1, "nobody is asked twice about the same interaction"
        labels = Counter(row.id for row in rows if row.id.startswith("label:"))
        assert all(count == 1 for count in labels.values())
        spins = fw.spins()
        assert [spin.number for spin in spins] == list(range(1, len(spins) + 1))
        assert all(spin.state == "done" for spin in spins)
        assert all(sum(i.spin == spin.number for i in items) <= max(5, spin.budget) for spin in spins)
        promoted = Counter(entry["subject"] for entry in fw.trail() if entry["action"] == "promote")
        assert all(count == 1 for count in promoted.values()), promoted
        assert all(line["ok"] for line in fw.doctor()), fw.doctor()
