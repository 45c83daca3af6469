"""What is known about an interaction the moment it arrives: which signs of failure it bears, and which mode it is like.

No model is fitted and no table is read: this is for watching the log live. The spin's own diagnosis comes later, knows
more, and stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from flywheel.diagnose.embed import as_text
from flywheel.records import Evidence, Feedback, Interaction, Mode

__all__ = ["Arrival", "arrival", "heard", "likely_mode"]

_DOUBT = 0.5
_ALIKE = 0.5
_WORD = re.compile(r"\w[\w'-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One fact of the log as it comes in, with the interaction that it is, or that it is about."""

    seq: int
    received_at: datetime
    interaction: Interaction
    signs: tuple[Evidence, ...] = ()
    """Why it looks like a failure; empty where nothing says so yet."""
    mode: str | None = None
    """The id of the failure mode it belongs to, or is most like."""
    cause: str | None = None
    feedback: str | None = None
    """The kind of feedback, where the fact is feedback."""


def arrival(
    seq: int,
    received_at: datetime,
    interaction: Interaction,
    told: Feedback | None = None,
    modes: Sequence[Mode] = (),
    assigned: Mapping[str, str] | None = None,
) -> Arrival:
    """Put together what one fact says. `assigned` names the mode of interactions that a spin has diagnosed."""
    signs = (*heard(interaction), *(told_signs(interaction, told) if told else ()))
    known = (assigned or {}).get(interaction.id)
    mode = next((one for one in modes if one.id == known), None) if known else None
    if mode is None and signs:
        mode = likely_mode(interaction, modes)
    return Arrival(
        seq=seq,
        received_at=received_at,
        interaction=interaction,
        signs=signs,
        mode=mode.id if mode else None,
        cause=mode.cause.kind if mode else None,
        feedback=told.kind if told else None,
    )


def heard(interaction: Interaction) -> tuple[Evidence, ...]:
    """The signs an interaction bears itself: an error, or that its model thinks it likelier wrong than right.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> [sign.detail for sign in heard(Interaction(id="i", at=at, input="x", confidence=0.31))]
    ['confidence 0.31']
    """
    found = []
    if interaction.error:
        found.append(Evidence("error", interaction.error))
    if interaction.confidence is not None and interaction.confidence < _DOUBT:
        found.append(Evidence("doubt", f"confidence {interaction.confidence:.2f}"))
    return tuple(found)


def told_signs(interaction: Interaction, told: Feedback) -> tuple[Evidence, ...]:
    """The sign that feedback is: a bad rating, a report, or a label other than what was answered."""
    if told.kind == "rating" and isinstance(told.value, int | float) and told.value < 0:
        return (Evidence("rating", f"rated {told.value:g}"),)
    if told.kind == "report":
        return (Evidence("report", "somebody reported it"),)
    if told.kind == "label" and told.value != interaction.output:
        return (Evidence("label", f"right would be {told.value}"),)
    return ()


def likely_mode(interaction: Interaction, modes: Sequence[Mode]) -> Mode | None:
    """The mode whose signature an interaction bears most of, where that is at least half of it by weight.

    >>> from datetime import UTC
    >>> one = Interaction(id="i", at=datetime(2026, 1, 1, tzinfo=UTC), input="card lost", context={"device": "ios"})
    >>> found = likely_mode(one, [Mode(id="m1", name="", signature={"device=ios": 2.0, "card": 1.0, "pin": 1.0})])
    >>> found.id
    'm1'
    """
    words = _WORD.findall(as_text(interaction.input).lower()[:5000])
    borne = {*words, *(f"{a} {b}" for a, b in pairwise(words)), f"output={interaction.output}"}
    borne |= {f"{name}={value}" for name, value in interaction.context.items()}
    best, most = None, _ALIKE
    for mode in modes:
        whole = sum(mode.signature.values())
        share = sum(weight for key, weight in mode.signature.items() if key in borne) / whole if whole > 0 else 0.0
        if share >= most and (best is None or share > most):
            best, most = mode, share
    return best
