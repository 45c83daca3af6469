"""A window of plain columns, as the store's tables have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import ibis
import pyarrow as pa

START = datetime(2026, 1, 5, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")


def seen(n, *, output=None, confidence=None, latency=None, error=None, minutes=None, ratings=()):
    """n interactions; `ratings` is a list of (row, number) or (row, "report")."""
    minutes = range(n) if minutes is None else minutes
    interactions = pa.table(
        {
            "seq": pa.array(range(1, n + 1), pa.int64()),
            "id": pa.array([f"i{k}" for k in range(n)], pa.string()),
            "at": pa.array([START + timedelta(minutes=float(m)) for m in minutes], STAMP),
            "output": pa.array(["a"] * n if output is None else output, pa.string()),
            "confidence": pa.array([None] * n if confidence is None else confidence, pa.float64()),
            "latency_ms": pa.array([None] * n if latency is None else latency, pa.float64()),
            "error": pa.array([None] * n if error is None else error, pa.string()),
        }
    )
    feedback = pa.table(
        {
            "seq": pa.array(range(n + 1, n + 1 + len(ratings)), pa.int64()),
            "interaction_id": pa.array([f"i{row}" for row, _ in ratings], pa.string()),
            "kind": pa.array(["report" if value == "report" else "rating" for _, value in ratings], pa.string()),
            "number": pa.array([None if value == "report" else float(value) for _, value in ratings], pa.float64()),
        }
    )
    return SimpleNamespace(interactions=ibis.memtable(interactions), feedback=ibis.memtable(feedback))
