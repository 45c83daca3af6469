"""The number of trees is chosen on rows they did not see: few where there is nothing to learn, more where there is."""

import numpy as np
import pytest

from flywheel.records import Dataset, Example
from flywheel.testing import check_trainer
from flywheel.train import tabular


def made(rows, labels):
    return Dataset(
        hash="h",
        examples=tuple(
            Example(id=f"e{i}", input=row, label=label, group=f"g{i}")
            for i, (row, label) in enumerate(zip(rows, labels, strict=True))
        ),
    )


def people(rng, n):
    return [
        {"age": float(rng.normal()), "pay": float(rng.normal()), "plan": str(rng.choice(["a", "b", "c"]))}
        for _ in range(n)
    ]


@pytest.mark.parametrize("n", [200, 800])
def test_where_nothing_can_be_learnt_the_usual_answer_stays(n):
    rng = np.random.default_rng(0)
    rows = people(rng, n + 1000)
    labels = ["no" if u < 0.8 else "yes" for u in rng.random(n + 1000)]
    model = tabular.make_trainer().fit(made(rows[:n], labels[:n]))
    said = model.predict(rows[n:])
    assert model.trees.n_iter_ <= 25
    assert np.mean([output == "no" for output in said.outputs]) > 0.97
    assert abs(said.confidence.mean() - 0.8) < 0.06


def test_where_much_can_be_learnt_more_trees_grow():
    rng = np.random.default_rng(1)
    rows = people(rng, 2000)
    labels = ["up" if (r["age"] > 0) == (r["pay"] > 0) else "down" for r in rows]  # neither column tells anything alone
    model = tabular.make_trainer().fit(made(rows[:1000], labels[:1000]))
    assert model.trees.n_iter_ > 60
    assert np.mean([a == b for a, b in zip(model.predict(rows[1000:]).outputs, labels[1000:], strict=True)]) > 0.93


def test_a_class_that_only_some_of_the_turns_saw_keeps_its_own_scores():
    """Three turns below 300 examples; the rare classes are in one or two of them each."""
    rng = np.random.default_rng(2)
    rows = [{"x": float(i % 6) + float(rng.normal(0, 0.1))} for i in range(240)]
    labels = [["zero", "one", "two", "three", "four", "five"][i % 6] for i in range(240)]
    keep = [i for i in range(240) if i % 6 < 4 or i < 12]  # two each of the last two
    data = made([rows[i] for i in keep], [labels[i] for i in keep])
    model = tabular.make_trainer().fit(data)
    said = model.predict([{"x": float(k)} for k in range(4)])
    assert said.outputs == ["zero", "one", "two", "three"]
    assert said.confidence.min() > 0.7


def test_trees_is_the_most_there_may_be():
    rng = np.random.default_rng(3)
    rows = people(rng, 400)
    labels = [r["age"] > 0 for r in rows]
    assert tabular.make_trainer(trees=7).fit(made(rows, labels)).trees.n_iter_ <= 7


def test_it_passes_the_check_of_trainers():
    rng = np.random.default_rng(4)
    rows = people(rng, 120)
    check_trainer(tabular.make_trainer(), rows, ["up" if r["age"] > 0 else "down" for r in rows])
