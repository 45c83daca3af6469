"""The size of a move is the total variation distance, whatever the traffic; chance is what blocks show; a move must
exceed the least effect."""

import numpy as np
import pytest
from scipy import stats

from flywheel.observe.drift.effect import Side, apart, long_run

HOUR = 3600.0


def levels(rng, hours, rho, spread):
    noise = rng.normal(size=hours) * spread * np.sqrt(1 - rho**2)
    level = np.zeros(hours)
    for hour in range(1, hours):
        level[hour] = rho * level[hour - 1] + noise[hour]
    return level


def two(rng, *, per=20, days=(28, 7), shift=0.0, cycle=0.0, rho=0.0, spread=0.0):
    """Normal values, `per` an hour, in 64 bins; the window comes after its reference."""
    edges = stats.norm.ppf(np.arange(1, 63) / 63) * np.sqrt(1 + spread**2)
    sides, first = [], 0
    for moved, length in zip((0, 1), days, strict=True):
        start = (first * 24 + np.arange(length * 24)) * HOUR
        mean = cycle * np.cos(start / 86400 * 2 * np.pi) + moved * shift + levels(rng, length * 24, rho, spread)
        values = rng.normal(size=(len(start), per)) + mean[:, None]
        counts = np.zeros((len(start), 64), np.int64)
        np.add.at(counts, (np.repeat(np.arange(len(start)), per), np.searchsorted(edges, values.ravel())), 1)
        sides.append(Side(counts, start))
        first += length
    return sides


def true_distance(shift):
    return 2 * stats.norm.cdf(shift / 2) - 1


@pytest.mark.parametrize("per", [50, 500], ids=["8,400 rows", "84,000 rows"])
def test_the_size_is_the_distance_and_does_not_grow_with_traffic(per):
    found = [apart(*two(np.random.default_rng(s), per=per, shift=0.5), 0.05) for s in range(8)]
    assert np.mean([e.size for e in found]) == pytest.approx(true_distance(0.5), abs=0.02)
    assert all(e.low <= e.size <= e.high for e in found)


@pytest.mark.slow
def test_intervals_hold_the_truth():
    found = [apart(*two(np.random.default_rng(s), per=200, shift=0.5, rho=0.7, spread=0.1), 0.05) for s in range(60)]
    held = np.mean([e.low - 0.005 <= true_distance(0.5) <= e.high + 0.005 for e in found])
    assert held >= 0.85


def test_nothing_and_a_move_below_the_least_are_not_told():
    rng = np.random.default_rng(0)
    nothing = [apart(*two(rng, per=10), 0.05) for _ in range(60)]
    assert np.mean([e.size for e in nothing]) < 0.012  # on the same days, three times that
    none = [e.p for e in nothing]
    little = [apart(*two(rng, per=100, shift=0.09), 0.05).p for _ in range(30)]  # distance 0.036, and 16,800 rows
    assert np.mean(np.array(none) < 0.05) <= 0.05
    assert np.mean(np.array(little) < 0.05) <= 0.05


def test_a_wandering_level_and_a_day_cycle_are_not_told():
    rng = np.random.default_rng(1)
    wander = [apart(*two(rng, per=10, rho=0.8, spread=0.3), 0.05).e for _ in range(80)]
    assert np.mean(np.array(wander) > 20) <= 0.02
    # the nights of four days only, beside four weeks
    for seed in range(10):
        reference, window = two(np.random.default_rng(seed), per=50, cycle=1.0)
        kept = (np.cos(window.start / 86400 * 2 * np.pi) > 0) & (window.start < window.start[0] + 4 * 86400)
        found = apart(reference, Side(window.counts[kept], window.start[kept]), 0.05)
        assert found.season == "hour of week"
        assert found.e < 20
        unmatched = apart(
            Side(reference.counts, np.full(len(reference.start), np.nan)),
            Side(window.counts[kept], np.full(int(kept.sum()), np.nan)),
            0.05,
        )
        assert unmatched.size > found.size + 0.05


def test_power_grows_with_the_move_and_the_traffic():
    def share(per, shift):
        return np.mean([apart(*two(np.random.default_rng(s), per=per, shift=shift), 0.05).e > 20 for s in range(15)])

    assert share(6, 0.5) > 0.8
    assert share(60, 0.3) > 0.9
    assert share(6, 0.2) < share(60, 0.3)


def test_a_spread_that_widens_and_nulls_that_come_are_moves():
    rng = np.random.default_rng(2)
    reference, window = two(rng, per=100)
    wide = np.zeros_like(window.counts)
    edges = stats.norm.ppf(np.arange(1, 63) / 63)
    values = rng.normal(0, 1.6, (len(window.start), 100))
    np.add.at(wide, (np.repeat(np.arange(len(window.start)), 100), np.searchsorted(edges, values.ravel())), 1)
    assert apart(reference, Side(wide, window.start), 0.05).e > 1000
    missing = window.counts.copy()
    missing[:, -1] = 15
    assert apart(reference, Side(missing, window.start), 0.05).size == pytest.approx(15 / 115, abs=0.02)


def test_long_run_variance_counts_slow_waves():
    rng = np.random.default_rng(0)
    flat = np.mean([long_run(rng.normal(size=400))[0] for _ in range(50)])
    slow = np.mean([long_run(levels(rng, 400, 0.8, 1.0))[0] for _ in range(50)])
    assert flat == pytest.approx(400, rel=0.25)
    assert slow == pytest.approx(400 * (1.8 / 0.2), rel=0.45)
    assert long_run(np.zeros(0)) == (np.inf, 0.0)


def test_empty_and_tiny_windows_say_nothing():
    side = two(np.random.default_rng(0), per=5)[0]
    empty = Side(np.zeros((0, 64), np.int64), np.zeros(0))
    assert apart(side, empty, 0.05).p == 1.0
    assert apart(empty, side, 0.05).p == 1.0
    one = Side(side.counts[:1], side.start[:1])
    assert apart(side, one, 0.05).p == 1.0
