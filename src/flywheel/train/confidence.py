"""Scores → confidence: fitted on answers to examples the scoring model had not seen, so that 0.8 means right 8 times
in 10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from flywheel.ports import Predictions

__all__ = ["Confidence", "fit_confidence", "fit_correction", "fit_temperature", "softmax"]


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Row-wise softmax of an n × k array.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = np.asarray(scores, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True, slots=True)
class Confidence:
    """How raw scores become shares (`temperature`) and how the best share becomes a confidence (`slope`, `shift`)."""

    temperature: float = 1.0
    slope: float = 1.0
    shift: float = 0.0

    def shares(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Raw n × k scores to n × k shares."""
        return softmax(scores * self.temperature)

    def answer(self, shares: NDArray[np.float64], labels: Sequence[Any]) -> Predictions:
        """The best class of each row with its calibrated confidence; the order of classes in a row stays."""
        best = shares.argmax(axis=1)
        top = shares[np.arange(len(best)), best]
        confidence = top if len(labels) < 2 else 1 / (1 + np.exp(-(self.slope * _logit(top) + self.shift)))
        return Predictions([labels[i] for i in best], confidence, tuple(labels), shares)

    def facts(self) -> list[float]:
        """For `model.json`; `Confidence(*facts)` brings it back."""
        return [float(value) for value in astuple(self)]


def fit_confidence(
    scores: NDArray[Any], y: NDArray[np.int64], weights: NDArray[np.float64], expected: float = 1.0
) -> Confidence:
    """Fit a temperature (Guo et al. 2017), then a logistic correction of the best class (Platt 1999).

    `scores` (n × k) must come from models that had not seen the row. One temperature for many classes fits the whole
    row best and can leave the winner too sure, hence the second step. With few rows both lean on what is usual:
    `expected`, and no correction; the penalties are those of normal priors with standard deviation 1 (0.5 for the
    correction).
    """
    if len(y) == 0 or scores.shape[1] < 2:
        return Confidence(expected)
    temperature = fit_temperature(scores, y, weights, expected)
    shares = softmax(scores * temperature)
    best = shares.argmax(axis=1)
    z = _logit(shares[np.arange(len(y)), best])
    slope, shift = fit_correction(z, best == y, weights)
    return Confidence(temperature, slope, shift)


def fit_correction(z: NDArray[Any], right: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and shift of the probability of being right by the log-odds `z` of the best class's share (Platt 1999)."""
    hits = right.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away = parameters - (1.0, 0.0)
        line = parameters[0] * z + parameters[1]
        miss = weights * (1 / (1 + np.exp(-line)) - hits)
        value = weights @ (np.logaddexp(0, line) - hits * line) + 2 * away @ away
        return float(value), np.array([miss @ z, miss.sum()]) + 4 * away

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.05, 5.0), (-8.0, 8.0)])
    return float(found.x[0]), float(found.x[1])


def _logit(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(shares, 1e-6, 1 - 1e-6)
    logits: NDArray[np.float64] = np.log(inside / (1 - inside))
    return logits


def fit_temperature(scores: NDArray[Any], y: NDArray[np.int64], weights: NDArray[np.float64], expected: float) -> float:
    """The factor that makes the softmax of held-out scores (n × k) likeliest; its logarithm has a normal prior around
    that of `expected`, with standard deviation 1. By Newton's method."""
    rows = np.arange(len(y))
    usual = float(np.log(expected))
    at = usual
    for _ in range(30):
        factor = np.exp(at)
        z = factor * scores
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        mean = np.einsum("ij,ij->i", z, scores)
        spread = np.einsum("ij,ij,ij->i", z, scores, scores) - mean**2
        slope = factor * float(weights @ (mean - scores[rows, y])) + at - usual
        bend = factor**2 * float(weights @ spread) + max(slope - (at - usual), 0.0) + 1.0
        step = float(np.clip(slope / bend, -1.0, 1.0))
        at = float(np.clip(at - step, usual - 5, usual + 5))
        if abs(step) < 1e-6:
            break
    return float(np.exp(at))
