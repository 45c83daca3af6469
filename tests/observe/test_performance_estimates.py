"""Accuracy without labels: right where its assumptions hold, corrected by labels, and honest where they break."""

import ibis
import numpy as np
import pytest
from labelled_window import labelled

from flywheel.errors import InvalidRecord
from flywheel.observe.calibrate import Calibration
from flywheel.observe.performance import PerformanceEstimator, estimate
from flywheel.observe.reweigh import reweigh


def answers(rng, n, a=6.0, b=2.0, slope=1.0):
    """Scores that overstate: the chance of being right is score ** 1.5 times `slope`."""
    scores = rng.beta(a, b, n)
    return scores, (rng.random(n) < slope * scores**1.5).astype(float)


def test_calibration_learns_the_curve_and_keeps_the_mean():
    rng = np.random.default_rng(0)
    scores, right = answers(rng, 20_000)
    curve = Calibration.fit(scores, right)
    grid = np.linspace(0.4, 0.95, 12)
    assert np.abs(curve.probability(grid) - grid**1.5).max() < 0.06
    assert (np.diff(curve.probability(grid)) >= 0).all()
    assert curve.mean(scores)[0] == pytest.approx(right.mean(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True], ids=["all", "sampled"])
def test_the_interval_covers_the_realised_accuracy(weighted):
    inside, trials = 0, 60
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        scores, right = answers(rng, 3000)
        weight = None
        if weighted:
            chance = np.where(scores < 0.7, 0.9, 0.3)
            kept = rng.random(3000) < chance
            scores, right, weight = scores[kept], right[kept], 1 / chance[kept]
        known = PerformanceEstimator.fit(scores, right, weight=weight, seed=seed)
        now, truth = answers(rng, 2000, a=4.0)
        found = known.estimate(now)
        inside += found.low <= truth.mean() <= found.high
    assert inside >= 0.88 * trials


def mixed(rng, n, share):
    """Two kinds of input with the same scores, of which the second is right less often."""
    kind = rng.random(n) < share
    scores = rng.beta(6, 2, n)
    right = rng.random(n) < np.where(kind, scores**3, scores)
    return scores, right.astype(float), kind.astype(float)[:, None]


def test_weights_see_a_change_of_mix_that_confidence_cannot():
    rng = np.random.default_rng(1)
    scores, right, features = mixed(rng, 12_000, 0.2)
    known = PerformanceEstimator.fit(scores, right, features)
    now, truth, mix = mixed(rng, 8000, 0.7)
    blind, aware = known.assess(now), known.assess(now, mix)
    assert abs(blind.expected.estimate - truth.mean()) > 0.04
    assert aware.expected.low <= truth.mean() <= aware.expected.high
    assert aware.method == "weighted"
    assert aware.valid
    assert aware.effective < 12_000


@pytest.mark.slow
def test_the_same_mix_is_not_weighed():
    rng = np.random.default_rng(2)
    moved = [reweigh(rng.normal(size=(1500, 3)), rng.normal(size=(1500, 3)), seed=seed).moved for seed in range(8)]
    assert sum(moved) == 0


def test_inputs_nobody_saw_before_are_said():
    rng = np.random.default_rng(3)
    scores, right = answers(rng, 4000)
    known = PerformanceEstimator.fit(scores, right, rng.normal(0, 1, (4000, 1)))
    now, _ = answers(rng, 3000)
    features = np.where(rng.random((3000, 1)) < 0.4, 12.0, rng.normal(0, 1, (3000, 1)))
    found = known.assess(now, features)
    assert not found.valid
    assert "hardly were" in found.reasons[0]
    beyond = known.assess(np.full(500, 1.5))
    assert "outside" in beyond.reasons[0]


def test_labels_correct_the_estimate_and_tell_that_it_broke():
    rng = np.random.default_rng(4)
    scores, right = answers(rng, 8000)
    known = PerformanceEstimator.fit(scores, right)
    now, truth = answers(rng, 10_000, slope=0.8)
    told = rng.random(10_000) < 0.08
    found = known.assess(now, labelled=(now[told], truth[told], np.full(told.sum(), 12.5)))
    assert not found.valid
    assert "labels say" in found.reasons[0]
    assert found.accuracy.low <= truth.mean() <= found.accuracy.high
    assert found.expected.low > truth.mean()
    fine, fine_truth = answers(rng, 10_000)
    assert known.assess(fine, labelled=(fine[told], fine_truth[told], np.full(told.sum(), 12.5))).valid


