"""How unlike the known inputs is a new one, and does any known class explain it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flywheel.mine.space import likeness

if TYPE_CHECKING:
    from flywheel.ports import Embedder

__all__ = ["novelty", "unexplained"]

_MOST = 5000
_TAUGHT = 1000
"""From so many known examples, evenly spaced, it is learnt what a class that is left out looks like."""
_FEW = 20
"""Fewer known examples say nothing about classes."""
_BLOCK = 1024
_APART = 0.1
"""Two inputs are no more alike than this share of the examples is to its nearest one of another class: not at all."""

Floats = np.ndarray[Any, Any]


def novelty(inputs: Sequence[Any], known: Sequence[Any], embedder: Embedder) -> np.ndarray[Any, Any]:
    """How novel each of n inputs is beside the known ones, 0 to 1.

    The distance to the nearest known input, as a quantile of the distances from each known input to its own nearest
    neighbour: 0.5 is as far as known inputs usually lie from each other, 1 farther than any of them (the p-value of
    a one-class conformal test, turned round; Laxhammar & Falkman 2010). With fewer than two known inputs everything
    is novel. At most 5,000 known inputs, evenly spaced, are compared: O(n × known).
    """
    from sklearn.neighbors import NearestNeighbors

    if not len(inputs):
        return np.zeros(0)
    if len(known) < 2:
        return np.ones(len(inputs))
    if len(known) > _MOST:
        known = [known[int(place)] for place in np.linspace(0, len(known) - 1, _MOST)]
    vectors = np.asarray(embedder.embed([*inputs, *known]), dtype=np.float64)
    there, base = vectors[: len(inputs)], vectors[len(inputs) :]
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(base)
    own = np.sort(index.kneighbors()[0][:, 0])
    apart = index.kneighbors(there)[0][:, 0]
    # An input that is itself among the known ones is not novel, however isolated it lies; rounding must not make it so.
    return np.where(apart < 1e-7, 0.0, np.searchsorted(own, apart - 1e-9, side="right") / len(own))


def unexplained(rows: Any, known: Any, labels: Sequence[Any]) -> tuple[Floats, Floats, Floats, float]:
    """The probability, for each of n rows, that no known class explains it.

    Also returned: the likeness of each row to its nearest example; those of examples to their own nearest one, sorted;
    and the likeness that means nothing.

    What a new class looks like is learnt from the known ones: each example is seen once beside all others, and once
    with its own class left out. Four things tell the two apart in a logistic regression: the likeness to the nearest
    example, to the nearest three, to the middle of the nearest class, and how much nearer that is than the next class
    (no model of the product takes part, so that its being sure of itself does not count). The share of new inputs among
    these n, which weighs all of them, is estimated from themselves (Saerens et al. 2002, "Adjusting the outputs of a
    classifier to new a priori probabilities").

    Where labels make no classes (fewer than two, or a different one for most examples) a row counts for the share of
    the known ones that have a nearer neighbour; with fewer than 20 examples nothing is explained. `rows` and `known`
    are those of `mine.space.place`. O(n · known).
    """
    names = {key: at for at, key in enumerate(sorted({repr(label) for label in labels}))}
    of = np.array([names[repr(label)] for label in labels], dtype=np.int64)
    if known.shape[0] > _MOST:
        kept = np.linspace(0, known.shape[0] - 1, _MOST).astype(np.int64)
        known, of = known[kept], of[kept]
    size = known.shape[0]
    ones = np.ones(rows.shape[0])
    if not len(ones) or size < 2:
        return ones, np.zeros(len(ones)), np.zeros(0), 0.2
    taught = np.unique(np.linspace(0, size - 1, min(size, _TAUGHT)).astype(np.int64))
    classless = size < _FEW or len(names) < 2 or 2 * len(names) > size
    if classless:
        of = np.zeros(size, dtype=np.int64)
    inside, left_out = _seen(known[taught], known, of, taught)
    seen, _ = _seen(rows, known, of)
    nearest, own = seen[:, 0], np.sort(inside[:, 0])
    if size < _FEW:
        return ones, nearest, own, 0.2
    if classless:
        nearer = np.searchsorted(own, nearest + 1e-9, side="right") / len(own)
        return 1.0 - nearer, nearest, own, float(np.quantile(own, _APART))
    p = _told_apart(inside, left_out, seen)
    return _with_share(p), nearest, own, float(np.quantile(left_out[:, 0], _APART))


def _seen(rows: Any, known: Any, of: Any, own: Any = None) -> tuple[Floats, Floats]:
    """What tells whether a row is explained, n × 4; and the same with the row's own class left out.

    `own` are the places of the rows among the known ones, if they are: no row is its own neighbour. Without it the
    two are the same.
    """
    from scipy.sparse import csr_matrix

    counts = np.bincount(of)
    sums = csr_matrix((np.ones(len(of)), (of, np.arange(len(of)))), shape=(len(counts), len(of))) @ known
    square = np.asarray((sums.multiply(sums) if hasattr(sums, "multiply") else sums * sums).sum(axis=1)).ravel()
    found, without = [], []
    for start in range(0, rows.shape[0], _BLOCK):
        block = rows[start : start + _BLOCK]
        near, middle = likeness(block, known), likeness(block, sums)
        if own is None:
            found.append(_telling(near, middle / np.sqrt(np.maximum(square, 1e-12))))
            continue
        mine, at = own[start : start + _BLOCK], np.arange(near.shape[0])
        mate = of[mine]
        rest = square[mate] - 2 * middle[at, mate] + 1.0  # the length of the class's sum without the row itself
        left = np.where(counts[mate] > 1, (middle[at, mate] - 1.0) / np.sqrt(np.maximum(rest, 1e-9)), -1.0)
        middle /= np.sqrt(np.maximum(square, 1e-12))
        near[at, mine], middle[at, mate] = -1.0, left
        found.append(_telling(near.copy(), middle))
        near[mate[:, None] == of[None, :]] = -1.0
        middle[at, mate] = -1.0
        without.append(_telling(near, middle))
    return np.vstack(found), np.vstack(without or found)


def _telling(near: Floats, middle: Floats) -> Floats:
    """The nearest example, the mean of the nearest three, the nearest class, and its lead; spoils `near`."""
    at, best = np.arange(len(near)), []
    for _ in range(min(3, near.shape[1])):
        nearest = near.argmax(axis=1)
        best.append(near[at, nearest])
        near[at, nearest] = -1.0
    top = np.partition(middle, -2, axis=1)[:, -2:] if middle.shape[1] > 1 else np.zeros((len(middle), 2))
    return np.round(np.column_stack([best[0], np.mean(best, axis=0), top[:, 1], top[:, 1] - top[:, 0]]), 9)


def _told_apart(inside: Floats, left_out: Floats, rows: Floats) -> Floats:
    from sklearn.linear_model import LogisticRegression

    both = np.vstack([inside, left_out])
    middle, spread = both.mean(axis=0), both.std(axis=0) + 1e-9
    machine = LogisticRegression(max_iter=1000)
    machine.fit((both - middle) / spread, np.repeat([0, 1], [len(inside), len(left_out)]))
    return np.asarray(machine.predict_proba((rows - middle) / spread)[:, 1])


def _with_share(p: Floats) -> Floats:
    """These probabilities were learnt where half are new; here another share is."""
    odds, share = np.clip(p, 1e-6, 1 - 1e-6), 0.5
    odds = odds / (1.0 - odds)
    for _ in range(100):
        mended = odds * share / (1.0 - share)
        after = float(np.clip((mended / (1.0 + mended)).mean(), 0.005, 0.9))
        done, share = abs(after - share) < 1e-6, after
        if done:
            break
    mended = odds * share / (1.0 - share)
    return np.asarray(mended / (1.0 + mended))
