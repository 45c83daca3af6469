"""What to ask people about: the labels that will fix most failures, and a random audit that keeps the estimates honest.

A selection is two samples of one window. The *targeted* one takes one interaction from each of many small strata, with
a probability in proportion to its value. The *audit* is a simple random sample of the whole window. Every interaction's
probability of being asked about is known exactly before the draw and recorded with it, so that anything may later be
estimated by weighting with its inverse (Horvitz and Thompson 1952; Hájek 1971).
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

from flywheel.config import CurateSettings
from flywheel.curate.near import group_near_duplicates
from flywheel.curate.space import place
from flywheel.curate.strata import allocate, partition
from flywheel.errors import InvalidConfig
from flywheel.records import Failure, Selection

__all__ = ["audit_size", "select"]

_LEAST_AUDIT = 0.2
_EVEN = 0.1
"""This part of a stratum's draw is uniform, so that no member's probability, and no weight, is extreme."""
_SHARPNESS = 3.0
"""Within a cell, where all are alike, the chance is in proportion to value to this power."""
_REACH = 2
"""Only so many times the targeted budget of a pool's most valuable groups take part: the rest is left to the audit."""
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class _Group:
    """Near-duplicates: one of them is asked about, and stands for all."""

    members: tuple[Failure, ...]
    novelty: float
    value: float


@dataclass(frozen=True, slots=True)
class _Draw:
    """The targeted ones that came out, and the chance with which each member of the pool would have."""

    picked: dict[str, _Group]
    chances: dict[str, float]


def audit_size(budget: int, share: float) -> int:
    """How many of `budget` labels are drawn uniformly at random: the share, at least 20 %, rounded up.

    >>> audit_size(40, 0.2), audit_size(1, 0.2), audit_size(12, 0.5)
    (8, 1, 6)
    """
    return min(budget, math.ceil(max(_LEAST_AUDIT, share) * budget - 1e-9))


def select(
    detected: Any,
    *,
    budget: int,
    pool: Sequence[Failure],
    novelty: Mapping[str, float],
    exclude: Collection[str],
    window_size: int | None = None,
    settings: CurateSettings,
    spin: int,
    seed: int,
    vectors: Mapping[str, Sequence[float]] | None = None,
    worth: Mapping[str, float] | None = None,
) -> list[Selection]:
    """Choose at most `budget` interactions of a window to be labelled: the audit first, then by falling value.

    `detected` is the window, an Ibis table with `id`, `rand` (0 to 1, uniform) and `p_failure`; `pool` the failures and
    doubtful ones worth asking about, with mode and input; `novelty` 0 to 1 by interaction id; `exclude` the ids that
    were asked about before. `vectors` places the pool's inputs (an embedding by interaction id); without it they are
    placed by their own numbers, fields or words.

    Value is P(failure) × traffic (near-duplicates stand for each other) × (½ + novelty), times what `worth` says a
    label of its mode is worth (1 where it says nothing: many labels mend what lacks examples, few a flaw). Modes share
    the targeted budget in proportion to their value; a mode is cut into as many compact parts as it has labels, and one
    interaction is drawn from each part. What the pool is too small to use goes to the audit.

    `propensity` is the probability of being asked about at all, t + (1 − t)·n/(N − m): t is the targeted probability,
    m and n are the targeted and the audit labels, N the interactions that may be asked about. It is exact, because the
    targeted ones are drawn on their own and the rest is a simple random sample of what remains. Those marked `audit`
    are by themselves a simple random sample of n out of N (permanent random numbers, Ohlsson 1995); where one of them
    is also a targeted one, its label is not spent twice but buys one more interaction at random.

    The window stays in the engine (a sort of N rows); the pool costs O(pool · budget) here.
    Raises `InvalidConfig` for a negative budget, or a `window_size` that is not the number of rows of `detected`.
    """
    if budget < 0:
        raise InvalidConfig(f"budget is {budget}; a label budget is 0 or more")
    eligible, population = _eligible(detected, exclude, window_size)
    if budget == 0 or population == 0:
        return []
    candidates = _candidates(eligible, pool, exclude)
    if population <= budget:
        return _everything(eligible, population, candidates)
    generator = _generator(seed, spin)
    spare = budget - audit_size(budget, settings.audit_share)
    draw = _draw(_cells(candidates, spare, novelty, settings, vectors, worth or {}), generator)
    audit = budget - len(draw.picked)
    rest = audit / (population - len(draw.picked))
    known = {failure.interaction_id: failure for failure in candidates}

    def chosen(interaction_id: str, p_failure: float | None, why: str, audited: bool = False) -> Selection:
        t = draw.chances.get(interaction_id, 0.0)
        return _selection(
            interaction_id, min(1.0, t + (1 - t) * rest), audited, why, p_failure, known.get(interaction_id)
        )

    in_order = _in_random_order(eligible, budget, generator)
    audits = [
        chosen(i, p, f"random audit: one of {audit} out of {population}, each with the same chance", True)
        for i, p in in_order[:audit]
    ]
    doubles = sum(interaction_id in draw.picked for interaction_id, _ in in_order[:audit])
    others = [(i, p) for i, p in in_order[audit:] if i not in draw.picked][:doubles]
    extra = [chosen(i, p, "drawn at random in place of an audit label that was wanted anyway") for i, p in others]
    asked = {selection.interaction_id for selection in audits}
    best_first = sorted(draw.picked.items(), key=lambda pick: (-pick[1].value, pick[0]))
    targeted = [chosen(i, known[i].probability, _why(known[i], group)) for i, group in best_first if i not in asked]
    return audits + targeted + extra


