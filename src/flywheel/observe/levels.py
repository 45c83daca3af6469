"""Rows of metrics as arrays over time, and what a metric's numbers mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from flywheel.errors import InvalidConfig
from flywheel.observe.bets import Floats
from flywheel.observe.series import utc

__all__ = ["Levels", "Measure", "biweight", "levels", "measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """What a metric's numbers mean."""

    words: str
    bad: int
    """-1 where a fall hurts, 1 where a rise does, 0 where neither."""
    least: float
    """The smallest change worth telling, absolute, or of the usual level where `relative`."""
    relative: bool = False
    unit: str = ""

    def say(self, value: float, *, signed: bool = False) -> str:
        """The number as people read it."""
        sign = "+" if signed else ""
        if self.unit == "%":
            return f"{value:{sign}.1%}"
        if self.unit == "ms":
            return f"{value:{sign},.0f} ms"
        if self.unit == "n" or abs(value) >= 100:
            return f"{value:{sign},.0f}"
        return f"{value:{sign}.3f}" if signed else f"{value:.2f}"

    def matters(self, effect: float, level: float) -> bool:
        """Whether a change is worth telling, at this usual level."""
        if self.unit == "ms" and abs(effect) < 1.0:  # nobody waits for less
            return False
        return abs(effect) >= (self.least * abs(level) if self.relative else self.least)


_MEASURES = {
    "confidence": Measure("Confidence", -1, 0.01),
    "sentiment": Measure("Sentiment", -1, 0.03),
    "failures": Measure("The share of failures", 1, 0.005, unit="%"),
    "errors": Measure("The share of errors", 1, 0.005, unit="%"),
    "negative": Measure("The share of negative feedback", 1, 0.005, unit="%"),
    "feedback": Measure("The share with feedback", 0, 0.005, unit="%"),
    "latency_p50": Measure("Median latency", 1, 0.1, relative=True, unit="ms"),
    "latency_p95": Measure("Latency of the slowest twentieth", 1, 0.1, relative=True, unit="ms"),
    "volume": Measure("Traffic", 0, 0.1, relative=True, unit="n"),
}


def measure(name: str) -> Measure:
    """What is known of a metric; of an unknown one, that a tenth of its level is worth telling."""
    return _MEASURES.get(name, Measure(name.replace("_", " ").capitalize(), 0, 0.1, relative=True))


@dataclass(frozen=True, slots=True)
class Levels:
    """A metric by equal steps of time; steps without a measurement are left out."""

    step: timedelta
    at: list[datetime]
    """Starts of the steps, in the zone asked for."""
    index: Any
    """Steps since the first."""
    values: Floats
    volume: Floats
    """How many interactions are behind each value; of failures, how many labels."""

    @property
    def day(self) -> Any:
        """The day of each step, counted from year 1."""
        return np.array([moment.toordinal() for moment in self.at])

    @property
    def hour(self) -> Any:
        """The hour of day of each step."""
        return np.array([moment.hour for moment in self.at])

    @property
    def weekday(self) -> Any:
        """0 is Monday."""
        return np.array([moment.weekday() for moment in self.at])


_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def levels(
    rows: Iterable[Mapping[str, Any]], name: str, *, every: str = "hour", zone: str = "UTC", hourly: bool = False
) -> Levels:
    """Take one metric out of what `metrics` gave; with `hourly`, minutes are put together to hours by their volume."""
    if every not in _STEPS:
        raise InvalidConfig(f"every {every!r}: there are {', '.join(_STEPS)}")
    kept = []
    for row in rows:
        if name not in row:
            raise InvalidConfig(f"There is no metric {name!r}; the rows have {', '.join(sorted(row))}")
        if row[name] is not None:
            behind = row.get("labels" if name == "failures" else "volume") or 1.0
            kept.append((utc(row["at"]), float(row[name]), float(behind)))
    kept.sort(key=lambda one: one[0])
    if hourly and every == "minute":
        kept, every = _by_hour(kept, name), "hour"
    step, place = _STEPS[every], ZoneInfo(zone) if zone != "UTC" else UTC
    first = kept[0][0] if kept else datetime(1970, 1, 1, tzinfo=UTC)
    return Levels(
        step=step,
        at=[moment.astimezone(place) for moment, _, _ in kept],
        index=np.array([round((moment - first) / step) for moment, _, _ in kept], dtype=np.int64),
        values=np.array([value for _, value, _ in kept], dtype=np.float64),
        volume=np.array([volume for _, _, volume in kept], dtype=np.float64),
    )


_Rows = list[tuple[datetime, float, float]]


def _by_hour(kept: _Rows, name: str) -> _Rows:
    sums: dict[datetime, list[float]] = {}
    for moment, value, volume in kept:
        found = sums.setdefault(moment.replace(minute=0, second=0, microsecond=0), [0.0, 0.0])
        found[0] += value * (1.0 if name == "volume" else volume)
        found[1] += volume
    return [(hour, total if name == "volume" else total / n, n) for hour, (total, n) in sums.items()]


def biweight(values: Floats) -> tuple[float, float]:
    """A location and a scale that single days cannot move: Tukey's biweight (Beers, Flynn & Gebhardt 1990).

    >>> [round(one, 2) for one in biweight(np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 50.0]))]
    [1.0, 0.07]
    """
    centre = float(np.median(values))
    spread = float(np.median(np.abs(values - centre)))
    if spread == 0.0:
        return centre, float(np.std(values)) if values.size < 3 else 0.0
    u = (values - centre) / (6.0 * spread)
    inside = np.abs(u) < 1
    location = centre + float((inside * (values - centre) * (1 - u**2) ** 2).sum() / (inside * (1 - u**2) ** 2).sum())
    u = (values - centre) / (9.0 * spread)
    inside = np.abs(u) < 1
    above = (inside * (values - centre) ** 2 * (1 - u**2) ** 4).sum()
    below = (inside * (1 - u**2) * (1 - 5 * u**2)).sum()
    return location, float(np.sqrt(values.size * above) / abs(below))
