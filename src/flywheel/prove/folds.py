"""Cross-fitted answers: every label trains and tests, and no model is tested on what it saw."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flywheel.errors import NothingToLearn
from flywheel.ports import Model, Progress, Trainer
from flywheel.records import Dataset, Example

__all__ = ["Answer", "answers", "crossfit", "placebo"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about one example."""

    output: Any
    confidence: float | None = None


def crossfit(
    trainer: Trainer,
    dataset: Dataset,
    *,
    base: Model | None = None,
    base_saw: Collection[str] = (),
    seed: int = 0,
    folds: int = 5,
    progress: Progress | None = None,
) -> dict[str, Answer]:
    """Answer every example by a model that never saw its fold or its group of near-duplicates; `folds` fits.

    Synthetic examples train but are never answered: they must not enter an evaluation. A trainer that goes on from
    `base` would carry over what the base has seen, so examples in `base_saw` (ids) are answered by a fit without it;
    that doubles the fits where there are such examples. Raises `NothingToLearn` when all examples share one fold.
    """
    tested = [e for e in dataset.examples if e.origin != "synthetic"]
    found: dict[str, Answer] = {}
    parts = _parts(tested, folds)
    if len(parts) < 2 and tested:
        raise NothingToLearn(
            f"all {len(tested)} examples lie in one fold, so none can be held out. "
            f"Label more, or set curate.folds higher"
        )
    saw = frozenset(base_saw) if base is not None else frozenset()
    for done, (part, held) in enumerate(parts):
        rest = _without(dataset, held, part, folds)
        if not rest.examples:
            raise NothingToLearn(f"fold {part} holds every example there is. Label more examples that are not alike")
        for warm, asked in (
            (base, [e for e in held if e.id not in saw]),
            (None, [e for e in held if e.id in saw]),
        ):
            if asked:
                found.update(answers(trainer.fit(rest, warm, seed), asked))
        if progress is not None:
            progress("replay", (done + 1) / len(parts))
    return {e.id: found[e.id] for e in tested}


def placebo(
    trainer: Trainer,
    dataset: Dataset,
    fresh: Sequence[Example],
    *,
    seed: int,
    folds: int = 5,
    matched: bool = True,
) -> dict[str, Answer]:
    """Answer the fresh examples by the candidate's learner trained again *without* the fresh labels.

    `dataset` is the champion's own, `seed` must differ from the candidate's. The gate asks the candidate to beat this
    model as well as the champion (why: `flywheel.prove.judging`). `matched` leaves out of the champion's data the fold
    that the candidate's model for that example had to do without, at `folds` fits instead of one; then new labels and
    seed are the only differences. Fresh examples that are already in `dataset` are never shown to their own model.
    """
    asked = [e for e in fresh if e.origin != "synthetic"]
    known = {e.id for e in asked}
    own = replace(dataset, examples=tuple(e for e in dataset.examples if e.id not in known))
    if not asked:
        return {}
    if not own.examples:
        raise NothingToLearn(
            "the champion's dataset has no examples beside the fresh ones, so there is no placebo to train"
        )
    found: dict[str, Answer] = {}
    turns: list[tuple[int | None, list[Example]]] = [*_parts(asked, folds)] if matched else [(None, asked)]
    for part, held in turns:
        rest = _without(own, held, part, folds)
        found.update(answers(trainer.fit(rest if rest.examples else own, None, seed), held))
    return found


def answers(model: Model, examples: Sequence[Example]) -> dict[str, Answer]:
    """Ask a model about examples; example id → answer."""
    said = model.predict([e.input for e in examples])
    sure = [None] * len(examples) if said.confidence is None else [float(c) for c in said.confidence]
    return {e.id: Answer(output, c) for e, output, c in zip(examples, said.outputs, sure, strict=True)}


def _parts(examples: Iterable[Example], folds: int) -> list[tuple[int, list[Example]]]:
    parts: dict[int, list[Example]] = {}
    for example in examples:
        parts.setdefault(example.fold % max(folds, 2), []).append(example)
    return sorted(parts.items())


def _without(dataset: Dataset, held: Sequence[Example], part: int | None, folds: int) -> Dataset:
    """The dataset less a fold and less whatever shares a group with it, under a hash of its own."""
    ids = {e.id for e in held}
    groups = {e.group for e in held if e.group}
    kept = tuple(
        e
        for e in dataset.examples
        if e.id not in ids and e.group not in groups and (part is None or e.fold % max(folds, 2) != part)
    )
    name = hashlib.sha256(f"{dataset.hash} without fold {part}".encode()).hexdigest()
    return replace(dataset, hash=name, examples=kept, parent=dataset.hash)
