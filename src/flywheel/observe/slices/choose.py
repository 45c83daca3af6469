"""From many overlapping slices to the few that each say something of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, log
from typing import Any

import numpy as np

from flywheel.observe.slices.rows import Rows
from flywheel.observe.slices.search import top_slices

__all__ = ["Chosen", "choose"]

POOL = 100
ROUNDS = 4
ALPHAS = (0.95, 0.99)
"""Both large, mild slices and small, bad ones."""
SWEEPS = 30
SAME = 0.8
"""Two slices that share this part of their rows are one."""

Array = np.ndarray[Any, Any]
Conditions = tuple[tuple[int, int, int], ...]
"""Column, first and last code."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A slice by column and code, with what was measured on the rows that chose it."""

    conditions: Conditions
    size: float
    mean: float
    elsewhere: float


def choose(
    rows: Rows, *, k: int, max_level: int, least: float, min_support: float, ordered: Sequence[int] = ()
) -> list[Chosen]:
    """At most `k` slices whose mean loss is at least `least` above the rest, none of which another explains.

    The exact search gives a pool of the best, with all their parents. The slice is taken that makes the losses most
    likely (a likelihood ratio, less the logarithm of how many slices of its length there are, so that a condition has
    to earn its place); then what it explains is taken as given, and so on. Conditions on `ordered` columns, whose codes
    are bins of numbers, take in neighbouring bins as long as that explains more. The search is repeated without the
    rows of the slices taken, so that one strong slice and its many variants hide no other.
    """
    total = float(rows.weight.sum())
    values = sum(max(int(column.max()) + 1, 0) for column in rows.codes) if total else 0
    if not values:
        return []
    overall = float(rows.loss.sum()) / total
    expected = np.full(len(rows.loss), overall)
    free = np.ones(len(rows.loss), dtype=bool)
    explained: list[Array] = []
    taken: list[tuple[Chosen, Array]] = []
    for _ in range(ROUNDS):
        pool = _pool(rows, free, max_level, min_support * (1.0 if free.all() else 0.5))
        masks = {one: _mask(rows, one) for one in pool}
        masks = {one: mask for one, mask in masks.items() if rows.weight[mask].sum() >= min_support}
        before = len(taken)
        while len(taken) < k:
            gains = _Gains(rows, expected, overall, least, values)
            best = gains.best(masks)
            if best is None:
                break
            del masks[best]
            best = gains.widened(best, set(ordered))
            mask = _mask(rows, best)
            explained.append(mask)
            _explain(rows, expected, explained)
            free &= ~mask
            if all(_overlap(rows, mask, other) < SAME for _, other in taken):
                taken.append((_measured(rows, best, mask), mask))
        if len(taken) in (before, k) or not free.any():
            break
    return [one for one, _ in taken]


def _pool(rows: Rows, free: Array, max_level: int, support: float) -> list[Conditions]:
    """The best slices of the free rows, and every part of their conjunctions."""
    codes = np.ascontiguousarray(rows.codes[:, free]) if not free.all() else rows.codes
    weight = rows.weight[free]
    means = np.divide(rows.loss[free], weight, out=np.zeros(len(weight)), where=weight > 0)
    pool: dict[Conditions, None] = {}
    for alpha in ALPHAS:
        found = top_slices(codes.T, means, weight, k=POOL, alpha=alpha, max_level=max_level, min_support=support)
        for one in found:
            whole = tuple((int(name), code, code) for name, code in one.conditions)
            for length in range(1, len(whole) + 1):
                pool.update(dict.fromkeys(combinations(whole, length)))
    return sorted(pool, key=lambda one: (len(one), one))


def _mask(rows: Rows, conditions: Conditions) -> Array:
    inside = np.ones(len(rows.loss), dtype=bool)
    for column, low, high in conditions:
        codes = rows.codes[column]
        inside &= codes == low if low == high else (codes >= low) & (codes <= high)
    return inside


class _Gains:
    """How much likelier slices make the losses than what is expected so far, less what naming them costs."""

    def __init__(self, rows: Rows, expected: Array, overall: float, least: float, values: int) -> None:
        self.rows, self.overall, self.least, self.values = rows, overall, least, values
        self.due = rows.weight * expected
        self.tops = [int(column.max()) for column in rows.codes]

    def best(self, masks: dict[Conditions, Array]) -> Conditions | None:
        """The slice with the largest gain above 0; of equal ones the first."""
        best, top = None, 0.0
        for one, mask in masks.items():
            gain = self.of(one, mask)
            if gain > top + 1e-9:
                best, top = one, gain
        return best

    def of(self, conditions: Conditions, mask: Array) -> float:
        rows = self.rows
        size, loss, due = float(rows.weight[mask].sum()), float(rows.loss[mask].sum()), float(self.due[mask].sum())
        if size <= 0 or loss <= due or loss / size - self.overall < self.least:
            return 0.0
        p, q = min(loss / size, 1 - 1e-9), min(due / size, 1 - 1e-9)
        cost = log(comb(self.values, len(conditions)))
        cost += sum(log(max(self.tops[c], 2) / 2) for c, low, high in conditions if low < high)
        return size * (p * log(p / q) + ((1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0)) - cost

    def widened(self, conditions: Conditions, ordered: set[int]) -> Conditions:
        """Take in neighbouring bins, the one first that gains most, while any does."""
        top = self.of(conditions, _mask(self.rows, conditions))
        while True:
            tries = []
            for place, (column, low, high) in enumerate(conditions):
                if column not in ordered or not low:
                    continue
                for wider in ((column, low - 1, high), (column, low, high + 1)):
                    if wider[1] >= 1 and wider[2] <= self.tops[column] and wider[1:] != (1, self.tops[column]):
                        tries.append((*conditions[:place], wider, *conditions[place + 1 :]))
            gains = [self.of(one, _mask(self.rows, one)) for one in tries]
            if not gains or max(gains) <= top + 1e-9:
                return conditions
            top = max(gains)
            conditions = tries[gains.index(top)]


def _explain(rows: Rows, expected: Array, masks: list[Array]) -> None:
    """Multiply what is expected by a factor for each slice until all of them, and the whole, have their losses
    (iterative proportional fitting, Deming and Stephan 1940)."""
    everything = np.ones(len(expected), dtype=bool)
    for _ in range(SWEEPS):
        off = 0.0
        for mask in (*masks, everything):
            due = float((rows.weight[mask] * expected[mask]).sum())
            factor = float(rows.loss[mask].sum()) / due if due > 0 else 1.0
            expected[mask] = np.minimum(expected[mask] * factor, 1.0)
            off = max(off, abs(factor - 1.0))
        if off < 1e-4:
            break


def _overlap(rows: Rows, a: Array, b: Array) -> float:
    either = float(rows.weight[a | b].sum())
    return float(rows.weight[a & b].sum()) / either if either else 1.0


def _measured(rows: Rows, conditions: Conditions, mask: Array) -> Chosen:
    size, loss = float(rows.weight[mask].sum()), float(rows.loss[mask].sum())
    others, lost = float(rows.weight.sum()) - size, float(rows.loss.sum()) - loss
    return Chosen(conditions, size, loss / size, lost / others if others > 0 else 0.0)
