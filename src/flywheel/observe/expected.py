"""How often the product is right, from confidence alone; checked and corrected on labels where there are some.

Step one takes confidence at its word after calibration (confidence-based estimation; Guo et al. 2017, Garg et al.
2022). It assumes that an answer of a given confidence is right as often as before. Step two weighs the judged answers
so that their inputs are mixed as the window's are, before calibrating: then only answers to the *same* inputs must be
right as often as before (covariate shift). No method without labels can see that break; labels can. So where the window
has labels, the estimate is corrected by them (prediction-powered inference, Angelopoulos et al. 2023; tuned as in
Angelopoulos, Duchi & Zrnic 2023), and their disagreement is what tells that the assumptions broke.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from flywheel.errors import InvalidRecord
from flywheel.observe.bets import Floats
from flywheel.observe.calibrate import Calibration
from flywheel.observe.reweigh import reweigh
from flywheel.records import Interval

__all__ = ["Assessment", "PerformanceEstimator"]

_FEWEST = 100
_FEWEST_LABELS = 20
_OUTSIDE = 0.10
_BEYOND = 0.05
_MATTERS = 0.02
_SURE = 3.29


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """How often a window's answers are right, and whether that can be believed."""

    accuracy: Interval
    """The best estimate: from labels and confidence where there are labels, else from confidence alone."""
    error: float
    """Its standard error."""
    expected: Interval
    """The estimate without labels."""
    method: str
    """`confidence`, `weighted` (calibrated for the window's mix of inputs), and `+ labels` where they were used."""
    valid: bool
    """Whether the assumptions of the estimate without labels seem to hold."""
    reasons: tuple[str, ...] = ()
    """Why not, a sentence each."""
    effective: float = 0.0
    """How many judged earlier answers the estimate is worth."""
    separation: float | None = None
    """How well inputs of now and before can be told apart (0.5: not at all); None where nobody asked."""
    labels: int = 0
    gap: Interval | None = None
    """Labels minus estimate, in shares of right answers."""


class PerformanceEstimator:
    """Learns from judged answers how often answers are right; estimates it for windows without labels.

    >>> rng = np.random.default_rng(0)
    >>> scores = rng.beta(6, 2, 20_000)
    >>> known = PerformanceEstimator.fit(scores, rng.random(20_000) < scores)
    >>> harder = rng.beta(4, 3, 5_000)
    >>> found = known.estimate(harder)
    >>> bool(found.low < harder.mean() < found.high)
    True
    """

    def __init__(
        self, scores: Floats, right: Floats, weight: Floats, features: Floats | None, seed: int, steady: tuple[str, ...]
    ) -> None:
        self._scores, self._right, self._weight, self._features = scores, right, weight, features
        self._seed, self._steady = seed, steady
        self.calibration = Calibration.fit(scores, right, weight, seed=seed)
        self.accuracy = float((weight * right).sum() / weight.sum())
        """The share of right answers in the reference."""

    @classmethod
    def fit(
        cls, scores: Any, right: Any, features: Any = None, *, weight: Any = None, seed: int = 0
    ) -> PerformanceEstimator:
        """Learn from n judged answers in order of time.

        `scores` are confidences (any numbers: only their order counts), `right` booleans, `features` n × columns of
        numbers (NaN is a value) for step two, `weight` 1 / propensity of each label. Needs 100 judged answers.
        O(n log n).
        """
        given = np.asarray(scores, dtype=np.float64)
        truth = np.asarray(right, dtype=np.float64)
        mass = np.ones(given.size) if weight is None else np.asarray(weight, dtype=np.float64)
        columns = None if features is None else np.asarray(features, dtype=np.float64)
        if given.size != truth.size or given.size != mass.size or (columns is not None and len(columns) != given.size):
            raise InvalidRecord("right", f"there are {truth.size} for {given.size} scores", "Pass one for each")
        if given.size < _FEWEST:
            raise InvalidRecord(
                "scores", f"{given.size} judged answers are too few", f"Label at least {_FEWEST} earlier interactions"
            )
        if np.isnan(given).any():
            raise InvalidRecord("scores", "some are missing", "Leave out interactions without a confidence")
        return cls(given, truth, mass, columns, seed, _steadiness(given, truth, mass, seed))

    def probability(self, scores: Any) -> Floats:
        """The probability that each answer is right, by its confidence."""
        return self.calibration.probability(np.asarray(scores, dtype=np.float64))

    def estimate(self, scores: Any, features: Any = None, *, level: float = 0.95) -> Interval:
        """The share of right answers among `scores`, without labels: the realised share lies inside with `level`."""
        return self.assess(scores, features, level=level).expected

    def assess(
        self,
        scores: Any,
        features: Any = None,
        *,
        labelled: tuple[Any, Any, Any] | None = None,
        total: int | None = None,
        level: float = 0.95,
    ) -> Assessment:
        """Estimate the share of right answers in a window, and check what that rests on.

        `scores` are the window's confidences, or a random sample of them out of `total`; `features` as in `fit`.
        `labelled` are scores, right (0 or 1) and weights of the window's own labels. O(n log n).
        """
        now = np.asarray(scores, dtype=np.float64)
        if not now.size:
            raise InvalidRecord("scores", "the window is empty", "Ask about a window with interactions")
        reasons, method, curve = list(self._steady), "confidence", self.calibration
        effective, separation = float(self._weight.sum() ** 2 / (self._weight**2).sum()), None
        if features is not None and self._features is not None:
            mix = reweigh(
                np.column_stack([self._features, self._scores]),
                np.column_stack([np.asarray(features, dtype=np.float64), now]),
                seed=self._seed,
            )
            separation = mix.separation
            if mix.moved:
                method, weight = "weighted", self._weight * mix.weight
                curve = Calibration.fit(self._scores, self._right, weight, seed=self._seed)
                effective = float(weight.sum() ** 2 / (weight**2).sum())
                if mix.outside > _OUTSIDE:
                    reasons.append(f"{mix.outside:.0%} of the inputs are of a kind that earlier ones hardly were")
        low, high = self._scores.min(), self._scores.max()
        beyond = float(((now < low) | (now > high)).mean())
        if beyond > _BEYOND:
            reasons.append(f"{beyond:.0%} of the confidences lie outside {low:.2f} to {high:.2f}, where all lay before")
        if effective < _FEWEST:
            reasons.append(f"only {effective:.0f} judged answers speak for such inputs")
        mean, error = curve.mean(now)
        error = _spread(mean, error, curve.probability(now), total or now.size)
        expected = _interval(mean, error, level, 0)
        if labelled is None or len(labelled[0]) < _FEWEST_LABELS:
            return Assessment(
                accuracy=expected,
                error=error,
                expected=expected,
                method=method,
                valid=not reasons,
                reasons=tuple(reasons),
                effective=effective,
                separation=separation,
            )
        accuracy, wide, gap, sigma = _corrected(curve, now, labelled, total or now.size, level)
        if abs(gap.estimate) > _MATTERS and abs(gap.estimate) > _SURE * float(np.hypot(sigma, error)):
            share = mean + gap.estimate
            reasons.append(
                f"{gap.n} labels say {share:.1%} where confidence says {mean:.1%}: "
                "answers of the same confidence are not right as often as before"
            )
        return Assessment(
            accuracy=accuracy,
            error=wide,
            expected=expected,
            method=f"{method} + labels",
            valid=not reasons,
            reasons=tuple(reasons),
            effective=effective,
            separation=separation,
            labels=gap.n,
            gap=gap,
        )


