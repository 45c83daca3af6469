"""What the day and the week do to a metric, and days whose peak hours are not what peak hours are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from scipy import stats

from flywheel.observe.bets import Floats
from flywheel.observe.contrast import holm
from flywheel.observe.levels import Levels, Measure, biweight, levels, measure
from flywheel.records import Interval, Observation

__all__ = ["baseline", "departures", "patterns"]

_FEWEST_DAYS = 8
_WEEKS = 21
_LONGEST = 12
_MOST_PATTERNS = 3
_SURE = 0.001
_CLASSES = {"every day": (0, 1, 2, 3, 4, 5, 6), "on weekdays": (0, 1, 2, 3, 4), "at weekends": (5, 6)}
_PAST = 42


@dataclass(frozen=True, slots=True)
class _Block:
    """Hours of some days: from `start` for `length` hours, past midnight too."""

    when: str
    start: int
    length: int

    @property
    def hours(self) -> Any:
        return (self.start + np.arange(self.length)) % 24

    def __str__(self) -> str:
        return f"between {self.start:02d}:00 and {(self.start + self.length) % 24:02d}:00 {self.when}"


def baseline(
    rows: Iterable[Mapping[str, Any]], name: str, *, every: str = "hour", zone: str = "UTC"
) -> dict[tuple[int | None, int], float]:
    """The usual value by (weekday, hour of day), robust against single days (biweight).

    With less than three weeks, by hour of day alone: (None, hour).

    >>> rows = [{"at": datetime(2026, 1, 5 + d, h, tzinfo=UTC), "confidence": 0.8 - 0.1 * (h == 18)}
    ...         for d in range(10) for h in range(24)]
    >>> round(baseline(rows, "confidence")[None, 18], 2)
    0.7
    """
    seen = levels(rows, name, every=every, zone=zone, hourly=True)
    if not seen.values.size:
        return {}
    weekly = seen.day[-1] - seen.day[0] >= _WEEKS - 1
    keys = list(zip(seen.weekday.tolist() if weekly else [None] * seen.values.size, seen.hour.tolist(), strict=True))
    groups: dict[tuple[int | None, int], list[float]] = {}
    for key, value in zip(keys, seen.values.tolist(), strict=True):
        groups.setdefault(key, []).append(value)
    return {key: biweight(np.array(found))[0] for key, found in sorted(groups.items(), key=lambda one: str(one[0]))}


def patterns(
    rows: Iterable[Mapping[str, Any]], name: str, *, every: str = "hour", zone: str = "UTC", query: str = ""
) -> list[Observation]:
    """Hours in which a metric is regularly higher or lower, with the size of it; at most three.

    `rows` are those of `metrics(every)` by minute or hour, at least eight days of them; hours are those of `zone`. Days
    are dealt out in turn: every other one is searched for the hours that differ most from the rest of their day, and
    the others confirm it (at 0.001, shared out among patterns) and say how much. What is worth telling depends on the
    metric: 0.01 of confidence, half a point of a share, a tenth of a latency. O(rows).
    """
    kind, seen = measure(name), levels(rows, name, every=every, zone=zone, hourly=True)
    table, days = _days(seen)
    if every == "day" or len(days) < _FEWEST_DAYS:
        return []
    usual = float(np.nanmedian(table))
    found = []
    rest = table - np.nanmedian(table, axis=1)[:, None]
    strength = _strength(rest, days)
    for _ in range(_MOST_PATTERNS):
        block = _search(rest[::2], days[::2])
        if block is None:
            break
        contrast = _contrasts(rest[1::2], days[1::2], block)
        whole = _contrasts(rest, days, block)
        if contrast.size < 3 or whole.size < 5:
            break
        effect, low, high, chance = _location(contrast, 1 - _SURE / _MOST_PATTERNS)
        if chance > _SURE / _MOST_PATTERNS or not kind.matters(effect, usual):
            break
        found.append(_pattern(name, kind, block, table, days, (effect, low, high), whole, strength, query))
        rest = rest - effect * _mask(days, block)
    return found


def departures(
    rows: Iterable[Mapping[str, Any]],
    name: str,
    *,
    every: str = "hour",
    zone: str = "UTC",
    alpha: float = 0.01,
    query: str = "",
) -> list[Observation]:
    """Days whose peak hours are worse than peak hours usually are; in a row, they are one alarm.

    Peak hours are those of `patterns`, or where there is none, the four quarters of a day. A day's mean over them is
    held against the six weeks before (the same kind of days, at least eight): their biweight location, and their
    spread from day to day, which holds whatever ties hours of a day together; the ties between days widen it. Only
    what hurts counts: a fall of confidence, a rise of errors. Of all days and blocks looked at, false alarms happen in
    a share `alpha` of calls (Holm 1979). O(rows).
    """
    held = list(rows)
    kind, seen = measure(name), levels(held, name, every=every, zone=zone, hourly=True)
    table, days = _days(seen)
    if every == "day" or not kind.bad or len(days) <= _FEWEST_DAYS:
        return []
    known = [_block_of(one) for one in patterns(held, name, every=every, zone=zone)]
    blocks = known or [_Block("every day", start, 6) for start in (0, 6, 12, 18)]
    behind, _ = _days(replace(seen, values=seen.volume))
    tests = [test for block in blocks for test in _tests(table, behind, days, block, kind)]
    sure = holm([test.chance for test in tests]) <= alpha
    kept = [test for test, holds in zip(tests, sure, strict=True) if holds]
    return [_departure(name, kind, run, bool(known), seen, query) for run in _runs(kept)]


@dataclass(frozen=True, slots=True)
class _Test:
    block: _Block
    day: int
    place: int
    value: float
    usual: float
    error: float
    chance: float
    past: int


def _days(seen: Levels) -> tuple[Floats, list[int]]:
    """The values as days × 24 hours, NaN where nothing was measured; days with fewer than 12 hours are left out."""
    if not seen.values.size:
        return np.empty((0, 24)), []
    day, hour = seen.day, seen.hour
    first = int(day.min())
    table = np.full((int(day.max()) - first + 1, 24), np.nan)
    table[day - first, hour] = seen.values
    full = np.flatnonzero((~np.isnan(table)).sum(axis=1) >= 12)
    return table[full], [first + int(k) for k in full]


def _in_class(days: list[int], when: str) -> Any:
    return np.isin([date.fromordinal(day).weekday() for day in days], _CLASSES[when])


def _mask(days: list[int], block: _Block) -> Floats:
    hours = np.zeros(24)
    hours[block.hours] = 1.0
    return np.outer(_in_class(days, block.when).astype(float), hours)


def _contrasts(rest: Floats, days: list[int], block: _Block) -> Floats:
    """By day of the block's kind: the mean inside the block minus that outside."""
    inside = np.zeros(24, dtype=bool)
    inside[block.hours] = True
    rows = rest[_in_class(days, block.when)]
    there = (~np.isnan(rows[:, inside])).sum(axis=1) * 2 >= block.length
    rows = rows[there]
    found = np.array([np.nanmean(row[inside]) - np.nanmean(row[~inside]) for row in rows])
    return np.asarray(found[~np.isnan(found)])


