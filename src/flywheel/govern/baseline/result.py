"""What a baseline audit says: plain records, all of them JSON by `flywheel.records.to_dict`.

No value in here comes straight from a log: whatever was logged has been through the redactor and is cut short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = [
    "Audit",
    "ContextField",
    "FeedbackFound",
    "FieldFound",
    "Finding",
    "Handling",
    "Ids",
    "Personal",
    "Requirement",
    "Share",
    "Slices",
    "Spread",
    "Stage",
    "Times",
    "share_of",
]


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `n`; where the n are a sample, `low` and `high` bound the share of all at 95 %."""

    count: int
    n: int
    share: float | None
    low: float | None = None
    high: float | None = None


def share_of(count: int, n: int, *, sampled: bool = False) -> Share:
    """A share, with the interval of Wilson (1927) where it comes from a sample.

    >>> share_of(1, 4)
    Share(count=1, n=4, share=0.25, low=None, high=None)
    """
    if not n:
        return Share(count, n, None)
    share = count / n
    if not sampled:
        return Share(count, n, share)
    z2 = 1.959964**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Share(count, n, share, max(0.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class Spread:
    """Where a set of numbers lies; quantiles within 1 %."""

    n: int
    low: float
    p50: float
    p95: float
    p99: float
    high: float


@dataclass(frozen=True, slots=True)
class FieldFound:
    """One field of the log: `path` as Flywheel will call it, `column` as the source calls it."""

    path: str
    column: str | None
    known: bool
    """Is it a field Flywheel has a name for, or a part of `input`, `context` or `extra`?"""
    complete: Share
    """Of the records that could have it, how many say something in it."""
    empty: int
    """Values that stand for nothing: empty text, `null`, `n/a`, `-` …, written out."""
    types: dict[str, int]
    distinct: int
    distinct_exact: bool
    examples: tuple[str, ...]
    numbers: Spread | None
    longest: int | None
    cut_at: int | None
    """The length at which texts seem to be cut off."""
    notes: tuple[str, ...]
    """`constant`, `nearly unique`, `conflicting types`, `cut off`."""


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids and duplicates."""

    with_id: Share
    repeated: Share
    """Records that say exactly what an earlier one said, id and time included."""
    conflicts: Share
    """Ids that came with different content."""
    distinct_inputs: int
    repeated_inputs: Share


@dataclass(frozen=True, slots=True)
class Times:
    """When things happened, as far as it was recorded. Times without a zone are read as UTC here."""

    readable: Share
    without_zone: int
    unreadable: int
    in_future: int
    first: datetime | None
    last: datetime | None
    newest_days: float | None
    """How many days ago the newest record is."""
    delay: Spread | None
    """Seconds from `at` until it was received, where both are recorded."""
    order: str
    out_of_order: Share
    days: tuple[tuple[str, int], ...]
    """Interactions per day, or per longer step where there are very many days."""
    step_days: int
    week: tuple[tuple[float, ...], ...]
    """Interactions per hour: seven rows from Monday, 24 hours UTC each."""
    gaps: tuple[dict[str, Any], ...]
    """`from`, `until`, `hours`, `expected`: stretches without records where the usual pattern has some."""
    pattern: str
    """What gaps were measured against."""


@dataclass(frozen=True, slots=True)
class FeedbackFound:
    """What came back about interactions."""

    kinds: dict[str, int]
    told: Share
    """Interactions with any feedback."""
    labelled: Share
    delay: Spread | None
    """Seconds from the interaction until the first feedback, where both have a time of their own."""
    labels_a_week: float | None
    labels_a_week_low: float | None
    labels_a_week_high: float | None
    negative: Share
    """Interactions with negative feedback, of those with a rating or a report."""
    followed_up: Share
    """Of the interactions with negative feedback, those that got a label as well."""
    ratings: Spread | None
    strangers: Share
    """Feedback about interactions that are not in this log, of all interactions that feedback is about."""
    classes: int
    """Different labels."""
    smallest_class: int | None
    disagreeing: Share
    """Where an interaction has an output and a label: how many differ."""


@dataclass(frozen=True, slots=True)
class Personal:
    """Personal data and secrets, by kind and field: counts, never values."""

    redactor: str
    rows: Share
    """Records with any."""
    finds: dict[str, int]
    by_field: tuple[dict[str, Any], ...]
    """`path`, `rows`, `share`, `kinds`."""
    describing: tuple[str, ...]
    """Fields that by their names describe a person, whatever they hold."""
    users: Share
    identifiable: Share
    """Of the interactions with a user, those whose user is an address, a telephone number, or reads like a name."""
    consent: Share
    refused: int


@dataclass(frozen=True, slots=True)
class ContextField:
    """One field by which interactions can be sliced."""

    path: str
    complete: Share
    values: tuple[dict[str, Any], ...]
    """`value`, `n`, `share`, `enough`, the most frequent first."""
    more: int
    """Values beyond those listed."""
    small: int
    """Values with fewer interactions than a failure rate needs."""


@dataclass(frozen=True, slots=True)
class Slices:
    """What can be sliced, and which slices are missing or too small."""

    needed: int
    """Interactions that a failure rate needs for ±5 points at 95 %."""
    fields: tuple[ContextField, ...]
    unusable: tuple[dict[str, Any], ...]
    """`path`, `why`: fields that slice nothing."""
    small: tuple[dict[str, Any], ...]
    """`slice`, `n`, `share`."""
    missing: tuple[dict[str, Any], ...]
    """`slice`, `expected`, `at_most`: combinations that never came though their parts are frequent."""
    vanished: tuple[dict[str, Any], ...]
    """`slice`, `n`, `last`, `expected`: values that came and then no more."""
    expected_missing: tuple[str, ...]
    """Slices somebody asked for that never came."""
    combined_n: int
    """Interactions in which combinations were looked for."""
    combined_sampled: bool


@dataclass(frozen=True, slots=True)
class Handling:
    """How failures are handled today."""

    errors: Share
    kinds: tuple[tuple[str, int], ...]
    timeouts: Share
    refusals: Share
    status_field: str | None
    status_failures: Share
    """Records whose status code says that they failed."""
    silent: Share
    """Of those, the ones without an `error`."""
    unanswered: Share
    """Interactions with neither an output nor an error."""
    abandoned: Share
    """Sessions that end in an error or without an answer."""
    retries: Share
    """Interactions asked again, by the same user with the same input, within a minute."""
    latency: Spread | None
    latency_histogram: tuple[tuple[str, int], ...]
    confidence: Spread | None
    confidence_histogram: tuple[int, ...]
    unsure: Share
    """Interactions with a confidence below one half."""
    outside: int
    """Confidences that are no probability."""
    versioned: Share
    versions: int


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing a stage of the spin needs."""

    name: str
    met: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the spin: what is possible today, and what is missing."""

    name: str
    question: str
    requirements: tuple[Requirement, ...]

    @property
    def met(self) -> int:
        """Requirements that are met."""
        return sum(requirement.met for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to fix: why it matters, what shows it, and what to do next."""

    name: str
    title: str
    severity: int
    """3: a stage cannot run; 2: what it says will be weak; 1: worth tidying."""
    why: str
    evidence: str
    do: tuple[str, ...]
    """Commands or lines of code."""
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """The baseline audit of one log."""

    location: str
    command: str
    """The command that brings this log into a flywheel."""
    mappable: bool
    """Can its columns be mapped to fields?"""
    made: datetime
    source: str
    records: int
    interactions: int
    feedback: int
    unreadable: int
    problems: tuple[tuple[str, int], ...]
    """Why records could not be read, with how often."""
    profiled: int
    """Interactions that were looked at value by value: all, or a sample."""
    sampled: bool
    mapping: dict[str, str]
    fields: tuple[FieldFound, ...]
    more_fields: int
    ids: Ids
    times: Times
    feedback_found: FeedbackFound
    personal: Personal
    slices: Slices
    handling: Handling
    stages: tuple[Stage, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def met(self) -> int:
        """Requirements of all stages that are met."""
        return sum(stage.met for stage in self.stages)

    @property
    def required(self) -> int:
        """Requirements of all stages."""
        return sum(len(stage.requirements) for stage in self.stages)
