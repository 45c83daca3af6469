"""When things happened: first and last, order, volume, and the hours in which nothing came though something should."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

from flywheel.govern.baseline.columns import spread_of
from flywheel.govern.baseline.result import Times, share_of
from flywheel.govern.baseline.sketches import Quantiles

__all__ = ["Clock", "instant", "moment_of"]

HOUR, DAY = 3600, 86_400
_MOST_STEPS = 50_000
_LONGEST = 500_000
_ARRIVED = ("received_at", "ingested_at", "indexed_at", "ingest_time", "ingestionTime")
_SURE = 0.01
_LEAST_EXPECTED = 10.0
_ENOUGH_RUNS = 8


def instant(value: Any) -> tuple[float | None, bool]:
    """Seconds since 1970 of a time as logs write it, and whether it said its zone; None where it is no time.

    ISO 8601 text, datetimes, and seconds, milli-, micro- or nanoseconds since 1970. Without a zone: UTC.

    >>> instant("1970-01-01T01:00:00+01:00"), instant("1970-01-01 00:00:01"), instant("yesterday")
    ((0.0, True), (1.0, False), (None, False))
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None, False
    if isinstance(value, datetime):
        zoned = value.tzinfo is not None
        try:
            return (value if zoned else value.replace(tzinfo=UTC)).timestamp(), zoned
        except (OverflowError, ValueError):
            return None, False
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        for unit in (1.0, 1e3, 1e6, 1e9):
            if 1e9 <= value / unit < 1e10:
                return value / unit, True
    return None, False


