"""Is it so on the half that did not choose it? Risk differences that allow for users, sessions and stretches of time.

Holm (1979), "A simple sequentially rejective multiple test procedure". The variance is that of a ratio of weighted
sums, linearised, with the rows of one user (or of one fiftieth of the time) added up before they are squared; the
degrees of freedom are those of Satterthwaite (1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
from scipy import stats

from flywheel.observe.slices.cases import Cases
from flywheel.records import Interval

__all__ = ["Confirmed", "confirm"]

BLOCKS = 50
_HUGE = 1e6


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One slice on the half that did not choose it."""

    inside: float
    """Mean loss in the slice …"""
    elsewhere: float
    """… and out of it."""
    n: int
    users: int
    share: float
    """Of all interactions."""
    effect: Interval
    p: float
    """One-sided: that a slice which fails no more than the rest shows so large a difference."""
    since: datetime | None
    until: datetime | None


def confirm(cases: Cases, conditions: Sequence[Any], within: Any = None, level: float = 0.95) -> list[Confirmed]:
    """Measure slices, given as functions from a table to a condition over it, on the second half of the cases.

    `within` narrows the half down by one more such function. Of the variances by unit and by stretch of time the
    larger counts. Three queries, whatever the number of slices; O(cases) in the engine.
    """
    half = cases.half(True)
    if within is not None:
        half = half.filter(within(half))
    if not conditions:
        return []
    lines = half.mutate(**{f"in{j}": one(half).ifelse(1.0, 0.0) for j, one in enumerate(conditions)})
    sums = _sums(lines, len(conditions))
    rates = [_rates(sums, j) for j in range(len(conditions))]
    spreads = [_spread(lines, rates, None if cases.units == "" else lines.unit)]
    if cases.n and cases.span.total_seconds() > 0:
        spreads.append(_spread(lines, rates, _block(lines, cases)))
    return [_settled(sums, rates, [one[j] for one in spreads], j, level) for j in range(len(conditions))]


def _sums(lines: Any, k: int) -> dict[str, Any]:
    asked: dict[str, Any] = {"w": lines.weight.sum(), "e": (lines.weight * lines.loss).sum(), "n": lines.count()}
    for j in range(k):
        mark = lines[f"in{j}"]
        inside = mark > 0
        asked |= {
            f"w{j}": (lines.weight * mark).sum(),
            f"e{j}": (lines.weight * mark * lines.loss).sum(),
            f"n{j}": mark.sum(),
            f"u{j}": lines.user.nunique(where=inside),
            f"s{j}": lines["at"].min(where=inside),
            f"t{j}": lines["at"].max(where=inside),
        }
    found: dict[str, Any] = lines.aggregate(**asked).to_pyarrow().to_pylist()[0]
    return found


def _rates(sums: dict[str, Any], j: int) -> tuple[float, float, float, float]:
    """Weight inside and outside, and the mean losses there."""
    inside, loss = float(sums[f"w{j}"] or 0.0), float(sums[f"e{j}"] or 0.0)
    outside, lost = float(sums["w"] or 0.0) - inside, float(sums["e"] or 0.0) - loss
    return inside, outside, loss / inside if inside else 0.0, lost / outside if outside > 0 else 0.0


def _spread(lines: Any, rates: Sequence[tuple[float, float, float, float]], by: Any) -> list[tuple[float, float]]:
    """Variance of each risk difference, and its degrees of freedom, when the rows of one `by` belong together."""
    parts = {}
    for j, (inside, outside, p, q) in enumerate(rates):
        mark = lines[f"in{j}"]
        push = lines.weight * (
            mark * (lines.loss - p) / max(inside, 1e-12) - (1.0 - mark) * (lines.loss - q) / max(outside, 1e-12)
        )
        parts[f"d{j}"] = push
    if by is None:
        each = lines.select(**parts)
    else:
        each = lines.mutate(**parts, together=by).group_by("together")
        each = each.aggregate(**{name: ibis._[name].sum() for name in parts})
    asked = {"n": each.count()}
    for name in parts:
        asked |= {f"{name}v": (each[name] * each[name]).sum(), f"{name}q": (each[name] ** 4).sum()}
    row = each.aggregate(**asked).to_pyarrow().to_pylist()[0]
    found = []
    for name in parts:
        variance, fourth = float(row[f"{name}v"] or 0.0), float(row[f"{name}q"] or 0.0)
        if by is None:
            wobble = fourth - variance**2 / max(row["n"], 1)
            found.append((variance, min(2 * variance**2 / wobble, _HUGE) if wobble > 0 else _HUGE))
        else:  # as many witnesses as there are groups that carry the variance
            found.append((variance, variance**2 / fourth - 1 if fourth > 0 else 1.0))
    return found


def _block(lines: Any, cases: Cases) -> Any:
    """Which fiftieth of the time a row lies in."""
    start = cases.since.timestamp()
    length = cases.span.total_seconds() / BLOCKS
    return ((lines["at"].epoch_seconds() - start) / length).floor().cast("int64")


def _settled(
    sums: dict[str, Any],
    rates: Sequence[tuple[float, float, float, float]],
    spreads: Sequence[tuple[float, float]],
    j: int,
    level: float,
) -> Confirmed:
    inside, outside, p, q = rates[j]
    n, gap = int(sums[f"n{j}"] or 0), p - q
    chance = reach = 0.0
    for variance, witnesses in spreads:
        error, freedom = variance**0.5, max(min(witnesses, n - 1), 1.0)
        known = n > 0 and outside > 0 and error > 0
        chance = max(chance, float(stats.t.sf(gap / error, freedom)) if known else 1.0)
        reach = max(reach, float(stats.t.ppf(0.5 + level / 2, freedom)) * error if known else 1.0)
    total = inside + outside
    # Engines add floats in any order; the last digits are theirs, not the data's.
    gap, reach, p, q = (round(one, 9) for one in (gap, reach, p, q))
    return Confirmed(
        inside=p,
        elsewhere=q,
        n=n,
        users=int(sums[f"u{j}"] or 0),
        share=round(inside / total, 9) if total > 0 else 0.0,
        effect=Interval(gap, max(round(gap - reach, 9), -1.0), min(round(gap + reach, 9), 1.0), n, level),
        p=float(f"{chance:.6g}"),
        since=sums[f"s{j}"],
        until=sums[f"t{j}"],
    )
