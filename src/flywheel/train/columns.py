"""Dicts and mixed lists → a numeric table: numbers as they are, categories as codes, everything else missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "leaves", "learn"]

MOST = 250
"""Categories kept per column, the most frequent; the rest count as missing (the learner's limit is 255)."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, and for each its categories (None: a column of numbers)."""

    names: tuple[str, ...]
    categories: tuple[tuple[str, ...] | None, ...]

    def matrix(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """n inputs to n × columns floats. Missing keys, unknown categories and unreadable inputs are NaN; unknown keys
        are ignored."""
        place = {name: column for column, name in enumerate(self.names)}
        codes = [None if c is None else {text: float(code) for code, text in enumerate(c)} for c in self.categories]
        out = np.full((len(inputs), len(self.names)), np.nan)
        for row, value in enumerate(inputs):
            for name, leaf in leaves(value):
                column = place.get(name)
                if column is None:
                    continue
                known = codes[column]
                out[row, column] = _number(leaf) if known is None else known.get(category(leaf), math.nan)
        return out


def learn(inputs: Sequence[Any]) -> Columns:
    """Find the columns of `inputs`: one of numbers when at least nine in ten of its values are, else of categories."""
    numeric: Counter[str] = Counter()
    seen: dict[str, Counter[str]] = {}
    for value in inputs:
        for name, leaf in leaves(value):
            seen.setdefault(name, Counter())[category(leaf)] += 1
            numeric[name] += not isinstance(leaf, bool) and not math.isnan(_number(leaf))
    numbers = {name: numeric[name] >= 0.9 * counts.total() for name, counts in seen.items()}
    names = tuple(sorted(seen, key=lambda name: (numbers[name], name)))  # categories first: the order the trees work in
    kinds: list[tuple[str, ...] | None] = []
    for name in names:
        frequent = sorted(seen[name].items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        kinds.append(None if numbers[name] else tuple(sorted(text for text, _ in frequent)))
    return Columns(names, tuple(kinds))


def leaves(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Scalar leaves of an input with dotted names; list items are numbered; None is left out.

    >>> list(leaves({"age": 31, "address": {"zip": "1010"}}))
    [('age', 31), ('address.zip', '1010')]
    """
    if value is None:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from leaves(item, f"{prefix}.{place}" if prefix else str(place))
    else:
        yield prefix or "value", value


def category(leaf: Any) -> str:
    """The text under which a value is a category."""
    if isinstance(leaf, bool):
        return "true" if leaf else "false"
    if isinstance(leaf, float) and leaf.is_integer():
        return str(int(leaf))
    return str(leaf)


def _number(leaf: Any) -> float:
    """The value as a number, from text too ("12.5"); NaN when it is none."""
    if isinstance(leaf, bool):
        return float(leaf)
    try:
        number = float(leaf)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
