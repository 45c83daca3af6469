"""What earlier spins say of this one: a product in which new labels have paid so far is likely to gain again.

A spin brings a few dozen labels, and so few tell a gain of two points from none only by luck. The spins before it are
evidence too. Each was judged on labels of its own, so their gains scatter about what a retraining of this product
brings on average, by how much retrainings differ, and by the error of each. From that follows what the next gain is
likely to be before its labels are seen, and with them how likely it is that there is no gain at all. Where nothing has
been gained so far the same arithmetic makes the gate stricter than one spin's labels alone would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

__all__ = ["allowed_no_gain", "no_gain", "unpaid"]

_SCEPTIC = 0.03
"""Before any spin has been judged: the mean gain is zero, give or take three points."""
_SPREADS = np.linspace(0.0, 0.12, 25)
"""By how much true gains of different spins may differ; small spreads are likelier (a half-normal of four points)."""
_USUAL = 0.04


_EVEN = 0.5
"""What is as likely to have gained nothing as not is never let through, however much room there is."""
_REMEMBERED = 4
"""So many releases leave room: what was certain long ago says little of a product that has stopped to gain."""


def allowed_no_gain(level: float, released: Sequence[float] = ()) -> float:
    """How probable "no gain" may be for the next release, so that with the four before it the mean is within `level`.

    `released` are the probabilities of those before, the oldest first. Their mean is the share of releases that are
    expected to have gained nothing, given all that was seen (the Bayesian false discovery rate: Müller, Parmigiani,
    Robert and Rousseau 2004, "Optimal sample size for multiple testing"). Never above one half, and nothing after
    doubtful ones until proved ones have paid for them.

    >>> allowed_no_gain(0.1), round(allowed_no_gain(0.1, [0.01, 0.02]), 2), allowed_no_gain(0.1, [0.0] * 9)
    (0.1, 0.27, 0.5)
    """
    last = released[-_REMEMBERED:]
    room = level * (len(last) + 1) - sum(last)
    return min(_EVEN, max(0.0, room))


def unpaid(gains: Sequence[tuple[float, float]]) -> float:
    """The probability that retrainings of this product gain nothing on average, from gain and error of each.

    The same model as in `no_gain`. O(spins).

    >>> unpaid([(0.03, 0.02)] * 4) < 0.1 < unpaid([(0.03, 0.02), (-0.02, 0.02)]) < unpaid([]) == 0.5
    True
    """
    mean, precision, fits = _average(gains)
    weights = np.exp(fits - fits.max())
    return float(weights @ np.exp(log_ndtr(-mean * np.sqrt(precision))) / weights.sum())


def no_gain(gain: float, error: float, earlier: Sequence[tuple[float, float]] = ()) -> float:
    """The probability that a spin gained nothing, from its own gain and those of `earlier` spins, each with its error.

    A normal random-effects model (Rubin 1981; Gelman et al., Bayesian Data Analysis, ch. 5): the spread between spins
    is averaged over a grid, all else is closed form. O(spins). `error` must be above 0.

    >>> alone = no_gain(0.02, 0.02)
    >>> no_gain(0.02, 0.02, [(0.04, 0.02)] * 4) < alone < no_gain(0.02, 0.02, [(0.0, 0.02)] * 4)
    True
    """
    mean, precision, fits = _average(earlier)
    expected = 1 / precision + _SPREADS**2
    fits -= 0.5 * ((gain - mean) ** 2 / (expected + error**2) + np.log(expected + error**2))
    weights = np.exp(fits - fits.max())
    sharp = 1 / error**2 + 1 / expected
    centre = (gain / error**2 + mean / expected) / sharp
    none = np.exp(log_ndtr(-centre * np.sqrt(sharp)))
    return float(weights @ none / weights.sum())


def _average(gains: Sequence[tuple[float, float]]) -> tuple[NDArray[np.float64], ...]:
    """Expectation and precision of the mean gain for each spread on the grid, and how well each spread fits (ln)."""
    told = np.array([*gains], dtype=np.float64).reshape(-1, 2)
    noise = told[None, :, 1] ** 2 + _SPREADS[:, None] ** 2
    precision = 1 / _SCEPTIC**2 + (1 / noise).sum(axis=1)
    mean = (told[None, :, 0] / noise).sum(axis=1) / precision
    # ln p(gains | spread), the mean gain integrated out
    fits = -0.5 * (np.log(noise).sum(axis=1) + np.log(precision) + (told[None, :, 0] ** 2 / noise).sum(axis=1))
    fits += 0.5 * mean**2 * precision - 0.5 * (_SPREADS / _USUAL) ** 2
    return mean, precision, fits
