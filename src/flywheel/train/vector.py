"""Dense vectors and images: lists of numbers, nested lists flattened."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import InvalidConfig, InvalidRecord
from flywheel.ports import Model, Predictions
from flywheel.records import Dataset, Example
from flywheel.train import files, kernel
from flywheel.train.confidence import Confidence, fit_confidence
from flywheel.train.targets import TASKS, Targets, targets_of
from flywheel.train.threads import threads
from flywheel.train.views import View, shape_of

__all__ = ["VectorModel", "VectorTrainer", "flatten", "make_trainer"]


def make_trainer(task: str = "classification", landmarks: int = 1500) -> VectorTrainer:
    """Make the `vector` trainer. `landmarks` bounds the size of the model and the cost of a fit (see `kernel`)."""
    if task not in TASKS:
        raise InvalidConfig(
            f"the vector trainer learns {' or '.join(TASKS)}, not {task!r}. Give train.trainer one that can"
        )
    if landmarks < 2:
        raise InvalidConfig(f"landmarks is {landmarks}; the vector trainer needs at least 2")
    return VectorTrainer(task, landmarks)


@dataclass(frozen=True, slots=True)
class VectorModel:
    """A kernel machine over flattened numbers.

    An input that is no list of exactly `width` numbers cannot be placed: it gets the most frequent class (the mean, in
    a regression) with that class's share as its confidence. A missing number inside a list (None, NaN) takes the
    training mean.
    """

    machine: kernel.KernelMachine
    width: int
    labels: tuple[Any, ...]
    prior: NDArray[Any]
    confidence: Confidence
    low: float
    high: float
    fill: NDArray[Any]
    """The training mean of every number, for those that are missing."""

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch; O(n · landmarks)."""
        x, readable = matrix(inputs, self.width, self.fill)
        with threads(1):
            raw = self.machine.scores(x)
        if not self.labels:
            values = np.clip(raw[:, 0].astype(np.float64), self.low, self.high)
            values[~readable] = float(self.prior[0])
            return Predictions([float(value) for value in values])
        shares = self.confidence.shares(raw)
        shares[~readable] = self.prior
        answers = self.confidence.answer(shares, self.labels)
        if answers.confidence is not None:
            answers.confidence[~readable] = self.prior.max()
        return answers


