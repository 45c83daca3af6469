"""What to ask people about: the labels that will fix most failures, and a random audit that keeps the estimates honest.

A selection is two samples of one window. The *targeted* one is drawn from the pool of likely failures: several
strategies (see `strategies`) each say whom they would ask, and what their labels mended before says how much each may
spend (see `split`). The *audit* is a simple random sample of the whole window. Every interaction's probability of being
asked about is known exactly before the draw and recorded with it, so that anything may later be estimated by weighting
with its inverse (Horvitz and Thompson 1952; Hájek 1971).
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis
import numpy as np

from flywheel.config import CurateSettings
from flywheel.curate.near import group_near_duplicates
from flywheel.curate.space import surroundings
from flywheel.curate.split import draw_evenly, mixture, shares_of
from flywheel.curate.strategies import appeal, chance, lifted
from flywheel.errors import InvalidConfig
from flywheel.records import Failure, Selection

__all__ = ["audit_size", "select"]

_LEAST_AUDIT = 0.2
_NEW = 0.9
"""From this novelty on the reason says so."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class _Group:
    """Near-duplicates: one of them is asked about, and stands for all. `members` are places in the pool."""

    members: tuple[int, ...]
    novelty: float


@dataclass(frozen=True, slots=True)
class _Draw:
    """The targeted ones that came out with how much they are wanted, and the chance that each of the pool had."""

    picked: dict[str, tuple[_Group, float]]
    chances: dict[str, float]
    wanted: dict[str, dict[str, float]]
    """The chance under each strategy alone."""


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
    doubt: Mapping[str, float] | None = None,
    told: Mapping[str, float] | None = None,
    protected: Sequence[str] = (),
    learnt: Mapping[str, float] | None = None,
    later: bool = False,
) -> list[Selection]:
    """Choose at most `budget` interactions of a window to be labelled: the audit first, then by falling value.

    `detected` is the window, an Ibis table with `id`, `rand` (0 to 1, uniform) and `p_failure`; `pool` the failures and
    doubtful ones worth asking about, with mode and input; `novelty` 0 to 1 by interaction id; `exclude` the ids that
    were asked about before. `vectors` places the pool's inputs (an embedding by interaction id); without it they are
    placed by their own numbers, fields or words.

    `doubt` is, by interaction id, how undecided the champion is now: ½ − half the margin between its two best answers,
    ½ where they are equal. `told` is what users and systems said about an answer, in log-odds. Without them the
    `probability` of a failure stands for both. `worth` says what a label of a mode is worth (1 where it says nothing:
    many labels mend what lacks examples, few a flaw). Where users of a `protected` context value complain less than
    others, their chances are raised by what that hides (`strategies.lifted`). `learnt` are the log-weights of the
    strategies, learnt by `learn_split`; without it each has its usual share.

    Near-duplicates form a group, of which one is asked about. A strategy orders the groups and would ask about the
    first of them, with a chance that falls softly around the end of its budget; the strategies' chances are mixed, and
    one systematic sample is drawn from the mixture. What the pool is too small to use goes to the audit.

    `propensity` is the probability of being asked about at all, t + (1 − t)·n/(N − m): t is the targeted probability,
    m and n are the targeted and the audit labels, N the interactions that may be asked about. It is exact, because the
    targeted ones are drawn on their own and the rest is a simple random sample of what remains. Those marked `audit`
    are by themselves a simple random sample of n out of N (permanent random numbers, Ohlsson 1995); where one of them
    is also a targeted one, its label is not spent twice but buys one more interaction at random.

    A `later` round of the same window spends all of its budget on the pool, and has no audit. What it asks about was
    chosen knowing other answers of this window, so its labels speak for no interaction but their own: their
    `propensity`, that of this round alone, serves to compare the strategies.

    The window stays in the engine (a sort of N rows); the pool costs O(pool²) here.
    Raises `InvalidConfig` for a negative budget, or a `window_size` that is not the number of rows of `detected`.
    """
    if budget < 0:
        raise InvalidConfig(f"budget is {budget}; a label budget is 0 or more")
    eligible, population = _eligible(detected, exclude, window_size)
    if budget == 0 or population == 0:
        return []
    candidates = _candidates(eligible, pool, exclude)
    if population <= budget:
        return _marked(_everything(eligible, population, candidates), later)
    generator = _generator(seed, spin)
    spare = budget if later else budget - audit_size(budget, settings.audit_share)
    known_doubt, heard = _signs(candidates, doubt or {}, told or {})
    chances = _chances(candidates, known_doubt, heard, protected)
    groups = _groups(candidates, chances, novelty, settings.near_duplicate)
    worths = _worths(candidates, groups, chances, known_doubt, heard, vectors, worth or {})
    draw = _draw(candidates, groups, worths, shares_of(learnt or {}), spare, generator)
    audit = budget - len(draw.picked)
    rest = audit / (population - len(draw.picked))
    known = {failure.interaction_id: failure for failure in candidates}

    def chosen(interaction_id: str, p_failure: float | None, why: str, audited: bool = False) -> Selection:
        t = draw.chances.get(interaction_id, 0.0)
        made = _selection(
            interaction_id, min(1.0, t + (1 - t) * rest), audited, why, p_failure, known.get(interaction_id)
        )
        return replace(made, wanted=draw.wanted.get(interaction_id, {}))

    return _marked(_drawn(eligible, budget, audit, population, generator, draw, known, chosen), later)


