"""A first model is released when it beats having no model, and not otherwise."""

import numpy as np

from flywheel.prove.opening import open_gate
from flywheel.prove.pairing import Pair
from flywheel.records import Example


def rows(candidate, champion):
    return [
        Pair(
            example=Example(id=str(i), input=i, label=1, group=str(i)),
            champion=0,
            candidate=0,
            champion_right=bool(old),
            candidate_right=bool(new),
            fresh=True,
        )
        for i, (new, old) in enumerate(zip(candidate, champion, strict=True))
    ]


def test_known_answer():
    verdict = open_gate(rows([1, 1, 1, 0, 1], [0, 0, 1, 1, 0]), agreement=1.0)
    assert verdict.decision == "promote"
    assert (verdict.fixed, verdict.failures, verdict.broke, verdict.kept) == (3, 3, 1, 2)
    assert verdict.broke_ids == ("3",)
    assert "4 right, 2 by always giving the most common label" in verdict.checks[0].line


def test_a_model_that_is_no_better_or_damaged_is_not_released():
    assert open_gate(rows([1, 0], [0, 1])).decision == "reject"
    assert open_gate(rows([1, 1, 1], [0, 0, 0]), agreement=0.4).decision == "reject"
    assert open_gate([]).decision == "reject"


def test_a_guessing_model_passes_about_as_often_as_a_coin_and_a_good_one_almost_always():
    rng = np.random.default_rng(0)
    guess = [open_gate(rows(rng.random(60) < 0.2, rng.random(60) < 0.2)).decision == "promote" for _ in range(400)]
    good = [open_gate(rows(rng.random(60) < 0.7, rng.random(60) < 0.2)).decision == "promote" for _ in range(400)]
    assert np.mean(guess) < 0.55
    assert np.mean(good) > 0.99
