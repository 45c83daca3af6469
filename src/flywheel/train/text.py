"""Text: word and character n-grams, one linear classifier a class."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from flywheel.errors import InvalidConfig
from flywheel.ports import Model, Predictions
from flywheel.records import Dataset
from flywheel.train import files
from flywheel.train.confidence import Confidence, fit_confidence
from flywheel.train.targets import TASKS, Targets, held_out, targets_of
from flywheel.train.threads import threads

__all__ = ["TextModel", "TextTrainer", "make_trainer", "text_of"]

_LARGE = 3000
"""From so many texts on, an n-gram must occur twice to count."""
_ROWS = 2048
"""Texts scored at a time."""
_SOLVER = Lock()
"""liblinear draws from one generator per process: two fits at a time would disturb each other's seeds."""
_EXPECTED = 4.0
"""The temperature factor that linear machines on short texts usually need."""


def make_trainer(task: str = "classification", penalty: float = 0.5) -> TextTrainer:
    """Make the `text` trainer. `penalty` is the inverse strength of the regularisation (C of the linear machine)."""
    if task not in TASKS:
        raise InvalidConfig(
            f"the text trainer learns {' or '.join(TASKS)}, not {task!r}. Give train.trainer one that can"
        )
    return TextTrainer(task, penalty)


def text_of(value: Any) -> str:
    """Read any input as text: a string itself; of a chat the last user turn; nothing for None; else its JSON.

    >>> text_of([{"role": "user", "content": "where is my card"}, {"role": "assistant", "content": "…"}])
    'where is my card'
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    turns = value.get("messages") if isinstance(value, dict) else value
    if isinstance(turns, list | tuple) and turns and all(isinstance(t, dict) and "content" in t for t in turns):
        asked = [t for t in turns if t.get("role") == "user"] or list(turns)
        return text_of(asked[-1]["content"])
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


class Ngrams:
    """TF-IDF over words 1-2 and, inside words, characters 2-4; each half normalised to length 1.

    Kept as plain vocabularies and weights, so that a stored model needs no estimator types.
    """

    def __init__(self, vocabularies: Sequence[Sequence[str]], weights: Sequence[NDArray[Any]]) -> None:
        self.parts: list[TfidfVectorizer] = []
        for make, terms, idf in zip(_ngrams(1), vocabularies, weights, strict=True):
            part = make(vocabulary={term: column for column, term in enumerate(terms)})
            if len(terms):
                part.idf_ = idf
            self.parts.append(part)
        self.sizes = [len(terms) for terms in vocabularies]

    @classmethod
    def learn(cls, texts: Sequence[str]) -> tuple[Ngrams, sparse.csr_matrix]:
        """Learn the n-grams of `texts` and return them as a sparse matrix as well."""
        vocabularies: list[list[str]] = []
        weights: list[NDArray[Any]] = []
        matrices: list[sparse.csr_matrix] = []
        for make in _ngrams(2 if len(texts) >= _LARGE else 1):
            part = make()
            try:
                matrices.append(part.fit_transform(texts))
            except ValueError:  # no text has a single word
                vocabularies.append([])
                weights.append(np.zeros(0))
                continue
            vocabularies.append(part.get_feature_names_out().tolist())
            weights.append(part.idf_)
        learnt = cls(vocabularies, weights)
        return learnt, sparse.hstack(matrices, format="csr") if matrices else sparse.csr_matrix((len(texts), 0))

    def transform(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Texts to rows of the sparse matrix."""
        matrices = [part.transform(texts) for part, size in zip(self.parts, self.sizes, strict=True) if size]
        return sparse.hstack(matrices, format="csr") if matrices else sparse.csr_matrix((len(texts), 0))

    def facts(self) -> tuple[list[list[str]], list[NDArray[Any]]]:
        """Vocabularies in column order, and weights."""
        terms = [
            sorted(p.vocabulary, key=p.vocabulary.__getitem__) if n else []
            for p, n in zip(self.parts, self.sizes, strict=True)
        ]
        return terms, [p.idf_ if n else np.zeros(0) for p, n in zip(self.parts, self.sizes, strict=True)]


def _ngrams(least: int) -> list[Callable[..., TfidfVectorizer]]:
    word = r"(?u)\b\w+\b"
    return [
        partial(
            TfidfVectorizer, ngram_range=(1, 2), token_pattern=word, sublinear_tf=True, min_df=least, dtype=np.float64
        ),
        partial(
            TfidfVectorizer, analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=least, dtype=np.float64
        ),
    ]


