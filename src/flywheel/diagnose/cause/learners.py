"""What quick learners of several families make of the examples: cross-fitted, on halves, on less and less of them.

They are not the product's model. They answer what it alone cannot: would others, taught with the same examples, get
these right; do all that are taught a little differently err alike; does more of the same data help?

Kernel ridge regression on ±1 targets gives exact leave-one-out answers at the cost of the fit (Cawley & Talbot 2003,
"Efficient leave-one-out cross-validation of kernel Fisher discriminant classifiers").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dtrtri

from flywheel.diagnose.cause.views import View

__all__ = ["Learned", "Part", "learn", "taught_by"]

Array = NDArray[Any]

_HALVES = 5
_QUARTERS = 3
_TUNED_ON = 400
_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
_NEIGHBOURS = 7
_TREES = 60


@dataclass(frozen=True, slots=True)
class Part:
    """A refit on part of the examples: which, and its scores (ranked within a row) for failures and examples."""

    inside: Array
    failed: Array
    known: Array


@dataclass(frozen=True, slots=True)
class Learned:
    """n examples, m failures, k classes. Scores are higher for likelier classes.

    `failed` has m × k scores by family (`linear`, `kernel`, `neighbours`, `trees`), `known` the n × k scores of the
    same without the example itself; `chances` (n × k) and `failed_chances` (m × k) are the probabilities of the better
    of the first two, calibrated on the examples without themselves.
    """

    failed: dict[str, Array]
    known: dict[str, Array]
    chances: Array
    failed_chances: Array
    halves: tuple[Part, ...]
    quarters: tuple[Part, ...]
    best: str
    penalty: float


def learn(view: View, labels: Array, classes: int, groups: Array, seed: int = 0) -> Learned:
    """Teach the families n examples with class numbers `labels` (0 to classes - 1); O(n³) once for each of two kernels.

    Members of one group (near-duplicates) are never in both halves of a split.
    """
    rng = np.random.default_rng(seed)
    aims = np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)
    # A text is judged by its n-grams already; for the rest the curved kernel is another family than the straight one.
    kernels = {name: _kernel(view, name) for name in ("linear", "kernel")}
    failed: dict[str, Array] = {}
    known: dict[str, Array] = {}
    penalties = {}
    for name, (own, away) in kernels.items():
        penalties[name] = _penalty(own, aims, rng)
        failed[name], known[name] = _whole(own, away, aims, penalties[name])
    failed["neighbours"], known["neighbours"] = _neighbours(view, aims)
    failed["trees"], known["trees"] = _trees(view, labels, classes, seed)
    best = min(("linear", "kernel"), key=lambda name: (float(np.mean(known[name].argmax(1) != labels)), name))
    own, away = kernels[best]
    halves = tuple(_part(own, away, aims, penalties[best], _some(groups, 0.5, rng)) for _ in range(_HALVES))
    quarters = tuple(_part(own, away, aims, penalties[best], _some(groups, 0.25, rng)) for _ in range(_QUARTERS))
    heat = sharpness(known[best], labels)
    return Learned(
        failed, known, softmax(known[best] * heat), softmax(failed[best] * heat), halves, quarters, best,
        penalties[best],
    )  # fmt: skip


def taught_by(view: View, learned: Learned, labels: Array, classes: int, inside: Array) -> Part:
    """Teach the better kernel machine again with some of the examples only (row numbers)."""
    aims = np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)
    return _part(*_kernel(view, learned.best), aims, learned.penalty, inside)


def _kernel(view: View, name: str) -> tuple[Array, Array]:
    if name == "linear":
        return view.own_like + 0.1, view.away_like + 0.1
    width = _width(view.own)
    return np.exp(-view.own / width), np.exp(-view.away / width)


def softmax(z: Array) -> Array:
    """Rows of scores as probabilities."""
    if not z.size:
        return z
    z = np.exp(z - z.max(axis=1, keepdims=True))
    out: Array = z / z.sum(axis=1, keepdims=True)
    return out


def sharpness(scores: Array, labels: Array) -> float:
    """What to multiply scores by before a softmax, so that the given labels are likeliest."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def loss(log_t: float) -> float:
        z = scores * np.exp(log_t)
        z = z - z.max(axis=1, keepdims=True)
        logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return float(-np.mean(logs[rows, labels]))

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 4.0), method="bounded").x))


