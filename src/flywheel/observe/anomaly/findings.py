"""What is odd in the stream of one metric, in plain words: when, what was expected, how unusual it was."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp, isfinite, log
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig
from flywheel.observe.anomaly.detector import AnomalyDetector
from flywheel.records import Observation

__all__ = ["anomalies"]

SEVERE = 4.7
"""Digits of joint surprise from which a point is reported."""
LEARN, LEARN_SHARE, LEARN_MOST = 48, 0.15, 750
"""Points at the start that are only learned from: at least 48, then 15 %, at most 750."""
TOGETHER = 24
"""Odd points no further apart than this are one finding."""
SKEWED = 3.0
"""Upper spread over lower spread from which positive values are looked at in logarithms."""
CHANCE = 1e-5
"""Counts that a Poisson process of the usual rate gives at least so often are not reported …"""
SPANS = (1, 10, 48)
"""… neither alone nor summed over so many points."""
FAR_OFF = 5.0
"""A value so many usual differences from what was expected is told as that, whatever else is odd about it."""
BORROWED = 3
"""Points at the overall rate that are added to those of an hour."""
AROUND = 100
"""Points drawn before and after."""

_WORDS = {
    "hour": "far {way} what is usual at this hour",
    "run": "the last of a run of values {way} what is usual at their hours",
    "lately": "a leap to {way} the level of late",
    "variation": "part of a stretch that varies {more} than usual",
    "jumps": "part of a stretch that jumps {more} than usual from one point to the next",
    "drift": "part of a level that is moving away from where it was",
    "stuck": "the same value as the points before it, which is not usual",
}


def anomalies(
    points: Sequence[tuple[datetime, float]],
    name: str,
    *,
    unit: str = "",
    threshold: float = SEVERE,
    hurts: str = "",
) -> list[Observation]:
    """Find what is odd in the stream of one metric: spikes, gaps, shifts, bursts and flat lines, the oldest first.

    `points` are (time, value) in any order, evenly spaced if possible; missing values are passed over. The first 48, or
    15 %, are only learned from. `threshold` is in digits of joint surprise: at 4.7 about one quiet stream in sixty has
    a finding. `hurts` (`up` or `down`) is the direction that raises an alarm; without it none does. Values that are
    positive and skewed, such as latencies, are judged by their logarithms; counts are only reported where chance alone
    would not give them. O(n log n).

    >>> from datetime import datetime, timedelta
    >>> begin = datetime(2026, 1, 5)
    >>> hourly = [(begin + timedelta(hours=hour), 100.0 + hour * 7 % 11) for hour in range(400)]
    >>> hourly[300] = (hourly[300][0], 190.0)
    >>> found, = anomalies(hourly, "latency p95", unit="ms", hurts="up")
    >>> found.since == hourly[300][0], found.value, found.alarm
    (True, 190.0, True)
    """
    if hurts not in ("", "up", "down"):
        raise InvalidConfig(f"hurts is {hurts!r}, which is no direction. Give 'up', 'down', or nothing for no alarm.")
    kept = sorted((p for p in points if p[1] is not None and isfinite(p[1])), key=lambda p: p[0])
    learn = max(LEARN, int(min(LEARN_SHARE * len(kept), LEARN_MOST)))
    if len(kept) <= learn:
        return []
    values = [float(value) for _, value in kept]
    logs = _skewed(values)
    counts = _Counts() if all(value >= 0 and value.is_integer() for value in values) else None
    detector, odd = AnomalyDetector(), []
    for place, (at, value) in enumerate(kept):
        detector.update(at, log(value) if logs else float(value))
        if counts is not None:
            counts.add(at.hour, value, exp(detector.expected) if logs else detector.expected)
        if place < learn or detector.severity < threshold:
            continue
        if counts is not None and (detector.because != "stuck" or not value) and counts.ordinary():
            continue
        expected = exp(detector.expected) if logs else detector.expected
        spread = detector.spread * expected if logs else detector.spread
        odd.append(_Odd(place, detector.severity, detector.because, expected, spread))
    out: list[Observation] = []
    group: list[_Odd] = []
    for one in odd:
        if group and one.place - group[-1].place > TOGETHER:
            out.append(_finding(group, kept, values, name, unit, hurts))
            group = []
        group.append(one)
    return [*out, _finding(group, kept, values, name, unit, hurts)] if group else out


@dataclass(frozen=True, slots=True)
class _Odd:
    place: int
    severity: float
    because: str
    expected: float
    spread: float


def _skewed(values: list[float]) -> bool:
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95)).tolist()
    return bool(min(values) > 0 and high - middle > SKEWED * (middle - low))


class _Counts:
    """Whether counts are what chance gives at the rate expected of their hours."""

    def __init__(self) -> None:
        self._seen, self._expected = [0.0], [0.0]
        self._hours = [0] * 24

    def add(self, hour: int, count: float, expected: float) -> None:
        """Take the next count, and what was expected at its hour; few counts of an hour are eked out with the rest."""
        n = self._hours[hour]
        self._hours[hour] += 1
        overall = self._seen[-1] / max(1, len(self._seen) - 1)
        rate = (n * expected + BORROWED * overall) / (n + BORROWED)
        self._seen.append(self._seen[-1] + count)
        self._expected.append(self._expected[-1] + rate)

    def ordinary(self) -> bool:
        """Say whether the last count, and the sums that end with it, are within chance of what was expected."""
        from scipy.special import gammainc, gammaincc

        for span in SPANS:
            if span + LEARN > len(self._seen):
                break
            usual = self._expected[-1] - self._expected[-1 - span]
            count = self._seen[-1] - self._seen[-1 - span]
            more = float(gammainc(count, usual)) if count and usual else float(not count)
            less = float(gammaincc(count + 1, usual)) if usual else 1.0
            if min(more, less) < CHANCE:
                return False
        return True


def _finding(
    group: list[_Odd],
    kept: list[tuple[datetime, float]],
    values: list[float],
    name: str,
    unit: str,
    hurts: str,
) -> Observation:
    first, last, top = group[0].place, group[-1].place, max(group, key=lambda one: one.severity)
    at, value = kept[top.place][0], values[top.place]
    effect = (value - top.expected) / top.spread if top.spread > 0 else None
    higher = value >= top.expected
    before = sorted(values[: top.place])
    reason = _reason(top, values, effect, higher)
    unit = f" {unit}" if unit and unit != "%" else unit
    line = f"{name} was {value:.4g}{unit} at {at:%Y-%m-%d %H:%M}, where about {top.expected:.4g}{unit} was expected"
    beaten = len(before) - bisect_left(before, value) if higher else bisect_right(before, value)
    evidence = [
        f"It is {reason}.",
        f"Of the {len(before):,} points before it, {beaten:,} were as {'high' if higher else 'low'}; the usual "
        f"difference from what is expected is {top.spread:.3g}{unit}.",
        f"Severity {top.severity:.1f}; quiet streams stay under {SEVERE} fifty-nine times in sixty.",
    ]
    if last > first:
        evidence.append(
            f"{len(group)} points between {kept[first][0]:%Y-%m-%d %H:%M} and {kept[last][0]:%Y-%m-%d %H:%M} are odd."
        )
    return Observation(
        kind="anomaly",
        name=name,
        line=f"{line}: {reason}",
        value=value,
        reference=top.expected,
        effect=effect,
        n=len(before),
        alarm=hurts == ("up" if higher else "down"),
        since=kept[first][0],
        until=kept[last][0],
        evidence=tuple(evidence),
        chart=_chart(kept, values, first, last, top),
    )


def _reason(top: _Odd, values: list[float], effect: float | None, higher: bool) -> str:
    because, more = top.because, "more"
    if because != "stuck" and effect is not None and abs(effect) >= FAR_OFF:
        because = "hour"
    elif because in ("variation", "jumps"):
        gaps = np.abs(np.diff(values[: top.place + 1]))
        more = "more" if gaps[-20:].mean() >= gaps.mean() else "less"
    return _WORDS[because].format(way="above" if higher else "below", more=more)


def _chart(kept: list[tuple[datetime, float]], values: list[float], first: int, last: int, top: _Odd) -> dict[str, Any]:
    begin, end = max(0, first - AROUND), min(len(kept), last + AROUND)
    stride = -(-(end - begin) // (2 * AROUND))
    places = range(begin + (top.place - begin) % stride, end, stride)
    return {
        "kind": "line",
        "x": [kept[place][0].isoformat() for place in places],
        "y": [values[place] for place in places],
        "mark": kept[top.place][0].isoformat(),
    }
