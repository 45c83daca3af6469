"""When a metric's level changed: the date, the interval of the date, from what to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats
from scipy.ndimage import median_filter

from flywheel.observe.bets import Floats
from flywheel.observe.levels import Levels, Measure, levels, measure
from flywheel.records import Interval, Observation

__all__ = ["changes", "segments"]

_FEWEST = 12
_MOST = 4000
_DATE_DROP = -float(np.log(1 - np.sqrt(0.95)))
"""How far the log likelihood may fall from its top within a 95 % interval of the date (Siegmund 1988)."""
_SHORTEST = {timedelta(minutes=1): 10, timedelta(hours=1): 6, timedelta(days=1): 3}
_HURTS = ("failures", "errors", "negative")
_DRAWN = 200


def changes(
    rows: Iterable[Mapping[str, Any]],
    name: str,
    *,
    every: str = "hour",
    zone: str = "UTC",
    alpha: float = 0.01,
    query: str = "",
) -> list[Observation]:
    """Dates at which a metric's level changed, in order of time.

    `rows` are those of `metrics(every)`. The hour of day is taken out where it matters; what single hours do is
    bounded; and the noise is measured between neighbours and between neighbouring days, so that ties between hours do
    not pass for changes. In a stretch without one, some change is reported with probability `alpha` at most. What is
    worth telling depends on the metric: 0.01 of confidence, half a point of a share, a tenth of a latency; at least 6
    hours, 3 days or 10 minutes of it. A steady slope comes out as steps.

    An observation alarms when failures, errors or negative feedback rose and have not come down since. O(n²) for at
    most 4,000 steps; longer series are put together to fewer.
    """
    kind, seen = measure(name), levels(rows, name, every=every, zone=zone)
    seen = _coarser(seen)
    if seen.values.size < _FEWEST:
        return []
    values = _without_hours(seen)
    weight = _weights(seen)
    noise = _noise(values, seen)
    if kind.unit == "%":
        noise = max(noise, _chance(seen))
    bounded = _bounded(values)
    cuts = segments(bounded, weight=weight, noise=noise, shortest=_SHORTEST.get(seen.step, 6), alpha=alpha)
    cuts = _worth_telling(cuts, bounded, weight, kind)
    return [_change(name, kind, seen, bounded, weight, noise, cuts, k, query) for k in range(len(cuts))]


def segments(
    values: Floats, *, weight: Floats | None = None, noise: float, shortest: int = 2, alpha: float = 0.01
) -> list[int]:
    """Starts of new levels in a series, by penalised least squares (PELT; Killick, Fearnhead & Eckley 2012).

    `noise` is the long-run variance of a value of weight 1. A change costs what chance reaches at one of n places with
    probability `alpha`. O(n) to O(n²).

    >>> series = np.concatenate([np.zeros(50), np.ones(50)]) + np.random.default_rng(0).normal(0, 0.3, 100)
    >>> segments(series, noise=0.09)
    [50]
    """
    n = values.size
    mass = np.ones(n) if weight is None else weight
    if n < 2 * shortest:
        return []
    penalty = float(stats.chi2.isf(alpha / n, 1))
    centre = float(np.average(values, weights=mass))
    total = np.concatenate([[0.0], np.cumsum(mass)])
    first = np.concatenate([[0.0], np.cumsum(mass * (values - centre))])
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(n + 1, dtype=np.int64)
    starts = np.array([0])
    for end in range(shortest, n + 1):
        if end - shortest >= shortest:
            starts = np.append(starts, end - shortest)
        gain = (first[end] - first[starts]) ** 2 / (total[end] - total[starts]) / max(noise, 1e-300)
        cost = best[starts] - gain
        place = int(cost.argmin())
        best[end], last[end] = cost[place] + penalty, starts[place]
        starts = starts[cost <= best[end]]
    cuts, end = [], n
    while last[end] > 0:
        end = int(last[end])
        cuts.append(end)
    return cuts[::-1]


def _coarser(seen: Levels) -> Levels:
    """Put neighbours together where there are more steps than can be searched."""
    size = -(-seen.values.size // _MOST)
    if size <= 1:
        return seen
    group = np.arange(seen.values.size) // size
    mass = np.asarray(np.bincount(group, seen.volume), dtype=np.float64)
    return replace(
        seen,
        step=seen.step * size,
        at=seen.at[::size],
        index=seen.index[::size] // size,
        values=np.bincount(group, seen.values * seen.volume) / mass,
        volume=mass,
    )


def _without_hours(seen: Levels) -> Floats:
    """Values less what the hour of day (of weekdays, of weekends) usually adds; unchanged for days and short series."""
    day = seen.day
    if seen.step >= timedelta(days=1) or day[-1] - day[0] < 7:
        return seen.values
    _, place = np.unique(day, return_inverse=True)
    middle = np.array([np.median(seen.values[place == k]) for k in range(place.max() + 1)])
    rest = seen.values - middle[place]
    slot = seen.hour + 24 * (seen.weekday >= 5)
    usual = np.zeros(48)
    for k in np.unique(slot):
        usual[k] = np.median(rest[slot == k])
    if np.median(np.abs(rest - usual[slot])) > 0.95 * np.median(np.abs(rest)):
        return seen.values
    return np.asarray(seen.values - usual[slot] + usual[slot].mean())


def _weights(seen: Levels) -> Floats:
    """How much a step's value can be trusted: little where it rests on little traffic."""
    if np.ptp(seen.volume) == 0:
        return np.ones(seen.values.size)
    share = seen.volume / (seen.volume + np.median(seen.volume))
    return np.asarray(share / share.mean())


