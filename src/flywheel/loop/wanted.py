"""What selection is told beside the failures: the champion's doubt, what users said, and which strategies paid off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flywheel.curate.split import learn_split, shares_of
from flywheel.diagnose.calibration import LEAST_DOUBT
from flywheel.loop.turn import Turn
from flywheel.ports import Model, Predictions
from flywheel.prove import Pair
from flywheel.records import Failure, Selection

__all__ = ["doubts", "heard", "offers", "split_after", "split_before"]

_CLIP = 1e-3


def doubts(work: Turn, pool: Sequence[Failure], model: Model | None) -> dict[str, float]:
    """How undecided a model is about each of the pool: half of 1 − the margin between its two best answers.

    Where it gives no probabilities, half of 1 − the confidence that was logged; empty where there is neither.
    """
    if model is not None and pool and work.shop.config.product.task != "regression":
        margins = _margins(model.predict([failure.input for failure in pool]))
        if margins is not None:
            return {f.interaction_id: (1.0 - float(m)) / 2 for f, m in zip(pool, margins, strict=True)}
    return {f.interaction_id: (1.0 - f.confidence) / 2 for f in pool if f.confidence is not None}


def _margins(said: Predictions) -> np.ndarray[Any, Any] | None:
    """The margins, 0 to 1, of scores that are probabilities; None where they are not."""
    if said.scores is None or said.scores.ndim != 2 or said.scores.shape[1] < 2:
        return None
    scores = np.asarray(said.scores, dtype=np.float64)
    if scores.min() < -1e-6 or np.abs(scores.sum(axis=1) - 1).max() > 1e-3:
        return None
    top = np.partition(scores, -2, axis=1)
    return np.asarray(np.clip(top[:, -1] - top[:, -2], 0.0, 1.0))


def heard(work: Turn, pool: Sequence[Failure]) -> dict[str, float]:
    """The log-odds of failure that users and systems have added: the whole less the base rate and the doubt."""
    known = work.calibration
    base, weight = (known.intercept, known.weights.get("doubt", 1.0)) if known else (_logit(0.1), 1.0)
    return {
        f.interaction_id: _logit(f.probability)
        - base
        - (0.0 if f.confidence is None else weight * (_logit(max(LEAST_DOUBT, 1.0 - f.confidence)) - _logit(0.1)))
        for f in pool
    }


def _logit(p: float) -> float:
    p = min(max(p, _CLIP), 1 - _CLIP)
    return math.log(p / (1 - p))


def split_before(work: Turn) -> dict[str, float]:
    """What the spins before this one have learnt about the strategies: log-weights, empty at first."""
    if not work.shop.config.curate.learned_split:
        return {}
    for earlier in range(work.spin.number - 1, 0, -1):
        doc = work.shop.store.state.step(earlier, "measure")
        if doc and doc.get("split"):
            return dict(doc["split"])
    return {}


def offers(work: Turn, chosen: Sequence[Selection]) -> dict[str, Any]:
    """What the select step keeps: the shares of the strategies, and what each alone would have asked about."""
    return {
        "shares": {name: round(share, 4) for name, share in shares_of(split_before(work)).items()},
        "wanted": {one.interaction_id: [one.propensity, one.wanted] for one in chosen},
    }


def split_after(work: Turn, pairs: Sequence[Pair]) -> dict[str, float]:
    """The log-weights of the strategies after this spin's labels: what the champion had wrong and the candidate, before
    it learnt the label, has right, speaks for whoever wanted it."""
    before = split_before(work)
    kept = work.docs["select"].get("wanted", {})
    judged = [(kept[p.example.interaction_id], p) for p in pairs if p.example.interaction_id in kept]
    if not judged or not work.shop.config.curate.learned_split:
        return before
    mended = [float(pair.candidate_right) - float(pair.champion_right) for _, pair in judged]
    return learn_split(before, [wanted for (_, wanted), _ in judged], [p for (p, _), _ in judged], mended)
