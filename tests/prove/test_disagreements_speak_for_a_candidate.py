"""Labels where candidate and champion differ: what they say, when it is enough, and when it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.config import GateSettings
from flywheel.prove import exact
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


def test_near_duplicates_are_one_vote_but_every_label_counts_for_the_gain():
    """Six drawn of one template speak for the champion, four others for the candidate: the traffic loses."""
    apart = Apart(40, 400, (-6, 1, 1, 1, 1), (6, 1, 1, 1, 1))
    assert (apart.labels, apart.wins, apart.losses) == (10, 4, 1)
    gain, error = apart.gain()
    assert gain == pytest.approx(0.1 * (4 - 6) / 10)
    assert error > Apart(40, 400, (-1,) * 6 + (1,) * 4).gain()[1] * 1.5, "ten labels, but five draws"
    assert not apart_check(apart, PAID).values["leans"]


@pytest.mark.parametrize("share", [0.1, 0.75])
@pytest.mark.parametrize(("n", "most"), [(3, 0.075), (6, 0.05), (15, 0.05)])
def test_the_interval_covers_what_is_true(n, most, share):
    """2.5 % in each tail, whichever way the labels speak; the worst of many mixtures of wins, losses and ties."""
    rng, missed, above = np.random.default_rng(11), [], []
    for win in (0.2, 0.4, 0.6, 0.8, 0.95):
        for lose in {0.0, min(0.2, 1 - win), min(win, 1 - win), 1 - win}:
            truth = share * (win - lose)
            kinds = rng.choice([1, -1, 0], (1000, n), p=[win, lose, 1 - win - lose]).tolist()
            low = np.array([Apart(int(600 * share), 600, tuple(votes)).interval()[0] for votes in kinds])
            missed.append(float(np.mean(low > truth + 1e-9)))
            above += [float(np.mean(low > 0))] if truth <= 0 else []
    assert max(missed) <= most, "2.5 % but for few labels, and the chance of the worst of twenty"
    assert max(above) <= 0.04, "a gain that there is not is called sure in 2.5 %"


def test_disagreements_speak_only_where_retraining_pays():
    votes = (1, 1, 0, 1, -1, 0)
    assert apart_check(Apart(40, 400, votes), PAID).values["leans"]
    assert not apart_check(Apart(40, 400, votes), ()).values["leans"], "the first proves itself by its own labels"
    assert not apart_check(Apart(40, 400, votes), [(0.0, 0.01)] * 5).values["leans"]
    assert not apart_check(Apart(40, 400, (1, -1, -1, 0, -1, 0)), PAID).values["leans"]


def test_votes_against_a_candidate_that_are_no_accident_refuse_it():
    assert apart_check(Apart(40, 400, (-1,) * 5), PAID).outcome == "fail"
    assert apart_check(Apart(40, 400, (-1,) * 4), PAID).outcome == "pass", "four of four may be luck: p = 1/16"
    assert "0 speak for it and 5 for the champion" in apart_check(Apart(40, 400, (-1,) * 5), PAID).line


def test_models_that_agree_on_everything_gain_nothing():
    check = apart_check(Apart(0, 400), PAID)
    assert check.outcome == "pass"
    assert not check.values["leans"]
    assert not apart_check(Apart(0, 0), PAID).values["leans"], "nothing was looked at"


@pytest.mark.parametrize("ties", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("n", [2, 4, 6, 15])
def test_without_a_gain_both_proofs_together_keep_their_level(n, ties):
    """Twelve fresh labels that lean nowhere and n votes that do not either: Fisher's p-value of the two."""
    rng = np.random.default_rng(8)
    gaps, votes = (
        rng.normal(size=(3000, 12)),
        rng.choice([-1, 0, 1], (3000, n), p=[(1 - ties) / 2, ties, (1 - ties) / 2]),
    )
    both = [
        exact.combined(exact.sign_flip_test(gap), exact.sign_test(int((vote > 0).sum()), int((vote < 0).sum())))
        for gap, vote in zip(gaps, votes, strict=True)
    ]
    assert np.mean(np.array(both) <= 0.06) <= 0.07, "6 %, and 2.3 standard errors"
    assert np.mean(np.array(both) <= 0.06) > 0.005


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


def judged(apart, taught=0.0):
    """A suite that loses 12 of 300 and wins none; 40 fresh labels that say nothing, or that it is better or worse."""
    suite = [pair(n, candidate=n >= 12) for n in range(300)]
    fresh = [pair(1000 + n, fresh=True, score=0.5 + taught + 0.01 * (-1) ** n, propensity=0.1) for n in range(40)]
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
    assert "with those votes" in checks["superiority"].line


def test_a_gain_that_is_not_proved_outweighs_nothing():
    verdict, checks = judged(Apart(120, 600, (1, 0, 1, -1, 1, -1)))
    assert checks["disagreements"].values["low"] < 0
    assert checks["regression"].outcome == "fail"
    assert verdict.decision == "reject"


def test_a_sure_gain_of_less_than_a_point_outweighs_nothing():
    verdict, checks = judged(Apart(6, 600, (1,) * 6))
    assert checks["disagreements"].values["low"] < 0.01
    assert checks["regression"].outcome == "fail"
    assert verdict.decision == "reject"


def test_what_fresh_labels_prove_to_be_worse_no_vote_speaks_for():
    apart = Apart(120, 600, (1,) * 11 + (0, 0, -1))
    assert judged(apart)[0].decision == "promote"
    verdict, checks = judged(apart, taught=-0.16)
    assert checks["disagreements"].values["leans"]
    assert checks["superiority"].outcome == "fail"
    assert verdict.decision == "reject"


def test_votes_and_fresh_labels_prove_a_gain_together():
    """Fresh labels that lean by a hair, three hundred old ones without a loss, no earlier spin."""

    def first(apart, hair=0.004):
        suite = [pair(n) for n in range(300)]
        scores = [0.5 + hair + 0.02 * (-1) ** n for n in range(40)]
        fresh = [pair(1000 + n, fresh=True, score=score, propensity=0.1) for n, score in enumerate(scores)]
        verdict = gate([*suite, *fresh], settings=GateSettings(), apart=apart)
        return verdict, {check.name: check.values for check in verdict.checks}["superiority"]

    alone, apart = first(None), first(Apart(60, 600, (1,) * 5))
    assert alone[1]["p"] == alone[1]["p_both"] > alone[1]["alpha"]
    assert alone[0].decision == "need labels"
    assert apart[1]["p_both"] == pytest.approx(exact.combined(alone[1]["p"], 1 / 32))
    assert apart[1]["p_both"] < apart[1]["alpha"] == alone[1]["alpha"], "one proof, one alpha"
    assert (apart[1]["proved"], apart[0].decision) == (True, "promote")
    assert first(Apart(60, 600, (1, -1, 0, 1)))[0].decision == "need labels", "votes that say nothing help nobody"
    assert not first(Apart(60, 600, (1,) * 12), hair=-0.02)[1]["proved"], "what is proved to be worse is not better"
    assert first(Apart(0, 600))[1]["p_both"] == alone[1]["p"], "nothing was asked"
