"""The cheaper habits: every arm but the flywheel. All use the product's own learner on the same labels' worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from flywheelbench.referee import key
from flywheelbench.world import Request, World

from flywheel import plugins
from flywheel.config import GateSettings
from flywheel.ports import Model, Predictions
from flywheel.prove import agreement, compare_latency, crossfit, gate, pairs, placebo
from flywheel.prove.folds import Answer, crossfit_fresh
from flywheel.prove.tasks import Classification
from flywheel.records import Dataset, Example

__all__ = ["HABITS", "Shared", "Window"]

FOLDS = 5
_Float = np.ndarray[Any, Any]


@dataclass
class Shared:
    """What all arms of one world have in common: the learner, the seed model, and features to tell inputs apart."""

    world: World
    seed: int

    @cached_property
    def trainer(self) -> Any:
        """The product's own for this kind of input."""
        return plugins.create("trainers", self.world.kind, task="classification")

    @cached_property
    def seed_examples(self) -> tuple[Example, ...]:
        """Grouped and folded as the product does it: near-duplicates share a fold."""
        from flywheel.config import CurateSettings
        from flywheel.curate import assign_groups

        rows = zip(self.world.seed_inputs, self.world.seed_labels, strict=True)
        made = [Example(id=f"seed-{i}", input=x, label=y, origin="seed") for i, (x, y) in enumerate(rows)]
        return tuple(assign_groups(made, [], CurateSettings()))

    @cached_property
    def seed_model(self) -> Model:
        """What every arm starts with."""
        return self.fit(self.seed_examples)

    def fit(self, examples: Sequence[Example]) -> Model:
        """Train on examples."""
        return self.trainer.fit(Dataset(hash="", examples=tuple(examples)), seed=self.seed)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {request.id: row for row, request in enumerate(self._all)}

    @cached_property
    def _all(self) -> list[Request]:
        return [request for spin in self.world.spins for request in spin]

    @cached_property
    def _vectors(self) -> tuple[_Float, _Float]:
        """Unit vectors of all traffic and of the seed inputs, made without labels."""
        inputs = [request.input for request in self._all] + list(self.world.seed_inputs)
        made = _features(inputs, self.world.kind)
        return made[: len(self._all)], made[len(self._all) :]

    def vectors(self, requests: Sequence[Request]) -> _Float:
        """One unit vector a request."""
        return self._vectors[0][[self._places[request.id] for request in requests]]

    @property
    def seed_vectors(self) -> _Float:
        """One unit vector a seed example."""
        return self._vectors[1]


def _features(inputs: Sequence[Any], kind: str) -> _Float:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.preprocessing import MaxAbsScaler, normalize

    if kind == "text":
        counts = HashingVectorizer(n_features=2**15, analyzer="char_wb", ngram_range=(2, 4), norm=None)
        sparse = TfidfTransformer(sublinear_tf=False).fit_transform(abs(counts.transform(inputs)))
        dense = TruncatedSVD(96, random_state=0).fit_transform(sparse)
    elif kind == "tabular":
        dense = MaxAbsScaler().fit_transform(DictVectorizer(sparse=False).fit_transform(inputs))
    else:
        dense = np.asarray(inputs, dtype=np.float32)
        dense = dense - dense.mean(axis=0)
    return np.asarray(normalize(dense), dtype=np.float32)


