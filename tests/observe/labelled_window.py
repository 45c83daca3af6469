"""A window with answers, confidence, context and labels that were asked for with known probabilities."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
STAMP = pa.timestamp("us", "UTC")


def labelled(
    wrong, *, minutes=None, confidence=None, told=None, propensity=None, source="reviewer", seed=0, first=0, **context
):
    """An interaction per entry of `wrong`; `told` marks those that have a label, `propensity` a number or one each."""
    wrong = np.asarray(wrong, dtype=bool)
    n = wrong.size
    minutes = np.arange(n) if minutes is None else np.asarray(minutes, dtype=float)
    told = np.ones(n, bool) if told is None else np.asarray(told, bool)
    chance = np.broadcast_to(np.nan if propensity is None else np.asarray(propensity, float), (n,))
    base = int(START.timestamp() * 1e6)
    ids = pa.array([f"i{first + k}" for k in range(n)], pa.string())
    interactions = {
        "seq": pa.array(np.arange(1, n + 1)),
        "id": ids,
        "at": pa.array(base + (minutes * 60e6).astype(np.int64), pa.int64()).cast(STAMP),
        "output": pa.array(['"a"'] * n, pa.string()),
        "confidence": pa.array([None] * n if confidence is None else confidence, pa.float64()),
        "latency_ms": pa.array([None] * n, pa.float64()),
        "error": pa.array([None] * n, pa.string()),
        "rand": pa.array(np.random.default_rng(seed).random(n)),
    }
    interactions |= {f"context.{name}": pa.array(list(values)) for name, values in context.items()}
    rows = np.flatnonzero(told)
    feedback = {
        "seq": pa.array(np.arange(n + 1, n + 1 + rows.size)),
        "interaction_id": pa.array([f"i{first + k}" for k in rows], pa.string()),
        "kind": pa.array(["label"] * rows.size, pa.string()),
        "value": pa.array(['"b"' if wrong[k] else '"a"' for k in rows], pa.string()),
        "number": pa.array([None] * rows.size, pa.float64()),
        "text": pa.array([None] * rows.size, pa.string()),
        "source": pa.array([source] * rows.size, pa.string()),
        "propensity": pa.array([None if np.isnan(chance[k]) else float(chance[k]) for k in rows], pa.float64()),
    }
    return SimpleNamespace(
        interactions=ibis.memtable(pa.table(interactions)), feedback=ibis.memtable(pa.table(feedback))
    )
