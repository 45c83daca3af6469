"""Uplift: known answers, coverage at the size of a spin, power, and no false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_products import draw, make_product

from flywheel.errors import InvalidRecord
from flywheel.measure import uplift

# accuracy before, share of failures fixed, share of right answers broken, separation of P(failure)
PRODUCTS = [
    (0.7, 0.3, 0.02, 0.5),
    (0.7, 0.6, 0.005, 2.0),
    (0.9, 0.3, 0.02, 2.0),
    (0.9, 0.1, 0.03, 0.5),
    (0.9, 0.1, 0.03, 2.0),
    (0.8, 0.2, 0.05, 2.0),
]


def _shares(product, budget, trials, known, size=2000, seed=5):
    """How often the interval covers, and how often it says better, or worse."""
    rng = np.random.default_rng(seed)
    covered = better = worse = 0
    for _ in range(trials):
        made = make_product(rng, size, *product)
        cases, propensity, _ = draw(rng, made.p_failure, budget)
        extra = {}
        if known:
            extra["disagreement"] = float(made.differs.mean())
        if known == "differs":
            extra["differs"] = made.differs[cases]
        found = uplift(made.before[cases], made.after[cases], propensity, **extra)
        assert found.low <= found.estimate <= found.high
        covered += found.low <= made.uplift <= found.high
        better += found.low > 0
        worse += found.high < 0
    return covered / trials, better / trials, worse / trials


def test_known_answers():
    # Weights 2 and 10: (2 × 1 + 10 × 0 + 10 × -1 + 2 × 1) / 24
    found = uplift([False, True, True, False], [True, True, False, True], [0.5, 0.1, 0.1, 0.5])
    assert found.estimate == pytest.approx((2 + 0 - 10 + 2) / 24)
    assert found.n == 4
    # Only the three that differ are estimated: (2 - 10 + 2) / 14, on a fifth of the traffic.
    found = uplift(
        [False, True, True, False],
        [True, True, False, True],
        [0.5, 0.1, 0.1, 0.5],
        disagreement=0.2,
        differs=[True, False, True, True],
    )
    assert found.estimate == pytest.approx(0.2 * -6 / 14)
    assert -0.2 <= found.low < found.high <= 0.2


def test_models_that_agree_change_nothing():
    found = uplift([True, False], [True, False], [0.1, 0.1], disagreement=0.0)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_every_case_labelled_leaves_nothing_to_chance():
    found = uplift([True, False, False], [True, True, False], [1, 1, 1], population=3)
    assert found.low == found.estimate == found.high == pytest.approx(1 / 3)
    # That these were sure to be asked about says nothing of the rest.
    found = uplift([True, False, False], [True, True, False], [1, 1, 1], population=100)
    assert found.low < found.estimate < found.high


def test_no_labels_say_nothing():
    assert (uplift([], [], []).low, uplift([], [], []).high) == (-1, 1)
    found = uplift([], [], [], disagreement=0.1)
    assert (found.estimate, found.low, found.high) == (0, -0.1, 0.1)
    unseen = uplift([True], [True], [0.1], disagreement=0.1, differs=[False])
    assert (unseen.low, unseen.high) == (-0.1, 0.1)


def test_swapping_the_models_turns_the_sign():
    rng = np.random.default_rng(1)
    a, b, p = rng.random(30) < 0.6, rng.random(30) < 0.8, rng.uniform(0.01, 1, 30)
    there, back = uplift(a, b, p), uplift(b, a, p)
    assert (there.estimate, there.low, there.high) == pytest.approx((-back.estimate, -back.high, -back.low))


@pytest.mark.parametrize(
    ("kwargs", "field"),
    [
        ({"before": [True], "after": [], "propensities": [1]}, "after"),
        ({"before": [True], "after": [True], "propensities": [0]}, "propensities"),
        ({"before": [True], "after": [True], "propensities": [float("nan")]}, "propensities"),
        ({"before": [True], "after": [True], "propensities": [1, 1]}, "propensities"),
        ({"before": [True], "after": [True], "propensities": [1], "disagreement": 2}, "disagreement"),
    ],
)
def test_bad_arguments(kwargs, field):
    with pytest.raises(InvalidRecord) as refused:
        uplift(**kwargs)
    assert refused.value.field == field


@pytest.mark.parametrize("known", ["", "disagreement", "differs"])
@pytest.mark.parametrize("product", PRODUCTS, ids=str)
def test_coverage_at_forty_labels(product, known):
    covered, _, _ = _shares(product, 40, 300, known)
    assert covered >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("budget", [20, 100, 400])
@pytest.mark.parametrize("known", ["", "differs"])
def test_coverage_at_other_sizes(budget, known):
    assert min(_shares(product, budget, 300, known)[0] for product in PRODUCTS) >= 0.92


def test_a_large_uplift_is_seen():
    _, better, worse = _shares((0.7, 0.6, 0.005, 2.0), 40, 200, "differs")
    assert better >= 0.9
    assert worse == 0
    _, better, _ = _shares((0.7, 0.6, 0.005, 2.0), 200, 100, "")
    assert better >= 0.9


@pytest.mark.parametrize("known", ["", "differs"])
def test_no_uplift_is_seen_where_there_is_none(known):
    # As much is broken as fixed: 0.2 of 0.2 wrong against 0.05 of 0.8 right.
    _, better, worse = _shares((0.8, 0.2, 0.05, 2.0), 40, 400, known)
    assert better <= 0.04
    assert worse <= 0.04


def test_knowing_more_narrows_the_interval():
    rng = np.random.default_rng(2)
    widths = {"": 0.0, "disagreement": 0.0, "differs": 0.0}
    for _ in range(50):
        made = make_product(rng, 2000, 0.9, 0.3, 0.02, 2.0)
        cases, propensity, _ = draw(rng, made.p_failure, 40)
        share = float(made.differs.mean())
        more = {"": {}, "disagreement": {"disagreement": share}}
        more["differs"] = {"disagreement": share, "differs": made.differs[cases]}
        for name, extra in more.items():
            found = uplift(made.before[cases], made.after[cases], propensity, **extra)
            widths[name] += found.high - found.low
    assert widths["differs"] < widths["disagreement"] < widths[""]
