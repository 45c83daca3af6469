"""The tests behind a verdict. All are one-sided, and small samples are the normal case.

Units are groups of near-duplicates, not examples: twenty copies of one question are one piece of evidence.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import bdtr, betaincinv, ndtri

__all__ = ["labels_needed", "loss_interval", "proportion", "sign_test", "smallest_loss_seen", "spent_alpha"]


def sign_test(wins: int, losses: int) -> float:
    """Exact one-sided McNemar test: chance of `wins` or more among the pairs that differ, if both sides were as good.

    Pairs on which both are right or both wrong say nothing about which is better and do not count (McNemar 1947).

    >>> round(sign_test(9, 1), 4)
    0.0107
    """
    return 1.0 if wins == 0 else float(bdtr(losses, wins + losses, 0.5))


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
    """The level at which look number `look` (from 1) at one champion's fresh labels is tested.

    Each of the first five looks, which bring new labels of their own, is tested at 0.6 alpha; from then on the set is
    being spent, and look k is tested at 0.6 alpha · (5/k)². A bound over all looks by summing (alpha · 6/π²k²) would be
    safe but costs real gains their release; `bench/gate.py` measures how often *any* of five looks lets a candidate
    through that is no better.

    >>> round(spent_alpha(0.05, 1), 4), round(spent_alpha(0.05, 5), 4), round(spent_alpha(0.05, 10), 4)
    (0.03, 0.03, 0.0075)
    """
    return 0.6 * alpha * min(1.0, (5 / max(look, 1)) ** 2)


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