def _draw(cells: Sequence[Sequence[_Group]], generator: np.random.Generator) -> _Draw:
    """Take one interaction of each cell, and note the chance that each member of the pool had."""
    draw = _Draw({}, {})
    for cell in cells:
        shares = _shares(cell)
        group = cell[int(generator.choice(len(cell), p=shares))]
        draw.picked[group.members[int(generator.integers(len(group.members)))].interaction_id] = group
        for share, near in zip(shares, cell, strict=True):
            draw.chances.update((member.interaction_id, float(share) / len(near.members)) for member in near.members)
    return draw


def _everything(eligible: Any, population: int, candidates: Sequence[Failure]) -> list[Selection]:
    """The window is no larger than the budget: all of it is the audit."""
    known = {failure.interaction_id: failure for failure in candidates}
    rows = eligible.order_by("id").select("id", "p_failure").to_pyarrow().to_pylist()
    why = f"all {population} interactions of the window fit the budget"
    return [_selection(row["id"], 1.0, True, why, row["p_failure"], known.get(row["id"])) for row in rows]


def _selection(
    interaction_id: str, propensity: float, audit: bool, why: str, p_failure: float | None, failure: Failure | None
) -> Selection:
    output = failure.output if failure else None
    return Selection(
        interaction_id=interaction_id,
        propensity=propensity,
        audit=audit,
        why=why,
        mode=failure.mode if failure else None,
        p_failure=p_failure,
        suggestions=() if output is None else (output,),
    )


def _why(failure: Failure, group: _Group) -> str:
    """One sentence for the person who labels."""
    parts = [f"P(failure) {failure.probability:.0%}"]
    if failure.evidence:
        parts.append(max(failure.evidence, key=lambda evidence: evidence.weight).detail)
    if len(group.members) > 1:
        parts.append(f"{len(group.members)} alike")
    if group.novelty > 0.9:
        parts.append("unlike anything learnt so far")
    return "; ".join(part for part in parts if part)


