"""Evidence as e-values, and which of many findings to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig

__all__ = ["ebh", "evalue"]

MOST = 1e300


def evalue(p: float) -> float:
    """The e-value of a p-value: a number that is 1 at most on average where nothing is there.

    The mixture of all calibrators k p^(k-1) (Vovk & Wang, "E-values: calibration, combination and applications", Annals
    of Statistics 2021): (1 - p + p ln p) / (p ln(p)²). Evidence of 20 is what 1 in 20 would be were it fixed in
    advance. Raises InvalidConfig outside 0 to 1.

    >>> round(evalue(0.001), 1), round(evalue(1.0), 1)
    (20.8, 0.5)
    """
    if not 0 <= p <= 1:
        raise InvalidConfig(f"A p-value is between 0 and 1, not {p!r}")
    if p < 1e-290:
        return MOST
    gap = 1.0 - p
    if gap < 1e-4:  # the limit at 1 is a half; the formula loses its digits there
        return 0.5 + gap / 6
    log = math.log(p)
    return (1 - p + p * log) / (p * log * log)


def ebh(evidence: Sequence[float] | np.ndarray[Any, Any], alpha: float = 0.05) -> np.ndarray[Any, Any]:
    """Which of m e-values to keep so that on average at most `alpha` of those kept are false: a boolean each.

    The e-BH rule (Wang & Ramdas, "False discovery rate control with e-values", JRSS B 2022): keep the k largest, for
    the largest k of which the smallest is at least m / (alpha k). It holds however the e-values depend on one another,
    as columns of one table do. O(m log m).

    >>> ebh([90.0, 2.0, 41.0, 0.3]).tolist()
    [True, False, True, False]
    """
    if not 0 < alpha < 1:
        raise InvalidConfig(f"alpha is the share of false findings to bear, between 0 and 1, not {alpha!r}")
    values = np.nan_to_num(np.asarray(evidence, float), nan=0.0, posinf=MOST)
    if not len(values):
        return np.zeros(0, bool)
    order = np.argsort(-values, kind="stable")
    enough = values[order] * np.arange(1, len(values) + 1) >= len(values) / alpha
    kept = np.zeros(len(values), bool)
    if enough.any():
        kept[order[: np.flatnonzero(enough)[-1] + 1]] = True
    return kept
