"""On which slices a failure mode concentrates: how many times as common each is among its failures as in traffic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from flywheel.diagnose.claims import Traffic
from flywheel.records import Concentration, Failure, Interval, Slice

if TYPE_CHECKING:
    from flywheel.diagnose.evidence import Window

__all__ = ["concentration", "lift"]

_FEWEST = 3
_PARENTS = 8
"""So many of the strongest single values are also tried two by two."""


def lift(k: int, n: int, traffic_k: int, traffic_n: int, level: float = 0.95) -> Interval:
    """How many times as common something is among n failures as in the whole traffic, with an exact interval.

    The traffic is counted, not sampled, so that only k of n is uncertain (Clopper and Pearson 1934).

    >>> found = lift(30, 40, 200, 1000)
    >>> round(found.estimate, 2), round(found.low, 2), round(found.high, 2)
    (3.75, 2.94, 4.37)
    """
    from scipy.stats import beta

    usual, tail = traffic_k / traffic_n, (1 - level) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    high = float(beta.isf(tail, k + 1, n - k)) if k < n else 1.0
    return Interval(k / n / usual, low / usual, high / usual, n, level)


def concentration(window: Window, failures: Sequence[Failure], *, limit: int = 10) -> list[Concentration]:
    """The slices that the failures of one mode favour: single values of context and input, and conjunctions of two.

    Only those whose lift is surely above 1. All intervals hold at once, with probability 95 %, for every slice that was
    tried or could have been (Bonferroni), so that the largest is not flattered by having been chosen; a conjunction is
    told only where it says more than either of its parts. The surest first. O(window) a column, in the engine.
    """
    traffic = Traffic(window, failures)
    singles = {key: table for key, table in traffic.values.items() if table.traffic_k}
    if not singles:
        return []
    tried = len(singles) + len(singles) * (len(singles) - 1) // 2
    level = 1 - 0.05 / tried
    total = traffic.total

    def told(conditions: Sequence[tuple[str, str]], k: int, seen: int) -> Concentration:
        where = Slice(tuple((name.removeprefix("context."), value) for name, value in conditions))
        found = lift(k, traffic.n, seen, total, level)
        return Concentration(
            where=where, failures=k, of=traffic.n, traffic=seen, traffic_of=total, lift=found, tried=tried
        )

    alone = {key: told([key], one.k, one.traffic_k) for key, one in singles.items() if one.k >= _FEWEST}
    strongest = sorted((key for key, one in alone.items() if one.lift.estimate > 1), key=lambda k: -alone[k].lift.low)
    both = [pair for pair in combinations(strongest[:_PARENTS], 2) if pair[0][0] != pair[1][0]]
    found = [one for one in alone.values() if one.lift.low > 1]
    for (a, b), (k, seen) in zip(both, _together(traffic, both), strict=True):
        if k < _FEWEST or not seen:
            continue
        one = told([a, b], k, seen)
        if one.lift.low > max(1.0, alone[a].lift.estimate, alone[b].lift.estimate):
            found.append(one)
    return sorted(found, key=lambda one: (-one.lift.low, str(one.where)))[:limit]


def _together(
    traffic: Traffic, both: Sequence[tuple[tuple[str, str], tuple[str, str]]]
) -> list[tuple[int, int]]:  # fmt: skip
    """For each pair of values: how many failures and how many interactions have both; one query for all."""
    if not both:
        return []
    seen = traffic.seen

    def has(key: tuple[str, str]) -> object:
        return seen[key[0]].cast("string") == key[1]

    sums = {f"pair{k}": (has(a) & has(b)).sum() for k, (a, b) in enumerate(both)}  # type: ignore[operator]
    row = seen.aggregate(**sums).to_pyarrow().to_pylist()[0]
    here = [sum(all(_worded(one[name]) == value for name, value in pair) for one in traffic.failing) for pair in both]
    return [(k, int(row[f"pair{place}"] or 0)) for place, k in enumerate(here)]


def _worded(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
