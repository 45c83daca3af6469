"""A metric by the hour, with the band in which it usually lies at that hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from flywheel.errors import InvalidConfig
from flywheel.observe.levels import biweight, levels, measure

__all__ = ["METRICS", "Usual", "usual"]

METRICS = (
    "volume", "errors", "failures", "negative", "feedback", "confidence", "latency_p50", "latency_p95", "sentiment",
)  # fmt: skip
"""What can be asked for."""
_FEWEST = 4
_PAST_DAYS = 42
_WEEKS = 21
_FEW = 2.0
"""The biweight scale of few values is too small by about this share of 1 / n: by simulation (tests/observe)."""


@dataclass(frozen=True, slots=True)
class Usual:
    """One hour: what was measured, and where it would lie, 19 times in 20, were it like the same hours before it."""

    at: datetime
    value: float
    n: int
    """How many interactions are behind it; of failures, how many labels."""
    low: float | None = None
    """None where fewer than four of the same hours came before."""
    high: float | None = None

    @property
    def outside(self) -> bool:
        """Whether it lies outside its band."""
        return self.low is not None and self.high is not None and not self.low <= self.value <= self.high


def usual(rows: Iterable[Mapping[str, Any]], name: str, *, last: int = 168, zone: str = "UTC") -> list[Usual]:
    """The last hours of a metric, each with its usual band: only what came before an hour speaks for it.

    `rows` are those of `metrics("hour")`. The same hours are those of the same weekday where there are three weeks,
    else those of every day, of the six weeks before. The band is a 95 % prediction interval around their biweight
    location, from their biweight scale and Student's t, and for a share at least as wide as chance makes it; it stays
    within what the metric can be. Raises `InvalidConfig` for a name that is none of `METRICS`. O(last × days).

    >>> from datetime import UTC, timedelta
    >>> rows = [{"at": datetime(2026, 1, 5, 9, tzinfo=UTC) + timedelta(days=d), "volume": v}
    ...         for d, v in enumerate([100, 104, 98, 102, 99, 101, 300])]
    >>> [(one.value, one.outside) for one in usual(rows, "volume")][-2:]
    [(101.0, False), (300.0, True)]
    """
    if name not in METRICS:
        raise InvalidConfig(f"there is no metric {name!r}. There are {', '.join(METRICS)}")
    seen = levels(rows, name, zone=zone, hourly=True)
    if not seen.values.size:
        return []
    share = measure(name).unit == "%" or name == "confidence"
    days, hours, weekdays = seen.day, seen.hour, seen.weekday
    found = []
    for place in range(max(0, seen.values.size - last), seen.values.size):
        since = int(np.searchsorted(days, days[place] - _PAST_DAYS))
        same = hours[since:place] == hours[place]
        if days[place] - days[0] >= _WEEKS:
            same &= weekdays[since:place] == weekdays[place]
        before = seen.values[since:place][same]
        low = high = None
        if before.size >= _FEWEST:
            centre, spread = biweight(before)
            if measure(name).unit == "%":
                spread = max(spread, _chance(before, seen.volume[since:place][same], float(seen.volume[place])))
            few = 1 + _FEW / before.size
            wide = _students(before.size - 1) * spread * float(np.sqrt(1 + 1 / before.size)) * few
            low, high = centre - wide, centre + wide
            if name != "sentiment":
                low = max(0.0, low)
            if share:
                high = min(1.0, high)
        found.append(Usual(seen.at[place], float(seen.values[place]), int(seen.volume[place]), low, high))
    return found


@lru_cache(1024)
def _students(freedom: int) -> float:
    """The 97.5 % point of Student's t: the same few are wanted over and over."""
    return float(stats.t.ppf(0.975, freedom))


def _chance(shares: Any, volumes: Any, n: float) -> float:
    """How far a share of n cases is thrown by chance alone, were it what the same hours had together."""
    usually = float((shares * volumes).sum() + 1.0) / float(volumes.sum() + 2.0)
    return float(np.sqrt(max(usually * (1.0 - usually), 0.0) / max(n, 1.0)))
