"""A kernel machine with a closed form: weighted kernel ridge regression on ±1 targets (least-squares SVM).

Why this learner: on small sets of images and embeddings it is as accurate as an RBF support vector machine, its exact
leave-one-out answers cost nothing beyond the fit (so view, width, penalty and temperature need no cross-validation),
what it would say without a fold costs little more, and it predicts by matrix products. Suykens & Vandewalle 1999;
leave-one-out: Cawley & Talbot 2003; landmarks: Williams & Seeger 2001 (Nystroem).

Up to `landmarks` examples the machine is exact, O(n³) once and for each of about a dozen settings tried on at most
`TUNE` examples, and the seed changes nothing. Above, a random subset (the seed's) spans the solution:
O(n · landmarks²).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri

from flywheel.train.views import Shape, View, folded, views

__all__ = ["TUNE", "KernelMachine", "Turn", "Tuning", "crossfit", "fit"]

TUNE = 300
"""Settings are chosen on at most so many examples."""
_ROWS = 4096
"""Rows scored at a time: bounds memory at `_ROWS` × landmarks floats."""
_JITTER = 1e-4
"""Added to the landmarks' kernel, whose smallest eigenvalues are rounding."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was chosen: how vectors are looked at, kernel width, penalty."""

    view: View
    gamma: float
    alpha: float


@dataclass(frozen=True, slots=True)
class KernelMachine:
    """score(x) = kernel(z, landmarks) @ weights + offset, where z = (view of x - mean) / scale and the kernel is
    exp(-gamma · |z - landmark|²), in the view of an image its mean over small shifts."""

    mean: Array
    scale: Array
    gamma: float
    landmarks: Array
    weights: Array
    offset: Array
    view: View = field(default_factory=lambda: View("plain"))

    def scores(self, x: Array) -> Array:
        """n × d floats to n × k scores, in blocks."""
        out = np.empty((len(x), self.weights.shape[1]), dtype=np.float32)
        for start in range(0, len(x), _ROWS):
            z = _placed(x[start : start + _ROWS], self.view, self.mean, self.scale)
            out[start : start + _ROWS] = self.view.kernel(z, self.landmarks, self.gamma) @ self.weights + self.offset
        return out


@dataclass(frozen=True, slots=True)
class Turn:
    """One question to `crossfit`: learn only the rows `kept` of n, with these targets (as many rows × k), then answer
    `asked` (m × d)."""

    kept: Array
    targets: Array
    asked: Array


def fit(
    x: Array,
    targets: Array,
    weights: Array,
    groups: Sequence[str],
    *,
    landmarks: int,
    seed: int,
    shape: Shape | None = None,
) -> tuple[KernelMachine, Array, Tuning]:
    """Fit n × d float32 inputs to n × k targets; also return the n × k leave-one-group-out answers and the settings.

    Near-duplicates share a group and are left out together, so that they do not vouch for each other. `shape` is
    height, width and channels where the inputs may be images.
    """
    rng = np.random.default_rng(seed)
    n, width = x.shape
    tuning = _tune(x, targets, weights, groups, shape)
    mean, scale = tuning.view.learn(x)
    z = _placed(x, tuning.view, mean, scale)
    gamma = tuning.gamma / max(width, 1)
    offset = np.average(targets, axis=0, weights=weights)
    centred = targets - offset
    if n <= landmarks:
        chosen = z
        gram = tuning.view.gram(z, gamma).astype(np.float64)
        solution, left_out = _exact(gram, centred, weights, groups, tuning.alpha)
    else:
        chosen = z[np.sort(rng.choice(n, landmarks, replace=False))]
        solution, left_out = _spanned(tuning.view, z, chosen, centred, weights, groups, gamma, tuning.alpha)
    machine = KernelMachine(
        mean, scale, gamma, chosen.astype(np.float32), solution.astype(np.float32), offset.astype(np.float32),
        tuning.view,
    )  # fmt: skip
    return machine, left_out + offset, tuning