def _search(rest: Floats, days: list[int]) -> _Block | None:
    """The block that explains most: (number of days) × length × rest / 24 × difference², of trimmed means."""
    best, found = 0.0, None
    for when in _CLASSES:
        rows = rest[_in_class(days, when)]
        if len(rows) < 2:
            continue
        profile = _trimmed(rows)
        total = np.concatenate([[0.0], np.cumsum(np.tile(profile, 2))])
        for length in range(1, _LONGEST + 1):
            inside = (total[length : length + 24] - total[:24]) / length
            outside = (total[24] - inside * length) / (24 - length)
            gain = len(rows) * length * (24 - length) / 24 * (inside - outside) ** 2
            start = int(gain.argmax())
            if gain[start] > best * (1 + 1e-9):
                best, found = float(gain[start]), _Block(when, start, length)
    return found


def _trimmed(rows: Floats) -> Floats:
    """The mean by hour without the tenth of days highest and lowest; 0 where nothing was measured.

    A median would take five weekdays for the whole week.
    """
    order = np.sort(rows, axis=0)  # NaN comes last
    n = (~np.isnan(rows)).sum(axis=0)
    cut = n // 10
    place = np.arange(len(rows))[:, None]
    kept = (place >= cut) & (place < n - cut)
    return np.asarray(np.where(kept, order, 0.0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1))