class VectorTrainer:
    """Learns from lists of numbers; see `flywheel.train.kernel` for the method and `flywheel.train.views` for images.

    A flat list as long as a square, or rows of numbers or pixels, may be an image: it is treated as one where that
    makes fewer leave-one-out errors.
    """

    name = "vector"

    def __init__(self, task: str = "classification", landmarks: int = 1500) -> None:
        self.task = task
        self.landmarks = landmarks

    def fit(self, dataset: Dataset, base: Model | None = None, seed: int = 0) -> VectorModel:
        """Learn from a dataset; `base` is not used (the fit is closed-form). Raises `InvalidRecord` naming a bad
        example."""
        targets = targets_of(dataset, self.task)
        x = _training_matrix(dataset)
        shape = shape_of(dataset.examples[0].input, x.shape[1])
        with threads(1):  # small matrices: one thread is faster, and gives the same bits on every machine
            aims, middle, spread = self._aims(targets)
            machine, left_out, _ = kernel.fit(
                x, aims, targets.weights, targets.groups, landmarks=self.landmarks, seed=seed, shape=shape
            )
            fill = x.mean(axis=0).astype(np.float32)
            if self.task == "regression":
                scaled = replace(
                    machine,
                    weights=machine.weights * np.float32(spread),
                    offset=machine.offset * np.float32(spread) + np.float32(middle),
                )
                prior = np.array([np.average(targets.y, weights=targets.weights)])
                low, high = float(targets.y.min()) - spread, float(targets.y.max()) + spread
                return VectorModel(scaled, x.shape[1], (), prior, Confidence(), low, high, fill)
            confidence = fit_confidence(left_out, targets.y, targets.weights, expected=4.0)
        return VectorModel(machine, x.shape[1], targets.labels, targets.prior, confidence, 0.0, 0.0, fill)

    def crossfit(
        self, dataset: Dataset, turns: Sequence[tuple[Collection[str], Sequence[Example]]], *, seed: int = 0
    ) -> list[Predictions] | None:
        """What `fit` without the examples left out (ids) would say to those asked, in closed form.

        Settings and confidence of a turn are chosen on what it keeps; only the scale of the inputs and the average
        weight are those of the whole dataset. None, so that it is fitted again, for a regression, above `landmarks`
        examples, where a turn keeps nothing, or where an input asked about is not `width` clean numbers.
        """
        n = len(dataset.examples)
        if self.task == "regression" or not 0 < n <= self.landmarks:
            return None
        x = _training_matrix(dataset)
        whole = targets_of(dataset, self.task)
        prepared: list[tuple[kernel.Turn, Targets]] = []
        for gone, asked in turns:
            kept = np.array([i for i, e in enumerate(dataset.examples) if e.id not in gone], dtype=np.int64)
            if not len(kept) or not whole.weights[kept].sum() > 0:
                return None
            own = targets_of(replace(dataset, examples=tuple(dataset.examples[i] for i in kept)), self.task)
            rows, readable = matrix([e.input for e in asked], x.shape[1], x.mean(axis=0))
            if not readable.all():
                return None
            prepared.append((kernel.Turn(kept, self._aims(own)[0], rows), own))
        shape = shape_of(dataset.examples[0].input, x.shape[1])
        said = []
        with threads(1):
            solved = kernel.crossfit(x, whole.weights, whole.groups, [turn for turn, _ in prepared], shape=shape)
            for (_, own), (scores, left_out) in zip(prepared, solved, strict=True):
                confidence = fit_confidence(left_out, own.y, own.weights, expected=4.0)
                said.append(confidence.answer(confidence.shares(scores.astype(np.float32)), own.labels))
        return said

    def _aims(self, targets: Targets) -> tuple[NDArray[Any], float, float]:
        """What the machine is to say: n × 1 numbers in units of their spread about their mean, or n × k of ±1."""
        if self.task == "regression":
            middle, spread = float(targets.y.mean()), float(targets.y.std()) or 1.0
            return ((targets.y - middle) / spread)[:, None], middle, spread
        return np.where(targets.y[:, None] == np.arange(len(targets.labels)), 1.0, -1.0), 0.0, 1.0

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.json` and `model.skops`."""
        if not isinstance(model, VectorModel):
            raise InvalidConfig(
                f"the vector trainer cannot save a {type(model).__name__}; save it with the trainer that made it"
            )
        machine = model.machine
        facts = {
            "width": model.width, "labels": list(model.labels), "confidence": model.confidence.facts(),
            "gamma": machine.gamma, "low": model.low, "high": model.high, "view": machine.view.kind,
            "shape": list(machine.view.shape or ()),
        }  # fmt: skip
        parts = {
            "mean": machine.mean, "scale": machine.scale, "landmarks": machine.landmarks,
            "weights": machine.weights, "offset": machine.offset, "prior": model.prior, "fill": model.fill,
        }  # fmt: skip
        files.write(folder, self.name, facts, parts)

    def load(self, folder: Path) -> VectorModel:
        """Bring back what `save` wrote: arrays only, no other type is trusted."""
        facts, parts = files.read(folder, self.name)
        height, width, channels = facts.get("shape") or (0, 0, 0)
        view = View(facts.get("view", "plain"), (height, width, channels) if height else None)
        machine = kernel.KernelMachine(
            parts["mean"], parts["scale"], facts["gamma"], parts["landmarks"], parts["weights"], parts["offset"], view
        )
        return VectorModel(
            machine,
            facts["width"],
            tuple(facts["labels"]),
            parts["prior"],
            Confidence(*facts["confidence"]),
            facts["low"],
            facts["high"],
            parts.get("fill", parts["mean"]),
        )


def flatten(value: Any) -> list[float] | None:
    """Numbers of a flat or nested list in order, with NaN for None; None when it is anything else.

    >>> flatten([[1, 2], [3, 4]])
    [1.0, 2.0, 3.0, 4.0]
    >>> flatten("abc") is None
    True
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or not value:
        return None
    numbers: list[float] = []
    for item in value:
        if item is None:
            numbers.append(math.nan)
        elif isinstance(item, int | float):
            numbers.append(float(item))
        else:
            nested = flatten(item)
            if nested is None:
                return None
            numbers.extend(nested)
    return numbers


def matrix(inputs: Sequence[Any], width: int, fill: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Inputs as n × width float32, and which rows could be read; unreadable rows hold `fill`."""
    try:  # the common case: every row is a clean list of the right length
        x = np.asarray(inputs, dtype=np.float32).reshape(len(inputs), -1)
        if x.shape[1] == width and np.isfinite(x).all():
            return x, np.ones(len(x), dtype=bool)
    except (ValueError, TypeError):
        pass
    x = np.tile(np.asarray(fill, dtype=np.float32), (len(inputs), 1))
    readable = np.zeros(len(inputs), dtype=bool)
    for row, value in enumerate(inputs):
        numbers = flatten(value)
        if numbers is not None and len(numbers) == width:
            read = np.clip(np.asarray(numbers), -1e30, 1e30).astype(np.float32)
            x[row] = np.where(np.isfinite(read), read, fill)
            readable[row] = bool(np.isfinite(read).any())
    return x, readable


def _training_matrix(dataset: Dataset) -> NDArray[Any]:
    if flatten(dataset.examples[0].input) is not None:
        try:  # the common case: every row is a clean list of one length
            clean = np.asarray([e.input for e in dataset.examples], dtype=np.float32).reshape(len(dataset.examples), -1)
            if clean.shape[1] and np.isfinite(clean).all():
                return clean
        except (ValueError, TypeError):
            pass
    rows = [flatten(e.input) for e in dataset.examples]
    width = next((len(row) for row in rows if row is not None), 0)
    for example, row in zip(dataset.examples, rows, strict=True):
        if row is None or len(row) != width:
            found = f"{len(row)} numbers" if row is not None else repr(example.input)[:80]
            raise InvalidRecord(
                "input", f"example {example.id!r} has {found} where a list of {width or 'some'} numbers was expected",
                "Give every input the same length, or choose another trainer with train.trainer",
            )  # fmt: skip
    x = np.asarray(rows, dtype=np.float32)
    x[~np.isfinite(x)] = np.nan
    holes = np.isnan(x)
    if holes.any():
        counts = (~holes).sum(axis=0)
        means = np.where(holes, 0, x).sum(axis=0) / np.maximum(counts, 1)
        x = np.where(holes, means[None], x).astype(np.float32)
    return x
