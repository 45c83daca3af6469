"""The gate: what it promotes, what it refuses, what it waits for, and what it says."""

from dataclasses import replace

import numpy as np
import pytest

from flywheel.config import GateSettings
from flywheel.prove import Pair, gate
from flywheel.prove.exact import sign_test
from flywheel.records import Example, from_dict, to_dict

SETTINGS = GateSettings()


def pair(i, old, new, *, fresh=False, control=None, **example):
    example.setdefault("label", i % 4)
    example.setdefault("group", f"g{i}")
    return Pair(
        example=Example(id=f"e{i}", input=[i], **example), champion=0, candidate=0, champion_right=bool(old),
        candidate_right=bool(new), fresh=fresh, placebo_right=None if control is None else bool(control),
    )  # fmt: skip


def many(start, n, old, new, **more):
    return [pair(i, old, new, **more) for i in range(start, start + n)]


def good(suite=900):
    """40 fresh labels, 31 failures: 25 fixed, none broken; the placebo fixes 3. In the suite 5 fixed, 2 broken."""
    fresh = [
        pair(
            i,
            i >= 31,
            i < 25 or i >= 31,
            fresh=True,
            control=i < 3 or i >= 31,
            mode="m1",
            propensity=1.0 if i < 35 else 0.02,
        )
        for i in range(40)
    ]
    old = many(100, suite - 50, 1, 1) + many(5000, 43, 0, 0) + many(6000, 5, 0, 1) + many(7000, 2, 1, 0)
    return fresh + old


def outcome(verdict, name):
    return next(check for check in verdict.checks if check.name == name)


def test_a_real_improvement_is_promoted_with_its_numbers():
    verdict = gate(good(), settings=SETTINGS, targeted=["m1", "m2"], latency=(1.0, 1.1), agreement=0.99)
    assert verdict.decision == "promote"
    assert (verdict.fixed, verdict.failures, verdict.broke, verdict.kept) == (30, 79, 2, 861)
    assert verdict.modes_fixed == ("m1",)
    assert verdict.need == 0
    assert outcome(verdict, "champion").line.startswith("on 40 new labels: fixed 25 of 31 known failures, broke 0 of 9")
    assert "the same learner without them, which fixes 3 of those 31" in outcome(verdict, "superiority").line
    assert "broke 2 of 852" in outcome(verdict, "negative flips").line
    assert "margin 2.0%; the smallest loss it could have seen is" in outcome(verdict, "regression").line
    assert from_dict(type(verdict), to_dict(verdict)).decision == "promote"


def test_luck_on_selected_labels_is_not_enough():
    """The candidate 'fixes' 12 of 31, but so does the placebo: regression to the mean."""
    fresh = [pair(i, i >= 31, i < 12 or i >= 31, fresh=True, control=6 <= i < 18 or i >= 31) for i in range(40)]
    verdict = gate(fresh + many(100, 300, 1, 1), settings=SETTINGS)
    assert outcome(verdict, "champion").values["wins"] == 12
    assert outcome(verdict, "superiority").outcome != "pass"
    assert verdict.decision != "promote"


def test_without_a_placebo_only_random_labels_count():
    fresh = [pair(i, i >= 31, 1, fresh=True, audit=i >= 35) for i in range(40)]
    verdict = gate(fresh + many(100, 300, 1, 1), settings=SETTINGS)
    assert verdict.decision == "need labels"
    assert "on 5 random audit labels" in outcome(verdict, "superiority").line


def test_too_few_labels_ask_for_more():
    fresh = [pair(i, i >= 4, 1, fresh=True, control=i >= 4) for i in range(8)]
    verdict = gate(fresh + many(100, 300, 1, 1), settings=SETTINGS)
    assert verdict.decision == "need labels"
    assert 1 <= verdict.need <= 40
    assert f"about {verdict.need} more labels would decide" in str(verdict)
    assert gate([], settings=SETTINGS).decision == "need labels"


def test_probabilities_prove_what_answers_are_too_few_to():
    """No answer changes but three; every label is a little likelier under the candidate."""
    rng = np.random.default_rng(3)

    def fresh(more):
        old = rng.uniform(0.1, 0.6, 60)
        return [
            replace(
                pair(i, 0, i < 3, fresh=True, control=0),
                placebo_score=old[i], candidate_score=float(np.clip(old[i] + rng.normal(more, 0.05), 0, 1)),
            )
            for i in range(60)
        ]  # fmt: skip

    suite = many(100, 300, 1, 1)
    assert gate(fresh(0.05) + suite, settings=SETTINGS).decision == "promote"
    assert sum(gate(fresh(0.0) + suite, settings=SETTINGS).decision == "promote" for _ in range(60)) <= 6