def _location(contrast: Floats, level: float) -> tuple[float, float, float, float]:
    """The usual contrast, a 95 % interval, and how likely one so large is where there is none."""
    place, scale = biweight(contrast)
    lag = _tied(contrast)
    error = scale / np.sqrt(contrast.size) * np.sqrt((1 + lag) / (1 - lag))
    freedom = max(0.8 * (contrast.size - 1), 1.0)
    if error == 0.0:
        return place, place, place, 0.0 if place else 1.0
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return place, place - reach, place + reach, float(2 * stats.t.sf(abs(place) / error, freedom))


def _tied(values: Floats) -> float:
    """How much each day resembles the one before, beyond chance: a correlation of ranks less its standard error."""
    if values.size < 8:
        return 0.0
    rank = stats.rankdata(values)
    if np.ptp(rank[:-1]) == 0 or np.ptp(rank[1:]) == 0:  # days that are all alike tell nothing
        return 0.0
    return float(np.clip(np.corrcoef(rank[:-1], rank[1:])[0, 1] - values.size**-0.5, 0.0, 0.8))


def _strength(rest: Floats, days: list[int]) -> tuple[float, float, float]:
    """The share of the variation within days that hours explain, out of sample (Wang, Smith & Hyndman 2006)."""
    left, before = [], []
    weekend = _in_class(days, "at weekends")
    turn = np.arange(len(days)) % 2
    for side in (0, 1):
        for kind in (True, False):
            fit, look = (turn != side) & (weekend == kind), (turn == side) & (weekend == kind)
            if fit.sum() < 2 or not look.any():
                continue
            rows = rest[fit]
            held = ~np.isnan(rows).all(axis=0)
            profile = np.where(held, np.nanmedian(np.where(held, rows, 0.0), axis=0), 0.0)
            left += [np.nanmean((row - profile) ** 2) for row in rest[look]]
            before += [np.nanmean(row**2) for row in rest[look]]
    a, b = np.array(left), np.array(before)
    if not b.size or not b.sum():
        return 0.0, 0.0, 0.0
    picks = np.random.default_rng(0).integers(0, b.size, (400, b.size))
    drawn = np.clip(1 - np.median(a[picks], axis=1) / np.maximum(np.median(b[picks], axis=1), 1e-300), 0.0, 1.0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.clip(1 - np.median(a) / max(float(np.median(b)), 1e-300), 0.0, 1.0)), float(low), float(high)


