"""Accuracy: known answers, coverage, and more labels or good predictions narrow it."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_products import draw, make_product
from scipy.stats import beta

from flywheel.errors import InvalidRecord
from flywheel.measure import accuracy


def test_audit_alone_is_clopper_pearson_when_small():
    found = accuracy([True] * 18 + [False] * 2, [0.01] * 20, [True] * 20, 2000)
    assert found.estimate == 0.9
    assert found.low == pytest.approx(beta.ppf(0.025, 18, 3))
    assert found.high == pytest.approx(beta.ppf(0.975, 19, 2))
    assert found.n == 20


def test_audit_alone_is_wilson_when_large():
    found = accuracy([True] * 80 + [False] * 20, [0.01] * 100, [True] * 100, 10_000)
    z, p, n = 1.959964, 0.8, 100
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / 4 / n**2) ** 0.5
    assert (found.low, found.high) == pytest.approx((centre - reach, centre + reach), abs=1e-5)


def test_weighted_estimate():
    values, propensities = [True] * 6 + [False] * 6, [0.01] * 6 + [0.1] * 6
    found = accuracy(values, propensities, [False] * 12, 1000)
    assert found.estimate == pytest.approx(600 / 660)
    assert found.n == 12


def test_nothing_known_and_everything_known():
    assert accuracy([], [], [], 100) == accuracy([], [], [], 0)
    assert (accuracy([], [], [], 100).low, accuracy([], [], [], 100).high) == (0, 1)
    found = accuracy([True, False], [1, 1], [True, True], 2)
    assert (found.low, found.estimate, found.high) == (0.5, 0.5, 0.5)


def test_perfect_predictions_leave_little_doubt():
    right = [True] * 30 + [False] * 10
    args = right, [0.02] * 40, [True] * 8 + [False] * 32, 2000
    powered = accuracy(*args, predicted=[float(one) for one in right], predicted_mean=0.8)
    assert powered.estimate == pytest.approx(0.8)
    plain = accuracy(*args)
    assert powered.high - powered.low < 0.8 * (plain.high - plain.low)


def test_bad_arguments():
    with pytest.raises(InvalidRecord, match="audit"):
        accuracy([True], [1], [], 10)
    with pytest.raises(InvalidRecord, match="predicted"):
        accuracy([True] * 10, [0.1] * 10, [True] * 10, 100, predicted=[1.0], predicted_mean=0.5)


def _coverage(product, budget, *, powered=False, calibrated=True, trials=300, size=2000):
    rng = np.random.default_rng(11)
    covered = width = audit_width = 0.0
    for _ in range(trials):
        made = make_product(rng, size, *product)
        cases, propensity, audit = draw(rng, made.p_failure, budget)
        guess = 1 - made.p_failure if calibrated else made.p_failure
        extra = {"predicted": guess[cases], "predicted_mean": float(guess.mean())} if powered else {}
        found = accuracy(made.before[cases], propensity, audit, size, **extra)
        alone = accuracy(made.before[cases][audit], propensity[audit], audit[audit], size)
        covered += found.low <= made.before.mean() <= found.high
        width += found.high - found.low
        audit_width += alone.high - alone.low
    return covered / trials, width / audit_width


PRODUCTS = [(0.6, 0, 0, 0.5), (0.6, 0, 0, 2.0), (0.8, 0, 0, 2.0), (0.95, 0, 0, 0.5), (0.95, 0, 0, 2.0)]


@pytest.mark.parametrize("product", PRODUCTS, ids=str)
@pytest.mark.parametrize("powered", [False, True], ids=["labels", "powered"])
def test_coverage_at_forty_labels(product, powered):
    covered, width = _coverage(product, 40, powered=powered)
    assert covered >= 0.93
    assert width < 0.75  # of the audit's alone


@pytest.mark.slow
@pytest.mark.parametrize("budget", [20, 200])
@pytest.mark.parametrize("powered", [False, True], ids=["labels", "powered"])
def test_coverage_at_other_sizes(budget, powered):
    assert min(_coverage(product, budget, powered=powered)[0] for product in PRODUCTS) >= 0.92


def test_predictions_that_are_upside_down_do_not_mislead():
    covered, _ = _coverage((0.8, 0, 0, 2.0), 40, powered=True, calibrated=False)
    assert covered >= 0.93
