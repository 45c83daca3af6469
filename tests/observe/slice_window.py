"""Windows with a context, in which failures can be put where a test wants them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa

START = datetime(2026, 1, 5, tzinfo=UTC)


def window(columns, *, seed=0, minutes=1.0, users=None, texts=None, outputs=None):
    """`columns` maps table columns (`context.device`) to n values; `users` to n names or None."""
    n = len(next(iter(columns.values())))
    rng = np.random.default_rng([seed, 99])
    at = [START + timedelta(minutes=minutes * row) for row in range(n)]
    table = pa.table(
        {
            "seq": np.arange(1, n + 1),
            "id": [f"i{row}" for row in range(n)],
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "input_text": pa.array([None] * n if texts is None else texts, pa.string()),
            "output": ['"yes"'] * n if outputs is None else outputs,
            "model": ["m1"] * n,
            "user": pa.array([None] * n if users is None else users, pa.string()),
            "session": pa.array([None] * n, pa.string()),
            "confidence": rng.random(n),
            "rand": rng.random(n),
            **columns,
        }
    )
    told = pa.table({"seq": pa.array([], pa.int64()), "interaction_id": pa.array([], pa.string())})
    return SimpleNamespace(interactions=ibis.memtable(table), feedback=ibis.memtable(told))


def failing(loss, weight=None, known=None):
    """Losses for the window's rows, in order; those of the rows marked in `known` only."""
    kept = np.arange(len(loss)) if known is None else np.flatnonzero(known)
    columns = {"id": [f"i{row}" for row in kept], "loss": np.asarray(loss, dtype=float)[kept]}
    return ibis.memtable(columns if weight is None else {**columns, "weight": np.asarray(weight, dtype=float)[kept]})


def phones(n, seed=0):
    """Devices, networks (slow ones mostly on old devices), locales and amounts."""
    rng = np.random.default_rng([seed, 7])
    network = rng.choice(["wifi", "4g", "3g"], n, p=[0.5, 0.3, 0.2])
    old = rng.random(n) < np.where(network == "3g", 0.8, 0.2)
    return rng, {
        "context.network": network,
        "context.device": np.where(old, "old", "new"),
        "context.locale": rng.choice(list("abcdef"), n),
        "input.amount": rng.gamma(2.0, 50.0, n),
    }
