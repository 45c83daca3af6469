"""The interval of a mean over everything, from a few cases that were not all equally likely to be asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from flywheel.errors import InvalidRecord

__all__ = ["average_case", "effective", "weighted_interval", "weights"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


def weights(propensities: Sequence[float], n: int) -> Floats:
    """Turn inclusion probabilities into weights; each case stands for `1 / propensity` cases."""
    given = np.asarray(propensities, dtype=np.float64)
    if given.shape != (n,):
        raise InvalidRecord("propensities", f"there are {given.size} for {n} cases", "Pass one for each")
    if not bool(np.all((given > 0) & (given <= 1))):
        bad = given[~((given > 0) & (given <= 1))][0]
        raise InvalidRecord(
            "propensities", f"{bad} is not the probability of something that happened", "Pass 0 < p <= 1"
        )
    return 1.0 / given


def effective(weight: Floats) -> float:
    """How many equally weighted cases the weights are worth (Kish, 1965)."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if weight.size else 0.0


def average_case(weight: Floats) -> float:
    """The weight of an average case."""
    return float(weight.sum()) / effective(weight)


def weighted_interval(
    values: Floats, weight: Floats, *, extremes: tuple[float, float], guard: float, level: float
) -> tuple[float, float, float]:
    """Estimate a mean and its interval: Hájek's ratio estimator with its linearised variance (Särndal et al., 1992).

    With few cases that variance is too small, above all when none of the rarer values happened to be seen. Two made-up
    cases, one at each extreme and each of weight `guard`, take part in the interval (as in Agresti and Min, 2005), and
    Student's t counts the effective cases. The estimate itself is without them, and always inside.
    """
    estimate = float((weight * values).sum() / weight.sum())
    all_values = np.concatenate([values, extremes])
    all_weights = np.concatenate([weight, [guard, guard]])
    total, n = all_weights.sum(), all_values.size
    centre = float((all_weights * all_values).sum() / total)
    variance = float((all_weights**2 * (all_values - centre) ** 2).sum() / total**2 * n / (n - 1))
    freedom = max(1.0, effective(all_weights) - 1.0)
    reach = float(stats.t.ppf(0.5 + level / 2, freedom)) * variance**0.5
    return estimate, min(estimate, centre - reach), max(estimate, centre + reach)
