"""Labels that look wrong, from probabilities given by models that had not seen them: confident learning.

Northcutt, Jiang & Chuang (2021), "Confident learning: estimating uncertainty in dataset labels", JAIR 70. How many
labels of which class are wrong is estimated by their method. Which ones is ours: they are ranked by the odds that
another class was true and this label given, from the probabilities and the estimated errors between classes, so that a
confusion that is common counts for more than one that is rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Doubts", "doubts"]

Array = NDArray[Any]

_CLEAR = 2.0
_BELIEVED = (0.1, 0.15)
"""Share of clear one-way errors from which on they are believed a little, and wholly."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """What confident learning found on n examples with k classes.

    `flagged` (n booleans) are the likely label errors, `score` (n floats) is higher for more doubtful labels, `guess`
    the class that each label should rather be, `joint` (k × k) the estimated share of examples with given label i and
    true label j, `rate` the share of wrong labels that it implies.
    """

    flagged: Array
    score: Array
    guess: Array
    joint: Array
    rate: float


def doubts(labels: Array, chances: Array) -> Doubts:
    """Find the labels that look wrong; O(n · k).

    `labels` are class numbers, 0 to k - 1, `chances` an n × k array of probabilities from models that were not trained
    on the example. A class's threshold is the mean probability that its own examples give it; an example counts for
    the likeliest class whose threshold it passes. From these counts, calibrated to the number of given labels, follows
    how many labels are wrong, and that many are flagged: those with the highest score.

    The score is the log-odds of the likeliest other class against the label: its probability times the chance that an
    example of it is given this label, against the same for the label itself.

    >>> labels = np.array([0] * 5 + [1] * 5)
    >>> chances = np.array([[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 6)
    >>> doubts(labels, chances).flagged.nonzero()[0].tolist()
    [4]
    """
    n, k = chances.shape
    if n == 0 or k < 2:
        return Doubts(np.zeros(n, bool), np.zeros(n), labels.astype(int), np.zeros((k, k)), 0.0)
    counts = np.bincount(labels, minlength=k)
    mine = chances[np.arange(n), labels]
    threshold = np.full(k, 1.0)
    there = counts > 0
    threshold[there] = np.bincount(labels, mine, minlength=k)[there] / counts[there]
    passes = (chances >= threshold - 1e-12) & there
    confident = passes.any(axis=1)
    likely = np.where(passes, chances, -1.0).argmax(axis=1)
    table = np.zeros((k, k))
    np.add.at(table, (labels[confident], likely[confident]), 1.0)
    # A class none of whose examples is confident is taken to be right.
    empty = there & (table.sum(axis=1) == 0)
    table[empty, empty] = 1.0
    joint = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12) * counts[:, None] / n
    rate = float(joint.sum() - np.trace(joint))
    odds = np.log(np.clip(chances, 1e-9, 1.0)) + np.log(_channel(joint, n))[labels]
    mine_odds = odds[np.arange(n), labels]
    odds[np.arange(n), labels] = -np.inf
    guess = odds.argmax(axis=1)
    score = odds[np.arange(n), guess] - mine_odds
    flagged = np.zeros(n, dtype=bool)
    flagged[np.argsort(-score, kind="stable")[: round(rate * n)]] = True
    return Doubts(flagged, score, guess, joint, rate)


def _channel(joint: Array, n: int) -> Array:
    """P(label i is given when j is true), i × j.

    Errors are taken to be even over the classes, unless labels go astray one way: a model confuses two classes both
    ways, people's habits do not, so what goes from j to i beyond what comes back is the labels' doing. It is believed
    when differences of more than two standard errors make up over a tenth of all errors.
    """
    k = len(joint)
    errors = float(joint.sum() - np.trace(joint))
    one_way = np.clip(joint - joint.T, 0.0, None)
    clear = one_way * n > _CLEAR * np.sqrt(n * (joint + joint.T))
    share = float(one_way[clear].sum()) / max(errors, 1e-12)
    one_way *= float(np.clip((share - _BELIEVED[0]) / (_BELIEVED[1] - _BELIEVED[0]), 0.0, 1.0))
    even = np.full((k, k), max(errors - float(one_way.sum()), 0.01 * errors) / (k * (k - 1)))
    drawn = even + one_way + 1e-4 / k**2
    np.fill_diagonal(drawn, np.diag(joint) + 1e-4 / k**2)
    out: Array = drawn / drawn.sum(axis=0, keepdims=True)
    return out
