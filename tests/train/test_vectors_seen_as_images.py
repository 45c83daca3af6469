"""Images: shifts are forgiven, level and gain too, where that helps; and answers without a fold are those of a fit
without it."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from flywheel.records import Dataset, Example
from flywheel.testing import check_trainer
from flywheel.train import kernel, vector
from flywheel.train.views import View, shape_of, views

DIGITS = load_digits()


def made(inputs, labels, groups=None):
    rows = [
        Example(id=f"e{i}", input=value, label=label, group=groups[i] if groups else f"g{i}", fold=i % 5)
        for i, (value, label) in enumerate(zip(inputs, labels, strict=True))
    ]
    return Dataset(hash="h", examples=tuple(rows))


def bars(rng, n, side=10):
    """A bar that lies or stands, anywhere: nothing about a single number says which."""
    images, labels = np.zeros((n, side, side)), rng.integers(0, 2, n)
    for image, lies in zip(images, labels, strict=True):
        place, begin = rng.integers(1, side - 1), rng.integers(0, side - 5)
        if lies:
            image[place, begin : begin + 5] = 1
        else:
            image[begin : begin + 5, place] = 1
    return images + rng.normal(0, 0.1, images.shape), ["lies" if lies else "stands" for lies in labels]


def test_what_moved_a_little_is_still_known():
    images, labels = bars(np.random.default_rng(0), 500)
    flat = images.reshape(500, -1).tolist()
    model = vector.make_trainer().fit(made(flat[:100], labels[:100]))
    assert model.machine.view.kind == "image"
    right = np.mean([a == b for a, b in zip(model.predict(flat[100:]).outputs, labels[100:], strict=True)])
    # The same numbers in another order are no image, and harder.
    order = np.random.default_rng(1).permutation(100)
    mixed = images.reshape(500, -1)[:, order].tolist()
    other = vector.make_trainer().fit(made(mixed[:100], labels[:100]))
    blind = np.mean([a == b for a, b in zip(other.predict(mixed[100:]).outputs, labels[100:], strict=True)])
    assert right > 0.95
    assert right > blind + 0.05


def test_rows_of_pixels_and_a_flat_list_are_the_same_image():
    images, labels = DIGITS.images[:150], [int(d) for d in DIGITS.target[:150]]
    nested = vector.make_trainer().fit(made(images.tolist(), labels))
    flat = vector.make_trainer().fit(made(images.reshape(150, -1).tolist(), labels))
    assert nested.machine.view == flat.machine.view == View("image", (8, 8, 1))
    rest = DIGITS.images[150:250]
    assert nested.predict(rest.tolist()).outputs == flat.predict(rest.reshape(100, -1).tolist()).outputs


def test_level_and_gain_of_a_sensor_are_forgiven():
    rng = np.random.default_rng(2)
    shapes = rng.normal(size=(3, 30))
    labels = rng.integers(0, 3, 400)
    x = (shapes[labels] + rng.normal(0, 0.8, (400, 30))) * rng.uniform(0.2, 5, (400, 1)) + rng.normal(0, 5, (400, 1))
    model = vector.make_trainer().fit(made(x[:150].tolist(), labels[:150].tolist()))
    assert model.machine.view.kind == "rows"
    said = model.predict(x[150:].tolist()).outputs
    assert np.mean(np.array(said) == labels[150:]) > 0.95


def test_a_table_of_numbers_is_no_image():
    """Sixty-four unrelated numbers, of which a few decide: a square by chance."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 64))
    labels = ["up" if row[3] + row[40] > 0 else "down" for row in x]
    assert shape_of(x[0].tolist(), 64) == (8, 8, 1)
    assert vector.make_trainer().fit(made(x.tolist(), labels)).machine.view.kind != "image"


