"""How much each sign of failure is worth: P(failure) by logistic regression with a prior, so that three labels move
it little.

Lin, Lin & Weng (2007), "A note on Platt's probabilistic outputs for support vector machines", for confidence as one
logit among the features; MacKay (1992), "The evidence framework applied to classification networks", for the
Gaussian (Laplace) approximation that carries what was learned from spin to spin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis
import numpy as np

from flywheel.diagnose.evidence import KEYS
from flywheel.errors import InvalidRecord

__all__ = ["Calibration", "Judged", "calibrate", "contributions", "detect"]

BASE = 0.1
"""P(failure) of an interaction nobody has complained about, before any label has been seen."""

PRIOR = {
    "label_wrong": 6.0,
    "label_right": -5.0,
    "negative_rating": 3.0,
    "positive_rating": -1.5,
    "report": 3.0,
    "negative_comment": 2.0,
    "error": 3.5,
    "slow": 0.7,
    "doubt": 1.0,
}
"""Log-odds that each sign adds, before any label: a user's complaint is right far more often than not, but not
always."""

UNKNOWN_SIGN = 1.0
"""Prior weight of a detector plugin's sign."""

INTERCEPT_SPREAD = 0.8
SIGN_SPREAD = 0.7
DOUBT_SPREAD = 0.3
"""Standard deviations of the prior, in log-odds."""

KEPT = 0.5
"""Share of what earlier spins have learned that still counts: models and users change."""

HEAVIEST = 5.0
"""A label's inverse-propensity weight is clipped at so many times the mean, which trades a little bias for much
variance."""

_CLIP = 1e-3
LEAST_DOUBT = 0.01
"""No model is believed to be surer than this: else no complaint could be heard against its confidence."""
_SURE = 0.99


@dataclass(frozen=True, slots=True)
class Judged:
    """What a label said about one interaction, and the probability with which that label was asked for."""

    interaction_id: str
    wrong: bool
    propensity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What P(failure) is made of: log-odds of the base, of each sign, and how sure each is.

    `precision` holds the inverse variances of the posterior (key `""` for the intercept), `labels` the effective number
    of labels behind it (earlier spins count half as much with every spin), `ece` the expected calibration error on the
    last spin's labels before they were learned from.
    """

    intercept: float
    weights: dict[str, float]
    precision: dict[str, float] = field(default_factory=dict)
    labels: float = 0.0
    ece: float | None = None


def prior(names: Sequence[str]) -> Calibration:
    """What is believed before any label has come.

    >>> prior(["negative_rating"]).weights
    {'negative_rating': 3.0}
    """
    precision = {name: 1.0 / (DOUBT_SPREAD if name == "doubt" else SIGN_SPREAD) ** 2 for name in names}
    return Calibration(
        intercept=_logit(BASE),
        weights={name: PRIOR.get(name, UNKNOWN_SIGN) for name in names},
        precision={"": 1.0 / INTERCEPT_SPREAD**2, **precision},
    )


def calibrate(signs: Any, judged: Sequence[Judged], previous: Calibration | None = None) -> Calibration:
    """Learn from labels what the signs are worth: the most probable logistic weights under a Gaussian prior.

    The prior is `previous`, half forgotten, or what is sensible before any label; few labels leave it nearly where
    it was. Labels weigh by the inverse of the probability with which they were asked for, clipped, and together no
    more than their effective number, so that targeted labels do not pass for the traffic. Interactions that are not
    in `signs` are ignored. Labels that already show as signs (`label_wrong`, `label_right`) are left out of their
    own fit.

    Returns a `Calibration`; raises `InvalidRecord` when a propensity is not in (0, 1].
    """
    names = [c for c in signs.columns if c not in KEYS]
    before = _forget(previous, names)
    wrong: dict[str, tuple[bool, float]] = {}
    for one in judged:
        if not 0.0 < one.propensity <= 1.0:
            raise InvalidRecord(
                "propensity",
                f"{one.propensity!r} is not a probability above 0",
                "Pass the one the label was drawn with",
            )
        wrong[one.interaction_id] = (one.wrong, one.propensity)
    rows = _rows_of(signs, sorted(wrong))
    if not rows:
        return before
    x = np.array([_features(row, names) for row in rows], dtype=np.float64)
    y = np.array([wrong[row["id"]][0] for row in rows], dtype=np.float64)
    w = _weights(np.array([wrong[row["id"]][1] for row in rows], dtype=np.float64))
    centre = np.array([before.intercept, *(before.weights[name] for name in names)])
    tight = np.array([before.precision[""], *(before.precision[name] for name in names)])
    design = np.column_stack([np.ones(len(x)), x])
    ece = expected_calibration_error(_sigmoid(design @ centre), y, w)
    theta, curvature = _fit(design, y, w, centre, tight)
    return Calibration(
        intercept=round(float(theta[0]), 6),
        weights={name: round(float(value), 6) for name, value in zip(names, theta[1:], strict=True)},
        precision={name: round(float(value), 6) for name, value in zip(["", *names], curvature, strict=True)},
        labels=round(before.labels + float(w.sum()), 3),
        ece=round(ece, 6),
    )


def detect(signs: Any, calibration: Calibration | None = None) -> Any:
    """Give every interaction its P(failure): the signs table and a column `p_failure`, materialised once.

    A label that is known settles it: 0.99 when it differs from the output, 0.01 when it agrees. A missing
    confidence neither helps nor harms. One pass, in the engine.
    """
    names = [c for c in signs.columns if c not in KEYS]
    known = calibration if calibration is not None else prior(names)
    start = prior(names)
    z = ibis.literal(known.intercept, type="float64")
    for name in names:
        weight = known.weights.get(name, start.weights[name])
        if name == "doubt":
            p = signs.doubt.clip(LEAST_DOUBT, 1.0 - _CLIP)
            z = z + weight * ((p / (1.0 - p)).ln() - _logit(BASE)).fill_null(0.0)
        else:
            z = z + weight * signs[name]
    p = 1.0 / (1.0 + (-z.clip(-30.0, 30.0)).exp())
    settled = ibis.cases((signs.label_wrong >= 1.0, _SURE), (signs.label_right >= 1.0, 1.0 - _SURE), else_=p)
    return signs.mutate(p_failure=settled.cast("float64")).cache()


def contributions(row: dict[str, Any], calibration: Calibration | None, names: Sequence[str]) -> dict[str, float]:
    """Log-odds that each sign of one interaction adds."""
    known = calibration if calibration is not None else prior(names)
    start = prior(names)
    x = _features(row, names, settled=True)
    return {name: known.weights.get(name, start.weights[name]) * value for name, value in zip(names, x, strict=True)}


def expected_calibration_error(p: Any, wrong: Any, weight: Any = None, bins: int = 10) -> float:
    """Mean distance between stated and observed failure rate over `bins` groups of equal size, weighted.

    >>> expected_calibration_error([0.0, 1.0], [0, 1])
    0.0
    """
    p, wrong = np.asarray(p, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    weight = np.ones(len(p)) if weight is None else np.asarray(weight, dtype=np.float64)
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    gaps = [abs(float(np.sum(weight[i] * (p[i] - wrong[i])))) for i in parts]
    return float(sum(gaps) / weight.sum())


def _forget(previous: Calibration | None, names: Sequence[str]) -> Calibration:
    """Blend what earlier spins learned with the starting point: `KEPT` of their labels' information stays."""
    start = prior(names)
    if previous is None:
        return start

    def blend(name: str, first: float, learned: float) -> tuple[float, float]:
        base = start.precision[name]
        gained = KEPT * max(previous.precision.get(name, base) - base, 0.0)
        return (base * first + gained * learned) / (base + gained), base + gained

    parts = {name: blend(name, start.weights[name], previous.weights.get(name, start.weights[name])) for name in names}
    intercept, sure = blend("", start.intercept, previous.intercept)
    return Calibration(
        intercept=intercept,
        weights={name: value for name, (value, _) in parts.items()},
        precision={"": sure, **{name: sure for name, (_, sure) in parts.items()}},
        labels=KEPT * previous.labels,
        ece=previous.ece,
    )