def surer(more, again, rng):
    """60 new labels to which the candidate gives `more` probability; the placebo's other trainings move by `again`."""
    old = rng.uniform(0.2, 0.6, 60)
    return [
        replace(
            pair(i, 0, 0, fresh=True, control=0, spin=4),
            placebo_score=float(old[i]), placebo_again=tuple(float(old[i] + shift) for shift in again),
            candidate_score=float(old[i] + more + rng.normal(0, 0.03)),
        )
        for i in range(60)
    ] + many(100, 300, 1, 1)  # fmt: skip


def test_what_one_training_gives_to_all_cases_by_luck_is_no_proof():
    rng = np.random.default_rng(5)
    assert gate(surer(0.04, (0.0,), rng), settings=SETTINGS).decision == "promote"
    assert gate(surer(0.04, (0.05, -0.04, -0.02), rng), settings=SETTINGS).decision != "promote"
    assert gate(surer(0.25, (0.05, -0.04, -0.02), rng), settings=SETTINGS).decision == "promote"


def test_earlier_gains_help_a_leaning_candidate_and_earlier_nothing_does_not():
    rng = np.random.default_rng(6)
    rows = [
        replace(p, candidate_score=p.candidate_score + 0.2 * (-1) ** i) if p.fresh else p
        for i, p in enumerate(surer(0.02, (0.0,), rng))
    ]
    assert gate(rows, settings=SETTINGS).decision != "promote"
    paid = gate(rows, settings=SETTINGS, earlier=[(0.05, 0.02), (0.04, 0.02), (0.06, 0.02)])
    assert paid.decision == "promote"
    assert "with 3 earlier spins, no gain has a probability of" in outcome(paid, "superiority").line
    assert gate(rows, settings=SETTINGS, earlier=[(0.0, 0.02)] * 3).decision != "promote"
    worse = [replace(p, candidate_score=p.placebo_score - 0.01) if p.fresh else p for p in rows]
    assert gate(worse, settings=SETTINGS, earlier=[(0.09, 0.01)] * 9).decision != "promote", "a loss is no gain"


def leaning():
    """Labels that speak for the candidate without proving anything."""
    rng = np.random.default_rng(6)
    return [
        replace(p, candidate_score=p.candidate_score + 0.25 * (-1) ** i) if p.fresh else p
        for i, p in enumerate(surer(0.01, (0.0,), rng))
    ]


def test_certain_releases_leave_room_for_a_likely_one():
    rows = leaning()
    history = {"settings": SETTINGS, "earlier": [(0.03, 0.02)] * 3}
    none = outcome(gate(rows, **history), "superiority").values["no_gain"]
    assert SETTINGS.alpha < none < 0.3
    assert gate(rows, **history).decision == "need labels"
    assert gate(rows, **history, released=[0.002, 0.001, 0.003]).decision == "promote"
    assert gate(rows, **history, released=[0.15, 0.1, 0.09]).decision == "need labels"


def moved_on(gained, audits=50):
    """The suite of old cases loses 16 %, beyond chance and beyond the budget of flips; the traffic gains `gained`."""
    old = many(100, 200, 1, 1) + many(8000, 40, 1, 0) + many(9000, 2, 0, 1)
    aimed = [pair(i, 0, i % 2, fresh=True, control=0, propensity=0.8) for i in range(190)]
    drawn = [
        pair(300 + i, i >= gained * audits, 1, fresh=True, control=i >= gained * audits, propensity=0.02, audit=True)
        for i in range(audits)
    ]
    return old + aimed + drawn


def test_old_cases_are_no_veto_where_todays_traffic_is_proved_to_gain():
    verdict = gate(moved_on(0.2), settings=SETTINGS)
    assert outcome(verdict, "traffic").values["gain"] == pytest.approx(0.2, abs=0.05)
    assert "outweighed by at least" in outcome(verdict, "negative flips").line
    assert verdict.decision == "promote"
    assert gate(moved_on(0.0), settings=SETTINGS).decision == "reject"


