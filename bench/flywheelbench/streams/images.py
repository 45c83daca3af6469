"""Scanned digits: a second scanner comes into use, and two digits that nobody has seen before.

Digits are those of MNIST-5k (500 of each). Eight of the ten, drawn by the seed, are known at the start with fifteen
labelled scans each; the ninth appears in spin 3 and the tenth in spin 7, from then on as often as any other.
From spin 4 on a part of the offices' scans comes from scanner B: out of focus, off centre, with less contrast on a grey
ground, and noisy. Its share grows evenly from 10 % to 40 %; the quiet offices have twice as much of it as the others.
3 % of all scans of traffic are garbage (most of the digit torn off, turned, under heavy noise): their truth stays the
digit, and no label is well spent on them.

Every scan lies on the glass in its own way (turned by up to 5 degrees, shifted by up to a pixel, a little noise), so
that a digit that comes twice is no exact copy: traffic takes the 3,380 images that are left after seed and sealed test
nearly twice each. Pixels are averaged over 2 × 2: 14 × 14 = 196 numbers of 0 to 255, which keeps a run short.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from flywheelbench.streams.crowd import day_of
from flywheelbench.streams.luck import draw_luck
from flywheelbench.streams.reading import data_bytes
from flywheelbench.world import Request, Sealed, World
from scipy import ndimage

__all__ = ["GARBAGE", "REQUESTS", "SPINS", "make_images", "present_digits", "scanner_share"]

Array = np.ndarray[Any, Any]

SPINS, REQUESTS, SEALED, KNOWN = 12, 500, 1500, 15
GARBAGE = 0.03
QUIET = 0.25
"""Share of the scans that come from the quiet offices."""
LATE = (3, 7)
"""Spins at which the ninth and the tenth digit appear."""
_OFFICES = ("north", "harbour", "market", "station", "mill", "bridge", "castle", "garden")
_QUIET_OFFICES = 2
CONFUSABLE = {"4": ("9",), "9": ("4",), "3": ("5",), "5": ("3",)}


@dataclass(frozen=True, slots=True)
class _Case:
    """What chance decided about one scan before it was made."""

    image: int
    scanner: str
    quiet: bool
    garbage: bool


def make_images(seed: int, null: bool = False) -> World:
    """Draw the stream of scanned digits. With `null` nothing changes: eight digits, scanner A, no garbage."""
    pixels, digits = _mnist()
    rng = np.random.default_rng([seed, 5, int(null)])
    order = [str(d) for d in rng.permutation(10)]
    name = "images-null" if null else "images"
    shuffled = {d: rng.permutation(np.flatnonzero(digits == int(d))) for d in order}
    last = present_digits(order, SPINS - 1, null)
    share = scanner_share(SPINS - 1, null)
    cases, queue, start = _split(rng, shuffled, order, last, share, 0.0 if null else GARBAGE)

    spins, taken = [], dict.fromkeys(order, 0)
    for spin in range(SPINS):
        today = present_digits(order, spin, null)
        chosen = []
        for digit in rng.permutation(np.resize(np.array(today), REQUESTS)).tolist():
            pool = queue[digit]
            chosen.append(int(pool[taken[digit] % len(pool)]))
            taken[digit] += 1
        quiet = rng.random(REQUESTS) < QUIET
        second = rng.random(REQUESTS) < _share_of(quiet, scanner_share(spin, null))
        garbage = rng.random(REQUESTS) < (0.0 if null else GARBAGE)
        traffic = [
            _Case(image, "B" if b else "A", bool(q), bool(g))
            for image, b, q, g in zip(chosen, second, quiet, garbage, strict=True)
        ]
        spins.append(_requests(rng, f"{name}-{seed}-{spin}", spin, pixels, digits, traffic))
    plain = [_Case(int(i), "A", False, False) for i in start]
    sealed = tuple(_sealed(rng, pixels, digits, cases, order))
    return World(
        name=name,
        seed=seed,
        kind="vector",
        seed_inputs=_scans(rng, pixels, plain),
        seed_labels=[str(digits[i]) for i in start],
        spins=spins,
        sealed=sealed,
        weights=[_weights(sealed, present_digits(order, s, null), scanner_share(s, null)) for s in range(SPINS)],
        labels=sorted(last),
        gains=not null,
        confusable={d: [o for o in others if o in last] for d, others in CONFUSABLE.items() if d in last},
    )


def present_digits(order: Sequence[str], spin: int, null: bool = False) -> list[str]:
    """The digits that occur in a spin: the first eight of `order`, and the late ones once they have appeared."""
    return list(order[: 8 if null else 8 + sum(spin >= begin for begin in LATE)])


def scanner_share(spin: int, null: bool = False) -> float:
    """Share of a spin's scans that come from scanner B: none before spin 4, then 10 % growing to 40 %."""
    return 0.0 if null or spin < 4 else 0.1 + 0.3 * (spin - 4) / (SPINS - 1 - 4)


