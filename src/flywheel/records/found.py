"""What the rooms find: failures, modes with cause and risk, observations, slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Cause", "EdgeCase", "Evidence", "Failure", "Group", "Interval", "Mode", "Observation", "Risk", "Slice"]


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
class Group:
    """Alike inputs that no known class explains: perhaps a class that nobody has named yet.

    `score` orders groups: where one label tells about most unexplained inputs comes first. It is size × density ×
    unlikeness of what the groups before it have left unexplained.
    """

    id: str
    name: str
    """The words that set its texts apart, where two of them (and enough users) share any."""
    members: tuple[str, ...] = ()
    """Interaction ids, the most typical first: the one to ask about stands first."""
    size: int = 0
    """How many inputs of the window belong to it."""
    density: float = 0.0
    """How alike its members are to the first of them, 0 to 1, on average."""
    unlikeness: float = 0.0
    """How little the known classes, and the model, explain its members, 0 to 1, on average."""
    p_new: float = 0.0
    """The probability that most of it is one class of which there is no labelled example."""
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCase:
    """A rare, novel or extreme input, with its risk: P(failure) × severity × exposure × lack of coverage."""

    interaction_id: str
    kind: str
    novelty: float
    """0 (like the training data) to 1 (unlike anything in it)."""
    p_failure: float = 0.0
    """The probability that the product's answer to it is wrong."""
    severity: float = 1.0
    """How bad a wrong answer is here, 0 to 1."""
    exposure: float = 0.0
    """The share of the window's inputs that are alike, itself among them: how often it is met."""
    lack: float = 0.0
    """Lack of coverage, 0 to 1: 1 where no labelled example is near, ½ where one is, ⅓ where two are …"""
    risk: float = 0.0
    """The product of these four: the expected harm, as a share of the window's traffic."""
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
    """What to draw: `kind` (`line`, `bars`, `interval`), `x`, `y`, perhaps `low`, `high`, `mark` (at most 200)."""