class Clock:
    """The times of a log's interactions. Memory: 50,000 hours (five years) by the hour; a longer log by the day."""

    def __init__(self) -> None:
        self.records = 0
        self.readable = 0
        self.unzoned = 0
        self.unreadable = 0
        self._first, self._last = math.inf, -math.inf
        self._before: float | None = None
        self._forward = self._back = 0
        self._step = HOUR
        self._counts: Counter[int] = Counter()
        self._elsewhere = 0
        self._week: Counter[int] = Counter()
        self._delay = Quantiles()

    def take(self, draft: Mapping[str, Any]) -> float | None:
        """Take one interaction; return its time in seconds since 1970."""
        self.records += 1
        value = draft.get("at")
        if value is None:
            return None
        at, zoned = instant(value)
        if at is None:
            self.unreadable += 1
            return None
        self.readable += 1
        self.unzoned += not zoned
        self._first, self._last = min(self._first, at), max(self._last, at)
        if self._before is not None:
            self._forward += at > self._before
            self._back += at < self._before
        self._before = at
        self._count(at)
        arrived = self._arrived(draft)
        if arrived is not None:
            self._delay.add(arrived - at)
        return at

    def _arrived(self, draft: Mapping[str, Any]) -> float | None:
        for part in (draft, draft.get("extra"), draft.get("context")):
            if isinstance(part, Mapping):
                for name in _ARRIVED:
                    if name in part:
                        return instant(part[name])[0]
        return None

    def _count(self, at: float) -> None:
        step = int(at // self._step)
        if step not in self._counts and len(self._counts) >= _MOST_STEPS:
            if self._step == HOUR:
                self._coarsen()
                step = int(at // self._step)
            else:
                self._elsewhere += 1
                return
        self._counts[step] += 1
        self._week[int(at // HOUR) % 168] += 1

    def _coarsen(self) -> None:
        days: Counter[int] = Counter()
        for hour, count in self._counts.items():
            days[hour // 24] += count
        self._counts, self._step = days, DAY

    @property
    def span_days(self) -> float:
        """Days from the first to the last interaction, without stray times far from all others."""
        if not self._counts:
            return 0.0
        low, high = self._body()
        return (high - low + 1) * self._step / DAY

    @property
    def last(self) -> float | None:
        """The newest time, in seconds since 1970."""
        return self._last if self.readable else None

    def future(self, now: datetime) -> int:
        """How many interactions are more than a day later than `now`, to the hour."""
        limit = (now.timestamp() + DAY) // self._step
        return sum(count for step, count in self._counts.items() if step > limit)

    def _body(self) -> tuple[int, int]:
        """The first and the last step, without strays: at most one record in a thousand that doubles the stretch."""
        steps = sorted(self._counts)
        stray = sum(self._counts.values()) // 1000
        low, high = 0, len(steps) - 1
        cut, seen = 0, 0
        while cut < high and seen + self._counts[steps[cut]] <= stray:
            seen += self._counts[steps[cut]]
            cut += 1
        top, seen = high, 0
        while top > cut and seen + self._counts[steps[top]] <= stray:
            seen += self._counts[steps[top]]
            top -= 1
        whole, kept = steps[high] - steps[low] + 1, steps[top] - steps[cut] + 1
        return (steps[cut], steps[top]) if whole > 2 * kept else (steps[low], steps[high])

    def found(self, now: datetime) -> Times:
        """What the times say."""
        days, step_days = self._by_day()
        gaps, pattern = self._gaps()
        pairs = self._forward + self._back
        newest_first = self._back > self._forward
        order = "no times" if not pairs else "newest first" if newest_first else "oldest first"
        astray = min(self._forward, self._back)
        if pairs and astray > 0.25 * pairs:
            order = "mixed"
        known = self.readable > 0
        return Times(
            readable=share_of(self.readable, self.records),
            without_zone=self.unzoned,
            unreadable=self.unreadable,
            in_future=self.future(now),
            first=moment_of(self._first) if known else None,
            last=moment_of(self._last) if known else None,
            newest_days=(now.timestamp() - self._last) / DAY if known else None,
            delay=spread_of(self._delay),
            order=order,
            out_of_order=share_of(astray, pairs),
            days=days,
            step_days=step_days,
            week=self._weekly(),
            gaps=gaps,
            pattern=pattern,
        )

    def _weekly(self) -> tuple[tuple[float, ...], ...]:
        """1970 began on a Thursday; the week here begins on Monday."""
        if not self._week:
            return ()
        weeks = max(1.0, self.span_days / 7)
        return tuple(
            tuple(round(self._week[(day * 24 + hour + 96) % 168] / weeks, 2) for hour in range(24)) for day in range(7)
        )

    def _by_day(self) -> tuple[tuple[tuple[str, int], ...], int]:
        if not self._counts:
            return (), 1
        low, high = self._body()
        per_day = DAY // self._step
        first, last = low // per_day, high // per_day
        step_days = max(1, math.ceil((last - first + 1) / 400))
        bars: Counter[int] = Counter()
        for step, count in self._counts.items():
            if first <= step // per_day <= last:
                bars[(step // per_day - first) // step_days] += count
        return (
            tuple(
                (date.fromordinal(date(1970, 1, 1).toordinal() + first + place * step_days).isoformat(), bars[place])
                for place in range((last - first) // step_days + 1)
            ),
            step_days,
        )

    def _gaps(self) -> tuple[tuple[dict[str, Any], ...], str]:
        """Runs of empty steps where the pattern expects records.

        A run counts as a gap when it should hold 10 records or more, and would be empty by chance less than once in a
        hundred such logs: quasi-Poisson, its dispersion taken from the other hours, or, where empty hours are a habit
        of the log, an exponential law of their own; corrected for the number of runs (Bonferroni). What is expected is
        the median of the same hour in the other weeks, scaled down where the week around the run is quieter than usual.
        """
        if not self._counts:
            return (), "no times"
        low, high = self._body()
        per_week, per_day = 7 * DAY // self._step, DAY // self._step
        span = high - low + 1
        if span < 3 * per_day or span > _LONGEST:
            return (), "too few days to know the usual pattern" if span < 3 * per_day else "times too far apart"
        unit = "hour" if self._step == HOUR else "day of the week"
        period, pattern = per_week, f"the same {unit} in other weeks"
        if span < 3 * per_week:
            period, pattern = per_day, "the same hour on other days"
        usual = self._usual(low, high, period)
        counts = self._counts
        excess = [
            (count - usual[step % period]) ** 2 / usual[step % period]
            for step, count in counts.items()
            if low <= step <= high and usual[step % period]
        ]
        dispersion = max(1.0, sum(excess) / len(excess)) if excess else 1.0
        runs = [
            (self._expected(begin, end, usual, period, per_week), begin, end)
            for begin, end in _empty_runs(sorted(step for step in counts if low <= step <= high))
        ]
        scale = max(dispersion, _habit([expected for expected, _, _ in runs]))
        gaps = [run for run in runs if run[0] >= _LEAST_EXPECTED and math.exp(-run[0] / scale) * len(runs) < _SURE]
        longest = sorted(gaps, reverse=True)[:20]
        return tuple(
            {
                "from": moment_of(begin * self._step),
                "until": moment_of(end * self._step),
                "hours": (end - begin) * self._step // HOUR,
                "expected": round(expected),
            }
            for expected, begin, end in sorted(longest, key=lambda gap: gap[1])
        ), pattern

    def _usual(self, low: int, high: int, period: int) -> list[float]:
        slots: list[list[int]] = [[] for _ in range(period)]
        for step in range(low, high + 1):
            slots[step % period].append(self._counts.get(step, 0))
        return [_median(slot) for slot in slots]

    def _expected(self, begin: int, end: int, usual: list[float], period: int, reach: int) -> float:
        inside = sum(usual[step % period] for step in range(begin, end))
        if not inside:
            return 0.0
        around = [*range(begin - reach, begin), *range(end, end + reach)]
        usually = sum(usual[step % period] for step in around)
        level = sum(self._counts.get(step, 0) for step in around) / usually if usually else 1.0
        return inside * min(1.0, level)


def _empty_runs(steps: list[int]) -> list[tuple[int, int]]:
    """Stretches of steps in which nothing came, as (first empty one, first full one after)."""
    return [(before + 1, after) for before, after in pairwise(steps) if after > before + 1]


def _habit(expected: list[float]) -> float:
    """The mean of what empty stretches usually lack, where there are enough of them to speak of what is usual."""
    noticed = [missed for missed in expected if missed >= 1]
    return _median(noticed) / math.log(2) if len(noticed) >= _ENOUGH_RUNS else 0.0


def _median(values: list[int] | list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def moment_of(seconds: float) -> datetime | None:
    """The time so many seconds after 1970; None beyond the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
