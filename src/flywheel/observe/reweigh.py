"""How much each earlier case counts for a window whose inputs are mixed differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flywheel.observe.bets import Floats

__all__ = ["Reweighing", "reweigh"]

_SUPPORT = 250
"""An input counts as known when about so many earlier cases are as dense there as the window is."""
_MOST = 20_000
_BORDER = 0.02


@dataclass(frozen=True, slots=True)
class Reweighing:
    """What telling the two windows apart taught."""

    weight: Floats
    """One for each earlier case, mean 1: how much likelier such an input is now."""
    separation: float
    """How well now and before can be told apart: area under the curve, out of sample; 0.5 is not at all."""
    moved: bool
    """Whether they can be told apart by more than chance, and by more than 0.02."""
    outside: float
    """The share of the window's inputs that earlier cases hardly have, so that few speak for them."""
    effective: float
    """How many cases the weighted ones are worth (Kish 1965)."""


def reweigh(before: Floats, now: Floats, *, seed: int = 0) -> Reweighing:
    """Estimate density ratios by a classifier that tells `now` from `before` (both rows × columns; NaN is a value).

    Each row is judged by trees that were grown without it (Bickel, Brückner & Scheffer 2009). Ratios are clipped
    where fewer than about 250 earlier cases would speak for an input (between 5 and 200), and the window's inputs
    beyond are `outside`. At most 20,000 rows of each side train the trees; O(rows × columns).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    half_before, half_now = rng.permutation(len(before)) % 2, rng.permutation(len(now)) % 2
    chance_before, chance_now = np.empty(len(before)), np.empty(len(now))
    prior = np.empty(2)
    for side in (0, 1):
        rows, fresh = before[half_before != side][:_MOST], now[half_now != side][:_MOST]
        trees = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=12, min_samples_leaf=40, l2_regularization=1.0, random_state=seed
        )
        trees.fit(np.vstack([rows, fresh]), np.repeat([0, 1], [len(rows), len(fresh)]))
        chance_before[half_before == side] = trees.predict_proba(before[half_before == side])[:, 1]
        chance_now[half_now == side] = trees.predict_proba(now[half_now == side])[:, 1]
        prior[side] = len(rows) / len(fresh)
    truth = np.repeat([0, 1], [len(before), len(now)])
    separation = float(roc_auc_score(truth, np.concatenate([chance_before, chance_now])))
    error = np.sqrt((1 / len(before) + 1 / len(now)) / 12)
    ratio = prior[half_before] * chance_before / np.maximum(1 - chance_before, 1e-9)
    ahead = prior[half_now] * chance_now / np.maximum(1 - chance_now, 1e-9)
    clip = float(np.clip(len(before) / _SUPPORT, 5.0, 200.0))
    weight = np.minimum(ratio, clip)
    weight = weight / weight.mean()
    return Reweighing(
        weight=weight,
        separation=separation,
        moved=separation - 0.5 > max(_BORDER, 4 * error),
        outside=float((ahead >= clip).mean()),
        effective=float(weight.sum() ** 2 / (weight**2).sum()),
    )
