"""The tests behind a verdict. All are one-sided, and small samples are the normal case.

Units are groups of near-duplicates, not examples: twenty copies of one question are one piece of evidence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, betaincinv, ndtri, stdtr

__all__ = [
    "combined",
    "labels_needed",
    "loss_interval",
    "pairs_needed",
    "proportion",
    "shared_error",
    "shared_luck_test",
    "sign_flip_test",
    "sign_test",
    "smallest_loss_seen",
    "spent_alpha",
]


def sign_test(wins: int, losses: int) -> float:
    """Exact one-sided McNemar test: chance of `wins` or more among the pairs that differ, if both sides were as good.

    Pairs on which both are right or both wrong say nothing about which is better and do not count (McNemar 1947).

    >>> round(sign_test(9, 1), 4)
    0.0107
    """
    return 1.0 if wins == 0 else float(bdtr(losses, wins + losses, 0.5))


def combined(p: float, q: float) -> float:
    """One p-value from two: Fisher's method (1932), for tests of one question on labels drawn apart from each other.

    >>> round(combined(0.06, 0.06), 4), combined(1.0, 1.0)
    (0.0239, 1.0)
    """
    both = p * q
    return both * (1 - math.log(both)) if both > 0 else 0.0


def proportion(k: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Exact interval for k of n, `alpha` in each tail (Clopper & Pearson 1934).

    >>> [round(x, 4) for x in proportion(8, 10, 0.025)]
    [0.4439, 0.9748]
    """
    if n == 0:
        return 0.0, 1.0
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - alpha))
    return low, high


