"""One turn of the loop: calls the rooms in order and keeps its place.

`sync → observe → diagnose → mine → select → label → curate → train → replay → gate → release → measure`

Each step reads the records of the steps before it and returns a plain document, which is stored before the next step
begins. A spin that is killed anywhere therefore takes up where it was: steps with a stored document are not done again,
and the one that was cut off is done again from the start, which its idempotence makes harmless. The same log, the same
settings and the same seed give the same datasets, verdicts and receipts, wall-clock seconds apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from flywheel.errors import NothingToLearn
from flywheel.loop.decide import step_gate, step_measure, step_release, step_replay
from flywheel.loop.find import step_diagnose, step_mine, step_observe, step_select, step_sync
from flywheel.loop.learn import NO_LABELS, log_labels, record_label, seed_examples, step_curate, step_label, step_train
from flywheel.loop.look import examine, recent_failures, uplift_since
from flywheel.loop.turn import Turn, Workshop
from flywheel.records import Spin

__all__ = [
    "STEPS",
    "Workshop",
    "begin",
    "examine",
    "log_labels",
    "recent_failures",
    "record_label",
    "seed_examples",
    "turn",
    "uplift_since",
]

_DO: dict[str, Callable[[Turn], dict[str, Any] | None]] = {
    "sync": step_sync,
    "observe": step_observe,
    "diagnose": step_diagnose,
    "mine": step_mine,
    "select": step_select,
    "label": step_label,
    "curate": step_curate,
    "train": step_train,
    "replay": step_replay,
    "gate": step_gate,
    "release": step_release,
    "measure": step_measure,
}

STEPS = tuple(_DO)
"""The steps of a spin, in order."""


def begin(shop: Workshop, *, budget: int, at: datetime, seed: int) -> Spin:
    """Go on with the spin that was not finished, or start the next one and store that it began."""
    spins = shop.store.state.spins()
    if spins and spins[-1].state != "done":
        return spins[-1]
    counts = shop.store.log.counts()
    if not shop.store.state.examples() and not (budget and counts.get("interactions")):
        raise NothingToLearn(NO_LABELS)
    spin = Spin(number=len(spins) + 1, state="running", step=STEPS[0], budget=budget, seed=seed, started_at=at)
    shop.store.state.save_spin(spin)
    return spin


def turn(shop: Workshop, spin: Spin, at: datetime) -> Spin:
    """Run a spin's remaining steps until it is done, or waits for labels that people owe."""
    state = shop.store.state
    work = Turn(shop, spin, at)
    for position, step in enumerate(STEPS):
        stored = state.step(spin.number, step)
        if stored is None:
            if shop.on_step:
                shop.on_step(step, "begin")
            if shop.progress:
                shop.progress(step, position / len(STEPS))
            started = time.perf_counter()
            stored = _DO[step](work)
            work.spin = replace(work.spin, seconds=_seconds(work, step, time.perf_counter() - started))
            if stored is None:  # people still owe labels
                state.save_spin(work.spin)
                return work.spin
            following = STEPS[position + 1] if position + 1 < len(STEPS) else "measure"
            work.spin = replace(work.spin, state="running", step=following)
            state.save_step(spin.number, step, stored, work.spin)
            if shop.on_step:
                shop.on_step(step, "end")
        work.docs[step] = stored
    if shop.progress:
        shop.progress("done", 1.0)
    work.spin = replace(work.spin, state="done", ended_at=at)
    state.save_spin(work.spin)
    return work.spin


def _seconds(work: Turn, step: str, spent: float) -> dict[str, float]:
    """The seconds by step, with those of the step that has just ended; what it trained by the way goes to `train`.

    Training adds to what was trained by the way before, and labelling to the rounds that people have answered before.
    """
    before = work.spin.seconds.get(step, 0.0) if step in ("train", "label") else 0.0
    found = {**work.spin.seconds, step: round(before + spent - work.trials, 3)}
    if work.trials:
        found["train"] = round(found.get("train", 0.0) + work.trials, 3)
        work.trials = 0.0
    return found
