"""Quick learners: exact leave-one-out answers, splits that keep groups whole, the same answers every time."""

import numpy as np
import pytest

from flywheel.diagnose.cause.classes import classes_of
from flywheel.diagnose.cause.learners import _part, _whole, learn, taught_by
from flywheel.diagnose.cause.views import view_of
from flywheel.diagnose.embed import FeatureEmbedder, TextEmbedder


def blobs(seed=0, each=30, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), each)
    centres = rng.normal(0, 5, (3, 6))
    known = centres[labels] + rng.normal(0, spread, (len(labels), 6))
    failed = centres[[0, 1, 2]] + rng.normal(0, spread, (3, 6))
    return view_of(known.tolist(), failed.tolist(), FeatureEmbedder()), labels


def test_left_out_answers_are_those_of_a_refit_without_the_example():
    view, labels = blobs(each=8)
    aims = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)
    aims = aims - aims.mean(axis=0)  # centred, so that leaving one out changes no offset that both would share
    _, left_out = _whole(view.own_like + 0.1, view.away_like + 0.1, aims, 0.5)
    for i in (0, 9, 23):
        rest = np.delete(np.arange(len(labels)), i)
        k = view.own_like + 0.1
        weights = np.linalg.solve(k[np.ix_(rest, rest)] + 0.5 * np.eye(len(rest)), aims[rest])
        assert left_out[i] == pytest.approx(k[i, rest] @ weights, abs=1e-6)


def test_every_family_learns_what_is_easy_and_none_what_is_noise():
    view, labels = blobs()
    easy = learn(view, labels, 3, np.arange(len(labels)))
    for scores in easy.known.values():
        assert np.mean(scores.argmax(axis=1) == labels) >= 0.9
    assert all(scores.argmax(axis=1).tolist() == [0, 1, 2] for scores in easy.failed.values())
    shuffled = np.random.default_rng(1).permutation(labels)
    hard = learn(view, shuffled, 3, np.arange(len(labels)))
    for scores in hard.known.values():
        assert np.mean(scores.argmax(axis=1) == shuffled) <= 0.5


def test_a_curve_needs_another_family_than_a_line():
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (200, 4))
    labels = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int)
    found = learn(view_of(x.tolist(), x[:2].tolist(), FeatureEmbedder()), labels, 2, np.arange(200))
    right = {name: np.mean(scores.argmax(axis=1) == labels) for name, scores in found.known.items()}
    assert right["linear"] <= 0.65
    assert max(right["kernel"], right["trees"], right["neighbours"]) >= 0.8


def test_twins_are_never_on_both_sides_of_a_half():
    view, labels = blobs(each=20)
    groups = np.arange(len(labels)) // 2
    for part in learn(view, labels, 3, groups).halves:
        inside = set(part.inside.tolist())
        assert all((2 * g in inside) == (2 * g + 1 in inside) for g in range(len(labels) // 2))


def test_the_same_seed_gives_the_same_bits():
    view, labels = blobs()
    a, b = (learn(view, labels, 3, np.arange(len(labels)), seed=3) for _ in range(2))
    assert all(np.array_equal(a.known[name], b.known[name]) for name in a.known)
    assert np.array_equal(a.halves[0].failed, b.halves[0].failed)
    again = taught_by(view, a, labels, 3, np.arange(len(labels)))
    assert again.failed.argmax(axis=1).tolist() == [0, 1, 2]
    assert _part(view.own_like, view.away_like, np.ones((len(labels), 1)), 1.0, np.arange(5)).known.shape == (90, 1)


def test_broken_inputs_do_not_move_what_is_known():
    """Adding failures with numbers a thousand times too large leaves the examples where they were."""
    known = [{"age": 20.0 + k, "job": "cook" if k % 2 else "smith"} for k in range(40)]
    alone = view_of(known, known[:1], FeatureEmbedder())
    broken = view_of(known, [{"age": 4e6, "job": None}], FeatureEmbedder())
    assert alone.own == pytest.approx(broken.own)
    texts = ["where is my card", "lost my card", "rate of the euro", "euro rate today"] * 5
    assert view_of(texts, ["??"], TextEmbedder()).own == pytest.approx(view_of(texts, ["card"], TextEmbedder()).own)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["a", "b", "a"], 2),
        ([float(k) for k in range(100)], 5),
        ([f"a long answer {k}" for k in range(100)], 0),
        ([1, 2, 3] * 30, 3),
        ([True, False], 2),
    ],
    ids=["names", "quantity", "free text", "digits", "flags"],
)
def test_labels_are_classes_quantities_or_text(labels, classes):
    found = classes_of(labels)
    assert len(found) == classes
    assert found.number(None) == -2
    if classes:
        assert found.number(labels[0]) >= 0