def _share_of(quiet: Array, share: float) -> Array:
    """Chance of scanner B in the quiet offices (twice that of the others) and elsewhere; `share` on the whole."""
    elsewhere = share / (1 + QUIET)
    return np.where(quiet, 2 * elsewhere, elsewhere)


@lru_cache(maxsize=1)
def _mnist() -> tuple[Array, Array]:
    """5,000 × 28 × 28 pixels of 0 to 255, and their digits."""
    table = np.loadtxt(io.BytesIO(data_bytes("images_digits", "mnist_5k.csv")), delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28).astype(np.float32), table[:, -1].astype(int)


def _split(
    rng: np.random.Generator, shuffled: dict[str, Array], order: list[str], last: list[str], share: float, torn: float
) -> tuple[list[_Case], dict[str, Array], list[int]]:
    """Images for the sealed test, for traffic, and for the seed: three parts that share none."""
    per = SEALED // len(last)
    extra = SEALED - per * len(last)
    sealed: list[int] = []
    queue: dict[str, Array] = {}
    for place, digit in enumerate(last):
        kept = per + (place < extra)
        sealed.extend(shuffled[digit][:kept].tolist())
        queue[digit] = shuffled[digit][kept:]
    start: list[int] = []
    for digit in order[:8]:
        start.extend(queue[digit][:KNOWN].tolist())
        queue[digit] = queue[digit][KNOWN:]
    quiet = _exactly(rng, SEALED, QUIET)
    second = np.zeros(SEALED, dtype=bool)
    for group in (True, False):
        members = np.flatnonzero(quiet == group)
        second[members] = _exactly(rng, len(members), float(_share_of(np.array(group), share)))
    garbage = _exactly(rng, SEALED, torn)
    cases = [
        _Case(int(image), "B" if b else "A", bool(q), bool(g))
        for image, b, q, g in zip(rng.permutation(sealed), second, quiet, garbage, strict=True)
    ]
    return cases, queue, [int(i) for i in rng.permutation(start)]


def _exactly(rng: np.random.Generator, n: int, share: float) -> Array:
    """Mark `share` of n places, at random."""
    return rng.permutation(n) < round(share * n)


def _requests(
    rng: np.random.Generator, prefix: str, spin: int, pixels: Array, digits: Array, cases: list[_Case]
) -> list[Request]:
    n = len(cases)
    scans = _scans(rng, pixels, cases)
    luck = draw_luck(rng, n)
    at = day_of(spin, np.sort(rng.uniform(8, 18, n)))  # offices are open from eight to six
    quiet_office = rng.integers(0, _QUIET_OFFICES, n)
    other_office = rng.integers(_QUIET_OFFICES, len(_OFFICES), n)
    clerk = rng.integers(0, 6, n)
    version = np.where(rng.random(n) < min(1.0, spin / 8), "2.4", "2.3")
    out = []
    for i, case in enumerate(cases):
        office = _OFFICES[quiet_office[i] if case.quiet else other_office[i]]
        context = {"scanner": case.scanner, "office": office, "hour": at[i].hour, "app_version": str(version[i])}
        group = "quiet" if case.quiet else "usual"
        user, truth = f"{office}-{clerk[i]}", str(digits[case.image])
        out.append(Request(f"{prefix}-{i}", scans[i], truth, user, group, context, at[i], luck[i], case.garbage))
    return out