def crossfit(
    x: Array, weights: Array, groups: Sequence[str], turns: Sequence[Turn], *, shape: Shape | None = None
) -> Iterator[tuple[Array, Array]]:
    """For each turn, the scores of what it asks and the leave-one-group-out answers of the rows it keeps.

    Equal to `fit` on the rows kept, but that numbers are scaled and weights made to average 1 over all rows. With M the
    inverse of the penalised kernel of all rows, that of the kept rows alone is M_kk - M_kg (M_gg)⁻¹ M_gk. Settings are
    chosen anew in each turn. The exact machine only; the targets of rows that are left out are not even an argument.
    """
    width = max(x.shape[1], 1)
    placed: dict[View, tuple[Array, Array, Array]] = {}
    inverses: dict[Tuning, Array] = {}
    for turn in turns:
        kept, own = turn.kept, weights[turn.kept]
        names = [groups[i] for i in kept]
        tuning = _tune(x[kept], turn.targets, own, names, shape)
        view, gamma = tuning.view, tuning.gamma / width
        if view not in placed:
            mean, scale = view.learn(x)
            placed[view] = (_placed(x, view, mean, scale), mean, scale)
        z, mean, scale = placed[view]
        if tuning not in inverses:
            inverses[tuning] = _inverse(_ridge(view.gram(z, gamma).astype(np.float64), weights, tuning.alpha))
        offset = np.average(turn.targets, axis=0, weights=own)
        inverse = _without(inverses[tuning], kept)
        solution, left_out = _left_out(inverse, turn.targets - offset, names)
        asked = np.empty((len(turn.asked), solution.shape[1]))
        for start in range(0, len(asked), _ROWS):
            said = _placed(turn.asked[start : start + _ROWS], view, mean, scale)
            asked[start : start + _ROWS] = view.kernel(said, z[kept], gamma) @ solution.astype(np.float32) + offset
        yield asked, left_out + offset


def _placed(x: Array, view: View, mean: Array, scale: Array) -> Array:
    z: Array = np.clip((view.prepare(x) - mean) / scale, -1e12, 1e12)  # squares must stay finite
    return z


def _tune(x: Array, targets: Array, weights: Array, groups: Sequence[str], shape: Shape | None) -> Tuning:
    """Coordinate search on at most `TUNE` rows by the leave-one-group-out squared error: view, then width, then
    penalty."""
    if len(x) > TUNE:
        few = np.sort(np.random.default_rng(0).choice(len(x), TUNE, replace=False))
        x, targets, weights, groups = x[few], targets[few], weights[few], [groups[i] for i in few]
    width = max(x.shape[1], 1)
    centred = targets - np.average(targets, axis=0, weights=weights)
    distances: dict[View, list[tuple[float, Array]]] = {}
    tried: dict[Tuning, float] = {}

    def error(tuning: Tuning) -> float:
        if tuning not in tried:
            view = tuning.view
            if view not in distances:
                z = _placed(x, view, *view.learn(x))
                distances[view] = list(view.halves(z))
            apart = ((share, squared.copy()) for share, squared in distances[view])
            kernel = folded(apart, tuning.gamma / width).astype(np.float64)
            left_out = _exact(kernel, centred, weights, groups, tuning.alpha)[1]
            tried[tuning] = float(weights @ ((left_out - centred) ** 2).sum(axis=1))
        return tried[tuning]

    # Under one penalty alone, noisy targets would choose the view that happens to be the smoothest.
    best = min((Tuning(view, 1.0, alpha) for view in views(width, shape) for alpha in (0.03, 0.3)), key=error)
    best = min((Tuning(best.view, gamma, best.alpha) for gamma in (1.0, 0.5, 0.25, 2.0)), key=error)
    return min((Tuning(best.view, best.gamma, alpha) for alpha in (0.03, 0.01, 0.1, 0.3, 1.0)), key=error)


