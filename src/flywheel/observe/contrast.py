"""Differences between two groups of rows, with intervals that know that rows of one user or hour belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from flywheel.records import Interval

__all__ = ["Contrast", "average", "contrast", "holm", "level_of"]

Array = np.ndarray[Any, Any]

LEAST_CLUSTERS = 5
"""Groups spread over fewer clusters have no variance worth the name."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Mean of the rows with a property less that of the others."""

    here: float
    there: float
    interval: Interval
    p: float
    """Two-sided, of no difference; 1 where it cannot be told."""


def contrast(
    values: Array, has: Array, clusters: Array, *, weights: Array | None = None, level: float = 0.95
) -> Contrast:
    """Compare rows with and without a property; rows of one cluster may depend on one another in any way.

    `values` (n floats), `has` (n bools), `clusters` (n integers from 0), `weights` (n, all 1 by default). The variance
    is the sandwich over clusters (Liang & Zeger 1986) with Student's t on the clusters that the smaller group is spread
    over; under five of these the interval is unbounded and p is 1. O(n).
    """
    w = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    has = np.asarray(has, bool)
    mine, others = w[has].sum(), w[~has].sum()
    n = int(has.sum())
    if not mine or not others:
        return Contrast(np.nan, np.nan, Interval(0.0, -np.inf, np.inf, n, level), 1.0)
    here, there = float(w[has] @ values[has] / mine), float(w[~has] @ values[~has] / others)
    pull = np.where(has, w * (values - here) / mine, -w * (values - there) / others)
    sums = np.bincount(clusters, pull)
    spread = min(len(np.unique(clusters[has])), len(np.unique(clusters[~has])))
    effect = here - there
    if spread < LEAST_CLUSTERS:
        return Contrast(here, there, Interval(effect, -np.inf, np.inf, n, level), 1.0)
    error = float(np.sqrt((sums**2).sum() * spread / (spread - 1)))
    if error < 1e-12:
        sure = abs(effect) > 1e-12
        return Contrast(here, there, Interval(effect, effect, effect, n, level), 0.0 if sure else 1.0)
    half = float(stats.t.ppf((1 + level) / 2, spread - 1)) * error
    p = float(2 * stats.t.sf(abs(effect) / error, spread - 1))
    return Contrast(here, there, Interval(effect, effect - half, effect + half, n, level), p)


def average(values: Array, clusters: Array, *, level: float = 0.95) -> Interval:
    """The mean of n values with its interval over clusters; unbounded under five clusters. O(n)."""
    mean = float(np.mean(values))
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], (values - mean) / len(values))
    if len(sums) < LEAST_CLUSTERS:
        return Interval(mean, -np.inf, np.inf, len(values), level)
    error = float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))
    half = float(stats.t.ppf((1 + level) / 2, len(sums) - 1)) * error
    return Interval(mean, mean - half, mean + half, len(values), level)


def holm(p: Array | list[float]) -> Array:
    """Adjusted p-values: those under α have a family-wise error of α (Holm 1979). O(m log m).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.asarray(p, float)
    order = np.argsort(found, kind="stable")
    raised = np.minimum(1.0, np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)))
    out = np.empty_like(raised)
    out[order] = raised
    return out


def level_of(shown: int, alpha: float = 0.05) -> float:
    """The level of each of so many intervals that all hold together with probability 1 - alpha (Bonferroni)."""
    return 1 - alpha / max(shown, 1)