def _bounded(values: Floats) -> Floats:
    """Values no further than three spreads from their neighbours' median: single hours are no level."""
    middle = median_filter(values, size=min(11, values.size | 1), mode="nearest")
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return np.clip(values, middle - 3 * spread, middle + 3 * spread) if spread else values


def _noise(values: Floats, seen: Levels) -> float:
    """The long-run variance: how uncertain a mean of n is, times n; whatever is tied to its neighbours counts.

    The largest of three, none of which a few changes of level move: an autoregression's, by medians of differences
    (Chakar et al. 2017; less its standard error, so that chance is no tie), and that of neighbouring stretches' means,
    of about eight steps and of a day.
    """
    near = float(np.median(np.abs(np.diff(values))))
    far = float(np.median(np.abs(values[2:] - values[:-2])))
    tie = float(np.clip((far / near) ** 2 - 1 - values.size**-0.5, 0.0, 0.95)) if near > 0 else 0.0
    white = _square(np.diff(values)) / 2 / (1 - tie)
    found = [white * (1 + tie) / (1 - tie)]
    daily = round(timedelta(days=1) / seen.step)
    for length in {8, daily}:
        if length > 1 and values.size >= 20 * length:
            parts = values[: values.size // length * length].reshape(-1, length).mean(axis=1)
            found.append(_square(np.diff(parts)) / 2 * length)
    floor = 1e-12 * (1 + float(np.median(np.abs(values))) ** 2)
    return max(*found, floor)


def _chance(seen: Levels) -> float:
    """The variance of a share by chance alone, where it is highest; half of the steps may have seen nothing at all."""
    parts = np.array_split(np.arange(seen.values.size), min(10, seen.values.size // 4))
    top = max(float(np.average(seen.values[part], weights=seen.volume[part])) for part in parts)
    share = min(max(top, 0.0), 0.5)
    return share * (1 - share) / float(np.median(seen.volume))


def _square(steps: Floats) -> float:
    """The mean square of differences, by their median; plainly, where most are 0 (errors that come once a day)."""
    middle = float(np.median(np.abs(steps)))
    return (1.4826 * middle) ** 2 if middle > 0 else float((steps**2).mean())


def _means(values: Floats, weight: Floats, cuts: list[int]) -> list[tuple[float, float]]:
    """Mean and weight of each segment."""
    ends = [0, *cuts, values.size]
    return [(float(np.average(values[a:b], weights=weight[a:b])), float(weight[a:b].sum())) for a, b in pairwise(ends)]


def _worth_telling(cuts: list[int], values: Floats, weight: Floats, kind: Measure) -> list[int]:
    """Drop the smallest change until all that are left matter."""
    kept = list(cuts)
    while kept:
        means = _means(values, weight, kept)
        steps = [means[k + 1][0] - means[k][0] for k in range(len(kept))]
        weakest = int(np.argmin(np.abs(steps)))
        if kind.matters(steps[weakest], means[weakest][0]):
            break
        del kept[weakest]
    return kept


def _dates(values: Floats, weight: Floats, noise: float, left: int, cut: int, right: int) -> tuple[int, int]:
    """First and last place where the change may be, by the likelihood profile between its neighbours."""
    part, mass = values[left:right], weight[left:right]
    total, first = np.cumsum(mass), np.cumsum(mass * part)
    before, lower = total[:-1], first[:-1]
    after, upper = total[-1] - before, first[-1] - lower
    profile = (lower**2 / before + upper**2 / after) / (2 * noise)
    inside = np.flatnonzero(profile >= profile[cut - left - 1] - _DATE_DROP) + left + 1
    return int(min(inside.min(), cut)), int(max(inside.max(), cut))


def _change(
    name: str,
    kind: Measure,
    seen: Levels,
    values: Floats,
    weight: Floats,
    noise: float,
    cuts: list[int],
    k: int,
    query: str,
) -> Observation:
    ends = [0, *cuts, values.size]
    means = _means(values, weight, cuts)
    (old, before), (new, after) = means[k], means[k + 1]
    effect, error = new - old, float(np.sqrt(noise * (1 / before + 1 / after)))
    low, high = _dates(values, weight, noise, ends[k], ends[k + 1], ends[k + 2])
    when, early, late = seen.at[ends[k + 1]], seen.at[low], seen.at[min(high, len(seen.at) - 1)]
    days = seen.step >= timedelta(days=1) or late - early >= timedelta(days=2)
    lasts = not any((means[j + 1][0] - old) * kind.bad < abs(effect) / 2 for j in range(k + 1, len(cuts)))
    date = _say(when, days)
    span = f" (between {_say(early, days)} and {_say(late, days)})" if _say(early, days) != _say(late, days) else ""
    return Observation(
        kind="change",
        name=name,
        line=f"{kind.words} {'fell' if effect < 0 else 'rose'} from {kind.say(old)} to {kind.say(new)} on {date}{span}",
        value=new,
        reference=old,
        effect=effect,
        interval=Interval(effect, effect - 1.96 * error, effect + 1.96 * error, values.size),
        n=ends[k + 2] - ends[k],
        alarm=name in _HURTS and effect > 0 and lasts,
        since=when.astimezone(UTC),
        until=seen.at[ends[k + 2]].astimezone(UTC) if k + 1 < len(cuts) else None,
        evidence=(
            f"The level before held for {_steps(ends[k + 1] - ends[k], seen)}, the new one for "
            f"{_steps(ends[k + 2] - ends[k + 1], seen)}",
            f"The change is {kind.say(effect, signed=True)} ({kind.say(effect - 1.96 * error, signed=True)} to "
            f"{kind.say(effect + 1.96 * error, signed=True)}), {abs(effect) / error:.1f} standard errors",
            f"The date is between {_say(early, days)} and {_say(late, days)} with 95 % confidence",
        ),
        query=query,
        chart=_chart(seen, when),
    )


def _say(moment: datetime, days: bool) -> str:
    return f"{moment:%-d %b}" if days else f"{moment:%-d %b %H:%M}"


def _steps(n: int, seen: Levels) -> str:
    span = n * seen.step
    return (
        f"{span / timedelta(days=1):.0f} days"
        if span >= timedelta(days=2)
        else f"{span / timedelta(hours=1):.1f} hours"
    )


def _chart(seen: Levels, when: datetime) -> dict[str, Any]:
    size = -(-seen.values.size // _DRAWN)
    group = np.arange(seen.values.size) // size
    y = np.bincount(group, seen.values * seen.volume) / np.bincount(group, seen.volume)
    return {
        "kind": "line",
        "x": [moment.isoformat() for moment in seen.at[::size]],
        "y": [round(float(v), 6) for v in y],
        "mark": when.isoformat(),
    }
