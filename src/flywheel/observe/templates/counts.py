"""Lines by template and window of time: the metric streams of a log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import InvalidConfig, InvalidRecord
from flywheel.observe.templates.miner import TemplateMiner
from flywheel.observe.templates.times import STAMP

__all__ = ["STEPS", "Mined", "mined", "moment", "template_counts"]

Array = np.ndarray[Any, Any]

STEPS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
_BARS = 120


@dataclass(frozen=True, slots=True)
class Mined:
    """A log whose lines have templates, in order of time. Times are microseconds since 1970."""

    ids: Array
    """Template of each line …"""
    at: Array
    """… its time …"""
    window: Array
    """… the number of its window, from 0 …"""
    trace: Array
    """… and the number of its trace, -1 without one."""
    names: Array
    """The trace ids by number, sorted."""
    texts: list[str]
    first: int
    step: int
    windows: int

    def bars(self, template: int, mark: int | None = None) -> dict[str, Any]:
        """Lines of a template over time, in at most 120 bars."""
        wide = -(-self.windows // _BARS)
        counts = np.bincount(self.window[self.ids == template] // wide, minlength=-(-self.windows // wide))
        starts = [moment(self.first + k * wide * self.step).isoformat() for k in range(len(counts))]
        chart: dict[str, Any] = {"kind": "line", "x": starts, "y": counts.tolist()}
        return chart if mark is None else chart | {"mark": moment(mark).isoformat()}


def moment(at: int) -> datetime:
    """Microseconds since 1970 → a time."""
    return datetime.fromtimestamp(at / 1e6, UTC)


def mined(logs: pa.Table, every: str, miner: TemplateMiner | None = None) -> Mined:
    """Give each line its template and window. Lines before the first time in the file have none and are left out."""
    if every not in STEPS:
        raise InvalidConfig(f"templates every {every!r}: there are {', '.join(STEPS)}")
    missing = {"at", "message"} - set(logs.column_names)
    if missing:
        raise InvalidRecord(
            "logs", f"there is no column {', '.join(sorted(missing))}", "Give what `read_log` returns, or its columns"
        )
    miner = miner or TemplateMiner()
    ids = miner.mine(logs["message"])
    moments = logs["at"].combine_chunks() if isinstance(logs["at"], pa.ChunkedArray) else logs["at"]
    known = moments.is_valid().to_numpy(zero_copy_only=False)
    at = moments.cast(STAMP).cast(pa.int64()).fill_null(0).to_numpy()
    order = np.flatnonzero(known)[np.argsort(at[known], kind="stable")]
    ids, at = miner.resolve(ids)[order], at[order]
    trace, names = np.full(len(at), -1), np.zeros(0, str)
    if "trace_id" in logs.column_names:
        told = np.array([one or "" for one in logs["trace_id"].to_pylist()], str)[order]
        names, codes = np.unique(told[told != ""], return_inverse=True)
        trace[told != ""] = codes
    step = STEPS[every]
    first = int(at[0]) // step * step if len(at) else 0
    window = (at - first) // step
    return Mined(ids, at, window, trace, names, miner.templates, first, step, int(window[-1]) + 1 if len(at) else 0)


def template_counts(logs: pa.Table, every: str = "minute", miner: TemplateMiner | None = None) -> pa.Table:
    """Lines by template and `minute`, `hour` or `day`: columns `at` (start, UTC), `template` (id), `text`, `n`.

    Only where there are lines; ordered by time, then id. `logs` has `at` and `message`, as `read_log` returns. Give a
    `miner` to go on with its ids. O(lines), with a sort.

    >>> times = [datetime(2026, 1, 5, 0, 0, second, tzinfo=UTC) for second in (1, 2)]
    >>> logs = pa.table({"at": times, "message": ["hit 1", "hit 2"]})
    >>> template_counts(logs).to_pylist()[0]["text"], template_counts(logs)["n"].to_pylist()
    ('hit <*>', [2])
    """
    log = mined(logs, every, miner)
    cells, counts = np.unique(np.stack([log.window, log.ids]), axis=1, return_counts=True)
    return pa.table(
        {
            "at": pa.array(log.first + cells[0] * log.step, pa.int64()).cast(STAMP),
            "template": pa.array(cells[1], pa.int64()),
            "text": pa.array([log.texts[one] for one in cells[1]], pa.string()),
            "n": pa.array(counts, pa.int64()),
        }
    )