def _marked(chosen: list[Selection], later: bool) -> list[Selection]:
    """Of a later round nothing is an audit: what the pool was too small to use is drawn at random, and no more."""
    if not later:
        return chosen
    random = "drawn at random: there are too few likely failures"
    return [replace(one, later=True, audit=False, why=random if one.audit else one.why) for one in chosen]


def _drawn(
    eligible: Any,
    budget: int,
    audit: int,
    population: int,
    generator: np.random.Generator,
    draw: _Draw,
    known: Mapping[str, Failure],
    chosen: Callable[..., Selection],
) -> list[Selection]:
    """The audit, then the targeted ones by falling value, then those drawn in place of a double."""
    in_order = _in_random_order(eligible, budget, generator)
    audits = [
        chosen(i, p, f"random audit: one of {audit} out of {population}, each with the same chance", True)
        for i, p in in_order[:audit]
    ]
    doubles = sum(interaction_id in draw.picked for interaction_id, _ in in_order[:audit])
    others = [(i, p) for i, p in in_order[audit:] if i not in draw.picked][:doubles]
    extra = [chosen(i, p, "drawn at random in place of an audit label that was wanted anyway") for i, p in others]
    asked = {selection.interaction_id for selection in audits}
    best_first = sorted(draw.picked.items(), key=lambda pick: (-pick[1][1], pick[0]))
    targeted = [
        chosen(i, known[i].probability, _why(known[i], group)) for i, (group, _) in best_first if i not in asked
    ]
    return audits + targeted + extra


def _chances(candidates: Sequence[Failure], doubt: Array, heard: Array, protected: Sequence[str]) -> Array:
    """How likely each of the pool is a failure worth a label, fair between the users that `protected` tells apart."""
    chances = chance(doubt, heard, np.asarray([failure.probability for failure in candidates]))
    if not protected:
        return chances
    return lifted(chances, doubt, [str([f.context.get(name) for name in protected]) for f in candidates])


def _signs(candidates: Sequence[Failure], doubt: Mapping[str, float], told: Mapping[str, float]) -> tuple[Array, Array]:
    """Doubt (NaN where there is none) and what was told, in the order of the pool."""
    ids = [failure.interaction_id for failure in candidates]
    return (
        np.asarray([doubt.get(i, math.nan) for i in ids], dtype=np.float64),
        np.asarray([told.get(i, 0.0) for i in ids], dtype=np.float64),
    )


def _worths(
    candidates: Sequence[Failure],
    groups: Sequence[_Group],
    chances: Array,
    doubt: Array,
    told: Array,
    vectors: Mapping[str, Sequence[float]] | None,
    worth: Mapping[str, float],
) -> dict[str, Array]:
    """What each strategy thinks of each group: of its likeliest failure, times what one label there stands for."""
    if not groups:
        return {}
    inputs: list[Any] = [failure.input for failure in candidates]
    if vectors is not None:
        inputs = [list(map(float, vectors[failure.interaction_id])) for failure in candidates]
    first = np.asarray([group.members[0] for group in groups])
    factor = [worth.get(candidates[k].mode or "", 1.0) for k in first]
    size = np.asarray([len(group.members) for group in groups], dtype=np.float64)
    return appeal(
        chances[first],
        doubt[first],
        told[first],
        surroundings(inputs, chances)[first],
        np.asarray([group.novelty for group in groups]),
        np.asarray(factor) * np.sqrt(size),
    )


def _draw(
    candidates: Sequence[Failure],
    groups: Sequence[_Group],
    worths: Mapping[str, Array],
    shares: Mapping[str, float],
    budget: int,
    generator: np.random.Generator,
) -> _Draw:
    """Draw the targeted ones: a systematic sample of the groups, mode by mode, and one member of each at random."""
    draw = _Draw({}, {}, {})
    if not groups or budget <= 0:
        return draw
    ids = [failure.interaction_id for failure in candidates]
    chances, alone = mixture(worths, shares, budget)
    best = worths["failing"]
    order = sorted(range(len(groups)), key=lambda k: (candidates[groups[k].members[0]].mode or "", -best[k], k))
    for place in draw_evenly(chances[order], generator):
        group = groups[order[place]]
        drawn = group.members[int(generator.integers(len(group.members)))]
        draw.picked[ids[drawn]] = (group, float(best[order[place]]))
    for k, group in enumerate(groups):
        size = len(group.members)
        for member in group.members:
            draw.chances[ids[member]] = float(chances[k]) / size
            draw.wanted[ids[member]] = {name: round(float(q[k]) / size, 6) for name, q in alone.items()}
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
    if group.novelty > _NEW:
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


def _groups(
    candidates: Sequence[Failure], chances: Array, novelty: Mapping[str, float], threshold: float
) -> list[_Group]:
    """Join near-duplicates, the most likely failure of each group first: it gives the group its mode and place."""
    together: defaultdict[int, list[int]] = defaultdict(list)
    for place, root in enumerate(group_near_duplicates([failure.input for failure in candidates], threshold)):
        together[root].append(place)
    groups = []
    for members in together.values():
        members.sort(key=lambda place: (-chances[place], place))
        new = max(novelty.get(candidates[place].interaction_id, 0.0) for place in members)
        groups.append(_Group(tuple(members), new))
    return groups


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
