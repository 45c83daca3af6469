"""Novel classes: dense groups of alike inputs that no known class explains, the most telling first.

A greedy cover: the first group stands around the input to which most unexplained inputs are alike, the next around the
one that adds most to what the first has covered, and so on (facility location; the greedy order is within 1 − 1/e of
the best choice of as many, Nemhauser et al. 1978; as a way to choose labels: Yehuda et al. 2022, "Active learning
through a covering lens"). One label a group then meets many classes, where an order by doubt alone asks about one of
them again and again.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flywheel.mine.look import Look, look
from flywheel.mine.naming import name_groups
from flywheel.mine.space import likeness
from flywheel.records import Group

if TYPE_CHECKING:
    from flywheel.ports import Embedder

__all__ = ["discover"]

_MOST = 4000
"""Groups are looked for among so many inputs, those with the largest weight."""
_NEIGHBOURS = 40
_BLOCK = 1024
_FITTED = (-6.2, 0.6, 2.8, 4.6)
"""Log odds of one new class: offset, weights of the two log odds, of the logarithm of size, and of density."""
_SAME = 0.3
"""An input this alike to a group's first one starts no group of its own."""
_EARLIER = 0.5
"""An input of an earlier window counts half of one of this window: it may have had its answer by now."""

Floats = np.ndarray[Any, Any]


def discover(
    ids: Sequence[str],
    inputs: Sequence[Any],
    known: Sequence[Any],
    labels: Sequence[Any],
    *,
    embedder: Embedder | None = None,
    p_failure: Sequence[float] | None = None,
    recent: Sequence[Any] = (),
    users: Sequence[str | None] | None = None,
    min_users: int = 1,
    limit: int = 100,
    seen: Look | None = None,
) -> list[Group]:
    """Find at most `limit` groups of alike inputs that neither the known classes nor the model explain.

    They come in the order in which to ask, one label each, about the first member: the first k are a good choice of k,
    whatever k is.

    `ids` and `inputs` are a window's (or its doubtful part), `known` and `labels` the labelled examples; `p_failure`
    says for each input how probably the product's answer to it is wrong (1 where it is not given). An input weighs
    P(no known class explains it) × P(failure)². `recent` are unlabelled inputs of earlier windows: they make a group
    denser, and are never members. Texts are compared by words and letters, other inputs by the `embedder`'s vectors.

    `seen` is an earlier `look` at the same inputs in the same order, where there is one and no `recent`.

    A group is named by the words that set it apart, none of which fewer than `min_users` of the logged `users` share.
    The same inputs in any order give the same groups. O(n · known) for the weights, and O(m²), m at most 4,000, for
    the neighbours.

    >>> seen = [f"freeze my card {n}" for n in range(6)] + [f"what is my balance on {n}" for n in range(6)]
    >>> told = ["block"] * 6 + ["balance"] * 6
    >>> asked = ["pay for parking", "pay the parking fee", "pay for my parking", "what is my balance on 3"]
    >>> [(group.name, group.members) for group in discover(list("abcd"), asked, seen, told, limit=1)]
    [('parking, pay', ('a', 'c', 'b'))]
    """
    if not len(ids) or limit < 1:
        return []
    order = sorted(range(len(ids)), key=lambda at: ids[at])
    inputs = [inputs[at] for at in order]
    wrong = np.ones(len(order)) if p_failure is None else np.asarray(p_failure, dtype=np.float64)[order]
    if seen is None or len(recent):
        seen = look([*inputs, *recent], known, labels, embedder=embedder)
        rows, strange = seen.rows, seen.strange
    else:
        rows, strange = seen.rows[order], seen.strange[order]
    now, doubt = len(order), wrong**2
    share = float(strange[:now] @ doubt / max(strange[:now].sum(), 1e-12))
    weight = np.round(strange * np.concatenate([doubt, np.full(len(recent), _EARLIER * share)]), 9)
    chosen = np.sort(np.argsort(-weight, kind="stable")[:_MOST])
    near, alike = _neighbours(rows[chosen], seen.apart)
    seeds, gains = _cover(near, alike, weight[chosen], chosen < now, limit)
    found = []
    for (members, density), gain in zip(_members(seeds, near, alike, chosen < now), gains, strict=True):
        at = chosen[members]
        fails = 0.5 if p_failure is None else float(wrong[at].mean())
        new = _one_new_class(len(at), density, float(strange[at].mean()), fails)
        found.append((at, density, float(weight[at].mean()), new, gain))
    people = None if users is None else [users[at] for at in order]
    names = name_groups([at for at, *_ in found], inputs, people, min_users)
    return [
        Group(
            id="g" + hashlib.sha256(ids[order[at[0]]].encode()).hexdigest()[:10],
            name=name,
            members=tuple(ids[order[one]] for one in at),
            size=len(at),
            density=round(density, 4),
            unlikeness=round(unlike, 4),
            p_new=round(new, 4),
            score=round(gain, 6),
        )
        for (at, density, unlike, new, gain), name in zip(found, names, strict=True)
    ]


