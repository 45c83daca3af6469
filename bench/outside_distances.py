"""Would Mahalanobis distance help the text learner to tell what is out of scope?

Beside energy and margin, the two numbers that the learner's regression has (`flywheel.train.outside`), it is given the
distance to the nearest class under one shrunk covariance (Lee et al. 2018), or that less the distance under one class
for all (Ren et al. 2021), in the space of the classes' scores, held out, or of singular vectors of the n-grams.
CLINC150 of `FLYWHEEL_DATA`: 150 intents × 20 and 10, 50 or 100 cases of `oos`, asked the official test. Differences
are paired by seed, with 95 % t-intervals. `make bench-outside`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.covariance import ledoit_wolf
from sklearn.utils.extmath import randomized_svd
from text_learner import clinc, data, few

from flywheel.train import outside, text
from flywheel.train.confidence import softmax
from flywheel.train.threads import threads

Array = np.ndarray[Any, Any]
FIGURES = ("recall_at_90_in_scope", "outside_recall", "in_scope")


class Distances:
    """Class means and a covariance for all; and one mean and covariance as if there were one class."""

    def __init__(self, x: Array, y: Array) -> None:
        self.classes, place = np.unique(y, return_inverse=True)
        self.counts = np.bincount(place)
        means = np.array([x[place == c].mean(axis=0) for c in range(len(self.classes))])
        self.half = _whitening(x - means[place])
        self.means = means @ self.half
        self.middle = x.mean(axis=0)
        self.whole = _whitening(x - self.middle)

    def __call__(self, x: Array, y: Array | None = None) -> tuple[Array, Array]:
        """Distance to the nearest class, and the relative squared one. With `y` the rows are those learnt from, and
        each is held out of its own class's mean."""
        z = x @ self.half
        squares = np.maximum((z**2).sum(axis=1)[:, None] + (self.means**2).sum(axis=1) - 2 * z @ self.means.T, 0)
        for column, (name, count) in enumerate(zip(self.classes, self.counts, strict=True)):
            if y is not None and count > 1:
                squares[y == name, column] *= (count / (count - 1)) ** 2
        nearest = squares.min(axis=1)
        return np.sqrt(nearest), nearest - (((x - self.middle) @ self.whole) ** 2).sum(axis=1)


def _whitening(residuals: Array) -> Array:
    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    found: Array = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return found


def once(full: dict[str, list[tuple[str, str]]], labelled: int, seed: int) -> dict[str, dict[str, float]]:
    """What is added → its figures, for one model."""
    cases = [full["oos_train"][i] for i in np.random.default_rng(seed).permutation(100)[:labelled]]
    trainer = text.make_trainer()
    asked = full["test"] + full["oos_test"]
    texts, truth = [said for said, _ in asked], np.array([label for _, label in asked])
    with threads(1):
        model = trainer.fit(data(few(full["train"], 20, seed) + cases))
        assert trainer._last is not None
        lesson = trainer._last[1]
        y, weights = lesson.targets.y, lesson.targets.weights
        held = lesson.aims - lesson.solved.solution / np.diag(lesson.solved.inverse)[:, None]
        said = model.machine.scores(texts).astype(np.float64)
        known = outside.fit_outside(held, y, weights, None, outside.called_outside(model.labels), 20.0)
        column, own = known.column, y == known.column
        _, _, vectors = randomized_svd(lesson.solved.landmarks.rows, 128, n_iter=2, random_state=0)
        spaces = {
            "scores": (np.delete(held, column, axis=1), np.delete(said, column, axis=1)),
            "singular vectors": tuple(
                np.asarray(rows @ vectors.T, dtype=np.float64)
                for rows in (lesson.solved.landmarks.rows, model.machine.ngrams.transform(texts))
            ),
        }
    two = [outside._two(scores, column, known.temperature) for scores in (held, said)]
    added: dict[str, tuple[list[Array], list[Array]]] = {"nothing": ([two[0]], [two[1]])}
    for name, (learnt, new) in spaces.items():
        distances = Distances(learnt[~own], y[~own])
        for way, ours, theirs in zip(("plain", "relative"), distances(learnt, y), distances(new), strict=True):
            added[f"{way}, {name}"] = ([two[0], ours], [two[1], theirs])
    inside = softmax(spaces["scores"][1] * known.temperature)
    found = {}
    for name, (ours, theirs) in added.items():
        line = _line(np.column_stack(ours), np.column_stack(theirs), own, known.balanced(y, weights))
        share = 1 / (1 + np.exp(-line))
        best = np.insert(inside * (1 - share)[:, None], column, share, axis=1).argmax(axis=1)
        right, strange = np.array(model.labels)[best] == truth, truth == model.labels[column]
        seen = (line[strange] > np.quantile(line[~strange], 0.9)).mean(), right[strange].mean(), right[~strange].mean()
        found[name] = dict(zip(FIGURES, map(float, seen), strict=True))
    return found


def _line(ours: Array, theirs: Array, own: Array, weights: Array) -> Array:
    middle, spread = ours.mean(axis=0), np.maximum(ours.std(axis=0), 1e-9)
    by = outside._logistic((ours - middle) / spread, own, weights)
    found: Array = (theirs - middle) / spread @ by[:-1] + by[-1]
    return found


def difference(values: list[float]) -> str:
    """Mean and 95 % interval, in points."""
    points = 100 * np.asarray(values)
    half = (
        stats.t.ppf(0.975, len(points) - 1) * points.std(ddof=1) / np.sqrt(len(points)) if len(points) > 1 else np.nan
    )
    return f"{points.mean():+.2f} ({points.mean() - half:+.2f} to {points.mean() + half:+.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="5-12")
    parser.add_argument("--labelled", default="10,50,100")
    given = parser.parse_args()
    where = os.environ.get("FLYWHEEL_DATA")
    if not where:
        sys.exit("set FLYWHEEL_DATA to a folder with clinc150")
    low, _, high = given.seeds.partition("-")
    full = clinc(Path(where))
    for labelled in map(int, given.labelled.split(",")):
        made = [once(full, labelled, seed) for seed in range(int(low), int(high or low) + 1)]
        for name in made[0]:
            base = "nothing" if name != "nothing" else ""
            told = (
                f"{figure} {difference([one[name][figure] - (one[base][figure] if base else 0.0) for one in made])}"
                for figure in FIGURES
            )
            print(f"{labelled:>4} {name:<28}", *told, flush=True)


if __name__ == "__main__":
    main()
