"""Checks on the artefact itself: is the final model what the fold models promised, and how fast is it beside the
champion?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.ports import Model, Task
from flywheel.prove.folds import Answer
from flywheel.records import Dataset

__all__ = ["agreement", "compare_latency"]

_ROUNDS, _MORE = 15, 60
_FEW, _ENOUGH = 3, 0.25
"""So many rounds, and so many seconds, are enough where nothing looks slow."""
_SECONDS = 0.0005
"""A timed batch repeats until it takes this long: above the clock's grain, below the time slice of a busy machine."""
_PATIENCE = 3.0
"""Seconds after which further rounds stop."""


def agreement(model: Model, dataset: Dataset, crossfitted: Mapping[str, Answer], task: Task) -> float | None:
    """Where a fold model was right without having seen the example: the share on which the final model is right too.

    The final model has seen those examples, so a sound artefact is near 1; one that was damaged, or fitted differently
    from what was proved, is not. None when the fold models were never right.
    """
    sure = [e for e in dataset.examples if e.id in crossfitted and task.correct(crossfitted[e.id].output, e.label)]
    if not sure:
        return None
    said = model.predict([e.input for e in sure]).outputs
    return sum(task.correct(output, e.label) for output, e in zip(said, sure, strict=True)) / len(sure)


def compare_latency(champion: Model, candidate: Model, inputs: Sequence[Any]) -> tuple[float, float]:
    """Milliseconds an input of each, on the same batch of 64 to 512.

    The two take turns and each keeps its best round: other work on the machine only ever makes a round slower, so the
    best is the fairest, and taking turns spreads a slow moment over both. Once a few rounds have taken a quarter of a
    second they are enough; when the candidate seems slower by half or more, further rounds have to confirm it.
    """
    batch = list(inputs)
    if not batch:
        return 0.0, 0.0
    while len(batch) < 64:
        batch += batch
    batch = batch[:512]
    repeats = []
    for model in (champion, candidate):
        took = min(_seconds(model, batch, 1) for _ in range(2))  # the first call also warms caches
        repeats.append(max(1, min(50, round(_SECONDS / max(took, 1e-6)))))
    best = [float("inf"), float("inf")]
    began = time.perf_counter()
    for turn in range(_ROUNDS + _MORE):
        spent = time.perf_counter() - began
        enough = turn >= _ROUNDS or (turn >= _FEW and spent > _ENOUGH)
        if enough and (best[1] < 1.5 * best[0] or spent > _PATIENCE):
            break
        for side, model in enumerate((champion, candidate)):
            best[side] = min(best[side], _seconds(model, batch, repeats[side]) / repeats[side])
    return 1000 * best[0] / len(batch), 1000 * best[1] / len(batch)


def _seconds(model: Model, batch: Sequence[Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        model.predict(batch)
    return time.perf_counter() - start
