"""What moved: inputs, answers, confidence, vectors and texts of a window beside a reference, by size."""

from __future__ import annotations

from flywheel.observe.drift.counting import columns_of, sketch
from flywheel.observe.drift.ebh import ebh, evalue
from flywheel.observe.drift.moved import classifier_two_sample
from flywheel.observe.drift.shift import compare, drift
from flywheel.observe.drift.sketch import Column, Sketch
from flywheel.observe.drift.words import text_drift

__all__ = [
    "Column",
    "Sketch",
    "classifier_two_sample",
    "columns_of",
    "compare",
    "drift",
    "ebh",
    "evalue",
    "sketch",
    "text_drift",
]