def test_a_short_row_keeps_its_level():
    """Ten measurements whose sum decides: without their mean nothing would be left of it."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(300, 10))
    labels = ["high" if row.sum() > 0 else "low" for row in x]
    model = vector.make_trainer().fit(made(x[:150].tolist(), labels[:150]))
    assert model.machine.view.kind in ("plain", "each")
    assert np.mean([a == b for a, b in zip(model.predict(x[150:].tolist()).outputs, labels[150:], strict=True)]) > 0.85


@pytest.mark.parametrize("view", [*views(84, (6, 7, 2)), View("image", (28, 3, 1))], ids=lambda view: view.kind)
def test_every_kernel_is_symmetric_and_positive(view):
    width = 84
    x = np.random.default_rng(4).normal(size=(50, width))
    mean, scale = view.learn(x)
    z = (view.prepare(x) - mean) / scale
    gram = view.gram(z, 0.5 / width)
    np.testing.assert_allclose(gram, view.kernel(z, z, 0.5 / width), rtol=1e-9)
    np.testing.assert_allclose(gram, gram.T)
    assert np.linalg.eigvalsh(gram).min() > -1e-9


def test_an_image_comes_back_from_disk_the_same(tmp_path):
    trainer = vector.make_trainer()
    model = trainer.fit(made(DIGITS.images[:120].tolist(), [int(d) for d in DIGITS.target[:120]]))
    trainer.save(model, tmp_path)
    rest = [*DIGITS.images[120:200].tolist(), [None] * 64, [[None] * 8, *DIGITS.images[0].tolist()[1:]]]
    before, after = model.predict(rest), vector.make_trainer().load(tmp_path).predict(rest)
    assert before.outputs == after.outputs
    assert (before.confidence == after.confidence).all()


def turned(n=140, weights=False):
    """Digits in groups of up to three, with turns that leave out folds, one group, or nothing."""
    rng = np.random.default_rng(5)
    rows = rng.permutation(len(DIGITS.images))[: n + 20]
    groups = [f"g{i // 3}" if i % 2 else f"g{i}" for i in range(n)]
    data = made(DIGITS.images[rows[:n]].tolist(), [int(d) for d in DIGITS.target[rows[:n]]], groups)
    if weights:
        heavy = tuple(replace(e, weight=float(w)) for e, w in zip(data.examples, rng.uniform(0.5, 2, n), strict=True))
        data = replace(data, examples=heavy)
    folds = [{e.group for e in data.examples if e.fold == fold} for fold in range(3)]
    new = made(DIGITS.images[rows[n:]].tolist(), [int(d) for d in DIGITS.target[rows[n:]]]).examples
    turns = [
        (frozenset(e.id for e in data.examples if e.group in fold), [e for e in data.examples if e.group in fold][:30])
        for fold in folds
    ]
    return data, [*turns, (frozenset(), [replace(e, id=f"new {e.id}") for e in new])]


def test_answers_without_a_fold_equal_those_of_a_fit_without_it():
    """The closed form against solving again, settings and scale given."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(60, 36)).astype(np.float32)
    y, w = rng.normal(size=(60, 2)), rng.uniform(0.5, 2, 60)
    groups = [f"g{i // 2}" for i in range(60)]
    kept = np.setdiff1d(np.arange(60), np.arange(10, 24))
    asked = rng.normal(size=(7, 36)).astype(np.float32)
    ((scores, left_out),) = kernel.crossfit(x, w, groups, [kernel.Turn(kept, y[kept], asked)], shape=(6, 6, 1))
    names = [groups[i] for i in kept]
    tuning = kernel._tune(x[kept], y[kept], w[kept], names, (6, 6, 1))
    view, gamma = tuning.view, tuning.gamma / 36
    mean, scale = view.learn(x)
    z, q = ((view.prepare(part) - mean) / scale for part in (x, asked))
    middle = np.average(y[kept], axis=0, weights=w[kept])
    gram = view.gram(z[kept], gamma).astype(np.float64)
    solution, alone = kernel._exact(gram, y[kept] - middle, w[kept], names, tuning.alpha)
    np.testing.assert_allclose(scores, view.kernel(q, z[kept], gamma) @ solution + middle, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(left_out, alone + middle, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("weights", [False, True])
def test_crossfit_says_what_a_fit_without_the_fold_says(weights):
    data, turns = turned(weights=weights)
    trainer = vector.make_trainer()
    said = trainer.crossfit(data, turns)
    same, away = [], []
    for (gone, asked), got in zip(turns, said, strict=True):
        rest = replace(data, examples=tuple(e for e in data.examples if e.id not in gone))
        wanted = trainer.fit(rest).predict([e.input for e in asked])
        same += [a == b for a, b in zip(got.outputs, wanted.outputs, strict=True)]
        away.append(np.abs(got.confidence - wanted.confidence).mean())
        assert got.labels == wanted.labels
    assert np.mean(same) > 0.97
    assert max(away) < 0.05
    whole = trainer.fit(data).predict([e.input for e in turns[-1][1]])
    assert said[-1].outputs == whole.outputs
    np.testing.assert_allclose(said[-1].confidence, whole.confidence, atol=1e-4)


def test_crossfit_leaves_to_fit_what_it_cannot_do():
    data, turns = turned(40)
    assert vector.make_trainer("regression").crossfit(data, turns) is None
    assert vector.make_trainer(landmarks=20).crossfit(data, turns) is None
    assert vector.make_trainer().crossfit(data, [(frozenset(e.id for e in data.examples), data.examples[:2])]) is None
    assert vector.make_trainer().crossfit(data, [(frozenset(), [replace(data.examples[0], input="word")])]) is None


def test_it_passes_the_check_of_trainers():
    check_trainer(vector.make_trainer(), DIGITS.images[:80].tolist(), [int(d) for d in DIGITS.target[:80]])