def _rows_of(signs: Any, ids: Sequence[str]) -> list[dict[str, Any]]:
    if not ids:
        return []
    wanted = ibis.memtable({"id": list(ids)}, schema={"id": "string"})
    rows: list[dict[str, Any]] = signs.semi_join(wanted, "id").order_by("id").to_pyarrow().to_pylist()
    return rows


def _features(row: dict[str, Any], names: Sequence[str], settled: bool = False) -> list[float]:
    """The numbers the model sees. A trusted label is the answer itself and so no feature, unless `settled` asks for
    it."""
    values = []
    for name in names:
        value = row[name]
        if name == "doubt":
            values.append(0.0 if value is None else _logit(min(max(value, LEAST_DOUBT), 1.0 - _CLIP)) - _logit(BASE))
        elif name in ("label_wrong", "label_right") and value >= 1.0 and not settled:
            values.append(0.0)
        else:
            values.append(float(value))
    return values


def _weights(propensity: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Normalised, clipped inverse-propensity weights that sum to the effective sample size (Kish 1965)."""
    w = 1.0 / propensity
    w = np.minimum(w / w.mean(), HEAVIEST)
    effective = w.sum() ** 2 / np.sum(w**2)
    scaled: np.ndarray[Any, Any] = w * (effective / w.sum())
    return scaled


def _fit(
    design: np.ndarray[Any, Any],
    y: np.ndarray[Any, Any],
    w: np.ndarray[Any, Any],
    centre: np.ndarray[Any, Any],
    tight: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Newton's method with halving on a strictly convex loss: at most a few dozen steps over (n, d) numbers."""

    def loss(at: np.ndarray[Any, Any]) -> float:
        z = design @ at
        return float(np.sum(w * (np.logaddexp(0.0, z) - y * z)) + 0.5 * np.sum(tight * (at - centre) ** 2))

    theta = centre.copy()
    now = loss(theta)
    for _ in range(60):
        p = _sigmoid(design @ theta)
        slope = design.T @ (w * (p - y)) + tight * (theta - centre)
        bend = (design * (w * p * (1.0 - p))[:, None]).T @ design + np.diag(tight)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while loss(theta - size * step) > now and size > 1e-6:
            size /= 2
        theta = theta - size * step
        now = loss(theta)
        if np.max(np.abs(size * step)) < 1e-9:
            break
    p = _sigmoid(design @ theta)
    return theta, np.diag((design * (w * p * (1.0 - p))[:, None]).T @ design) + tight


def _sigmoid(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    p: np.ndarray[Any, Any] = 1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0)))
    return p


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
