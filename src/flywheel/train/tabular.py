"""Dicts and mixed lists: gradient boosting with native missing values and categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from flywheel.errors import InvalidConfig
from flywheel.ports import Model, Predictions
from flywheel.records import Dataset
from flywheel.train import columns, files
from flywheel.train.confidence import Confidence, fit_confidence
from flywheel.train.targets import TASKS, Targets, held_out, targets_of
from flywheel.train.threads import threads

__all__ = ["TRUSTED", "TabularModel", "TabularTrainer", "make_trainer"]

TRUSTED = (
    "numpy.dtype",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""The only types a stored tabular model may ask for beyond what skops itself trusts."""


def make_trainer(task: str = "classification", trees: int = 120) -> TabularTrainer:
    """Make the `tabular` trainer. `trees` is the most boosting rounds there may be (fewer with many classes)."""
    if task not in TASKS:
        raise InvalidConfig(
            f"the tabular trainer learns {' or '.join(TASKS)}, not {task!r}. Give train.trainer one that can"
        )
    return TabularTrainer(task, trees)


@dataclass(frozen=True, slots=True)
class TabularModel:
    """Boosted trees over named columns.

    No input is an error: a missing key, an unknown category or an input that is no dict or list counts as missing, and
    keys that training never saw are ignored. With a single class in the data there are no trees, only that class.
    """

    columns: columns.Columns
    trees: HistGradientBoostingClassifier | HistGradientBoostingRegressor | None
    labels: tuple[Any, ...]
    constant: float
    confidence: Confidence

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch; O(n · trees · classes)."""
        n = len(inputs)
        if not self.labels:
            if self.trees is None or n == 0:
                return Predictions([self.constant] * n)
            with threads(_threads(n)):
                return Predictions([float(v) for v in self.trees.predict(self.columns.matrix(inputs))])
        if self.trees is None or n == 0:
            return self.confidence.answer(np.ones((n, len(self.labels))) / len(self.labels), self.labels)
        with threads(_threads(n)):
            raw = self.trees.decision_function(self.columns.matrix(inputs))
            raw = _wide(raw, self.trees.classes_, len(self.labels))
        return self.confidence.answer(self.confidence.shares(raw), self.labels)


class TabularTrainer:
    """Learns from dicts of features, nested ones too, and from lists of mixed values.

    Ke et al. 2017 (LightGBM) as scikit-learn's histogram gradient boosting. One more fit without a held-out part (a
    quarter of the groups; all of them in three turns below 300 examples) says after how many rounds to stop, and
    calibrates the confidence.
    """

    name = "tabular"

    def __init__(self, task: str = "classification", trees: int = 120) -> None:
        self.task = task
        self.trees = trees

    def fit(self, dataset: Dataset, base: Model | None = None, seed: int = 0) -> TabularModel:
        """Learn from a dataset; `base` is not used. O(rows · columns · trees · classes)."""
        targets = targets_of(dataset, self.task)
        inputs = [e.input for e in dataset.examples]
        found = columns.learn(inputs)
        x = found.matrix(inputs)
        constant = float(np.average(targets.y, weights=targets.weights)) if self.task == "regression" else 0.0
        if x.shape[1] == 0 or len(targets.y) < 2 or (self.task == "classification" and len(targets.labels) == 1):
            return TabularModel(found, None, targets.labels, constant, Confidence())
        with threads(_threads(len(x))):
            most = self._most(len(targets.labels))
            rounds, confidence = most, Confidence()
            if targets.labels:
                rounds, confidence = self._held_out(found, x, targets, most, seed)
            trees = self._boost(found, x, targets, np.ones(len(x), dtype=bool), rounds, seed)
        return TabularModel(found, trees, targets.labels, constant, confidence)

    def _most(self, classes: int) -> int:
        return self.trees if classes <= 4 else max(25, self.trees * 4 // classes)

    def _boost(
        self,
        found: columns.Columns,
        x: NDArray[Any],
        targets: Targets,
        rows: NDArray[np.bool_],
        rounds: int,
        seed: int,
    ) -> HistGradientBoostingClassifier | HistGradientBoostingRegressor:
        n, large = int(rows.sum()), len(x) >= 5000
        settings = {
            "max_iter": rounds,
            "learning_rate": 0.1 if self._most(len(targets.labels)) >= 100 else 0.15,
            "max_leaf_nodes": 31 if large else 15,
            "min_samples_leaf": max(2, min(20, n // 25)),
            "l2_regularization": 1.0,
            "categorical_features": [kind is not None for kind in found.categories],
            "early_stopping": False,
            "random_state": seed,
        }
        if targets.labels:  # rounds are chosen: many small trees on half of the columns, where data is scarce
            settings |= {"max_leaf_nodes": 15 if large else 8, "max_features": 0.5}
            if not large and len(targets.labels) <= 4:
                settings["learning_rate"] = 0.06
        kind = HistGradientBoostingRegressor if self.task == "regression" else HistGradientBoostingClassifier
        trees = kind(**settings).fit(x[rows], targets.y[rows], sample_weight=targets.weights[rows])
        if rows.all():
            # The codes are already 0..k-1 with categories first, so scikit-learn's own encoder is the identity.
            # Without it the stored model needs no function types to be trusted.
            trees._preprocessor = None
        return trees

    def _held_out(
        self, found: columns.Columns, x: NDArray[Any], targets: Targets, most: int, seed: int
    ) -> tuple[int, Confidence]:
        """The number of rounds with the least logarithmic loss on held-out rows, and the confidence there."""
        few, classes = len(x) < 300, len(targets.labels)
        parts = 3 if few else 4
        stages: list[Iterator[NDArray[np.float64]]] = []  # each gives the scores of its rows after every round
        rows: list[NDArray[np.int64]] = []
        for part in range(parts if few else 1):
            away = held_out(targets.groups, parts, part)
            if not away.any() or len(set(targets.y[~away].tolist())) < 2:
                continue
            trees = self._boost(found, x, targets, ~away, most, seed)
            stages.append(_stages(trees, x[away], classes))
            rows.append(np.flatnonzero(away))
        if not rows:
            return most, Confidence()
        chosen = np.concatenate(rows)
        y, weights = targets.y[chosen], targets.weights[chosen]
        least, rounds, best = np.inf, most, np.zeros((len(y), classes))
        for number, held in enumerate(zip(*stages, strict=True), start=1):
            scores = np.concatenate(held)
            loss = float(weights @ (logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]))
            if loss < least:
                least, rounds, best = loss, number, scores
        return rounds, fit_confidence(best, y, weights)

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.json` (labels, columns) and `model.skops` (trees)."""
        if not isinstance(model, TabularModel):
            raise InvalidConfig(
                f"the tabular trainer cannot save a {type(model).__name__}; save it with the trainer that made it"
            )
        facts = {
            "labels": list(model.labels), "names": list(model.columns.names), "constant": model.constant,
            "categories": [None if c is None else list(c) for c in model.columns.categories],
            "confidence": model.confidence.facts(),
        }  # fmt: skip
        files.write(folder, self.name, facts, {"trees": model.trees})

    def load(self, folder: Path) -> TabularModel:
        """Bring back what `save` wrote, trusting `TRUSTED` and nothing else."""
        facts, parts = files.read(folder, self.name, TRUSTED)
        found = columns.Columns(
            tuple(facts["names"]), tuple(None if c is None else tuple(c) for c in facts["categories"])
        )
        confidence = Confidence(*facts["confidence"])
        return TabularModel(found, parts["trees"], tuple(facts["labels"]), facts["constant"], confidence)


def _stages(trees: HistGradientBoostingClassifier, x: NDArray[Any], classes: int) -> Iterator[NDArray[np.float64]]:
    for raw in trees.staged_decision_function(x):
        yield _wide(raw, trees.classes_, classes)


def _wide(raw: NDArray[Any], known: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Raw scores as n × classes; a class the trees never saw is surely not it."""
    if raw.ndim == 1:
        raw = np.column_stack([-raw / 2, raw / 2])
    out = np.full((len(raw), classes), -20.0 if len(known) < classes else 0.0)
    out[:, known] = raw
    return out


def _threads(rows: int) -> int | None:
    """Threads only pay on many rows; None takes all there are."""
    return 1 if rows < 20_000 else None
