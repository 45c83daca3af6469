"""What a server gets ready once it listens, so that the first looks are as quick as those that follow."""

from __future__ import annotations

import gc
import importlib
import threading

__all__ = ["READ_WITH", "warm"]

READ_WITH = (
    "duckdb.func", "pyarrow.dataset", "flywheel.store.tables", "flywheel.store.engine",
    "flywheel.observe.usual", "flywheel.observe.rollup", "flywheel.diagnose", "flywheel.diagnose.arriving",
    "flywheel.diagnose.reports", "flywheel.diagnose.why", "flywheel.loop.history", "flywheel.loop.standing",
    "flywheel.loop.one_mode", "flywheel.loop.single", "flywheel.loop.balancing", "flywheel.loop.comparing",
    "flywheel.curate.queue", "flywheel.prove.tasks", "flywheel.train.text", "sklearn.feature_extraction.text",
)  # fmt: skip
"""Modules that pages and the API's reading routes load when they first need them: two seconds' worth."""


def warm() -> threading.Thread:
    """Load what is read with, beside the server's work; then keep the collector of garbage off all that was loaded.

    Loaded code is a third of a million objects that stay for good. Walking them took the collector 0.3 s each time, in
    which nothing was answered, every few pages.
    """
    thread = threading.Thread(target=_load, name="flywheel-warm", daemon=True)
    thread.start()
    return thread


def _load() -> None:
    for name in READ_WITH:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 20)  # pages are let go of when they close: the old need not be walked that often
