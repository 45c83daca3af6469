"""Two versions beside each other, on the same labelled interactions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flywheel import measure
from flywheel.errors import NotFound
from flywheel.loop.decide import answers_of, disagreement
from flywheel.loop.turn import Turn, Workshop
from flywheel.records import Example, Interval, Release, Slice

__all__ = ["Comparison", "Differing", "SliceOfBoth", "compare"]

_RECENT = 3
_FEWEST = 5
_MOST_VALUES = 12
_MOST_SLICES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """A case that one version gets right and the other does not."""

    example: str
    interaction_id: str | None
    input: Any
    label: Any
    left: Any
    right: Any


@dataclass(frozen=True, slots=True)
class SliceOfBoth:
    """How many of a slice's `n` labelled cases each version gets right."""

    where: Slice
    n: int
    left: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two versions answer to the same labelled interactions of the last three spins."""

    left: str
    right: str
    n: int
    accuracy_left: Interval
    accuracy_right: Interval
    uplift: Interval
    """How much more often the right one is right, as a share of interactions, paired."""
    disagree: float
    """The share of the interactions, labelled or not, to which they answer differently."""
    fixed: tuple[Differing, ...] = ()
    """Wrong with the left one, right with the right one."""
    broke: tuple[Differing, ...] = ()
    slices: tuple[SliceOfBoth, ...] = ()
    """Where they differ most first."""


def compare(shop: Workshop, left: str, right: str) -> Comparison:
    """Hold two releases against each other; neither is judged by an example that it was trained on.

    Raises `NotFound` for a version that was never released, and where no spin has labels yet.
    """
    one, other = _release(shop, left), _release(shop, right)
    state = shop.store.state
    spins = [spin for spin in state.spins() if spin.state == "done" and spin.labels][-_RECENT:]
    if not spins:
        raise NotFound(
            "no spin with labels is done yet, so there is nothing to compare on. `flywheel spin` asks for them"
        )
    work = Turn(shop, spins[-1], datetime.now(UTC))
    edges = [state.step(spin.number, "sync") or {} for spin in (spins[0], spins[-1])]
    work.docs["sync"] = {"after": edges[0]["after"], "upto": edges[1]["upto"]}
    recent = {spin.number for spin in spins}
    judged = [e for e in state.examples() if e.spin in recent and e.evidence and e.propensity is not None]
    said = [answers_of(shop, release, judged) for release in (one, other)]
    first, second = ([shop.task.correct(of[e.id].output, e.label) for e in judged] for of in said)
    differs = [not shop.task.correct(said[0][e.id].output, said[1][e.id].output) for e in judged]
    same = one.version == other.version
    apart = 0.0 if same else disagreement(work.window, shop.load_model(one), shop.load_model(other))
    weights, audit = [e.propensity for e in judged if e.propensity is not None], [e.audit for e in judged]
    population = work.window.count()
    changed: dict[bool, list[Differing]] = {True: [], False: []}
    for example, was, now in zip(judged, first, second, strict=True):
        if was != now:
            answers = [of[example.id].output for of in said]
            changed[now].append(Differing(
                example=example.id, interaction_id=example.interaction_id, input=example.input, label=example.label,
                left=answers[0], right=answers[1],
            ))  # fmt: skip
    return Comparison(
        left=one.version, right=other.version, n=len(judged),
        accuracy_left=measure.accuracy(first, weights, audit, population),
        accuracy_right=measure.accuracy(second, weights, audit, population),
        uplift=measure.uplift(first, second, weights, disagreement=apart, differs=differs),
        disagree=apart, fixed=tuple(changed[True]), broke=tuple(changed[False]),
        slices=_slices(judged, first, second),
    )  # fmt: skip


def _release(shop: Workshop, version: str) -> Release:
    found = next((one for one in reversed(shop.releases.history()) if one.version == version), None)
    if found is None:
        raise NotFound(f"there is no release {version!r}. `flywheel releases` lists them")
    return found


def _slices(judged: Sequence[Example], first: Sequence[bool], second: Sequence[bool]) -> tuple[SliceOfBoth, ...]:
    """By each value of a context field that has few: of the labelled cases, how many each gets right."""
    cells: dict[tuple[str, Any], list[tuple[bool, bool]]] = defaultdict(list)
    for example, was, now in zip(judged, first, second, strict=True):
        for name, value in example.context.items():
            cells[name, value].append((was, now))
    values: dict[str, int] = defaultdict(int)
    for name, _ in cells:
        values[name] += 1
    found = [
        SliceOfBoth(Slice((key,)), len(pairs), sum(was for was, _ in pairs), sum(now for _, now in pairs))
        for key, pairs in cells.items()
        if len(pairs) >= _FEWEST and values[key[0]] <= _MOST_VALUES
    ]
    return tuple(sorted(found, key=lambda one: (-abs(one.right - one.left) / one.n, str(one.where)))[:_MOST_SLICES])
