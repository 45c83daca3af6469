"""Points → groups: micro-clusters, merged into a tree that is cut into as many groups as the points have.

Lloyd (1982) for the micro-clusters, Ward (1963) for the tree; Tibshirani, Walther & Hastie (2001), "Estimating the
number of clusters in a data set via the gap statistic", for where to cut: the groups must be tighter than those
that the same method makes of one Gaussian cloud of the same shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["cluster"]

MOST = (12, 24)
"""More groups than the first nobody reads; thousands of points may have as many as the second."""

_CLOUDS = 6
"""Simulated clouds that the cuts are held against."""
_SIGMAS = 3.0
"""More than one group takes a gap of at least so many standard errors …"""
_LEAST_GAP = 0.015
"""… and groups at least so much tighter than a cloud's, in logarithms of the sum of squares."""
_AS_CLEAR = 0.9
"""Of cuts with nearly the same silhouette, at least so much of the best, the finer one says more."""
_VAGUE = 0.2
"""Below this silhouette there are no borders, only themes that run into each other: then the finest cut says most."""
_LOOKED_AT = 1000
"""Points, evenly spaced, on which the number of groups is settled."""
_SMALLEST = 6

Floats = np.ndarray[Any, Any]


def cluster(points: Floats, seed: int = 0) -> Floats:
    """Group n points of d numbers: group numbers from 0, the first point's group first.

    O(n · d) for the micro-clusters (n up to 300 are their own, more have 64 to 200), and the same again for each of
    a few clouds of 1,000 points.

    >>> import numpy as np
    >>> points = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0, 0], [20, 0], [0, 20]], 20, axis=0)
    >>> np.bincount(cluster(points)).tolist()
    [20, 20, 20]
    """
    n = len(points)
    if n < _SMALLEST:
        return np.zeros(n, dtype=np.int64)
    with threadpool_limits(limits=1):
        return _parted(_main_axes(points), seed)


