"""Shares and rates with their intervals."""

from __future__ import annotations

from scipy.stats import beta, gamma

from flywheel.records import Interval

__all__ = ["jeffreys", "rate"]


def jeffreys(hits: float, n: float, level: float = 0.95) -> Interval:
    """A share with its Jeffreys interval (Brown, Cai & DasGupta 2001); `hits` and `n` may be effective numbers.

    >>> jeffreys(0, 0).high
    1.0
    """
    if n <= 0:
        return Interval(0.0, 0.0, 1.0, 0, level)
    tail = (1 - level) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits + 0.5, n - hits + 0.5))
    high = 1.0 if hits >= n else float(beta.ppf(1 - tail, hits + 0.5, n - hits + 0.5))
    return Interval(round(hits / n, 6), round(low, 6), round(high, 6), round(n), level)


def rate(count: float, variance: float, level: float = 0.95) -> Interval:
    """An expected count with a gamma interval of the same mean and variance; for a plain count of events, pass the
    count as its variance, and half an event is added to both as in the Jeffreys interval of a Poisson mean.

    >>> rate(0.0, 0.0).low
    0.0
    """
    tail = (1 - level) / 2
    mean, spread = count + 0.5, max(variance, count) + 0.5
    shape, scale = mean**2 / spread, spread / mean
    low = 0.0 if count <= 0 else float(gamma.ppf(tail, shape, scale=scale))
    high = float(gamma.ppf(1 - tail, shape, scale=scale))
    return Interval(round(count, 6), round(min(low, count), 6), round(max(high, count), 6), round(count), level)