@dataclass(frozen=True, slots=True)
class TextModel:
    """Linear scores over n-grams. Every input can be read as text (see `text_of`), so no input is an error.

    A text without any known n-gram gets what the offsets say: in practice the most frequent classes, with low
    confidence.
    """

    ngrams: Ngrams
    weights: NDArray[Any]
    offset: NDArray[Any]
    labels: tuple[Any, ...]
    confidence: Confidence

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch; time grows with the number of characters."""
        raw = np.empty((len(inputs), len(self.offset)), dtype=np.float64)
        for start in range(0, len(inputs), _ROWS):
            texts = [text_of(value) for value in inputs[start : start + _ROWS]]
            raw[start : start + len(texts)] = self.ngrams.transform(texts) @ self.weights + self.offset
        if not self.labels:
            return Predictions([float(value) for value in raw[:, 0]])
        return self.confidence.answer(self.confidence.shares(raw), self.labels)


class TextTrainer:
    """Learns from strings and chats: TF-IDF n-grams and a linear support vector machine a class (ridge for a
    regression).

    Confidence is calibrated by a second, looser fit without a held-out part (below 3,000 examples: three, in turns).
    """

    name = "text"

    def __init__(self, task: str = "classification", penalty: float = 0.5) -> None:
        self.task = task
        self.penalty = penalty

    def fit(self, dataset: Dataset, base: Model | None = None, seed: int = 0) -> TextModel:
        """Learn from a dataset; `base` is not used (the problem is convex). The seed orders the solver's passes."""
        targets = targets_of(dataset, self.task)
        ngrams, x = Ngrams.learn([text_of(e.input) for e in dataset.examples])
        if self.task == "regression":
            centre = float(np.average(targets.y, weights=targets.weights))
            ridge = Ridge(alpha=1.0, solver="lsqr", fit_intercept=False)
            weights = np.zeros((x.shape[1], 1))
            if x.shape[1]:
                weights[:, 0] = ridge.fit(x, targets.y - centre, sample_weight=targets.weights).coef_
            return TextModel(ngrams, weights, np.array([centre]), (), Confidence())
        if len(targets.labels) == 1 or x.shape[1] == 0:
            none = np.zeros((x.shape[1], len(targets.labels)))
            return TextModel(ngrams, none, np.log(targets.prior), targets.labels, Confidence())
        with threads(1):
            weights, offset = self._machine(x, targets, np.ones(len(targets.y), dtype=bool), seed, 0.03)
            confidence = self._confidence(x, targets, seed)
        return TextModel(ngrams, weights.astype(np.float32), offset, targets.labels, confidence)

    def _confidence(self, x: sparse.csr_matrix, targets: Targets, seed: int) -> Confidence:
        """Fit on part of the examples, and the confidence on the rest: three parts in turn when they are few."""
        few = len(targets.y) < _LARGE
        parts = 5
        scores, rows = [], []
        for turn in range(3 if few else 1):
            away = held_out(targets.groups, parts, turn)
            kept = ~away
            if not away.any() or len(set(targets.y[kept].tolist())) < 2:
                continue
            weights, offset = self._machine(x, targets, kept, seed, 0.3)
            scores.append(x[away] @ weights + offset)
            rows.append(np.flatnonzero(away))
        if not rows:
            return Confidence(_EXPECTED)
        chosen = np.concatenate(rows)
        return fit_confidence(np.vstack(scores), targets.y[chosen], targets.weights[chosen], expected=_EXPECTED)

    def _machine(
        self, x: sparse.csr_matrix, targets: Targets, rows: NDArray[np.bool_], seed: int, tolerance: float
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weights (features × classes) and offsets of a fit on `rows`; a class without rows scores as surely not."""
        machine = LinearSVC(C=self.penalty, tol=tolerance, random_state=seed)
        with _SOLVER:
            machine.fit(x[rows], targets.y[rows], sample_weight=targets.weights[rows])
        found, sides, classes = machine.coef_, machine.intercept_, machine.classes_
        if len(classes) == 2:
            found, sides = np.vstack([-found, found]), np.concatenate([-sides, sides])
        weights = np.zeros((x.shape[1], len(targets.labels)))
        offset = np.full(len(targets.labels), -1.0)
        weights[:, classes] = found.T
        offset[classes] = sides
        return weights, offset

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.json` (labels and vocabularies) and `model.skops` (arrays)."""
        if not isinstance(model, TextModel):
            raise InvalidConfig(
                f"the text trainer cannot save a {type(model).__name__}; save it with the trainer that made it"
            )
        terms, idf = model.ngrams.facts()
        facts = {"labels": list(model.labels), "confidence": model.confidence.facts(), "terms": terms}
        parts = {"weights": model.weights, "offset": model.offset, "words": idf[0], "characters": idf[1]}
        files.write(folder, self.name, facts, parts)

    def load(self, folder: Path) -> TextModel:
        """Bring back what `save` wrote: arrays only, no other type is trusted."""
        facts, parts = files.read(folder, self.name)
        ngrams = Ngrams(facts["terms"], [parts["words"], parts["characters"]])
        return TextModel(
            ngrams, parts["weights"], parts["offset"], tuple(facts["labels"]), Confidence(*facts["confidence"])
        )
