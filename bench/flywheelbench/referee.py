"""The referee: what an arm's models are worth, measured on what no arm sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flywheelbench.world import World

from flywheel.ports import Model

__all__ = ["HARM_POPULATION", "HARM_SLICE", "Promotion", "Referee", "key"]

HARM_POPULATION = 0.0
"""A promotion harms when the population loses, beyond what the sealed cases' own chance explains (one-sided, 5 %) …"""
HARM_SLICE = 0.02
"""… or when a slice loses at least two points, and that is no accident either (one-sided, 1 %: there are many)."""
_LEAST = 100
"""A slice with fewer sealed cases of this spin's population cannot tell two points from none."""

_Float = np.ndarray[Any, Any]


def key(label: Any) -> str:
    """A label as text, so that 1 and "1" are different and both can be compared."""
    return json.dumps(label, sort_keys=True)


@dataclass(slots=True)
class Promotion:
    """A candidate that was held against a champion, and what the truth says of it."""

    spin: int
    promoted: bool
    gain: float
    """Points of the population, 0 to 1."""
    harmful: bool
    good: bool
    """At least half a point better, and no slice harmed."""
    flips: float
    """Share of the population that was right and now is wrong."""


@dataclass(slots=True)
class Seen:
    """A model's sealed answers."""

    right: _Float
    confidence: _Float
    outside: _Float


@dataclass
class Referee:
    """Keeps the sealed test of one world, and answers questions about models."""

    world: World
    _truth: list[str] = field(init=False)
    _slices: dict[str, _Float] = field(init=False)

    def __post_init__(self) -> None:
        self._truth = [key(case.truth) for case in self.world.sealed]
        names = sorted({name for case in self.world.sealed for name in case.slices})
        self._slices = {n: np.array([n in case.slices for case in self.world.sealed]) for n in names}
        self._inputs = [case.input for case in self.world.sealed]
        self._old = np.array([t in {key(label) for label in self.world.seed_labels} for t in self._truth])
        self._beyond = np.array([case.truth == self.world.out_of_scope for case in self.world.sealed])

    def look(self, model: Model) -> Seen:
        """Ask a model about every sealed case."""
        said = model.predict(self._inputs)
        right = np.array([key(o) == t for o, t in zip(said.outputs, self._truth, strict=True)])
        sure = np.ones(len(right)) if said.confidence is None else np.asarray(said.confidence, dtype=float)
        outside = 1.0 - sure
        labels = [key(label) for label in said.labels]
        name = key(self.world.out_of_scope)
        if said.scores is not None and self.world.out_of_scope is not None and name in labels:
            place = labels.index(name)
            scores = np.asarray(said.scores, dtype=float)
            inside = np.delete(scores, place, axis=1).max(axis=1) if scores.shape[1] > 1 else np.zeros(len(scores))
            outside = scores[:, place] - inside
        return Seen(right, sure, outside)

    def accuracy(self, seen: Seen, spin: int, where: _Float | None = None) -> float:
        """Accuracy on the population of a spin (0: the first), or on a part of it; NaN where nobody is."""
        weight = self.world.weights[spin] if where is None else self.world.weights[spin] * where
        total = float(weight.sum())
        return float(weight @ seen.right) / total if total > 0 else float("nan")

    def judge(self, old: Seen, new: Seen, spin: int, promoted: bool) -> Promotion:
        """Hold a candidate against the champion on the population of the spin it would serve."""
        spin = min(spin, len(self.world.weights) - 1)
        gain = self.accuracy(new, spin) - self.accuracy(old, spin)
        everywhere = np.ones(len(old.right), dtype=bool)
        slice_harmed = any(self._loses(old, new, inside, spin, HARM_SLICE, 2.33) for inside in self._slices.values())
        harmful = slice_harmed or self._loses(old, new, everywhere, spin, HARM_POPULATION, 1.645)
        flips = float(self.world.weights[spin] @ (old.right & ~new.right))
        return Promotion(spin, promoted, gain, harmful, gain >= 0.005 and not harmful, flips)

    def _loses(self, old: Seen, new: Seen, inside: _Float, spin: int, least: float, z: float) -> bool:
        """Is the weighted loss above `least`, and more than `z` standard errors of the sealed sample?"""
        weight = self.world.weights[spin] * inside
        if (weight > 0).sum() < _LEAST:
            return False
        weight = weight / weight.sum()
        change = old.right.astype(float) - new.right
        loss = float(weight @ change)
        error = float(np.sqrt(weight**2 @ (change - loss) ** 2))
        return loss > least and loss > z * error

    def closing(self, seen: Seen) -> dict[str, Any]:
        """What there is to say of the last champion, on the last spin's population."""
        last = len(self.world.weights) - 1
        weight = self.world.weights[last]
        found: dict[str, Any] = {
            "final": self.accuracy(seen, last),
            "old_classes": self.accuracy(seen, last, self._old),
            "slices": {n: round(self.accuracy(seen, last, inside), 4) for n, inside in self._slices.items()},
            "quiet": self.accuracy(seen, last, self._slices.get("group=quiet", np.zeros(len(weight)))),
            "usual": self.accuracy(seen, last, ~self._slices.get("group=quiet", np.zeros(len(weight), dtype=bool))),
            "ece": calibration_error(seen.confidence, seen.right, weight),
        }
        big = [n for n, inside in self._slices.items() if (inside & (weight > 0)).sum() >= _LEAST]
        found["worst_slice"] = min((found["slices"][n] for n in big), default=found["final"])
        if self._beyond.any():
            found["outside_at_90"] = outside_recall(seen.outside, self._beyond)
            found["outside_right"] = float(seen.right[self._beyond].mean())
        return found


def calibration_error(confidence: _Float, right: _Float, weight: _Float, bins: int = 15) -> float:
    """Expected calibration error with equal-width bins (Naeini et al. 2015), 0 to 1."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total, error = float(weight.sum()), 0.0
    for one in range(bins):
        here = place == one
        inside = float(weight[here].sum())
        if inside > 0:
            gap = float(weight[here] @ confidence[here] - weight[here] @ right[here])
            error += abs(gap) / total
    return error


def outside_recall(score: _Float, beyond: _Float, kept: float = 0.9) -> float:
    """Share of out-of-scope cases above the threshold that keeps `kept` of the others below it."""
    threshold = float(np.quantile(score[~beyond], kept))
    return float((score[beyond] > threshold).mean())


def mean_accuracy(outputs: Sequence[Any], truths: Sequence[Any], same: Callable[[Any], str] = key) -> float:
    """Share of outputs that equal the truth."""
    return float(np.mean([same(a) == same(b) for a, b in zip(outputs, truths, strict=True)]))
