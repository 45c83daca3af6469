"""Labels as class numbers: answers of a classification, fifths of a regression's range, nothing for free text."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Classes", "classes_of", "key_of"]

_BINS = 5
_MANY = 20


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes that the examples teach. `edges` cut numbers into ranges; without it, labels are taken as written."""

    names: tuple[str, ...]
    edges: tuple[float, ...] = ()
    _of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def number(self, label: Any) -> int:
        """The class of a label; -1 for one that no example teaches, -2 for no label at all."""
        if label is None:
            return -2
        if self.edges:
            value = _real(label)
            return -2 if value is None else int(np.searchsorted(self.edges, value, side="right"))
        return self._of.get(key_of(label), -1)


def classes_of(labels: Sequence[Any]) -> Classes:
    """Read the classes off the examples' labels.

    More than twenty different numbers that hardly repeat are a quantity, cut at its quintiles. Other labels of which
    there are nearly as many as examples are free text, from which no class can be learned: no classes.

    >>> len(classes_of(["a", "b", "a"])), len(classes_of([float(i) for i in range(100)]))
    (2, 5)
    """
    counts = Counter(key_of(label) for label in labels)
    numbers = [value for label in labels if (value := _real(label)) is not None]
    if len(numbers) == len(labels) and len(counts) > max(_MANY, len(labels) / 10):
        edges = sorted(set(np.quantile(numbers, np.arange(1, _BINS) / _BINS).tolist()))
        return Classes(tuple(f"range {i + 1} of {len(edges) + 1}" for i in range(len(edges) + 1)), tuple(edges))
    if len(counts) > _MANY and len(counts) > len(labels) / 2:
        return Classes(())
    names = tuple(sorted(counts))
    return Classes(names, (), {name: i for i, name in enumerate(names)})


def key_of(label: Any) -> str:
    """A label as text, the same text for the same label."""
    return json.dumps(label, ensure_ascii=False, sort_keys=True)


def _real(label: Any) -> float | None:
    if isinstance(label, bool) or not isinstance(label, int | float) or not math.isfinite(label):
        return None
    return float(label)
