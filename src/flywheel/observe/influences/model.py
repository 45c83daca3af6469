"""A logistic model of failure on coded columns: every level and some pairs of levels, with a ridge.

Effects are average risk differences: what the model expects if every interaction had one level, less what it expects
if every one had another (g-computation, Robins 1986). Their variance is the sandwich's, by the delta method, plus the
ridge's own: what the data cannot tell apart has a wide interval, not a narrow one around half of the effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["Design", "Effect", "Fit", "Levels", "fit", "pairs_of_levels", "variance"]

RIDGE = 1.0
"""A coefficient is drawn towards 0 as if it had a normal prior with a standard deviation of 1 in log-odds."""
SURE = 4.0
"""Standard errors that the failures in a pair of levels must be away from what the two explain."""
MOST_PAIRS = 8
LEAST_CELL = 30.0

Array = np.ndarray[Any, Any]
Pair = tuple[int, int, int, int]
"""Column, level, another column, its level."""
Levels = tuple[tuple[int, int], ...]
"""Columns set to levels."""


@dataclass(frozen=True, slots=True)
class Design:
    """Which columns of ones the model has: an intercept, the levels but each column's reference, and the pairs."""

    widths: tuple[int, ...]
    """Levels of each coded column."""
    reference: tuple[int, ...]
    """The level of each that has no coefficient: the commonest."""
    pairs: tuple[Pair, ...] = ()

    def matrix(self, codes: Array, fixed: Levels = ()) -> Any:
        """d × m codes to m × p sparse ones, as if `fixed` columns had those levels everywhere."""
        m = codes.shape[1]
        held = dict(fixed)
        places, offset = [np.zeros(m, dtype=np.int64)], 1
        columns = [np.full(m, held[c]) if c in held else codes[c] for c in range(len(self.widths))]
        for column, width, reference in zip(columns, self.widths, self.reference, strict=True):
            place = np.where(column > reference, column - 1, column)
            places.append(np.where(column == reference, -1, offset + place))
            offset += width - 1
        for a, level, b, other in self.pairs:
            places.append(np.where((columns[a] == level) & (columns[b] == other), offset, -1))
            offset += 1
        at = np.array(places).T
        used = at >= 0
        rows = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        return sparse.csr_matrix((np.ones(int(rows[-1])), at[used], rows), shape=(m, offset))


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference of average risks, and what its variance is made of."""

    size: float
    risk: float
    """With the levels set …"""
    beside: float
    """… and with the reference."""
    push: Array
    """p: how the estimate moves with the score of each coefficient."""
    ridge: float
    """The part of the variance that comes from what the data do not tell."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model on m coded rows with weights and losses."""

    design: Design
    beta: Array
    inverse: Array
    """p × p: of the Hessian with the ridge."""
    codes: Array
    weight: Array

    def expected(self, codes: Array, fixed: Levels = ()) -> Array:
        """The risk of each row."""
        return _sigmoid(self.design.matrix(codes, fixed) @ self.beta)

    def effect(self, terms: Sequence[tuple[float, Levels]]) -> Effect:
        """A signed sum of average risks, such as `[(1, levels), (-1, reference)]`: the first is the risk told."""
        gradient = np.zeros(len(self.beta))
        risks = []
        total = float(self.weight.sum())
        for sign, fixed in terms:
            matrix = self.design.matrix(self.codes, fixed)
            risk = _sigmoid(matrix @ self.beta)
            risks.append(float(self.weight @ risk) / total)
            gradient += sign * (matrix.T @ (self.weight * risk * (1 - risk))) / total
        push = self.inverse @ gradient
        shrunk = np.ones(len(push))
        shrunk[0] = 0.0
        size = sum(sign * risk for (sign, _), risk in zip(terms, risks, strict=True))
        return Effect(size, risks[0], risks[1], push, RIDGE * float(push**2 @ shrunk))


