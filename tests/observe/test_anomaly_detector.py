"""The detector of anomalies in a metric: finds what was put in, bears what streams bring, and resumes where it was."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import Undecodable
from flywheel.observe.anomaly import AnomalyDetector
from flywheel.observe.anomaly.rarity import Rarity
from flywheel.observe.anomaly.season import Season

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


def fed(values, detector=None, times=True):
    detector = detector or AnomalyDetector()
    return [
        detector.update(BEGIN + timedelta(hours=hour) if times else None, value) for hour, value in enumerate(values)
    ]


def season(n: int, seed: int) -> np.ndarray:
    return 100 + 30 * np.sin(np.arange(n) * 2 * np.pi / 24) + np.random.default_rng(seed).normal(0, 5, n)


def test_rarity_counts_tails():
    rare = Rarity(window=1e12)  # nothing fades
    for size in range(1, 101):
        rare.surprise(float(2**10 + size * 2**8))
    share = 10 ** -rare.surprise(float(2**10 + 90 * 2**8 + 1))
    assert share == pytest.approx(0.10, abs=0.04)  # buckets are 12 % wide
    assert 10 ** -rare.surprise(1e9) == pytest.approx(0.5 / 102, rel=1e-9)
    assert rare.beyond > 3


def test_rarity_forgets():
    rare = Rarity(window=100)
    for _ in range(50):
        rare.surprise(1000.0)
    for _ in range(2000):
        rare.surprise(1.0)
    assert rare.surprise(500.0) > 2


def test_rarity_extrapolates_flat_tails_less():
    rng = np.random.default_rng(0)
    light, heavy = Rarity(5000), Rarity(5000)
    for _ in range(3000):
        light.surprise(abs(rng.normal()))
        heavy.surprise(rng.pareto(1.0) + 1)
    light.surprise(40.0)
    heavy.surprise(1e7)
    assert light.beyond > 4
    per_digit = heavy.beyond / math.log10(1e7 / 3000)
    assert per_digit == pytest.approx(1.0, abs=0.7)  # a Pareto tail of index 1 loses a digit per digit


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("change", "within"),
    [
        (lambda x, at, rng: x.__setitem__(at, x[at] + 60), 1),
        (lambda x, at, rng: x.__setitem__(at, 20.0), 1),
        (lambda x, at, rng: x.__setitem__(slice(at, None), x[at:] + 40), 12),
        (lambda x, at, rng: x.__setitem__(slice(at, at + 48), x[at : at + 48] + rng.normal(0, 40, 48)), 12),
        (lambda x, at, rng: x.__setitem__(slice(at, at + 48), x[at]), 24),
    ],
    ids=["spike", "dip", "shift", "burst", "flat"],
)
def test_a_change_is_found_at_once(change, within, seed):
    x = season(1500, seed)
    change(x, 1100, np.random.default_rng(seed))
    detector, severities = AnomalyDetector(), []
    for hour, value in enumerate(x):
        detector.update(BEGIN + timedelta(hours=hour), float(value))
        severities.append(detector.severity)
    assert max(severities[1100 : 1100 + within]) > max(severities[300:1100])
    assert max(severities[1100 : 1100 + within]) > 4.7


def test_a_missing_peak_is_odd_only_because_of_the_hour():
    """12:00 looks like 03:00: no odd value, but an odd one for its hour."""
    x = 100 + 30 * np.sin(np.arange(1500) * 2 * np.pi / 24) + np.random.default_rng(4).normal(0, 2, 1500)
    at = 24 * 50 + 6
    x[at] = 70.0
    with_times, without = fed(x), fed(x, times=False)
    assert with_times[at] > max(with_times[300:at])
    assert with_times[at] > without[at] or without[at] < max(without[300:at])


def test_one_event_is_one_alarm():
    x = season(1500, 1)
    x[1000:1010] += 80
    likelihoods = np.array(fed(x))
    strong = np.flatnonzero(likelihoods[1000:1030] > 1 - 10**-3.3)
    assert 1 <= len(strong) <= 4


def test_missing_values_change_nothing():
    x = season(600, 2).tolist()
    plain, holed = AnomalyDetector(), AnomalyDetector()
    expected = fed(x, plain)
    got = []
    for hour, value in enumerate(x):
        for gap in (None, math.nan, math.inf, -math.inf, 1e200):
            assert holed.update(BEGIN + timedelta(hours=hour), gap) == 0.0
        got.append(holed.update(BEGIN + timedelta(hours=hour), value))
    assert got == expected


@pytest.mark.parametrize("constant", [0.0, 5.0, -1e9, 1e-12])
def test_constants_are_quiet_until_they_are_not(constant):
    likelihoods = fed([constant] * 500 + [constant + 1.0] + [constant] * 100)
    assert max(likelihoods[:500]) < 0.9
    assert likelihoods[500] > 0.99


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_does_not_matter(factor):
    x = season(800, 3)
    x[700] = 300
    assert np.argmax(fed(x * factor)[100:]) == np.argmax(fed(x)[100:]) == 600


def test_it_resumes_from_json():
    x = season(3000, 5)
    x[::97] += 25
    whole = AnomalyDetector()
    expected = fed(x, whole)
    half = AnomalyDetector()
    fed(x[:1500], half)
    text = json.dumps(half.state())
    back = AnomalyDetector.from_state(json.loads(text))
    got = [back.update(BEGIN + timedelta(hours=hour), float(x[hour])) for hour in range(1500, 3000)]
    assert got == pytest.approx(expected[1500:], abs=1e-12)
    assert back.n == whole.n == 3000


def test_another_version_is_refused():
    with pytest.raises(Undecodable, match="version 7"):
        AnomalyDetector.from_state({"version": 7})


def test_the_state_is_bounded():
    detector = AnomalyDetector()
    rng = np.random.default_rng(6)
    fed(rng.lognormal(0, 3, 4000), detector)
    early = len(json.dumps(detector.state()))
    fed(rng.lognormal(0, 3, 16000), detector)
    assert len(json.dumps(detector.state())) < max(1.5 * early, 60_000)


def test_long_streams_do_not_overflow():
    rare = Rarity(window=1.0)  # counts double at every step
    for step in range(2000):
        assert math.isfinite(rare.surprise(float(step % 7)))


anything = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 10),
    st.sampled_from([0.0, -0.0, 5e-324, 1e149, -1e149]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), anything), max_size=120), st.integers(0, 120))
def test_any_stream_has_likelihoods(points, cut):
    """Repeated, backward and missing times, values of any size: a number from 0 to 1, and the same after a restart."""
    detector = AnomalyDetector()
    for place, (hours, value) in enumerate(points):
        if place == cut:
            detector = AnomalyDetector.from_state(json.loads(json.dumps(detector.state())))
        assert 0.0 <= detector.update(BEGIN + timedelta(hours=hours), value) <= 1.0
        assert math.isfinite(detector.severity)


def test_season_knows_the_weekend_where_it_tells():
    rng = np.random.default_rng(7)
    weekly, daily = Season(), Season()
    for hour in range(24 * 7 * 8):
        at = BEGIN + timedelta(hours=hour)
        level = 10.0 if at.weekday() > 4 else 50.0
        weekly.take(at, level + rng.normal())
        daily.take(at, 50.0 + 20.0 * math.sin(at.hour) + rng.normal())
    saturday = BEGIN + timedelta(days=7 * 8 + 5, hours=12)
    assert abs(weekly.take(saturday, 10.0)) < 3
    assert weekly.mean == pytest.approx(10.0, abs=1.5)
    daily.take(saturday, 0.0)
    assert daily.count == 7 * 8 + 0  # the hour of the day, seen every day
    assert daily.mean == pytest.approx(50 + 20 * math.sin(12), abs=1.5)


def test_weekday_traffic_on_a_sunday_is_odd():
    hours = np.arange(24 * 7 * 10)
    day = 100 * (1 + 0.5 * np.sin(2 * np.pi * hours / 24)) * np.where(hours // 24 % 7 > 4, 0.4, 1)
    x = np.random.default_rng(8).normal(day, 3)
    at = 24 * (7 * 9 + 6) + 6
    x[at] = 150.0
    detector, severities = AnomalyDetector(), []
    for hour, value in enumerate(x):
        detector.update(BEGIN + timedelta(hours=hour), float(value))
        severities.append(detector.severity)
        if hour == at:
            assert detector.expected == pytest.approx(60, abs=6)
    assert severities[at] > 3.5  # the first weekends, not yet understood, are remembered as large
    assert severities[at] > max(severities[24 * 7 * 5 : at])
