"""Conformance checks for your plugins, one a port, and fault injection: import them in your own tests.

    from flywheel.testing import check_trainer
    check_trainer(MyTrainer())

Each check raises `AssertionError` with one sentence that says what the contract wants and what it got.
`flywheel.testing.faults` kills processes at chosen moments, `flywheel.testing.disk` watches the disk under SQLite and
fills it, `flywheel.testing.power` cuts the power in a model.
"""

from __future__ import annotations

from flywheel.testing.inputs import check_detector, check_redactor, check_sink, check_source
from flywheel.testing.judging import check_labeler, check_task
from flywheel.testing.learning import check_embedder, check_sentiment, check_trainer
from flywheel.testing.registries import check_registry

__all__ = [
    "check_detector",
    "check_embedder",
    "check_labeler",
    "check_redactor",
    "check_registry",
    "check_sentiment",
    "check_sink",
    "check_source",
    "check_task",
    "check_trainer",
]
