"""Everything that is counted and tried on the modes before a word is said about their causes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flywheel.diagnose.cause import trials
from flywheel.diagnose.cause.classes import Classes, classes_of, key_of
from flywheel.diagnose.cause.learners import Learned, learn, taught_by
from flywheel.diagnose.cause.place import Place, place_of
from flywheel.diagnose.cause.quality import Quality, qualities
from flywheel.diagnose.cause.views import View, view_of
from flywheel.diagnose.doubts import doubts
from flywheel.records import Example, Failure, Interval, Mode

if TYPE_CHECKING:
    from flywheel.ports import Embedder, Trainer

__all__ = ["KNOWN", "Ground", "Measured", "ground_of", "measure"]

Array = NDArray[Any]

KNOWN = 1500
"""Examples looked at; more are sampled."""
FAILED = 800
"""Failures looked at, over all modes; at least twenty a mode."""
NEAR = 10
"""Nearest examples asked about each failure."""
LEAST = 12
"""With fewer examples nothing can be learned from them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One mode's numbers (NaN where there is nothing to count) and the facts that its sentences need."""

    failures: int
    labelled: int
    examples: int
    numbers: dict[str, float] = field(default_factory=dict)
    label: str | None = None
    """The label that at least half of the labelled failures should have had."""
    of_label: int = 0
    usual: float = 0.0
    slice: tuple[str, int, float] | None = None
    """An input or context value of most failures, how many examples have it and the label, how many would be usual."""
    place: Place | None = None
    sign: tuple[str, float] | None = None
    """The strongest sign of broken input, and the share of failures beyond what is ordinary in it."""
    families: dict[str, float] = field(default_factory=dict)
    """Share of the labelled failures that each family of quick learners gets right."""
    doubtful: tuple[str, ...] = ()
    """Examples near the failures whose label looks wrong, the most doubtful first; then the failures' own, where every
    learner sides with the product."""
    mends: dict[str, Interval] = field(default_factory=dict)
    """Cause → share of the failures that its remedy would mend, by trial."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all modes are examined on: a sample of the examples and failures, placed and learned from."""

    examples: tuple[Example, ...]
    failures: tuple[Failure, ...]
    classes: Classes
    labels: Array
    view: View
    quality: Quality
    near: Array
    distance: Array
    own_distance: Array
    mixed: Array
    """Per example, the share of its nearest that have another label."""
    learned: Learned | None
    flagged: Array
    doubt: Array
    cleaned: Array | None
    """Scores for the failures (like `Learned.failed`) taught without the flagged examples, where some are flagged."""
    champion: dict[int, bool]
    """Row of an example → was the champion wrong about it when it had not seen it?"""
    stuck: dict[str, bool]
    """Labelled failure → do all refits of the product's trainer get it wrong in the same way?"""


