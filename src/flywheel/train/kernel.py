"""A kernel machine with a closed form: weighted kernel ridge regression on ±1 targets (least-squares SVM).

Why this learner: on small sets of images and embeddings it is as accurate as an RBF support vector machine, its exact
leave-one-out answers cost nothing beyond the fit (so width, penalty and temperature need no cross-validation), and it
predicts by two matrix products. Suykens & Vandewalle 1999; leave-one-out: Cawley & Talbot 2003; landmarks: Williams &
Seeger 2001 (Nystroem).

Up to `landmarks` examples the machine is exact, O(n³) once for each of about eight settings tried on at most `TUNE`
examples, and the seed changes nothing. Above, a random subset (the seed's) spans the solution: O(n · landmarks²).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri

__all__ = ["TUNE", "KernelMachine", "Tuning", "fit"]

TUNE = 300
"""Settings are chosen on at most so many examples."""
_ROWS = 4096
"""Rows scored at a time: bounds memory at `_ROWS` × landmarks floats."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was chosen: every feature on its own scale or all on one, kernel width, penalty."""

    each: bool
    gamma: float
    alpha: float


@dataclass(frozen=True, slots=True)
class KernelMachine:
    """score(x) = exp(-gamma · |z - landmark|²) @ weights + offset, where z = (x - mean) / scale."""

    mean: Array
    scale: Array
    gamma: float
    landmarks: Array
    weights: Array
    offset: Array

    def scores(self, x: Array) -> Array:
        """n × d floats to n × k scores, in blocks."""
        out = np.empty((len(x), self.weights.shape[1]), dtype=np.float32)
        for start in range(0, len(x), _ROWS):
            z = np.clip((x[start : start + _ROWS] - self.mean) / self.scale, -1e12, 1e12)  # squares must stay finite
            out[start : start + _ROWS] = _kernel(z, self.landmarks, self.gamma) @ self.weights + self.offset
        return out


def fit(
    x: Array, targets: Array, weights: Array, groups: Sequence[str], *, landmarks: int, seed: int
) -> tuple[KernelMachine, Array, Tuning]:
    """Fit n × d float32 inputs to n × k targets; also return the n × k leave-one-group-out answers and the settings.

    Near-duplicates share a group and are left out together, so that they do not vouch for each other.
    """
    rng = np.random.default_rng(seed)
    n, width = x.shape
    few = np.arange(n) if n <= TUNE else np.sort(np.random.default_rng(0).choice(n, TUNE, replace=False))
    tuning = _tune(x[few], targets[few], weights[few], [groups[i] for i in few])
    mean, scale = _scaling(x, tuning.each)
    z = (x - mean) / scale
    gamma = tuning.gamma / max(width, 1)
    offset = np.average(targets, axis=0, weights=weights)
    centred = targets - offset
    if n <= landmarks:
        chosen = z
        solution, left_out = _exact(_kernel(z, z, gamma).astype(np.float64), centred, weights, groups, tuning.alpha)
    else:
        chosen = z[np.sort(rng.choice(n, landmarks, replace=False))]
        solution, left_out = _spanned(z, chosen, centred, weights, groups, gamma, tuning.alpha)
    machine = KernelMachine(
        mean, scale, gamma, chosen.astype(np.float32), solution.astype(np.float32), offset.astype(np.float32)
    )
    return machine, left_out + offset, tuning


