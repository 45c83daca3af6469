"""Four writers, a spinning process and a reader on one folder at once: nothing is lost, nothing is doubled."""

import multiprocessing
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.errors import StoreBusy

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORDS = ["card", "transfer", "refund", "balance"]
OPTIONS = {"release": {"registry": "folder"}}
WRITERS, BATCHES, SIZE = 4, 25, 12

pytestmark = [pytest.mark.slow, pytest.mark.fault]


def topic(text: str) -> str:
    return next(word for word in WORDS if word in text)


def write(folder: str, writer: int, told) -> None:
    """Log batches and complain about some of them; every id is told after it was acknowledged."""
    with flywheel.open(folder, **OPTIONS) as fw:
        for batch in range(BATCHES):
            at = AT + timedelta(minutes=batch)
            texts = [f"about my {WORDS[(batch + i) % 4]} number {writer}-{batch}-{i}" for i in range(SIZE)]
            ids = [answer.id for answer in fw.predict(texts, at=at)]
            told.put(ids + fw.feedback_many([{"interaction_id": ids[0], "rating": -1, "at": at}]))


def turn(folder: str, told) -> None:
    """Spin four times while the others write."""
    with flywheel.open(folder, **OPTIONS) as fw:
        for _ in range(4):
            spin = fw.spin(budget=8, at=AT + timedelta(hours=1), labeler=lambda item: topic(item.input))
            assert spin.state == "done"
        told.put([])


def read(folder: str, told) -> None:
    """Whatever is read was complete when it was read: sequence numbers have no gap and rows no twin."""
    with flywheel.open(folder, **OPTIONS) as fw:
        for _ in range(15):
            fw._store.tables.sync(fw._store.log)
            snapshot = fw._store.tables.snapshot()
            tables = (snapshot.interactions, snapshot.feedback)
            seqs = [seq for table in tables for seq in table.seq.to_pyarrow().to_pylist()]
            assert sorted(seqs) == list(range(1, snapshot.seq + 1))
            assert fw.status()["interactions"] >= snapshot.count()
        told.put([])


def test_nothing_is_lost_or_doubled(tmp_path):
    folder = tmp_path / "bot"
    with flywheel.open(folder, task="classification", **OPTIONS) as fw:
        texts = [f"{ask} {word}" for ask in ("where is my", "about my", "help with", "no") for word in WORDS]
        fw.seed(texts, [topic(text) for text in texts], at=AT)
        fw.spin(budget=0, at=AT)
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    people = [context.Process(target=write, args=(str(folder), n, told)) for n in range(WRITERS)]
    people += [context.Process(target=work, args=(str(folder), told)) for work in (turn, read)]
    for process in people:
        process.start()
    acknowledged = [key for _ in range(WRITERS * BATCHES + 2) for key in told.get(timeout=240)]
    for process in people:
        process.join(60)
        assert process.exitcode == 0
    with flywheel.open(folder, **OPTIONS) as fw:
        rows, after = [], 0
        while batch := fw._store.log.read(after):
            rows.extend(batch)
            after = batch[-1].seq
        ids = Counter(row.id for row in rows)
        assert len(acknowledged) == WRITERS * BATCHES * (SIZE + 1)
        assert [key for key in acknowledged if ids[key] != 1] == []
        labels = sum(key.startswith("label:") for key in ids)
        assert len(rows) == len(acknowledged) + labels
        assert labels == sum(spin.labels for spin in fw.spins())
        assert [spin.number for spin in fw.spins()] == [1, 2, 3, 4, 5]


def test_a_second_spin_is_told_to_wait(tmp_path):
    with (
        flywheel.open(tmp_path / "bot", task="classification", **OPTIONS) as one,
        flywheel.open(tmp_path / "bot", **OPTIONS) as other,
        one._store.lock("spin"),
        pytest.raises(StoreBusy, match="spin"),
    ):
        other.spin()
