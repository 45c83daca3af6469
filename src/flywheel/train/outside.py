"""Texts that belong to nothing the model was taught: a catch-all class among the labels, and doubt without one.

A catch-all ("none of these") has no likeness of its own: its cases have in common only that they are like no other
class. A learner of classes sees that badly, since new cases resemble no old ones. Its few cases serve better to set a
threshold: a logistic regression on two numbers, the energy of the other classes' scores (their soft maximum; Liu et al.
2020, "Energy-based out-of-distribution detection") and the margin of its own score over theirs, both held out. Nearest
neighbours and centroids added nothing to these two where they were tried (CLINC150).

How common such texts are among labels says little about how common they are among requests, since labels are chosen.
They are taken to be at least `SHARE` of the requests.

Without a catch-all the same energy says how unlike all known classes a text is, and lowers the confidence. What it is
for a text of a class nobody taught is learnt by leaving out each class in its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from flywheel.train.confidence import fit_temperature, softmax

__all__ = ["SHARE", "UNSEEN", "Outside", "called_outside", "energy", "fit_outside", "fit_unseen"]

Array = NDArray[Any]

SHARE = 0.1
_FEWEST = 5
"""Cases that a class must have to be taken for a catch-all, by name or by how it is recognised."""
_RECALL = 0.8
"""A class that nobody named is tried when less than this share of the usual share of its cases is recognised, ..."""
_STRANGE, _STRANGE_BY_NAME = 0.08, 0.35
"""... and when most of its texts are less like any class than all but this share of the others' texts; a class that is
called like a catch-all must only look a little like one."""
_NAMES = frozenset(
    {"oos", "ood", "out of scope", "out of domain", "outofscope", "other", "others", "none", "none of these"}
    | {"none of the above", "unknown", "fallback", "misc", "miscellaneous", "no intent", "nothing", "default"}
    | {"sonstiges", "andere", "anderes", "keine"}
)
UNSEEN = 0.05
"""Without a catch-all, requests that belong to no known class are taken to be so common."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Which column is the catch-all (-1: none), the temperature of the others' scores, and the regression's numbers:
    weight of the energy, weight of the margin, constant."""

    column: int = -1
    temperature: float = 1.0
    by_energy: float = 0.0
    by_margin: float = 0.0
    constant: float = 0.0

    def shares(self, scores: Array) -> NDArray[np.float64]:
        """n × k scores to n × k shares: the catch-all's first, and of the rest each other class's part."""
        others = np.delete(scores, self.column, axis=1)
        line = _two(scores, self.column, self.temperature) @ (self.by_energy, self.by_margin) + self.constant
        outside = 1 / (1 + np.exp(-np.clip(line, -500, 500)))
        inside = softmax(others * self.temperature) * (1 - outside)[:, None]
        return np.insert(inside, self.column, outside, axis=1)

    def balanced(self, y: Array, weights: Array) -> Array:
        """Weights with which the catch-all has the share that it is taken to have among requests."""
        return _balanced(y == self.column, weights)

    def facts(self) -> list[float]:
        """For `model.json`; `Outside(int(facts[0]), *facts[1:])` brings it back."""
        return [float(value) for value in astuple(self)]


def energy(scores: Array, temperature: float) -> NDArray[np.float64]:
    """Soft maximum of each row: low when a text is like no class."""
    scaled = np.asarray(scores, dtype=np.float64) * temperature
    top = scaled.max(axis=1)
    found: NDArray[np.float64] = (top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))) / temperature
    return found


def fit_outside(
    scores: Array,
    y: Array,
    weights: Array,
    named: int | None = None,
    by_name: Sequence[int] = (),
    expected: float = 1.0,
) -> Outside:
    """Find the catch-all among the classes of held-out scores (n × k), and how to recognise it.

    `named` is its column where the user says which it is; `by_name` are columns called like one, taken if their texts
    are like no other class. Otherwise a class is taken for one if its texts are like nothing, itself included, and are
    recognised oftener this way than as a class among classes, beyond what chance explains (exact sign test, 1 %).
    Fewer than five cases, or fewer than two other classes: none.
    """
    k = scores.shape[1]
    counts = np.bincount(y, minlength=k)
    if k < 3:
        return Outside()
    if named is not None:
        return _fitted(scores, y, weights, named, expected) if counts[named] >= _FEWEST else Outside()
    like = energy(scores, expected)
    strange = {c: _strangeness(like, y == c) for c in np.flatnonzero(counts >= _FEWEST).tolist()}
    called = [c for c in by_name if strange.get(c, 1.0) < _STRANGE_BY_NAME]
    if called:
        return _fitted(scores, y, weights, called[0], expected)
    plain = scores.argmax(axis=1)
    hits = np.bincount(y[plain == y], minlength=k)
    recall = hits / np.maximum(counts, 1)
    usual = float(np.median(recall[counts > 0]))
    for column in sorted(strange, key=lambda c: strange[c])[:3]:
        if strange[column] < _STRANGE and recall[column] < usual * _RECALL:
            gain, chance = _gained(scores, y, weights, column, expected, plain)
            if gain > 0 and chance < 0.01:
                return _fitted(scores, y, weights, column, expected)
    return Outside()


def called_outside(labels: Sequence[Any]) -> list[int]:
    """Which labels are called like a catch-all.

    >>> called_outside(["balance", "out_of_scope", 7])
    [1]
    """
    words = [" ".join(str(label).casefold().replace("_", " ").replace("-", " ").split()) for label in labels]
    return [i for i, word in enumerate(words) if word in _NAMES]


def _strangeness(like: Array, own: Array) -> float:
    """The share of other classes' texts that are less like any class (their energy) than the median text of this one.

    Near 0 for a catch-all. A class that is only mistaken for its neighbours is much like them.
    """
    return float(np.mean(like[~own] < np.median(like[own])))


def _gained(scores: Array, y: Array, weights: Array, column: int, expected: float, plain: Array) -> tuple[float, float]:
    """What is won in accuracy over requests of which `SHARE` belong to the class, crosswise on two halves; and the
    chance that as many of its cases change for the better if the two ways are equally good."""
    from scipy.stats import binomtest

    said = np.empty(len(y), dtype=np.int64)
    order = np.argsort(y, kind="stable")  # every second case of each class
    halves = order[::2], order[1::2]
    for learn, ask in (halves, halves[::-1]):
        said[ask] = (
            _fitted(scores[learn], y[learn], weights[learn], column, expected).shares(scores[ask]).argmax(axis=1)
        )
    own = y == column
    won, lost = int((own & (said == y) & (plain != y)).sum()), int((own & (said != y) & (plain == y)).sum())
    elsewhere = float((plain == y)[~own].mean() - (said == y)[~own].mean())
    gain = SHARE * (won - lost) / own.sum() - (1 - SHARE) * elsewhere
    return float(gain), float(binomtest(won, won + lost, 0.5, alternative="greater").pvalue) if won + lost else 1.0


def _two(scores: Array, column: int, temperature: float) -> Array:
    others = np.delete(scores, column, axis=1)
    return np.column_stack([energy(others, temperature), scores[:, column] - others.max(axis=1)])


def _fitted(scores: Array, y: Array, weights: Array, column: int, expected: float) -> Outside:
    own = y == column
    others = np.delete(scores, column, axis=1)
    place = np.where(y > column, y - 1, y)
    temperature = fit_temperature(others[~own], place[~own], weights[~own], expected)
    w = _balanced(own, weights)
    two = _two(scores, column, temperature)
    middle, spread = two.mean(axis=0), np.maximum(two.std(axis=0), 1e-9)
    found = _logistic((two - middle) / spread, own, w)
    by = found[:2] / spread
    return Outside(column, temperature, float(by[0]), float(by[1]), float(found[2] - by @ middle))


def fit_unseen(known: Array, strange: Array, weights: Array, strange_weights: Array) -> tuple[float, float]:
    """Weight of the energy and constant of the probability that a text belongs to no known class.

    `known` are held-out energies of the classes' own texts, `strange` those of texts whose whole class was left out:
    what a class that nobody has taught yet would look like.
    """
    own = np.concatenate([np.zeros(len(known), dtype=bool), np.ones(len(strange), dtype=bool)])
    values, both = np.concatenate([known, strange]), np.concatenate([weights, strange_weights])
    middle, spread = float(values.mean()), max(float(values.std()), 1e-9)
    found = _logistic((values - middle)[:, None] / spread, own, _balanced(own, both, UNSEEN, UNSEEN))
    by = min(float(found[0]) / spread, 0.0)
    return by, float(found[1]) - by * middle


def _balanced(own: Array, weights: Array, least: float = SHARE, most: float = 1.0) -> Array:
    ours, theirs = float(weights[own].sum()), float(weights[~own].sum())
    if not ours or not theirs:
        return weights
    share = min(max(ours / (ours + theirs), least), most)
    found: Array = np.where(own, share * weights / ours, (1 - share) * weights / theirs) * (ours + theirs)
    return found


def _logistic(x: Array, hits: Array, weights: Array) -> Array:
    """Weights and constant of a logistic regression, each weight with a normal prior of standard deviation 1."""

    def loss(p: Array) -> tuple[float, Array]:
        line = x @ p[:-1] + p[-1]
        miss = weights * (1 / (1 + np.exp(-np.clip(line, -500, 500))) - hits)
        value = weights @ (np.logaddexp(0, line) - hits * line) + 0.5 * p[:-1] @ p[:-1]
        return float(value), np.append(miss @ x + p[:-1], miss.sum())

    found: Array = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return found
