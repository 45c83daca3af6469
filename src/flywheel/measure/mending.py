"""How long it takes from a failure to its fix, with those counted that still wait for theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flywheel.records import TimeToFix

__all__ = ["time_to_fix"]


def time_to_fix(fixed: Sequence[float], unfixed: Sequence[float] = (), *, level: float = 0.95) -> TimeToFix:
    """The median and the quartiles of the days from failure to fix, and the median's interval.

    `fixed` are the days that fixes took, `unfixed` the days that modes without a fix have lived so far: leaving these
    out would make every slow fix look quick until the day it comes. The curve is Kaplan and Meier's (1958), the
    median's interval that of Brookmeyer and Crowley (1982) on the log-log scale. O(n²).

    >>> found = time_to_fix([2.0, 4.0, 6.0, 8.0])
    >>> found.median, found.quarter, found.three_quarters, found.n
    (4.0, 2.0, 6.0, 4)
    >>> time_to_fix([3.0], [10.0, 10.0]).median is None
    True
    """
    n, waiting = len(fixed), len(unfixed)
    if not n:
        return TimeToFix(
            median=None, low=None, high=None, quarter=None, three_quarters=None, n=0, unfixed=waiting, level=level
        )
    times, still = _survival(fixed, unfixed)
    low, high = _around(times, still, fixed, unfixed, level)
    return TimeToFix(
        median=_first(times, still, 0.5), low=low, high=high, quarter=_first(times, still, 0.75),
        three_quarters=_first(times, still, 0.25), n=n, unfixed=waiting, level=level,
    )  # fmt: skip


def _survival(fixed: Sequence[float], unfixed: Sequence[float]) -> tuple[list[float], list[float]]:
    """The days on which something was fixed, and the share that is unfixed after each."""
    times, still, share = sorted(set(fixed)), [], 1.0
    for at in times:
        share *= 1 - _at(fixed, at) / _risk(fixed, unfixed, at)
        still.append(share)
    return times, still


def _around(
    times: Sequence[float], still: Sequence[float], fixed: Sequence[float], unfixed: Sequence[float], level: float
) -> tuple[float | None, float | None]:
    """The days at which an unfixed share of one half is not refuted: the first and, where there is one, the last."""
    from scipy.stats import norm

    z, summed = float(norm.ppf((1 + level) / 2)), 0.0
    lows: list[float] = []
    highs: list[float] = []
    for at, share in zip(times, still, strict=True):
        events, risk = _at(fixed, at), _risk(fixed, unfixed, at)
        if events == risk or share <= 1e-12:  # nobody is left: Greenwood's variance has no value, the curve is 0
            lows.append(0.0)
            highs.append(highs[-1] if highs else 1.0)
            continue
        summed += events / (risk * (risk - events))
        half = z * math.sqrt(summed) / abs(math.log(share))
        lows.append(share ** math.exp(half))
        highs.append(share ** math.exp(-half))
    return _first(times, lows, 0.5), _first(times, highs, 0.5)


def _first(times: Sequence[float], still: Sequence[float], level: float) -> float | None:
    return next((at for at, share in zip(times, still, strict=True) if share <= level + 1e-12), None)


def _at(fixed: Sequence[float], at: float) -> int:
    return sum(one == at for one in fixed)


def _risk(fixed: Sequence[float], unfixed: Sequence[float], at: float) -> int:
    return sum(one >= at for one in (*fixed, *unfixed))