def _main_axes(points: Floats) -> Floats:
    """The leading principal axes, at most one for every eight points: in more, everything is far from everything."""
    kept = max(4, len(points) // 8)
    if kept >= points.shape[1]:
        return points
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    turned: Floats = centred @ axes[:kept].T
    return turned


def _parted(points: Floats, seed: int) -> Floats:
    most = min(MOST[1], max(MOST[0], len(points) // 100))
    some = points
    if len(points) > _LOOKED_AT:
        some = points[np.linspace(0, len(points) - 1, _LOOKED_AT).astype(np.int64)]
    groups = _how_many(some, most, seed)
    centres, nearest = _micro(points, seed)
    labels = _cuts(centres, np.bincount(nearest, minlength=len(centres)).astype(np.float64), groups)[-1][nearest]
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    renumbered: Floats = np.argsort(np.argsort(first))[numbers]
    return renumbered


def _how_many(points: Floats, most: int, seed: int) -> int:
    """The number of groups with the clearest borders, among those that are tighter than a cloud's groups."""
    centred = points - points.mean(axis=0)
    if float(np.sum(centred**2)) < 1e-9 * len(points):
        return 1
    _, spread, _ = np.linalg.svd(centred, full_matrices=False)
    spread = spread[spread > 1e-6 * spread[0]] / np.sqrt(len(points) - 1)
    rng = np.random.default_rng(seed)
    clouds = []
    for place in range(_CLOUDS):
        cloud = rng.normal(size=(len(points), len(spread))) * spread
        clouds.append(_tightness(cloud, most, *_micro(cloud, seed + place)))
    centres, nearest = _micro(centred, seed)
    here = _tightness(centred, most, centres, nearest)
    kinds = min(len(here), *(len(cloud) for cloud in clouds))
    table = np.array([cloud[:kinds] for cloud in clouds])
    gap = table.mean(axis=0) - here[:kinds]
    error = table.std(axis=0) * np.sqrt(1.0 + 1.0 / _CLOUDS)
    sizes = np.bincount(nearest, minlength=len(centres)).astype(np.float64)
    # Borders are judged between micro-clusters: single points are too noisy in many dimensions to show any.
    real = gap >= np.maximum(_SIGMAS * error, _LEAST_GAP)
    if not real.any():
        return 1
    cuts = _cuts(centres, sizes, most)[:kinds]
    scores = [_borders(centres, labels, sizes) if real[place] else 0.0 for place, labels in enumerate(cuts)]
    best = int(np.argmax(np.round(scores, 9)))
    if scores[best] < _VAGUE:
        return int(np.flatnonzero(real)[-1]) + 1
    while best + 1 < kinds and scores[best + 1] >= _AS_CLEAR * max(scores):
        best += 1
    return best + 1


def _tightness(points: Floats, most: int, centres: Floats, nearest: Floats) -> Floats:
    """Logarithm of the share of the sum of squares that is left within 1, 2 … `most` groups."""
    whole = float(np.sum((points - points.mean(axis=0)) ** 2))
    cuts = _cuts(centres, np.bincount(nearest, minlength=len(centres)).astype(np.float64), most)
    return np.array([np.log(max(_within(points, labels[nearest]), 1e-9 * whole) / whole) for labels in cuts])


def _within(points: Floats, labels: Floats) -> float:
    """Sum of squares around the groups' centres."""
    members = np.eye(labels.max() + 1)[labels]
    return float(np.sum(points**2) - np.sum(np.sum((members.T @ points) ** 2, axis=1) / members.sum(axis=0)))


def _borders(points: Floats, labels: Floats, sizes: Floats) -> float:
    """Mean silhouette of weighted points by distance to the groups' centres, the simplified form: O(points ×
    groups)."""
    members = np.eye(labels.max() + 1)[labels] * sizes[:, None]
    if members.shape[1] < 2:
        return 0.0
    centres = (members.T @ points) / members.sum(axis=0)[:, None]
    apart = np.sqrt(np.sum((points[:, None, :] - centres[None, :, :]) ** 2, axis=2))
    rows = np.arange(len(points))
    # Each point pulls its group's centre towards itself; without that pull, small groups look no tighter than they are.
    left = members.sum(axis=0)[labels] - sizes
    own = apart[rows, labels] * (left + sizes) / np.maximum(left, 1e-12)
    apart[rows, labels] = np.inf
    other = apart.min(axis=1)
    score = np.where(left > 0, (other - own) / np.maximum(np.maximum(own, other), 1e-12), 0.0)
    return float(np.average(score, weights=sizes))


def _cuts(centres: Floats, sizes: Floats, most: int) -> list[Floats]:
    """Each micro-cluster's group when the tree is cut into 1, 2 … `most` groups, or as many as there are."""
    k = len(centres)
    above = np.arange(2 * k - 1)
    out = []
    for step, (left, right) in enumerate([*_ward(centres, sizes), (-1, -1)]):
        if k - step <= most:
            out.append(np.unique(above[:k], return_inverse=True)[1])
        if left >= 0:
            above[(above == left) | (above == right)] = k + step
    return out[::-1]


def _micro(points: Floats, seed: int) -> tuple[Floats, Floats]:
    """Centres of micro-clusters, and each point's."""
    from sklearn.cluster import KMeans

    n = len(points)
    if n <= 300:
        return points, np.arange(n)
    fitted = KMeans(min(200, max(64, n // 8)), n_init=1, max_iter=50, random_state=seed).fit(points)
    used = np.unique(fitted.labels_)
    return fitted.cluster_centers_[used], np.searchsorted(used, fitted.labels_)


def _ward(centres: Floats, sizes: Floats) -> list[tuple[int, int]]:
    """Ward's tree over weighted points: merge number m joins two nodes into node k + m.

    SciPy's own linkage counts every point once, which would let a crowded micro-cluster weigh as little as a stray.
    O(k³) in numpy for k ≤ 300 points.
    """
    k = len(centres)
    mass, where, alive, name = sizes.copy(), centres.copy(), np.ones(k, dtype=bool), np.arange(k)
    square = np.sum(where**2, axis=1)
    cost = np.maximum(square[:, None] + square[None, :] - 2 * where @ where.T, 0.0)
    cost = np.round(cost * (mass[:, None] * mass[None, :]) / (mass[:, None] + mass[None, :]), 12)
    np.fill_diagonal(cost, np.inf)
    tree: list[tuple[int, int]] = []
    for step in range(k - 1):
        i, j = divmod(int(np.argmin(cost)), k)
        tree.append((int(name[i]), int(name[j])))
        together = mass[i] + mass[j]
        where[i] = (mass[i] * where[i] + mass[j] * where[j]) / together
        mass[i], alive[j], name[i] = together, False, k + step
        gap = np.round(np.sum((where - where[i]) ** 2, axis=1) * mass * together / (mass + together), 12)
        gap[~alive] = np.inf
        gap[i] = np.inf
        cost[i, :], cost[:, i] = gap, gap
        cost[j, :], cost[:, j] = np.inf, np.inf
    return tree
