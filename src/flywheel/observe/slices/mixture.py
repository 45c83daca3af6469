"""Groups of texts or vectors in which the model fails alike.

Eyuboglu et al. (2022), "Domino: discovering systematic errors with cross-modal embeddings", ICLR: a Gaussian mixture
over embeddings in which every component also has its own distribution of losses and answers, so that a component is
a place in the space of inputs where one thing goes wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig

__all__ = ["Mixture", "error_mixture"]

DIMENSIONS = 24
"""Embeddings are reduced to so many principal components."""
ANSWERS = 20
"""So many of the commonest answers are told apart."""
_FLOOR = 1e-3

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Mixture:
    """k components over reduced vectors, the worst first, with the failure rate and the answers of each."""

    membership: Array
    """n × k: how much of each row belongs to each component; rows add up to 1."""
    share: Array
    """k: the part of all rows."""
    failing: Array
    """k: the mean loss."""
    centre: Array
    spread: Array
    """k × r: the mean and the variance in reduced coordinates."""
    answers: Array
    """k × answers: how often each answer is given."""
    axes: tuple[Array, Array, float]
    """Origin, directions and scale that reduce a vector."""
    names: tuple[Any, ...]
    """The answers told apart; the last column of `answers` is for all others."""
    likelihood: float
    gamma: float

    def place(self, vectors: Any, outputs: Sequence[Any] | None = None) -> Array:
        """n × k membership of new rows by their vectors and answers only: their losses are not looked at."""
        points = _reduced(np.asarray(vectors, dtype=np.float64), self.axes)
        logs = _gaussian(points, self.centre, self.spread) + np.log(self.share)
        if outputs is not None and self.names:
            logs = logs + self.gamma * (_one_hot(outputs, self.names) @ np.log(self.answers).T)
        return _softmax(logs)[0]


def error_mixture(
    vectors: Any,
    losses: Any,
    outputs: Sequence[Any] | None = None,
    *,
    k: int = 25,
    gamma: float = 2.0,
    steps: int = 100,
    seed: int = 0,
) -> Mixture:
    """Fit the mixture to n vectors (n × d), their losses (0 to 1) and, where there are some, the answers given.

    `gamma` is the weight of losses and answers beside the vectors: at 0 it is a plain Gaussian mixture. Starts from
    k-means on vectors with the loss beside them; variances are diagonal. O(n · k · r) a step of EM. Raises
    `InvalidConfig` for lengths that do not fit, or numbers that are none.

    >>> rng = np.random.default_rng(0)
    >>> vectors = np.concatenate([rng.normal(0, 1, (200, 3)), rng.normal(6, 1, (50, 3))])
    >>> found = error_mixture(vectors, [0] * 200 + [1] * 50, k=2)
    >>> found.failing.round(1).tolist(), found.share.round(1).tolist()
    ([1.0, 0.0], [0.2, 0.8])
    """
    points, loss = _checked(vectors, losses, outputs, k)
    k = min(k, len(loss))
    axes = _axes(points)
    points = _reduced(points, axes)
    names = _commonest(outputs)
    marks = _one_hot(outputs, names) if outputs is not None else np.zeros((len(loss), 0))
    membership = _start(points, loss, marks, k, gamma, seed)
    last = -np.inf
    for _ in range(steps):
        share, centre, spread, failing, answers = _maximise(points, loss, marks, membership)
        logs = _gaussian(points, centre, spread) + np.log(share)
        logs += gamma * (np.outer(loss, np.log(failing)) + np.outer(1 - loss, np.log(1 - failing)))
        logs += gamma * (marks @ np.log(answers).T)
        membership, likelihood = _softmax(logs)
        if likelihood - last < 1e-6 * abs(likelihood):
            break
        last = likelihood
    share, centre, spread, failing, answers = _maximise(points, loss, marks, membership)
    order = np.lexsort((np.arange(k), -share, -np.round(failing, 9)))
    return Mixture(
        membership[:, order],
        share[order],
        failing[order],
        centre[order],
        spread[order],
        answers[order],
        axes,
        names,
        float(likelihood),
        gamma,
    )


def _checked(vectors: Any, losses: Any, outputs: Sequence[Any] | None, k: int) -> tuple[Array, Array]:
    points, loss = np.asarray(vectors, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if points.ndim != 2 or len(points) != len(loss) or not len(loss):
        raise InvalidConfig(f"vectors have shape {points.shape} and there are {len(loss)} losses: give a vector a loss")
    if outputs is not None and len(outputs) != len(loss):
        raise InvalidConfig(f"there are {len(outputs)} outputs and {len(loss)} losses: give one of each a row")
    if k < 1 or not np.isfinite(points).all() or not ((loss >= 0) & (loss <= 1)).all():
        raise InvalidConfig(
            f"k is {k}, losses lie between {loss.min():g} and {loss.max():g}: k starts at 1, losses lie in 0 to 1, "
            "and vectors are finite; leave out rows without one"
        )
    return points, loss


def _axes(points: Array) -> tuple[Array, Array, float]:
    """Principal axes, all at one scale, so that the first stays the widest."""
    origin = points.mean(axis=0)
    centred = points - origin
    values, directions = np.linalg.eigh(centred.T @ centred / len(points))
    kept = min(DIMENSIONS, int(np.count_nonzero(values > 1e-12 * max(float(values[-1]), 1e-300))))
    directions = directions[:, ::-1][:, : max(kept, 1)]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    scale = float(np.sqrt(max(values[-max(kept, 1) :].mean(), 1e-300)))
    return origin, directions * signs, scale


def _reduced(points: Array, axes: tuple[Array, Array, float]) -> Array:
    origin, directions, scale = axes
    out: Array = (points - origin) @ directions / scale
    return out


def _commonest(outputs: Sequence[Any] | None) -> tuple[Any, ...]:
    if outputs is None:
        return ()
    values, counts = np.unique(np.asarray([str(one) for one in outputs]), return_counts=True)
    return tuple(str(one) for one in values[np.lexsort((values, -counts))][:ANSWERS])


def _one_hot(outputs: Sequence[Any], names: Sequence[Any]) -> Array:
    places = {name: place for place, name in enumerate(names)}
    marks = np.zeros((len(outputs), len(names) + 1))
    marks[np.arange(len(outputs)), [places.get(str(one), len(names)) for one in outputs]] = 1.0
    return marks


def _start(points: Array, loss: Array, marks: Array, k: int, gamma: float, seed: int) -> Array:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    beside = np.column_stack([points, np.sqrt(max(gamma, 0.0)) * loss, 0.5 * marks])
    with threadpool_limits(limits=1):  # sums in one order
        labels = KMeans(k, n_init=3, random_state=seed).fit(beside).labels_
    out: Array = np.eye(k)[labels] * 0.9 + 0.1 / k
    return out


def _maximise(points: Array, loss: Array, marks: Array, membership: Array) -> tuple[Array, Array, Array, Array, Array]:
    mass = membership.sum(axis=0) + 1e-9
    centre = membership.T @ points / mass[:, None]
    square = membership.T @ points**2 / mass[:, None]
    whole = points.var(axis=0)
    # A few rows' worth of the variance of all keeps small components from shrinking onto single points.
    spread = ((square - centre**2) * mass[:, None] + 4.0 * whole) / (mass[:, None] + 4.0) + 1e-6
    mean = float(np.clip(loss.mean(), _FLOOR, 1 - _FLOOR))
    failing = np.clip((membership.T @ loss + 2.0 * mean) / (mass + 2.0), _FLOOR, 1 - _FLOOR)
    answers = membership.T @ marks + 1.0 / max(marks.shape[1], 1)
    if marks.shape[1]:
        answers = answers / answers.sum(axis=1, keepdims=True)
    return mass / mass.sum(), centre, spread, failing, answers


def _gaussian(points: Array, centre: Array, spread: Array) -> Array:
    inverse = 1.0 / spread
    far = points**2 @ inverse.T - 2 * points @ (centre * inverse).T + (centre**2 * inverse).sum(axis=1)
    out: Array = -0.5 * (far + np.log(2 * np.pi * spread).sum(axis=1))
    return out


def _softmax(logs: Array) -> tuple[Array, float]:
    top = logs.max(axis=1, keepdims=True)
    parts = np.exp(logs - top)
    total = parts.sum(axis=1, keepdims=True)
    return parts / total, float((np.log(total) + top).sum())
