"""Dense regions: which points belong together, by the graph of who is whose neighbour.

Blondel et al. (2008), "Fast unfolding of communities in large networks" (Louvain), with the resolution of Reichardt &
Bornholdt (2006), "Statistical mechanics of community detection". The number of regions comes out of the points.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

__all__ = ["neighbours", "regions"]

NEIGHBOURS = 10
"""Each point is tied to so many nearest ones; fewer where there are under fifty points."""

_BLOCK = 1024

Floats = np.ndarray[Any, Any]


def neighbours(points: Floats, k: int = NEIGHBOURS) -> Any:
    """The symmetric n × n graph (sparse) of near points: weight 1 where both count the other among their `k` nearest,
    0.5 where one does. O(n² · d) in blocks of 1,024 rows, for micro-clusters: a few thousand points.

    >>> import numpy as np
    >>> neighbours(np.array([[0.0], [1.0], [5.0], [6.1]]), k=1).toarray().tolist()[0]
    [0.0, 1.0, 0.0, 0.0]
    """
    from scipy.sparse import csr_matrix

    n = len(points)
    k = max(1, min(k, max(2, n // 5), n - 1)) if n > 1 else 0
    square = np.sum(points**2, axis=1)
    near = np.empty((n, k), dtype=np.int64)
    for start in range(0, n, _BLOCK):
        block = points[start : start + _BLOCK]
        far = np.round(square[start : start + _BLOCK, None] + square[None, :] - 2 * block @ points.T, 9)
        rows = np.arange(len(block))
        far[rows, start + rows] = np.inf
        near[start : start + _BLOCK] = np.argpartition(far, k - 1, axis=1)[:, :k] if k else 0
    tied = csr_matrix((np.full(n * k, 0.5), near.ravel(), np.arange(0, n * k + 1, max(k, 1))[: n + 1]), shape=(n, n))
    return (tied + tied.T).tocsr()


def regions(graph: Any, resolution: float = 1.0, seed: int = 0) -> tuple[Floats, float]:
    """Each point's region, from 0, and how well they are parted: the modularity at this resolution.

    The modularity is the share of ties within regions, less `resolution` times what as many ties would have within by
    chance. A higher resolution gives more and smaller regions. About linear in the number of ties.

    >>> import numpy as np
    >>> two = np.concatenate([np.arange(20.0), 100 + np.arange(20.0)])[:, None]
    >>> of = regions(neighbours(two, k=4), resolution=0.5)[0]
    >>> set(of[:20].tolist()) & set(of[20:].tolist())
    set()
    """
    from scipy.sparse import csr_matrix

    n = graph.shape[0]
    total = float(graph.sum())
    if not total:
        return np.arange(n), 0.0
    rng = np.random.default_rng(seed)
    labels, level = np.arange(n), graph
    while True:
        moved = _settle(level, resolution, total, rng.permutation(level.shape[0]))
        kinds, numbers = np.unique(moved, return_inverse=True)
        if len(kinds) == level.shape[0]:
            break
        labels = numbers[labels]
        belongs = csr_matrix((np.ones(len(numbers)), (np.arange(len(numbers)), numbers)))
        level = (belongs.T @ level @ belongs).tocsr()
    within = float(level.diagonal().sum()) / total
    degrees = np.asarray(level.sum(axis=1)).ravel() / total
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers], within - resolution * float(np.sum(degrees**2))


def _settle(graph: Any, resolution: float, total: float, order: Floats) -> list[int]:
    """Move points one at a time into the neighbouring region that gains most, until none wants to move.

    A loop over points in Python: each move depends on the one before. Bounded, as it runs on micro-clusters.
    """
    n = graph.shape[0]
    degree = np.asarray(graph.sum(axis=1)).ravel().tolist()
    starts, ties, weights = graph.indptr.tolist(), graph.indices.tolist(), graph.data.tolist()
    region, mass = list(range(n)), list(degree)
    waiting, queued = deque(order.tolist()), [True] * n
    while waiting:
        point = waiting.popleft()
        queued[point] = False
        own = region[point]
        span = range(starts[point], starts[point + 1])
        to: dict[int, float] = {own: 0.0}
        for at in span:
            if ties[at] != point:
                there = region[ties[at]]
                to[there] = to.get(there, 0.0) + weights[at]
        mass[own] -= degree[point]
        price = resolution * degree[point] / total
        best, gain = own, to[own] - price * mass[own]
        for there, weight in to.items():
            here = weight - price * mass[there]
            if here > gain + 1e-12:
                best, gain = there, here
        mass[best] += degree[point]
        if best == own:
            continue
        region[point] = best
        for at in span:
            other = ties[at]
            if region[other] != best and not queued[other]:
                queued[other] = True
                waiting.append(other)
    return region
