"""Rows that are alike, counted once: what the search for slices works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig

__all__ = ["Rows", "as_rows", "compress"]

_WIDE = 2**62
_ALIKE = 0.8
"""Rows are merged only when at most this share of them is different: sorting them has to pay."""


@dataclass(frozen=True, slots=True)
class Rows:
    """m different rows of d codes, with what they stand for.

    `codes` is d × m, each column as its own contiguous line of small integers; below 0 there is no value to name.
    """

    codes: np.ndarray[Any, Any]
    weight: np.ndarray[Any, Any]
    """m: how many interactions a row stands for (or the sum of their weights)."""
    loss: np.ndarray[Any, Any]
    """m: the weighted sum of their losses."""
    worst: np.ndarray[Any, Any]
    """m: the largest loss of one of them."""


def as_rows(columns: Any, losses: Any, weights: Any = None) -> tuple[Rows, list[str]]:
    """Check what a caller gives, and name the columns: a mapping name → codes, or an n × d matrix of integers."""
    if isinstance(columns, Mapping):
        names = [str(name) for name in columns]
        parts = [np.asarray(column) for column in columns.values()]
    else:
        matrix = np.asarray(columns)
        if matrix.ndim != 2:
            raise InvalidConfig(f"slices need a matrix of n rows × d columns; this has shape {matrix.shape}")
        names = [str(place) for place in range(matrix.shape[1])]
        parts = list(matrix.T)
    loss = np.asarray(losses, dtype=np.float64)
    weight = np.ones(len(loss)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(names, parts, loss, weight)
    codes = np.empty((len(parts), len(loss)), dtype=_small(parts))
    for place, column in enumerate(parts):
        codes[place] = column
    return Rows(codes, weight, weight * loss, loss), names


def _check(names: Sequence[str], parts: Sequence[Any], loss: Any, weight: Any) -> None:
    for name, column in zip(names, parts, strict=True):
        if column.shape != loss.shape:
            raise InvalidConfig(f"column {name!r} has shape {column.shape}, the losses {loss.shape}: give a code a row")
        if column.dtype.kind not in "iub":
            raise InvalidConfig(f"column {name!r} holds {column.dtype}: give integer codes, -1 for no value")
    if weight.shape != loss.shape:
        raise InvalidConfig(f"there are {len(weight)} weights and {len(loss)} losses: give one of each a row")
    for word, values in (("loss", loss), ("weight", weight)):
        bad = ~(values >= 0) | ~np.isfinite(values)
        if bad.any():
            raise InvalidConfig(f"a {word} is {values[bad][0]}: give numbers from 0 up; leave out rows without one")


def _small(parts: Sequence[Any]) -> Any:
    top = max((int(column.max()) for column in parts if column.size), default=0)
    low = min((int(column.min()) for column in parts if column.size), default=0)
    return np.result_type(np.min_scalar_type(top), np.int8 if low < 0 else np.uint8)


def compress(rows: Rows, domains: Sequence[int]) -> Rows:
    """Merge equal rows, where enough are equal. Codes are 0 … domain - 1. O(m log m · d / 18) for ten values a
    column."""
    m = len(rows.loss)
    key, size = np.zeros(m, dtype=np.int64), 1
    for column, domain in zip(rows.codes, domains, strict=True):
        if size * domain >= _WIDE:
            key, size = _dense(key)
            if size > _ALIKE * m:
                return rows
        key = key * domain + column
        size *= domain
    key, size = _dense(key)
    if size > _ALIKE * m:
        return rows
    first = np.empty(size, dtype=np.int64)
    first[key[::-1]] = np.arange(m)[::-1]
    worst = np.zeros(size)
    np.maximum.at(worst, key, rows.worst)
    return Rows(
        np.ascontiguousarray(rows.codes[:, first]),
        np.bincount(key, rows.weight, size),
        np.bincount(key, rows.loss, size),
        worst,
    )


def _dense(key: Any) -> tuple[Any, int]:
    values, place = np.unique(key, return_inverse=True)
    return place, len(values)
