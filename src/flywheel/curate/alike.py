"""The inputs that are most like one input, among a few thousand others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.curate.space import likeness_to_first

__all__ = ["most_alike"]

_LONG = 40
"""A field with a longer text is written prose: such records are compared by their words, not by equal fields."""
_READ = 4_000
"""So many characters of a text say what it is about."""


def most_alike(value: Any, others: Sequence[Any], k: int = 8) -> list[tuple[int, float]]:
    """The places of the `k` of `others` most like `value`, with their likeness (0 to 1), the likest first.

    In the space in which labels are chosen: texts by their words and letter n-grams, vectors and records by their
    distance. What has nothing in common with `value` is left out. O(others), and one fit of the space to them.

    >>> most_alike("lost my card", ["my card is lost", "exchange rate", "card lost"], k=2)[0][0] in (0, 2)
    True
    """
    if not others or k < 1:
        return []
    inputs = [value, *others]
    if _prose(inputs):
        inputs = [_cut(_written(one)) for one in inputs]
    likeness = likeness_to_first(inputs)
    order = sorted(range(len(others)), key=lambda place: (-likeness[place], place))
    return [(place, round(float(likeness[place]), 4)) for place in order[:k] if likeness[place] > 1e-6]


def _prose(inputs: Sequence[Any]) -> bool:
    """Is any input a text, or does it hold a long one? Then all are compared as texts."""
    return any(isinstance(one, str) or any(len(text) > _LONG for text in _texts(one)) for one in inputs)


def _texts(value: Any, depth: int = 0) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth > 8:
        return []
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [text for one in inside if isinstance(one, str | Mapping | list | tuple) for text in _texts(one, depth + 1)]


def _written(value: Any, depth: int = 0) -> str:
    if isinstance(value, Mapping) and depth < 8:
        return " ".join(_written(value[key], depth + 1) for key in sorted(value, key=str))
    if isinstance(value, list | tuple) and depth < 8:
        return " ".join(_written(one, depth + 1) for one in value)
    return value if isinstance(value, str) else str(value)[:100]


def _cut(text: str) -> str:
    return text[:_READ]
