"""How far two windows lie apart, tested against a least effect worth telling, with chance as blocks show it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from flywheel.observe.drift.ebh import evalue

__all__ = ["Effect", "Side", "apart", "grown", "long_run", "matched"]

Array = np.ndarray[Any, Any]
DAY, WEEK = 86_400, 604_800
COVERED = 0.99
"""The season is matched where the reference has seen the hours of this share of the window's rows."""
LIKES = 10
"""Blocks a half of the reference should have at the window's hours of the week; else hours of the day are matched."""
A_BIN = 250
"""Rows a bin should have on each half; thinner bins are merged before one is looked at."""
RUNS = 8


@dataclass(frozen=True, slots=True)
class Effect:
    """One column's move. `size` estimates the total variation distance: the share of values (0 to 1) that are where
    they were not before; the interval is that of `size`, `e` the evidence that it exceeds the least effect."""

    size: float
    low: float
    high: float
    p: float
    e: float
    n: int
    season: str
    """`hour of week`, `hour of day` or empty: like what the window was held against."""
    blocks: int


@dataclass(frozen=True, slots=True)
class Side:
    """One window's counts: blocks × cells; when each block began (seconds since 1970; NaN: not by time)."""

    counts: Array
    start: Array

    def halves(self) -> Array:
        """0 or 1 for each block: every other day, or every other run of blocks where there are few days."""
        n = len(self.start)
        if n and np.isfinite(self.start).all():
            day = (self.start // DAY).astype(np.int64)
            if len(np.unique(day)) >= 4:
                return np.asarray(day % 2)
        return np.asarray(np.arange(n) * RUNS // max(n, 1) % 2)


@dataclass(frozen=True, slots=True)
class Season:
    """Which slot of the season each block lies in, on both sides, and which of the window's blocks have a like."""

    name: str
    slots: int
    old: Array
    new: Array
    kept: Array


def apart(reference: Side, window: Side, minimum: float, *, ordered: bool = True) -> Effect:
    """Estimate and test the distance of two sets of counts.

    The cells that grew are found on one half of the days and their growth measured on the other, and the other way
    round: the growth of a set of cells is at most the total variation distance, and equal to it for the right set, so
    the estimate does not rise by chance as the plain distance does. The window's blocks are held against reference
    blocks of the same hour of the week (or day) where it has them. `p` is of "at most `minimum`", by Student's t with
    a long-run variance over the blocks in order (`long_run`). Cells thinner than some dozens of rows are merged first,
    neighbours where `ordered`. O(blocks × cells).
    """
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if not n or not m:
        return Effect(0.0, 0.0, 1.0, 1.0, evalue(1.0), n, "", len(window.start))
    merged = _merged(reference.counts, window.counts, ordered)
    old, new = reference.counts @ merged, window.counts @ merged
    season = matched(reference, window)
    half_old, half_new = reference.halves(), window.halves()
    base = [_by(season.old[half_old == h], old[half_old == h], season.slots) for h in (0, 1)]
    inside_old, inside_new = np.zeros((2, len(old))), np.zeros((2, len(new)))
    for half in (0, 1):
        there = (half_new != half) & season.kept
        grew = _growth(new[there], season.new[there], base[1 - half]) > 0
        inside_old[half], inside_new[half] = old @ grew, new @ grew
    return grown(reference, window, inside_old, inside_new, minimum, season)


def grown(
    reference: Side, window: Side, inside_old: Array, inside_new: Array, minimum: float, season: Season | None = None
) -> Effect:
    """Estimate and test how much a set of values grew, the set of each half of the blocks chosen on the other half.

    `inside_*[h]` counts, by block, the rows in the set that is to be measured on half h. The growth of any set is a
    lower bound of the total variation distance. O(blocks).
    """
    season = season or matched(reference, window)
    half_old, half_new = reference.halves(), window.halves()
    rows_old, rows_new = reference.counts.sum(axis=1).astype(float), window.counts.sum(axis=1).astype(float)
    rows_new, inside_new = rows_new * season.kept, inside_new * season.kept
    total, slots = rows_new.sum(), season.slots
    size, u_new, u_old = 0.0, np.zeros(len(rows_new)), np.zeros(len(rows_old))
    plain, noise_old, noise_new, likes = np.zeros(len(rows_old)), 0.0, 0.0, 0
    seen = np.bincount(season.old, minlength=slots)
    own = np.sqrt(seen / np.maximum(seen - 1, 1))[season.old]
    for half in (0, 1):
        here, inner = half_new == half, half_old == half
        if not rows_new[here].sum() or not rows_old[inner].sum():
            continue
        share = _ratio(season.old[inner], inside_old[half][inner], rows_old[inner], slots)
        both = _ratio(season.old, inside_old[half], rows_old, slots)
        rows, inside, slot = rows_new[here], inside_new[half][here], season.new[here]
        size += float((inside - rows * share[slot]).sum())
        residual = inside - rows * both[slot]
        u_new[here] = residual - rows * residual.sum() / rows.sum()
        weight = np.bincount(slot, rows, slots)
        mass = np.bincount(season.old[inner], rows_old[inner], slots)
        ratio = weight / np.maximum(mass, 1)
        slot = season.old[inner]
        plain[inner] = (inside_old[half][inner] - rows_old[inner] * both[slot]) * own[inner]
        u_old[inner] = ratio[slot] * plain[inner]
        likes += int(((ratio[slot] > 0) & (rows_old[inner] > 0)).sum())
        spread = both * (1 - both)
        noise_old += float(rows_old[inner] @ spread[slot])
        noise_new += float(rows @ spread[season.new[here]])
    own_chance = long_run(u_new[season.kept])
    like = _as_before(plain, noise_old, rows_old, noise_new, rows_new[season.kept])
    spread_old, freedom_old = long_run(u_old)
    freedom_old = min(freedom_old, float(likes))
    variance, freedom = _sum_of(max(own_chance, like), (spread_old, freedom_old))
    error = math.sqrt(variance) / total if total else math.inf
    return _tested(size / max(total, 1), error, freedom, minimum, int(total), season.name, int(season.kept.sum()))


def _tested(size: float, error: float, freedom: float, minimum: float, n: int, season: str, blocks: int) -> Effect:
    if freedom < 1 or not math.isfinite(error):
        return Effect(max(size, 0.0), 0.0, 1.0, 1.0, evalue(1.0), n, season, blocks)
    error = max(error, 1e-12)
    p = float(stats.t.sf((size - minimum) / error, freedom))
    reach = float(stats.t.ppf(0.975, freedom)) * error
    size = float(min(max(size, 0.0), 1.0))
    return Effect(size, max(size - reach, 0.0), min(size + reach, 1.0), p, evalue(p), n, season, blocks)


def long_run(series: Array, like: int | None = None) -> tuple[float, float]:
    """Variance of the sum of a series of T residuals that may depend on their neighbours, and its degrees of freedom.

    Equally weighted cosines: the first 0.4 T^(2/3) of them, with Student's t (Lazarus, Lewis, Stock & Watson, "HAR
    inference: recommendations for practice", JBES 2018). Slow waves count as chance, so a drifting but stationary
    metric is not taken for a change. `like` takes as many cosines as a series of that length has. O(T^(5/3)).

    >>> variance, freedom = long_run(np.random.default_rng(0).normal(size=1000))
    >>> 500 < variance < 1800, freedom
    (True, 39.0)
    """
    length = len(series)
    count = int(0.4 * min(length, like or length) ** (2 / 3))
    if count < 1:
        return math.inf, 0.0
    grid = np.arange(length) + 0.5
    waves = math.sqrt(2.0) * np.cos(np.pi * np.outer(np.arange(1, count + 1), grid) / length)
    return float(((waves @ series) ** 2).mean()), float(count)


def _as_before(plain: Array, noise_old: float, rows_old: Array, noise_new: float, rows: Array) -> tuple[float, float]:
    """The window's chance were it as the reference's: what slow waves there add to the noise of single rows.

    A reference is longer than a window, so it has seen waves that a window cannot tell from a change.
    """
    variance, freedom = long_run(plain, len(rows))
    waves = max(variance - noise_old, 0.0) / max(float(rows_old @ rows_old), 1.0)
    return noise_new + waves * float(rows @ rows), freedom


def _sum_of(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Add two independent variances, with the degrees of freedom of the sum (Welch 1947, Satterthwaite 1946)."""
    total = one[0] + other[0]
    if not math.isfinite(total) or not one[1] or not other[1]:
        return math.inf, 0.0
    parts = one[0] ** 2 / one[1] + other[0] ** 2 / other[1]
    return total, (total**2 / parts if parts > 0 else one[1] + other[1])


def _by(slots: Array, counts: Array, n: int) -> Array:
    total = np.zeros((n, counts.shape[1]))
    np.add.at(total, slots, counts)
    return total


def _ratio(slots: Array, inside: Array, rows: Array, n: int) -> Array:
    mass = np.bincount(slots, rows, n)
    return np.divide(np.bincount(slots, inside, n), mass, out=np.zeros(n), where=mass > 0)


def _growth(new: Array, slots: Array, base: Array) -> Array:
    """How much more of the window lies in each cell than the reference's mix at the same hours would put there."""
    mass = base.sum(axis=1, keepdims=True)
    mix = np.divide(base, mass, out=np.zeros_like(base), where=mass > 0)
    weight = np.bincount(slots, new.sum(axis=1), minlength=len(base))
    return np.asarray(new.sum(axis=0) - weight @ mix)


def matched(reference: Side, window: Side) -> Season:
    """The longest season that the reference covers on both halves of its days: hours of the week, else of the day, else
    none. A block longer than an hour counts as its first hour."""
    old, new = np.zeros(len(reference.start), np.int64), np.zeros(len(window.start), np.int64)
    none = Season("", 1, old, new, np.ones(len(new), bool))
    if not (np.isfinite(reference.start).all() and np.isfinite(window.start).all()):
        return none
    halves_old, halves_new = reference.halves(), window.halves()
    rows_old, rows_new = reference.counts.sum(axis=1), window.counts.sum(axis=1)
    for period, name in ((WEEK, "hour of week"), (DAY, "hour of day")):
        slots = period // 3600
        old = (reference.start % period // 3600).astype(np.int64)
        new = (window.start % period // 3600).astype(np.int64)
        kept = np.ones(len(new), bool)
        asked = np.bincount(new, rows_new, slots) > 0
        enough = True
        for half in (0, 1):
            kept &= (np.bincount(old[halves_old == half], rows_old[halves_old == half], slots) > 0)[new]
            enough &= period == DAY or int(asked[old[(halves_old == half) & (rows_old > 0)]].sum()) >= LIKES
        enough &= all(rows_new[kept & (halves_new == half)].sum() > 0 for half in (0, 1))
        if enough and rows_new[kept].sum() >= COVERED * rows_new.sum():
            return Season(name, slots, old, new, kept)
    return none


def _merged(old: Array, new: Array, ordered: bool) -> Array:
    """Cells × fewer cells of 0 and 1: which are counted as one. By the reference's counts and the sizes, never by what
    moved."""
    cells = old.shape[1]
    mass = old.sum(axis=0).astype(float)
    wanted = int(min(new.sum(), old.sum()) / 2 / A_BIN)
    wanted = min(max(wanted, 4), cells)
    group = np.zeros(cells, np.int64)
    if ordered:
        body = mass[:-1]
        middle = np.cumsum(body) - body / 2
        group[:-1] = np.floor(middle / max(body.sum(), 1) * wanted).astype(np.int64).clip(0, wanted - 1)
        group[-1] = wanted
    else:
        rank = np.empty(cells - 1, np.int64)
        rank[np.argsort(-mass[:-1], kind="stable")] = np.arange(cells - 1)
        group[:-1] = np.minimum(rank, wanted - 1)
        group[-1] = wanted
    _, group = np.unique(group, return_inverse=True)
    made = np.zeros((cells, int(group.max()) + 1))
    made[np.arange(cells), group] = 1.0
    return made