def _steadiness(scores: Floats, right: Floats, weight: Floats, seed: int) -> tuple[str, ...]:
    """Whether the curve of the first two thirds of the reference holds in its last third."""
    cut = scores.size * 2 // 3
    if scores.size < 6 * _FEWEST:
        return ()
    early = Calibration.fit(scores[:cut], right[:cut], weight[:cut], seed=seed)
    mean, error = early.mean(scores[cut:], weight[cut:])
    late = Calibration.fit(scores[cut:], right[cut:], weight[cut:], seed=seed)
    real = float((weight[cut:] * right[cut:]).sum() / weight[cut:].sum())
    spread = float(np.hypot(error, late.mean(scores[cut:], weight[cut:])[1]))
    if abs(real - mean) <= _MATTERS or abs(real - mean) <= _SURE * spread:
        return ()
    return (
        f"already in the reference, the curve of its first two thirds expects {mean:.1%} right answers "
        f"in the last third, where {real:.1%} were",
    )


def _spread(mean: float, error: float, chances: Floats, total: int) -> float:
    """The standard error of the realised share: an unknown curve, chance in each answer, and the sample."""
    chance = float((chances * (1 - chances)).mean()) / total
    sample = float(chances.var()) * max(0.0, 1 / chances.size - 1 / total)
    return float(np.sqrt(error**2 + chance + sample))


def _interval(mean: float, error: float, level: float, n: int, freedom: float = np.inf) -> Interval:
    reach = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
    return Interval(mean, max(0.0, mean - reach), min(1.0, mean + reach), n, level)


def _corrected(
    curve: Calibration, now: Floats, labelled: tuple[Any, Any, Any], total: int, level: float
) -> tuple[Interval, float, Interval, float]:
    """The estimate corrected by labels, and how far labels and estimate are apart, each with its standard error.

    The expectation enters with the factor that narrows the interval most, so labels alone are never much better. The
    curve may be wrong: what is right on average is the correction.
    """
    scores, right, weight = (np.asarray(part, dtype=np.float64) for part in labelled)
    guess, share = curve.probability(scores), weight / weight.sum()
    worth = 1.0 / float((share**2).sum())
    chances = curve.probability(now)
    mean = float(chances.mean())
    left = max(0.0, 1 - scores.size / total)
    centre_guess, centre_right = float(share @ guess), float(share @ right)
    variance = float(share @ (guess - centre_guess) ** 2)
    covariance = float(share @ ((guess - centre_guess) * (right - centre_right)))
    slope = covariance / variance if variance > 0 else 0.0
    tuned = float(np.clip(slope / (1 + worth / now.size), 0.0, 1.0))

    def corrected(factor: float) -> tuple[float, float]:
        rest = right - factor * guess
        middle = float(share @ rest)
        noise = float((share**2) @ (rest - middle) ** 2) * scores.size / max(scores.size - 1, 1)
        sampled = factor**2 * float(chances.var()) / now.size * (now.size < total)
        floor = 0.25 / worth**2
        return factor * mean + middle, float(np.sqrt((noise + floor) * left + sampled))

    value, error = corrected(tuned)
    whole, apart = corrected(1.0)
    freedom = max(worth - 1, 1.0)
    gap = _interval_of_gap(whole - mean, apart, level, scores.size, freedom)
    return _interval(min(max(value, 0.0), 1.0), error, level, scores.size, freedom), error, gap, apart


def _interval_of_gap(gap: float, error: float, level: float, n: int, freedom: float) -> Interval:
    reach = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
    return Interval(gap, gap - reach, gap + reach, n, level)
