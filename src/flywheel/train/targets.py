"""From a dataset's labels to what a learner can fit: class numbers or floats, weights, and a split that keeps groups
whole."""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import InvalidConfig, InvalidRecord, NothingToLearn
from flywheel.records import Dataset, Example

__all__ = ["TASKS", "Targets", "classes_of", "held_out", "label_key", "numbers_of", "targets_of"]

# Few examples of many classes are normal here, and the labels are known to be classes.
warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")

TASKS = ("classification", "regression")
"""What the built-in trainers learn; ranking and generation bring a trainer of their own."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The labels of n examples as a learner wants them. For regression `labels` is empty and `y` holds floats."""

    labels: tuple[Any, ...]
    y: NDArray[Any]
    weights: NDArray[np.float64]
    groups: tuple[str, ...]

    @property
    def prior(self) -> NDArray[np.float64]:
        """Weighted share of each class."""
        counts = np.bincount(self.y, weights=self.weights, minlength=len(self.labels))
        shares: NDArray[np.float64] = counts / counts.sum()
        return shares


def label_key(label: Any) -> str:
    """Canonical text of a JSON label, so that dicts and lists can be classes; 1.0 and 1 are the same class, "1" is not.

    >>> label_key(1.0) == label_key(1), label_key("1") == label_key(1)
    (True, False)
    """
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return json.dumps(label, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def targets_of(dataset: Dataset, task: str) -> Targets:
    """Read labels and weights. Raises `NothingToLearn` without examples, `InvalidRecord` for a label a regression
    cannot use."""
    if task not in TASKS:
        raise InvalidConfig(
            f"task is {task!r}; this trainer learns {' or '.join(TASKS)}. Give train.trainer one that can"
        )
    examples = dataset.examples
    if not examples:
        raise NothingToLearn("the dataset has no examples. Label some interactions, or give examples with fw.seed")
    weights = np.array([max(float(e.weight), 0.0) for e in examples], dtype=np.float64)
    if not weights.sum() > 0:
        raise NothingToLearn(f"all {len(examples)} examples have weight 0. Give at least one a weight above 0")
    weights /= weights.mean()
    groups = tuple(e.group or e.id for e in examples)
    if task == "regression":
        return Targets((), numbers_of(examples), weights, groups)
    labels, y = classes_of([e.label for e in examples])
    return Targets(labels, y, weights, groups)


def classes_of(values: Sequence[Any]) -> tuple[tuple[Any, ...], NDArray[np.int64]]:
    """Distinct labels in a stable order, and each example's number among them."""
    keys = [label_key(value) for value in values]
    first: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        first.setdefault(key, value)
    order = {key: number for number, key in enumerate(sorted(first))}
    return tuple(first[key] for key in order), np.array([order[key] for key in keys], dtype=np.int64)


def numbers_of(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Labels as floats, for a regression."""
    for example in examples:
        label = example.label
        if isinstance(label, bool) or not isinstance(label, int | float) or not math.isfinite(label):
            raise InvalidRecord(
                "label", f"example {example.id!r} has the label {label!r}, which is not a finite number",
                "A regression learns from numbers; use task = 'classification' for anything else",
            )  # fmt: skip
    return np.array([float(e.label) for e in examples], dtype=np.float64)


def held_out(groups: Sequence[str], parts: int, part: int) -> NDArray[np.bool_]:
    """Mark part number `part` of `parts`, whole groups at a time; depends on the groups' names only."""
    return np.array([zlib.crc32(group.encode()) % parts == part for group in groups], dtype=bool)
