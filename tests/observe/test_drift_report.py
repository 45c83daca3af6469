"""A drift report tells the columns that moved and no others, with what moved in words, and the query that shows it."""

from datetime import UTC, datetime
from types import SimpleNamespace

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest

from flywheel.errors import InvalidConfig
from flywheel.observe.drift import Sketch, compare, drift, sketch

MONDAY = datetime(2026, 1, 5, tzinfo=UTC).timestamp()


def window(seed, n=6000, *, first=0, days=14, moved=False, vectors=False):
    rng = np.random.default_rng(seed)
    at = MONDAY + first * 86400 + (np.arange(n) + 0.5) * days * 86400 / n
    day = np.cos(at / 86400 * 2 * np.pi)
    by = 1.0 if moved else 0.0
    network = rng.choice(["4g", "3g", "wifi"], n, p=[0.5, 0.2, 0.3]).astype(object)
    network[rng.random(n) < 0.2 * by] = "5g"
    text = ["x" * int(k) for k in rng.integers(5, 40, n) * (1 + by)]
    table = {
        "seq": np.arange(1, n + 1) + first * 1_000_000,
        "id": [f"i{first}-{k}" for k in range(n)],
        "at": pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", "UTC")),
        "rand": rng.random(n),
        "input_text": text,
        "output": rng.choice(['"yes"', '"no"'], n, p=[0.7 - 0.25 * by, 0.3 + 0.25 * by]),
        "confidence": rng.beta(6, 2, n),
        "latency_ms": np.exp(5 + 0.5 * rng.normal(size=n) + 0.4 * day),
        "error": pa.array([None] * n, pa.string()),
        "context.network": network.tolist(),
        "context.visits": rng.poisson(4 + 2 * day, n).astype(float),
        "input.age": pa.array(rng.normal(40, 12, n), mask=rng.random(n) < 0.02 + 0.2 * by),
        "input.amount": rng.normal(0, 1, n) + 0.6 * by,
        "input.tail": rng.standard_t(2, n),
        "input.key": [f"k{rng.integers(1 << 40)}" for _ in range(n)],
    }
    if vectors:
        held = rng.normal(size=(n, 8))
        held[:, 3] += 0.8 * by
        table["input_vector"] = pa.array([row.tolist() for row in held], pa.list_(pa.float32()))
    told = pa.table({"seq": pa.array([], pa.int64()), "interaction_id": pa.array([], pa.string())})
    return SimpleNamespace(interactions=ibis.memtable(pa.table(table)), feedback=ibis.memtable(told))


MOVED = {"output", "context.network", "input.age", "input.amount", "input_text.length"}


def test_just_the_moved_columns_are_told_with_what_moved():
    found = {one.name: one for one in drift(window(1, first=14, days=7, moved=True), window(0))}
    assert set(found) == MOVED
    assert not any(one.alarm for one in found.values())
    assert all(one.kind == "shift" and one.interval.low > 0.05 and one.n == 6000 for one in found.values())
    age, network = found["input.age"], found["context.network"]
    assert age.effect == pytest.approx(0.2, abs=0.03)
    assert any(line.startswith("nulls 2.") and "→ 2" in line for line in age.evidence)
    assert any("new: '5g'" in line for line in network.evidence)
    assert found["input.amount"].value == pytest.approx(0.6, abs=0.1)
    assert found["input.amount"].reference == pytest.approx(0.0, abs=0.1)
    assert found["output"].effect == pytest.approx(0.25, abs=0.04)
    chart = found["input.amount"].chart
    assert len(chart["x"]) == len(chart["y"]) == len(chart["mark"]) <= 24
    assert sum(chart["y"]) == pytest.approx(1, abs=1e-3)


def test_nothing_moved_nothing_told():
    for seed in range(4):
        assert drift(window(seed + 10, first=14, days=7), window(seed)) == []


def test_the_query_gives_the_counts_again():
    now = window(1, first=14, days=7, moved=True)
    (found,) = drift(now, window(0), columns=["input.age"])
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("interactions", now.interactions.to_pyarrow())
        rows = connection.execute(found.query).to_arrow_table()
    assert sum(rows["rows"].to_pylist()) == 6000
    missing = 1 - sum(rows["#input.age"].to_pylist()) / 6000
    assert missing == pytest.approx(found.chart["y"][-1], abs=1e-4)


