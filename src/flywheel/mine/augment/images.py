"""A second scanner: blur, contrast, brightness, noise, shift and rotation, learnt from failing pictures.

Parameters are those under which disturbed examples have the same statistics as the failing pictures: level and spread
of the numbers, sharpness at three scales, graininess of the margin, place and slant of what is shown. That is the
method of simulated moments (McFadden 1989), by a search over one parameter at a time. Pictures are lists of side ×
side numbers, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.mine.augment.operation import Operation

__all__ = ["disturb", "found_in", "learn", "pictures", "side_of"]

Array = NDArray[Any]

_FEW = 8
_MOST = 60
"""Pictures on either side that a search looks at."""
_ODD = 0.95
"""A failing picture is odd when its statistics lie farther out than those of this share of the examples."""
_EXCESS = 0.10
"""This share of the failing pictures, beyond the examples' own 5 %, must be odd."""
_GRIDS: dict[str, tuple[float, ...]] = {
    "noise": (0.0, 0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.3),
    "blur": (0.0, 0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0),
    "gain": (1.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.15, 1.3, 1.5),
    "offset": (0.0, -0.3, -0.2, -0.1, -0.05, 0.05, 0.1, 0.15, 0.2, 0.3),
    "right": (0.0, -0.16, -0.12, -0.08, -0.04, 0.04, 0.08, 0.12, 0.16),
    "down": (0.0, -0.16, -0.12, -0.08, -0.04, 0.04, 0.08, 0.12, 0.16),
    "jitter": (0.0, 0.03, 0.06, 0.1),
    "angle": (0.0, -25.0, -15.0, -8.0, 8.0, 15.0, 25.0),
}
"""What is tried, the harmless value first: sigma in pixels of 28, shares of the range, of the side, degrees."""
_HARMLESS = {name: grid[0] for name, grid in _GRIDS.items()}
_PARTS = {
    "blur": ("blur",), "noise": ("noise",), "contrast": ("gain", "offset"), "shift": ("right", "down", "jitter"),
    "rotation": ("angle",),
}  # fmt: skip


def side_of(width: int) -> int | None:
    """The side of a square picture of so many numbers, None where it is none or smaller than 6 × 6.

    >>> side_of(784), side_of(30), side_of(16)
    (28, None, None)
    """
    side = math.isqrt(width)
    return side if side * side == width and side >= 6 else None


def pictures(inputs: Sequence[Any]) -> Array | None:
    """Inputs as n × side × side numbers; None when they are not all pictures of one size."""
    try:
        x = np.asarray(inputs, dtype=np.float32).reshape(len(inputs), -1)
    except (ValueError, TypeError):
        return None
    side = side_of(x.shape[1]) if len(x) else None
    return x.reshape(-1, side, side) if side is not None and np.isfinite(x).all() else None


@dataclass(frozen=True, slots=True)
class _Scale:
    """The examples' range, and where the middle and the spread of each statistic lie."""

    low: float
    high: float
    middle: Array
    spread: Array
    axes: Array
    """Whitens the statistics."""
    edge: float
    """The distance that `_ODD` of the examples stay within."""