def test_three_examples_of_a_fixed_mode_veto_a_likely_gain_and_not_a_proved_one():
    def told(rows, broken, **more):
        mode = many(20_000, broken, 1, 0, mode="m7")
        verdict = gate(rows + mode, settings=SETTINGS, fixed_modes={"m7": [p.example.id for p in mode]}, **more)
        return outcome(verdict, "fixed modes")

    proved = told(good(), 3)
    assert proved.outcome == "pass"
    assert proved.line.startswith("reopens m7 (3 of 3 broken): too few examples to rule out chance")
    assert proved.values["modes"] == ["m7"]
    assert told(good(), 5).outcome == "fail", "five of five are no chance"
    two = many(20_000, 3, 1, 0, mode="m7") + many(21_000, 3, 1, 0, mode="m8")
    ids = {name: [p.example.id for p in two if p.example.mode == name] for name in ("m7", "m8")}
    assert outcome(gate(good() + two, settings=SETTINGS, fixed_modes=ids), "fixed modes").outcome == "fail", "nor six"
    likely = {"earlier": [(0.03, 0.02)] * 3, "released": [0.002, 0.001, 0.003]}
    assert gate(leaning(), settings=SETTINGS, **likely).decision == "promote"
    assert told(leaning(), 3, **likely).outcome == "fail"


def test_few_labels_for_the_bulk_of_the_traffic_prove_nothing_about_it():
    """All ten random labels happen to show no loss: a loss of a tenth would have been missed once in three times."""
    verdict = gate(moved_on(0.0, audits=10), settings=SETTINGS)
    assert outcome(verdict, "traffic").values["gain"] > 0
    assert outcome(verdict, "traffic").values["low"] < 0
    assert verdict.decision == "reject"


def test_a_loss_of_todays_traffic_is_refused_whatever_was_aimed_at():
    aimed = [pair(i, 0, 1, fresh=True, control=0, propensity=0.9) for i in range(40)]
    drawn = [pair(100 + i, 1, i >= 8, fresh=True, control=1, propensity=0.02, audit=True) for i in range(20)]
    verdict = gate(aimed + drawn + many(1000, 300, 1, 1), settings=SETTINGS)
    assert outcome(verdict, "traffic").outcome == "fail"
    assert verdict.decision == "reject"


def test_one_heavy_label_lost_is_no_proof_of_a_loss():
    """One random label that stands for fifty requests went wrong beside thirty aimed ones that all went well."""
    aimed = [pair(i, i >= 10, 1, fresh=True, control=i >= 10, propensity=0.9) for i in range(30)]
    drawn = [pair(100 + i, 1, i != 0, fresh=True, control=1, propensity=0.02, audit=True) for i in range(8)]
    verdict = gate(aimed + drawn + many(1000, 300, 1, 1), settings=SETTINGS)
    assert outcome(verdict, "traffic").values["gain"] < 0 < outcome(verdict, "traffic").values["high"]
    assert outcome(verdict, "traffic").outcome == "pass"


def test_a_loss_against_the_champion_is_no_improvement():
    rows = [pair(i, 1, i >= 12, fresh=True, control=0) for i in range(40)]
    verdict = gate(rows + many(100, 300, 1, 1), settings=SETTINGS)
    assert outcome(verdict, "champion").outcome == "fail"
    assert verdict.decision == "reject"


def test_later_looks_ask_for_stronger_evidence():
    fresh = [pair(i, i >= 7, 1, fresh=True, control=i >= 7) for i in range(20)]
    rows = fresh + many(100, 300, 1, 1)
    assert gate(rows, settings=SETTINGS, look=1).decision == "promote"
    assert gate(rows, settings=SETTINGS, look=20).decision == "need labels"


def test_copies_of_one_question_are_one_piece_of_evidence():
    fresh = [pair(i, 0, 1, fresh=True, control=0, group="same") for i in range(20)]
    verdict = gate(fresh + many(100, 300, 1, 1), settings=SETTINGS)
    assert verdict.decision == "need labels"
    assert outcome(verdict, "superiority").values["labels"] == 1


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (many(8000, 60, 1, 0, label=9), "regression"),
        (many(8000, 12, 1, 0, label=9), "classes"),
        (many(8000, 4, 1, 0, label=9), "classes"),
        (many(8000, 150, 1, 0), "negative flips"),
        (many(8000, 12, 1, 0, context={"device": "ios"}), "slice device"),
        (many(8000, 5, 1, 0, mode="m7"), "fixed modes"),
    ],
    ids=["accuracy", "class", "small class gone", "flips", "slice", "mode"],
)
def test_harm_is_refused_however_much_is_fixed(harm, named):
    context = many(9000, 40, 1, 1, context={"device": "web"})
    verdict = gate(
        good() + harm + context,
        settings=SETTINGS,
        protected=["device"],
        fixed_modes={"m7": [p.example.id for p in harm if p.example.mode == "m7"]},
    )
    assert verdict.decision == "reject"
    assert outcome(verdict, named).outcome == "fail"


