"""One look at a window's inputs beside the labelled examples, from which novelty, groups and edge cases are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flywheel.mine.space import likeness, place
from flywheel.mine.unfamiliar import unexplained

if TYPE_CHECKING:
    from flywheel.ports import Embedder

__all__ = ["Look", "look"]

_BLOCK = 1024

Floats = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of n inputs beside m examples. Rows have length 1, so that their product is a likeness."""

    rows: Any
    known: Any
    strange: Floats
    """n: the probability that no known class explains the input."""
    nearest: Floats
    """n: the likeness to the nearest example."""
    own: Floats
    """The likenesses of examples to the nearest other one, sorted."""
    apart: float
    """A likeness that means nothing."""

    @property
    def alike(self) -> float:
        """The likeness from which two inputs are neighbours: that of half of the examples to their nearest one.

        At most 0.8: examples may hold every input twice.
        """
        return min(0.8, float(np.median(self.own))) if len(self.own) else 0.8

    def novelty(self) -> Floats:
        """n: how novel each input is, 0 to 1, as `mine.novelty` defines it, in this look's own likeness."""
        if not len(self.own):
            return np.ones(len(self.nearest))
        as_near = len(self.own) - np.searchsorted(self.own, self.nearest + 1e-9, side="right")
        return np.where(self.nearest > 1 - 1e-7, 0.0, as_near / len(self.own))

    def neighbours(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """How many of the n inputs (itself among them) and how many examples are neighbours of each of these rows."""
        met, told = [np.zeros(0)], [np.zeros(0)]
        for start in range(0, len(rows), _BLOCK):
            these = self.rows[np.asarray(rows[start : start + _BLOCK], dtype=np.int64)]
            met.append(np.maximum((likeness(these, self.rows) >= self.alike).sum(axis=1), 1))
            told.append((likeness(these, self.known) >= self.alike).sum(axis=1))
        return np.concatenate(met), np.concatenate(told)

    def nearest_examples(self, row: int, count: int = 3) -> list[int]:
        """The examples nearest to one input, the nearest first, as places among the known ones."""
        to = likeness(self.rows[[row]], self.known)[0]
        return [int(at) for at in np.argsort(-np.round(to, 9), kind="stable")[:count]]


def look(
    inputs: Sequence[Any],
    known: Sequence[Any],
    labels: Sequence[Any],
    *,
    embedder: Embedder | None = None,
) -> Look:
    """Look at n inputs beside the examples `known` with their `labels`. O(n · known), texts about a second for 4,000.

    Texts are compared by words and letters, other inputs by the vectors of `embedder`, which they need.
    """
    rows, there = place(inputs, known, embedder)
    strange, nearest, own, apart = unexplained(rows, there, labels)
    return Look(rows, there, strange, nearest, own, apart)
