"""What to label, and what to learn from: selection, review queue, datasets, guards against leakage and label noise."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.curate.dataset import build_dataset
    from flywheel.curate.examples import assign_groups, examples_of
    from flywheel.curate.exchange import LabelsRead
    from flywheel.curate.lineage import made_from, used_in
    from flywheel.curate.near import group_near_duplicates
    from flywheel.curate.noise import suspects
    from flywheel.curate.queue import ReviewQueue
    from flywheel.curate.selection import select

__all__ = [
    "LabelsRead",
    "ReviewQueue",
    "assign_groups",
    "build_dataset",
    "examples_of",
    "group_near_duplicates",
    "made_from",
    "select",
    "suspects",
    "used_in",
]

_HOMES = {
    "LabelsRead": "exchange",
    "ReviewQueue": "queue",
    "assign_groups": "examples",
    "build_dataset": "dataset",
    "examples_of": "examples",
    "group_near_duplicates": "near",
    "made_from": "lineage",
    "select": "selection",
    "suspects": "noise",
    "used_in": "lineage",
}


def __getattr__(name: str) -> Any:
    # Reading and answering the queue should not wait for numpy, Ibis and scikit-learn.
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.curate.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.curate' has no attribute {name!r}. It has: {', '.join(__all__)}")
