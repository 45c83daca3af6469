"""The random part of a label budget: drawn from the whole window, with chances that estimate accuracy best.

An answer that is surely right or surely wrong is hardly worth a label when accuracy is to be estimated; the best
chances are as the standard deviation of being right, √(p(1 − p)) with p the probability of a failure (Neyman 1934; with
a model for p, Zrnic and Candès 2024, "Active statistical inference"). Such labels also teach more than evenly drawn
ones do (`bench/random_part.py`).

Fixed size, unequal chances and one sort in any engine: Pareto sampling (Rosén 1997). A case is taken when its uniform
number's odds, over the odds of the chance it should have, are among the smallest. The chance that it gets is the one it
should have, to within a few thousandths of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

__all__ = ["Spread", "audit_size", "in_random_order"]

_LEAST_AUDIT = 0.2
_SUREST = 0.005
"""No failure counts as less likely than this, nor as more likely than its complement: a model is never that sure."""
_MOST = 0.9
"""No case of a window is drawn with a greater chance than this by the random part alone."""


def audit_size(budget: int, share: float) -> int:
    """How many of `budget` labels are the random part: the share, at least 20 %, rounded up.

    >>> audit_size(40, 0.2), audit_size(1, 0.2), audit_size(12, 0.5)
    (8, 1, 6)
    """
    return min(budget, math.ceil(max(_LEAST_AUDIT, share) * budget - 1e-9))


@dataclass(frozen=True, slots=True)
class Spread:
    """How uncertain the answers of a window are: how many cases, and the sum, least and largest of their sizes.

    The size of a case is √(p(1 − p)) plus `even`, which is 0 but where some would have to be drawn with certainty.
    """

    n: int
    total: float
    least: float
    most: float
    even: float = 0.0

    @classmethod
    def of(cls, window: Any) -> Spread:
        """Measure a window, an Ibis table with `p_failure`: one pass in the engine."""
        size = _size(window)
        measured = window.aggregate(n=window.count(), total=size.sum(), least=size.min(), most=size.max())
        row = measured.to_pyarrow().to_pylist()[0]
        return cls(int(row["n"]), *(float(row[name] or 0.0) for name in ("total", "least", "most")))

    def for_draws(self, draws: int) -> Spread:
        """The same with chances so even that `draws` cases can be drawn and none is certain."""
        lacking, room = draws * self.most - _MOST * self.total, _MOST * self.n - draws
        if lacking <= 0:
            return self
        # Where hardly anything is left out, everything has about the same chance.
        even = lacking / room if room > 0 else 1e6
        return Spread(self.n, self.total + even * self.n, self.least + even, self.most + even, even)

    def size(self, p_failure: float | None) -> float:
        """The size of one case."""
        p = 0.5 if p_failure is None else min(max(p_failure, _SUREST), 1 - _SUREST)
        return math.sqrt(p * (1 - p)) + self.even

    def evenly(self, p_failure: float | None) -> float:
        """The probability that even chances, small enough for all, would have drawn a case that was drawn."""
        return self.least / self.size(p_failure)


def _size(window: Any) -> Any:
    p = window.p_failure.fill_null(0.5).clip(lower=_SUREST, upper=1 - _SUREST)
    return (p * (1 - p)).sqrt()


def in_random_order(
    window: Any, spread: Spread, draws: int, limit: int, generator: np.random.Generator
) -> list[tuple[str, float | None]]:
    """The first `limit` cases of a window in an order of which the first `draws` are the random part; id and p_failure.

    The column `rand` is uniform and belongs to the id (permanent random numbers, Ohlsson 1995); multiplying by a large
    whole number and shifting, both drawn anew, and keeping the fraction gives a fresh uniform number that any engine
    computes alike.
    """
    factor = int(generator.integers(2**16, 2**20))
    shift = float(generator.random())
    mixed = window.rand * factor + shift
    uniform = (mixed - mixed.floor()).clip(lower=1e-12, upper=1 - 1e-12)
    chance = (_size(window) + spread.even) * (min(draws, spread.n) / spread.total)
    chance = chance.clip(lower=1e-12, upper=1 - 1e-9)
    order = (uniform / (1 - uniform)) * ((1 - chance) / chance)
    ordered = window.mutate(_order=order).order_by([ibis.asc("_order"), "id"]).limit(limit)
    rows = ordered.select("id", "p_failure").to_pyarrow()
    return list(zip(rows["id"].to_pylist(), rows["p_failure"].to_pylist(), strict=True))
