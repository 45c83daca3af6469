"""Cross-fitted answers: every label trains and tests, and no model is tested on what it saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flywheel.errors import NothingToLearn
from flywheel.ports import Model, Predictions, Progress, Trainer
from flywheel.records import Dataset, Example

__all__ = ["Answer", "answers", "crossfit", "crossfit_fresh", "placebo"]

_OTHER_SEED = 7919  # far from the seeds of the next spins


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about one example."""

    output: Any
    confidence: float | None = None
    likelihood: float | None = None
    """The probability that the model gave to the example's label, 0 to 1; None where a model gives no probabilities."""
    again: tuple[float, ...] = ()
    """The same from further trainings with other seeds: what they differ by is the luck of a training."""


def crossfit(
    trainer: Trainer,
    dataset: Dataset,
    *,
    base: Model | None = None,
    base_saw: Collection[str] = (),
    seed: int = 0,
    folds: int = 5,
    parts: Collection[int] | None = None,
    progress: Progress | None = None,
) -> dict[str, Answer]:
    """Answer every example by a model that never saw its fold or its group of near-duplicates; `folds` fits.

    Synthetic examples train but are never answered: they must not enter an evaluation. A trainer that goes on from
    `base` would carry over what the base has seen, so examples in `base_saw` (ids) are answered by a fit without it;
    that doubles the fits where there are such examples. A trainer with a `crossfit` of its own (see
    `flywheel.ports.Trainer`) is asked for the answers instead of being made to fit again, where there is no base.
    With `parts`, a trainer that has to fit again does so for these folds alone, and only their examples are answered.
    Raises `NothingToLearn` when all examples share one fold.
    """
    tested = [e for e in dataset.examples if e.evidence]
    found: dict[str, Answer] = {}
    cut = _parts(tested, folds)
    if len(cut) < 2 and tested:
        raise NothingToLearn(
            f"all {len(tested)} examples lie in one fold, so none can be held out. "
            f"Label more, or set curate.folds higher"
        )
    for part, held in cut:
        if len(_left_out(dataset, held, part, folds)) == len({e.id for e in dataset.examples}):
            raise NothingToLearn(f"fold {part} holds every example there is. Label more examples that are not alike")
    if base is None:
        turns = [(_left_out(dataset, held, part, folds), held) for part, held in cut]
        known = _closed(trainer, dataset, turns, seed)
        if known is not None:
            if progress is not None:
                progress("replay", 1.0)
            return {e.id: known[e.id] for e in tested}
    saw = frozenset(base_saw) if base is not None else frozenset()
    fitted = [(part, held) for part, held in cut if parts is None or part in parts]
    for done, (part, held) in enumerate(fitted):
        rest = _without(dataset, _left_out(dataset, held, part, folds), f"fold {part}")
        for warm, asked in (
            (base, [e for e in held if e.id not in saw]),
            (None, [e for e in held if e.id in saw]),
        ):
            if asked:
                found.update(answers(trainer.fit(rest, warm, seed), asked))
        if progress is not None:
            progress("replay", (done + 1) / len(fitted))
    return {e.id: found[e.id] for e in tested if e.id in found}


def crossfit_fresh(
    trainer: Trainer, dataset: Dataset, fresh: Collection[str], *, seed: int = 0, folds: int = 5
) -> dict[str, Answer]:
    """Answer the examples that the champion has not learnt (`fresh`, by id) as the candidate would without them.

    A fit for each fold leaves out the fresh examples of that fold, and fresh ones in a group with them, and keeps all
    that the champion has learnt. So candidate, champion and `placebo` know the same old examples, near-duplicates of
    the one that is asked among them, and differ by the other fresh labels alone. (`crossfit` leaves out old
    near-duplicates too: a champion that knows them would seem the better one.) Every fold is trained by a seed of its
    own, so that the luck of one training is not taken for what the labels taught. A trainer with a `crossfit` of its
    own is asked for the answers.
    """
    new = [e for e in dataset.examples if e.id in fresh]
    turns: list[tuple[frozenset[str], list[Example]]] = []
    for part, held in _parts([e for e in new if e.evidence], folds):
        groups = {e.group for e in held if e.group}
        ids = frozenset(e.id for e in new if e.fold % max(folds, 2) == part or e.group in groups)
        turns.append((ids, held))
    if not turns:
        return {}
    known = _closed(trainer, dataset, turns, seed)
    if known is not None:
        return known
    found: dict[str, Answer] = {}
    for gone, held in turns:
        part = held[0].fold % max(folds, 2)
        rest = _without(dataset, gone, f"the fresh of fold {part}")
        found.update(answers(trainer.fit(rest, None, seed + _OTHER_SEED * (part + 1)), held))
    return found


