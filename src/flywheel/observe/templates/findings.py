"""What a log says beside the failures: one call for all of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from flywheel.observe.templates.changes import changes
from flywheel.observe.templates.counts import mined
from flywheel.observe.templates.failures import tied
from flywheel.observe.templates.miner import TemplateMiner
from flywheel.observe.templates.sequences import unusual
from flywheel.records import Observation

__all__ = ["log_findings"]

REFERENCE = 0.75
"""The share of the log's time that is held to be usual, where `since` does not say."""


def log_findings(
    logs: pa.Table,
    failing: Any = None,
    *,
    every: str = "minute",
    since: datetime | None = None,
    near: float = 30.0,
    miner: TemplateMiner | None = None,
    alpha: float = 0.05,
) -> list[Observation]:
    """What is new, gone, more or less frequent, out of order, or goes with failures in an application log.

    `logs` has `at`, `message` and perhaps `trace_id`, as `read_log` returns; `failing` (Ibis or Arrow; `id`, `at`,
    `loss` 0..1, perhaps `trace_id` and `weight`) says which interactions failed. What comes from `since` on, by default
    the last quarter of the time, is held against what came before. Observations are of kind `template`; all that are
    shown are together right with probability 1 - `alpha` when nothing has changed, a third each for changes, sequences
    and ties. Only a template that goes with more failures is an alarm, and it comes first. Texts are shown with their
    parameters masked. O(lines) and a sort; the tie is O(templates × interactions looked at).
    """
    log = mined(logs, every, miner)
    if not len(log.at):
        return []
    if since is None:
        cut = int(log.windows * REFERENCE)
    else:
        start = since if since.tzinfo else since.replace(tzinfo=UTC)
        cut = -((log.first - int(start.timestamp() * 1e6)) // log.step)
    cut = min(max(cut, 0), log.windows)
    share = alpha / 3
    ties = tied(log, failing, near, share) if failing is not None else []
    return [*ties, *changes(log, cut, share), *unusual(log, cut, share)]
