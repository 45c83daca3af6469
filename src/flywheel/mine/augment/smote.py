"""New cases between two known ones: SMOTE within a failure mode.

A labelled failure and one of its nearest examples of the same label span a line; a new case lies somewhere on it
(Chawla, Bowyer, Hall and Kegelmeyer 2002, "SMOTE"). Of records, numbers are interpolated and every other field takes
the value that most of the failure's neighbours have (SMOTE-NC, ibid. section 6.1).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.records import Example

__all__ = ["between", "partners"]

_NEIGHBOURS = 5


def partners(parent: Example, others: Sequence[Example]) -> list[Example]:
    """The examples nearest to a failure, at most 5, among those with its label, its fold and its kind of input.

    Only examples of one fold are joined: what lies between two folds would show a model the case it is tested on.
    """
    near = [
        other
        for other in others
        if other.id != parent.id and other.fold == parent.fold and _key(other.label) == _key(parent.label)
    ]
    rows = _rows([parent.input, *(other.input for other in near)])
    if rows is None or not near:
        return []
    numbers, words = rows
    spread = np.nanstd(numbers, axis=0) + 1e-9
    apart = np.nansum(((numbers[1:] - numbers[0]) / spread) ** 2, axis=1)
    apart += (words[1:] != words[0]).sum(axis=1) if words.size else 0.0
    order = sorted(range(len(near)), key=lambda i: (float(apart[i]), near[i].id))
    return [near[i] for i in order[:_NEIGHBOURS]]


def between(parent: Any, other: Any, neighbours: Sequence[Any], share: float) -> Any:
    """The input that lies `share` (0 to 1) of the way from one to the other.

    Whole numbers stay whole. Fields that are no numbers take the commonest value of the neighbours and the parent; a
    number that one of the two lacks is the parent's.

    >>> between({"age": 30, "job": "cook"}, {"age": 50, "job": "clerk"}, [{"job": "clerk"}, {"job": "clerk"}], 0.5)
    {'age': 40, 'job': 'clerk'}
    >>> between([0.0, 2.0], [1.0, 4.0], [], 0.25)
    [0.25, 2.5]
    """
    if isinstance(parent, Mapping) and isinstance(other, Mapping):
        seen = [one for one in neighbours if isinstance(one, Mapping)]
        return {
            name: _number(value, other.get(name), share)
            if _is_number(value)
            else _commonest([value, *(one[name] for one in seen if name in one)])
            for name, value in parent.items()
        }
    if isinstance(parent, list | tuple) and isinstance(other, list | tuple) and len(parent) == len(other):
        return [between(one, two, (), share) for one, two in zip(parent, other, strict=True)]
    return _number(parent, other, share) if _is_number(parent) else parent


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(one: Any, two: Any, share: float) -> Any:
    if not _is_number(two):
        return one
    value = one + share * (two - one)
    return round(value) if isinstance(one, int) and isinstance(two, int) else value


def _commonest(values: Sequence[Any]) -> Any:
    """The most frequent value; the parent's, which comes first, where several are."""
    counts = Counter(_key(value) for value in values)
    most = max(counts.values())
    return next(value for value in values if counts[_key(value)] == most)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _rows(inputs: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Numbers (n × a, NaN for none) and words (n × b) of records or vectors; None for anything else."""
    if all(isinstance(one, Mapping) for one in inputs):
        names = [name for name, value in inputs[0].items() if _is_number(value)]
        rest = [name for name in inputs[0] if name not in names]
        numbers = [[float(one[n]) if _is_number(one.get(n)) else np.nan for n in names] for one in inputs]
        words = [[_key(one.get(n)) for n in rest] for one in inputs]
        return np.array(numbers).reshape(len(inputs), -1), np.array(words, dtype=object).reshape(len(inputs), -1)
    try:
        x = np.asarray(inputs, dtype=float).reshape(len(inputs), -1)
    except (ValueError, TypeError):
        return None
    return x, np.empty((len(inputs), 0), dtype=object)