def test_the_artefact_is_held_to_its_limits():
    for more, named in (
        ({"latency": (1.0, 10.0)}, "latency"),
        ({"latency": (1.0, 2.1)}, "latency"),
        ({"latency": (0.4, 1.1)}, "latency"),
        ({"cost": (1.0, 3.0)}, "cost"),
        ({"agreement": 0.5}, "artefact"),
    ):
        verdict = gate(good(), settings=SETTINGS, **more)
        assert verdict.decision == "reject"
        assert [check.name for check in verdict.checks if check.outcome == "fail"] == [named]
    assert gate(good(), settings=SETTINGS, latency=(0.03, 0.9)).decision == "promote", "nobody notices a millisecond"
    slow = GateSettings(latency_ms=5.0)
    assert gate(good(), settings=slow, latency=(4.0, 6.0)).decision == "reject"
    assert gate(good(), settings=slow, latency=(4.0, 4.5)).decision == "promote"


def test_a_small_suite_says_what_it_could_not_see():
    verdict = gate(good(60) + many(8000, 2, 1, 0), settings=SETTINGS)
    check = outcome(verdict, "regression")
    assert check.values["smallest_loss_seen"] > SETTINGS.margin
    assert not check.values["proven"]
    assert check.outcome == "pass"
    lossy = gate([p for p in good(60) if p.candidate_right or not p.fresh] + many(8000, 3, 1, 0), settings=SETTINGS)
    assert outcome(lossy, "regression").outcome != "fail"


def test_a_loss_within_chance_in_a_suite_of_four_hundred_is_no_veto():
    aimed = [p for p in good() if p.fresh]
    even = many(100, 448, 1, 1) + many(1000, 8, 0, 1) + many(2000, 10, 1, 0)
    assert outcome(gate(aimed + even, settings=SETTINGS), "regression").outcome == "pass"
    worse = many(100, 440, 1, 1) + many(1000, 8, 0, 1) + many(2000, 18, 1, 0)
    assert outcome(gate(aimed + worse, settings=SETTINGS), "regression").outcome != "pass"


def test_slices_too_small_are_said_to_be():
    rows = good() + many(8000, 3, 1, 1, context={"device": "tv"})
    line = outcome(gate(rows, settings=SETTINGS, protected=["device"]), "slice device").line
    assert "1 of 1 have fewer than 5 examples: too few to judge" in line


def test_numbers_are_no_classes():
    rows = [pair(i, 1, 1, label=i + 0.5) for i in range(60)]
    assert "no classes to judge" in outcome(gate(rows, settings=SETTINGS), "classes").line


def test_order_does_not_matter():
    rows = good()
    turned = gate(rows[::-1], settings=SETTINGS)
    straight = gate(rows, settings=SETTINGS)
    assert [(c.name, c.outcome, c.line) for c in turned.checks] == [
        (c.name, c.outcome, c.line) for c in straight.checks
    ]


@pytest.mark.slow
def test_level_and_power_under_selection():
    """Champion, placebo and candidate err independently on 20 % of cases; only cases the champion got wrong are
    labelled.

    Then candidate against champion alone is nearly always 'significant', while the gate keeps its level; and a
    candidate that learnt to fix three quarters of such cases is promoted nearly always.
    """
    rng = np.random.default_rng(0)

    def promoted(right):
        lucky, passed = 0, 0
        for _ in range(400):
            new, control = rng.random(40) < right, rng.random(40) < 0.4
            rows = [pair(i, i >= 32, new[i] or i >= 32, fresh=True, control=control[i] or i >= 32) for i in range(40)]
            verdict = gate(rows + many(100, 200, 1, 1), settings=SETTINGS)
            versus = outcome(verdict, "champion").values
            lucky += sign_test(versus["wins"], versus["losses"]) <= SETTINGS.alpha
            passed += verdict.decision == "promote"
        return lucky / 400, passed / 400

    lucky, passed = promoted(0.4)
    assert lucky > 0.9
    assert passed <= 0.05
    assert promoted(0.85)[1] > 0.9
