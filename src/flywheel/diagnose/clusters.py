"""Points → groups: micro-clusters, joined where they lie densely, as many groups as the points have.

Lloyd (1982) for the micro-clusters; `density` for the groups, at a ladder of resolutions, of which the one with the
clearest borders counts (Rousseeuw 1987, "Silhouettes", in its simplified form). Whether there is more than one group
at all is asked in the manner of Tibshirani, Walther & Hastie (2001), "Estimating the number of clusters in a data set
via the gap statistic": the groups must be parted better than those that the same method makes of Gaussian clouds of
the same shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flywheel.diagnose.density import neighbours, regions

__all__ = ["cluster"]

LADDER = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Resolutions looked at, from few large groups to many small ones."""

_CLOUDS = 6
"""Simulated clouds that the groups are held against …"""
_TESTED = (0.25, 1.0)
"""… at these resolutions …"""
_LOOKED_AT = 600
"""… on so many points, evenly spaced."""
_SIGMAS = 3.0
"""More than one group takes a modularity above the clouds', or groups tighter than theirs, by so many of their
standard deviations …"""
_LEAST_GAP = (0.03, 0.1)
"""… and by at least so much; tightness counts in logarithms of the sum of squares that is left within the groups."""
_MICRO = 2000
"""More points than these are joined into so many micro-clusters first."""
_SMALLEST = 6

Floats = np.ndarray[Any, Any]


def cluster(points: Floats, seed: int = 0, most: int = 200) -> Floats:
    """Group n points of d numbers into at most `most` groups: numbers from 0, the first point's group first.

    O(n · d) beside a bounded part: up to 2,000 points are their own micro-clusters, more are joined into 2,000.

    >>> import numpy as np
    >>> points = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0, 0], [20, 0], [0, 20]], 20, axis=0)
    >>> np.bincount(cluster(points)).tolist()
    [20, 20, 20]
    """
    n = len(points)
    if n < _SMALLEST or most < 2:
        return np.zeros(n, dtype=np.int64)
    with threadpool_limits(limits=1):
        return _parted(_main_axes(points), seed, most)


def _main_axes(points: Floats) -> Floats:
    """The leading principal axes, at most one for every eight points: in more, everything is far from everything."""
    kept = max(4, len(points) // 8)
    if kept >= points.shape[1]:
        return points
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    turned: Floats = centred @ axes[:kept].T
    return turned


def _parted(points: Floats, seed: int, most: int) -> Floats:
    if not _grouped(points, seed):
        return np.zeros(len(points), dtype=np.int64)
    centres, nearest = _micro(points, seed)
    sizes = np.bincount(nearest, minlength=len(centres)).astype(np.float64)
    graph = neighbours(centres)
    tried: list[Floats] = []
    for resolution in LADDER:
        labels, _ = regions(graph, resolution, seed)
        if labels.max() + 1 > len(centres) // 2 and tried:
            break
        tried.append(_settled(centres, sizes, _at_most(centres, sizes, labels, most)))
    scores = np.array([_borders(centres, labels, sizes) for labels in tried])
    best = int(np.argmax(np.round(scores, 9)))
    labels = _settled(points, np.ones(len(points)), tried[best][nearest])
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    renumbered: Floats = np.argsort(np.argsort(first))[numbers]
    return renumbered


def _grouped(points: Floats, seed: int) -> bool:
    """Is there more than one group: are the points better parted than clouds of their shape?"""
    some = points
    if len(points) > _LOOKED_AT:
        some = points[np.linspace(0, len(points) - 1, _LOOKED_AT).astype(np.int64)]
    centred = some - some.mean(axis=0)
    if float(np.sum(centred**2)) < 1e-9 * len(some):
        return False
    _, spread, _ = np.linalg.svd(centred, full_matrices=False)
    spread = spread[spread > 1e-6 * spread[0]] / np.sqrt(len(some) - 1)
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(size=(len(some), len(spread))) * spread for _ in range(_CLOUDS)]
    clouds, graphs = [centred, *clouds], [neighbours(cloud) for cloud in (centred, *clouds)]
    for resolution in _TESTED:
        found = [regions(graph, resolution, seed) for graph in graphs]
        tight = [_tightness(cloud, labels) for cloud, (labels, _) in zip(clouds, found, strict=True)]
        for (here, *chance), least in zip(([q for _, q in found], tight), _LEAST_GAP, strict=True):
            if here - float(np.mean(chance)) >= max(_SIGMAS * float(np.std(chance, ddof=1)), least):
                return True
    return False


