"""The middle of a turn: labels come in, a dataset is built, a candidate is trained."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flywheel import curate, diagnose, prove
from flywheel.diagnose.told import told
from flywheel.errors import InvalidRecord, NothingToLearn
from flywheel.loop.believing import believed
from flywheel.loop.rounds import ask_next_round
from flywheel.loop.spreading import passed_on
from flywheel.loop.synthesise import augmented
from flywheel.loop.turn import Turn
from flywheel.ports import Model, Trainer
from flywheel.prove.folds import crossfit_fresh
from flywheel.records import Candidate, Dataset, Example, Feedback, ReviewItem, to_dict
from flywheel.store import Store

__all__ = ["log_labels", "record_label", "seed_examples", "step_curate", "step_label", "step_train", "withdraw_labels"]


NO_LABELS = (
    "there is no label yet, so there is nothing to train on. Give a few labelled examples with fw.seed(inputs, "
    "labels), or log interactions and spin with a label budget above 0"
)


_HANDFUL = 100
"""At most so many answers of a labeler wait to be stored together."""


def record_label(
    store: Store, item: ReviewItem, label: Any, by: str, at: datetime, source: str = "reviewer"
) -> ReviewItem:
    """Answer one review item: the label goes into the log, the record of truth, and into the queue."""
    answered = curate.ReviewQueue(store.state).label(item.id, label, by, at)
    log_labels(store, [answered], source)
    return answered


def log_labels(store: Store, items: Sequence[ReviewItem], source: str = "reviewer") -> None:
    """Put the answers of these items into the log, those that are not there yet.

    A second look at a seed example has no interaction to hang on; its answer lives in the queue and the examples alone.
    An answer without a propensity adds nothing where the system has told the truth already, and would hide its chance.
    """
    answered = [item for item in items if item.status == "labelled" and item.interaction_id]
    said = store.log.feedback_of([item.interaction_id for item in answered], withdrawn=True)
    known, gone = {fact.id for fact in said}, {fact.value for fact in said if fact.kind == "withdrawal"}
    told = {fact.interaction_id for fact in said if fact.kind == "label" and fact.source == "system"}
    new = [item for item in answered if item.propensity is not None or item.interaction_id not in told]
    facts = {_label_id(item, gone): item for item in new}
    store.log.append(
        [
            Feedback(
                id=key,
                interaction_id=item.interaction_id,
                at=item.at or datetime.now(UTC),
                kind="label",
                value=item.label,
                source=source,
                by=item.by or None,
                propensity=item.propensity,
            )
            for key, item in facts.items()
            if key not in known
        ]
    )


def withdraw_labels(store: Store, item: ReviewItem, by: str, at: datetime) -> None:
    """Take back in the log what the one who answered an item has said about it; what others said stays."""
    if not item.interaction_id:
        return
    said = store.log.feedback_of([item.interaction_id])
    own = [one.id for one in said if one.id.startswith(f"label:{item.id}:") and one.by == (item.by or None)]
    store.log.append(
        [
            Feedback(
                id=f"withdrawal:{key}", interaction_id=item.interaction_id, at=at, kind="withdrawal", value=key,
                source="reviewer", by=by,
            )
            for key in own
        ]
    )  # fmt: skip


def _label_id(item: ReviewItem, gone: Collection[str]) -> str:
    """The id of an answer: the same for the same answer, unless it was given again after it was taken back."""
    key = first = f"label:{item.id}:{_digest(to_dict([item.label, item.by, item.at]))}"
    again = 1
    while key in gone:
        again += 1
        key = f"{first}:{again}"
    return key


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def seed_examples(
    inputs: Sequence[Any], labels: Sequence[Any], contexts: Sequence[Mapping[str, Any]] | None, at: datetime, by: str
) -> list[Example]:
    """The labelled examples a team starts with; the same input and label always make the same example."""
    if len(inputs) != len(labels) or (contexts is not None and len(contexts) != len(inputs)):
        counted = f"there are {len(labels)} for {len(inputs)} inputs"
        raise InvalidRecord("labels", counted, "Give one label, and one context if any, for each input")
    try:
        keys = [_digest([x, y]) for x, y in zip(inputs, labels, strict=True)]
    except TypeError as problem:
        fix = "Pass text, numbers, lists and dicts; call .tolist() on an array"
        raise InvalidRecord("inputs", f"not JSON: {problem}", fix) from None
    found = zip(keys, inputs, labels, contexts or [{}] * len(inputs), strict=True)
    return [
        Example(id=f"seed-{key}", input=x, label=y, origin="seed", by=by, at=at, context=dict(context))
        for key, x, y, context in found
    ]


def step_label(work: Turn) -> dict[str, Any] | None:
    """Let the labelers answer what they can, round by round; None while people still owe labels."""
    store, number = work.shop.store, work.spin.number
    waiting = _answered(work)
    while not waiting and ask_next_round(work):
        waiting = _answered(work)
    if waiting:
        work.spin = replace(work.spin, state="waiting", step="label", waiting_for=len(waiting))
        return None
    work.spin = replace(work.spin, waiting_for=0)
    items = store.state.items(spin=number)
    return {
        "labelled": sum(i.status == "labelled" for i in items),
        "skipped": sum(i.status == "skipped" for i in items),
    }


def _answered(work: Turn) -> list[ReviewItem]:
    """Let the labelers answer what waits; what still does."""
    store, number = work.shop.store, work.spin.number
    waiting = [item for item in store.state.items(status="waiting") if item.spin == number]
    for labeler in work.shop.labelers:
        if not waiting:
            break
        by_id = {item.id: item for item in waiting}
        source = "system" if labeler.name == "truth" else "reviewer"

        def keep(given: Sequence[tuple[str, Any, str]], asked: dict[str, ReviewItem], source: str) -> None:
            # A labeler may say a thing twice.
            answers = [(asked.pop(key).id, label, by, work.at) for key, label, by in given if key in asked]
            log_labels(store, curate.ReviewQueue(store.state).label_many(answers), source)

        _take(labeler.label(waiting), partial(keep, asked=by_id, source=source))
        waiting = list(by_id.values())
    return waiting


def _take(answers: Iterable[tuple[str, Any, str]], keep: Callable[[Sequence[tuple[str, Any, str]]], None]) -> None:
    """What comes together is stored together; what a slow labeler gives is stored as it comes. Nothing is lost when it
    fails."""
    given: list[tuple[str, Any, str]] = []
    since = time.monotonic()
    try:
        for answer in answers:
            given.append(answer)
            if len(given) >= _HANDFUL or time.monotonic() - since > 1.0:
                handful, given = given, []
                keep(handful)
                since = time.monotonic()
    finally:
        if given:
            keep(given)


def step_curate(work: Turn) -> dict[str, Any]:
    """Turn the answers into examples and all examples into an immutable dataset."""
    shop, state, spin = work.shop, work.shop.store.state, work.spin
    settings = shop.config.curate
    items = [item for item in state.items(spin=spin.number) if item.status == "labelled"]
    log_labels(shop.store, items)
    _relabel(work, [item for item in items if item.relabel])
    asked = [item for item in items if not item.relabel]
    fresh = curate.examples_of(asked, correct=shop.task.correct)
    _name_modes(work, asked)
    known = state.examples()
    have = {example.id for example in known}
    fresh = [example for example in fresh if example.id not in have]
    fresh += passed_on(work, asked, [*known, *fresh])
    fresh += [example for example in believed(work, [*known, *fresh]) if example.id not in have]
    state.add_examples(curate.assign_groups(fresh, known, settings))
    pool = state.examples()
    if not pool:
        # Every item was skipped: this spin is over, and the next one may ask again.
        state.save_spin(replace(work.spin, state="done", ended_at=work.at))
        raise NothingToLearn(NO_LABELS)
    if len({example.fold for example in pool}) < 2:
        raise NothingToLearn(
            f"{len(pool)} examples are too few, or too alike, to train on some and prove on others. Seed or label more"
        )
    build = partial(
        curate.build_dataset,
        spin=spin.number,
        parent=work.incumbent.dataset if work.incumbent else None,
        settings=settings,
        seed=spin.seed,
        at=spin.started_at or work.at,
        cap=settings.max_examples,
        synthetic_share=shop.config.mine.synthetic_share,
        regression=shop.config.product.task == "regression",
    )
    dataset, augmentation = augmented(work, build(pool), lambda more: build([*pool, *more]))
    state.save_dataset(dataset)
    work.spin = replace(work.spin, dataset=dataset.hash, labels=len(items))
    return {
        "dataset": dataset.hash,
        "labels": len(items),
        "audit": sum(item.audit for item in items),
        "calibration": _calibration(work, items),
        "augment": augmentation,
    }


def _name_modes(work: Turn, items: Sequence[ReviewItem]) -> None:
    """Let a mode's name say what it should have been, now that people have said so."""
    state, correct = work.shop.store.state, work.shop.task.correct
    missed: dict[str, list[Any]] = {}
    for item in items:
        if item.mode and not correct(item.output, item.label):
            missed.setdefault(item.mode, []).append(item.label)
    named = {mode.id: told(mode, missed[mode.id]) for mode in state.modes() if mode.id in missed}
    state.save_modes(named.values())
    work.spin = replace(work.spin, modes=tuple(named.get(mode.id, mode) for mode in work.spin.modes))


