"""Hourly cells, added up step by step as interactions and late feedback arrive, give what the whole log gives."""

from datetime import UTC, datetime
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import InvalidConfig
from flywheel.observe import metrics
from flywheel.observe.rollup import CELLS, merge, overview, rollup

START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1e6)
STAMP = pa.timestamp("us", "UTC")


def log(seed=0, n=400, told=150):
    """Interactions and feedback in one sequence, feedback in any order, some of it about interactions still to come."""
    rng = np.random.default_rng(seed)
    seq = rng.permutation(n + told) + 1
    mine, theirs = np.sort(seq[:n]), np.sort(seq[n:])
    kinds = rng.choice(["rating", "report", "label", "comment"], told, p=[0.4, 0.1, 0.4, 0.1])
    interactions = pa.table(
        {
            "seq": mine,
            "id": [f"i{k}" for k in range(n)],
            "at": pa.array(START + rng.integers(0, 3 * 86_400_000_000, n), STAMP),
            "output": rng.choice(['"a"', '"b"'], n),
            "confidence": pa.array(rng.random(n), mask=rng.random(n) < 0.3),
            "latency_ms": pa.array(np.exp(rng.normal(4, 1, n)), mask=rng.random(n) < 0.1),
            "error": pa.array(np.full(n, "boom"), mask=rng.random(n) < 0.8),
        }
    )
    feedback = pa.table(
        {
            "seq": theirs,
            "interaction_id": [f"i{k}" for k in rng.integers(0, n // 3, told)],
            "at": pa.array(np.full(told, START), STAMP),
            "kind": kinds,
            "value": [('"a"' if kind == "label" else "1") for kind in kinds],
            "number": pa.array(rng.choice([-1.0, 1.0], told), mask=kinds != "rating"),
            "source": rng.choice(["reviewer", "system", "user"], told),
            "propensity": pa.array(rng.uniform(0.1, 1, told), mask=rng.random(told) < 0.3),
        }
    )
    return interactions, feedback


def upto(interactions, feedback, seq):
    t, f = ibis.memtable(interactions), ibis.memtable(feedback)
    return SimpleNamespace(interactions=t.filter(t.seq <= seq), feedback=f.filter(f.seq <= seq))


def alike(one, other, close=1e-9):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            if name.startswith("latency") and value is not None:
                assert b[name] == pytest.approx(value, rel=close if close > 1e-6 else 1e-9)
            else:
                assert b[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), name


@pytest.mark.parametrize("every", ["hour", "day"])
def test_an_overview_is_what_metrics_gives(every):
    seen = upto(*log(), 10_000)
    direct = metrics(seen, every)
    told = overview(rollup(seen), every)
    assert any(row["labels"] for row in told)
    for a, b in zip(direct, told, strict=True):
        at = a["at"] if a["at"].tzinfo else a["at"].replace(tzinfo=UTC)
        assert at == b["at"]
        for name in ("volume", "labels", "errors", "negative", "feedback", "confidence", "failures", "failures_high"):
            assert b[name] == (pytest.approx(a[name]) if a[name] is not None else None), name


def test_latency_quantiles_are_within_one_per_cent():
    n = 50_000
    values = np.exp(np.random.default_rng(1).normal(5, 1.2, n))
    table = pa.table(
        {
            "seq": np.arange(1, n + 1),
            "id": [str(k) for k in range(n)],
            "at": pa.array(np.full(n, START), STAMP),
            "output": ["1"] * n,
            "confidence": pa.array([None] * n, pa.float64()),
            "latency_ms": values,
            "error": pa.array([None] * n, pa.string()),
        }
    )
    (row,) = overview(rollup(upto(table, log()[1], n)), "day")
    assert row["latency_p50"] == pytest.approx(np.quantile(values, 0.5), rel=0.012)
    assert row["latency_p95"] == pytest.approx(np.quantile(values, 0.95), rel=0.012)
    assert row["confidence"] is None


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(1, 549), min_size=1, max_size=3))
def test_any_steps_give_the_same_cells(seed, stops):
    facts = log(seed)
    cells, last = CELLS.empty_table(), 0
    for stop in [*sorted(stops), 550]:
        cells = merge(cells, rollup(upto(*facts, stop), after=last))
        last = stop
    whole = rollup(upto(*facts, 550))
    alike(overview(cells, "hour"), overview(whole, "hour"))
    alike(overview(cells, "day", last=2), overview(whole, "day")[-2:])


def test_cells_add_up_in_any_order():
    facts = [rollup(upto(*log(seed), 550)) for seed in (1, 2, 3)]
    a, b, c = facts
    assert merge(a, b).drop(["confidence", "mass", "squares", "lost"]) == merge(b, a).drop(
        ["confidence", "mass", "squares", "lost"]
    )
    alike(overview(merge(merge(a, b), c), "day"), overview(merge(a, merge(c, b)), "day"))


def test_nothing_and_an_unknown_step():
    assert overview(CELLS.empty_table(), "day") == []
    assert merge(CELLS.empty_table(), CELLS.empty_table()).num_rows == 0
    with pytest.raises(InvalidConfig, match="minute"):
        overview(CELLS.empty_table(), "minute")
