"""What is remembered of the tables equals what is read anew, after appends, other processes, rebuilds and erasures."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

import flywheel
from flywheel.config import Config
from flywheel.records import Feedback, Interaction
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "wheel", Config())
    yield opened
    opened.close()


def logged(store, begin, count, **context):
    store.log.append(
        [Interaction(id=f"i{n}", at=AT, input="x", output="a", context=context) for n in range(begin, begin + count)]
    )


def held(store):
    """What a store that remembers nothing reads."""
    fresh = Store.open(store.folder, store.config)
    try:
        snapshot = fresh.tables.snapshot()
        return snapshot.seq, snapshot.count(), fresh.tables.conflicts()
    finally:
        fresh.close()


def test_a_snapshot_has_what_was_appended_whoever_brought_it_to_the_tables(store):
    logged(store, 0, 5)
    assert store.tables.sync(store.log) == 5
    assert store.tables.sync(store.log) == 0
    assert store.tables.snapshot().count() == 5
    code = (
        "import sys, flywheel\n"
        "with flywheel.open(sys.argv[1]) as fw:\n"
        "    fw.log(input='other', output='a')\n"
        "    fw.query('select 1')\n"  # which brings the tables up to the log
    )
    subprocess.run([sys.executable, "-c", code, str(store.folder)], check=True, timeout=120)
    assert store.tables.sync(store.log) == 0
    assert store.tables.snapshot().count() == 6
    store.log.append([Feedback(id="f", interaction_id="i0", at=AT, kind="rating", value=-1)])
    assert store.tables.sync(store.log) == 1
    assert store.tables.snapshot().seq == store.log.last() == 7
    assert held(store)[:2] == (7, 6)


def test_a_rebuild_is_seen_at_once(store):
    logged(store, 0, 4)
    store.tables.sync(store.log)
    before = store.tables.snapshot()
    beside = Store.open(store.folder, store.config)
    logged(beside, 4, 3)
    beside.tables.rebuild(beside.log)
    beside.close()
    assert store.tables.snapshot().count() == 7
    assert before.count() == 4


def test_conflicts_are_counted_anew_when_some_come(store):
    logged(store, 0, 3, age=1.0)
    store.tables.sync(store.log)
    assert store.tables.conflicts() == held(store)[2] == {}
    logged(store, 3, 2, age="old")
    store.tables.sync(store.log)
    assert store.tables.conflicts() == held(store)[2] == {"context.age": 2}
    logged(store, 5, 4, **{"k" * 300: 1.0})
    store.tables.sync(store.log)
    found = store.tables.conflicts()
    assert found == held(store)[2]
    assert sorted(found.values()) == [2, 4]


def test_answers_from_the_log_are_the_rows_of_the_table(store):
    outputs = ["a", 1, 2.5, None, {"b": 1, "a": [1, {"d": 1, "c": None}]}, True]
    store.log.append([Interaction(id=f"o{n}", at=AT, input="x", output=value) for n, value in enumerate(outputs)])
    store.tables.sync(store.log)
    snapshot = store.tables.snapshot()
    t = snapshot.interactions
    rows = t.order_by("seq").select("seq", "id", "at", "output").to_pyarrow().to_pylist()
    assert snapshot.answers([*(f"o{n}" for n in range(6)), "none such"]).to_pylist() == rows
    logged(store, 0, 1)
    assert snapshot.answers(["i0"]).num_rows == 0


def test_hourly_cells_equal_those_of_the_whole_after_late_feedback_and_an_erasure(tmp_path):
    from flywheel.observe.rollup import overview, rollup

    def same(fw):
        kept, whole = overview(fw._cells(), "hour"), overview(rollup(fw._snapshot_now()), "hour")
        assert len(kept) == len(whole)
        for one, other in zip(kept, whole, strict=True):
            assert one.pop("confidence") == pytest.approx(other.pop("confidence"))
            assert {k: pytest.approx(v) if isinstance(v, float) else v for k, v in one.items()} == other

    with flywheel.open(tmp_path / "wheel", task="classification") as fw:
        early = [
            fw.log(input=f"q{n}", output="a", confidence=0.5, latency_ms=5.0, user=f"u{n}", at=AT) for n in range(30)
        ]
        fw.feedback("later", rating=-1)
        same(fw)
        for key in early[:7]:
            fw.feedback(key, label="b", source="system")
        for key in early[3:12]:
            fw.feedback(key, rating=-1)
        fw.log(id="later", input="came after what was said of it", output="a", confidence=0.4, at=AT)
        same(fw)
        for key in early[:4]:
            fw.feedback(key, label="a", source="system")
        same(fw)
        assert sum(row["labels"] for row in overview(fw._cells(), "hour")) == 7
        fw.erase("u2")
        same(fw)
        assert sum(row["volume"] for row in overview(fw._cells(), "hour")) == 30