def loss_interval(losses: int, wins: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Score interval for the paired difference (losses - wins) / n, `alpha` in each tail (Tango 1998).

    It keeps its level on small samples and with no losses at all, where the usual ±z·s.e. collapses to a point.
    """
    if n == 0:
        return -1.0, 1.0
    z = -float(ndtri(alpha))

    def distance(delta: float, side: float) -> float:
        return _tango(losses, wins, n, delta) - side * z

    edge = 1 - 1e-9
    low = -1.0 if distance(-edge, 1) < 0 else float(brentq(distance, -edge, edge, args=(1.0,)))
    high = 1.0 if distance(edge, -1) > 0 else float(brentq(distance, -edge, edge, args=(-1.0,)))
    return low, high


def _tango(losses: int, wins: int, n: int, delta: float) -> float:
    """Score statistic for a true difference of `delta`; falls as `delta` grows."""
    a = 2 * n
    b = -losses - wins + (2 * n - losses + wins) * delta
    c = -wins * delta * (1 - delta)
    nuisance = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * nuisance + delta * (1 - delta))
    gap = losses - wins - n * delta
    if variance <= 1e-15:
        return 0.0 if abs(gap) < 1e-12 else math.copysign(1e9, gap)
    return gap / math.sqrt(variance)


def smallest_loss_seen(discordant: int, n: int, alpha: float = 0.05) -> float:
    """The smallest loss that n pairs, of which so many differ, can tell from none: the upper limit at no net loss."""
    if n == 0:
        return 1.0
    half = discordant // 2
    return loss_interval(half, half, n, alpha)[1]


def spent_alpha(alpha: float, look: int) -> float:
    """The level at which look number `look` (from 1) at one champion's fresh labels is tested: alpha · 6/π²k².

    The levels of all looks add up to `alpha`, however often one looks and however the looks depend on each other. The
    chance to be let through without being better is bounded by it as far as the test itself keeps its level.

    >>> round(spent_alpha(0.05, 1), 4), round(spent_alpha(0.05, 2), 4), round(spent_alpha(0.05, 5), 4)
    (0.0304, 0.0076, 0.0012)
    """
    return alpha * 6 / (math.pi * max(look, 1)) ** 2


def sign_flip_test(differences: NDArray[np.float64], draws: int = 19_999) -> float:
    """One-sided p-value that paired differences lean above zero, where swapping a pair would change nothing.

    The sum is held against the sums with signs drawn at random (Fisher 1935): every sign with up to 14 pairs, else
    `draws` drawings by one generator, whose p-value is valid as it stands (Phipson and Smyth 2010). The pairs are taken
    as independent: what shifts all of them together passes for a lean. Pairs without a difference say nothing.
    O(n · draws), in blocks.

    >>> sign_flip_test(np.array([0.1, 0.2, 0.3]))
    0.125
    """
    some = differences[differences != 0]
    if len(some) == 0:
        return 1.0
    observed = float(some.sum()) - 1e-12
    if len(some) <= 14:
        signs = 1 - 2 * ((np.arange(2 ** len(some))[:, None] >> np.arange(len(some))) & 1)
        return float((signs @ some >= observed).mean())
    generator, above, left = np.random.default_rng(0), 0, draws
    while left:
        block = min(left, max(1, 4_000_000 // len(some)))
        signs = generator.integers(0, 2, (block, len(some)), dtype=np.int8) * 2 - 1
        above += int((signs @ some >= observed).sum())
        left -= block
    return (above + 1) / (draws + 1)


def shared_error(differences: NDArray[np.float64], trainings: NDArray[np.float64] | None = None) -> float:
    """Standard error of a mean of paired differences between a training and the mean of several others.

    `trainings` holds the mean score of each of those others on the same cases: what one training gives to or takes
    from all cases at once does not show in the pairs, but in how these means differ.
    """
    cases = float(differences.var(ddof=1)) / len(differences) if len(differences) > 1 else 0.0
    luck = 0.0 if trainings is None else float(trainings.var(ddof=1)) * (1 + 1 / len(trainings))
    return math.sqrt(cases + luck)


def shared_luck_test(differences: NDArray[np.float64], trainings: NDArray[np.float64]) -> float:
    """One-sided p-value that a training beats the mean of others like it by more than cases and luck explain.

    Student's t with the error of `shared_error`, its degrees of freedom by Satterthwaite (1946).

    >>> gaps = np.array([0.02, 0.05, 0.04, 0.03, 0.05])
    >>> shared_luck_test(gaps, np.array([0.5, 0.5])) < 0.01 < 0.1 < shared_luck_test(gaps, np.array([0.44, 0.5, 0.56]))
    True
    """
    n, error = len(differences), shared_error(differences, trainings)
    if n < 2 or error == 0:
        return 1.0
    cases = float(differences.var(ddof=1)) / n
    luck = error**2 - cases
    degrees = error**4 / (cases**2 / (n - 1) + luck**2 / (len(trainings) - 1))
    return float(stdtr(degrees, -float(differences.mean()) / error))


def pairs_needed(differences: NDArray[np.float64], alpha: float, power: float = 0.8, most: int = 2000) -> int:
    """How many pairs in all would let `sign_flip_test` reach `alpha`, if differences go on as so far.

    By the normal approximation; a mean below a twentieth of the spread counts as a twentieth.
    """
    n = len(differences)
    spread = float(np.sqrt((differences**2).mean())) if n else 0.0
    lead = max(float(differences.mean()) / spread if spread else 0.0, 0.05)
    return min(most, math.ceil(((-float(ndtri(alpha)) + float(ndtri(power))) / lead) ** 2))


def labels_needed(wins: int, losses: int, n: int, alpha: float, power: float = 0.8, most: int = 2000) -> int:
    """How many pairs in all would let the sign test reach `alpha`, if wins and losses go on as so far (Connor 1987).

    The rates are shrunk by half a pair each; with no lead so far, a lead of one pair in twenty is assumed.
    """
    win, lose = (wins + 0.5) / (n + 1), (losses + 0.5) / (n + 1)
    lead = max(win - lose if n else 0.2, 0.05)
    differ = max(win + lose if n else 0.4, lead)
    z_alpha, z_beta = -float(ndtri(alpha)), float(ndtri(power))
    pairs = ((z_alpha * math.sqrt(differ) + z_beta * math.sqrt(differ - lead**2)) / lead) ** 2
    return min(most, math.ceil(pairs))