def test_a_kept_reference_gives_the_same_report_and_days_add_up():
    before, now = window(0), window(1, first=14, days=7, moved=True)
    kept = Sketch.from_dict(sketch(before.interactions).to_dict())
    assert [one.line for one in drift(now, kept)] == [one.line for one in drift(now, before)]
    table = now.interactions
    parts = [sketch(table.filter(table.seq % 3 == k), like=kept) for k in range(3)]
    added = parts[2] + parts[0] + parts[1]
    whole = sketch(table, like=kept)
    assert added == whole
    assert [m.moved for m in compare(added, kept)] == [m.moved for m in compare(whole, kept)]


def test_a_column_that_a_kept_reference_has_and_the_window_lacks_is_all_null():
    kept = sketch(window(0).interactions)
    now = window(1, first=14, days=7)
    bare = SimpleNamespace(interactions=now.interactions.drop("input.age"), feedback=now.feedback)
    (found,) = drift(bare, kept)
    assert found.name == "input.age"
    assert found.effect == pytest.approx(0.98, abs=0.02)


def test_vectors_that_moved_are_told_and_those_that_did_not_are_not():
    before = window(0, vectors=True)
    found = drift(window(1, first=14, days=7, moved=True, vectors=True), before, columns=["input_vector"])
    assert [one.name for one in found] == ["input_vector"]
    assert 0.2 < found[0].effect < 2 * 0.66 - 1 + 0.03  # at most the distance of normals 0.8 apart, 0.31
    assert drift(window(2, first=14, days=7, vectors=True), before, columns=["input_vector"]) == []


def test_short_windows_and_bulk_imports_are_cut_finer():
    short = window(1, n=3000, first=14, days=0.1, moved=True)
    assert MOVED - {"output"} <= {one.name for one in drift(short, window(0))}
    bulk = window(1, n=6000, first=14, days=0, moved=True)
    found = {one.name: one for one in drift(bulk, window(0, days=0))}
    assert set(found) == MOVED
    assert found["output"].since is None


def test_empty_windows_and_odd_settings():
    full = window(0, n=200)
    none = SimpleNamespace(interactions=full.interactions.filter(ibis.literal(False)), feedback=full.feedback)
    assert drift(none, full) == []
    assert drift(full, none) == []
    with pytest.raises(InvalidConfig, match="fortnight"):
        drift(full, full, block="fortnight")
    with pytest.raises(InvalidConfig, match="minimum"):
        drift(full, full, minimum=1.5)
    with pytest.raises(InvalidConfig, match="no_such"):
        drift(full, full, columns=["no_such"])


def test_windows_of_a_real_folder(tmp_path):
    import flywheel
    from flywheel.observe.drift import text_drift
    from flywheel.observe.rollup import overview, rollup

    rng = np.random.default_rng(0)
    with flywheel.open(tmp_path, task="classification", release={"registry": "folder"}) as fw:
        for moved in (0, 1):
            ids = fw.log_many(
                {
                    "at": datetime.fromtimestamp(MONDAY + (moved * 1500 + k) * 600, UTC),
                    "input": f"where is my {'cash' if moved and k % 2 else 'card'}",
                    "output": "yes" if rng.random() < 0.7 - 0.3 * moved else "no",
                    "confidence": float(rng.beta(6, 2)),
                    "context": {"device": "ios" if k % 3 else "web"},
                }
                for k in range(1500)
            )
            fw.feedback_many({"interaction_id": id, "rating": -1} for id in ids[::10])
        fw._store.tables.sync(fw._store.log)
        whole = fw._store.tables.snapshot()
        cut = whole.seq // 2
        before, now = whole.window(0, cut), whole.window(cut, whole.seq)
        assert [one.name for one in drift(now, before)] == ["output"]
        assert "text.words" in [one.name for one in text_drift(now, before)]
        days = overview(rollup(whole), "day")
        assert sum(row["volume"] for row in days) == 3000
        assert days[0]["negative"] == pytest.approx(0.1, abs=0.01)
