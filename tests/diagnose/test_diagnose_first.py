"""What to fix first: ordered by what a label buys, with intervals, and honest where nothing was measured."""

from dataclasses import replace

import numpy as np
import pytest

from flywheel.config import ValueSettings
from flywheel.diagnose.cause.remedy import follow
from flywheel.diagnose.first import fix_first
from flywheel.records import Cause, Interval, Mode, Risk


def mode(name, week=100.0, mends=0.8, wanted=40, cost=None, state="open", risk=5, **cause):
    return Mode(
        id=name, name=name, state=state,
        cause=Cause(
            kind="data scarcity", action="label", remedy=f"Label about {wanted} more", wanted=wanted,
            mends=None if mends is None else Interval(mends, mends - 0.1, min(1.0, mends + 0.1), 50), **cause,
        ),
        risk=Risk(
            severity=risk, occurrence=risk, detectability=1, per_week=Interval(week, 0.7 * week, 1.4 * week, 30),
            cost=None if cost is None else Interval(cost, 0.7 * cost, 1.4 * cost, 30),
            currency=None if cost is None else "EUR",
        ),
    )  # fmt: skip


def test_the_mode_whose_labels_buy_most_comes_first():
    fixes = fix_first([mode("dear", wanted=200), mode("cheap", wanted=10), mode("rare", week=5.0, wanted=10)])
    assert [fix.mode for fix in fixes] == ["cheap", "dear", "rare"]
    assert fixes[0].avoided.estimate == pytest.approx(80.0)
    assert fixes[0].avoided.low < 80.0 < fixes[0].avoided.high
    assert "would avoid 80 (" in fixes[0].line
    assert "takes about 10 labels" in fixes[0].line


def test_money_is_what_the_avoided_failures_cost():
    fix = fix_first([mode("m", cost=250.0)], value=ValueSettings(per_failure=2.5, per_label=0.5))[0]
    assert fix.saved.estimate == pytest.approx(200.0)
    assert fix.currency == "EUR"
    assert fix.label_cost == pytest.approx(20.0)
    assert "worth 200" in fix.line


def test_what_nothing_measured_says_is_not_told():
    fixes = fix_first([mode("dark", mends=None, risk=10), mode("clear", week=1.0)])
    assert [fix.mode for fix in fixes] == ["clear", "dark"]
    assert fixes[1].avoided is None
    assert "cannot tell what it would avoid: at most 140 failures a week" in fixes[1].line


def test_fixed_modes_are_not_on_the_list():
    assert fix_first([mode("old", state="fixed")]) == []
    assert follow([mode("old", state="fixed")]).shares == {}


def test_the_interval_of_a_product_covers_it():
    """Counts and trials are drawn anew: the product's interval holds the true one nineteen times of twenty."""
    from flywheel.diagnose.cause.shares import jeffreys, rate

    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        k = float(rng.poisson(60))
        one = mode("m", mends=0.5)
        one = replace(one, risk=replace(one.risk, per_week=rate(k, k)))
        one = replace(one, cause=replace(one.cause, mends=jeffreys(float(rng.binomial(40, 0.6)), 40)))
        avoided = fix_first([one])[0].avoided
        held += avoided.low <= 36.0 <= avoided.high
    assert 0.92 <= held / 400 <= 0.99


def chances(**p):
    return {kind.replace("_", " "): share for kind, share in p.items()}


def test_the_budget_goes_where_labels_are_what_is_missing():
    plan = follow([
        mode("scarce", probabilities=chances(data_scarcity=0.9, unknown=0.1)),
        replace(mode("flawed"), cause=Cause(kind="algorithmic flaw", action="change model",
                                            probabilities=chances(algorithmic_flaw=0.9, unknown=0.1))),
        replace(mode("dark"), cause=Cause()),
    ])  # fmt: skip
    assert plan.shares["scarce"] > plan.shares["dark"] > plan.shares["flawed"]
    assert all(0.3 <= share <= 2.0 for share in plan.shares.values())
    assert "dark" in plan.asks


def test_second_looks_take_the_most_doubtful_of_each_mode_and_keep_to_their_number():
    noisy = Cause(kind="label noise", action="relabel", relabel=tuple(f"a{k}" for k in range(9)),
                  probabilities=chances(label_noise=0.9))  # fmt: skip
    less = replace(noisy, relabel=("b0", "a0"), probabilities=chances(label_noise=0.5))
    plan = follow([replace(mode("x", risk=9), cause=noisy), replace(mode("y", risk=9), cause=less)], looks=5)
    assert plan.relabel == ("a0", "b0", "a1", "a2", "a3")
    assert follow([mode("scarce", relabel=("c",))]).relabel == ()


def test_broken_inputs_give_a_hint_for_training():
    cause = Cause(kind="external noise", action="filter or augment", remedy="filter them, or train with typing errors")
    assert follow([replace(mode("typed"), cause=cause)]).augment == {
        "typed": "filter them, or train with typing errors"
    }
