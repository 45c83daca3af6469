"""The slices of the data where a model does worst, by an exact search.

Sagadeeva and Boehm (2021), "SliceLine: fast, linear-algebra-based slice finding for ML model debugging", SIGMOD: the
score, its upper bounds, and the level-wise search. Here the rows of one set of columns are told apart by one number
each, so that a level is a histogram a set of columns, and no matrix of slices × rows is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig
from flywheel.observe.slices.rows import Rows, as_rows, compress

__all__ = ["Found", "top_slices"]

_NEAR = 1e-9
"""Scores that differ by less are the same; sums of floats are no better."""
_CELLS = 2**62

Array = np.ndarray[Any, Any]
Columns = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One slice: its conditions (name of a column, code), and what was measured on the rows given."""

    conditions: tuple[tuple[str, int], ...]
    score: float
    size: float
    """How many rows (the sum of their weights)."""
    loss: float
    """The (weighted) sum of their losses."""
    mean: float
    """Their mean loss."""


def top_slices(
    columns: Any,
    losses: Any,
    weights: Any = None,
    *,
    k: int = 10,
    alpha: float = 0.95,
    max_level: int = 3,
    min_support: float | None = None,
) -> list[Found]:
    """The `k` conjunctions of up to `max_level` conditions with the highest score above 0, best first. Exact.

    `columns` maps names to n integer codes each (or is an n × d matrix of them); a negative code is a value without a
    name. `losses` are n numbers from 0 up, `weights` count rows more than once. A slice with mean loss e and size s, of
    n rows with mean loss E, scores `alpha (e / E - 1) - (1 - alpha) (n / s - 1)`: near 1, `alpha` looks for bad slices,
    near 0 for large ones. Slices smaller than `min_support` (default: the larger of 32 and a hundredth) are not looked
    at. Of equal scores the shorter, then the one with earlier columns and codes comes first.

    At most one histogram of the rows for each set of columns: O(n · d^max_level) at the very worst, O(n · d) memory.
    Raises `InvalidConfig` for shapes that do not fit, losses below 0, or a k, alpha or level that cannot be.

    >>> found = top_slices({"device": np.array([0, 0, 1, 1] * 50)}, [1, 0, 0, 0] * 50, k=1)
    >>> found[0].conditions, found[0].mean, round(found[0].score, 6)
    ((('device', 0),), 0.5, 0.9)
    """
    if k < 1 or max_level < 1 or not 0 < alpha <= 1:
        raise InvalidConfig(
            f"k is {k}, max_level {max_level}, alpha {alpha}: k and max_level start at 1, alpha lies above 0, up to 1"
        )
    rows, names = as_rows(columns, losses, weights)
    total, failed = float(rows.weight.sum()), float(rows.loss.sum())
    if not total or not failed:
        return []
    support = max(32.0, total / 100) if min_support is None else float(min_support)
    score = _Score(total, failed / total, alpha, support)
    return _Search(rows, names, score, k).run(max_level)


