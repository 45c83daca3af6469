"""Text: word and character n-grams, and a kernel machine that is solved once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import CorruptStore, InvalidConfig
from flywheel.ports import Embedder, Model, Predictions
from flywheel.records import Dataset, Example
from flywheel.train import files
from flywheel.train.embedders import Remembered
from flywheel.train.ngrams import Ngrams
from flywheel.train.targets import TASKS, Targets, label_key, targets_of
from flywheel.train.text_certainty import Certainty, fit_certainty
from flywheel.train.text_linear import LinearMachine, fit_linear
from flywheel.train.text_machine import EXACT, Solved, TextMachine, solve
from flywheel.train.text_reading import text_of
from flywheel.train.threads import threads

__all__ = ["TextModel", "TextTrainer", "make_trainer", "text_of"]

_CALIBRATION = 1500
"""Certainty is fitted on about so many held-out answers."""


def make_trainer(
    task: str = "classification", outside: str = "", embedder: Embedder | None = None, share: float = 0.7
) -> TextTrainer:
    """Make the `text` trainer, for a classification or a regression.

    `outside` is the label that stands for "none of these"; left empty, such a class is found where there is one (see
    `flywheel.train.outside`). With an `embedder`, `share` of the likeness of two texts comes from its vectors, the rest
    from n-grams; 1 is the vectors alone.
    """
    if task not in TASKS:
        raise InvalidConfig(
            f"the text trainer learns {' or '.join(TASKS)}, not {task!r}. Give train.trainer one that can"
        )
    if not 0 < share <= 1:
        raise InvalidConfig(f"share is {share}; the share of the embedder's vectors lies above 0 and is at most 1")
    return TextTrainer(task, outside, embedder, share)


@dataclass(frozen=True, slots=True)
class TextModel:
    """Scores by likeness to texts it knows. Every input can be read as text (see `text_of`), so no input is an error.

    A text without any known n-gram is like nothing: it gets the most frequent class with low confidence.
    """

    machine: TextMachine | LinearMachine
    labels: tuple[Any, ...]
    certainty: Certainty

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch; time grows with the number of characters, and with the number of texts learnt from."""
        with threads(1):
            return _said(self.machine.scores([text_of(value) for value in inputs]), self.labels, self.certainty)

    def unlike(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """The probability, 0 to 1, that each input belongs to none of the classes that were taught."""
        with threads(1):
            scores = self.machine.scores([text_of(value) for value in inputs])
        column = self.certainty.outside.column
        return self.certainty.unlike(scores) if column < 0 else self.certainty.shares(scores)[:, column]


def _said(scores: NDArray[Any], labels: tuple[Any, ...], certainty: Certainty) -> Predictions:
    if not labels:
        return Predictions([float(f"{value:.10g}") for value in scores[:, 0]])  # alone as in a batch, to the last digit
    return certainty.answer(scores, labels)


class TextTrainer:
    """Learns from strings and chats; see `flywheel.train.text_machine` for the method.

    Certainty is calibrated on what the machine would have said of each text without it and its near-duplicates.
    """

    name = "text"

    def __init__(
        self, task: str = "classification", outside: str = "", embedder: Embedder | None = None, share: float = 0.7
    ) -> None:
        self.task = task
        self.outside = outside
        self.blank = Ngrams() if embedder is None else Ngrams(embedder=_remembered(embedder), share=share)
        self._last: tuple[str, _Lesson] | None = None

    def fit(self, dataset: Dataset, base: Model | None = None, seed: int = 0) -> TextModel:
        """Learn from a dataset; `base` is not used (the problem has one solution). Above 5,000 texts the seed orders
        the solver's passes."""
        with threads(1):
            targets = targets_of(dataset, self.task)
            if len(targets.y) > EXACT:
                texts = [text_of(e.input) for e in dataset.examples]
                linear, certainty = fit_linear(self.blank, texts, targets, seed, self.outside)
                return TextModel(linear, targets.labels, certainty)
            lesson = self._lesson(dataset, targets)
            weights, offset, labels, certainty = lesson.without(frozenset())
        exact = lesson.solved.landmarks.rows.dtype  # float32 for scores of classes, float64 for numbers
        machine = TextMachine(lesson.solved.landmarks, weights.astype(exact), offset.astype(exact))
        return TextModel(machine, labels, certainty)

    def crossfit(
        self, dataset: Dataset, turns: Sequence[tuple[Collection[str], Sequence[Example]]], *, seed: int = 0
    ) -> list[Predictions] | None:
        """Answer each turn, `(ids left out, examples asked)`, as a fit without those examples would: by unlearning
        them from the one solution. None when a turn leaves nothing to learn from, and above 5,000 texts."""
        with threads(1):
            targets = targets_of(dataset, self.task)
            if len(targets.y) > EXACT:
                return None
            lesson = self._lesson(dataset, targets)
            if any(not lesson.remains(gone) for gone, _ in turns):
                return None
            said = []
            for gone, asked in turns:
                weights, offset, labels, certainty = lesson.without(gone)
                said.append(_said(lesson.kernel(asked) @ weights + offset, labels, certainty))
        return said

    def _lesson(self, dataset: Dataset, targets: Targets) -> _Lesson:
        """The solution for a dataset; the last one is kept, since a fit and its cross-fit follow each other."""
        texts = [text_of(e.input) for e in dataset.examples]
        ids = [e.id for e in dataset.examples]
        told = (self.task, ids, texts, [label_key(e.label) for e in dataset.examples])
        key = hashlib.sha256(repr((*told, targets.weights.tolist(), targets.groups)).encode()).hexdigest()
        last = self._last
        if last is None or last[0] != key:
            last = (key, _Lesson(self.blank, ids, texts, targets, self.outside))
            self._last = last
        return last[1]

    def save(self, model: Model, folder: Path) -> None:
        """Write `model.json` (labels) and `model.skops` (arrays)."""
        if not isinstance(model, TextModel):
            raise InvalidConfig(
                f"the text trainer cannot save a {type(model).__name__}; save it with the trainer that made it"
            )
        form, parts = model.machine.parts()
        facts: dict[str, Any] = {"labels": list(model.labels), "certainty": model.certainty.facts(), "form": form}
        embedder = model.machine.ngrams.embedder
        if embedder is not None:
            facts |= {"embedder": embedder.name, "share": model.machine.ngrams.share}
        files.write(folder, self.name, facts, parts)

    def load(self, folder: Path) -> TextModel:
        """Bring back what `save` wrote: arrays only, no other type is trusted."""
        facts, parts = files.read(folder, self.name)
        forms: dict[Any, type[TextMachine] | type[LinearMachine]] = {
            "landmarks": TextMachine, "linear": LinearMachine,
        }  # fmt: skip
        form = facts.get("form")
        if form not in forms:
            raise CorruptStore(
                f"{folder} holds a text model of form {form!r}, and this version reads {' or '.join(forms)}. "
                f"Train it again"
            )
        made_with, ours = facts.get("embedder"), self.blank.embedder
        if made_with is not None and (ours is None or ours.name != made_with):
            raise InvalidConfig(
                f"the model in {folder} reads texts with the embedder {made_with!r}, and this trainer has "
                f"{ours.name if ours else 'none'}. Set train.embedder to {made_with!r} with its folder"
            )
        ngrams = Ngrams(embedder=ours, share=facts["share"]) if made_with is not None else Ngrams()
        return TextModel(forms[form].of(parts, ngrams), tuple(facts["labels"]), Certainty.of(facts["certainty"]))


def _remembered(embedder: Embedder) -> Remembered:
    return embedder if isinstance(embedder, Remembered) else Remembered(embedder)


class _Lesson:
    """A dataset, solved; and what remains of it without some examples."""

    def __init__(self, blank: Ngrams, ids: Sequence[str], texts: Sequence[str], targets: Targets, outside: str) -> None:
        self.row = {name: row for row, name in enumerate(ids)}
        self.texts = texts
        self.targets = targets
        self.outside = outside
        self.aims = (
            (targets.y[:, None] == np.arange(len(targets.labels))).astype(np.float64)
            if targets.labels
            else np.column_stack([targets.y, np.ones(len(targets.y))])
        )
        self.solved: Solved = solve(blank, texts, self.aims, targets.weights, exact=not targets.labels)
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

    def without(self, gone: Collection[str]) -> tuple[NDArray[Any], NDArray[Any], tuple[Any, ...], Certainty]:
        """Landmarks' weights, offset, labels and confidence of a machine that has not seen the examples `gone`."""
        kept = self._kept(gone)
        groups = [rows[kept[rows]] for rows in self.groups]
        groups = [rows for rows in groups if len(rows)]
        away = np.flatnonzero(~kept)
        t = self.targets
        if not t.labels:
            solution, _ = self.solved.without(away, [])
            mean = float(np.average(t.y[kept], weights=t.weights[kept]))
            return solution[:, :1] - mean * solution[:, 1:], np.array([mean]), (), Certainty()
        seen = np.flatnonzero(np.bincount(t.y[kept], weights=t.weights[kept], minlength=len(t.labels)) > 0)
        labels = tuple(t.labels[i] for i in seen)
        place = np.full(len(t.labels), -1)
        place[seen] = np.arange(len(seen))
        classes = [np.flatnonzero(kept & (t.y == c)) for c in seen] if len(seen) > 2 else []
        solution, left_out = self.solved.without(away, [*groups, *classes])
        rows = np.concatenate(groups)
        strange = np.zeros((len(t.y), len(seen)))
        if classes:
            strange[np.concatenate(classes)] = left_out[len(rows) :, seen]
        known = place[t.y[rows]] >= 0
        rows, held_out = rows[known], left_out[: len(rows)][known][:, seen]
        certainty = fit_certainty(
            held_out, place[t.y[rows]], t.weights[rows], labels, strange[rows] if classes else None, self.outside
        )
        return solution[:, seen], np.zeros(len(seen)), labels, certainty

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
