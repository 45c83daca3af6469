"""Metrics are what they say; shifts are reported by size; only what hurts raises an alarm."""

from types import SimpleNamespace

import ibis
import numpy as np
import pytest
from observe_window import seen

from flywheel.config import DetectSettings
from flywheel.errors import InvalidConfig
from flywheel.observe import metrics, observe


def by_name(observations):
    return {(one.kind, one.name): one for one in observations}


def test_metrics_by_hour_with_known_answers():
    window = seen(
        5,
        minutes=[0, 10, 59, 61, 200],
        confidence=[0.2, 0.4, None, 1.0, None],
        latency=[10, 20, 30, 40, None],
        error=["boom", None, "", None, None],
        ratings=[(0, -1), (0, -1), (1, 1), (3, "report"), (77, -1)],
    )
    rows = metrics(window, "hour")
    assert [(row["at"].hour, row["volume"]) for row in rows] == [(0, 3), (1, 1), (3, 1)]
    first, second, third = rows
    assert first["errors"] == pytest.approx(1 / 3)
    assert first["negative"] == pytest.approx(1 / 3)
    assert first["feedback"] == pytest.approx(2 / 3)
    assert first["confidence"] == pytest.approx(0.3)
    assert first["latency_p50"] == pytest.approx(20)
    assert second["negative"] == 1.0
    assert third["confidence"] is None
    assert third["latency_p95"] is None
    assert len(metrics(window, "day")) == 1
    assert len(metrics(window, "minute")) == 5


def test_an_unknown_step_is_named():
    with pytest.raises(InvalidConfig, match="fortnight"):
        metrics(seen(1), "fortnight")


def test_an_empty_window_says_so():
    (only,) = observe(seen(0), seen(5), None, DetectSettings())
    assert (only.name, only.value) == ("volume", 0.0)
    assert metrics(seen(0)) == []


def test_levels_of_a_single_window():
    scored = ibis.memtable({"p_failure": [0.1, 0.3]})
    found = by_name(
        observe(
            seen(100, latency=[float(k) for k in range(100)], confidence=[0.8] * 100),
            None,
            scored,
            DetectSettings(latency_ms=50),
        )
    )
    assert found["metric", "volume"].value == 100
    assert found["metric", "p_failure"].value == pytest.approx(0.2)
    assert found["metric", "confidence"].line == "Mean confidence is 0.80"
    assert "the limit is 50 ms" in found["metric", "latency_p95"].line
    assert not any(one.alarm for one in found.values())


def test_more_errors_alarm_and_fewer_do_not():
    good, bad = (
        seen(2000, error=["x" if k % 50 == 0 else None for k in range(2000)]),
        seen(2000, error=["x" if k % 10 == 0 else None for k in range(2000)]),
    )
    assert by_name(observe(bad, good))["metric", "error_rate"].alarm
    assert not by_name(observe(good, bad))["metric", "error_rate"].alarm


def test_a_shift_of_the_mix_is_reported_with_its_size_but_does_not_alarm():
    rng = np.random.default_rng(0)
    before = seen(
        3000,
        output=rng.choice(['"a"', '"b"', '"c"'], 3000, p=[0.6, 0.3, 0.1]).tolist(),
        confidence=rng.normal(0.8, 0.05, 3000).tolist(),
    )
    after = seen(
        3000,
        output=rng.choice(['"a"', '"b"', '"c"'], 3000, p=[0.3, 0.3, 0.4]).tolist(),
        confidence=rng.normal(0.75, 0.05, 3000).tolist(),
    )
    found = by_name(observe(after, before))
    assert found["shift", "outputs"].effect == pytest.approx(0.3, abs=0.04)
    assert found["shift", "confidence"].effect == pytest.approx(-1.0, abs=0.1)
    assert "fell by 1.0" in found["shift", "confidence"].line
    assert not any(one.alarm for one in found.values())


@pytest.mark.slow
def test_quiet_windows_raise_nothing():
    """False alarms and false shifts: two halves of the same traffic, 60 times."""
    raised = shifts = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)

        def half(rng=rng):
            n = 400
            return seen(
                n,
                output=rng.choice(["a", "b", "c", "d"], n).tolist(),
                confidence=rng.beta(8, 2, n).tolist(),
                error=[("x" if r < 0.05 else None) for r in rng.random(n)],
                ratings=[(k, -1) for k in np.flatnonzero(rng.random(n) < 0.05)],
            )

        found = observe(half(), half())
        raised += sum(one.alarm for one in found)
        shifts += sum(one.kind == "shift" for one in found)
    assert raised == 0
    assert shifts <= 2


def test_answers_that_never_repeat_have_no_mix():
    before, after = seen(200, output=[f"t{k}" for k in range(200)]), seen(200, output=[f"u{k}" for k in range(200)])
    assert ("shift", "outputs") not in by_name(observe(after, before))


def test_observation_needs_no_more_than_two_tables():
    window = seen(10)
    assert observe(SimpleNamespace(interactions=window.interactions, feedback=window.feedback), None)
