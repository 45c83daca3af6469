"""Text: word and character n-grams, and a kernel machine that is solved once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from flywheel.errors import CorruptStore, InvalidConfig
from flywheel.ports import Model, Predictions
from flywheel.records import Dataset, Example
from flywheel.train import files
from flywheel.train.confidence import Confidence, fit_confidence
from flywheel.train.ngrams import Ngrams
from flywheel.train.targets import TASKS, Targets, label_key, targets_of
from flywheel.train.text_machine import Landmarks, Solved, TextMachine, solve
from flywheel.train.threads import threads

__all__ = ["TextModel", "TextTrainer", "make_trainer", "text_of"]

_CALIBRATION = 1500
"""Confidence is fitted on about so many held-out answers."""
_FORM = "landmarks"
_EXPECTED = 20.0
"""The temperature factor that least-squares scores of short texts usually need."""


def make_trainer(task: str = "classification") -> TextTrainer:
    """Make the `text` trainer, for a classification or a regression."""
    if task not in TASKS:
        raise InvalidConfig(
            f"the text trainer learns {' or '.join(TASKS)}, not {task!r}. Give train.trainer one that can"
        )
    return TextTrainer(task)


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


@dataclass(frozen=True, slots=True)
class TextModel:
    """Scores by likeness to texts it knows. Every input can be read as text (see `text_of`), so no input is an error.

    A text without any known n-gram is like nothing: it gets the most frequent class with low confidence.
    """

    machine: TextMachine
    labels: tuple[Any, ...]
    confidence: Confidence

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch; time grows with the number of characters, and with the number of texts learnt from."""
        with threads(1):
            return _said(self.machine.scores([text_of(value) for value in inputs]), self.labels, self.confidence)


def _said(scores: NDArray[Any], labels: tuple[Any, ...], confidence: Confidence) -> Predictions:
    if not labels:
        return Predictions([float(f"{value:.10g}") for value in scores[:, 0]])  # alone as in a batch, to the last digit
    return confidence.answer(confidence.shares(scores), labels)