def _generator(seed: int, spin: int) -> np.random.Generator:
    digest = hashlib.sha256(f"select|{seed}|{spin}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _eligible(detected: Any, exclude: Collection[str], window_size: int | None) -> tuple[Any, int]:
    """The rows that may be asked about, and how many they are."""
    eligible = detected
    if exclude:
        asked = ibis.memtable({"id": sorted(set(exclude))})
        eligible = detected.anti_join(asked, "id")
    population = int(eligible.count().execute())
    if window_size is not None:
        rows = population if not exclude else int(detected.count().execute())
        if rows != window_size:
            raise InvalidConfig(
                f"window_size is {window_size} but the window has {rows} rows, so every propensity would be wrong. "
                "Pass the size of the same window"
            )
    return eligible, population


def _candidates(eligible: Any, pool: Sequence[Failure], exclude: Collection[str]) -> list[Failure]:
    """The pool without doubles, excluded ones and strangers to the window, ordered by id."""
    barred = set(exclude)
    by_id = {failure.interaction_id: failure for failure in pool if failure.interaction_id not in barred}
    if not by_id:
        return []
    present = eligible.semi_join(ibis.memtable({"id": sorted(by_id)}), "id").select("id").to_pyarrow()
    return [by_id[interaction_id] for interaction_id in sorted(present["id"].to_pylist())]


def _cells(
    candidates: Sequence[Failure],
    budget: int,
    novelty: Mapping[str, float],
    settings: CurateSettings,
    vectors: Mapping[str, Sequence[float]] | None,
    worth: Mapping[str, float],
) -> list[list[_Group]]:
    """Cut the pool into at most `budget` cells; one interaction of each will be asked about."""
    if not candidates or budget <= 0:
        return []
    modes: defaultdict[str, list[_Group]] = defaultdict(list)
    places: dict[str, int] = {failure.interaction_id: i for i, failure in enumerate(candidates)}
    if vectors is not None:
        points = np.asarray([vectors[failure.interaction_id] for failure in candidates], dtype=np.float64)
    else:
        points = place([failure.input for failure in candidates])
    groups = _groups(candidates, novelty, settings.near_duplicate, worth)
    groups.sort(key=lambda group: -group.value)
    for group in groups[: _REACH * budget]:
        modes[group.members[0].mode or ""].append(group)
    names = sorted(modes)
    given = allocate(
        budget, [sum(g.value for g in modes[name]) for name in names], [len(modes[name]) for name in names]
    )
    cells: list[list[_Group]] = []
    for name, parts in zip(names, given, strict=True):
        if parts == 0:
            continue
        inside = modes[name]
        where = points[[places[group.members[0].interaction_id] for group in inside]]
        of = partition(where, np.asarray([group.value for group in inside]), parts)
        cells.extend([inside[i] for i in np.flatnonzero(of == cell)] for cell in range(parts))
    return cells


def _groups(
    candidates: Sequence[Failure], novelty: Mapping[str, float], threshold: float, worth: Mapping[str, float]
) -> list[_Group]:
    """Join near-duplicates, the most likely failure of each group first: it gives the group its mode and place."""
    together: defaultdict[int, list[Failure]] = defaultdict(list)
    roots = group_near_duplicates([failure.input for failure in candidates], threshold)
    for root, failure in zip(roots, candidates, strict=True):
        together[root].append(failure)
    groups = []
    for members in together.values():
        members.sort(key=lambda failure: (-failure.probability, failure.interaction_id))
        new = max(novelty.get(member.interaction_id, 0.0) for member in members)
        traffic = sum(member.probability for member in members)
        factor = worth.get(members[0].mode or "", 1.0)
        groups.append(_Group(tuple(members), new, max(_FLOOR, factor * traffic * (0.5 + new))))
    return groups


def _shares(cell: Sequence[_Group]) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.asarray([group.value for group in cell]) ** _SHARPNESS
    return np.asarray((1 - _EVEN) * values / values.sum() + _EVEN / len(cell))


def _in_random_order(eligible: Any, limit: int, generator: np.random.Generator) -> list[tuple[str, float | None]]:
    """The first `limit` rows of the window in an order that is new for every seed and spin.

    `rand` is uniform and belongs to the id; multiplying by a large whole number and shifting, both drawn for this spin,
    and keeping the fraction gives a fresh uniform number that any engine computes alike.
    """
    factor = int(generator.integers(2**16, 2**20))
    shift = float(generator.random())
    mixed = eligible.rand * factor + shift
    ordered = eligible.mutate(_order=mixed - mixed.floor()).order_by(["_order", "id"]).limit(limit)
    rows = ordered.select("id", "p_failure").to_pyarrow()
    return list(zip(rows["id"].to_pylist(), rows["p_failure"].to_pylist(), strict=True))