def learn(failed: Sequence[Any], known: Sequence[Any], mode: str = "", seed: int = 0) -> list[Operation]:
    """What sets failing pictures apart from the examples, as operations: all of it together, then its parts.

    Only failing pictures that look unlike the examples count: the others fail for another reason. There must be 8 of
    them and 10 % more than such pictures among the examples. A part (blur, noise, contrast, shift, rotation) is an
    operation of its own where there is more than one.
    """
    x, y = pictures(known), pictures(failed)
    if x is None or y is None or x.shape[1:] != y.shape[1:] or len(x) < 4 * _FEW or len(y) < _FEW:
        return []
    rng = np.random.default_rng([seed, 3])
    scale = _scale(x)
    odd = _odd(y, scale)
    share = float(odd.mean()) - (1 - _ODD)
    if odd.sum() < _FEW or share < _EXCESS:
        return []
    some = x[np.sort(rng.choice(len(x), min(_MOST, len(x)), replace=False))]
    wanted = y[odd][:: max(1, int(odd.sum()) // _MOST)]
    fitted = _search(some, wanted, scale, seed)
    parts = [name for name, keys in _PARTS.items() if any(fitted[key] != _HARMLESS[key] for key in keys)]
    whole = {key: value for key, value in fitted.items() if value != _HARMLESS[key]}
    if not whole:
        return []
    limits = {"low": scale.low, "high": scale.high}
    names = ["scan", *parts] if len(parts) > 1 else parts
    found = []
    for name in names:
        chosen = whole if name == "scan" else {key: whole[key] for key in _PARTS[name] if key in whole}
        line = f"{', '.join(parts)}: {share:.0%} more of {len(y)} failing pictures than of the examples look so"
        found.append(
            Operation(
                name=name,
                kind="image",
                parameters={**chosen, **limits},
                share=round(share, 4),
                n=len(y),
                mode=mode,
                line=line,
            )
        )
    return found


def found_in(inputs: Sequence[Any], known: Sequence[Any]) -> list[bool]:
    """Which pictures look unlike the known ones."""
    x, y = pictures(known), pictures(inputs)
    if x is None or y is None or x.shape[1:] != y.shape[1:] or len(x) < 4 * _FEW:
        return [False] * len(inputs)
    return [bool(one) for one in _odd(y, _scale(x))]


def disturb(x: Array, parameters: Mapping[str, Any], seed: Sequence[int], *, vary: float = 0.2) -> Array:
    """Do an operation to n × side × side pictures, within the range of the examples.

    Strengths vary by a fifth from picture to picture, so that no single scanner is learnt by heart.
    """
    from scipy import ndimage

    rng = np.random.default_rng(list(seed))
    theta: dict[str, float] = {**_HARMLESS, **{k: float(v) for k, v in parameters.items() if k in _HARMLESS}}
    low, high = float(parameters["low"]), float(parameters["high"])
    n, side = x.shape[0], x.shape[1]
    out: Array = x.astype(np.float32)
    moves = np.array([theta["down"], theta["right"]]) * side + rng.normal(size=(n, 2)) * theta["jitter"] * side
    strength: Array = theta["blur"] * side / 28 * rng.uniform(1 - vary, 1 + vary, size=(n,))
    turned: Array = theta["angle"] * rng.uniform(1 - 2 * vary, 1 + 2 * vary, size=(n,))
    if theta["angle"] or np.abs(moves).max() > 0:
        margin = np.median(_margin(out), axis=1)[:, None, None]
        out = out - margin  # what comes in from outside is ground
        if theta["angle"]:
            out = np.stack([ndimage.rotate(one, t, reshape=False, order=1) for one, t in zip(out, turned, strict=True)])
        if vary == 0 and theta["jitter"] == 0:
            out = ndimage.shift(out, (0, *moves[0]), order=1)
        else:
            out = np.stack([ndimage.shift(one, move, order=1) for one, move in zip(out, moves, strict=True)])
        out = out + margin
    if theta["blur"] and vary == 0:
        out = ndimage.gaussian_filter(out, (0, strength[0], strength[0]), mode="nearest")
    elif theta["blur"]:
        out = np.stack(
            [ndimage.gaussian_filter(one, float(s), mode="nearest") for one, s in zip(out, strength, strict=True)]
        )
    span = high - low
    gain = 1 + (theta["gain"] - 1) * rng.uniform(1 - vary, 1 + vary, size=(n, 1, 1))
    out = low + (out - low) * gain + theta["offset"] * span
    if theta["noise"]:
        grain = rng.normal(size=out.shape) * rng.uniform(1 - vary, 1 + vary, size=(n, 1, 1))
        out = out + grain * theta["noise"] * span
    clipped: Array = np.clip(out, low, high).astype(np.float32)
    return clipped


def _search(some: Array, wanted: Array, scale: _Scale, seed: int) -> dict[str, float]:
    """One parameter after the other, then those that have moved again; one moves only for a clear gain."""
    target = _statistics(wanted, scale)
    goal, width = np.median(target, axis=0), _width(target)
    limits = {"low": scale.low, "high": scale.high}
    tried: dict[tuple[float, ...], float] = {}

    def misfit(theta: dict[str, float]) -> float:
        key = tuple(theta.values())
        if key not in tried:
            made = _statistics(disturb(some, {**theta, **limits}, [seed, 5], vary=0.0), scale)
            off = ((np.median(made, axis=0) - goal) / scale.spread) ** 2
            wide = 0.25 * np.log((_width(made) + 0.1 * scale.spread) / (width + 0.1 * scale.spread)) ** 2
            tried[key] = float(np.mean(np.log1p(off) + wide))  # no statistic outshouts the others
        return tried[key]

    # Level and spread give a first guess at contrast and brightness, which are too tangled to be found one by one.
    span = scale.high - scale.low
    spreads = [float(np.median(x.std(axis=(1, 2)))) for x in (some, wanted)]
    levels = [float(np.median(x.mean(axis=(1, 2))) - scale.low) / span for x in (some, wanted)]
    gain = round(min(1.6, max(0.2, spreads[1] / max(spreads[0], 1e-6))), 3)
    guess = {"gain": gain, "offset": round(levels[1] - gain * levels[0], 3)}
    theta = min((dict(_HARMLESS), {**_HARMLESS, **guess}), key=misfit)
    for again in (False, True):
        for name, grid in _GRIDS.items():
            if again and theta[name] == _HARMLESS[name]:
                continue
            values = (*grid, guess[name]) if name in guess else grid
            best = min(values, key=lambda value: misfit({**theta, name: value}))
            harmless = {**theta, name: _HARMLESS[name]}
            if misfit({**theta, name: best}) < misfit(harmless) - 0.02 * (misfit(dict(_HARMLESS)) + 0.05):
                theta[name] = best
            else:
                theta[name] = _HARMLESS[name]
    return theta


def _width(statistics: Array) -> Array:
    """A standard deviation that a few broken pictures do not move."""
    low, high = np.quantile(statistics, [0.25, 0.75], axis=0)
    wide: Array = (high - low) / 1.349
    return wide


def _scale(x: Array) -> _Scale:
    low, high = float(x.min()), float(x.max())
    plain = _Scale(low, max(high, low + 1e-6), np.zeros(1), np.ones(1), np.ones((1, 1)), 0.0)
    found = _statistics(x, plain)
    middle, spread, axes = _whitened(found)
    # Halves judge each other: among themselves, few examples lie nearer than new ones of the same kind would.
    apart = []
    for half, other in ((found[::2], found[1::2]), (found[1::2], found[::2])):
        centre, wide, turn = _whitened(half)
        apart.append(((((other - centre) / wide) @ turn) ** 2).sum(axis=1))
    edge = float(np.quantile(np.concatenate(apart), _ODD))
    return _Scale(low, plain.high, middle, spread, axes, edge)


def _whitened(found: Array) -> tuple[Array, Array, Array]:
    middle, spread = found.mean(axis=0), found.std(axis=0) + 1e-6
    values, vectors = np.linalg.eigh(np.cov((found - middle) / spread, rowvar=False) + 0.05 * np.eye(found.shape[1]))
    return middle, spread, vectors / np.sqrt(values)


def _odd(x: Array, scale: _Scale) -> NDArray[np.bool_]:
    z = (_statistics(x, scale) - scale.middle) / scale.spread
    away: NDArray[np.bool_] = ((z @ scale.axes) ** 2).sum(axis=1) > scale.edge
    return away


def _margin(x: Array) -> Array:
    """The outermost line of numbers of each picture."""
    return np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)


def _statistics(x: Array, scale: _Scale) -> Array:
    """n pictures to n × 14 statistics."""
    v = (x.astype(np.float32) - scale.low) / (scale.high - scale.low)
    n, side = v.shape[0], v.shape[1]
    spread = v.std(axis=(1, 2)) + 1e-3
    margin = _margin(v)
    columns = [v.mean(axis=(1, 2)), spread, np.quantile(v.reshape(n, -1), 0.98, axis=1), np.median(margin, axis=1)]
    columns.append(np.sqrt(margin.std(axis=1) + 1e-6))
    for lag in (1, 2, 4):
        across = v[:, :, lag:] - v[:, :, :-lag]
        along = v[:, lag:, :] - v[:, :-lag, :]
        columns.append(np.sqrt((across**2).mean(axis=(1, 2)) + (along**2).mean(axis=(1, 2))) / spread)
    grain = np.median(np.abs(v[:, 1:-1, 1:-1] * 2 - v[:, 1:-1, :-2] - v[:, 1:-1, 2:]), axis=(1, 2))
    columns.append(np.sqrt(grain + 1e-6))
    ink = np.abs(v - np.median(margin, axis=1)[:, None, None])
    ink = np.maximum(ink - 0.5 * spread[:, None, None], 0)  # noise has no place
    total = ink.sum(axis=(1, 2)) + 1e-6
    line = (np.arange(side) - (side - 1) / 2) / side
    right, down = (ink.sum(axis=1) @ line) / total, (ink.sum(axis=2) @ line) / total
    x_ = line[None, None, :] - right[:, None, None]
    y_ = line[None, :, None] - down[:, None, None]
    wide, tall = (ink * x_**2).sum(axis=(1, 2)) / total, (ink * y_**2).sum(axis=(1, 2)) / total
    slant = (ink * x_ * y_).sum(axis=(1, 2)) / total
    columns += [right, down, np.sqrt(wide), np.sqrt(tall), slant / (wide + tall + 1e-6)]
    return np.nan_to_num(np.column_stack(columns).astype(np.float64))