class TextTrainer:
    """Learns from strings and chats; see `flywheel.train.text_machine` for the method.

    Confidence is calibrated on what the machine would have said of each text without it and its near-duplicates.
    """

    name = "text"

    def __init__(self, task: str = "classification") -> None:
        self.task = task
        self._last: tuple[str, _Lesson] | None = None

    def fit(self, dataset: Dataset, base: Model | None = None, seed: int = 0) -> TextModel:
        """Learn from a dataset; `base` is not used (the problem has one solution). Above 4,000 texts the seed chooses
        which of them the others are compared with."""
        with threads(1):
            lesson = self._lesson(dataset, seed)
            weights, offset, labels, confidence = lesson.without(frozenset())
        exact = lesson.solved.landmarks.rows.dtype  # float32 for scores of classes, float64 for numbers
        machine = TextMachine(lesson.solved.landmarks, weights.astype(exact), offset.astype(exact))
        return TextModel(machine, labels, confidence)

    def crossfit(
        self, dataset: Dataset, turns: Sequence[tuple[Collection[str], Sequence[Example]]], *, seed: int = 0
    ) -> list[Predictions] | None:
        """Answer each turn, `(ids left out, examples asked)`, as a fit without those examples would: by unlearning
        them from the one solution. None when a turn leaves nothing to learn from."""
        with threads(1):
            lesson = self._lesson(dataset, seed)
            if any(not lesson.remains(gone) for gone, _ in turns):
                return None
            said = []
            for gone, asked in turns:
                weights, offset, labels, confidence = lesson.without(gone)
                said.append(_said(lesson.kernel(asked) @ weights + offset, labels, confidence))
        return said

    def _lesson(self, dataset: Dataset, seed: int) -> _Lesson:
        """The solution for a dataset; the last one is kept, since a fit and its cross-fit follow each other."""
        targets = targets_of(dataset, self.task)
        texts = [text_of(e.input) for e in dataset.examples]
        told = (texts, [label_key(e.label) for e in dataset.examples], targets.weights.tolist(), targets.groups)
        key = hashlib.sha256(repr((self.task, seed, [e.id for e in dataset.examples], *told)).encode()).hexdigest()
        last = self._last
        if last is None or last[0] != key:
            last = (key, _Lesson([e.id for e in dataset.examples], texts, targets, seed))
            self._last = last
        return last[1]

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.json` (labels) and `model.skops` (arrays)."""
        if not isinstance(model, TextModel):
            raise InvalidConfig(
                f"the text trainer cannot save a {type(model).__name__}; save it with the trainer that made it"
            )
        rows = model.machine.landmarks.rows
        facts = {"labels": list(model.labels), "confidence": model.confidence.facts(), "form": _FORM}
        parts = {
            "weights": model.machine.weights, "offset": model.machine.offset,
            "keys": model.machine.landmarks.ngrams.keys,
            "data": rows.data, "indices": rows.indices.astype(np.int32), "indptr": rows.indptr.astype(np.int32),
        }  # fmt: skip
        files.write(folder, self.name, facts, parts)

    def load(self, folder: Path) -> TextModel:
        """Bring back what `save` wrote: arrays only, no other type is trusted."""
        facts, parts = files.read(folder, self.name)
        if facts.get("form") != _FORM:
            raise CorruptStore(
                f"{folder} holds a text model of form {facts.get('form')!r}, and this version reads {_FORM!r}. "
                f"Train it again"
            )
        keys = parts["keys"]
        rows = sparse.csr_matrix(
            (parts["data"], parts["indices"], parts["indptr"]), shape=(len(parts["indptr"]) - 1, len(keys))
        )
        machine = TextMachine(Landmarks(Ngrams(keys), rows), parts["weights"], parts["offset"])
        return TextModel(machine, tuple(facts["labels"]), Confidence(*facts["confidence"]))


class _Lesson:
    """A dataset, solved; and what remains of it without some examples."""

    def __init__(self, ids: Sequence[str], texts: Sequence[str], targets: Targets, seed: int) -> None:
        self.row = {name: row for row, name in enumerate(ids)}
        self.texts = texts
        self.targets = targets
        self.aims = (
            (targets.y[:, None] == np.arange(len(targets.labels))).astype(np.float64)
            if targets.labels
            else np.column_stack([targets.y, np.ones(len(targets.y))])
        )
        self.solved: Solved = solve(texts, self.aims, targets.weights, seed, exact=not targets.labels)
        numbers: dict[str, list[int]] = {}
        for row, group in enumerate(targets.groups):
            numbers.setdefault(group, []).append(row)
        self.groups = [np.array(rows) for rows in numbers.values()]

    def remains(self, gone: Collection[str]) -> bool:
        """Is there anything to learn from without these?"""
        return bool(self.targets.weights[self._kept(gone)].sum() > 0)

    def _kept(self, gone: Collection[str]) -> NDArray[np.bool_]:
        kept = np.ones(len(self.texts), dtype=bool)
        kept[[self.row[name] for name in gone if name in self.row]] = False
        return kept

    def without(self, gone: Collection[str]) -> tuple[NDArray[Any], NDArray[Any], tuple[Any, ...], Confidence]:
        """Landmarks' weights, offset, labels and confidence of a machine that has not seen the examples `gone`."""
        kept = self._kept(gone)
        groups = [rows[kept[rows]] for rows in self.groups]
        groups = [rows for rows in groups if len(rows)]
        step = max(1, int(kept.sum()) // _CALIBRATION)
        groups = groups[::step]
        away = np.flatnonzero(~kept)
        t = self.targets
        if not t.labels:
            solution, _ = self.solved.without(away, [])
            mean = float(np.average(t.y[kept], weights=t.weights[kept]))
            return solution[:, :1] - mean * solution[:, 1:], np.array([mean]), (), Confidence()
        seen = np.flatnonzero(np.bincount(t.y[kept], weights=t.weights[kept], minlength=len(t.labels)) > 0)
        labels = tuple(t.labels[i] for i in seen)
        solution, left_out = self.solved.without(away, groups)
        rows = np.concatenate(groups)
        place = np.full(len(t.labels), -1)
        place[seen] = np.arange(len(seen))
        confidence = fit_confidence(left_out[:, seen], place[t.y[rows]], t.weights[rows], expected=_EXPECTED)
        return solution[:, seen], np.zeros(len(seen)), labels, confidence

    def kernel(self, asked: Sequence[Example]) -> NDArray[Any]:
        """Likeness of examples to the landmarks: remembered for those in the dataset."""
        texts = [text_of(e.input) for e in asked]
        known = [self.row.get(e.id, -1) for e in asked]
        new = [i for i, row in enumerate(known) if row < 0 or self.texts[row] != texts[i]]
        out = self.solved.kernel[known]
        if new:
            landmarks = self.solved.landmarks
            out[new] = landmarks.kernel(landmarks.ngrams.transform([texts[i] for i in new]))
        return out