def _relabel(work: Turn, items: Sequence[ReviewItem]) -> None:
    """Second opinions replace the first label; the datasets that were built on the first keep it."""
    example_of, correct = work.docs["select"]["second_looks"], work.shop.task.correct
    said = {example_of[item.id]: item for item in items}
    state = work.shop.store.state
    old = [example for example in state.examples() if example.id in said and said[example.id].label != example.label]
    seen = work.snapshot.fetch([example.interaction_id for example in old if example.interaction_id])
    outputs = {interaction.id: interaction.output for interaction in seen}
    changed = [
        replace(
            example,
            label=said[example.id].label,
            by=said[example.id].by,
            failure=not correct(outputs[example.interaction_id], said[example.id].label)
            if example.interaction_id in outputs
            else example.failure,
        )
        for example in old
    ]
    if changed:
        state.add_examples(changed, replace=True)


def _calibration(work: Turn, items: Sequence[ReviewItem]) -> dict[str, Any] | None:
    judged = [
        diagnose.Judged(
            interaction_id=item.interaction_id,
            wrong=not work.shop.task.correct(item.output, item.label),
            propensity=item.propensity,
        )
        for item in items
        if not item.relabel and item.propensity is not None
    ]
    if not judged:
        return to_dict(work.calibration) if work.calibration else None
    taught: dict[str, Any] = to_dict(diagnose.calibrate(work.signs, judged, work.calibration))
    return taught