def ground_of(
    found: Sequence[Failure],
    examples: Sequence[Example],
    *,
    embedder: Embedder,
    suspects: Collection[str] = (),
    trainer: Trainer | None = None,
    champion_answers: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Ground | None:
    """Place and learn once for all modes; None with fewer than three examples or no failure.

    Costs O(k³) for the k = min(n, 1,500) examples that are looked at, about a second or two, and one thread.
    """
    known = sampled(examples, KNOWN, seed)
    if len(known) < 3 or not found:
        return None
    with threadpool_limits(limits=1):
        return _ground(found, known, embedder, set(suspects), trainer, champion_answers or {}, seed)


def _ground(
    found: Sequence[Failure], known: Sequence[Example], embedder: Embedder, suspects: set[str],
    trainer: Trainer | None, champion_answers: Mapping[str, Any], seed: int,
) -> Ground:  # fmt: skip
    inputs, failing = [e.input for e in known], [f.input for f in found]
    view = view_of(inputs, failing, embedder)
    classes = classes_of([e.label for e in known])
    labels = np.array([classes.number(e.label) for e in known])
    k = min(NEAR, len(known) - 1)
    near, distance = _nearest(view.away, k)
    own = view.own.copy()
    np.fill_diagonal(own, np.inf)
    beside, own_distance = _nearest(own, k)
    learned, cleaned = None, None
    flagged = np.array([e.id in suspects for e in known])
    doubt = flagged.astype(np.float64)
    if len(classes) >= 2 and len(known) >= LEAST and len(np.unique(labels)) >= 2:
        groups = np.unique([e.group or e.id for e in known], return_inverse=True)[1]
        learned = learn(view, labels, len(classes), groups, seed)
        doubted = doubts(labels, learned.chances)
        flagged = flagged | doubted.flagged
        doubt = doubt + doubted.score
        sound = np.flatnonzero(~flagged)
        if len(sound) < len(known) <= 2 * len(sound):
            cleaned = taught_by(view, learned, labels, len(classes), sound).failed
    return Ground(
        tuple(known), tuple(found), classes, labels, view, qualities(view.kind, inputs, failing), near, distance,
        own_distance, (labels[beside] != labels[:, None]).mean(axis=1), learned, flagged, doubt, cleaned,
        champion={
            row: key_of(_output(champion_answers[e.id])) != key_of(e.label)
            for row, e in enumerate(known)
            if e.id in champion_answers
        },
        stuck=trials.stuck(trainer, known, found, seed) if trainer is not None else {},
    )  # fmt: skip


def measure(
    modes: Sequence[Mode],
    found_by_mode: Mapping[str, Sequence[Failure]],
    examples: Sequence[Example],
    *,
    embedder: Embedder,
    suspects: Collection[str] = (),
    shares: Mapping[str, float] | None = None,
    trainer: Trainer | None = None,
    champion_answers: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Measured]:
    """Measure every mode that has failures: mode id → its numbers.

    `champion_answers` holds out-of-fold answers by example id (an output, a list that begins with it, or a record with
    `.output`); `trainer` is the product's own, refitted twice on at most 1,500 examples; both may be missing.
    """
    most = max(20, FAILED // max(len(modes), 1))
    chosen = {mode.id: _labelled_first(found_by_mode.get(mode.id, ()), most, seed) for mode in modes}
    flat = [f for mode in modes for f in chosen[mode.id]]
    everyone = [f for mode in modes for f in found_by_mode.get(mode.id, ())]
    ground = ground_of(
        flat, examples, embedder=embedder, suspects=suspects, trainer=trainer,
        champion_answers=champion_answers, seed=seed,
    )  # fmt: skip
    known = trials.taught(examples)
    out, start = {}, 0
    for mode in modes:
        rows = np.arange(start, start + len(chosen[mode.id]))
        start += len(rows)
        here = list(found_by_mode.get(mode.id, ()))
        if here:
            out[mode.id] = _one(here, everyone, rows, ground, examples, known, shares or {})
    return out


def _one(
    here: Sequence[Failure], everyone: Sequence[Failure], rows: Array, ground: Ground | None,
    examples: Sequence[Example], known: trials.Taught, shares: Mapping[str, float],
) -> Measured:  # fmt: skip
    told = Counter(key_of(f.label) for f in here if f.label is not None)
    label, n = min(told.items(), key=lambda item: (-item[1], item[0])) if told else (None, 0)
    if label is not None and n * 2 < sum(told.values()):
        label = None
    per_label = known.labels
    usual = float(median(per_label.values())) if per_label else 0.0
    place = place_of(here, everyone, shares)
    numbers = {
        "lean": place.lean if place and not place.of_people else 0.0,
        "broken": sum(any(e.kind in ("error", "slow") for e in f.evidence) for f in here) / len(here),
        "doubted": sum(any(e.kind == "doubt" for e in f.evidence) for f in here) / len(here),
    }
    sign, cut = None, None
    families: dict[str, float] = {}
    mends: dict[str, Interval] = {}
    doubtful: tuple[str, ...] = ()
    if ground is not None:
        told_rows, labels_here = trials.labelled(ground, rows)
        numbers |= trials.density(ground, rows)
        damaged, sign = trials.damage(ground, rows)
        if place is not None and place.of_people:  # how they write is not damage: what is missing is examples of it
            damaged, sign = dict.fromkeys(damaged, 0.0), None
        numbers |= damaged
        numbers |= trials.neighbourhood(ground, rows)
        numbers |= trials.support(ground, told_rows, labels_here)
        tried, families = trials.families(ground, rows, told_rows, labels_here)
        numbers |= tried
        if not ground.classes.edges:
            numbers |= trials.counts(ground, told_rows, per_label, usual)
            cut = trials.slice_of(here, known, label)
            numbers["slice_few"] = _short(cut)
        mends = trials.mending(ground, told_rows, labels_here)
        doubtful = trials.doubtful(ground, rows)
        again = set(trials.misjudged(ground, told_rows, labels_here))
        doubtful += tuple(e.id for e in examples if e.interaction_id in again and e.id not in doubtful)[:20]
    return Measured(
        failures=len(here), labelled=sum(told.values()), examples=len(examples), numbers=numbers, label=label,
        of_label=per_label.get(label, 0) if label is not None else 0, usual=usual, slice=cut, place=place, sign=sign,
        families=families, doubtful=doubtful, mends=mends,
    )  # fmt: skip


def _short(cut: tuple[str, int, float] | None) -> float:
    """How many times fewer examples than usual a slice has, in powers of two, 0 to 6."""
    if cut is None:
        return 0.0
    _, n, expected = cut
    return float(np.clip(np.log2((expected + 1.0) / (n + 1.0)), 0.0, 6.0))


def sampled(items: Sequence[Any], most: int, seed: int) -> list[Any]:
    """At most so many members, a random sample that depends on their ids and the seed only."""
    if len(items) <= most:
        return list(items)
    order = sorted(range(len(items)), key=lambda i: hashlib.blake2b(f"{seed}|{items[i].id}".encode()).digest())
    return [items[i] for i in sorted(order[:most])]


def _labelled_first(found: Sequence[Failure], most: int, seed: int) -> list[Failure]:
    if len(found) <= most:
        return list(found)

    def turn(f: Failure) -> tuple[bool, bytes]:
        return (f.label is None, hashlib.blake2b(f"{seed}|{f.interaction_id}".encode()).digest())

    return sorted(found, key=turn)[:most]


def _nearest(distances: Array, k: int) -> tuple[Array, Array]:
    """Which are the k nearest of each row, nearest first, and their distances (not squared)."""
    if not len(distances):
        return np.zeros((0, k), dtype=int), np.zeros((0, k))
    near = np.argpartition(distances, k - 1, axis=1)[:, :k]
    d = np.take_along_axis(distances, near, axis=1)
    order = np.argsort(d, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.sqrt(np.take_along_axis(d, order, axis=1))


def _output(answer: Any) -> Any:
    if isinstance(answer, list | tuple):
        return answer[0] if answer else None
    return getattr(answer, "output", answer)
