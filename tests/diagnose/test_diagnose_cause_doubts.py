"""Confident learning: known answers, power against noise that was put in, and no false alarm on clean labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.diagnose.doubts import doubts


def three_classes(seed, n=600, sure=4.0):
    """True classes, and probabilities of a calibrated model that saw no labels."""
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=n)
    z = rng.normal(0, 1, (n, 3)) + sure * (true[:, None] == np.arange(3))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return true, p / p.sum(axis=1, keepdims=True), rng


def test_the_joint_of_a_small_case_is_as_counted_by_hand():
    """Ten of each of two classes; two zeros look like ones for sure: thresholds 0.74 and 0.9, two counted off."""
    labels = np.array([0] * 10 + [1] * 10)
    chances = np.array([[0.9, 0.1]] * 8 + [[0.1, 0.9]] * 12)
    found = doubts(labels, chances)
    assert found.joint == pytest.approx(np.array([[0.4, 0.1], [0.0, 0.5]]))
    assert found.rate == pytest.approx(0.1)
    assert found.flagged.nonzero()[0].tolist() == [8, 9]
    assert found.guess[8] == 1


def test_nine_in_ten_flipped_labels_are_found_and_few_others():
    true, chances, rng = three_classes(0)
    labels = true.copy()
    hit = rng.choice(len(true), 60, replace=False)
    labels[hit] = (labels[hit] + 1) % 3
    found = doubts(labels, chances)
    wrong = labels != true
    assert found.flagged[wrong].mean() >= 0.9
    assert (~wrong[found.flagged]).mean() <= 0.15
    assert np.mean(found.guess[wrong] == true[wrong]) >= 0.9
    assert found.rate == pytest.approx(0.1, abs=0.03)


def test_a_common_confusion_counts_for_more_than_a_rare_one():
    """Two examples alike but for which other class the model leans to; only 0 → 1 errors happen in this set."""
    true, chances, rng = three_classes(1)
    labels = true.copy()
    ones = np.flatnonzero(true == 1)
    labels[rng.choice(ones, 80, replace=False)] = 0
    labels = np.append(labels, [0, 0])
    chances = np.vstack([chances, [[0.45, 0.5, 0.05], [0.45, 0.05, 0.5]]])
    found = doubts(labels, chances)
    assert found.score[-2] > found.score[-1]


def test_clean_labels_of_a_calibrated_model_are_left_alone():
    """False alarms over twenty clean sets: labels are drawn from the probabilities themselves."""
    flagged = 0
    for seed in range(20):
        true, chances, _ = three_classes(seed, sure=6.0)
        flagged += int(doubts(true, chances).flagged.sum())
    assert flagged <= 0.01 * 20 * 600


@pytest.mark.parametrize(("labels", "k"), [([], 3), ([0, 0], 1), ([1], 2)])
def test_hardly_any_labels_are_no_crash(labels, k):
    found = doubts(np.array(labels, dtype=int), np.full((len(labels), k), 1 / k))
    assert len(found.flagged) == len(labels)
    assert not found.flagged.any()


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(5, 60))
def test_order_and_names_of_classes_do_not_matter(seed, k, n):
    rng = np.random.default_rng(seed)
    labels, chances = rng.integers(k, size=n), rng.dirichlet(np.ones(k), n)
    here = doubts(labels, chances)
    order, names = rng.permutation(n), rng.permutation(k)
    there = doubts(names[labels][order], chances[:, np.argsort(names)][order])
    assert there.score == pytest.approx(here.score[order])
    assert there.rate == pytest.approx(here.rate)
