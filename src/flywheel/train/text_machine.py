"""A kernel machine over the n-grams of texts that is solved once and then knows what it would have said without any
part of what it learnt.

Targets are 1 for the class of a text and 0 for every other (or numbers, in a regression); the kernel is the cube of
(0.3 + 0.7 × similarity of two texts), so pairs and triples of n-grams count as well. Least squares with a penalty has a
closed form, and so have its answers with some examples left out: a block B of rows is unlearnt by
alpha - G[:, B] @ inv(G[B, B]) @ alpha[B], where G = inv(K + penalty / weights). Exact, at |B| steps of n × |B|, so
cross-fitting and calibration cost little beside the one fit (Cawley & Talbot 2003; Rifkin & Lippert 2007).

Up to `EXACT` texts every text is a landmark. Above, a random subset spans the solution (Nystroem; Williams & Seeger
2001) and the same holds with the normal equations in place of K: unlearning subtracts the rows' share of them.
"""

from __future__ import annotations

from collections.abc import Sequence
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

EXACT = 4000
"""Above so many texts, a subset spans the solution."""
SPAN = 2500
"""Its size."""
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


class Solved:
    """The solution for all n examples, and for all but some.

    `targets` is n × k, `weights` n positive numbers. `without(gone)` gives the weights of the landmarks with these rows
    unlearnt, and what such a machine says of each row of `held`, left out in its turn with all rows of its group.
    """

    def __init__(self, landmarks: Landmarks, kernel: Array, targets: Array, weights: Array, span: Array | None) -> None:
        self.landmarks = landmarks
        self.kernel = kernel
        self.targets = targets
        self.weights = weights
        if span is None:
            self.inverse = _inverse(kernel.astype(np.float64) + np.diag(PENALTY / np.maximum(weights, 1e-6)))
            self.solution = self.inverse @ targets
        else:
            own = kernel[span].astype(np.float64)
            weighted = kernel * weights[:, None].astype(kernel.dtype)
            self.normal = (kernel.T @ weighted).astype(np.float64) + PENALTY * own
            self.normal[np.diag_indices_from(self.normal)] += 1e-4 * len(span) ** 0.5
            self.sums = kernel.T.astype(np.float64) @ (weights[:, None] * targets)
            self.solution = cho_solve((_factor(self.normal), True), self.sums)
        self.exact = span is None

    def without(self, gone: Array, groups: Sequence[Array]) -> tuple[Array, Array]:
        """Unlearn the rows `gone`; also return, for the rows of each group in `groups` (none of them gone), what it
        would say with that group unlearnt as well: the rows of the second array are those of `groups` in order."""
        left_out = np.empty((sum(len(rows) for rows in groups), self.targets.shape[1]))
        alone = np.array([i for i, rows in enumerate(groups) if len(rows) == 1], dtype=np.int64)
        starts = np.cumsum([0, *(len(rows) for rows in groups)])
        single = np.array([groups[i][0] for i in alone], dtype=np.int64)
        pairs = [(starts[i], rows) for i, rows in enumerate(groups) if len(rows) != 1]
        if self.exact:
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
        normal, sums = self.normal, self.sums
        if len(gone):
            rows_gone, w = self.kernel[gone].astype(np.float64), self.weights[gone, None]
            normal = normal - rows_gone.T @ (rows_gone * w)
            sums = sums - rows_gone.T @ (w * self.targets[gone])
        factor = _factor(normal)
        solution = cho_solve((factor, True), sums)
        order = np.concatenate([*groups]) if groups else np.zeros(0, dtype=np.int64)
        asked = self.kernel[order].astype(np.float64)
        fitted = asked @ solution
        half = solve_triangular(factor, asked.T, lower=True)
        hat = np.einsum("ij,ij->j", half, half)[starts[alone]] * self.weights[single]
        misses = self.targets[single] - fitted[starts[alone]]
        left_out[starts[alone]] = self.targets[single] - misses / np.maximum(1 - hat, 1e-6)[:, None]
        for start, rows in pairs:
            piece = half[:, start : start + len(rows)]
            own = np.eye(len(rows)) - (piece.T @ piece) * self.weights[rows]
            away = np.linalg.solve(own, self.targets[rows] - fitted[start : start + len(rows)])
            left_out[start : start + len(rows)] = self.targets[rows] - away
        return solution, left_out


def solve(texts: Sequence[str], targets: Array, weights: Array, seed: int, *, exact: bool = False) -> Solved:
    """Learn n texts' n × k targets; `exact`: likeness in float64, for numbers that are answers themselves."""
    n = len(texts)
    ngrams, rows = Ngrams.learn(texts)
    rows = rows.astype(np.float64) if exact else rows
    if n <= EXACT:
        landmarks = Landmarks(ngrams, rows)
        return Solved(landmarks, _filled(landmarks, rows), targets, weights, None)
    span = np.sort(np.random.default_rng([seed, n]).choice(n, SPAN, replace=False))
    chosen = rows[span]
    known = np.flatnonzero(np.bincount(chosen.indices, minlength=rows.shape[1]))
    landmarks = Landmarks(Ngrams(ngrams.keys[known]), chosen[:, known])
    return Solved(landmarks, _filled(landmarks, rows[:, known]), targets, weights, span)


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