def _neighbours(rows: Any, apart: float) -> tuple[Any, Floats]:
    """The nearest rows of each, itself among them, and how alike they are: 0 at the likeness that means nothing."""
    n = rows.shape[0]
    k = min(_NEIGHBOURS, n)
    near, alike = np.empty((n, k), dtype=np.int64), np.empty((n, k))
    for start in range(0, n, _BLOCK):
        block = np.round(likeness(rows[start : start + _BLOCK], rows), 9)
        at = np.arange(len(block))
        block[at, start + at] = 1.0
        near[start : start + _BLOCK] = np.argpartition(-block, k - 1, axis=1)[:, :k]
        alike[start : start + _BLOCK] = np.take_along_axis(block, near[start : start + _BLOCK], axis=1)
    return near, np.clip((alike - apart) / max(1.0 - apart, 1e-9), 0.0, 1.0)


def _cover(near: Any, alike: Floats, weight: Floats, allowed: Any, limit: int) -> tuple[list[int], list[float]]:
    """Rows in the greedy order of what each adds, and how much. What a row adds only falls: most are asked once."""
    covered = np.zeros(len(near))

    def adds(row: int) -> float:
        fresh = np.maximum(alike[row] - covered[near[row]], 0.0)
        return round(float(fresh @ weight[near[row]]), 9)

    heap = [(-adds(row), row, 0) for row in np.flatnonzero(allowed).tolist()]
    heapq.heapify(heap)
    seeds: list[int] = []
    gains: list[float] = []
    while heap and len(seeds) < limit:
        gain, row, asked = heapq.heappop(heap)
        if gain >= 0.0:
            break
        if covered[row] >= _SAME:
            continue
        if asked == len(seeds):
            seeds.append(row)
            gains.append(-gain)
            covered[near[row]] = np.maximum(covered[near[row]], alike[row])
        else:
            heapq.heappush(heap, (-adds(row), row, len(seeds)))
    return seeds, gains


def _members(seeds: Sequence[int], near: Any, alike: Floats, allowed: Any) -> list[tuple[Any, float]]:
    """Each row goes to the seed it is most alike; the rows of each seed, itself first, and their mean likeness."""
    best, to = np.zeros(len(near)), np.full(len(near), -1)
    for place_, seed in enumerate(seeds):
        closer = alike[seed] > best[near[seed]]
        to[near[seed][closer]] = place_
        best[near[seed][closer]] = alike[seed][closer]
    for place_, seed in enumerate(seeds):
        to[seed], best[seed] = place_, 2.0
    found = []
    for place_ in range(len(seeds)):
        rows = np.flatnonzero((to == place_) & allowed)
        rows = rows[np.argsort(-best[rows], kind="stable")]
        found.append((rows, float(np.minimum(best[rows], 1.0).mean())))
    return found


def _one_new_class(size: int, density: float, strange: float, wrong: float) -> float:
    """P(most of it is one class without a labelled example).

    From the odds that no known class explains its members, the odds that the model fails on them, its size (up to six)
    and its density, by a logistic regression that was fitted to the groups of windows of CLINC150 and BANKING77, seeds
    0 to 4, with and without new classes. `make bench-discovery` holds the probability against other seeds.
    """
    offset, by_odds, by_size, by_density = _FITTED
    odds = _odds(strange) + _odds(wrong)
    z = offset + by_odds * odds + by_size * math.log(min(size, 6)) + by_density * density
    return 1.0 / (1.0 + math.exp(-z))


def _odds(p: float) -> float:
    inside = min(max(p, 0.02), 0.9)
    return math.log(inside / (1.0 - inside))
