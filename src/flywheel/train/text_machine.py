"""A kernel machine over the n-grams of texts that is solved once and then knows what it would have said without any
part of what it learnt.

Targets are 1 for the class of a text and 0 for every other (or numbers, in a regression); the kernel is the cube of
(0.3 + 0.7 × similarity of two texts), so pairs and triples of n-grams count as well. Least squares with a penalty has a
closed form, and so have its answers with some examples left out: a block B of rows is unlearnt by
alpha - G[:, B] @ inv(G[B, B]) @ alpha[B], where G = inv(K + penalty / weights). Exact, at |B| steps of n × |B|, so
cross-fitting and calibration cost little beside the one fit (Cawley & Talbot 2003; Rifkin & Lippert 2007).

Every text is a landmark, so time grows with the cube of their number: up to `EXACT` texts. A subset of landmarks
(Nystroem) was tried for more and lost to `flywheel.train.text_linear`: on 15,000 texts of CLINC150, 2,500 landmarks got
89.8 % right, 6,000 got 91.6 %, the linear machine 93.0 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri

from flywheel.train.ngrams import Ngrams

__all__ = ["EXACT", "Landmarks", "Solved", "TextMachine", "solve"]

Array = NDArray[Any]

EXACT = 5000
"""Most texts that are solved exactly."""
PENALTY = 0.1
_BASE = 0.3
"""Similarity that any two texts have: it makes the cube contain constants, pairs and triples."""
_ROWS = 2048
"""Texts scored at a time: bounds memory at `_ROWS` × landmarks floats."""
_COMMON = 40
"""An n-gram that one in so many texts has is multiplied densely, which is faster."""


class Landmarks:
    """Texts that others are compared with."""

    def __init__(self, ngrams: Ngrams, rows: sparse.csr_matrix) -> None:
        self.ngrams = ngrams
        self.rows = rows
        often = np.bincount(rows.indices, minlength=rows.shape[1]) * _COMMON >= max(rows.shape[0], 1)
        self._common, self._rare = np.flatnonzero(often), np.flatnonzero(~often)
        self._dense = np.ascontiguousarray(rows[:, self._common].toarray().T)
        self._sparse = rows[:, self._rare].T.tocsr()

    def kernel(self, rows: sparse.csr_matrix) -> Array:
        """Rows (as `ngrams.transform` gives them) × landmarks, in the landmarks' own precision."""
        near = rows[:, self._common].toarray() @ self._dense
        rest = (rows[:, self._rare] @ self._sparse).tocoo()
        near[rest.row, rest.col] += rest.data  # a product has each place once
        near *= 1 - _BASE
        near += _BASE
        cube: Array = near * near
        cube *= near
        return cube


@dataclass(frozen=True, slots=True)
class TextMachine:
    """score(text) = kernel(text, landmarks) @ weights + offset."""

    landmarks: Landmarks
    weights: Array
    offset: Array

    def scores(self, texts: Sequence[str]) -> Array:
        """n texts to n × k scores, in blocks."""
        out = np.empty((len(texts), self.weights.shape[1]), dtype=self.weights.dtype)
        for start in range(0, len(texts), _ROWS):
            rows = self.landmarks.ngrams.transform(texts[start : start + _ROWS])
            out[start : start + _ROWS] = self.landmarks.kernel(rows) @ self.weights + self.offset
        return out

    @property
    def ngrams(self) -> Ngrams:
        """How it reads a text."""
        return self.landmarks.ngrams

    def parts(self) -> tuple[str, dict[str, Array]]:
        """What kind it is, and its arrays, to be stored; `of` brings it back."""
        rows = self.landmarks.rows
        return "landmarks", {
            "weights": self.weights, "offset": self.offset, "keys": self.landmarks.ngrams.keys, "data": rows.data,
            "indices": rows.indices.astype(np.int32), "indptr": rows.indptr.astype(np.int32),
            "width": np.array(rows.shape[1]),
        }  # fmt: skip

    @classmethod
    def of(cls, parts: Mapping[str, Array], blank: Ngrams) -> TextMachine:
        """From stored arrays; texts are read in the way of `blank`."""
        shape = (len(parts["indptr"]) - 1, int(parts["width"]))
        rows = sparse.csr_matrix((parts["data"], parts["indices"], parts["indptr"]), shape=shape)
        return cls(Landmarks(blank.of(parts["keys"]), rows), parts["weights"], parts["offset"])


