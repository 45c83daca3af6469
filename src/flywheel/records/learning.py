"""Learning: what is asked for, learnt from, proved, released, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flywheel.records.found import Group, Interval, Mode, Observation

__all__ = [
    "Candidate",
    "Check",
    "Dataset",
    "Example",
    "Prediction",
    "Receipt",
    "Release",
    "ReviewItem",
    "Selection",
    "Spin",
    "Verdict",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One interaction chosen to be labelled, with the reason and the probability with which it was chosen."""

    interaction_id: str
    propensity: float
    audit: bool
    why: str
    mode: str | None = None
    p_failure: float | None = None
    suggestions: tuple[Any, ...] = ()
    relabel: bool = False
    """A second opinion on a label that looks wrong."""
    later: bool = False
    """Asked in a later round, knowing other labels of its window: it speaks for no interaction but its own."""
    blind: bool = False
    """Two models answer it differently, and whoever is asked must not see which answer was given."""
    wanted: dict[str, float] = field(default_factory=dict)
    """The probability with which each strategy of selection alone would have asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One line of the review queue. `status` is `waiting`, `labelled` or `skipped`."""

    id: str
    interaction_id: str
    input: Any
    output: Any
    suggestions: tuple[Any, ...] = ()
    why: str = ""
    spin: int = 0
    mode: str | None = None
    audit: bool = False
    propensity: float | None = 1.0
    """None where the label speaks for no other interaction: it was asked for in a later round."""
    p_failure: float | None = None
    relabel: bool = False
    confidence: float | None = None
    context: dict[str, Any] = field(default_factory=dict)
    group: Group | None = None
    """The group of alike inputs it stands for, with the ids of a few of them."""
    status: str = "waiting"
    label: Any = None
    by: str | None = None
    at: datetime | None = None
    unsure: tuple[str, ...] = ()
    """Who looked, could not tell, and left it to somebody else."""
    blind: bool = False
    """Two models answer it differently: which answer users were given is not shown."""

    @property
    def shown(self) -> Any:
        """The output as a reviewer sees it: nothing where the item is `blind`."""
        return None if self.blind else self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input with a trusted label, its provenance and the propensity with which it was sampled.

    `group` is shared by near-duplicates, `fold` is derived from the group, so that no split ever separates them.
    """

    id: str
    input: Any
    label: Any
    origin: str = "review"
    """`seed`, `review`, `truth` (delayed), `function`, `synthetic`, `group` (passed on from an alike input), or `user`
    (a correction that is believed)."""
    interaction_id: str | None = None
    by: str | None = None
    at: datetime | None = None
    spin: int = 0
    mode: str | None = None
    audit: bool = False
    propensity: float | None = 1.0
    """None where it speaks for no other interaction, and takes no part in weighted estimates."""
    weight: float = 1.0
    group: str = ""
    fold: int = 0
    failure: bool = False
    """The champion of its time got it wrong."""
    context: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    """Of a synthetic one its lineage: the ids of the examples it was made `of`, the `operation`, its `parameters`, what
    was `done`, the `mode`."""

    @property
    def evidence(self) -> bool:
        """Has somebody who was asked, or a later fact, said this label of this input? No evaluation counts others."""
        return self.origin not in ("synthetic", "group", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An immutable set of examples. `hash` is over the content: the same examples have the same hash."""

    hash: str
    examples: tuple[Example, ...]
    spin: int = 0
    parent: str | None = None
    created_at: datetime | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """Counts by origin, share of failures, suspected label errors, drop rates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trained model, the dataset and the base it came from. `folder` holds its files."""

    version: str
    dataset: str
    trainer: str
    folder: str
    base: str | None = None
    seed: int = 0
    spin: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a verdict. `outcome` is `pass`, `fail` or `unsure` (too few labels to say)."""

    name: str
    outcome: str
    line: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's answer: `promote`, `reject` or `need labels`, with one line of evidence per check."""

    decision: str
    checks: tuple[Check, ...]
    fixed: int = 0
    """Known failures that the candidate gets right …"""
    failures: int = 0
    """… of so many."""
    broke: int = 0
    """Cases the champion gets right and the candidate does not …"""
    kept: int = 0
    """… of so many that the champion gets right."""
    need: int = 0
    """With `need labels`: about how many more would decide."""
    fixed_ids: tuple[str, ...] = ()
    broke_ids: tuple[str, ...] = ()
    modes_fixed: tuple[str, ...] = ()

    def __str__(self) -> str:
        line = (
            f"{self.decision}: fixed {self.fixed} of {self.failures} known failures, broke {self.broke} of {self.kept}"
        )
        return f"{line}; about {self.need} more labels would decide" if self.need else line


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A model in production. `role` is `champion`, `canary`, `shadow` or `retired`."""

    version: str
    role: str
    folder: str
    at: datetime
    dataset: str | None = None
    spin: int = 0
    trainer: str = ""
    replaced: str | None = None
    """The champion it took over from: where a rollback goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a spin changed: uplift with its interval, cost, return."""

    spin: int
    decision: str
    before: Interval
    after: Interval
    uplift: Interval
    avoided_per_1000: Interval
    labels: int = 0
    audit_labels: int = 0
    seconds: float = 0.0
    value: float | None = None
    """Money a year of the same traffic, where `[value]` prices a failure."""
    cost: float | None = None
    currency: str | None = None
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spin:
    """One turn of the loop. `state` is `running`, `waiting` (for labels) or `done`."""

    number: int
    state: str
    step: str
    budget: int = 0
    seed: int = 0
    waiting_for: int = 0
    """Labels that people still owe."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    modes: tuple[Mode, ...] = ()
    observations: tuple[Observation, ...] = ()
    verdict: Verdict | None = None
    receipt: Receipt | None = None
    dataset: str | None = None
    candidate: str | None = None
    labels: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by step."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer of the champion. `id` is the logged interaction's (None when it was not logged)."""

    id: str | None
    output: Any
    confidence: float | None = None
    version: str | None = None