def _pattern(
    name: str,
    kind: Measure,
    block: _Block,
    table: Floats,
    days: list[int],
    size: tuple[float, float, float],
    whole: Floats,
    strength: tuple[float, float, float],
    query: str,
) -> Observation:
    effect, low, high = size
    rows = table[_in_class(days, block.when)]
    middle = np.nanmedian(rows, axis=0)
    spread = np.nanquantile(rows, [0.25, 0.75], axis=0)
    outside = float(np.nanmean(np.delete(middle, block.hours)))
    same = int((np.sign(whole) == np.sign(effect)).sum())
    verb = "falls" if effect < 0 else "rises"
    return Observation(
        kind="pattern",
        name=name,
        line=(
            f"{kind.words} {verb} by {kind.say(abs(effect))} {block}, from {kind.say(outside)} to "
            f"{kind.say(outside + effect)}; so on {same} of {whole.size} days"
        ),
        value=outside + effect,
        reference=outside,
        effect=effect,
        interval=Interval(effect, low, high, whole.size),
        n=len(days),
        evidence=(
            f"Found on every other day and confirmed on the days between: {kind.say(effect, signed=True)} "
            f"({kind.say(low, signed=True)} to {kind.say(high, signed=True)})",
            f"The hour of day explains {strength[0]:.0%} ({strength[1]:.0%} to {strength[2]:.0%}) of what changes "
            "within days, on days it was not learnt from",
        ),
        query=query,
        chart={
            "kind": "line",
            "x": [f"{hour:02d}:00" for hour in range(24)],
            "y": [_number(v) for v in middle],
            "low": [_number(v) for v in spread[0]],
            "high": [_number(v) for v in spread[1]],
            "mark": f"{block.start:02d}:00",
            "block": [block.when, block.start, block.length],
        },
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _block_of(pattern: Observation) -> _Block:
    when, start, length = pattern.chart["block"]
    return _Block(when, start, length)


def _tests(table: Floats, behind: Floats, days: list[int], block: _Block, kind: Measure) -> list[_Test]:
    """Each day's block against the same block in the six weeks before.

    A share of few cases jumps by itself: it must also be more than a binomial of the past share would give.
    """
    right = np.flatnonzero(_in_class(days, block.when))
    inside = table[right][:, block.hours]
    there = (~np.isnan(inside)).sum(axis=1) * 2 >= block.length
    own = np.array([days[k] for k in right[there]])
    values = np.nanmean(inside[there], axis=1) if there.any() else np.empty(0)
    cases = np.nansum(behind[right][:, block.hours][there], axis=1)
    found = []
    for place in range(_FEWEST_DAYS, values.size):
        first = max(int(np.searchsorted(own, own[place] - _PAST)), 0)
        past = values[first:place]
        if past.size < _FEWEST_DAYS:
            continue
        usual, scale = biweight(past)
        lag = _tied(past)
        error = scale * float(np.sqrt(1 + (1 + lag) / (1 - lag) / past.size))
        error = max(error, 1e-12 + 1e-6 * abs(usual))
        z = kind.bad * (values[place] - usual) / error
        chance = float(stats.t.sf(z, max(0.7 * (past.size - 1), 1.0)))
        if kind.unit == "%":
            share = (float(past @ cases[first:place]) + 0.5) / (float(cases[first:place].sum()) + 1.0)
            hits = round(values[place] * cases[place])
            chance = max(chance, float(stats.binom.sf(hits - 1, int(cases[place]), share)))
        if not kind.matters(values[place] - usual, usual):
            chance = 1.0
        found.append(_Test(block, int(own[place]), place, float(values[place]), usual, error, chance, past.size))
    return found


def _runs(tests: list[_Test]) -> list[list[_Test]]:
    """Departures of one block on days in a row belong together."""
    runs: list[list[_Test]] = []
    for test in sorted(tests, key=lambda one: (one.block.start, one.block.length, one.block.when, one.place)):
        if runs and runs[-1][-1].block == test.block and runs[-1][-1].place + 1 == test.place:
            runs[-1].append(test)
        else:
            runs.append([test])
    return sorted(runs, key=lambda run: run[0].day)


def _departure(name: str, kind: Measure, run: list[_Test], peak: bool, seen: Levels, query: str) -> Observation:
    block, worst = run[0].block, min(run, key=lambda one: one.chance)
    zone = seen.at[0].tzinfo or UTC
    start = datetime.combine(date.fromordinal(run[0].day), time(block.start), zone)
    last = datetime.combine(date.fromordinal(run[-1].day), time(block.start), zone)
    value, usual = float(np.mean([one.value for one in run])), float(np.mean([one.usual for one in run]))
    effect = value - usual
    reach = float(stats.t.ppf(0.975, max(0.7 * (worst.past - 1), 1.0))) * worst.error
    hours = f"between {block.start:02d}:00 and {(block.start + block.length) % 24:02d}:00"
    day = f"{start:%-d %b}" if len(run) == 1 else f"{start:%-d %b} to {last:%-d %b}"
    side = "below" if effect < 0 else "above"
    return Observation(
        kind="anomaly",
        name=name,
        line=(
            f"{kind.words} was {kind.say(value)} on {day} {hours}, {kind.say(abs(effect))} {side} "
            f"{'the usual peak' if peak else 'what is usual then'} of {kind.say(usual)}"
        ),
        value=value,
        reference=usual,
        effect=effect,
        interval=Interval(effect, effect - reach, effect + reach, worst.past),
        n=worst.past,
        alarm=True,
        since=start.astimezone(UTC),
        until=(last + timedelta(hours=block.length)).astimezone(UTC),
        evidence=(
            f"These hours were {kind.say(worst.usual)} on the {worst.past} such days before, "
            f"give or take {kind.say(worst.error)} from day to day",
            f"By chance a day like {date.fromordinal(worst.day):%-d %b} would come with probability {worst.chance:.1g}",
        ),
        query=query,
    )
