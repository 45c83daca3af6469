"""Thirty columns as products log them, of which six move: made-up windows for `bench/drift.py`.

Day and week cycles, levels that wander from hour to hour and come back, heavy tails, zeros, rare categories, nulls.
A window and its reference come from one process with one seed each; only the six columns of `SHIFTED` change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = 1_767_571_200  # a Monday, UTC
HOUR = 3600
SHIFTED = ("input.amount", "input.items", "latency_ms", "context.network", "context.locale", "input.age")
"""Mean up by 0.3 standard deviations, Poisson 3 → 4, a quarter slower, 10 points of the mix, a new value in 8 %, nulls
2 % → 12 %."""


def levels(rng, hours, rho, spread):
    """A level an hour that wanders and comes back: AR(1) with standard deviation `spread`."""
    noise = rng.normal(size=hours) * spread * np.sqrt(1 - rho**2)
    level = np.empty(hours)
    level[0] = rng.normal() * spread
    for hour in range(1, hours):
        level[hour] = rho * level[hour - 1] + noise[hour]
    return level


def labels(rng, n, k, power, prefix):
    share = 1 / np.arange(1, k + 1) ** power
    return rng.choice(k, n, p=share / share.sum()), [f"{prefix}{j}" for j in range(k)]


def words(codes, names, missing=None):
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=missing), pa.array(names)).cast(
        pa.string()
    )


def columns(rng, at, wander, moved, size=1.0):
    """The columns of rows at these times (seconds); `moved` shifts the six, by `size` times the usual."""
    n, hour = len(at), ((at - at[0]) // HOUR).astype(int)
    clock = at % 86400 / 86400 * 2 * np.pi
    weekend = (at % 604800 // 86400 >= 2) & (at % 604800 // 86400 < 4)
    by = size if moved else 0.0
    day = np.cos(clock)
    out = {
        "input.amount": rng.normal(0, 1, n) + 0.3 * by,
        "input.items": rng.poisson(3 + by, n).astype(float),
        "latency_ms": np.exp(5 + 0.6 * rng.normal(size=n) + 0.25 * day) * (1 + 0.25 * by),
        "input.height": rng.normal(170, 9, n),
        "input.income": np.exp(10 + 1.5 * rng.normal(size=n)),
        "input.tail": rng.standard_t(2, n),
        "input.pareto": rng.pareto(1.2, n),
        "input.zeros": rng.gamma(2, 3, n) * (rng.random(n) < 0.3),
        "input.modes": np.where(rng.random(n) < 0.4, rng.normal(0, 0.1, n), rng.normal(1000, 5, n)),
        "input.share": rng.random(n),
        "input.rounded": np.round(rng.normal(50, 20, n), -1),
        "input.day_a": rng.normal(0, 1, n) + 0.8 * day,
        "input.day_b": rng.gamma(3, 1 + 0.5 * (1 + day), n),
        "input.week": rng.normal(0, 1, n) + 1.0 * weekend,
        "input.visits": rng.poisson(5 + 2 * day, n).astype(float),
        "confidence": rng.beta(6, 2, n),
    }
    for place, name in enumerate(("input.load", "input.queue", "input.price", "input.wind")):
        out[name] = rng.normal(0, 1, n) + wander[place][hour]
    age = rng.normal(40, 12, n)
    out["input.age"] = pa.array(age, mask=rng.random(n) < 0.02 + 0.10 * by)
    out["input.optional"] = pa.array(rng.exponential(2, n), mask=rng.random(n) < 0.4)
    code, names = labels(rng, n, 4, 1.0, "net-")
    out["context.network"] = words(np.where((code == 0) & (rng.random(n) < 0.208 * by), 3, code), names)
    code, names = labels(rng, n, 12, 1.2, "loc-")
    out["context.locale"] = words(np.where(rng.random(n) < 0.08 * by, 12, code), [*names, "gsw-CH"])
    code, names = labels(rng, n, 200, 1.1, "page-")
    out["context.page"] = words(code, names)
    code, names = labels(rng, n, 8, 0.7, "plan-")
    out["context.plan"] = words(code, names, rng.random(n) < 0.3)
    mobile = rng.random(n) < 0.5 + 0.25 * day
    out["context.device"] = words(mobile.astype(int), ["web", "mobile"])
    out["context.flag"] = words((rng.random(n) < 0.03).astype(int), ["no", "yes"])
    code, names = labels(rng, n, 30, 1.0, "v")
    out["context.version"] = words(code, names)
    code, names = labels(rng, n, 10, 0.8, "label-")
    out["output"] = words(code, names)
    return out


def write(path: Path, n: int, *, days: int, first: int, seed: int, moved: bool, rho: float = 0.8, size: float = 1.0):
    """Write `n` rows over `days` from day `first`, in order of time, as one Parquet file."""
    rng = np.random.default_rng([seed, first])
    wander = [levels(rng, days * 24 + 1, rho, 0.3) for _ in range(4)]
    begin = START + first * 86400
    writer = None
    step = 250_000
    for done in range(0, n, step):
        m = min(step, n - done)
        at = begin + (np.arange(done, done + m) + 0.5) * (days * 86400 / n)
        shift = [level[int((at[0] - begin) // HOUR) :] for level in wander]
        at[0] = begin + (at[0] - begin) // HOUR * HOUR  # hours count from a full one
        made = columns(rng, at, shift, moved, size)
        table = pa.table(
            {
                "seq": np.arange(done + 1, done + m + 1),
                "id": pa.array(np.arange(done, done + m)).cast(pa.string()),
                "at": pa.array((at * 1e6).astype(np.int64), pa.timestamp("us", "UTC")),
                "rand": rng.random(m),
                **made,
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=122_880)
    writer.close()


def names():
    """The thirty columns."""
    rng = np.random.default_rng(0)
    return list(columns(rng, START + np.arange(2.0), [np.zeros(2)] * 4, False))
