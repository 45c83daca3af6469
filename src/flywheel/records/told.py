"""What people tell and are told: five whys, and blameless reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flywheel.records.found import Interval

__all__ = ["Acknowledgement", "Proposal", "Report", "Why", "WhyChain"]


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