@dataclass
class Window:
    """One spin as an arm sees it: the requests, the champion's answers, and what users said by the end of it."""

    number: int
    requests: Sequence[Request]
    said: Predictions
    feedback: Sequence[dict[str, Any]]
    rng: np.random.Generator
    shared: Shared
    known: Sequence[Request] = field(default_factory=list)
    """Requests that were labelled in earlier spins."""

    @cached_property
    def shares(self) -> _Float:
        """Class probabilities, a row a request."""
        if self.said.scores is not None:
            return np.clip(np.asarray(self.said.scores, dtype=np.float64), 1e-9, 1.0)
        sure = np.asarray(self.said.confidence, dtype=np.float64)
        return np.column_stack([sure, 1 - sure])

    @cached_property
    def margins(self) -> _Float:
        """By how much the best class leads the next."""
        top = np.partition(self.shares, -2, axis=1)
        return np.asarray(top[:, -1] - top[:, -2])

    @cached_property
    def reported(self) -> list[int]:
        """Rows that users complained about, in the order in which it arrived."""
        place = {request.id: row for row, request in enumerate(self.requests)}
        bad = [f["interaction_id"] for f in self.feedback if _complaint(f)]
        return list(dict.fromkeys(place[i] for i in bad if i in place))

    @cached_property
    def retried(self) -> list[int]:
        """Rows whose user tried again, in the order of the requests."""
        again = {f["interaction_id"] for f in self.feedback if f.get("outcome", {}).get("retry")}
        return [row for row, request in enumerate(self.requests) if request.id in again]


def _complaint(feedback: dict[str, Any]) -> bool:
    return feedback.get("rating", 0) < 0 or "label" in feedback or "report" in feedback


def _random(window: Window, budget: int) -> list[int]:
    return window.rng.permutation(len(window.requests))[:budget].tolist()


def _margin(window: Window, budget: int) -> list[int]:
    return np.argsort(window.margins, kind="stable")[:budget].tolist()


def _badge(window: Window, budget: int) -> list[int]:
    """BADGE (Ash et al. 2020): k-means++ on the gradients of the last layer, (p - e_top) ⊗ x, never written out."""
    p = window.shares / window.shares.sum(axis=1, keepdims=True)
    outer = p.copy()
    outer[np.arange(len(p)), p.argmax(axis=1)] -= 1.0
    x = window.shared.vectors(window.requests)
    norms = (outer**2).sum(axis=1) * (x**2).sum(axis=1)
    chosen = [int(norms.argmax())]
    near = np.full(len(p), np.inf)
    while len(chosen) < min(budget, len(p)):
        last = chosen[-1]
        inner = (outer @ outer[last]) * (x @ x[last])
        near = np.minimum(near, np.maximum(norms + norms[last] - 2 * inner, 0.0))
        near[chosen] = 0.0
        total = near.sum()
        if total <= 0:
            break
        chosen.append(int(window.rng.choice(len(p), p=near / total)))
    return chosen


def _coreset(window: Window, budget: int) -> list[int]:
    """Greedy k-center (Sener and Savarese 2018): the request farthest from everything labelled, again and again."""
    x = window.shared.vectors(window.requests)
    base = np.vstack([window.shared.seed_vectors, window.shared.vectors(window.known)])
    near = np.full(len(x), np.inf)
    for start in range(0, len(base), 1024):
        part = base[start : start + 1024]
        near = np.minimum(near, (2.0 - 2.0 * (x @ part.T)).min(axis=1))
    chosen: list[int] = []
    for _ in range(min(budget, len(x))):
        row = int(near.argmax())
        chosen.append(row)
        near = np.minimum(near, 2.0 - 2.0 * (x @ x[row]))
        near[row] = -1.0
    return chosen


def _suspected(window: Window, budget: int) -> list[int]:
    """What was complained about, then what the model was least sure of."""
    sure = window.said.confidence
    order = np.argsort(np.asarray(sure), kind="stable").tolist()
    return list(dict.fromkeys([*window.reported, *order]))[:budget]


def _reported_then_margin(window: Window, budget: int) -> list[int]:
    return list(dict.fromkeys([*window.reported, *_margin(window, len(window.requests))]))[:budget]


def _signalled_then_margin(window: Window, budget: int) -> list[int]:
    return list(dict.fromkeys([*window.reported, *window.retried, *_margin(window, len(window.requests))]))[:budget]


