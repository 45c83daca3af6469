"""What to expect of a metric at this hour: of the day, or of the week where that tells more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

__all__ = ["Season"]

DAY, WEEK = 24, 168
SLOT = 0.02
"""Weight of a new value in the mean of its hour, once 50 have been seen."""
WEEKS = 3
"""An hour of the week is trusted from its third visit on …"""
BETTER = 0.8
"""… while hours of the week are off by less than this share of what hours of the day are off by."""
JUDGE = 0.01
"""Weight of a new value in how far off either is."""


class Season:
    """Mean, and mean absolute difference from it, of each hour of the day and of the week.

    Hours are those of the times as they are given, in their own time zone. O(1) a point.

    >>> from datetime import datetime
    >>> season = Season()
    >>> for day in range(1, 6):
    ...     _ = season.take(datetime(2026, 1, day, 9), 50.0), season.take(datetime(2026, 1, day, 21), 10.0)
    >>> season.take(datetime(2026, 1, 6, 21), 50.0)
    40.0
    >>> season.mean
    10.0
    """

    __slots__ = ("_counts", "_devs", "_here", "_means", "_off_day", "_off_week", "_visits", "count", "dev", "mean")

    def __init__(self) -> None:
        self._counts = [0] * (DAY + WEEK)
        self._means = [0.0] * (DAY + WEEK)
        self._devs = [0.0] * (DAY + WEEK)
        self._visits = [0] * WEEK
        self._here = -1
        self._off_day = self._off_week = 0.0
        self.count, self.mean, self.dev = 0, 0.0, 0.0

    def take(self, at: datetime | None, value: float) -> float:
        """Give the difference of a value from its hour's mean (0 at an hour never seen), then learn it.

        `mean`, `dev` and `count` are then those that were used, from before this value.
        """
        counts, means = self._counts, self._means
        hour, place = (0, 0) if at is None else (at.hour, at.weekday() * DAY + at.hour)
        slot = DAY + place
        if place != self._here:
            self._here = place
            self._visits[place] += 1
        gap = value - means[hour] if counts[hour] else 0.0
        gap_week = value - means[slot] if counts[slot] else 0.0
        used, off = hour, gap
        if self._visits[place] >= WEEKS:
            if self._off_week < BETTER * self._off_day:
                used, off = slot, gap_week
            self._off_week += JUDGE * (abs(gap_week) - self._off_week)
            self._off_day += JUDGE * (abs(gap) - self._off_day)
        self.count, self.mean, self.dev = counts[used], means[used], self._devs[used]
        self._learn(hour, value, gap)
        self._learn(slot, value, gap_week)
        return off

    def _learn(self, slot: int, value: float, gap: float) -> None:
        count = self._counts[slot] + 1
        self._counts[slot] = count
        weight = 1 / count if count < 1 / SLOT else SLOT
        self._means[slot] += weight * (value - self._means[slot])
        self._devs[slot] += weight * (abs(gap) - self._devs[slot])

    def state(self) -> dict[str, Any]:
        """All of it as JSON values."""
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        return lists | {name: getattr(self, name) for name in _NUMBERS}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Season:
        """Bring back what `state` gave."""
        back = cls()
        for name in _LISTS:
            setattr(back, name, list(state[name]))
        for name in _NUMBERS:
            setattr(back, name, state[name])
        return back


_LISTS = ("_counts", "_means", "_devs", "_visits")
_NUMBERS = ("_here", "_off_day", "_off_week")
