"""The nouns of Flywheel: frozen records that rooms hand to each other.

They carry no logic beyond their own invariants. `to_dict` turns any of them into plain JSON values (dates as ISO 8601
strings, tuples as lists) and `from_dict` brings one back, so that every record can be stored, printed and sent.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, TypeVar

__all__ = [
    "Acknowledgement",
    "Candidate",
    "Cause",
    "Check",
    "Dataset",
    "EdgeCase",
    "Evidence",
    "Example",
    "Failure",
    "Feedback",
    "Interaction",
    "Interval",
    "Mode",
    "Observation",
    "Prediction",
    "Proposal",
    "Receipt",
    "Release",
    "Report",
    "ReviewItem",
    "Risk",
    "Selection",
    "Slice",
    "Spin",
    "Verdict",
    "Why",
    "WhyChain",
    "from_dict",
    "to_dict",
]


# --- facts: what the log keeps ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One call of the product's model. `input` and `output` are any JSON; times are UTC."""

    id: str
    at: datetime
    input: Any
    output: Any = None
    sent_at: datetime | None = None
    scores: dict[str, float] | None = None
    """The model's score for each possible output, where it gives one."""
    confidence: float | None = None
    """The model's own probability that `output` is right, 0 to 1."""
    latency_ms: float | None = None
    error: str | None = None
    model: str | None = None
    """The version that answered."""
    user: str | None = None
    """A keyed pseudonym, never the name the product uses."""
    session: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    """Flat scalars: device, network, locale, hour …"""
    propensity: float | None = None
    """The probability with which the product chose this output, where it chose at random."""
    consent: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields the sender added that Flywheel has no name for; kept as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A later fact about an interaction.

    `kind` is `rating` (a number, negative is bad), `label` (the right output), `comment`, `outcome` (a named business
    metric) or `report` (a blameless failure report). `propensity` is the probability with which a label was asked for.
    """

    id: str
    interaction_id: str
    at: datetime
    kind: str
    value: Any
    name: str | None = None
    source: str = "user"
    """`user`, `reviewer`, `judge` or `system` (delayed ground truth)."""
    by: str | None = None
    propensity: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


# --- what the rooms find ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval and the number of labelled cases behind it."""

    estimate: float
    low: float
    high: float
    n: int = 0
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason to believe that an interaction failed. `weight` is its log-odds contribution."""

    kind: str
    detail: str
    weight: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An interaction judged wrong, with its evidence and the probability that it is one."""

    interaction_id: str
    at: datetime
    probability: float
    evidence: tuple[Evidence, ...] = ()
    input: Any = None
    output: Any = None
    label: Any = None
    """The right output, where somebody has said it."""
    confidence: float | None = None
    model: str | None = None
    mode: str | None = None
    user: str | None = None
    """The pseudonym of who met it."""
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a mode fails: data scarcity, algorithmic flaw, external noise, label noise or unknown, with the evidence."""

    kind: str = "unknown"
    probability: float = 0.0
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    """One for each of the five; they add up to 1."""
    action: str = "ask"
    """What the remedy comes to: `label`, `change model`, `filter or augment`, `relabel` or `ask`."""
    relabel: tuple[str, ...] = ()
    """Ids of the examples whose labels should be checked, the most doubtful first."""
    wanted: int = 0
    """About how many labels the remedy takes."""
    mends: Interval | None = None
    """Share of the mode's failures that the remedy would mend, where a trial says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """FMEA: each factor is 1 (harmless, rare, seen at once) to 10 (grave, constant, invisible)."""

    severity: int
    occurrence: int
    detectability: int
    share: Interval | None = None
    """Occurrence as a share of the interactions."""
    per_week: Interval | None = None
    """Failures a week, at the window's rate of traffic."""
    cost: Interval | None = None
    """What they cost a week, in `currency`; None where nothing prices a failure."""
    currency: str | None = None
    evidence: tuple[str, ...] = ()
    """Where each factor comes from, a sentence each, with numbers."""

    @property
    def number(self) -> int:
        """The risk priority number, severity × occurrence × detectability, 1 to 1,000."""
        return self.severity * self.occurrence * self.detectability


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Failures with one likely cause. `state` is `open`, `in work`, `fixed` or `reopened`."""

    id: str
    name: str
    state: str = "open"
    count: float = 0.0
    """Expected number of failures in the last window: the sum of their probabilities."""
    share: float = 0.0
    """`count` as a share of the window's interactions."""
    exemplars: tuple[str, ...] = ()
    """Interaction ids, the most typical first."""
    signature: dict[str, float] = field(default_factory=dict)
    """Terms and values that set the mode apart, with their weights; what matches it from spin to spin."""
    cause: Cause = field(default_factory=Cause)
    risk: Risk | None = None
    whys: tuple[str, ...] = ()
    first_spin: int = 0
    last_spin: int = 0
    fixed_in: str | None = None
    """The version of the release that fixed it."""
    split_from: str | None = None
    """The earlier mode that it parted from."""
    merged: tuple[str, ...] = ()
    """Earlier modes that it took in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCase:
    """A rare, novel or extreme input, with its risk."""

    interaction_id: str
    kind: str
    novelty: float
    """0 (like the training data) to 1 (unlike anything in it)."""
    risk: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A conjunction of context or input values: `device=ios & network=3g`."""

    conditions: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        return " & ".join(f"{name}={value}" for name, value in self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something that changed, or that was measured, in a window: a finding with what it rests on.

    `kind` is `metric` (a level), `shift` (an input, output, confidence or text that moved), `performance` (accuracy
    estimated without labels, or watched on labels), `pattern` (a season), `change` (a level since a date), `anomaly`,
    `influence` (of a context value, adjusted for the others), `slice`, `template` (of application logs) or `wording`.
    Only what hurts is an `alarm`.
    """

    kind: str
    name: str
    line: str
    """One plain sentence with the numbers in it."""
    value: float | None = None
    reference: float | None = None
    effect: float | None = None
    """Its size in units that do not grow with traffic: a difference of shares, of standard deviations …"""
    interval: Interval | None = None
    """The effect's confidence interval."""
    n: int = 0
    alarm: bool = False
    since: datetime | None = None
    until: datetime | None = None
    where: Slice | None = None
    """Whom it concerns, where it is not everybody."""
    evidence: tuple[str, ...] = ()
    """What speaks for it, a sentence each, with numbers."""
    query: str = ""
    """SQL on the tables `interactions` and `feedback` that gives the numbers again."""
    chart: dict[str, Any] = field(default_factory=dict)
    """What to draw: `kind` (`line`, `bars`, `interval`), `x`, `y`, perhaps `low`, `high`, `mark`; at most 200 points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One link in the chain of reasons of a failure mode.

    `kind` is `tested` (a claim that the data bears out), `said` (by a person) or `open` (asked of people, because the
    data cannot know).
    """

    topic: str
    """What it is about, so that a later draft finds its place: `slice`, `version`, `field`, `training`, `ask …` …"""
    question: str
    answer: str = ""
    kind: str = "open"
    effect: float | None = None
    """The size of what was tested; the answer says in which unit."""
    interval: Interval | None = None
    """The effect's confidence interval."""
    n: int = 0
    """Cases behind it."""
    query: str = ""
    """SQL on the table `interactions` that counts the traffic it was held against."""
    by: str | None = None
    at: datetime | None = None
    drafted: Why | None = None
    """Beside what a person said: what the data says on the same topic now."""
    before: tuple[Why, ...] = ()
    """What stood here before, the oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyChain:
    """The stored chain of whys of one failure mode, with the release that fixed it and what that brought."""

    mode: str
    whys: tuple[Why, ...] = ()
    fix: str | None = None
    """The version that fixed the mode."""
    spin: int | None = None
    """The spin that made that version."""
    receipt: str | None = None
    """What that spin changed, in one line."""
    drafted_in: int = 0
    """The spin whose window the tested claims are about."""
    edited_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An interaction that a report may be about, and the probability that it is the one."""

    interaction_id: str
    score: float
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A blameless report: what went wrong, told by anybody, naming nobody.

    `state` is `received`, `joined` (to an interaction), `acknowledged` (a person has read it, or a spin has put it into
    a failure mode), `fixed` (a release mended that mode) or `closed` (by a person, with the reason in `closing`).
    """

    id: str
    at: datetime
    what: str
    """What happened, redacted."""
    expected: str | None = None
    by: str | None = None
    """The reporter's pseudonym; None for an anonymous report."""
    state: str = "received"
    interaction_id: str | None = None
    proposals: tuple[Proposal, ...] = ()
    """The likeliest interactions, where it is not sure which one it is about."""
    mode: str | None = None
    fixed_in: str | None = None
    searched: int = 0
    """The last spin among whose failures it was looked for."""
    reopened: int = 0
    """How often the mode came back after it had been fixed."""
    joined_at: datetime | None = None
    acknowledged_at: datetime | None = None
    fixed_at: datetime | None = None
    closed_at: datetime | None = None
    told_at: datetime | None = None
    """When its reporter heard that it is fixed."""
    told_how: str | None = None
    """`page` (they looked), `webhook`, or `person`."""
    closing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What a reporter gets back. The `token` is shown once; with it anyone can ask what became of the report."""

    id: str
    token: str
    state: str
    line: str
    interaction_id: str | None = None
    proposals: tuple[Proposal, ...] = ()


# --- learning --------------------------------------------------------------------------------------------------------


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
    propensity: float = 1.0
    p_failure: float | None = None
    relabel: bool = False
    confidence: float | None = None
    context: dict[str, Any] = field(default_factory=dict)
    status: str = "waiting"
    label: Any = None
    by: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input with a trusted label, its provenance and the propensity with which it was sampled.

    `group` is shared by near-duplicates, `fold` is derived from the group, so that no split ever separates them.
    """

    id: str
    input: Any
    label: Any
    origin: str = "review"
    """`seed`, `review`, `truth` (delayed), `function` or `synthetic`."""
    interaction_id: str | None = None
    by: str | None = None
    at: datetime | None = None
    spin: int = 0
    mode: str | None = None
    audit: bool = False
    propensity: float = 1.0
    weight: float = 1.0
    group: str = ""
    fold: int = 0
    failure: bool = False
    """The champion of its time got it wrong."""
    context: dict[str, Any] = field(default_factory=dict)


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


# --- to and from JSON ------------------------------------------------------------------------------------------------

R = TypeVar("R")


def to_dict(record: Any) -> Any:
    """Turn a record into JSON values.

    >>> to_dict(Slice((("device", "ios"),)))
    {'conditions': [['device', 'ios']]}
    """
    if is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_dict(getattr(record, f.name)) for f in fields(record)}
    if isinstance(record, datetime):
        return record.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(record, dict):
        return {str(key): to_dict(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_dict(value) for value in record]
    return record


def from_dict(kind: type[R], data: dict[str, Any]) -> R:
    """Bring back what `to_dict` wrote; keys the record does not know are ignored, so older readers can read newer data.

    >>> from_dict(Risk, {"severity": 7, "occurrence": 2, "detectability": 5}).number
    70
    """
    hints = _hints(kind)
    return kind(**{name: _revive(hints[name], value) for name, value in data.items() if name in hints})


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _revive(hint: Any, value: Any) -> Any:
    if value is None or hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return _revive(next(a for a in arguments if a is not NoneType), value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_revive(arguments[0], item) for item in value)
        return tuple(_revive(a, item) for a, item in zip(arguments, value, strict=True))
    if is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value)
    return value
