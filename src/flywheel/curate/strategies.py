"""Ways of looking for the labels that mend most: each puts the groups of a pool into an order of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRATEGIES", "appeal", "chance", "lifted"]

Array = NDArray[np.float64]

STRATEGIES = {"failing": 0.40, "unfamiliar": 0.25, "doubtful": 0.05, "told": 0.30}
"""Each strategy with its share of the targeted budget before any label has spoken for or against it.

- *failing*: likely failures in the middle of other likely failures. One label there tells about many, and outliers,
  noise and truncated inputs, of which a model is unsure for good reason, stand alone and come late.
- *unfamiliar*: the same, and the less like anything learnt so far the better.
- *doubtful*: the smallest margin between the champion's two best answers (uncertainty sampling; Scheffer et al. 2001).
- *told*: what users complained about, retried or corrected; among equals the doubtful.
"""

_TOLD = 1.5
"""What users say counts more than its odds: it finds failures that the model is sure about, where doubt is blind."""
_CLIP = 1e-3
_LEAST = 20
"""A group of users with fewer members in the pool is too small to be measured."""


def chance(doubt: Array, told: Array, likely: Array) -> Array:
    """How likely each of n interactions is a failure worth a label: the champion's doubt now, and what was told.

    `doubt` is half of 1 − margin, so 0 to ½, NaN where the champion states none: there `likely`, the probability from
    the signs, stands. `told` is in log-odds.
    """
    z = _logit(np.nan_to_num(doubt, nan=0.5)) + _TOLD * told
    return np.where(np.isnan(doubt), likely, _sigmoid(z))


def lifted(chances: Array, doubt: Array, users: Sequence[str]) -> Array:
    """Chances in which no group of users comes off worse because it complains less.

    Where a group's mean chance is below what the champion's doubt alone gives it (at the same overall mean), its
    log-odds are raised by what is missing. A group that complains more than its share is not lowered: its failures
    may be the ones that the model is sure about.
    """
    known = ~np.isnan(doubt)
    names = sorted(set(users))
    if len(names) < 2 or not known.any():
        return chances
    blind = np.where(known, np.nan_to_num(doubt, nan=0.5), chances)
    blind = _sigmoid(_logit(blind) + _shift(blind, float(chances.mean())))
    fair = chances.copy()
    of = np.asarray(users, dtype=object)
    for name in names:
        rows = np.flatnonzero(of == name)
        missing = float(blind[rows].mean()) - float(chances[rows].mean())
        if len(rows) >= _LEAST and missing > 0:
            fair[rows] = _sigmoid(_logit(chances[rows]) + _shift(chances[rows], float(blind[rows].mean())))
    return fair


def appeal(chances: Array, doubt: Array, told: Array, near: Array, novelty: Array, factor: Array) -> dict[str, Array]:
    """What each strategy thinks of n groups, a number for each: the higher the sooner it is asked about.

    `near` says how much likely failure lies around a group (see `space.surroundings`), `novelty` 0 to 1, `factor` what
    a label of it is worth and for how many it stands.
    """
    failing = chances * np.sqrt(np.maximum(near, 1e-9)) * factor
    unsure = np.where(np.isnan(doubt), chances, np.nan_to_num(doubt))
    return {
        "failing": failing,
        "unfamiliar": failing * (0.5 + novelty),
        "doubtful": unsure,
        "told": _sigmoid(told) + 1e-3 * unsure,
    }


def _shift(p: Array, mean: float) -> float:
    """The log-odds to add so that the mean of `p` becomes `mean`."""
    low, high = -12.0, 12.0
    z = _logit(p)
    for _ in range(40):
        middle = (low + high) / 2
        if float(_sigmoid(z + middle).mean()) < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _logit(p: Array) -> Array:
    p = np.clip(p, _CLIP, 1 - _CLIP)
    return np.asarray(np.log(p / (1 - p)))


def _sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -40, 40))))
