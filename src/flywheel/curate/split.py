"""Who may spend how much of a label budget: strategies propose, what their labels mended decides.

Every strategy says with which chance it alone would ask about each group of the pool. The chances are mixed by the
strategies' shares, one sample is drawn from the mixture, and because every chance is known, each label says something
about every strategy that might have asked for it, not only about the one that paid (counterfactual estimation: Bottou
et al. 2013). The shares follow by exponential weights over full information (Cesa-Bianchi & Lugosi 2006; as experts in
EXP4, Auer et al. 2002), with a floor for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.curate.strategies import STRATEGIES

__all__ = ["draw_evenly", "first_of", "learn_split", "mixture", "ranks", "shares_of"]

Array = NDArray[np.float64]

_SOFT = 0.1
"""The chance to be asked falls from one to nothing over about half of the budget's ranks around its end."""
_FLOOR = 0.05
"""No strategy's share falls below this: what is never tried is never found to have become good."""
_RATE = 0.25
"""How fast shares follow what labels say."""
_KEPT = 0.8
"""Of what earlier spins said so much still counts a spin later: models and users change."""
_HEAVIEST = 5.0
"""A label counts at most so many times the average for a strategy."""
_WIDEST = 3.0
"""Largest advantage, in log-weight: what was right for long can still be unlearnt."""


def shares_of(learnt: Mapping[str, float]) -> dict[str, float]:
    """Each strategy's share of the targeted budget, at least a twentieth, given the log-weights learnt so far.

    >>> shares_of({})["failing"]
    0.4
    """
    weights = {name: prior * math.exp(learnt.get(name, 0.0)) for name, prior in STRATEGIES.items()}
    total = sum(weights.values())
    floored = {name: max(_FLOOR, weight / total) for name, weight in weights.items()}
    total = sum(floored.values())
    return {name: share / total for name, share in floored.items()}


def learn_split(
    learnt: Mapping[str, float],
    wanted: Sequence[Mapping[str, float]],
    propensities: Sequence[float],
    mended: Sequence[float],
) -> dict[str, float]:
    """New log-weights, given what the labels of a spin were good for.

    For each label: the chance with which each strategy alone would have asked (`wanted`), with which it was asked, and
    what it `mended`: 1 where the champion was wrong and the candidate, without having learnt this label, is right, −1
    the other way round, else 0. A strategy's worth is the mean of that, weighted by its own chance over the actual one
    (self-normalised, clipped); it gains or loses by its distance from the mean of all.
    """
    before = {name: _KEPT * learnt.get(name, 0.0) for name in STRATEGIES}
    values, sizes = {}, {}
    for name in STRATEGIES:
        weight = np.array([one.get(name, 0.0) for one in wanted]) / np.asarray(propensities, dtype=np.float64)
        weight = np.minimum(weight, _HEAVIEST * weight.mean()) if weight.any() else weight
        if weight.sum() <= 0:
            continue
        values[name] = float(weight @ np.asarray(mended, dtype=np.float64) / weight.sum())
        sizes[name] = float(weight.sum() ** 2 / (weight @ weight))
    if len(values) < 2:
        return before
    middle = sum(values.values()) / len(values)
    gained = {name: _RATE * sizes[name] * (values[name] - middle) for name in values}
    moved = {name: before[name] + gained.get(name, 0.0) for name in STRATEGIES}
    top = max(moved.values())
    return {name: round(max(weight - top, -_WIDEST), 6) for name, weight in moved.items()}


def ranks(worth: Array) -> Array:
    """The place of each by falling worth, from 0; equals go by their place in the pool."""
    rank = np.empty(len(worth))
    rank[np.argsort(-worth, kind="stable")] = np.arange(len(worth))
    return rank


def first_of(rank: Array, budget: float) -> Array:
    """The chance of each to be asked when about `budget` of them are: near 1 for the first, falling softly to 0.

    >>> first_of(np.arange(5.0), 2).round(2).tolist()
    [1.0, 0.92, 0.08, 0.0, 0.0]
    """
    if budget >= len(rank):
        return np.ones(len(rank))
    width = max(_SOFT * budget, 1e-3)
    return np.asarray(1 / (1 + np.exp(np.clip((rank - budget + 0.5) / width, -40, 40))))


def mixture(worths: Mapping[str, Array], shares: Mapping[str, float], budget: int) -> tuple[Array, dict[str, Array]]:
    """The chance of each of n groups to be asked, summing to `budget`, and what it is under each strategy alone.

    Each strategy asks by its own share, independently of the others; where they want the same, what is left over is
    shared again.
    """
    order = {name: ranks(worth) for name, worth in worths.items()}
    n = len(next(iter(order.values())))
    alone = {name: first_of(rank, budget) for name, rank in order.items()}
    if budget >= n:
        return np.ones(n), alone

    def together(scale: float) -> Array:
        missed = np.ones(n)
        for name, rank in order.items():
            missed *= 1 - first_of(rank, scale * shares[name] * budget)
        return 1 - missed

    low, high = 1.0, 2.0
    while together(high).sum() < budget:
        low, high = high, 2 * high
    for _ in range(24):
        middle = (low + high) / 2
        if together(middle).sum() < budget:
            low = middle
        else:
            high = middle
    return _summing_to(together(high), budget), alone


def _summing_to(chances: Array, budget: int) -> Array:
    """Scale so that the sum is `budget` and none is above 1."""
    chances = np.clip(chances, 0.0, 1.0)
    if chances.sum() >= budget:
        return np.asarray(chances * (budget / chances.sum()))
    while True:
        free = chances < 1
        missing = budget - chances.sum()
        if missing < 1e-12 or not free.any():
            return chances
        chances[free] = np.minimum(1.0, chances[free] * (1 + missing / chances[free].sum()))


def draw_evenly(chances: Array, generator: np.random.Generator) -> list[int]:
    """Draw a sample whose size is the sum of `chances` and in which each has exactly its chance.

    Systematic sampling (Madow 1949): one random start, then equal steps along the running sum, so that neighbours in
    the given order are seldom drawn together.
    """
    ends = np.cumsum(chances)
    if not len(ends):
        return []
    ends *= round(float(ends[-1])) / ends[-1]  # rounding must not cost a label
    marks = np.floor(np.concatenate([[0.0], ends]) + generator.random() * (1 - 1e-9))
    return [int(k) for k in np.flatnonzero(np.diff(marks) > 0)]
