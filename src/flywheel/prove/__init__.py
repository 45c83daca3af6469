"""Proof before release: what is right, cross-fitted answers, replay of logged inputs, and the gate.

`crossfit` lets every label both train and test without a model ever being tested on what it saw; `pairs` lines up
champion, candidate and placebo on the same examples; `gate` turns them into a verdict with one line of evidence per
check; `replay` runs a model over logged interactions inside the engine. The tasks are in `flywheel.prove.tasks`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.prove.artefact import agreement as agreement
    from flywheel.prove.artefact import compare_latency as compare_latency
    from flywheel.prove.folds import Answer as Answer
    from flywheel.prove.folds import answers as answers
    from flywheel.prove.folds import crossfit as crossfit
    from flywheel.prove.folds import placebo as placebo
    from flywheel.prove.judging import gate as gate
    from flywheel.prove.pairing import Pair as Pair
    from flywheel.prove.pairing import pairs as pairs
    from flywheel.prove.playback import replay as replay

_HOMES = {
    "Answer": "folds",
    "Pair": "pairing",
    "agreement": "artefact",
    "answers": "folds",
    "compare_latency": "artefact",
    "crossfit": "folds",
    "gate": "judging",
    "pairs": "pairing",
    "placebo": "folds",
    "replay": "playback",
}

__all__ = [
    "Answer",
    "Pair",
    "agreement",
    "answers",
    "compare_latency",
    "crossfit",
    "gate",
    "pairs",
    "placebo",
    "replay",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.prove.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.prove' has no attribute {name!r}. Public names: {', '.join(__all__)}")