@dataclass(frozen=True, slots=True)
class _Score:
    """The score of slices, and the best that any slice within them could have."""

    total: float
    mean: float
    alpha: float
    support: float

    def of(self, size: Array, loss: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = self.alpha * (loss / size / self.mean - 1) - (1 - self.alpha) * (self.total / size - 1)
        return np.where(size > 0, found, -np.inf)

    def bound(self, size: Array, loss: Array, worst: Array) -> Array:
        """For subsets of at most `size` rows with a loss of at most `loss` in all and `worst` in one.

        Rising in the size while every row may have the worst loss, and of one sign of slope from there on: the best
        size is where that ends, or the largest.
        """
        turn = np.clip(loss / np.maximum(worst, 1e-300), self.support, np.maximum(size, self.support))
        best = np.maximum(self.of(turn, np.minimum(loss, turn * worst)), self.of(size, np.minimum(loss, size * worst)))
        return np.where((size >= self.support) & (loss > 0), best, -np.inf)


@dataclass(slots=True)
class _Kept:
    """The slices over one set of columns that may have better ones within: sorted by `key`, their codes as one
    number."""

    key: Array
    codes: Array
    """Slices × columns."""
    size: Array
    loss: Array
    worst: Array
    bound: Array

    def keep(self, which: Array) -> _Kept:
        return _Kept(
            self.key[which],
            self.codes[which],
            self.size[which],
            self.loss[which],
            self.worst[which],
            self.bound[which],
        )


class _Best:
    """The best k so far, and every tie with the last of them."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.least = 0.0
        """What a slice has to reach to matter."""
        self.rows: list[tuple[float, Columns, Columns, float, float]] = []

    def offer(self, columns: Columns, codes: Array, score: Array, size: Array, loss: Array) -> None:
        for place in np.flatnonzero(score >= max(self.least - _NEAR, _NEAR)):
            mine = tuple(int(code) for code in codes[place])
            self.rows.append((float(score[place]), columns, mine, float(size[place]), float(loss[place])))
        if len(self.rows) >= self.k:
            scores = np.sort([row[0] for row in self.rows])
            self.least = max(float(scores[-self.k]), 0.0)
            self.rows = [row for row in self.rows if row[0] >= self.least - _NEAR]


class _Search:
    def __init__(self, rows: Rows, names: list[str], score: _Score, k: int) -> None:
        self.score, self.names, self.best = score, names, _Best(k)
        self.domains: list[int] = []
        self.values: list[Array] = []
        self.levels: dict[Columns, _Kept] = {}
        self.rows = self._singles(rows)

    def run(self, max_level: int) -> list[Found]:
        for level in range(2, min(max_level, len(self.domains)) + 1):
            self.levels = self._next(level)
            if not self.levels:
                break
        # Ties: the shorter, then the earlier in columns and codes.
        order = sorted(self.best.rows, key=lambda row: (-round(row[0], 8), len(row[1]), row[1], row[2]))
        return [
            Found(
                tuple((self.names[c], int(self.values[c][code])) for c, code in zip(columns, codes, strict=True)),
                score,
                size,
                loss,
                loss / size,
            )
            for score, columns, codes, size, loss in order[: self.best.k]
        ]

    def _singles(self, rows: Rows) -> Rows:
        """Measure every single condition, leave out values that no slice can use, and count equal rows once."""
        coded = np.empty(rows.codes.shape, dtype=np.int64 if rows.codes.dtype.itemsize > 2 else np.int32)
        singles: list[_Kept] = []
        for place, column in enumerate(rows.codes):
            shifted = np.maximum(column.astype(np.int64), -1) + 1
            size, loss = np.bincount(shifted, rows.weight), np.bincount(shifted, rows.loss)
            worst = np.zeros(len(size))
            if rows.worst.size and rows.worst.max() == rows.worst[rows.loss > 0].min():  # all losses alike, as 0 and 1
                worst[loss > 0] = rows.worst.max()
            else:
                np.maximum.at(worst, shifted, rows.worst)
            size[0] = 0.0
            used = np.flatnonzero((size >= self.score.support) & (loss > 0))
            again = np.full(len(size), len(used))
            again[used] = np.arange(len(used))
            coded[place] = again[shifted]
            self.values.append(used - 1)
            self.domains.append(len(used))
            size, loss, worst = size[used], loss[used], worst[used]
            codes = np.arange(len(used))[:, None]
            self.best.offer((place,), codes, self.score.of(size, loss), size, loss)
            bound = self.score.bound(size, loss, worst)
            singles.append(_Kept(codes[:, 0], codes, size, loss, worst, bound))
        self.levels = {(place,): kept for place, kept in enumerate(singles) if len(kept.key)}
        merged = compress(
            Rows(_narrow(coded, self.domains), rows.weight, rows.loss, rows.worst), [d + 1 for d in self.domains]
        )
        order = np.argsort(merged.loss <= 0, kind="stable")  # rows with a loss first: their histogram is the cheaper
        self.failing = int(np.count_nonzero(merged.loss > 0))
        return Rows(
            np.ascontiguousarray(merged.codes[:, order]), merged.weight[order], merged.loss[order], merged.worst[order]
        )

    def _next(self, level: int) -> dict[Columns, _Kept]:
        """The slices of one condition more. Those columns come first that may have the best: they raise the bar."""
        self._prune()
        made: dict[Columns, _Kept] = {}
        order = sorted(self.levels, key=lambda columns: (-float(self.levels[columns].bound.max()), columns))
        for columns in order:
            kept = self.levels[columns]
            if kept.bound.max() < self.best.least - _NEAR:
                continue
            self._grow(columns, kept, level, made)
        return made

    def _prune(self) -> None:
        pruned = {}
        for columns, kept in self.levels.items():
            alive = kept.bound >= self.best.least - _NEAR
            if alive.any():
                pruned[columns] = kept if alive.all() else kept.keep(alive)
        self.levels = pruned

    def _grow(self, columns: Columns, kept: _Kept, level: int, made: dict[Columns, _Kept]) -> None:
        """Measure what these slices become with one more condition on each later column."""
        marks: _Marks | None = None
        for added in range(columns[-1] + 1, len(self.domains)):
            domain = self.domains[added]
            bounds = self._bounds(columns, kept, added, level) if domain else None
            if bounds is None:
                continue
            size, loss, worst = bounds
            open_ = self.score.bound(size, loss, worst) >= self.best.least - _NEAR
            if not open_.any():
                continue
            if marks is None:
                marks = self._marks(columns, kept)
            cells = (len(kept.key) + 1) * (domain + 1)
            shape = (len(kept.key) + 1, domain + 1)
            real = marks.losses(self.rows.codes[added], domain + 1, cells).reshape(shape)[:-1, :-1]
            loss = np.minimum(np.where(open_, real, 0.0), loss)
            open_ &= self.score.bound(size, loss, worst) >= self.best.least - _NEAR
            if not open_.any():
                continue
            size = marks.sizes(self.rows.codes[added], domain + 1, cells).reshape(shape)[:-1, :-1]
            self._settle((*columns, added), kept, (size, real, worst), open_, made)

    def _settle(
        self, columns: Columns, kept: _Kept, measured: tuple[Array, ...], open_: Array, made: dict[Columns, _Kept]
    ) -> None:
        """Offer what was measured to the best, and keep what may have better slices within."""
        size, loss, worst = measured
        who, value = np.nonzero(open_ & (size >= self.score.support) & (loss > 0))
        if not len(who):
            return
        size, loss, worst = size[who, value], loss[who, value], worst[who, value]
        codes = np.column_stack([kept.codes[who], value])
        self.best.offer(columns, codes, self.score.of(size, loss), size, loss)
        bound = self.score.bound(size, loss, worst)
        alive = bound >= self.best.least - _NEAR
        if alive.any():
            key = kept.key[who] * self.domains[columns[-1]] + value
            made[columns] = _Kept(key, codes, size, loss, worst, bound).keep(alive)

    def _bounds(self, columns: Columns, kept: _Kept, added: int, level: int) -> tuple[Array, Array, Array] | None:
        """What every slice over `columns` and `added` can have at most, by all its parents; None where one is
        missing."""
        domain = self.domains[added]
        if _product([*(self.domains[c] for c in columns), domain]) >= _CELLS:
            raise InvalidConfig(
                f"columns {[self.names[c] for c in (*columns, added)]} have too many values to number their "
                f"combinations. Code rare values as -1, or lower max_level from {level}"
            )
        shape = (len(kept.key), domain)
        out = [np.broadcast_to(v[:, None], shape) for v in (kept.size, kept.loss, kept.worst)]
        for parent, codes in self._parents(columns, kept, added):
            other = self.levels.get(parent)
            if other is None:
                return None
            place = np.minimum(np.searchsorted(other.key, codes), len(other.key) - 1)
            there = other.key[place] == codes
            for at, values in enumerate((other.size, other.loss, other.worst)):
                out[at] = np.minimum(out[at], np.where(there, values[place], 0.0))
        return out[0], out[1], out[2]

    def _parents(self, columns: Columns, kept: _Kept, added: int) -> Iterator[tuple[Columns, Array]]:
        """The other parents of every slice over `columns` and `added`, with the numbers of their codes."""
        last = np.arange(self.domains[added])
        for left in combinations(range(len(columns)), len(columns) - 1):
            key = np.zeros(len(kept.key), dtype=np.int64)
            for at in left:
                key = key * self.domains[columns[at]] + kept.codes[:, at]
            yield (*(columns[at] for at in left), added), key[:, None] * self.domains[added] + last

    def _marks(self, columns: Columns, kept: _Kept) -> _Marks:
        """Which of the kept slices over `columns` each row is in; the number after the last for none."""
        m = len(self.rows.loss)
        inside = np.ones(m, dtype=bool)
        key = np.zeros(m, dtype=np.int64)
        for c in columns:
            code, domain = self.rows.codes[c], self.domains[c]
            key *= domain
            key += code
            inside &= code < domain
        size = _product([self.domains[c] for c in columns])
        if size <= 4 * m:
            table = np.full(size, len(kept.key), dtype=np.int64)
            table[kept.key] = np.arange(len(kept.key))
            mark = table[np.minimum(key, size - 1)]
        else:
            mark = np.minimum(np.searchsorted(kept.key, key), len(kept.key) - 1)
            mark = np.where(kept.key[mark] == key, mark, len(kept.key))
        mark[~inside] = len(kept.key)
        return _Marks(self.rows, self.failing, mark, len(kept.key))


class _Marks:
    """Rows by the slice they are in; rows in none are left out where they are many."""

    def __init__(self, rows: Rows, failing: int, mark: Array, none: int) -> None:
        self.rows, self.failing, self.mark = rows, failing, mark
        self.use: Array | None = None
        within = np.flatnonzero(mark != none)
        if len(within) < 0.5 * len(mark):
            self.use, self.mark = within, mark[within]
            self.failing = int(np.searchsorted(within, failing))
        weight = rows.weight if self.use is None else rows.weight[self.use]
        self.weight = None if weight.size and weight.min() == weight.max() == 1 else weight
        self.loss = rows.loss[: self.failing] if self.use is None else rows.loss[self.use[: self.failing]]

    def losses(self, codes: Array, width: int, cells: int) -> Array:
        """The sum of losses by slice and value of one column."""
        n = self.failing
        code = codes[:n] if self.use is None else codes[self.use[:n]]
        return np.bincount(self.mark[:n] * width + code, self.loss, cells)

    def sizes(self, codes: Array, width: int, cells: int) -> Array:
        """The number of rows by slice and value of one column."""
        code = codes if self.use is None else codes[self.use]
        return np.bincount(self.mark * width + code, self.weight, cells).astype(np.float64)


def _narrow(codes: Array, domains: list[int]) -> Array:
    """The smallest integers that hold every code and the one for no value."""
    return codes.astype(np.min_scalar_type(max(domains, default=0)))


def _product(numbers: list[int]) -> int:
    out = 1
    for number in numbers:
        out *= number
    return out
