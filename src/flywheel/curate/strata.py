"""Spreading a budget: how many labels each mode gets, and which part of a mode each label stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["allocate", "partition"]

_LLOYD_STEPS = 12


def allocate(budget: int, values: Sequence[float], sizes: Sequence[int]) -> list[int]:
    """Share `budget` labels among strata in proportion to their values, never more than a stratum has members.

    Largest remainders (Hamilton), repeated while a full stratum leaves something over. Ties go to the earlier stratum.

    >>> allocate(10, [6.0, 3.0, 1.0], [100, 100, 100])
    [6, 3, 1]
    >>> allocate(10, [6.0, 3.0, 1.0], [2, 100, 1])
    [2, 7, 1]
    """
    given = [0] * len(values)
    left = min(budget, sum(sizes))
    while left > 0:
        open_strata = [i for i in range(len(values)) if given[i] < sizes[i]]
        total = sum(values[i] for i in open_strata)
        shares = {i: left * values[i] / total if total > 0 else left / len(open_strata) for i in open_strata}
        whole = {i: min(sizes[i] - given[i], int(shares[i] + 1e-9)) for i in open_strata}
        for i in open_strata:
            given[i] += whole[i]
        taken = sum(list(whole.values()))
        left -= taken
        if taken and any(given[i] == sizes[i] and shares[i] > whole[i] for i in open_strata):
            continue  # a stratum is full: what it could not take is shared again
        for i in sorted(open_strata, key=lambda i: (whole[i] - shares[i], i)):
            if left and given[i] < sizes[i]:
                given[i] += 1
                left -= 1
    return given


def partition(points: NDArray[np.float64], weights: NDArray[np.float64], parts: int) -> NDArray[np.int64]:
    """Cut n points (n × d) into exactly `parts` non-empty cells that are compact and heavy; returns the cell of each.

    Weighted k-means from a greedy start: the heaviest point, then always the one with the largest weight × squared
    distance to what is chosen. It draws nothing at random: what is random about a selection stays in the draw itself,
    whose probabilities are then known. O(n · parts · d).
    """
    n = len(points)
    if parts >= n:
        return np.arange(n, dtype=np.int64)
    if parts <= 1:
        return np.zeros(n, dtype=np.int64)
    chosen = [int(np.argmax(weights))]
    distance = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(parts - 1):
        gain = weights * distance
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    centres = points[chosen]
    cells = _nearest(points, centres)
    for _ in range(_LLOYD_STEPS):
        mass = np.bincount(cells, weights, minlength=parts)
        sums = np.zeros_like(centres)
        np.add.at(sums, cells, points * weights[:, None])
        centres = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1e-300)[:, None], centres)
        moved = _nearest(points, centres)
        if np.array_equal(moved, cells):
            break
        cells = moved
    return _fill_empty(cells, weights, parts)


def _nearest(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    square = (centres**2).sum(axis=1)[None, :] - 2 * points @ centres.T
    return np.asarray(np.argmin(square, axis=1), dtype=np.int64)


def _fill_empty(cells: NDArray[np.int64], weights: NDArray[np.float64], parts: int) -> NDArray[np.int64]:
    """Give every empty cell the heaviest member of the heaviest cell that has two."""
    cells = cells.copy()
    for empty in np.flatnonzero(np.bincount(cells, minlength=parts) == 0):
        mass = np.bincount(cells, weights, minlength=parts)
        mass[np.bincount(cells, minlength=parts) < 2] = -1.0
        members = np.flatnonzero(cells == int(np.argmax(mass)))
        cells[members[int(np.argmax(weights[members]))]] = empty
    return cells
