"""Where inputs lie, so that a selection can spread over them: one row of numbers an input, near means alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["place"]

_WIDTH = 48
_TABULAR = 32
"""A vector with fewer numbers is a row of features, each with a scale of its own; a longer one has one scale."""


def place(inputs: Sequence[Any]) -> NDArray[np.float64]:
    """Place n inputs: n × d, d at most 48, the same inputs always in the same place.

    Numbers are scaled and, when there are many, projected at random (Johnson and Lindenstrauss 1984); fields become
    one-hot columns; texts become hashed n-grams; the wide matrices are reduced by a truncated SVD.
    """
    rows = [_flat(value) for value in inputs]
    if rows and all(row is not None and len(row) == len(rows[0] or ()) for row in rows):
        return _project(_scaled(np.asarray(rows, dtype=np.float64)))
    if inputs and all(isinstance(value, Mapping) for value in inputs):
        return _fields(inputs)
    return _texts([value if isinstance(value, str) else _words(value) for value in inputs])


def _flat(value: Any) -> list[float] | None:
    if not isinstance(value, list | tuple) or not value:
        return None
    if isinstance(value[0], list | tuple):
        parts = [_flat(item) for item in value]
        return None if any(part is None for part in parts) else [x for part in parts for x in part or ()]
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
        return [float(item) for item in value]
    return None


def _scaled(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = matrix - matrix.mean(axis=0)
    if matrix.shape[1] < _TABULAR:
        return np.asarray(centred / np.where(centred.std(axis=0) > 0, centred.std(axis=0), 1.0))
    return np.asarray(centred / (float(centred.std()) or 1.0))


def _project(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    if matrix.shape[1] <= 2 * _WIDTH:
        return matrix
    directions = np.random.default_rng(0).standard_normal((matrix.shape[1], _WIDTH)) / np.sqrt(_WIDTH)
    return np.asarray(matrix @ directions)


def _fields(inputs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.preprocessing import MaxAbsScaler

    leaves = [dict(_leaves("", value)) for value in inputs]
    matrix = MaxAbsScaler().fit_transform(DictVectorizer(dtype=np.float64).fit_transform(leaves))
    return _reduced(matrix)


def _leaves(path: str, value: Any) -> list[tuple[str, float | str]]:
    if isinstance(value, Mapping):
        return [leaf for key in sorted(value) for leaf in _leaves(f"{path}.{key}", value[key])]
    if isinstance(value, int | float):
        return [(path, float(value))]
    if value is None:
        return []
    return [(path, _words(value))]


def _texts(texts: Sequence[str]) -> NDArray[np.float64]:
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    if not texts:
        return np.zeros((0, 1))
    counts = HashingVectorizer(
        n_features=2**14, analyzer="char_wb", ngram_range=(2, 4), norm=None, alternate_sign=False
    )
    return _reduced(TfidfTransformer(sublinear_tf=True).fit_transform(counts.transform(texts)))


def _reduced(matrix: Any) -> NDArray[np.float64]:
    from sklearn.decomposition import TruncatedSVD

    width = min(_WIDTH, matrix.shape[0] - 1, matrix.shape[1] - 1)
    if width < 2:
        return np.asarray(matrix.toarray(), dtype=np.float64)
    return np.asarray(TruncatedSVD(width, random_state=0).fit_transform(matrix), dtype=np.float64)


def _words(value: Any) -> str:
    """Every text and number in a JSON value, in order."""
    if isinstance(value, Mapping):
        return " ".join(_words(value[key]) for key in sorted(value))
    if isinstance(value, list | tuple):
        return " ".join(_words(item) for item in value)
    return str(value)