def fit(design: Design, codes: Array, weight: Array, loss: Array) -> Fit:
    """Maximise the penalised likelihood by Newton's method with halved steps. O(m · d² + p³) a step."""
    matrix = design.matrix(codes)
    p = matrix.shape[1]
    ridge = np.full(p, RIDGE)
    ridge[0] = 1e-6
    beta = np.zeros(p)
    mean = np.clip(loss.sum() / max(weight.sum(), 1e-12), 1e-6, 1 - 1e-6)
    beta[0] = np.log(mean / (1 - mean))
    value = _penalised(matrix, beta, weight, loss, ridge)
    hessian = np.eye(p)
    for _ in range(50):
        risk = _sigmoid(matrix @ beta)
        hessian = (matrix.T @ matrix.multiply((weight * risk * (1 - risk))[:, None]).tocsr()).toarray()
        hessian[np.diag_indices(p)] += ridge
        step = np.linalg.solve(hessian, matrix.T @ (loss - weight * risk) - ridge * beta)
        scale = 1.0
        while scale > 1e-4:
            better = _penalised(matrix, beta + scale * step, weight, loss, ridge)
            if better >= value - 1e-9:
                break
            scale /= 2
        beta, gained, value = beta + scale * step, better - value, better
        if abs(gained) < 1e-8 * (1 + abs(value)) and float(np.abs(scale * step).max()) < 1e-6:
            break
    merged, share = _distinct(codes, weight)
    return Fit(design, beta, np.linalg.inv(hessian), merged, share)


def pairs_of_levels(design: Design, codes: Array, weight: Array, loss: Array) -> tuple[Pair, ...]:
    """Pairs of levels in which failures are not what the two levels alone explain: one at a time, the clearest
    first, each judged beside those before it."""
    chosen: tuple[Pair, ...] = ()
    for _ in range(MOST_PAIRS):
        design = Design(design.widths, design.reference, chosen)
        risk = _sigmoid(design.matrix(codes) @ fit(design, codes, weight, loss).beta)
        over, spread = loss - weight * risk, weight * risk * (1 - risk)
        best, top = None, SURE
        for a in range(len(design.widths)):
            for b in range(a + 1, len(design.widths)):
                cell = codes[a].astype(np.int64) * design.widths[b] + codes[b]
                size = design.widths[a] * design.widths[b]
                n = np.bincount(cell, weight, size)
                z = np.abs(np.bincount(cell, over, size)) / np.sqrt(np.maximum(np.bincount(cell, spread, size), 1e-12))
                z[n < LEAST_CELL] = 0.0
                at = int(np.argmax(z))
                pair = (a, at // design.widths[b], b, at % design.widths[b])
                if z[at] > top and pair not in chosen:
                    best, top = pair, float(z[at])
        if best is None:
            break
        chosen = (*chosen, best)
    return chosen


def variance(
    effect: Effect, matrix: Any, weight: Array, loss: Array, risk: Array, together: Callable[[Array], Array] | None
) -> tuple[float, float]:
    """The variance of an effect without its ridge part, and the sum of its fourth powers; rows of one group (what
    `together` adds up) are not independent."""
    lever = matrix @ effect.push
    if together is None:
        each = lever**2 * (loss * (1 - risk) ** 2 + (weight - loss) * risk**2)
        return float(each.sum()), float((each**2).sum())
    sums = together(lever * (loss - weight * risk))
    return float((sums**2).sum()), float((sums**4).sum())


def _distinct(codes: Array, weight: Array) -> tuple[Array, Array]:
    """Rows of codes without the repeats that other keys made."""
    values, place = np.unique(codes.T, axis=0, return_inverse=True)
    return values.T, np.bincount(place.ravel(), weight, len(values))


def _penalised(matrix: Any, beta: Array, weight: Array, loss: Array, ridge: Array) -> float:
    odds = matrix @ beta
    return float(loss @ odds - weight @ np.logaddexp(0.0, odds) - 0.5 * ridge @ beta**2)


def _sigmoid(odds: Array) -> Array:
    out: Array = 1.0 / (1.0 + np.exp(-np.clip(odds, -40, 40)))
    return out
