"""Evidence about a rate as the wealth of bets against it: sums that merge, and wealths that may be read at any time.

A bet on "more than θ" multiplies its wealth by 1 + λ u (x - θ) at each loss x in [0, 1] of weight u in (0, 1]. If the
rate is at most θ, nobody expects to win, whatever the order and the moment of looking: the chance that wealth W
ever reaches 1/α is at most α (Ville 1939; Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by
betting"). Bets of twelve sizes share the purse, so that no size has to be known in advance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["BETS", "Floats", "Tally", "known_beyond", "log_wealth", "purse", "rate_interval"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

BETS: Floats = np.geomspace(0.001, 0.92, 12)
"""Shares of the wealth at stake when the loss goes against the bet: about the shift, in shares, each is best for."""
_KEPT = 0.02
"""The share of the purse that is never bet, so that evidence gathered elsewhere cannot be lost altogether."""
_LOSSES: Floats = np.linspace(0.0, 1.0, 33)
_WEIGHTS: Floats = np.concatenate([[0.0], 2.0 ** np.arange(-11, 0.25, 0.5)])


class Tally:
    """How often each loss came with each weight: all that bets need to know of any number of cases.

    Losses and weights between the nodes of a fixed grid are shared out between their neighbours so that their means
    stay. Because the logarithm is concave, the wealth computed from the shares is at most the true one: evidence is
    never overstated. Answers that are right or wrong, and weights of 1, lie on nodes and lose nothing.

    >>> tally = Tally.of(np.array([1.0, 0.0, 0.0, 0.5]), np.ones(4))
    >>> tally.n, tally.rate
    (4.0, 0.375)
    """

    def __init__(self, counts: Floats | None = None) -> None:
        self.counts = np.zeros((_LOSSES.size, _WEIGHTS.size)) if counts is None else counts

    @classmethod
    def of(cls, losses: Floats, weights: Floats, times: Floats | None = None) -> Tally:
        """Count `losses` (0 to 1) with `weights` (over the heaviest: 0 to 1), each seen `times` times. O(n)."""
        many = np.ones(losses.size) if times is None else times
        row, over = _place(losses, _LOSSES)
        column, beyond = _place(weights, _WEIGHTS)
        flat = np.zeros(_LOSSES.size * _WEIGHTS.size)
        for down, part in ((0, 1 - over), (1, over)):
            for right, share in ((0, 1 - beyond), (1, beyond)):
                amount = many * part * share
                if amount.any():
                    cell = np.minimum(row + down, _LOSSES.size - 1) * _WEIGHTS.size
                    cell = cell + np.minimum(column + right, _WEIGHTS.size - 1)
                    flat += np.bincount(cell, amount, flat.size)
        return cls(flat.reshape(_LOSSES.size, _WEIGHTS.size))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts)

    @property
    def n(self) -> float:
        """How many cases."""
        return float(self.counts.sum())

    @property
    def mass(self) -> float:
        """The sum of the weights."""
        return float((self.counts * _WEIGHTS).sum())

    @property
    def lost(self) -> float:
        """The sum of weight times loss."""
        return float((self.counts * _WEIGHTS * _LOSSES[:, None]).sum())

    @property
    def rate(self) -> float:
        """The weighted mean loss (Hájek); 0 without a case."""
        return self.lost / self.mass if self.mass else 0.0

    @property
    def effective(self) -> float:
        """How many equally weighted cases these are worth (Kish 1965)."""
        squares = float((self.counts * _WEIGHTS**2).sum())
        return self.mass**2 / squares if squares else 0.0

    def cells(self) -> tuple[Floats, Floats, Floats]:
        """Losses, weights and counts of what was seen at all."""
        rows, columns = np.nonzero(self.counts)
        return _LOSSES[rows], _WEIGHTS[columns], self.counts[rows, columns]

    def state(self) -> list[list[float]]:
        """The counts as JSON: row, column, count."""
        return [[int(i), int(j), float(self.counts[i, j])] for i, j in zip(*np.nonzero(self.counts), strict=True)]

    @classmethod
    def from_state(cls, cells: Iterable[Iterable[float]]) -> Tally:
        """Bring back what `state` wrote."""
        tally = cls()
        for i, j, count in cells:
            tally.counts[int(i), int(j)] += count
        return tally


def _place(values: Floats, nodes: Floats) -> tuple[Any, Floats]:
    """The node at or under each value, and how far on the way to the next it lies, 0 to 1."""
    at = np.clip(np.searchsorted(nodes, values, "right") - 1, 0, nodes.size - 2)
    over = np.clip((values - nodes[at]) / (nodes[at + 1] - nodes[at]), 0.0, 1.0)
    return at, over


def log_wealth(tally: Tally, rates: Floats, *, more: bool = True, sizes: Floats | None = None) -> Floats:
    """The log wealth of each bet, (rates, bets), against "the rate is at most θ" (`more`), or "at least θ".

    `rates` lie strictly between 0 and 1. `sizes` are other bets, in shares of the wealth at stake as in `BETS`, (bets,)
    or (rates, bets). O(cells of the tally × rates × bets).
    """
    losses, weights, counts = tally.cells()
    side = 1.0 if more else -1.0
    size = (BETS if sizes is None else sizes) / (rates if more else 1.0 - rates)[:, None]
    total = np.zeros(size.shape)
    for loss, weight, count in zip(losses, weights, counts, strict=True):
        total += count * np.log1p(side * size * (weight * (loss - rates))[:, None])
    return total


def purse(wealth: Floats, *, keep: bool = True) -> Floats:
    """The log of the shared wealth by rate: all bets got the same stake, and `keep` a little that is never bet."""
    top = wealth.max(axis=1)
    together: Floats = top + np.log(np.exp(wealth - top[:, None]).mean(axis=1))
    if keep:
        together = np.logaddexp(together + np.log1p(-_KEPT), np.log(_KEPT))
    return together


def known_beyond(tally: Tally, rates: Floats, *, more: bool) -> Floats:
    """The log evidence that the rate lies over (`more`) or under each of `rates`, from cases that are all there.

    Because their number is known before they are looked at, bets can be as large as suits one, two, four and six
    standard errors, which costs less than trying all sizes. O(cells × rates).
    """
    squares = tally.mass**2 / tally.effective
    spread = np.sqrt(rates * (1 - rates) / tally.effective)
    best = spread / (rates * (1 - rates)) * tally.mass / squares
    sizes = (best * (rates if more else 1 - rates))[:, None] * np.array([1.0, 2.0, 4.0, 6.0])
    return purse(log_wealth(tally, rates, more=more, sizes=np.minimum(sizes, BETS[-1])))


def rate_interval(tally: Tally, level: float = 0.95) -> tuple[float, float]:
    """The rates that bets could not refute: a confidence sequence, right at whatever moment it is read.

    Each side has half of 1 - `level`. O(cells × bets).

    >>> low, high = rate_interval(Tally.of(np.repeat([1.0, 0.0], [50, 950]), np.ones(1000)))
    >>> round(low, 3), round(high, 3)
    (0.03, 0.078)
    """
    if not tally.n:
        return 0.0, 1.0
    limit = np.log(2.0 / (1.0 - level))
    ends = []
    for more in (True, False):
        refuted, held = (0.0, tally.rate) if more else (1.0, tally.rate)
        for _ in range(4):
            steps = np.linspace(refuted, held, 34)[1:-1]
            steps = steps[(steps > 1e-12) & (steps < 1 - 1e-12)]
            if steps.size == 0:
                break
            gone = purse(log_wealth(tally, steps, more=more)) >= limit
            last = int(gone.sum())  # evidence only shrinks on the way to the rate seen
            refuted, held = steps[last - 1] if last else refuted, steps[last] if last < steps.size else held
        ends.append(refuted)
    return float(ends[0]), float(ends[1])
