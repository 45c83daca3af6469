"""What the text trainer says without an example is what it would say had it never seen it."""

import numpy as np
import pytest

from flywheel.prove import crossfit, placebo
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


def test_cross_fit_and_placebo_are_those_of_training_again():
    made, fresh = examples(), examples(30, start=90)
    close(crossfit(text.make_trainer(), data(made)), crossfit(Plain(), data(made)), 0.02)
    close(placebo(text.make_trainer(), data(made), fresh, seed=1), placebo(Plain(), data(made), fresh, seed=1), 0.02)


@pytest.mark.parametrize("exact", [True, False], ids=["every text a landmark", "landmarks"])
def test_unlearnt_rows_leave_no_trace(exact):
    """The closed form against a machine solved without the rows: weights, and left-out answers of groups."""
    made = examples(60)
    texts = [e.input for e in made]
    rng = np.random.default_rng(1)
    targets, weights = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, 60)
    ngrams, rows = Ngrams.learn(texts)
    span = None if exact else np.arange(0, 60, 3)
    landmarks = text_machine.Landmarks(ngrams, rows if exact else rows[span])
    kernel = landmarks.kernel(rows)
    solved = text_machine.Solved(landmarks, kernel, targets, weights, span)
    gone, group, single = np.array([1, 2, 4, 50]), np.array([7, 8]), np.array([10])
    said, left_out = solved.without(gone, [group, single])

    def refit(away):
        kept = np.setdiff1d(np.arange(60), away)
        if exact:
            ridge = kernel[np.ix_(kept, kept)] + np.diag(text_machine.PENALTY / weights[kept])
            whole = np.zeros((60, 3))
            whole[kept] = np.linalg.solve(ridge, targets[kept])
            return whole
        normal = solved.normal - kernel[away].T @ (kernel[away] * weights[away, None])
        return np.linalg.solve(normal, kernel[kept].T @ (weights[kept, None] * targets[kept]))

    np.testing.assert_allclose(said, refit(gone), rtol=1e-4, atol=1e-5)
    for at, held in ((slice(0, 2), group), (slice(2, 3), single)):
        np.testing.assert_allclose(
            left_out[at], kernel[held] @ refit(np.concatenate([gone, held])), rtol=1e-4, atol=1e-4
        )


def test_left_out_labels_do_not_show_through():
    """A class that only the left-out fold knows is not known to its model; a label that lies changes nothing."""
    made = examples()
    odd = [e if e.fold else Example(**{**{f: getattr(e, f) for f in e.__slots__}, "label": "odd"}) for e in made]
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
    ngrams, rows = Ngrams.learn(["where is my card", "lost", ""])
    again, more = Ngrams.learn(["lost", "something else altogether", "where is my card"])
    one = dict(zip(ngrams.keys[rows[0].indices], rows[0].data, strict=True))
    two = dict(zip(again.keys[more[2].indices], more[2].data, strict=True))
    assert one == two
    np.testing.assert_allclose(np.asarray(rows.multiply(rows).sum(axis=1)).ravel(), [1, 1, 0], atol=1e-6)
    assert (ngrams.transform(["where is my card"]) != rows[0]).nnz == 0
    assert ngrams.transform([]).shape == (0, len(ngrams.keys))