@pytest.mark.slow
def test_confidence_narrows_what_labels_say_and_the_interval_holds():
    inside, narrower = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scores = rng.beta(1.5, 0.6, 5000)
        right = (rng.random(5000) < scores).astype(float)
        known = PerformanceEstimator.fit(scores, right, seed=seed)
        now = rng.beta(1.5, 0.6, 5000)
        truth = (rng.random(5000) < 0.95 * now).astype(float)  # the curve is off, the interval must still hold
        chance = np.where(now < 0.5, 0.1, 0.04)
        told = rng.random(5000) < chance
        found = known.assess(now, labelled=(now[told], truth[told], 1 / chance[told])).accuracy
        weight = 1 / chance[told] / (1 / chance[told]).sum()
        plain = 3.92 * np.sqrt(weight**2 @ (truth[told] - weight @ truth[told]) ** 2)
        inside += found.low <= truth.mean() <= found.high
        narrower += found.high - found.low < plain
    assert inside >= 53
    assert narrower >= 50


def test_a_reference_that_does_not_keep_its_own_curve_is_said():
    rng = np.random.default_rng(5)
    early, late = answers(rng, 4000), answers(rng, 2000, slope=0.7)
    known = PerformanceEstimator.fit(np.append(early[0], late[0]), np.append(early[1], late[1]))
    assert "already in the reference" in known.assess(answers(rng, 1000)[0]).reasons[0]
    assert PerformanceEstimator.fit(*answers(rng, 6000)).assess(answers(rng, 1000)[0]).valid


@pytest.mark.parametrize(
    ("scores", "right", "word"),
    [
        (np.ones(20), np.ones(20), "too few"),
        (np.ones(200), np.ones(9), "9 for 200"),
        ([np.nan] * 200, [1] * 200, "missing"),
    ],
    ids=["few", "lengths", "missing"],
)
def test_what_cannot_be_learnt_from_is_refused(scores, right, word):
    with pytest.raises(InvalidRecord, match=word):
        PerformanceEstimator.fit(scores, right)


def window(rng, n, *, harder=0.0, worse=0.0, label=0.0, first=0, **more):
    network = rng.choice(["3g", "wifi"], n, p=[0.3 + harder, 0.7 - harder])
    confidence = np.where(network == "3g", rng.beta(4, 2, n), rng.beta(8, 2, n))
    wrong = rng.random(n) > confidence - worse
    told = rng.random(n) < label
    return labelled(wrong, confidence=confidence, told=told, propensity=label, network=network, first=first, **more)


@pytest.mark.slow
def test_a_window_gets_one_finding_for_all_and_one_by_value():
    rng = np.random.default_rng(6)
    before = window(rng, 6000, label=1.0)
    found = estimate(window(rng, 4000, first=10**6), before, by=["network"])
    assert [str(one.where) for one in found] == ["None", "network=wifi", "network=3g"]
    assert [one.name for one in found] == ["accuracy"] * 3
    assert not any(one.alarm for one in found)
    for one, truth in zip(found, (0.76, 0.8, 2 / 3), strict=True):
        assert one.value == pytest.approx(truth, abs=0.025)
        assert one.interval.low <= one.effect <= one.interval.high
        assert "confidence" in one.query
        assert one.chart["valid"]


@pytest.mark.slow
def test_harder_inputs_alarm_without_a_label_and_labels_alone_see_the_rest():
    rng = np.random.default_rng(7)
    before = window(rng, 6000, label=1.0)
    (harder,) = estimate(window(rng, 6000, harder=0.6, first=10**6), before)
    assert harder.alarm
    assert "a fall that hurts" in harder.line
    (unseen,) = estimate(window(rng, 6000, worse=0.15, first=10**6), before)
    (seen,) = estimate(window(rng, 6000, worse=0.15, label=0.1, first=10**6), before)
    assert not unseen.alarm
    assert seen.alarm
    assert any("does not hold" in line for line in seen.evidence)


def test_without_judged_answers_nothing_is_said():
    rng = np.random.default_rng(8)
    now = window(rng, 500)
    assert estimate(now, None) == []
    assert estimate(now, window(rng, 500)) == []
    assert estimate(now, labelled(np.zeros(500), source="system")) == []


def test_answers_of_a_version_nobody_judged_are_not_estimated():
    rng = np.random.default_rng(9)
    before, now = window(rng, 1000, label=1.0), window(rng, 1000, first=10**6)
    before.interactions = before.interactions.mutate(model=ibis.literal("1"))
    now.interactions = now.interactions.mutate(model=ibis.literal("2"))
    (found,) = estimate(now, before)
    assert "never judged" in found.line
    assert found.value is None
    assert not found.chart["valid"]


@pytest.mark.slow
def test_quiet_windows_do_not_alarm():
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = estimate(window(rng, 1500, label=0.05, first=10**6), window(rng, 3000, label=0.5), by=["network"])
        alarms += sum(one.alarm for one in found)
    assert alarms <= 1
