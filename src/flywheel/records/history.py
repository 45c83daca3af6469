"""What became of failures over time: where the loop stands, what was fixed and when, one mode's whole story."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flywheel.records.found import Interval, Mode, Slice

__all__ = [
    "Concentration",
    "FailureHistory",
    "ModeDay",
    "ModeReplay",
    "ModeSpin",
    "ModeStory",
    "Repair",
    "SpinFailures",
    "Stage",
    "Standing",
    "TimeToFix",
    "Wait",
    "Wish",
]


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that waits for a person.

    `kind` is `labels`, `verdict`, `promotion`, `alarm`, `reopened` or `problem`; `about` is the spin, version or mode
    that it is about, empty where there is none.
    """

    kind: str
    line: str
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One of the twelve stages of the loop. `state` is `done`, `now` or `to come`."""

    name: str
    does: str
    """What it does, in three or four words."""
    state: str
    seconds: float | None = None
    """How long it took in this spin, in seconds."""
    waits: str = ""
    """What it waits for; empty where it waits for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The failure mode that somebody asked the next spin to prefer."""

    mode: str
    name: str = ""
    by: str = ""
    at: datetime | None = None
    spin: int | None = None
    """The spin that follows it; None as long as none has asked for labels since."""
    asked: int | None = None
    """Labels that this spin has asked for the mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the loop stands, and what waits for people."""

    spin: int | None
    """The last spin; None before the first."""
    state: str
    """`running`, `waiting`, `done`, or `not begun`."""
    line: str
    stages: tuple[Stage, ...]
    waits: tuple[Wait, ...] = ()
    next: Wish | None = None
    """The mode that the next spin prefers, or the one that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinFailures:
    """The failure modes as one spin left them."""

    spin: int
    at: datetime | None
    modes: dict[str, int]
    """How many modes are `open`, `in work`, `reopened` and `fixed`."""
    failures: dict[str, float]
    """Expected failures of these in the spin's window; of the fixed ones, as many as there were before the fix."""
    found: int = 0
    """Modes seen for the first time."""
    fixed: int = 0
    """Modes that a release of this spin, or one before the next spin, has fixed."""
    reopened: int = 0
    """Fixed modes that came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One fix: from the first interaction of a failure mode to the release that fixed it."""

    mode: str
    name: str
    version: str
    since: datetime
    """When the first interaction happened that a spin put into the mode; after a reopening, the first one since."""
    at: datetime
    days: float
    again: bool = False
    """The mode had been fixed before, and came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeToFix:
    """How long failure modes lived, in days. Those that are not fixed yet count with the time they have lived.

    Each figure is None where it cannot be told, such as the median where fewer than half are fixed.
    """

    median: float | None
    low: float | None
    """The median's confidence interval; `high` is None where it has no upper end."""
    high: float | None
    quarter: float | None
    """A quarter of the modes is fixed within so many days …"""
    three_quarters: float | None
    """… and three quarters within so many."""
    n: int
    """Fixes."""
    unfixed: int
    """Modes that still fail."""
    level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureHistory:
    """Failures open, fixed and reopened over the spins, and how long a fix takes."""

    spins: tuple[SpinFailures, ...]
    repairs: tuple[Repair, ...]
    time_to_fix: TimeToFix
    released: dict[str, datetime] = field(default_factory=dict)
    """When each version that has answered in production was put to work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """A slice that a failure mode favours: what share of its failures lie there, and of all traffic."""

    where: Slice
    failures: int
    """Failures of the mode in the slice …"""
    of: int
    """… of so many."""
    traffic: int
    """Interactions in the slice …"""
    traffic_of: int
    """… of so many in the window."""
    lift: Interval
    """How many times as common it is among the failures as in the traffic. The interval holds for every slice tried."""
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeDay:
    """A failure mode on one day, UTC."""

    at: datetime
    seen: int
    """Likely failures that were put into the mode."""
    failures: Interval
    """Expected failures, with the interval of a count."""
    volume: int
    """Interactions that day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSpin:
    """What one spin did about a failure mode."""

    spin: int
    at: datetime | None
    before: str
    """Its state when the spin began; empty where it was not known yet."""
    after: str
    """Its state when the spin was over."""
    count: float
    """Expected failures in the spin's window."""
    asked: int
    """Labels asked for it …"""
    labelled: int
    """… and given."""
    dataset: str | None
    learnt: int
    """Examples of it in the dataset that the candidate was trained on."""
    candidate: str | None
    decision: str | None
    proved: bool
    """The verdict says that the candidate fixes it."""
    fixed_in: str | None
    """The release that fixed it, where this spin's did."""
    preferred: bool = False
    """Somebody had asked to fix it next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeReplay:
    """What one version answers to the labelled cases of a failure mode."""

    version: str
    role: str
    """`champion`, `challenger`, `retired`, `candidate` (never released), or `product` for the answers as logged."""
    right: int
    n: int
    share: Interval
    """The share that it gets right, exact interval. Cases it was trained on are answered out of fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeStory:
    """Everything about one failure mode: where it lies, its course, what was done about it and what that brought."""

    mode: Mode
    days: tuple[ModeDay, ...] = ()
    slices: tuple[Concentration, ...] = ()
    spins: tuple[ModeSpin, ...] = ()
    repairs: tuple[Repair, ...] = ()
    replays: tuple[ModeReplay, ...] = ()
    next: Wish | None = field(default=None)
    """That somebody asked to fix it next, as long as no spin is over that did."""
