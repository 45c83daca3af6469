"""From a mode's numbers to the probability of each cause: two small multinomial logistic models, learned beforehand.

One model reads what can be counted without labels, the other that and what labels add. They were fitted on modes whose
cause was known because it had been put there (`bench/causes.py --fit`), on other data sets than those that their
figures are measured on. Few labels count little: with n labelled failures, the second model's say is n / (n + 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from flywheel.diagnose.cause.weights import WEIGHTS

__all__ = ["BLIND", "KINDS", "SURE", "TOLD", "WAYS", "likely", "named", "reading"]

KINDS = ("data scarcity", "algorithmic flaw", "external noise", "label noise", "unknown")

WAYS = (*KINDS, "label noise")
"""What the models tell apart: the five, and label noise twice, for labels that were taught wrongly and those by which
answers were judged wrongly leave different traces."""

BLIND = (
    "lean", "broken", "far", "distance", "dirty", "damaged", "shift", "novel", "worst", "suspected", "mixed",
    "near_right", "near_slope", "beaten", "champion_near", "output_support", "agree", "halves_vary", "chance_output",
    "apart",
)  # fmt: skip
"""Numbers that need no labels on the failures."""

TOLD = (
    *BLIND, "label_support", "untaught", "label_distance", "disputed", "label_doubt", "other_right", "all_right",
    "all_same", "halves_stuck", "slope", "level", "chance_label", "stuck", "few", "slice_few",
    "scatter",
    "misplaced",
)  # fmt: skip
"""These, and those that do."""

SURE = 0.4
"""A cause less likely than this is not named."""
_TRUST = 3.0
"""So many labelled failures are worth as much as none: the two models then have an equal say."""
_BLIND_TRUST = 0.4
"""Share of a flaw or of label noise that is believed before any failure is labelled."""
_NEVER = 0.6
_CLIP = 3.0


def reading(numbers: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """The numbers in order, NaN where one is missing."""
    return [float(numbers.get(name, math.nan)) for name in names]


def likely(numbers: Mapping[str, float], labelled: int) -> dict[str, float]:
    """The probability of each of the five causes; they add up to 1.

    A number that could not be measured says nothing; one beyond three standard deviations of those that were learned
    from counts as three.
    """
    blind = _model("blind", numbers)
    share = labelled / (labelled + _TRUST)
    both = blind if labelled < 1 else (1 - share) * blind + share * _model("told", numbers)
    # Without labels nobody has said what was right, so what only labels can show stays open.
    kept = _BLIND_TRUST + (1 - _BLIND_TRUST) * share
    for kind in ("algorithmic flaw", "label noise"):
        open_part = (1 - kept) * both[KINDS.index(kind)]
        both[KINDS.index(kind)] -= open_part
        both[KINDS.index("unknown")] += open_part
    # A label that no example has cannot be answered, whatever else is odd about the inputs.
    untaught = numbers.get("untaught", 0.0)
    never = _NEVER * share * max(0.0, (untaught - 0.5) / 0.5) if untaught == untaught else 0.0
    both = (1 - never) * both
    both[KINDS.index("data scarcity")] += never
    # Calls that break by themselves need no model: it has never seen one.
    broke = min(0.95, max(0.0, (numbers.get("broken", 0.0) - 0.2) / 0.6))
    if broke > 0:
        both = (1 - broke) * both
        both[KINDS.index("external noise")] += broke
    return {kind: round(float(p), 4) for kind, p in zip(KINDS, both / both.sum(), strict=True)}


def named(chances: Mapping[str, float]) -> str:
    """The likeliest cause; unknown when even that is less likely than 0.4.

    >>> named({"data scarcity": 0.35, "label noise": 0.3, "unknown": 0.35})
    'unknown'
    """
    best = max(chances, key=lambda kind: chances[kind])
    return best if chances[best] >= SURE else "unknown"


def _model(name: str, numbers: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    table = WEIGHTS[name]
    x = np.array(reading(numbers, table["names"]))
    z = np.clip((x - np.array(table["mean"])) / np.array(table["scale"]), -_CLIP, _CLIP)
    z = np.nan_to_num(z)
    scores = np.array(table["weights"]) @ z + np.array(table["offset"])
    p: np.ndarray[tuple[int], np.dtype[np.float64]] = np.exp(scores - scores.max())
    p /= p.sum()
    return np.array([sum(p[i] for i, way in enumerate(WAYS) if way == kind) for kind in KINDS])
