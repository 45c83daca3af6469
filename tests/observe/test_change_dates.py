"""Changes of level are dated, with an interval that holds; ties, seasons and single hours are no change."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from flywheel.observe.breaks import changes, segments
from flywheel.observe.seasons import departures, patterns

START = datetime(2026, 4, 20, tzinfo=UTC)


def stream(n, *, every="hour", fall=0.0, at=None, noise=0.02, tie=0.0, daily=0.0, dip=0.0, seed=0, spikes=0):
    rng = np.random.default_rng(seed)
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1)}[every]
    rows, carry = [], 0.0
    shift = rng.normal(0, daily, n)
    odd = set(rng.integers(0, n, spikes).tolist())
    for k in range(n):
        moment = START + k * step
        carry = tie * carry + rng.normal(0, noise)
        value = 0.83 + carry + (shift[k // 24] if every == "hour" else 0.0) - dip * (18 <= moment.hour < 21)
        value -= fall * (at is not None and k >= at) + 0.3 * (k in odd)
        rows.append({"at": moment, "confidence": value, "errors": 0.9 - value, "volume": 50})
    return rows


def test_a_fall_is_dated():
    (found,) = changes(stream(60, every="day", fall=0.05, at=22), "confidence", every="day")
    assert found.line.startswith("Confidence fell from 0.83 to 0.78 on 12 May")
    assert found.kind == "change"
    assert found.since == START + timedelta(days=22)
    assert found.interval.low <= -0.05 <= found.interval.high
    assert not found.alarm


def test_the_interval_of_the_date_covers():
    inside = found = 0
    for seed in range(60):
        for one in changes(stream(80, every="day", fall=0.035, at=40, seed=seed), "confidence", every="day")[:1]:
            found += 1
            words = one.evidence[2].removeprefix("The date is between ").removesuffix(" with 95 % confidence")
            first, last = (datetime.strptime(w + " 2026", "%d %b %Y").replace(tzinfo=UTC) for w in words.split(" and "))
            inside += first <= START + timedelta(days=40) <= last
    assert found >= 55
    assert inside >= 0.88 * found


@pytest.mark.parametrize(
    "kind",
    [{"tie": 0.0}, {"tie": 0.6}, {"daily": 0.01}, {"dip": 0.08}, {"spikes": 12}],
    ids=["white", "tied", "daily", "season", "spikes"],
)
def test_a_level_that_stays_has_no_change(kind):
    false = sum(bool(changes(stream(500, seed=seed, **kind), "confidence")) for seed in range(12))
    assert false <= 1


@pytest.mark.parametrize(
    "kind",
    [{"tie": 0.0}, {"tie": 0.5}, {"dip": 0.08}, {"spikes": 12}],
    ids=["white", "tied", "season", "spikes"],
)
def test_a_change_is_found_among_all_that(kind):
    hits = 0
    for seed in range(8):
        found = changes(stream(600, fall=0.04, at=333, seed=seed, **kind), "confidence")
        hits += len(found) == 1 and abs(found[0].since - START - timedelta(hours=333)) <= timedelta(hours=12)
    assert hits >= 7


def test_up_and_down_again_are_two_and_only_what_lasts_alarms():
    rows = stream(400, fall=0.06, at=150)
    (rise,) = changes(rows, "errors")
    assert rise.alarm
    for row in rows[280:]:
        row["errors"] -= 0.06
    up, down = changes(rows, "errors")
    assert not up.alarm
    assert not down.alarm
    assert up.until == down.since


def test_too_small_to_tell_is_not_told():
    assert changes(stream(2000, fall=0.006, at=1000, noise=0.005), "confidence") == []


def test_segments_of_a_known_series():
    values = np.concatenate([np.zeros(30), np.full(20, 2.0), np.full(40, -1.0)])
    values += np.random.default_rng(0).normal(0, 0.2, 90)
    assert segments(values, noise=0.04) == [30, 50]
    assert segments(values[:30], noise=0.04) == []


def test_short_constant_and_long_series():
    assert changes(stream(5), "confidence") == []
    assert changes(stream(300, noise=0.0), "confidence") == []
    (found,) = changes(stream(9000, fall=0.05, at=5000), "confidence")
    assert abs(found.since - START - timedelta(hours=5000)) <= timedelta(hours=9)


@pytest.mark.slow
def test_errors_that_are_rare_are_neither_changes_nor_departures():
    told = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rows = stream(24 * 30, seed=seed)
        for row in rows:
            row["errors"] = rng.binomial(row["volume"], 0.002) / row["volume"]
        told += len(changes(rows, "errors")) + len(departures(rows, "errors")) + len(patterns(rows, "errors"))
        for row in rows[400:]:
            row["errors"] = rng.binomial(row["volume"], 0.03) / row["volume"]
        (found,) = changes(rows, "errors")
        assert abs(found.since - START - timedelta(hours=400)) <= timedelta(hours=12)
        assert departures(rows, "errors")
    assert told <= 1
