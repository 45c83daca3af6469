"""A classifier tells windows apart, names what moved, sees moves that no column shows, and keeps quiet otherwise."""

from datetime import UTC, datetime
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa
import pytest

from flywheel.observe.drift import classifier_two_sample, drift
from flywheel.observe.drift.moved import auc_of

MONDAY = datetime(2026, 1, 5, tzinfo=UTC).timestamp()


def window(seed, *, first=0, n=4000, days=8, apart=0.0, mean=0.0):
    """`apart` of the rows have the signs of two columns agree that else are independent; `mean` moves a third."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    b = np.where(rng.random(n) < apart, np.abs(b) * np.sign(a), b)
    at = MONDAY + first * 86400 + (np.arange(n) + 0.5) * days * 86400 / n
    table = pa.table(
        {
            "seq": np.arange(n),
            "id": [str(k) for k in range(n)],
            "at": pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", "UTC")),
            "rand": rng.random(n),
            "input.a": a,
            "input.b": b,
            "input.c": pa.array(rng.normal(size=n) + mean, mask=rng.random(n) < 0.1),
            "context.plan": rng.choice(["free", "team", "firm"], n),
        }
    )
    told = ibis.memtable(pa.table({"seq": pa.array([], pa.int64())}))
    return SimpleNamespace(interactions=ibis.memtable(table), feedback=told)


@pytest.mark.slow
def test_a_joint_move_that_no_column_shows_is_named():
    now, before = window(1, first=8, apart=0.9), window(0)
    assert drift(now, before) == []
    (found,) = classifier_two_sample(now, before)
    assert set(found.chart["x"]) == {"input.a", "input.b"}
    assert found.evidence[0].startswith(("input.a and input.b moved together", "input.b and input.a moved together"))
    assert found.interval.low > 0.05
    assert not found.alarm


@pytest.mark.slow
def test_a_moved_column_is_named_alone():
    (found,) = classifier_two_sample(window(1, first=8, mean=0.8), window(0))
    assert found.chart["x"] == ["input.c"]
    # AUC of normals 0.8 apart is 0.714; a tenth of the values are null on both sides
    assert found.value == pytest.approx(0.5 + 0.214 * 0.81, abs=0.04)


@pytest.mark.slow
def test_nothing_moved_nothing_told():
    assert [classifier_two_sample(window(s + 50, first=8, n=1500), window(s, n=1500)) for s in range(3)] == [[]] * 3


def test_too_few_rows_say_nothing():
    assert classifier_two_sample(window(1, n=30), window(0)) == []


def test_auc_with_known_answers():
    rng = np.random.default_rng(0)
    at = np.sort(rng.uniform(0, 10 * 86400, 4000))
    area, low, high, p = auc_of(at, rng.normal(size=4000), at, rng.normal(size=4000) + 1, 0.55)
    assert area == pytest.approx(0.760, abs=0.015)
    assert low < 0.760 < high
    assert p < 1e-6
    area, low, high, p = auc_of(at, np.zeros(4000), at, np.zeros(4000), 0.55)
    assert (area, p) == (0.5, 1.0)
    null = [auc_of(at, rng.normal(size=4000), at, rng.normal(size=4000), 0.5)[3] < 0.05 for _ in range(60)]
    assert np.mean(null) <= 0.15
