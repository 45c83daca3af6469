"""Who asks, and when: users of unequal activity, and a day that is quiet at night and busy in the evening."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np

__all__ = ["START", "Crowd", "Person", "chance", "day_of", "endless", "hours", "is_evening", "spread", "zipf"]

START = datetime(2026, 3, 2, tzinfo=UTC)
"""Midnight of the first day, a Monday; spin `n` is the day `START + n days`."""

EVENING = 18
"""The evening lasts from this hour to midnight, and sees about 36 % of requests."""

_HOURS = np.array(
    [
        0.8,
        0.5,
        0.3,
        0.2,
        0.3,
        0.6,
        1.2,
        2.2,
        3.0,
        3.4,
        3.6,
        3.8,
        4.2,
        4.2,
        4.0,
        4.0,
        4.2,
        4.4,
        4.8,
        5.2,
        5.4,
        5.0,
        3.6,
        2.0,
    ]
)

_Thing = TypeVar("_Thing")
_Float = np.ndarray[Any, np.dtype[np.float64]]


def chance(seed: int, *what: str) -> np.random.Generator:
    """A random generator of its own for each thing that is drawn, so that one drawn otherwise moves no other.

    >>> float(chance(1, "hours").random()) == float(chance(1, "hours").random())
    True
    """
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in what)])


def zipf(n: int, exponent: float = 0.8) -> _Float:
    """Shares of `n` things by rank, `rank ** -exponent`, summing to 1."""
    shares: _Float = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    shares /= shares.sum()
    return shares


def endless(pool: Sequence[_Thing], rng: np.random.Generator) -> Iterator[_Thing]:
    """The things of a pool in mixed order; when all have come, again in another order."""
    while True:
        for place in rng.permutation(len(pool)):
            yield pool[place]


def hours(rng: np.random.Generator, n: int) -> _Float:
    """Draw `n` times of day in hours, 0 to 24, by the pattern of the day; in no order."""
    whole: _Float = rng.choice(24, size=n, p=_HOURS / _HOURS.sum()).astype(np.float64)
    return whole + rng.random(n)


def is_evening(hour: float) -> bool:
    """From 18:00 to midnight."""
    return hour >= EVENING


def day_of(spin: int, times: _Float) -> list[datetime]:
    """The moments of a spin's requests, given their hours of the day, to the millisecond."""
    midnight = START + timedelta(days=spin)
    return [midnight + timedelta(milliseconds=int(hour * 3_600_000)) for hour in times]


@dataclass(frozen=True, slots=True)
class Person:
    """A user. `updates` is the first spin with the new version of the app on the device; none on old devices."""

    name: str
    group: str
    locale: str
    device: str
    updates: int | None = None


@dataclass(frozen=True, slots=True)
class Crowd:
    """People and the share of requests each makes (Zipf, exponent 0.8)."""

    people: Sequence[Person]
    activity: _Float

    def draw(self, rng: np.random.Generator, n: int, group: str | None = None) -> list[Person]:
        """Draw who makes each of `n` requests, of one group if asked."""
        shares = self.activity
        if group is not None:
            shares = shares * np.array([person.group == group for person in self.people])
        return [self.people[i] for i in rng.choice(len(self.people), size=n, p=shares / shares.sum())]

    def share(self, group: str) -> float:
        """The share of requests that a group makes."""
        return float(self.activity[[person.group == group for person in self.people]].sum())


def spread(rng: np.random.Generator, parts: Sequence[str], n: int) -> list[str]:
    """Give `n` people by falling activity a value each: every run of `len(parts)` people has exactly `parts`, in an
    order of its own, so that what a value's people ask comes close to its share of people."""
    found: list[str] = []
    while len(found) < n:
        found += [parts[i] for i in rng.permutation(len(parts))]
    return found[:n]
