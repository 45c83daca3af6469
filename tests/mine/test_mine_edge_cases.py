"""What the model has never seen is told from what it knows, and edge cases come riskiest first."""

from datetime import UTC, datetime

import numpy as np
import pytest

from flywheel.mine import edge_cases, look, novelty
from flywheel.records import Failure, Interaction

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Itself:
    name = "itself"

    def embed(self, inputs):
        return np.array(inputs, dtype=float).reshape(len(inputs), -1)


def test_novelty_is_a_quantile_of_the_known_distances():
    known = [[0.0], [1.0], [3.0], [7.0]]
    # Nearest neighbours among the known: 1, 1, 2 and 4 away.
    scores = novelty([[0.0], [7.5], [8.5], [9.5], [99.0]], known, Itself())
    assert scores.tolist() == [0.0, 0.0, 0.5, 0.75, 1.0]


def test_novelty_is_even_for_more_of_the_same_and_one_for_the_unseen():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(1000, 5)).tolist()
    same = novelty(rng.normal(size=(500, 5)).tolist(), known, Itself())
    assert abs(same.mean() - 0.5) < 0.06
    assert (same >= 0.95).mean() < 0.09
    assert novelty((rng.normal(size=(50, 5)) + 20).tolist(), known, Itself()).min() == 1.0


@pytest.mark.parametrize("known", [[], [[1.0]]])
def test_everything_is_novel_when_nothing_is_known(known):
    assert novelty([[1.0], [2.0]], known, Itself()).tolist() == [1.0, 1.0]
    assert novelty([], known, Itself()).tolist() == []


def test_unseen_digits_are_more_novel_than_seen_ones():
    from sklearn.datasets import load_digits

    data = load_digits()
    seen = data.target < 8
    known = data.data[seen][:600].tolist()
    new, old = (
        novelty(data.data[~seen].tolist(), known, Itself()),
        novelty(data.data[seen][600:].tolist(), known, Itself()),
    )
    auc = (new[:, None] > old[None, :]).mean() + 0.5 * (new[:, None] == old[None, :]).mean()
    assert auc > 0.8


def failure(key, value, **context):
    return Failure(interaction_id=key, at=AT, probability=0.5, input=value, context=context)


def test_novel_extreme_and_rare_cases_by_risk():
    rng = np.random.default_rng(0)
    found = [failure(f"i{k}", {"amount": float(rng.normal(50, 5))}, device="ios") for k in range(198)]
    found += [failure("huge", {"amount": 9000.0}, device="ios"), failure("odd", {"amount": 51.0}, device="fridge")]
    cases = edge_cases(found, {"i3": 1.0, "i4": 0.9}, {"i3": 0.9, "huge": 0.5, "odd": 0.5})
    assert [(case.interaction_id, case.kind) for case in cases] == [
        ("i3", "novel"),
        ("huge", "extreme"),
        ("odd", "rare"),
    ]
    assert "9000" in cases[1].why
    assert "device=fridge in 1 of 200" in cases[2].why
    assert cases[0].risk == pytest.approx(0.9 / 200)


def test_risk_is_the_product_of_four_that_are_shown():
    known = [f"{word} my {thing}" for word in ("block", "renew", "find", "order") for thing in ("card", "pin", "bill")]
    asked = ["is there parking downtown", "is there parking", "fly me to the moon", "block my card", *["x"] * 6]
    found = [failure(f"i{n}", text) for n, text in enumerate(asked)]
    seen = look(asked, known, [text.split()[0] for text in known])
    novel = {"i0": 1.0, "i1": 1.0, "i2": 1.0, "i3": 1.0}
    cases = {
        case.interaction_id: case
        for case in edge_cases(found, novel, dict.fromkeys(novel, 0.8), severity={"i2": 0.5}, seen=seen)
    }
    for case in cases.values():
        assert case.risk == pytest.approx(case.p_failure * case.severity * case.exposure * case.lack, abs=1e-4)
    assert cases["i2"].severity == 0.5
    assert cases["i0"].severity == 1.0
    assert cases["i2"].exposure == pytest.approx(0.1)
    assert cases["i0"].exposure > cases["i2"].exposure  # somebody else asks about parking, too
    assert cases["i0"].lack == cases["i2"].lack == 1.0
    assert cases["i3"].lack <= 0.5  # examples say "block my card"
    assert "no labelled example alike" in cases["i0"].why


def test_interactions_too_and_long_texts():
    seen = [Interaction(id=f"i{k}", at=AT, input="where is my card" + "!" * (k % 5)) for k in range(40)]
    seen.append(Interaction(id="long", at=AT, input="help " * 500))
    assert [case.interaction_id for case in edge_cases(seen, {}, {"long": 1.0})] == ["long"]


def test_many_different_values_make_nobody_rare():
    assert edge_cases([failure(f"i{k}", "x", order=f"o{k}") for k in range(300)], {}, {}) == []
