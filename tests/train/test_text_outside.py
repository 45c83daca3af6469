"""A catch-all among the labels, and doubt about texts like nothing that was taught."""

import numpy as np
import pytest

from flywheel.records import Dataset, Example
from flywheel.train import text
from flywheel.train.confidence import fit_temperature, softmax
from flywheel.train.outside import Outside, called_outside, fit_outside

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def worded(rng, classes=12, each=12):
    """Classes with six words of their own; texts of four of these and two of everybody's."""
    words = ["".join(rng.choice(SYLLABLES, 3)) for _ in range(400)]
    own = [words[6 * c : 6 * c + 6] for c in range(classes)]

    def say(kind):
        if kind is None:
            return " ".join([rng.choice(words[:72]), *rng.choice(words[100:], 2), *rng.choice(words[90:100], 3)])
        return " ".join([*rng.choice(own[kind], 3, replace=False), *rng.choice(words[90:100], 3)])

    return say, [(say(c), f"c{c}") for c in range(classes) for _ in range(each)]


def data(rows):
    made = [Example(id=f"e{i}", input=t, label=label, group=f"g{i}", fold=i % 5) for i, (t, label) in enumerate(rows)]
    return Dataset(hash="h", examples=tuple(made))


def share(model, texts, label):
    return float(np.mean([output == label for output in model.predict(texts).outputs]))


@pytest.mark.parametrize(("label", "outside"), [("out_of_scope", ""), ("zz top", "zz top"), ("zz top", "")])
def test_a_catch_all_is_recognised_by_name_by_setting_and_by_itself(label, outside):
    """New texts of it are like nothing the model knows, and are found nevertheless."""
    rng = np.random.default_rng(3)
    say, rows = worded(rng)
    rows += [(say(None), label) for _ in range(20)]
    model = text.make_trainer(outside=outside).fit(data(rows))
    assert model.certainty.outside.column == model.labels.index(label)
    assert share(model, [say(None) for _ in range(100)], label) > 0.7
    assert np.mean([share(model, [say(c) for _ in range(20)], f"c{c}") for c in range(12)]) > 0.9
    assert model.unlike([say(None) for _ in range(20)]).mean() > 0.6


def test_an_ordinary_class_is_not_taken_for_one():
    """Also not one that is hard to tell from its neighbour. A false alarm would need one in a hundred runs."""
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng([seed, 7])
        say, rows = worded(rng)
        rows += [(say(3), "much like c3") for _ in range(12)]
        alarms += text.make_trainer().fit(data(rows)).certainty.outside.column >= 0
    assert alarms <= 1


def test_without_a_catch_all_strange_texts_are_doubted():
    rng = np.random.default_rng(5)
    say, rows = worded(rng)
    model = text.make_trainer().fit(data(rows))
    known, strange = [say(c) for c in range(12) for _ in range(5)], [say(None) for _ in range(60)]
    assert model.certainty.outside.column == -1
    assert model.unlike(strange).mean() > model.unlike(known).mean() + 0.3
    assert np.median(model.predict(strange).confidence) < 0.6 * np.median(model.predict(known).confidence)


def test_it_survives_the_disk(tmp_path):
    rng = np.random.default_rng(3)
    say, rows = worded(rng, classes=4)
    trainer = text.make_trainer()
    model = trainer.fit(data(rows + [(say(None), "other") for _ in range(10)]))
    trainer.save(model, tmp_path)
    again = trainer.load(tmp_path)
    assert again.certainty == model.certainty
    assert model.certainty.outside.column >= 0


def test_shares_add_up_and_few_cases_make_no_catch_all():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 5))
    shares = Outside(2, 3.0, -1.0, 2.0, 0.5).shares(scores)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    y = np.repeat([0, 1, 2, 3], 10)
    y[:4] = 4
    assert fit_outside(scores, y, np.ones(40), named=4) == Outside()
    assert fit_outside(scores[:, :2], y % 2, np.ones(40), named=1) == Outside()
    assert called_outside(["Out-of-Scope", "scope", 3]) == [0]


def test_the_temperature_that_made_the_labels_is_found():
    """Known answer: labels drawn from softmax(3 × scores)."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4000, 6))
    y = (softmax(3 * scores).cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    assert abs(fit_temperature(scores, y, np.ones(4000), 20.0) - 3) < 0.15