def _nobody(window: Window, budget: int) -> list[int]:
    return []


def _everybody(window: Window, budget: int) -> list[int]:
    return list(range(len(window.requests)))


@dataclass(frozen=True)
class Habit:
    """One way to spend a label budget."""

    choose: Callable[[Window, int], list[int]]
    gated: bool = False
    only_failures: bool = False
    """Trains on those labels alone that show a failure."""
    feedback_labels: bool = False
    """Believes users who name the right answer; asks nobody."""
    on_drift: bool = False
    """Asks only when confidence moves; what it did not spend it may spend then."""
    oracle: bool = False
    rounds: int = 1
    """Buys its labels in so many parts; a model that has learnt the earlier ones chooses the next."""


HABITS = {
    "frozen": Habit(_nobody),
    "random": Habit(_random),
    "margin": Habit(_margin),
    "margin in three rounds": Habit(_margin, rounds=3),
    "badge": Habit(_badge),
    "coreset": Habit(_coreset),
    "failures only": Habit(_suspected, only_failures=True),
    "reported then margin": Habit(_reported_then_margin),
    "reported or retried then margin": Habit(_signalled_then_margin),
    "feedback as labels": Habit(_nobody, feedback_labels=True),
    "random on drift": Habit(_random, on_drift=True),
    "random + gate": Habit(_random, gated=True),
    "margin + gate": Habit(_margin, gated=True),
    "oracle": Habit(_everybody, oracle=True),
}


@dataclass
class Gatekeeper:
    """The product's gate around another arm's candidates."""

    shared: Shared
    looks: int = 0
    suite: dict[str, Answer] = field(default_factory=dict)
    trained: tuple[Example, ...] = ()

    def allows(self, champion: Model, candidate: Model, examples: Sequence[Example], seed: int) -> bool:
        """Ask the gate whether the candidate, trained on `examples`, may replace the champion."""
        trainer, task = self.shared.trainer, Classification()
        dataset = Dataset(hash="now", examples=tuple(examples))
        known = {example.id for example in self.trained}
        fresh = {example.id for example in examples if example.id not in known}
        rival = crossfit(trainer, dataset, seed=seed, folds=FOLDS)
        asked = [example for example in examples if example.id in fresh]
        from flywheel.prove import answers

        before = {**self.suite, **answers(champion, asked)}
        own = Dataset(hash="then", examples=self.trained)
        control = placebo(trainer, own, asked, seed=seed + 1)
        now = {**rival, **crossfit_fresh(trainer, dataset, fresh, seed=seed, folds=FOLDS)}
        found = pairs(examples, task=task, fresh=fresh, champion=before, candidate=now, placebo=control)
        self.looks += 1
        verdict = gate(
            found,
            settings=GateSettings(),
            protected=self.shared.world.protected,
            latency=compare_latency(champion, candidate, [e.input for e in examples]),
            look=self.looks,
            agreement=agreement(candidate, dataset, rival, task),
        )
        if verdict.decision == "promote":
            self.looks, self.suite, self.trained = 0, rival, tuple(examples)
        return bool(verdict.decision == "promote")

    def opens(self, examples: Sequence[Example], seed: int) -> None:
        """The first champion: what the suite is made of."""
        self.trained = tuple(examples)
        self.suite = crossfit(self.shared.trainer, Dataset(hash="seed", examples=self.trained), seed=seed, folds=FOLDS)


def moved(before: _Float, now: _Float) -> bool:
    """Has confidence moved? Kolmogorov-Smirnov at one in a hundred, as drift monitors do it."""
    from scipy.stats import ks_2samp

    return bool(ks_2samp(before, now).pvalue < 0.01)


def told_labels(feedback: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The right answers that users named, by interaction."""
    return {f["interaction_id"]: f["label"] for f in feedback if "label" in f}


def same(a: Any, b: Any) -> bool:
    """Are two labels one?"""
    return key(a) == key(b)