class Solved:
    """The solution for all n examples, and for all but some.

    `targets` is n × k, `weights` n positive numbers. `without(gone)` gives the weights of the landmarks with these rows
    unlearnt, and what such a machine says of each row of `held`, left out in its turn with all rows of its group.
    """

    def __init__(self, landmarks: Landmarks, kernel: Array, targets: Array, weights: Array) -> None:
        self.landmarks = landmarks
        self.kernel = kernel
        self.targets = targets
        ridge = kernel.astype(np.float64)
        ridge[np.diag_indices_from(ridge)] += PENALTY / np.maximum(weights, 1e-6)
        self.inverse = _inverse(ridge)
        self.solution = self.inverse @ targets

    def without(self, gone: Array, groups: Sequence[Array]) -> tuple[Array, Array]:
        """Unlearn the rows `gone`; also return, for the rows of each group in `groups` (none of them gone), what it
        would say with that group unlearnt as well: the rows of the second array are those of `groups` in order."""
        left_out = np.empty((sum(len(rows) for rows in groups), self.targets.shape[1]))
        alone = np.array([i for i, rows in enumerate(groups) if len(rows) == 1], dtype=np.int64)
        starts = np.cumsum([0, *(len(rows) for rows in groups)])
        single = np.array([groups[i][0] for i in alone], dtype=np.int64)
        pairs = [(starts[i], rows) for i, rows in enumerate(groups) if len(rows) != 1]
        solution, spread, inverse = self.solution, None, self.inverse
        diagonal = inverse.diagonal()
        if len(gone):
            block = _factor(inverse[np.ix_(gone, gone)])
            solution = solution - inverse[:, gone] @ cho_solve((block, True), solution[gone])
            solution[gone] = 0.0
            spread = solve_triangular(block, inverse[gone], lower=True)
            diagonal = diagonal - np.einsum("ij,ij->j", spread, spread)
        left_out[starts[alone]] = self.targets[single] - solution[single] / diagonal[single, None]
        for start, rows in pairs:
            own = inverse[np.ix_(rows, rows)]
            if spread is not None:
                own = own - spread[:, rows].T @ spread[:, rows]
            left_out[start : start + len(rows)] = self.targets[rows] - np.linalg.solve(own, solution[rows])
        return solution, left_out


def solve(blank: Ngrams, texts: Sequence[str], targets: Array, weights: Array, *, exact: bool = False) -> Solved:
    """Learn n texts' n × k targets, read in the way of `blank`; `exact`: likeness in float64, for numbers that are
    answers themselves."""
    ngrams, rows = blank.learn(texts)
    rows = rows.astype(np.float64) if exact else rows
    landmarks = Landmarks(ngrams, rows)
    return Solved(landmarks, _filled(landmarks, rows), targets, weights)


def _filled(landmarks: Landmarks, rows: sparse.csr_matrix) -> Array:
    parts = [landmarks.kernel(rows[start : start + _ROWS]) for start in range(0, rows.shape[0], _ROWS)]
    return np.concatenate(parts) if parts else np.zeros((0, landmarks.rows.shape[0]), dtype=np.float32)


def _factor(matrix: Array) -> Array:
    """The lower Cholesky factor; a matrix that rounding has robbed of its definiteness gets a little on its
    diagonal."""
    more = 0.0
    while True:
        factor, flaw = dpotrf(matrix + more * np.eye(len(matrix)) if more else matrix, lower=True, clean=True)
        if not flaw:
            return factor  # type: ignore[no-any-return]
        more = max(more * 10, 1e-10 * float(np.abs(matrix.diagonal()).max(initial=1.0)))


def _inverse(matrix: Array) -> Array:
    half, _ = dpotri(_factor(matrix), lower=True, overwrite_c=True)
    return half + np.tril(half, -1).T  # type: ignore[no-any-return]
