"""How often the product is right, of everything it answered, from a few labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from flywheel.errors import InvalidRecord
from flywheel.measure.weighted import average_case, effective, weighted_interval, weights
from flywheel.records import Interval

__all__ = ["accuracy"]

_EXACT_UP_TO = 40
_WORTH_IT = 1.25
_FEWEST_WEIGHTED = 10


def accuracy(
    values: Sequence[bool],
    propensities: Sequence[float],
    audit: Sequence[bool],
    population: int,
    *,
    predicted: Sequence[float] | None = None,
    predicted_mean: float | None = None,
    level: float = 0.95,
) -> Interval:
    """Estimate the share of right answers among `population` interactions.

    `values[i]` says whether case i was right, `propensities[i]` how likely it was to be asked about, `audit[i]`
    whether it belongs to the simple random sample. One of three intervals, chosen by the weights alone and never by
    the answers:

    - the audit alone: Clopper and Pearson (exact) up to 40 labels, Wilson above;
    - every label, weighted by its propensity, when that is worth at least a quarter more cases than the audit;
    - every label and, where each case's `predicted` probability of being right and its mean over the whole population
      (`predicted_mean`) are given, the difference estimator: the mean prediction, corrected by the weighted mean of
      `right - predicted` (prediction-powered inference, Angelopoulos et al., 2023). Right however bad the predictions
      are, narrow when they are good.

    `n` in the answer is the number of labels used. Without labels: 0.5, from 0 to 1.

    >>> accuracy([True] * 9 + [False], [0.01] * 10, [True] * 10, 1000).estimate
    0.9
    """
    right = np.asarray(values, dtype=np.float64)
    weight = weights(propensities, right.size)
    random = np.asarray(audit, dtype=bool)
    if random.shape != right.shape:
        raise InvalidRecord("audit", f"there are {random.size} for {right.size} cases", "Pass one for each")
    if right.size == 0:
        return Interval(0.5, 0.0, 1.0, 0, level)
    audited = int(random.sum())
    if right.size >= max(population, 1):
        mean = float(right.mean())
        return Interval(mean, mean, mean, right.size, level)
    enough = right.size >= _FEWEST_WEIGHTED
    if enough and predicted is not None and predicted_mean is not None:
        guess = np.asarray(predicted, dtype=np.float64)
        if guess.shape != right.shape:
            raise InvalidRecord("predicted", f"there are {guess.size} for {right.size} cases", "Pass one for each")
        extremes = (1.0 - predicted_mean, -predicted_mean)
        found = weighted_interval(right - guess, weight, extremes=extremes, guard=average_case(weight), level=level)
        shifted = [min(1.0, max(0.0, predicted_mean + part)) for part in found]
        return Interval(shifted[0], shifted[1], shifted[2], right.size, level)
    if not audited or (enough and effective(weight) > _WORTH_IT * audited):
        found = weighted_interval(right, weight, extremes=(1.0, 0.0), guard=average_case(weight), level=level)
        return Interval(found[0], max(0.0, found[1]), min(1.0, found[2]), right.size, level)
    hits = int(right[random].sum())
    method = "exact" if audited <= _EXACT_UP_TO else "wilson"
    ends = binomtest(hits, audited).proportion_ci(confidence_level=level, method=method)
    return Interval(hits / audited, float(ends.low), float(ends.high), audited, level)