def step_train(work: Turn) -> dict[str, Any]:
    """Train the candidate, its cross-fitted twins for the gate, and the placebo."""
    shop, spin = work.shop, work.spin
    state = shop.store.state
    dataset = work.dataset(work.docs["curate"]["dataset"])
    assert dataset is not None
    started = time.perf_counter()
    trainer = shop.trainer_for([example.input for example in dataset.examples])
    earlier = (state.candidate(f"v{number}") for number in range(1, spin.number))
    again = _retraining(work)
    same = (known and (known[0].dataset, known[0].trainer) == (dataset.hash, trainer.name) for known in earlier)
    if any(same) and not again:
        return {"candidate": None}  # asking the gate again with another seed would be fishing
    version = f"v{spin.number}"
    folder = shop.store.folder / "models" / version
    base = work.incumbent_model if work.incumbent and work.incumbent.trainer == trainer.name and not again else None
    model = trainer.fit(dataset, base=base, seed=spin.seed)
    _save(trainer, model, folder)
    answers = work.answered.get(dataset.hash) or prove.crossfit(
        trainer, dataset, base=None, seed=spin.seed, folds=shop.config.curate.folds, progress=shop.progress
    )
    candidate = Candidate(
        version=version,
        dataset=dataset.hash,
        trainer=trainer.name,
        folder=str(folder.relative_to(shop.store.folder)),
        base=work.incumbent.version if work.incumbent else None,
        seed=spin.seed,
        spin=spin.number,
        seconds=round(time.perf_counter() - started, 3),
    )
    extra = {"answers": _plain(answers), **_on_fresh(work, trainer, dataset)}
    state.save_candidate(candidate, extra)
    work.spin = replace(work.spin, candidate=version)
    return {"candidate": version}


def _retraining(work: Turn) -> bool:
    """Has somebody been erased from whom models had learnt? Then one spin, the next, trains whatever else is new.

    It starts from nothing: a base that learnt from them would pass on what it had learnt.
    """
    state, number = work.shop.store.state, work.spin.number
    queued = state.get("retrain")
    if not queued or queued["spin"] not in (None, number):
        return False
    state.set("retrain", {**queued, "spin": number})
    return True


def _save(trainer: Trainer, model: Model, folder: Any) -> None:
    """Write a model into its folder by way of a neighbour, so that a kill never leaves half a model under the name."""

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir(parents=True)
    trainer.save(model, partial)
    partial.rename(folder)


def _plain(answers: Mapping[str, prove.Answer]) -> dict[str, list[Any]]:
    return {
        key: [answer.output, answer.confidence, answer.likelihood, *([answer.again] if answer.again else [])]
        for key, answer in answers.items()
    }


def _on_fresh(work: Turn, trainer: Trainer, dataset: Dataset) -> dict[str, Any]:
    """Two answers to each label that the champion has not learnt: by the candidate without it, and by the placebo."""
    known = work.dataset(work.incumbent.dataset) if work.incumbent and work.incumbent.dataset else None
    trained_on = {example.id for example in known.examples} if known else set()
    fresh = [example for example in dataset.examples if example.id not in trained_on]
    if known is None or not fresh:
        return {"fresh_answers": None, "placebo": None}
    folds, seed = work.shop.config.curate.folds, work.spin.seed
    ids = {example.id for example in fresh}
    said = crossfit_fresh(trainer, dataset, ids, seed=seed, folds=folds)
    return {"fresh_answers": _plain(said), "placebo": _plain(prove.placebo(trainer, known, fresh, seed=seed + 1))}
