"""What the text trainer says without an example is what it would say had it never seen it."""

from dataclasses import replace

import numpy as np
import pytest

from flywheel.prove import crossfit
from flywheel.prove.folds import crossfit_fresh
from flywheel.records import Dataset, Example
from flywheel.testing import check_trainer
from flywheel.train import text, text_machine
from flywheel.train.ngrams import Ngrams

WORDS = ["card", "pin", "lost", "money", "rate", "wire", "fee", "bank", "loan", "cash"]
WORDS += ["gone", "new", "old", "help", "now", "when", "why", "app", "code", "fast"]


def examples(n=90, classes=4, seed=0, start=0):
    """Texts of a few words, three of which tell the class; every third shares a group with the one before."""
    rng = np.random.default_rng([seed, start])
    made = []
    for i in range(start, start + n):
        kind = int(rng.integers(classes))
        said = [WORDS[(kind * 3 + int(rng.integers(3))) % 20], *rng.choice(WORDS, 3).tolist()]
        group = f"g{i - (i % 3 == 2)}"
        made.append(
            Example(
                id=f"e{i}", input=" ".join(said), label=f"c{kind}", group=group, fold=(i - (i % 3 == 2)) % 5,
                weight=float(rng.uniform(0.5, 1.5)),
            )
        )  # fmt: skip
    return made


def data(made):
    return Dataset(hash="h", examples=tuple(made))


class Plain:
    """The same learner without its shortcut."""

    name = "text"

    def __init__(self, task="classification"):
        self.trainer = text.make_trainer(task)

    def fit(self, dataset, base=None, seed=0):
        return self.trainer.fit(dataset, base, seed)


def close(one, two, tolerance):
    assert one.keys() == two.keys()
    assert [a.output for a in one.values()] == [two[key].output for key in one]
    away = [abs(a.confidence - two[key].confidence) for key, a in one.items()]
    assert max(away) < tolerance


def test_cross_fits_are_those_of_training_again():
    made, fresh = examples(), examples(30, start=90)
    close(crossfit(text.make_trainer(), data(made)), crossfit(Plain(), data(made)), 0.02)
    both, ids = data([*made[:90], *fresh]), {e.id for e in fresh}
    close(crossfit_fresh(text.make_trainer(), both, ids), crossfit_fresh(Plain(), both, ids), 0.02)


def test_unlearnt_rows_leave_no_trace():
    """The closed form against a machine solved without the rows: weights, and left-out answers of groups."""
    made = examples(60)
    rng = np.random.default_rng(1)
    targets, weights = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, 60)
    ngrams, rows = Ngrams().learn([e.input for e in made])
    landmarks = text_machine.Landmarks(ngrams, rows.astype(np.float64))
    kernel = landmarks.kernel(rows.astype(np.float64))
    solved = text_machine.Solved(landmarks, kernel, targets, weights)
    gone, group, single = np.array([1, 2, 4, 50]), np.array([7, 8]), np.array([10])
    said, left_out = solved.without(gone, [group, single])

    def refit(away):
        kept = np.setdiff1d(np.arange(60), away)
        ridge = kernel[np.ix_(kept, kept)] + np.diag(text_machine.PENALTY / weights[kept])
        whole = np.zeros((60, 3))
        whole[kept] = np.linalg.solve(ridge, targets[kept])
        return whole

    np.testing.assert_allclose(said, refit(gone), rtol=1e-6, atol=1e-9)
    for at, held in ((slice(0, 2), group), (slice(2, 3), single)):
        wanted = kernel[held] @ refit(np.concatenate([gone, held]))
        np.testing.assert_allclose(left_out[at], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_above_the_limit_a_linear_machine_learns_the_same(task, monkeypatch, tmp_path):
    made = examples(200)
    if task == "regression":
        made = [replace(e, label=float(e.label[1])) for e in made]
    exact = text.make_trainer(task).fit(data(made[:150]))
    monkeypatch.setattr(text, "EXACT", 100)
    trainer = text.make_trainer(task)
    model = trainer.fit(data(made[:150]))
    asked = [e.input for e in made[150:]]
    truth = [e.label for e in made[150:]]
    if task == "regression":
        assert np.corrcoef(model.predict(asked).outputs, exact.predict(asked).outputs)[0, 1] > 0.7
    else:
        right = [
            np.mean([a == b for a, b in zip(m.predict(asked).outputs, truth, strict=True)]) for m in (model, exact)
        ]
        assert right[0] > right[1] - 0.1 > 0.4
    assert trainer.crossfit(data(made[:150]), [(frozenset(), made[:1])]) is None
    trainer.save(model, tmp_path)
    assert text.make_trainer(task).load(tmp_path).predict(asked).outputs == model.predict(asked).outputs


def test_left_out_labels_do_not_show_through():
    """A class that only the left-out fold knows is not known to its model; a label that lies changes nothing."""
    made = examples()
    odd = [e if e.fold else replace(e, label="odd") for e in made]
    gone, asked = frozenset(e.id for e in made if e.fold == 0), [e for e in made if e.fold == 0]
    (truth,) = text.make_trainer().crossfit(data(made), [(gone, asked)])
    (lie,) = text.make_trainer().crossfit(data(odd), [(gone, asked)])
    assert truth.outputs == lie.outputs
    np.testing.assert_allclose(truth.confidence, lie.confidence, atol=1e-7)
    assert "odd" not in lie.labels


def test_the_shortcut_passes_when_nothing_is_left():
    made = examples(20)
    assert text.make_trainer().crossfit(data(made), [(frozenset(e.id for e in made), made[:2])]) is None


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_it_keeps_the_contract_of_a_trainer_that_cross_fits(task):
    made = examples(40)
    labels = [e.label if task == "classification" else float(len(e.input)) for e in made]
    check_trainer(text.make_trainer(task), [e.input for e in made], labels)


def test_a_row_depends_on_its_text_alone():
    ngrams, rows = Ngrams().learn(["where is my card", "lost", ""])
    again, more = Ngrams().learn(["lost", "something else altogether", "where is my card"])
    one = dict(zip(ngrams.keys[rows[0].indices], rows[0].data, strict=True))
    two = dict(zip(again.keys[more[2].indices], more[2].data, strict=True))
    assert one == two
    np.testing.assert_allclose(np.asarray(rows.multiply(rows).sum(axis=1)).ravel(), [1, 1, 0], atol=1e-6)
    assert (ngrams.transform(["where is my card"]) != rows[0]).nnz == 0
    assert ngrams.transform([]).shape == (0, len(ngrams.keys))
