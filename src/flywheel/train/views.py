"""How vectors are looked at before distances are taken between them; which way is best, leave-one-out answers tell.

- `plain`: as they are, all numbers on one scale;
- `each`: every number on its own scale, for measurements of different units;
- `rows`: every vector less its own mean and over its own spread, for sensors whose level and gain differ;
- `image`: as `rows`, then smoothed a little, and compared under small shifts in all directions.

An image and its neighbour a pixel to the side are alike to people, and far apart as vectors. Averaging the kernel over
nine shifts (Haasdonk & Burkhardt 2007, "Invariant kernel functions for pattern analysis and machine learning") makes
the machine forget where exactly something stood. The shares of the shifts fall off as 1, 2, 1 along each axis, which
keeps the kernel positive definite; what leaves at one edge comes in at the other, where images are mostly ground.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["Shape", "View", "folded", "shape_of", "views"]

Array = NDArray[Any]
Shape = tuple[int, int, int]

LEAST_SIDE, MOST_NUMBERS = 6, 4096
"""Smaller than this nothing is an image; larger, nine kernels would take too long."""
LEAST_ROW = 16
"""The mean and spread of fewer numbers than this say more about the numbers than about a sensor."""
_FINE = 28
"""An image so many pixels high is smoothed by a standard deviation of one pixel and shifted by two."""


@dataclass(frozen=True, slots=True)
class View:
    """One way of looking at vectors. `shape` is height, width, channels; only an `image` uses it."""

    kind: str
    shape: Shape | None = None

    def learn(self, x: Array) -> tuple[Array, Array]:
        """What to take from, and to divide by, each number of what `prepare` gives (n × d)."""
        z = self.prepare(x)
        # Shifted images must be compared without a mean image that stays where it is.
        mean = np.zeros(x.shape[1]) if self.kind == "image" else z.mean(axis=0)
        spread = z.std(axis=0) if self.kind == "each" else np.full(x.shape[1], np.sqrt(z.var(axis=0).mean()))
        return mean.astype(np.float32), np.where(spread > 1e-9, spread, 1.0).astype(np.float32)

    def prepare(self, x: Array) -> Array:
        """n × d raw numbers to n × d that can be compared once scaled."""
        if self.kind in ("plain", "each"):
            return x
        middle = x.mean(axis=1, keepdims=True)
        spread = x.std(axis=1, keepdims=True)
        z: Array = (x - middle) / np.where(np.isfinite(spread) & (spread > 1e-9), spread, 1.0)
        if self.kind == "image" and self.shape is not None:
            wide = max(self.shape[0], self.shape[1]) / _FINE
            z = gaussian_filter(z.reshape(-1, *self.shape), (0, wide, wide, 0)).reshape(x.shape)
        return z

    def kernel(self, a: Array, b: Array, gamma: float) -> Array:
        """The mean over the shifts of exp(-gamma · squared distance) between the rows of two scaled matrices."""
        return _mixed(((share, _squared(self._moved(a, shift), b)) for share, shift in self._shifts()), gamma)

    def gram(self, a: Array, gamma: float) -> Array:
        """`kernel` of a matrix with itself, symmetric."""
        return folded(self.halves(a), gamma)

    def halves(self, a: Array) -> Iterator[tuple[float, Array]]:
        """Share and squared distances of a matrix to itself for half of the shifts, for `folded`; opposite shifts are
        each other's transpose. No shift counts as half of itself."""
        for share, shift in self._shifts():
            if shift >= (0, 0):
                yield share / 2 if shift == (0, 0) else share, _squared(self._moved(a, shift), a)

    def _shifts(self) -> list[tuple[float, tuple[int, int]]]:
        if self.kind != "image" or self.shape is None:
            return [(1.0, (0, 0))]
        step = max(1, round(2 * max(self.shape[0], self.shape[1]) / _FINE))
        shares = {0: 0.5, -step: 0.25, step: 0.25}
        return [(down * along, (i, j)) for i, down in shares.items() for j, along in shares.items()]

    def _moved(self, z: Array, shift: tuple[int, int]) -> Array:
        if shift == (0, 0) or self.shape is None:
            return z
        return np.roll(z.reshape(-1, *self.shape), shift, axis=(1, 2)).reshape(z.shape)


def views(width: int, shape: Shape | None) -> tuple[View, ...]:
    """The ways that are tried on vectors of `width` numbers, the plainest first."""
    usual: tuple[View, ...] = (View("plain"), View("each"))
    if width >= LEAST_ROW:
        usual = (*usual, View("rows"))
    return usual if shape is None else (*usual, View("image", shape))


def shape_of(value: Any, width: int) -> Shape | None:
    """Height, width and channels of an input that may be an image: rows of numbers or of pixels of up to four numbers,
    or a flat list as long as a square. None when it can be none.

    >>> shape_of([0] * 196, 196), shape_of([[0] * 8] * 6, 48), shape_of([0] * 195, 195)
    ((14, 14, 1), (6, 8, 1), None)
    """
    try:
        found = np.shape(value)
    except (ValueError, TypeError):
        return None
    if len(found) == 1:
        side = math.isqrt(width)
        found = (side, side)
    if len(found) == 2:
        found = (*found, 1)
    if len(found) != 3 or found[2] > 4 or math.prod(found) != width or width > MOST_NUMBERS:
        return None
    return (int(found[0]), int(found[1]), int(found[2])) if min(found[:2]) >= LEAST_SIDE else None


def folded(halves: Iterable[tuple[float, Array]], gamma: float) -> Array:
    """The symmetric kernel from `View.halves`; the arrays in `halves` are used up."""
    half = _mixed(halves, gamma)
    return half + half.T


def _mixed(parts: Iterable[tuple[float, Array]], gamma: float) -> Array:
    """Sum of share · exp(-gamma · distances) over `parts`; the arrays in `parts` are used up."""
    found: Array | None = None
    for share, distances in parts:
        part = np.multiply(distances, -gamma, out=distances)
        np.exp(part, out=part)
        if share != 1.0:
            part *= share
        found = part if found is None else np.add(found, part, out=found)
    assert found is not None
    return found


def _squared(a: Array, b: Array) -> Array:
    squared: Array = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * (a @ b.T)
    np.maximum(squared, 0, out=squared)
    return squared