def _tune(x: Array, targets: Array, weights: Array, groups: Sequence[str]) -> Tuning:
    """Coordinate search by the leave-one-group-out squared error: scaling, then width, then penalty."""
    width = max(x.shape[1], 1)
    centred = targets - np.average(targets, axis=0, weights=weights)
    distances: dict[bool, Array] = {}
    tried: dict[Tuning, float] = {}

    def error(tuning: Tuning) -> float:
        if tuning not in tried:
            if tuning.each not in distances:
                mean, scale = _scaling(x, tuning.each)
                z = (x - mean) / scale
                distances[tuning.each] = _distances(z, z)
            kernel = np.exp(-tuning.gamma / width * distances[tuning.each]).astype(np.float64)
            left_out = _exact(kernel, centred, weights, groups, tuning.alpha)[1]
            tried[tuning] = float(weights @ ((left_out - centred) ** 2).sum(axis=1))
        return tried[tuning]

    best = min((Tuning(each, 1.0, 0.03) for each in (False, True)), key=error)
    best = min((Tuning(best.each, gamma, best.alpha) for gamma in (1.0, 0.5, 0.25, 2.0)), key=error)
    return min((Tuning(best.each, best.gamma, alpha) for alpha in (0.03, 0.01, 0.1, 0.3, 1.0)), key=error)


def _scaling(x: Array, each: bool) -> tuple[Array, Array]:
    mean = x.mean(axis=0)
    spread = x.std(axis=0) if each else np.full(x.shape[1], np.sqrt(x.var(axis=0).mean()))
    scale = np.where(spread > 1e-9, spread, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _distances(a: Array, b: Array) -> Array:
    squared: Array = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * (a @ b.T)
    np.maximum(squared, 0, out=squared)
    return squared


def _kernel(a: Array, b: Array, gamma: float) -> Array:
    distances = _distances(a, b)
    distances *= -gamma
    np.exp(distances, out=distances)
    return distances


def _exact(kernel: Array, centred: Array, weights: Array, groups: Sequence[str], alpha: float) -> tuple[Array, Array]:
    """Solve (K + alpha/w) c = y; the answer with group g left out is y_g - (M_gg)⁻¹ c_g with M the inverse."""
    ridge = kernel + np.diag(alpha / np.maximum(weights, 1e-6))
    inverse = _inverse(ridge)
    solution = inverse @ centred
    left_out = centred - solution / np.diag(inverse)[:, None]
    for rows in _shared(groups):
        left_out[rows] = centred[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], solution[rows])
    return solution, left_out


def _inverse(matrix: Array) -> Array:
    """Inverse of a symmetric positive definite matrix, by Cholesky: half the work of solving for the identity."""
    factor, flaw = dpotrf(matrix, lower=True, overwrite_a=True)
    if flaw:
        return np.linalg.pinv(matrix, hermitian=True)
    half, _ = dpotri(factor, lower=True, overwrite_c=True)
    lower = np.tril(half)
    return lower + np.tril(half, -1).T  # type: ignore[no-any-return]


def _spanned(
    z: Array, chosen: Array, centred: Array, weights: Array, groups: Sequence[str], gamma: float, alpha: float
) -> tuple[Array, Array]:
    """The same in the span of the landmarks: features F with F F' ≈ K, ridge in them, left-out answers from the hat
    matrix."""
    values, vectors = np.linalg.eigh(_kernel(chosen, chosen, gamma).astype(np.float64))
    keep = values > 1e-7 * values[-1]
    to_features = vectors[:, keep] / np.sqrt(values[keep])
    features = _kernel(z, chosen, gamma).astype(np.float64) @ to_features
    weighted = features * weights[:, None]
    factor = cho_factor(features.T @ weighted + alpha * np.eye(features.shape[1]), lower=True)
    beta = cho_solve(factor, weighted.T @ centred)
    fitted = features @ beta
    spread = cho_solve(factor, weighted.T)
    leverage = np.einsum("ij,ji->i", features, spread)
    left_out = centred - (centred - fitted) / np.maximum(1 - leverage, 1e-6)[:, None]
    for rows in _shared(groups):
        hat = features[rows] @ spread[:, rows]
        left_out[rows] = centred[rows] - np.linalg.solve(np.eye(len(rows)) - hat, centred[rows] - fitted[rows])
    return to_features @ beta, left_out


def _shared(groups: Sequence[str]) -> list[Array]:
    """Row numbers of every group with more than one member."""
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return [np.array(rows) for rows in members.values() if len(rows) > 1]
