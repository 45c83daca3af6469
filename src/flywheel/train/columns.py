"""Dicts and mixed lists → a numeric table: numbers as they are, categories as codes, everything else missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "leaves", "learn"]

MOST = 250
"""Categories kept per column, the most frequent; the rest count as missing (the learner's limit is 255)."""
_SCALARS = frozenset({str, int, float, bool, type(None)})
_NAMES = frozenset({str})

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, and for each its categories (None: a column of numbers)."""

    names: tuple[str, ...]
    categories: tuple[tuple[str, ...] | None, ...]

    def matrix(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """n inputs to n × columns floats. Missing keys, unknown categories and unreadable inputs are NaN; unknown keys
        are ignored."""
        found = _cells(inputs)
        out = np.full((len(inputs), len(self.names)), np.nan)
        for column, (name, kind) in enumerate(zip(self.names, self.categories, strict=True)):
            rows, values = found.get(name, ([], []))
            if kind is not None:
                codes = {text: float(code) for code, text in enumerate(kind)}
                texts = _each(values, category)
                out[rows, column] = [codes.get(text, math.nan) for text in texts]
            elif set(map(type, values)) <= {float}:
                numbers = np.array(values, dtype=np.float64)
                out[rows, column] = np.where(np.isfinite(numbers), numbers, np.nan)
            else:
                out[rows, column] = _each(values, _number)
        return out


def learn(inputs: Sequence[Any]) -> Columns:
    """Find the columns of `inputs`: one of numbers when at least nine in ten of its values are, else of categories."""
    numbers: dict[str, bool] = {}
    seen: dict[str, Counter[str]] = {}
    for name, (_, values) in _cells(inputs).items():
        numeric, own = 0, Counter[str]()
        for (_, leaf), count in _counted(values):
            own[category(leaf)] += count
            numeric += count * (not isinstance(leaf, bool) and not math.isnan(_number(leaf)))
        seen[name], numbers[name] = own, numeric >= 0.9 * len(values)
    names = tuple(sorted(seen, key=lambda name: (numbers[name], name)))  # categories first: the order the trees work in
    kinds: list[tuple[str, ...] | None] = []
    for name in names:
        frequent = sorted(seen[name].items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        kinds.append(None if numbers[name] else tuple(sorted(text for text, _ in frequent)))
    return Columns(names, tuple(kinds))


def _cells(inputs: Sequence[Any]) -> dict[str, tuple[list[int], list[Any]]]:
    """Every column's values, and the rows they stand in."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    if inputs and _flat(inputs[0]) and all(_flat(value) and value.keys() == inputs[0].keys() for value in inputs):
        every = list(range(len(inputs)))
        for name in inputs[0]:
            column = [value[name] for value in inputs]
            rows = [row for row in every if column[row] is not None] if None in column else every
            if rows:
                found[name] = rows, column if rows is every else [column[row] for row in rows]
        return found
    for row, value in enumerate(inputs):
        for name, leaf in value.items() if _flat(value) else leaves(value):
            if leaf is not None:
                rows, values = found.setdefault(name, ([], []))
                rows.append(row)
                values.append(leaf)
    return found


def _flat(value: Any) -> bool:
    """A dict of names and scalars, whose leaves are its items; the test costs less than looking for them."""
    if type(value) is not dict or "" in value:
        return False
    return _SCALARS.issuperset(map(type, value.values())) and _NAMES.issuperset(map(type, value))


def _counted(values: Sequence[Any]) -> Iterable[tuple[tuple[type, Any], int]]:
    """Distinct values with their counts; True, 1 and 1.0 are distinct."""
    try:
        return Counter(zip(map(type, values), values, strict=True)).items()
    except TypeError:  # something that cannot be hashed
        return [((type(value), value), 1) for value in values]


def _each(values: Sequence[Any], ask: Callable[[Any], Told]) -> list[Told]:
    """What `ask` says of each value, asked once for each distinct one."""
    try:
        keys = list(zip(map(type, values), values, strict=True))
        known = {key: ask(key[1]) for key in set(keys)}
    except TypeError:
        return [ask(value) for value in values]
    return [known[key] for key in keys]


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
