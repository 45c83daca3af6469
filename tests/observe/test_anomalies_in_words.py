"""Findings on the stream of one metric: what was put in, in plain words; and quiet where nothing was."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from flywheel.errors import InvalidConfig
from flywheel.observe.anomaly import anomalies
from flywheel.records import Observation, to_dict

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


def hourly(values):
    return [(BEGIN + timedelta(hours=hour), float(value)) for hour, value in enumerate(values)]


def stream(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    hours = np.arange(n)
    day = np.sin(2 * np.pi * hours / 24)
    if kind == "white":
        return rng.normal(size=n)
    if kind == "correlated":
        x = rng.normal(size=n)
        for place in range(1, n):
            x[place] += 0.8 * x[place - 1]
        return x
    if kind == "season":
        return 100 + 30 * day + rng.normal(0, 5, n)
    if kind == "counts":
        return rng.poisson(5 + 4 * day).astype(float)
    if kind == "week":
        return rng.poisson(100 * (1 + 0.5 * day) * np.where(hours // 24 % 7 > 4, 0.5, 1)).astype(float)
    if kind == "rare":
        return rng.poisson(0.05, n).astype(float)
    return np.exp(rng.normal(0, 1, n))


@pytest.mark.slow
@pytest.mark.parametrize("n", [336, 1500])
def test_quiet_streams_stay_quiet(n):
    rng = np.random.default_rng(11)
    kinds = ("white", "correlated", "season", "counts", "week", "rare", "skewed")
    found = {kind: sum(bool(anomalies(hourly(stream(kind, n, rng)), kind)) for _ in range(40)) for kind in kinds}
    assert max(found.values()) <= 6, found
    assert sum(found.values()) <= 14, found  # of 280: 5 %


@pytest.mark.parametrize("kind", ["season", "skewed", "rare"])
def test_a_few_quiet_streams_stay_quiet(kind):
    rng = np.random.default_rng(12)
    assert sum(bool(anomalies(hourly(stream(kind, 500, rng)), kind)) for _ in range(12)) <= 1


def test_a_spike_is_told_in_plain_words():
    x = stream("season", 1000, np.random.default_rng(1))
    x[700] = 220.0
    (found,) = anomalies(hourly(x), "latency p95", unit="ms", hurts="up")
    assert isinstance(found, Observation)
    assert (found.kind, found.name, found.value, found.alarm) == ("anomaly", "latency p95", 220.0, True)
    assert found.since == found.until == BEGIN + timedelta(hours=700)
    assert found.reference == pytest.approx(100 + 30 * np.sin(2 * np.pi * 700 / 24), abs=6)
    assert found.effect > 8
    assert "latency p95 was 220 ms at 2026-02-03 04:00" in found.line
    assert "above" in found.line
    assert any("0 were as high" in sentence for sentence in found.evidence)
    assert found.n == 700


def test_the_direction_that_hurts_alarms():
    x = stream("season", 800, np.random.default_rng(2))
    x[600] = 10.0
    for hurts, alarm in (("up", False), ("down", True), ("", False)):
        (found,) = anomalies(hourly(x), "volume", hurts=hurts)
        assert found.alarm is alarm
        assert "0 were as low" in found.evidence[1]


def test_an_unknown_direction_is_refused():
    with pytest.raises(InvalidConfig, match="sideways"):
        anomalies(hourly(range(100)), "volume", hurts="sideways")


def test_a_shift_and_a_flat_line_are_dated():
    x = stream("season", 1500, np.random.default_rng(3))
    x[900:] += 40
    x[1300:1340] = x[1300]
    found = anomalies(hourly(x), "volume")
    begins = [(one.since - BEGIN) / timedelta(hours=1) for one in found]
    assert any(900 <= begin <= 915 for begin in begins), begins
    flat = [one for one in found if "same value" in one.line]
    assert len(flat) == 1
    assert 1300 <= (flat[0].since - BEGIN) / timedelta(hours=1) <= 1310


def test_nights_without_traffic_are_no_flat_lines():
    hours = np.arange(1000)
    counts = np.where(hours % 24 < 8, 0.0, np.random.default_rng(4).poisson(40, 1000))
    assert anomalies(hourly(counts), "volume") == []
    counts[900:960] = 0.0
    found = anomalies(hourly(counts), "volume")
    assert len(found) >= 1
    assert 900 <= (found[0].since - BEGIN) / timedelta(hours=1) <= 960


def test_closed_on_sundays_is_no_flat_line():
    hours = np.arange(24 * 7 * 8)
    open_hours = np.random.default_rng(10).normal(50, 5, len(hours))
    closed = hours // 24 % 7 == 6
    found = anomalies(hourly(np.where(closed, 0.5, open_hours)), "load")
    late = [one for one in found if one.since >= BEGIN + timedelta(days=21) and "same value" in one.line]
    assert late == []


def test_an_outage_of_counts_is_found_and_chance_is_not():
    rng = np.random.default_rng(5)
    x = rng.poisson(30, 1000).astype(float)
    x[800:812] = 0
    (found,) = anomalies(hourly(x), "requests")
    assert found.value == 0
    assert 800 <= (found.since - BEGIN) / timedelta(hours=1) <= 812


def test_skewed_values_are_expected_in_their_own_unit():
    x = np.exp(np.random.default_rng(6).normal(3, 0.9, 1200))
    x[1000] = 1e5
    (found,) = anomalies(hourly(x), "latency", unit="ms")
    assert found.value == 1e5
    assert 10 < found.reference < 40


def test_order_and_holes_do_not_matter():
    x = stream("season", 600, np.random.default_rng(7))
    x[500] = 260
    points = hourly(x)
    mixed = [*points, (BEGIN, float("nan")), (BEGIN + timedelta(hours=3), None), (BEGIN, float("inf"))]
    random.Random(1).shuffle(mixed)
    assert anomalies(mixed, "volume") == anomalies(points, "volume") != []


@pytest.mark.parametrize("n", [0, 1, 47, 48])
def test_short_streams_have_no_findings(n):
    assert anomalies(hourly(np.arange(n) ** 3), "volume") == []


def test_charts_are_small_and_json():
    x = stream("season", 1500, np.random.default_rng(8))
    x[700:1100] += 400 * np.sin(np.arange(400))
    found = anomalies(hourly(x), "volume")
    assert found
    for one in found:
        assert one.chart["kind"] == "line"
        assert len(one.chart["x"]) == len(one.chart["y"]) <= 200
        assert one.chart["mark"] in one.chart["x"]
        json.dumps(to_dict(one))


def test_a_higher_threshold_reports_less():
    x = stream("white", 1500, np.random.default_rng(9))
    x[1000] += 7
    x[1300] += 25
    low, high = anomalies(hourly(x), "volume"), anomalies(hourly(x), "volume", threshold=7.0)
    assert len(low) == 2
    assert [one.since for one in high] == [BEGIN + timedelta(hours=1300)]
