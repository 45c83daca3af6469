"""From the scores of a text to shares and a confidence: classes, the catch-all, and how like anything known it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.ports import Predictions
from flywheel.train.confidence import fit_correction, fit_temperature, softmax
from flywheel.train.outside import Outside, called_outside, energy, fit_outside, fit_unseen

__all__ = ["Certainty", "fit_certainty"]

Array = NDArray[Any]

EXPECTED = 20.0
"""The temperature factor that least-squares scores (0 to 1) of short texts usually need."""

_NO_CATCH_ALL = Outside()
_NEVER = -1e9


@dataclass(frozen=True, slots=True)
class Certainty:
    """`temperature` makes shares of scores; `slope` and `shift` a confidence of the best share. `outside` is the
    catch-all; where there is none, `by_energy` and `constant` say how probably a text belongs to no known class, and
    the best share counts the less."""

    temperature: float = EXPECTED
    slope: float = 1.0
    shift: float = 0.0
    by_energy: float = 0.0
    constant: float = _NEVER
    outside: Outside = _NO_CATCH_ALL

    def shares(self, scores: Array) -> NDArray[np.float64]:
        """n × k scores to n × k shares."""
        return softmax(scores * self.temperature) if self.outside.column < 0 else self.outside.shares(scores)

    def answer(self, scores: Array, labels: Sequence[Any]) -> Predictions:
        """The class with the most of each row, and the probability that it is right."""
        shares = self.shares(scores)
        best = shares.argmax(axis=1)
        top = shares[np.arange(len(best)), best]
        sure = top
        if len(labels) > 1:
            sure = 1 / (1 + np.exp(-(self.slope * _logit(top * (1 - self.unlike(scores))) + self.shift)))
        return Predictions([labels[i] for i in best], sure, tuple(labels), shares)

    def unlike(self, scores: Array) -> NDArray[np.float64]:
        """The probability that each text belongs to no class that was taught; 0 where a catch-all says so itself."""
        if self.outside.column >= 0 or self.constant <= _NEVER:
            return np.zeros(len(scores))
        line = self.by_energy * energy(scores, self.temperature) + self.constant
        found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(line, -500, 500)))
        return found

    def facts(self) -> list[float]:
        """For `model.json`; `Certainty.of` brings it back."""
        return [float(v) for v in (self.temperature, self.slope, self.shift, self.by_energy, self.constant)] + (
            self.outside.facts()
        )

    @classmethod
    def of(cls, facts: Sequence[float]) -> Certainty:
        """From what `facts` gave."""
        return cls(facts[0], facts[1], facts[2], facts[3], facts[4], Outside(int(facts[5]), *facts[6:]))


def fit_certainty(
    scores: Array,
    y: Array,
    weights: Array,
    labels: Sequence[Any],
    strange: Array | None = None,
    named: str = "",
) -> Certainty:
    """Fit to held-out scores (n × k) of classes `y`: a temperature (Guo et al. 2017), the catch-all, then a logistic
    correction of the best share (Platt 1999).

    `strange` are the scores of the same rows with their whole class left out (its column counts for nothing); `named`
    is the catch-all's label where the user says which it is. With few rows the fits lean on what is usual: the
    penalties are those of normal priors with standard deviation 1 (0.5 for the correction). Where there is a catch-all,
    its cases count as much as `outside.SHARE` wants.
    """
    if len(y) == 0 or scores.shape[1] < 2:
        return Certainty()
    columns = [i for i, label in enumerate(labels) if named and str(label).casefold() == named.casefold()]
    outside = fit_outside(scores, y, weights, next(iter(columns), None), called_outside(labels), EXPECTED)
    by_energy, constant = 0.0, _NEVER
    if outside.column >= 0:
        start = Certainty(outside.temperature, outside=outside)
        weights = outside.balanced(y, weights)
    else:
        start = Certainty(fit_temperature(scores, y, weights, EXPECTED))
        if strange is not None and scores.shape[1] > 2:
            rows = np.arange(len(y))
            away = strange.copy()
            away[rows, y] = -1.0  # less than any score, so it has no part in the soft maximum
            by_energy, constant = fit_unseen(
                energy(scores, start.temperature), energy(away, start.temperature), weights, weights
            )
    shares = start.shares(scores)
    best = shares.argmax(axis=1)
    start = replace(start, by_energy=by_energy, constant=constant)
    z = _logit(shares[np.arange(len(y)), best] * (1 - start.unlike(scores)))
    slope, shift = fit_correction(z, best == y, weights)
    return replace(start, slope=slope, shift=shift)


def _logit(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(shares, 1e-6, 1 - 1e-6)
    logits: NDArray[np.float64] = np.log(inside / (1 - inside))
    return logits
