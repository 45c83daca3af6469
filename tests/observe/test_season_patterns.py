"""Seasons are found with their size, days that break them raise an alarm, and noise does neither."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from flywheel.errors import InvalidConfig
from flywheel.observe.levels import biweight, levels
from flywheel.observe.seasons import baseline, departures, patterns

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday


def stream(days, *, dip=0.08, noise=0.015, daily=0.005, bad=(), fall=0.05, seed=0, weekdays=True, tie=0.4):
    rng, rows, carry = np.random.default_rng(seed), [], 0.0
    for day in range(days):
        shift = rng.normal(0, daily)
        for hour in range(24):
            at = START + timedelta(days=day, hours=hour)
            carry = tie * carry + rng.normal(0, noise)
            peak = 18 <= hour < 21
            value = 0.83 + shift + carry - dip * (peak and (at.weekday() < 5 or not weekdays))
            rows.append({"at": at, "confidence": value - fall * (day in bad and peak), "volume": 100})
    return rows


def test_a_fall_at_peak_hours_is_found_with_its_size():
    (found,) = patterns(stream(40), "confidence")
    assert found.kind == "pattern"
    assert not found.alarm
    assert found.line.startswith("Confidence falls by 0.08 between 18:00 and 21:00 on weekdays, from 0.83 to 0.75")
    assert found.interval.low <= -0.08 <= found.interval.high
    assert len(found.chart["x"]) == 24


def test_every_day_and_past_midnight():
    rows = stream(20, dip=0.0)
    for row in rows:
        row["confidence"] -= 0.06 * (row["at"].hour in (23, 0, 1))
    (found,) = patterns(rows, "confidence")
    assert "between 23:00 and 02:00 every day" in found.line


def test_hours_are_those_of_the_zone():
    (found,) = patterns(stream(40), "confidence", zone="Europe/Berlin")
    assert "between 19:00 and 22:00" in found.line


def test_the_interval_of_a_pattern_covers():
    inside = found = 0
    for seed in range(25):
        for one in patterns(stream(28, dip=0.05, noise=0.02, seed=seed, weekdays=False), "confidence")[:1]:
            found += 1
            inside += one.interval.low <= -0.05 <= one.interval.high and one.chart["block"][1:] == [18, 3]
    assert found >= 20
    assert inside >= 0.7 * found


def test_noise_has_no_pattern_and_no_departure():
    for seed in range(12):
        rows = stream(30, dip=0.0, seed=seed, daily=0.01)
        assert patterns(rows, "confidence") == []
        assert departures(rows, "confidence") == []


def test_a_day_below_the_usual_peak_is_an_alarm_with_its_date():
    (found,) = departures(stream(40, bad=(30, 31), noise=0.006), "confidence")
    assert found.alarm
    assert found.since == START + timedelta(days=30, hours=18)
    assert found.until == START + timedelta(days=31, hours=21)
    assert "below the usual peak of 0.75" in found.line
    assert found.interval.low <= -0.05 <= found.interval.high


def test_the_usual_peak_itself_is_no_alarm_and_neither_is_a_better_day():
    for seed in range(8):
        assert departures(stream(40, seed=seed), "confidence") == []
    assert departures(stream(40, bad=(30,), fall=-0.06), "confidence") == []


@pytest.mark.parametrize("fall", [0.05, 0.08])
def test_power_of_departures(fall):
    hits = sum(
        bool(departures(stream(36, bad=(31,), noise=0.01, fall=fall, seed=seed), "confidence")) for seed in range(10)
    )
    assert hits >= (7 if fall < 0.06 else 10)


def test_the_baseline_is_robust_and_weekly_where_weeks_allow():
    rows = stream(28, bad=(20,), fall=0.5, noise=0.001, daily=0.0)
    usual = baseline(rows, "confidence")
    assert len(usual) == 168
    assert usual[6 - 6, 19] == pytest.approx(0.75, abs=0.005)
    assert usual[5, 19] == pytest.approx(0.83, abs=0.005)
    assert set(baseline(stream(10), "confidence")) == {(None, hour) for hour in range(24)}


def test_biweight_is_robust_and_efficient():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 4000)
    place, scale = biweight(np.concatenate([values, np.full(200, 1e6)]))
    assert place == pytest.approx(5, abs=0.2)
    assert scale == pytest.approx(2, abs=0.2)


def test_rows_are_read_as_they_are():
    rows = [
        {"at": START + timedelta(minutes=k), "confidence": None if k == 3 else 0.5 + 0.1 * (k % 2), "volume": 1 + k % 2}
        for k in range(120)
    ]
    seen = levels(rows, "confidence", every="minute", hourly=True)
    assert seen.values.size == 2
    assert seen.values[1] == pytest.approx((0.5 + 2 * 0.6) / 3)
    assert patterns([], "confidence") == departures([], "confidence") == []
    with pytest.raises(InvalidConfig, match="confusion"):
        levels(rows, "confusion")