def _tightness(points: Floats, labels: Floats) -> float:
    """Minus the logarithm of the share of the sum of squares that is left within the groups."""
    left = float(np.sum((points - _centres(points, np.ones(len(points)), labels)[labels]) ** 2))
    whole = float(np.sum((points - points.mean(axis=0)) ** 2))
    return -float(np.log(max(left / max(whole, 1e-300), 1e-9)))


def _settled(points: Floats, sizes: Floats, labels: Floats, rounds: int = 5) -> Floats:
    """Let each weighted point go to the nearest group's centre, a few times: O(points × groups × d)."""
    square = np.sum(points**2, axis=1)
    for _ in range(rounds):
        labels = np.unique(labels, return_inverse=True)[1]
        centres = _centres(points, sizes, labels)
        away = square[:, None] + np.sum(centres**2, axis=1)[None, :] - 2 * points @ centres.T
        moved = np.argmin(np.round(away, 9), axis=1)
        if np.array_equal(moved, labels):
            break
        labels = moved
    settled: Floats = np.unique(labels, return_inverse=True)[1]
    return settled


def _centres(points: Floats, sizes: Floats, labels: Floats) -> Floats:
    from scipy.sparse import csr_matrix

    belongs = csr_matrix((sizes, (labels, np.arange(len(labels)))))
    centres: Floats = np.asarray(belongs @ points) / np.maximum(np.asarray(belongs.sum(axis=1)), 1e-12)
    return centres


def _borders(points: Floats, labels: Floats, sizes: Floats) -> float:
    """Mean silhouette of weighted points by distance to the groups' centres, the simplified form: O(points ×
    groups)."""
    if labels.max() < 1:
        return 0.0
    centres = _centres(points, sizes, labels)
    square = np.sum(points**2, axis=1)[:, None] + np.sum(centres**2, axis=1)[None, :] - 2 * points @ centres.T
    apart = np.sqrt(np.maximum(square, 0.0))
    rows = np.arange(len(points))
    # Each point pulls its group's centre towards itself; without that pull, small groups look no tighter than they are.
    left = np.bincount(labels, weights=sizes)[labels] - sizes
    own = apart[rows, labels] * (left + sizes) / np.maximum(left, 1e-12)
    apart[rows, labels] = np.inf
    other = apart.min(axis=1)
    score = np.where(left > 0, (other - own) / np.maximum(np.maximum(own, other), 1e-12), 0.0)
    return float(np.average(score, weights=sizes))


def _at_most(points: Floats, sizes: Floats, labels: Floats, most: int) -> Floats:
    """Join the groups whose joining costs the least sum of squares (Ward 1963) until there are at most `most`."""
    count = int(labels.max()) + 1
    if count <= most:
        return labels
    where, mass = _centres(points, sizes, labels), np.bincount(labels, weights=sizes)
    name = np.arange(count)
    square = np.sum(where**2, axis=1)
    cost = np.maximum(square[:, None] + square[None, :] - 2 * where @ where.T, 0.0)
    cost = np.round(cost * (mass[:, None] * mass[None, :]) / (mass[:, None] + mass[None, :]), 12)
    np.fill_diagonal(cost, np.inf)
    for _ in range(count - most):
        i, j = sorted(divmod(int(np.argmin(cost)), count))
        together = mass[i] + mass[j]
        where[i] = (mass[i] * where[i] + mass[j] * where[j]) / together
        mass[i], name[name == j] = together, i
        gap = np.round(np.sum((where - where[i]) ** 2, axis=1) * mass * together / (mass + together), 12)
        gap[~np.isfinite(cost[i])] = np.inf
        cost[i, :], cost[:, i] = gap, gap
        cost[j, :], cost[:, j] = np.inf, np.inf
        cost[i, i] = np.inf
    joined: Floats = np.unique(name[labels], return_inverse=True)[1]
    return joined


def _micro(points: Floats, seed: int) -> tuple[Floats, Floats]:
    """Centres of micro-clusters, and each point's: coarse ones first, each parted again, so that it is O(n · d)."""
    n = len(points)
    if n <= _MICRO:
        return points, np.arange(n)
    coarse = _means(points, 40, seed)
    nearest = np.zeros(n, dtype=np.int64)
    count = 0
    for group in range(int(coarse.max()) + 1):
        rows = np.flatnonzero(coarse == group)
        fine = _means(points[rows], max(1, round(_MICRO * len(rows) / n)), seed)
        nearest[rows] = count + fine
        count += int(fine.max()) + 1
    return _centres(points, np.ones(n), nearest), nearest


def _means(points: Floats, k: int, seed: int) -> Floats:
    from sklearn.cluster import KMeans

    if k >= len(points):
        return np.arange(len(points))
    found = KMeans(k, n_init=1, max_iter=30, random_state=seed).fit(points).labels_
    labels: Floats = np.unique(found, return_inverse=True)[1]
    return labels
