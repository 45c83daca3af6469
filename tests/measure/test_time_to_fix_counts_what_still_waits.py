"""The time from failure to fix: known answers, and the same curve as SciPy's where modes still wait for their fix."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from flywheel.measure import time_to_fix

DAYS = st.lists(st.integers(1, 30).map(float), min_size=1, max_size=40)


def test_without_any_fix_nothing_is_told():
    found = time_to_fix([], [4.0, 9.0])
    assert (found.median, found.low, found.high, found.quarter, found.three_quarters) == (None,) * 5
    assert (found.n, found.unfixed) == (0, 2)


def test_what_is_not_fixed_yet_pulls_the_median_up():
    assert time_to_fix([1.0, 2.0, 3.0]).median == 2.0
    assert time_to_fix([1.0, 2.0, 3.0], [5.0, 5.0]).median == 3.0
    assert time_to_fix([1.0, 2.0, 3.0], [5.0] * 4).median is None
    assert time_to_fix([1.0, 2.0, 3.0], [0.5] * 4).median == 2.0  # gone before the first fix: they say nothing


@given(DAYS, st.lists(st.integers(0, 30).map(float), max_size=20))
def test_it_is_the_curve_of_scipy(fixed, unfixed):
    curve = ecdf(CensoredData(uncensored=fixed, right=unfixed)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # SciPy divides by nothing at the curve's end
        band = curve.confidence_interval(method="log-log")
    found = time_to_fix(fixed, unfixed)

    def first(shares, level):
        days = [at for at, share in zip(curve.quantiles, shares, strict=True) if share <= level + 1e-12]
        return min(days, default=None)

    assert found.median == first(curve.probabilities, 0.5)
    assert found.quarter == first(curve.probabilities, 0.75)
    assert found.three_quarters == first(curve.probabilities, 0.25)
    last = curve.probabilities.min() < 1e-9  # there the band has no value
    if not last:
        assert found.low == first(band.low.probabilities, 0.5)
        assert found.high == first(band.high.probabilities, 0.5)


def test_the_interval_holds_the_true_median_as_often_as_it_says():
    rng, held, trials = np.random.default_rng(3), 0, 400
    for _ in range(trials):
        true = rng.exponential(10, 30)
        watched = rng.uniform(5, 40, 30)
        found = time_to_fix(true[true <= watched].tolist(), watched[true > watched].tolist())
        low, high = found.low or 0.0, found.high or np.inf
        held += low <= 10 * np.log(2) <= high
    assert held / trials == pytest.approx(0.95, abs=0.035)