def _sealed(
    rng: np.random.Generator, pixels: Array, digits: Array, cases: list[_Case], order: list[str]
) -> list[Sealed]:
    late = set(order[8:])
    out = []
    for scan, case in zip(_scans(rng, pixels, cases), cases, strict=True):
        digit = str(digits[case.image])
        slices = [f"digit={digit}", f"scanner={case.scanner}", "group=quiet" if case.quiet else "group=usual"]
        if digit in late:
            slices.append("late digit")
        out.append(Sealed(scan, digit, tuple(slices)))
    return out


def _weights(sealed: Sequence[Sealed], today: Sequence[str], share: float) -> Array:
    """Weights under which digit, scanner and group of the sealed cases are as often as in a spin's traffic."""
    cells: dict[tuple[bool, str, str], list[int]] = {}
    for place, case in enumerate(sealed):
        scanner = "B" if "scanner=B" in case.slices else "A"
        cells.setdefault(("group=quiet" in case.slices, scanner, case.truth), []).append(place)
    weights = np.zeros(len(sealed))
    for (quiet, scanner, digit), places in cells.items():
        if digit in today:
            second = float(_share_of(np.array(quiet), share))
            chance = (QUIET if quiet else 1 - QUIET) * (second if scanner == "B" else 1 - second) / len(today)
            weights[places] = chance / len(places)
    return weights / weights.sum()


def _scans(rng: np.random.Generator, pixels: Array, cases: Sequence[_Case]) -> list[list[int]]:
    """Put every case on the glass of its scanner: 196 whole numbers of 0 to 255 each."""
    n = len(cases)
    angle = rng.uniform(-5, 5, n)
    shift = rng.uniform(-1, 1, (n, 2))
    second = np.array([case.scanner == "B" for case in cases], dtype=bool)
    garbage = np.array([case.garbage for case in cases], dtype=bool)
    shift += np.where(second, 1, 0)[:, None] * (np.array([1.5, -1.5]) + rng.uniform(-0.5, 0.5, (n, 2)))
    blur = np.where(second, rng.uniform(0.7, 1.1, n), 0.0)
    contrast = np.where(second, rng.uniform(0.4, 0.6, n), 1.0)
    ground = np.where(second, rng.uniform(50, 90, n), 0.0)
    noise = np.where(second, 24.0, 8.0)
    angle = np.where(garbage, rng.uniform(90, 270, n), angle)
    torn = rng.integers(0, 4, n)
    noise = np.where(garbage, 150.0, noise)
    grain = rng.standard_normal((n, 28, 28)).astype(np.float32)
    out = np.empty((n, 28, 28), dtype=np.float32)
    for i, case in enumerate(cases):
        image = pixels[case.image]
        if case.garbage:
            image = np.rot90(image, int(torn[i])).copy()
            image[:17] = 0  # torn off
        out[i] = _lay(image, float(angle[i]), shift[i])
        if blur[i]:
            out[i] = ndimage.gaussian_filter(out[i], float(blur[i]))
    out = out * contrast[:, None, None] + ground[:, None, None] + grain * noise[:, None, None]
    small = np.clip(out, 0, 255).reshape(n, 14, 2, 14, 2).mean(axis=(2, 4))
    found: list[list[int]] = np.rint(small).astype(int).reshape(n, 196).tolist()
    return found


def _lay(image: Array, angle: float, shift: Array) -> Array:
    """Turn an image about its centre by `angle` degrees and move it by `shift` pixels."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([13.5, 13.5])
    laid: Array = ndimage.affine_transform(image, matrix, offset=centre - matrix @ (centre + shift), order=1)
    return laid