def placebo(
    trainer: Trainer, dataset: Dataset, fresh: Sequence[Example], *, seed: int, trainings: int = 4
) -> dict[str, Answer]:
    """Answer the fresh examples by the candidate's learner trained again *without* the fresh labels.

    `dataset` is the champion's own, `seed` must differ from the candidate's. The gate asks the candidate, as
    `crossfit_fresh` has it, to beat this model as well as the champion (why: `flywheel.prove.judging`). Fresh examples
    that are in `dataset` are never shown to it.

    Where the model gives probabilities it is trained up to `trainings` times, by as many seeds (`Answer.again`), so
    that the gate knows what luck alone makes of them; a learner that says the same twice has none, and is left at two.
    """
    asked = [e for e in fresh if e.evidence]
    if not asked:
        return {}
    own = _without(dataset, frozenset(e.id for e in asked), "the fresh")
    if not own.examples:
        raise NothingToLearn(
            "the champion's dataset has no examples beside the fresh ones, so there is no placebo to train"
        )
    first = answers(trainer.fit(own, None, seed), asked)
    if any(answer.likelihood is None for answer in first.values()):
        return first
    others: list[dict[str, Answer]] = []
    for number in range(1, trainings):
        others.append(answers(trainer.fit(own, None, seed + _OTHER_SEED * number), asked))
        if all(others[0][key].likelihood == answer.likelihood for key, answer in first.items()):
            break
    return {
        key: replace(answer, again=tuple(other[key].likelihood or 0.0 for other in others))
        for key, answer in first.items()
    }


def answers(model: Model, examples: Sequence[Example]) -> dict[str, Answer]:
    """Ask a model about examples; example id → answer."""
    return _told(model.predict([e.input for e in examples]), examples)


def _told(said: Predictions, examples: Sequence[Example]) -> dict[str, Answer]:
    sure = [None] * len(examples) if said.confidence is None else [float(c) for c in said.confidence]
    likely = _likelihoods(said, examples)
    rows = zip(examples, said.outputs, sure, likely, strict=True)
    return {e.id: Answer(output, confidence, given) for e, output, confidence, given in rows}


def _likelihoods(said: Predictions, examples: Sequence[Example]) -> list[float | None]:
    """The probability of each example's own label; a label that the model does not know has none."""
    if said.scores is None:
        return [None] * len(examples)
    places = {json.dumps(label, sort_keys=True): column for column, label in enumerate(said.labels)}
    columns = [places.get(json.dumps(e.label, sort_keys=True)) for e in examples]
    return [0.0 if c is None else round(float(said.scores[row, c]), 6) for row, c in enumerate(columns)]


def _closed(
    trainer: Trainer, dataset: Dataset, turns: Sequence[tuple[frozenset[str], list[Example]]], seed: int
) -> dict[str, Answer] | None:
    """The answers from the trainer's own `crossfit`; None where it has none, or none for this dataset."""
    crossfits = getattr(trainer, "crossfit", None)
    said = crossfits(dataset, turns, seed=seed) if callable(crossfits) else None
    if said is None:
        return None
    found: dict[str, Answer] = {}
    for (_, held), answered in zip(turns, said, strict=True):
        found.update(_told(answered, held))
    return found


def _parts(examples: Iterable[Example], folds: int) -> list[tuple[int, list[Example]]]:
    parts: dict[int, list[Example]] = {}
    for example in examples:
        parts.setdefault(example.fold % max(folds, 2), []).append(example)
    return sorted(parts.items())


def _left_out(dataset: Dataset, held: Sequence[Example], part: int, folds: int) -> frozenset[str]:
    """Ids of what a model must not see that answers `held`: their fold, and whatever shares a group with them."""
    ids = {e.id for e in held}
    groups = {e.group for e in held if e.group}
    return frozenset(
        e.id for e in dataset.examples if e.id in ids or e.group in groups or e.fold % max(folds, 2) == part
    )


def _without(dataset: Dataset, gone: frozenset[str], what: str) -> Dataset:
    """The dataset less these examples, under a hash of its own."""
    kept = tuple(e for e in dataset.examples if e.id not in gone)
    name = hashlib.sha256(f"{dataset.hash} without {what}".encode()).hexdigest()
    return replace(dataset, hash=name, examples=kept, parent=dataset.hash)
