"""How alike inputs are, and how much of what matters lies around each: without labels, for any kind of input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["likeness_to_first", "place", "surroundings"]

_TABULAR = 32
"""A vector with fewer numbers is a row of features, each with a scale of its own; a longer one has one scale."""
_NEIGHBOURS = 10
_WIDTH = 0.35
"""Likeness of vectors falls to 1/e at this share of their median squared distance."""
_ROWS = 1024
_TERMS = 2**15


def surroundings(inputs: Sequence[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean, over the ten nearest others, of likeness (0 to 1) times their weight, for each of n inputs.

    An input that stands alone has next to nothing around it. Texts are alike by their words and letter n-grams,
    vectors and records by their distance. O(n²), a block of rows at a time.
    """
    n = len(inputs)
    if n < 2:
        return np.zeros(n)
    points = place(inputs)
    found = np.empty(n)
    kept = min(_NEIGHBOURS, n - 1)
    likeness = _by_words if hasattr(points, "tocsr") else _by_distance(points)
    for start in range(0, n, _ROWS):
        rows = np.arange(start, min(n, start + _ROWS))
        alike = likeness(points, rows)
        alike[np.arange(len(rows)), rows] = 0.0
        alike *= weights[None, :]
        found[rows] = np.partition(alike, n - kept, axis=1)[:, n - kept :].mean(axis=1)
    return found


def likeness_to_first(inputs: Sequence[Any]) -> NDArray[np.float64]:
    """How alike each other input is to the first, 0 to 1, as `surroundings` has it. O(n)."""
    points = place(inputs)
    likeness = _by_words if hasattr(points, "tocsr") else _by_distance(points)
    return np.asarray(likeness(points, np.array([0]))[0][1:], dtype=np.float64)


def _by_words(points: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray((points[rows] @ points.T).toarray(), dtype=np.float64)


def _by_distance(points: NDArray[np.float64]) -> Any:
    square = (points**2).sum(axis=1)
    some = np.arange(0, len(points), max(1, len(points) // 500))
    apart = square[some][:, None] + square[some][None, :] - 2 * points[some] @ points[some].T
    positive = apart[apart > 1e-9]
    width = _WIDTH * float(np.median(positive)) if len(positive) else 1.0

    def likeness(points: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        distance = square[rows][:, None] + square[None, :] - 2 * points[rows] @ points.T
        return np.asarray(np.exp(-np.maximum(distance, 0.0) / width))

    return likeness


def place(inputs: Sequence[Any]) -> Any:
    """Place n inputs: n × d floats, or for texts a sparse matrix of hashed n-grams whose rows have length 1.

    Numbers are scaled, fields become one-hot columns. Whatever is neither is read as text.
    """
    rows = [_flat(value) for value in inputs]
    if rows and all(row is not None and len(row) == len(rows[0] or ()) for row in rows):
        return _scaled(np.asarray(rows, dtype=np.float64))
    if inputs and all(isinstance(value, Mapping) for value in inputs):
        return _fields(inputs)
    return _texts([value if isinstance(value, str) else _words(value) for value in inputs])


def _flat(value: Any) -> list[float] | None:
    if not isinstance(value, list | tuple) or not value:
        return None
    if isinstance(value[0], list | tuple):
        parts = [_flat(item) for item in value]
        return None if any(part is None for part in parts) else [x for part in parts for x in part or ()]
    if set(map(type, value)) <= {int, float}:
        return list(map(float, value))
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
        return [float(item) for item in value]
    return None


def _scaled(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = matrix - matrix.mean(axis=0)
    if matrix.shape[1] < _TABULAR:
        return np.asarray(centred / np.where(centred.std(axis=0) > 0, centred.std(axis=0), 1.0))
    return np.asarray(centred / (float(centred.std()) or 1.0))


def _fields(inputs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.preprocessing import MaxAbsScaler

    leaves = [dict(_leaves("", value)) for value in inputs]
    matrix = MaxAbsScaler().fit_transform(DictVectorizer(dtype=np.float64).fit_transform(leaves))
    return np.asarray(matrix.toarray(), dtype=np.float64)


def _leaves(path: str, value: Any) -> list[tuple[str, float | str]]:
    if isinstance(value, Mapping):
        return [leaf for key in sorted(value) for leaf in _leaves(f"{path}.{key}", value[key])]
    if isinstance(value, int | float):
        return [(path, float(value))]
    if value is None:
        return []
    return [(path, _words(value))]


def _texts(texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    if not texts:
        return np.zeros((0, 1))
    word = r"(?u)\b\w+\b"
    halves = []
    for ways in ({"ngram_range": (1, 2), "token_pattern": word}, {"analyzer": "char_wb", "ngram_range": (2, 4)}):
        counts = HashingVectorizer(n_features=_TERMS, norm=None, alternate_sign=False, **ways).transform(texts)
        halves.append(TfidfTransformer(sublinear_tf=True).fit_transform(counts))
    return (hstack(halves) * np.sqrt(0.5)).tocsr()


def _words(value: Any) -> str:
    """Every text and number in a JSON value, in order."""
    if isinstance(value, Mapping):
        return " ".join(_words(value[key]) for key in sorted(value))
    if isinstance(value, list | tuple):
        return " ".join(_words(item) for item in value)
    return str(value)
