"""What is believed about one interaction: how likely it failed, and what says so or speaks against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flywheel.diagnose.calibration import BASE, Calibration, contributions
from flywheel.diagnose.evidence import KEYS
from flywheel.diagnose.failed import sentence
from flywheel.records import Evidence

__all__ = ["Belief", "believed"]

_LEAST = 0.05
"""A sign that moves the log-odds less says nothing worth a line."""
_AGAINST = {
    "label_right": "a label says the answer was right",
    "positive_rating": "rated positive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """How likely one interaction failed, by everything that is known about it today.

    `weight` of a piece of evidence is in log-odds: above 0 it speaks for a failure, below 0 against one.
    """

    interaction_id: str
    probability: float
    """Of a failure, 0 to 1."""
    base: float
    """The same before anything is known about an interaction."""
    evidence: tuple[Evidence, ...] = ()
    """What moves the one to the other, the strongest first."""
    settled: bool = False
    """A trusted label has said it; the rest is no longer weighed."""
    label: Any = None
    """The right output, where somebody has said it."""
    mode: str | None = None
    """The id of the failure mode that the spin put it into."""
    spin: int | None = None
    """The spin in whose window it lies; None for what came after the last."""
    beside: int = 0
    """Interactions around it that were looked at with it: whether it was asked again, or was unusually slow."""


def believed(row: dict[str, Any], calibration: Calibration | None) -> Belief:
    """Put into words one row of what `detect` returned.

    >>> row = {"id": "i", "seq": 1, "rand": 0.1, "at": None, "report": 1.0, "positive_rating": 0.0, "p_failure": 0.7}
    >>> found = believed(row, None)
    >>> found.probability, [(one.kind, one.detail, one.weight) for one in found.evidence]
    (0.7, [('report', 'reported as a failure', 3.0)])
    """
    names = [name for name in row if name not in KEYS and name != "p_failure"]
    intercept = calibration.intercept if calibration is not None else math.log(BASE / (1 - BASE))
    found = []
    for name, weight in contributions(row, calibration, names).items():
        if abs(weight) > _LEAST and row[name]:
            found.append(Evidence(name, _words(name, row[name], weight), round(weight, 4)))
    return Belief(
        interaction_id=str(row["id"]),
        probability=round(float(row["p_failure"]), 6),
        base=round(1.0 / (1.0 + math.exp(-intercept)), 6),
        evidence=tuple(sorted(found, key=lambda one: (-abs(one.weight), one.kind))),
        settled=(row.get("label_wrong") or 0.0) >= 1.0 or (row.get("label_right") or 0.0) >= 1.0,
    )


def _words(name: str, value: float, weight: float) -> str:
    if name == "doubt":
        only = "only " if weight > 0 else ""
        return f"the model itself was {only}{1.0 - value:.0%} confident"
    return _AGAINST.get(name) or sentence(name, value)
