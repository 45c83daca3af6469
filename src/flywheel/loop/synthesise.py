"""Synthetic examples for a dataset: learnt from what fails, tried on held-out real cases, kept where they help."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel import diagnose, prove
from flywheel.loop.turn import Turn
from flywheel.mine import augment
from flywheel.records import Dataset, Example, Mode, from_dict

__all__ = ["augmented"]

_Said = tuple[bool, float | None]
"""Was it right, and the probability it gave to the label."""
_FOLDS = 3
"""Without a cross-fit of the trainer's own, a trial trains for so many folds only, others each time."""
_FAILING = 1000
"""At most so many failing inputs are looked at."""


def augmented(
    work: Turn, plain: Dataset, build: Callable[[Sequence[Example]], Dataset]
) -> tuple[Dataset, dict[str, Any]]:
    """The dataset with the synthetic examples that help, and a document of what was tried.

    `plain` is the dataset without any; `build` makes one of it and more examples. Each spin tries at most one
    operation: with its examples and without, cross-fitted, on the real labelled cases. What was found so far comes from
    the documents of the spins before.
    """
    settings = work.shop.config.mine
    records = _before(work)
    if not settings.augment or settings.synthetic_share <= 0 or work.shop.config.product.task != "classification":
        return plain, {"operations": records}
    real = plain.examples
    if not settings.augment_text and work.shop.trainer_for([example.input for example in real]).name == "text":
        return plain, {"operations": records}
    operations = _operations(work, real, records)
    if not operations:
        return plain, {"operations": records}
    cases = [example for example in real if example.origin != "seed"]
    about: dict[str, set[str]] = {}
    for one in operations.values():  # all that is done to pictures is about the same pictures
        alike = next((key for key in about if operations[key].kind == one.kind == "image"), None)
        about[one.name] = about[alike] if alike else augment.shown_by(one, cases, real)
    name = augment.choose(list(operations.values()), records, {key: len(ids) for key, ids in about.items()})
    bench = _Bench(work, plain, build, settings.synthetic_share)
    inside = [operations[key] for key in sorted(records) if records[key]["admitted"] and key in operations]
    if name is not None:
        others = [one for one in inside if one.name != name]
        without, with_it = bench.made(others), bench.made([*others, operations[name]])
        inside_already = name in records and records[name]["admitted"]
        usual, other = (with_it, without) if inside_already else (without, with_it)
        before, after = bench.tried(usual, other, real, work.spin.number)
        right = (after, before) if inside_already else (before, after)
        trial = augment.weigh(real, about[name], *right)
        record = augment.decide(operations[name], trial, records, cases=len(about[name]), spin=work.spin.number)
        records = {**records, name: record}
        inside = [*others, operations[name]] if record["admitted"] else others
    return bench.made(inside), {"operations": records, "tried": name, "lines": [records[name]["line"]] if name else []}


def _before(work: Turn) -> dict[str, Any]:
    """What the spins before this one found out about each operation."""
    for number in range(work.spin.number - 1, 0, -1):
        doc = work.shop.store.state.step(number, "curate")
        if doc and "augment" in doc:
            return dict(doc["augment"]["operations"])
    return {}


def _operations(
    work: Turn, real: Sequence[Example], records: Mapping[str, Mapping[str, Any]]
) -> dict[str, augment.Operation]:
    """What this window's failures propose, and what was admitted before, with the parameters it was admitted with."""
    known = {key: from_dict(augment.Operation, record["operation"]) for key, record in records.items()}
    inside = {key: known[key] for key, record in records.items() if record["admitted"]}
    if not work.docs["sync"]["interactions"]:
        return inside
    modes = [from_dict(Mode, mode) for mode in work.docs["diagnose"]["modes"]]
    noisy = sorted(diagnose.follow(modes).augment)
    failed = sorted(work.pool, key=lambda failure: -failure.probability)[:_FAILING]
    found = augment.propose(
        {failure.interaction_id: failure.input for failure in failed if failure.input is not None},
        real,
        modes=work.docs["diagnose"]["assignments"],
        noisy=noisy,
        seed=work.spin.seed,
    )
    return {**{one.name: one for one in found}, **inside}


@dataclass(slots=True)
class _Bench:
    """Where an operation is tried: datasets with and without, and the trainer that learns from both."""

    work: Turn
    plain: Dataset
    build: Callable[[Sequence[Example]], Dataset]
    share: float

    def made(self, operations: Sequence[augment.Operation]) -> Dataset:
        """The dataset with the synthetic examples of these operations; the plain one where there are none."""
        if not operations:
            return self.plain
        most = int(len(self.plain.examples) * self.share / (1 - self.share))
        more = augment.synthesise(operations, self.plain.examples, most=most)
        return self.build(more) if more else self.plain

    def tried(
        self, usual: Dataset, other: Dataset, real: Sequence[Example], turn: int
    ) -> tuple[dict[str, _Said], dict[str, _Said]]:
        """What is said to the real cases, out of fold: by the dataset that would be used anyway, and by the other one.

        The training step uses the first again. The second is all that a trial costs: nothing to speak of where the
        trainer cross-fits by itself, else three fits.
        """
        shop, seed = self.work.shop, self.work.spin.seed
        trainer, folds = shop.trainer_for([example.input for example in real]), shop.config.curate.folds
        started = time.perf_counter()
        answers = prove.crossfit(trainer, usual, seed=seed, folds=folds)
        self.work.answered[usual.hash] = answers
        some = {(turn * _FOLDS + step) % folds for step in range(_FOLDS)}
        again = prove.crossfit(trainer, other, seed=seed, folds=folds, parts=some)
        self.work.trials += time.perf_counter() - started
        correct = shop.task.correct
        first, second = (
            {e.id: (correct(said[e.id].output, e.label), said[e.id].likelihood) for e in real if e.id in said}
            for said in (answers, again)
        )
        return first, second
