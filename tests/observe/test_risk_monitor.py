"""The monitor of risk: right answers on known data, few false alarms, finds rises, goes on where it was left."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_window import START, labelled

from flywheel.errors import InvalidRecord
from flywheel.observe.bets import BETS, Tally, log_wealth, purse, rate_interval
from flywheel.observe.expected import PerformanceEstimator
from flywheel.observe.monitor import RiskMonitor
from flywheel.observe.risk import watch


def coin(rng, n, p):
    return (rng.random(n) < p).astype(float)


def reference(rng, n, p):
    return Tally.of(coin(rng, n, p), np.ones(n))


def test_wealth_is_the_product_of_its_bets():
    losses = np.array([1.0, 0, 0, 1, 0.25])
    weights = np.array([1.0, 1, 0.5, 0.5, 1])
    rates = np.array([0.1, 0.3])
    size = BETS / rates[:, None]
    hand = sum(np.log1p(size * u * (x - rates)[:, None]) for x, u in zip(losses, weights, strict=True))
    assert log_wealth(Tally.of(losses, weights), rates) == pytest.approx(hand)
    assert purse(np.zeros((1, BETS.size)))[0] == pytest.approx(0.0, abs=1e-12)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=30),
    st.floats(0.01, 0.9),
)
@settings(max_examples=60, deadline=None)
def test_counting_keeps_means_and_never_overstates_evidence(pairs, rate):
    losses, weights = np.array(pairs).T
    tally = Tally.of(losses, weights)
    assert tally.mass == pytest.approx(weights.sum())
    assert tally.lost == pytest.approx((losses * weights).sum(), abs=1e-9)
    true = [np.log1p(b / rate * weights * (losses - rate)).sum() for b in BETS]
    assert (log_wealth(tally, np.array([rate]))[0] <= np.array(true) + 1e-9).all()
    assert np.array_equal(Tally.from_state(json.loads(json.dumps(tally.state()))).counts, tally.counts)


@pytest.mark.slow
def test_the_interval_holds_at_every_moment():
    left = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tally, out = Tally(), False
        for _ in range(25):
            tally = tally + Tally.of(coin(rng, 40, 0.1), np.ones(40))
            low, high = rate_interval(tally, 0.9)
            out |= not low <= 0.1 <= high
        left += out
    assert left <= 10  # 10 % of 60 is 6


def test_quiet_streams_alarm_less_than_alpha_says():
    alarms = batches = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        before = reference(rng, 3000, 0.15)
        monitor = RiskMonitor(before, tolerance=0.0, alpha=0.02)
        for _ in range(150):
            monitor.update(coin(rng, 100, 0.15))
            batches += 1
            if monitor.alarm:
                alarms += 1
                monitor = RiskMonitor(before, tolerance=0.0, alpha=0.02)
    assert alarms <= 0.02 * batches


def test_once_controls_the_whole_future():
    ever = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        monitor = RiskMonitor(0.15, tolerance=0.0, alpha=0.1, rule="once")
        for _ in range(40):
            monitor.update(coin(rng, 50, 0.15))
            if monitor.alarm:
                ever += 1
                break
    assert ever <= 16


@pytest.mark.parametrize(("rise", "within"), [(0.02, 20_000), (0.05, 3_000), (0.10, 1_000)])
def test_a_rise_is_found_after_a_long_quiet_time(rise, within):
    delays = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        monitor = RiskMonitor(reference(rng, 20_000, 0.15), tolerance=0.0)
        for batch in range(200):
            monitor.update(coin(rng, 250, 0.15), at=batch)
        assert not monitor.alarm
        for batch in range(200, 200 + within // 250 + 1):
            monitor.update(coin(rng, 250, 0.15 + rise), at=batch)
            if monitor.alarm:
                break
        assert monitor.alarm
        delays.append(batch - 199)
        assert abs(monitor.since - 200) <= within / 250 * 0.4
        assert monitor.recent().low > 0.15
    assert np.mean(delays) * 250 < within


def test_without_restarts_a_long_quiet_time_delays_the_alarm():
    def delay(rule):
        rng = np.random.default_rng(3)
        monitor = RiskMonitor(0.15, tolerance=0.005, rule=rule)
        for _ in range(200):
            monitor.update(coin(rng, 250, 0.15))
        for batch in range(200):
            monitor.update(coin(rng, 250, 0.19))
            if monitor.alarm:
                return batch
        return 200

    assert delay("restarting") < delay("once")


def test_less_than_the_tolerance_does_not_alarm():
    rng = np.random.default_rng(0)
    monitor = RiskMonitor(reference(rng, 20_000, 0.15), tolerance=0.01)
    for _ in range(300):
        monitor.update(coin(rng, 500, 0.155))
    assert not monitor.alarm


def test_labels_chosen_for_looking_bad_do_not_alarm_by_themselves():
    rng = np.random.default_rng(1)

    def asked(n):
        suspect = rng.random(n) < 0.1
        wrong = rng.random(n) < np.where(suspect, 0.6, 0.1)
        chance = np.where(suspect, 0.5, 0.05)
        told = rng.random(n) < chance
        return wrong[told].astype(float), 1 / chance[told]

    wrong, weight = asked(100_000)
    before = Tally.of(wrong, weight / 20)
    weighted = RiskMonitor(before, heaviest=20)
    blind = RiskMonitor(0.15)
    for _ in range(60):
        wrong, weight = asked(2000)
        weighted.update(wrong, weight)
        blind.update(wrong)
    assert weighted.reference_rate == pytest.approx(0.15, abs=0.02)
    assert not weighted.alarm
    assert blind.alarm


def test_it_goes_on_where_it_was_left():
    rng = np.random.default_rng(0)
    data = [coin(rng, 100, 0.2) for _ in range(150)]
    monitor = RiskMonitor(reference(rng, 5000, 0.2))
    for k, batch in enumerate(data[:75]):
        monitor.update(batch, at=k)
    other = RiskMonitor.from_state(json.loads(json.dumps(monitor.state())))
    for k, batch in enumerate(data[75:], 75):
        monitor.update(batch, at=k)
        other.update(batch, at=k)
    assert other.log_e == pytest.approx(monitor.log_e, abs=1e-4)
    assert other.since == monitor.since
    assert len(json.dumps(other.state())) < 30_000


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: RiskMonitor(Tally()), "no judged answers"),
        (lambda: RiskMonitor(0.1, rule="twice"), "twice"),
        (lambda: RiskMonitor(0.1, alpha=2), "2"),
        (lambda: RiskMonitor(1.5), "1.5"),
        (lambda: RiskMonitor(0.1).update([1.0], [3.0]), "heaviest"),
        (lambda: RiskMonitor(0.1).update([2.0]), "outside"),
        (lambda: RiskMonitor(0.1).update([float("nan")]), "missing"),
    ],
    ids=["empty", "rule", "alpha", "rate", "weight", "loss", "nan"],
)
def test_what_cannot_be_watched_is_refused(call, word):
    with pytest.raises(InvalidRecord, match=word):
        call()


def test_a_window_is_watched_and_dated():
    rng = np.random.default_rng(2)
    before = labelled(rng.random(6000) < 0.1, source="system")
    chance = np.where(np.arange(6000) < 3000, 0.1, 0.25)
    (found,) = watch(labelled(rng.random(6000) < chance, source="system"), before)
    assert found.alarm
    assert found.kind == "performance"
    assert abs((found.since - START).total_seconds() / 60 - 3000) < 240
    assert found.effect == pytest.approx(0.15, abs=0.04)
    assert found.interval.low < 0.15 < found.interval.high
    assert "GROUP BY" in found.query
    assert len(found.chart["x"]) == 100
    (quiet,) = watch(labelled(rng.random(6000) < 0.1, source="system"), before)
    assert not quiet.alarm
    assert watch(labelled([1, 0], told=[False, False]), before) == []
    assert watch(before, labelled([1, 0])) == []


def test_a_slice_is_watched_alone():
    rng = np.random.default_rng(4)
    device = rng.choice(["ios", "web"], 8000)
    before = labelled(rng.random(8000) < 0.1, source="system", device=device)
    now = labelled(rng.random(8000) < np.where(device == "ios", 0.2, 0.1), source="system", device=device)
    assert watch(now, before, where={"device": "ios"})[0].alarm
    assert not watch(now, before, where={"device": "web"})[0].alarm


def test_without_labels_the_expected_rate_is_watched():
    rng = np.random.default_rng(6)

    def window(a, n=8000):
        confidence = rng.beta(a, 2, n)
        return confidence, labelled(rng.random(n) > confidence, confidence=confidence, told=np.zeros(n, bool))

    confidence, before = window(8)
    known = PerformanceEstimator.fit(confidence, rng.random(8000) < confidence)
    (quiet,) = watch(window(8)[1], before, estimator=known)
    (harder,) = watch(window(5)[1], before, estimator=known)
    assert (quiet.alarm, harder.alarm) == (False, True)
    assert harder.name == "expected_failures"


def test_a_monitor_handed_in_goes_on():
    rng = np.random.default_rng(7)
    monitor = RiskMonitor(reference(rng, 6000, 0.1))
    watch(labelled(rng.random(2000) < 0.1, source="system"), monitor)
    batches = monitor.batches
    (found,) = watch(labelled(rng.random(2000) < 0.3, source="system"), monitor)
    assert monitor.batches > batches
    assert found.alarm
