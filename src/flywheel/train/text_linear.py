"""A linear machine over the n-grams of texts, for more of them than a kernel machine can solve at once.

Time grows with the number of texts. One support vector machine with squared hinge loss a class (Fan et al. 2008,
LIBLINEAR); ridge for a regression. From so many texts on it is as accurate as the kernel machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from flywheel.train.ngrams import Ngrams
from flywheel.train.targets import Targets, held_out
from flywheel.train.text_certainty import Certainty, fit_certainty

__all__ = ["LinearMachine", "fit_linear"]

Array = NDArray[Any]

_ROWS = 2048
"""Texts scored at a time."""
_PENALTY = 1.0
"""The inverse strength of the regularisation (C)."""
_SOLVER = Lock()
"""liblinear draws from one generator per process: two fits at a time would disturb each other's seeds."""
_HALF = 0.5
"""Scores are brought from -1..1 to 0..1, as those of the kernel machine."""


@dataclass(frozen=True, slots=True)
class LinearMachine:
    """score(text) = n-grams of the text @ weights + offset."""

    ngrams: Ngrams
    weights: Array
    offset: Array

    def scores(self, texts: Sequence[str]) -> Array:
        """n texts to n × k scores, in blocks."""
        out = np.empty((len(texts), self.weights.shape[1]))
        for start in range(0, len(texts), _ROWS):
            out[start : start + _ROWS] = (
                self.ngrams.transform(texts[start : start + _ROWS]) @ self.weights + self.offset
            )
        return out

    def parts(self) -> tuple[str, dict[str, Array]]:
        """What kind it is, and its arrays, to be stored; `of` brings it back."""
        return "linear", {"weights": self.weights, "offset": self.offset, "keys": self.ngrams.keys}

    @classmethod
    def of(cls, parts: Mapping[str, Array], blank: Ngrams) -> LinearMachine:
        """From stored arrays; texts are read in the way of `blank`."""
        return cls(blank.of(parts["keys"]), parts["weights"], parts["offset"])


def fit_linear(
    blank: Ngrams, texts: Sequence[str], targets: Targets, seed: int, outside: str
) -> tuple[LinearMachine, Certainty]:
    """Learn n texts. An n-gram that only one of them has does not count. Certainty comes from a second, looser fit
    without a fifth of the groups."""
    ngrams, x = blank.learn(texts, least=2)
    x = x.astype(np.float64)
    if not targets.labels:
        centre = float(np.average(targets.y, weights=targets.weights))
        weights = np.zeros((x.shape[1], 1))
        if x.shape[1]:
            ridge = Ridge(alpha=0.5, solver="lsqr", fit_intercept=False)
            weights[:, 0] = ridge.fit(x, targets.y - centre, sample_weight=targets.weights).coef_
        return LinearMachine(ngrams, weights, np.array([centre])), Certainty()
    if len(targets.labels) == 1 or x.shape[1] == 0:
        return LinearMachine(ngrams, np.zeros((x.shape[1], len(targets.labels))), targets.prior), Certainty()
    weights, offset = _machine(x, targets, np.ones(len(targets.y), dtype=bool), seed, 0.03)
    machine = LinearMachine(ngrams, weights.astype(np.float32), offset)
    away = held_out(targets.groups, 5, 0)
    kept = ~away
    if not away.any() or len(set(targets.y[kept].tolist())) < 2:
        return machine, Certainty()
    some, sides = _machine(x, targets, kept, seed, 0.3)
    y, w = targets.y[away], targets.weights[away]
    return machine, fit_certainty(x[away] @ some + sides, y, w, targets.labels, None, outside)


def _machine(
    x: sparse.csr_matrix, targets: Targets, rows: NDArray[np.bool_], seed: int, tolerance: float
) -> tuple[Array, Array]:
    """Weights (features × classes) and offsets of a fit on `rows`; a class without rows scores as surely not."""
    machine = LinearSVC(C=_PENALTY, tol=tolerance, random_state=seed)
    with _SOLVER:
        machine.fit(x[rows], targets.y[rows], sample_weight=targets.weights[rows])
    found, sides, classes = machine.coef_, machine.intercept_, machine.classes_
    if len(classes) == 2:
        found, sides = np.vstack([-found, found]), np.concatenate([-sides, sides])
    weights = np.zeros((x.shape[1], len(targets.labels)))
    offset = np.zeros(len(targets.labels))
    weights[:, classes] = _HALF * found.T
    offset[classes] = _HALF * (sides + 1)
    return weights, offset
