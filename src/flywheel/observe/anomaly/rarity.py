"""How rarely a size as large as this one was seen before: tail probabilities from counts that fade.

Sizes are counted in buckets of equal ratio, as in DDSketch (Masson, Rim & Lee 2019), six to a factor of two, so nothing
is assumed about their distribution or unit. Old counts fade exponentially (Cormode, Korn & Tirthapura 2008).
"""

from __future__ import annotations

from math import log2, log10
from typing import Any

__all__ = ["Rarity"]

BUCKETS, BLOCK, MIDDLE = 512, 32, 256
PER_DOUBLING = 6.0
DOUBLINGS_A_DIGIT = 3.321928094887362
STEEPEST = 6.0
"""Most digits that a size ten times the largest so far adds."""
RENEW = 1e100
"""Counts are rescaled before they could overflow."""


class Rarity:
    """Surprise at sizes, -log10 of the share of what was seen that is at least as large, with memory of about `window`.

    `beyond` holds the digits that the last size deserves on top for being larger than nearly all before it. O(1) a
    size (two sums over at most 16 and 32 counts), whatever the window; 4 kB of state.

    >>> rare = Rarity(window=1000)
    >>> usual = [rare.surprise(1.0 + step % 10) for step in range(1000)]
    >>> rare.surprise(5.0) < 1.0 < rare.surprise(50.0)
    True
    """

    __slots__ = ("_blocks", "_counts", "_grow", "_one", "_origin", "_total", "beyond")

    def __init__(self, window: float) -> None:
        self._counts = [0.0] * BUCKETS
        self._blocks = [0.0] * (BUCKETS // BLOCK)
        self._total = 0.0
        self._one = 1.0
        self._grow = 1.0 + 1.0 / window
        self._origin: float | None = None
        self.beyond = 0.0

    def surprise(self, size: float) -> float:
        """Say how surprising a size (0 or more) is beside those before it, then count it."""
        if size <= 0.0:
            bucket = 0
        else:
            if self._origin is None:
                self._origin = log2(size)
            bucket = int((log2(size) - self._origin) * PER_DOUBLING + MIDDLE)
            if bucket < 1:
                bucket = 1
            elif bucket >= BUCKETS:
                bucket = BUCKETS - 1
        counts, blocks, one = self._counts, self._blocks, self._one
        block = bucket // BLOCK
        here = counts[bucket]
        above = sum(counts[bucket + 1 : (block + 1) * BLOCK]) + sum(blocks[block + 1 :])
        share = (above + 0.5 * (here + one)) / (self._total + one)
        counts[bucket] = here + one
        blocks[block] += one
        self._total += one
        one *= self._grow
        self._one = one
        if one > RENEW:
            self._renew()
        self.beyond = self._extrapolate(bucket) if above + here < 0.5 * self._one and self._total > 30.0 else 0.0
        return -log10(share)

    def unasked(self) -> float:
        """No surprise, where there is no size to judge."""
        self.beyond = 0.0
        return 0.0

    def _extrapolate(self, bucket: int) -> float:
        """Digits to add for a size past nearly all that was seen, along the slope of the upper tenth in log-log.

        That is a Pareto tail (Hill 1975), but never flatter than counted nor steeper than STEEPEST, about that of a
        normal distribution three deviations out.
        """
        total = self._total - self._one / self._grow
        mass, at, edge, rare = 0.0, bucket, -1, 0.0
        while at > 0 and mass < 0.1 * total:
            at -= 1
            mass += self._counts[at]
            if edge < 0 and mass >= 0.5 * self._one:
                edge, rare = at, mass
        if edge < 1:
            return STEEPEST
        slope = STEEPEST
        if edge > at:
            slope = min(STEEPEST, log10(mass / rare) * DOUBLINGS_A_DIGIT * PER_DOUBLING / (edge - at))
        return slope * (bucket - edge) / (DOUBLINGS_A_DIGIT * PER_DOUBLING)

    def _renew(self) -> None:
        one = self._one
        self._counts = [count / one for count in self._counts]
        self._blocks = [sum(self._counts[at : at + BLOCK]) for at in range(0, BUCKETS, BLOCK)]
        self._total = sum(self._blocks)
        self._one = 1.0

    def state(self) -> dict[str, Any]:
        """All of it as JSON values; only buckets that hold something."""
        return {
            "counts": {str(at): count for at, count in enumerate(self._counts) if count},
            "total": self._total,
            "one": self._one,
            "grow": self._grow,
            "origin": self._origin,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Rarity:
        """Bring back what `state` gave."""
        back = cls(1.0)
        for at, count in state["counts"].items():
            back._counts[int(at)] = float(count)
        back._blocks = [sum(back._counts[at : at + BLOCK]) for at in range(0, BUCKETS, BLOCK)]
        back._total, back._one, back._grow = float(state["total"]), float(state["one"]), float(state["grow"])
        back._origin = None if state["origin"] is None else float(state["origin"])
        return back
