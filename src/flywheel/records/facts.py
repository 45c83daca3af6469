"""Facts: what the log keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Feedback", "Interaction"]


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
    metric) or `report` (a blameless failure report). A `withdrawal` takes back another feedback, whose id is its value:
    whoever reads the log for what holds reads neither. `propensity` is the probability with which a label was asked
    for.
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