def _width(own: Array) -> float:
    """Twice the usual distance to near points, between the nearest and the middle one: local but not blind."""
    off = own[~np.eye(len(own), dtype=bool)] if len(own) <= 500 else own[:500, 500:].ravel()
    return max(float(np.quantile(off, 0.25)), 1e-9)


def _penalty(own: Array, aims: Array, rng: np.random.Generator) -> float:
    n = len(own)
    few = np.sort(rng.choice(n, _TUNED_ON, replace=False)) if n > _TUNED_ON else np.arange(n)
    k, y = own[np.ix_(few, few)], aims[few]
    y = y - y.mean(axis=0)
    values, vectors = np.linalg.eigh(k)
    turned = vectors.T @ y
    best, least = 1.0, np.inf
    for penalty in _PENALTIES:
        inverse = 1.0 / np.maximum(values + penalty, 1e-9)
        weights = vectors @ (inverse[:, None] * turned)
        residual = weights / np.maximum((vectors**2 @ inverse)[:, None], 1e-12)
        error = float(np.mean(residual**2))
        if error < least:
            best, least = penalty, error
    return best


def _whole(own: Array, away: Array, aims: Array, penalty: float) -> tuple[Array, Array]:
    offset = aims.mean(axis=0)
    factor = cho_factor(own + penalty * np.eye(len(own)), lower=True)
    weights = cho_solve(factor, aims - offset)
    # Of the inverse only the diagonal is asked for: the squares of the inverted factor, a sixth of the work.
    inverted, _ = dtrtri(factor[0], lower=1)
    diagonal = np.square(np.tril(inverted)).sum(axis=0)
    left_out = aims - weights / diagonal[:, None]
    return away @ weights + offset, left_out


def _part(own: Array, away: Array, aims: Array, penalty: float, inside: Array) -> Part:
    k, y = own[np.ix_(inside, inside)], aims[inside]
    offset = y.mean(axis=0)
    weights = cho_solve(cho_factor(k + penalty * np.eye(len(inside)), lower=True), y - offset)
    return Part(inside, away[:, inside] @ weights + offset, own[:, inside] @ weights + offset)


def _some(groups: Array, share: float, rng: np.random.Generator) -> Array:
    """Rows of a random share of the groups; at least two rows."""
    names = np.unique(groups)
    kept = rng.permutation(names)[: max(2, round(share * len(names)))]
    return np.flatnonzero(np.isin(groups, kept))


def _neighbours(view: View, aims: Array) -> tuple[Array, Array]:
    """Votes of the nearest examples, nearer ones counting more (Dudani 1976)."""
    hot = (aims > 0).astype(np.float64)
    own = view.own.copy()
    np.fill_diagonal(own, np.inf)
    return _votes(view.away, hot), _votes(own, hot)


def _votes(distances: Array, hot: Array) -> Array:
    k = min(_NEIGHBOURS, distances.shape[1] - 1)
    if not len(distances):
        return np.zeros((0, hot.shape[1]))
    near = np.argpartition(distances, k - 1, axis=1)[:, :k]
    d = np.sqrt(np.take_along_axis(distances, near, axis=1))
    d = np.where(np.isfinite(d), d, np.nanmax(np.where(np.isfinite(d), d, np.nan), initial=1.0))
    weight = 1.0 / (d + 0.1 * d.mean() + 1e-9)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ijk->ik", weight, hot[near]))


def _trees(view: View, labels: Array, classes: int, seed: int) -> tuple[Array, Array]:
    """Extremely randomised trees (Geurts, Ernst & Wehenkel 2006), answering for an example out of bag."""
    import warnings

    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(_TREES, bootstrap=True, oob_score=True, random_state=seed, n_jobs=1, max_depth=16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the few examples that are in every bag keep the score 0
        forest.fit(view.known, labels)
    out = np.zeros((len(view.failed), classes))
    if len(view.failed):
        out[:, forest.classes_] = forest.predict_proba(view.failed)
    own = np.zeros((len(labels), classes))
    own[:, forest.classes_] = np.nan_to_num(forest.oob_decision_function_)
    return out, own
