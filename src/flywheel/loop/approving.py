"""A release that a person approved after its spin was over: the receipt then says what that changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flywheel.loop.decide import step_measure
from flywheel.loop.turn import Turn, Workshop
from flywheel.records import Spin

__all__ = ["receipt_again"]

_NEEDED = ("sync", "select", "curate", "train", "replay", "gate", "release")


def receipt_again(shop: Workshop, number: int, version: str, at: datetime) -> Spin | None:
    """Measure spin `number` again now that its candidate `version` is in production, and store its new receipt.

    None where there is nothing to measure: the spin is not over, or another version came of it.
    """
    state = shop.store.state
    spin = state.spin(number)
    docs = {step: state.step(number, step) or {} for step in _NEEDED}
    if spin is None or spin.state != "done" or docs["train"].get("candidate") != version or not docs["gate"]:
        return None
    work = Turn(shop, spin, at)
    work.docs.update(docs, release={**docs["release"], "released": version})
    measured = step_measure(work)
    again = replace(work.spin, state="done")
    state.save_spin(again)
    state.save_step(number, "release", work.docs["release"])
    state.save_step(number, "measure", {**(state.step(number, "measure") or {}), "receipt": measured["receipt"]})
    return again
