"""The demo's product: a post office that reads handwritten digits.

The scans are scikit-learn's 1,797 real digits by 43 people (UCI, Alpaydin and Kaynak 1998; they come inside its wheel).
What happens to the post office is decided by the seed alone, before any lane runs: which two digits its first labels
lack, which images each day brings, what the second scanner does to them, and what each customer would complain about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.ndimage import gaussian_filter, shift
from sklearn.datasets import load_digits

__all__ = ["Day", "PostOffice", "Read"]

_SEALED = 500
_SEEDED = 100
_READS_A_DAY = 400
_SECOND_SCANNER = 0.35  # its share of the traffic once it has arrived, and of the sealed test
_SECOND_SCANNER_FROM = 3  # day
_LATE = 0.5  # how often a late digit comes beside another
_COMPLAINT = 0.30  # chance that somebody complains about a wrong read …
_WRONG_COMPLAINT = 0.02  # … and about a right one


@dataclass(frozen=True, slots=True)
class Read:
    """One letter: its scan (64 grey values, 0 to 16), the digit on it, and where and when it was read."""

    pixels: list[float]
    digit: int
    user: str
    context: dict[str, str | int]
    at: datetime
    patience: float
    """Uniform in [0, 1): a customer complains when it is below the chance of a complaint."""
    delay_hours: float


@dataclass(frozen=True, slots=True)
class Day:
    """One day's traffic, in order; it is one spin."""

    number: int
    reads: tuple[Read, ...]
    end: datetime


class PostOffice:
    """The whole story for one seed: first labels, days of traffic, and the sealed test that no lane touches."""

    def __init__(self, spins: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        bunch = load_digits()
        images, digits = bunch.data.astype(float), bunch.target.astype(int)
        order = rng.permutation(len(images))
        sealed, rest = order[:_SEALED], order[_SEALED:]
        self.late = tuple(sorted(int(d) for d in rng.choice(10, 2, replace=False)))
        known = rest[~np.isin(digits[rest], self.late)]
        first = known[:_SEEDED]
        pool = np.setdiff1d(rest, first)
        self.seed_inputs = [images[i].tolist() for i in first]
        self.seed_labels = [int(digits[i]) for i in first]
        second = rng.random(_SEALED) < _SECOND_SCANNER
        self.sealed_inputs = [
            _second_scanner(images[i], rng) if other else images[i].tolist()
            for i, other in zip(sealed, second, strict=True)
        ]
        self.sealed_labels = [int(digits[i]) for i in sealed]
        opening = datetime(2026, 3, 2, tzinfo=UTC)
        self.days = [
            _day(number, images, digits, pool, self.late, opening + timedelta(days=number - 1), rng)
            for number in range(1, spins + 1)
        ]
        self.opening = opening


def _second_scanner(image: np.ndarray, rng: np.random.Generator) -> list[float]:
    """A worn machine: out of focus, shifted, low in contrast, noisy."""
    soft = gaussian_filter(image.reshape(8, 8), 0.5)
    moved = shift(soft, (rng.uniform(-1, 1), rng.uniform(-1, 1)), order=1)
    noisy = moved * 0.85 + 1.0 + rng.normal(0, 1.2, (8, 8))
    return [round(float(value), 2) for value in np.clip(noisy, 0, 16).ravel()]


def _day(
    number: int,
    images: np.ndarray,
    digits: np.ndarray,
    pool: np.ndarray,
    late: tuple[int, ...],
    date: datetime,
    rng: np.random.Generator,
) -> Day:
    """Draw one day: the late digits come from the first day on, at half the rate; the second scanner from the third."""
    weights = np.ones(len(pool))
    weights[np.isin(digits[pool], late)] = _LATE
    drawn = rng.choice(pool, _READS_A_DAY, p=weights / weights.sum())
    hours = np.sort(rng.uniform(8, 18, _READS_A_DAY))
    reads = []
    for index, hour in zip(drawn, hours, strict=True):
        other = number >= _SECOND_SCANNER_FROM and rng.random() < _SECOND_SCANNER
        reads.append(
            Read(
                pixels=_second_scanner(images[index], rng) if other else images[index].tolist(),
                digit=int(digits[index]),
                user=f"customer-{rng.integers(300)}",
                context={"scanner": "B" if other else "A", "office": f"office-{rng.integers(6)}", "hour": int(hour)},
                at=date + timedelta(hours=float(hour)),
                patience=float(rng.random()),
                delay_hours=float(rng.lognormal(0.5, 1.0)),
            )
        )
    return Day(number, tuple(reads), date + timedelta(hours=23))


def complains(read: Read, answer: object) -> bool:
    """Whether this customer would complain about this answer: some wrong reads, and a few right ones."""
    return read.patience < (_WRONG_COMPLAINT if answer == read.digit else _COMPLAINT)
