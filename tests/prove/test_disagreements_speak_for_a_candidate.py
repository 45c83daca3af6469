"""Labels where candidate and champion differ: what they say, when it is enough, and when it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.config import GateSettings
from flywheel.prove.apart import Apart, apart_check
from flywheel.prove.history import unpaid
from flywheel.prove.judging import gate
from flywheel.prove.pairing import Pair
from flywheel.records import Example

PAID = [(0.05, 0.02)] * 3


def test_gain_and_error_are_those_of_the_votes_times_how_often_the_two_differ():
    gain, error = Apart(differ=50, seen=500, votes=(1, 1, 1, 0, -1)).gain()
    assert gain == pytest.approx(0.1 * 2 / 5)
    spread = (4 + 2) / 7 - (2 / 7) ** 2  # one win and one loss more than were seen
    assert error == pytest.approx(0.1 * math.sqrt(spread / 5))
    assert Apart(0, 0).gain() == Apart(5, 100).gain() == (0.0, 0.0)


@given(st.integers(0, 200), st.integers(0, 200), st.lists(st.sampled_from([-1, 0, 1]), max_size=30))
def test_the_interval_holds_the_gain_and_never_more_than_all_that_differs(differ, more, votes):
    apart = Apart(differ, differ + more, tuple(votes))
    low, high = apart.interval()
    gain, error = apart.gain()
    tiny = 1e-12  # rounding
    assert -apart.share <= low <= gain + tiny
    assert gain - tiny <= high <= apart.share
    assert error >= 0
    assert apart.wins - apart.losses == sum(votes)


@pytest.mark.parametrize(("wins", "losses"), [(9, 3), (6, 6)])
def test_the_interval_covers_what_is_true(wins, losses):
    """One-sided 95 %, six labels out of sixty disagreements, of which nine, or six, in twelve speak for the new one."""
    rng = np.random.default_rng(11)
    votes = np.repeat([1, -1, 0], [5 * wins, 5 * losses, 60 - 5 * wins - 5 * losses])
    truth = 0.1 * votes.mean()
    missed = sum(
        Apart(60, 600, tuple(rng.choice(votes, 6, replace=False).tolist())).interval()[0] > truth for _ in range(2000)
    )
    assert missed / 2000 <= 0.055


def test_disagreements_speak_only_where_retraining_pays():
    votes = (1, 1, 0, 1, -1, 0)
    assert apart_check(Apart(40, 400, votes), PAID).values["leans"]
    assert not apart_check(Apart(40, 400, votes), ()).values["leans"], "the first proves itself by its own labels"
    assert not apart_check(Apart(40, 400, votes), [(0.0, 0.01)] * 5).values["leans"]
    assert not apart_check(Apart(40, 400, (1, -1, -1, 0, -1, 0)), PAID).values["leans"]


def test_votes_against_a_candidate_that_are_no_accident_refuse_it():
    assert apart_check(Apart(40, 400, (-1,) * 5), PAID).outcome == "fail"
    assert apart_check(Apart(40, 400, (-1,) * 4), PAID).outcome == "pass", "four of four may be luck: p = 1/16"
    assert "it has 0 right and the champion 5" in apart_check(Apart(40, 400, (-1,) * 5), PAID).line


def test_models_that_agree_on_everything_lose_nothing():
    check = apart_check(Apart(0, 400), PAID)
    assert check.outcome == "pass"
    assert check.values["leans"]
    assert not apart_check(Apart(0, 0), PAID).values["leans"], "nothing was looked at"


def test_votes_that_prove_a_gain_by_themselves_need_no_history():
    assert apart_check(Apart(60, 400, (1,) * 6), (), alpha=0.06).values["leans"]
    assert not apart_check(Apart(60, 400, (1, 1, 1, -1, 0, 0)), (), alpha=0.06).values["leans"]
    rng = np.random.default_rng(8)
    draws = (tuple(rng.choice([-1, 0, 1], 6, p=[0.4, 0.2, 0.4]).tolist()) for _ in range(2000))
    passed = sum(apart_check(Apart(30, 400, votes), (), alpha=0.06).values["leans"] for votes in draws)
    assert passed / 2000 <= 0.075, "nominal: six votes are coarse"


def test_luck_rarely_speaks_for_a_product_that_never_gained():
    """Candidates that are no better, 30 disagreements in 400, six labels a spin, eight spins one after the other."""
    rng, passed = np.random.default_rng(5), 0
    for _ in range(200):
        before: list[tuple[float, float]] = []
        for _ in range(8):
            apart = Apart(30, 400, tuple(rng.choice([-1, 0, 1], 6, p=[0.4, 0.2, 0.4]).tolist()))
            passed += apart_check(apart, before).values["leans"]
            before.append(apart.gain())
    assert passed / (200 * 8) <= 0.1


def test_real_gains_are_spoken_for():
    """Two thirds of what differs is mended, a quarter broken, behind three such spins."""
    rng, passed = np.random.default_rng(6), 0
    for _ in range(300):
        draws = [tuple(rng.choice([-1, 0, 1], 8, p=[0.2, 0.15, 0.65]).tolist()) for _ in range(4)]
        before = [Apart(40, 400, votes).gain() for votes in draws[:3]]
        passed += apart_check(Apart(40, 400, draws[3]), before).values["leans"]
    assert passed / 300 >= 0.8


def test_average_gains_add_up():
    assert unpaid([(0.02, 0.02)]) > unpaid([(0.02, 0.02)] * 3) > unpaid([(0.02, 0.02)] * 6)
    assert unpaid([(-0.02, 0.02)] * 3) == pytest.approx(1 - unpaid([(0.02, 0.02)] * 3))


def pair(number, *, champion=True, candidate=True, fresh=False, score=0.5, **more):
    example = Example(id=f"e{number}", input=number, label="a", group=f"g{number}", spin=2, **more)
    return Pair(
        example=example, champion="a" if champion else "b", candidate="a" if candidate else "b",
        champion_right=champion, candidate_right=candidate, fresh=fresh,
        placebo="a" if fresh else None, placebo_right=True if fresh else None,
        candidate_score=score, placebo_score=0.5 if fresh else None,
    )  # fmt: skip


def judged(apart):
    """A suite that loses 12 of 300 and wins none; 40 fresh labels that say nothing."""
    suite = [pair(n, candidate=n >= 12) for n in range(300)]
    fresh = [pair(1000 + n, fresh=True, score=0.5 + 0.01 * (-1) ** n, propensity=0.1) for n in range(40)]
    verdict = gate([*suite, *fresh], settings=GateSettings(), apart=apart, apart_before=PAID, earlier=PAID)
    return verdict, {check.name: check for check in verdict.checks}


def test_a_proved_gain_on_the_traffic_outweighs_a_suite_that_loses():
    without, checks = judged(None)
    assert without.decision == "reject"
    assert (checks["regression"].outcome, checks["superiority"].outcome) == ("fail", "fail")
    assert "disagreements" not in checks
    verdict, checks = judged(Apart(120, 600, (1,) * 11 + (0, 0, -1)))
    assert checks["disagreements"].values["low"] > 0
    assert verdict.decision == "promote"
    assert checks["regression"].values["outweighed"] == pytest.approx(checks["disagreements"].values["low"])
    assert "labels speak for it" in checks["superiority"].line


def test_a_gain_that_is_not_proved_outweighs_nothing():
    verdict, checks = judged(Apart(120, 600, (1, 0, 1, -1, 1, -1)))
    assert checks["disagreements"].values["low"] < 0
    assert checks["regression"].outcome == "fail"
    assert verdict.decision == "reject"