def _ridge(kernel: Array, weights: Array, alpha: float) -> Array:
    kernel[np.diag_indices_from(kernel)] += alpha / np.maximum(weights, 1e-6)
    return kernel


def _exact(kernel: Array, centred: Array, weights: Array, groups: Sequence[str], alpha: float) -> tuple[Array, Array]:
    """Solve (K + alpha/w) c = y; `kernel` is used up."""
    return _left_out(_inverse(_ridge(kernel, weights, alpha)), centred, groups)


def _left_out(inverse: Array, centred: Array, groups: Sequence[str]) -> tuple[Array, Array]:
    """The solution, and the answer with group g left out: y_g - (M_gg)⁻¹ c_g with M the inverse."""
    solution = inverse @ centred
    left_out = centred - solution / np.diag(inverse)[:, None]
    for rows in _shared(groups):
        left_out[rows] = centred[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], solution[rows])
    return solution, left_out


def _without(inverse: Array, kept: Array) -> Array:
    """The inverse of the kept rows' own matrix, from that of all rows."""
    gone = np.setdiff1d(np.arange(len(inverse)), kept)
    own: Array = inverse[np.ix_(kept, kept)]
    if len(gone):
        factor = cho_factor(inverse[np.ix_(gone, gone)], lower=True)
        half = solve_triangular(factor[0], inverse[np.ix_(gone, kept)], lower=True)
        own -= half.T @ half
    return own


def _inverse(matrix: Array) -> Array:
    """Inverse of a symmetric positive definite matrix, by Cholesky: half the work of solving for the identity."""
    factor, flaw = dpotrf(matrix, lower=True, overwrite_a=True)
    if flaw:
        return np.linalg.pinv(matrix, hermitian=True)
    half, _ = dpotri(factor, lower=True, overwrite_c=True)
    lower = np.tril(half)
    return lower + np.tril(half, -1).T  # type: ignore[no-any-return]


def _spanned(
    view: View,
    z: Array,
    chosen: Array,
    centred: Array,
    weights: Array,
    groups: Sequence[str],
    gamma: float,
    alpha: float,
) -> tuple[Array, Array]:
    """The same in the span of the landmarks: features F with F F' ≈ K, ridge in them, left-out answers from the hat
    matrix."""
    own = _ridge(view.gram(chosen, gamma).astype(np.float64), np.ones(len(chosen)), _JITTER)
    root = np.linalg.cholesky(own)
    features = np.empty((len(z), len(chosen)), dtype=np.float32)
    normal, sums = alpha * np.eye(len(chosen)), np.zeros((len(chosen), centred.shape[1]))
    blocks = [slice(start, start + _ROWS) for start in range(0, len(z), _ROWS)]
    for block in blocks:
        part = solve_triangular(root, view.kernel(z[block], chosen, gamma).T.astype(np.float64), lower=True)
        features[block] = part.T
        weighted = part * weights[block]
        normal += weighted @ part.T
        sums += weighted @ centred[block]
    factor = cho_factor(normal, lower=True)
    beta = cho_solve(factor, sums)
    fitted, leverage = np.empty(centred.shape), np.empty(len(z))
    for block in blocks:
        half = solve_triangular(factor[0], features[block].T.astype(np.float64), lower=True)
        fitted[block] = features[block] @ beta
        leverage[block] = np.einsum("ij,ij->j", half, half) * weights[block]
    left_out = centred - (centred - fitted) / np.maximum(1 - leverage, 1e-6)[:, None]
    for rows in _shared(groups):
        half = solve_triangular(factor[0], features[rows].T.astype(np.float64), lower=True)
        hat = half.T @ half * weights[rows]
        left_out[rows] = centred[rows] - np.linalg.solve(np.eye(len(rows)) - hat, centred[rows] - fitted[rows])
    return solve_triangular(root, beta, lower=True, trans="T"), left_out


def _shared(groups: Sequence[str]) -> list[Array]:
    """Row numbers of every group with more than one member."""
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return [np.array(rows) for rows in members.values() if len(rows) > 1]
