"""How often an answer of a given confidence is right: learnt from judged answers, with its own uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from flywheel.observe.bets import Floats

__all__ = ["Calibration"]

_MOST_BINS, _PER_BIN = 200, 40
_BLOCKS, _DRAWS = 60, 200


class Calibration:
    """The share of right answers by confidence, never falling as confidence rises (isotonic, Zadrozny & Elkan 2002).

    Confidence is cut into bins of equally many judged answers (at most 200). A window enters as its counts by bin, so
    that an estimate costs one pass over it. The judged answers, in the order of time, are drawn again in whole blocks
    (Künsch 1989) to say how well the curve is known.

    >>> rng = np.random.default_rng(0)
    >>> scores = rng.random(4000)
    >>> curve = Calibration.fit(scores, rng.random(4000) < scores**2)
    >>> bool(abs(curve.probability(np.array([0.5]))[0] - 0.25) < 0.05)
    True
    """

    def __init__(self, edges: Floats, fitted: Floats, draws: Floats) -> None:
        self.edges, self.fitted, self.draws = edges, fitted, draws

    @classmethod
    def fit(cls, scores: Floats, right: Floats, weight: Floats | None = None, *, seed: int = 0) -> Calibration:
        """Learn from `scores` and `right` (0 or 1) of n judged answers in order of time, each standing for `weight`.

        O(n log n).
        """
        mass = np.ones(scores.size) if weight is None else weight
        bins = int(np.clip(scores.size // _PER_BIN, 1, _MOST_BINS))
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])) if bins > 1 else np.empty(0)
        place = np.searchsorted(edges, scores, "right")
        size = edges.size + 1
        blocks = min(_BLOCKS, max(scores.size // 5, 1))
        cell = (np.arange(scores.size) * blocks // scores.size) * size + place
        all_mass = np.bincount(cell, mass, blocks * size).reshape(blocks, size)
        all_hits = np.bincount(cell, mass * right, blocks * size).reshape(blocks, size)
        fitted = _curve(all_mass.sum(axis=0), all_hits.sum(axis=0))
        times = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), _DRAWS).astype(float)
        drawn_mass, drawn_hits = times @ all_mass, times @ all_hits
        draws = np.array([_curve(m, h) for m, h in zip(drawn_mass, drawn_hits, strict=True)])
        return cls(edges, fitted, draws)

    def places(self, scores: Floats) -> Any:
        """The bin of each score."""
        return np.searchsorted(self.edges, scores, "right")

    def probability(self, scores: Floats) -> Floats:
        """The probability that an answer of each confidence is right. O(n log bins)."""
        chance: Floats = self.fitted[self.places(scores)]
        return chance

    def mean(self, scores: Floats, weight: Floats | None = None) -> tuple[float, float]:
        """The expected share of right answers among `scores`, and its standard error from not knowing the curve."""
        counts = np.bincount(self.places(scores), weight, self.fitted.size).astype(np.float64)
        counts /= counts.sum()
        return float(counts @ self.fitted), float((self.draws @ counts).std(ddof=1))


def _curve(mass: Floats, hits: Floats) -> Floats:
    """Isotonic shares by bin; bins that a draw left empty take on their neighbours' share."""
    there = mass > 0
    shares = isotonic_regression(hits[there] / mass[there], weights=mass[there]).x
    if there.all():
        return np.asarray(shares)
    return np.asarray(np.interp(np.arange(mass.size), np.flatnonzero(there), shares))
