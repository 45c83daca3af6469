"""The slices of a failure mode: the lift of a planted one is known, and failures spread like the traffic have none."""

from __future__ import annotations

import numpy as np
import pytest
from diagnose_window import START, WindowOf
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from flywheel.diagnose.concentration import concentration, lift
from flywheel.records import Failure


def rows(n=800):
    """A quarter on each device, half in each locale, crossed evenly."""
    devices, locales = ("ios", "android", "web", "tv"), ("de", "fr")
    return [
        {"id": f"i{k:04d}", "context": {"device": devices[k % 4], "locale": locales[(k // 4) % 2]}} for k in range(n)
    ]


def failing(ids):
    return [Failure(interaction_id=id, at=START, probability=0.9, mode="m1") for id in ids]


def test_a_planted_slice_is_told_with_its_lift():
    some = rows()
    ios = [row["id"] for row in some if row["context"]["device"] == "ios"][:30]
    others = [row["id"] for row in some if row["context"]["device"] != "ios"][:10]
    [first, *_] = concentration(WindowOf(some), failing([*ios, *others]))
    assert str(first.where) == "device=ios"
    assert (first.failures, first.of, first.traffic, first.traffic_of) == (30, 40, 200, 800)
    assert first.lift.estimate == pytest.approx(30 / 40 / (200 / 800))
    assert 1 < first.lift.low < 3 < first.lift.high <= 4
    assert first.lift.level == pytest.approx(1 - 0.05 / first.tried)


def test_a_conjunction_is_told_where_it_says_more_than_its_parts():
    some = rows()
    both = [row["id"] for row in some if row["context"] == {"device": "ios", "locale": "fr"}][:40]
    found = {str(one.where): one for one in concentration(WindowOf(some), failing(both))}
    [pair] = [one for name, one in found.items() if "&" in name]
    assert sorted(pair.where.conditions) == [("device", "ios"), ("locale", "fr")]
    assert (pair.failures, pair.traffic) == (40, 100)
    assert pair.lift.estimate == pytest.approx(8.0)
    ios = [row["id"] for row in some if row["context"]["device"] == "ios"][:40]
    assert not any("&" in str(one.where) for one in concentration(WindowOf(some), failing(ios)))


def test_failures_spread_like_the_traffic_have_no_slice():
    some, rng, told = rows(), np.random.default_rng(5), 0
    for _ in range(60):
        ids = rng.choice([row["id"] for row in some], 40, replace=False).tolist()
        told += bool(concentration(WindowOf(some), failing(ids)))
    assert told <= 6


def test_without_failures_or_context_there_is_nothing_to_tell():
    assert concentration(WindowOf(rows()), []) == []
    assert concentration(WindowOf([{"id": f"i{k}"} for k in range(20)]), failing(["i1", "i2", "i3"])) == []


@given(st.integers(1, 60), st.data())
def test_the_interval_is_the_exact_one_over_the_usual_share(n, data):
    k = data.draw(st.integers(0, n))
    found, exact = lift(k, n, 50, 400), binomtest(k, n).proportion_ci(0.95, "exact")
    assert found.estimate == pytest.approx(k / n * 8)
    assert (found.low, found.high) == (pytest.approx(exact.low * 8), pytest.approx(exact.high * 8))
