"""The inputs that are most like one input, among a few thousand others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.curate.space import likeness_to_first

__all__ = ["most_alike"]

_LONG = 40
"""A field with a longer text is written prose: such records are compared by their words, not by equal fields."""
_NOTHING = 0.02
"""Less in common is no likeness."""
_READ = 4_000
"""So many characters of a text say what it is about."""


def most_alike(value: Any, others: Sequence[Any], k: int = 8) -> list[tuple[int, float]]:
    """The places of the `k` of `others` most like `value`, with their likeness (0 to 1), the likest first.

    In the space in which labels are chosen: texts by their words and letter n-grams, vectors and records by their
    distance. Only inputs of the same form are compared: a text is like no vector. What has next to nothing in common
    with `value` is left out. O(others), and one fit of the space to them.

    >>> most_alike("lost my card", ["my card is lost", "exchange rate", "card lost"], k=2)[0][0] in (0, 2)
    True
    """
    if not others or k < 1:
        return []
    form = _form(value)
    same = [place for place, other in enumerate(others) if _form(other) == form]
    if not same:
        return []
    inputs = [value, *(others[place] for place in same)]
    if form == "text" or _prose(inputs):
        inputs = [_cut(_written(one)) for one in inputs]
    likeness = likeness_to_first(inputs)
    order = sorted(range(len(same)), key=lambda at: (-likeness[at], same[at]))
    return [(same[at], round(float(likeness[at]), 4)) for at in order[:k] if likeness[at] > _NOTHING]


def _form(value: Any) -> str:
    """What an input is: a vector of so many numbers, a record, or text (chats and everything else)."""
    length = _length(value)
    if length:
        return f"vector of {length}"
    record = isinstance(value, Mapping) and not isinstance(value.get("messages"), list)
    return "record" if record else "text"


def _length(value: Any, depth: int = 0) -> int:
    """How many numbers a (nested) list of numbers holds; 0 for anything else."""
    if not isinstance(value, list | tuple) or depth > 4:
        return 0
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
        return len(value)
    inner = [_length(one, depth + 1) for one in value]
    return sum(inner) if all(inner) else 0


def _prose(inputs: Sequence[Any]) -> bool:
    """Does any input hold a long text? Then all are compared as texts."""
    return any(len(text) > _LONG for one in inputs for text in _texts(one))


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
