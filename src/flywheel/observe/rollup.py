"""The overview of a long log without reading it again: a cell an hour, added up as interactions and feedback arrive."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import InvalidConfig
from flywheel.observe.drift.counting import block_of
from flywheel.observe.drift.sketch import Blocks
from flywheel.observe.judged import judged
from flywheel.observe.series import Cut, Seen, negative, wilson
from flywheel.store.snapshot import standing

__all__ = ["CELLS", "merge", "overview", "rollup"]

HOUR = 3600
SPANS = {"hour": HOUR, "day": 24 * HOUR}
GROWTH = math.log(1.02)
"""Each latency bin is 2 % wider than the one below, so a quantile is right within 1 % (DDSketch: Masson, Rim & Lee,
VLDB 2019)."""
LEAST_MS = 1e-3
_FEW = 20_000
"""Feedback about so many interactions is looked up one by one; more of it in one look at all."""

_SUMS = ("volume", "errors", "told", "negative", "confident", "confidence", "labels", "mass", "squares", "lost")
_WHOLE = {"volume", "errors", "told", "negative", "confident", "labels"}

CELLS = pa.schema(
    [
        ("hour", pa.int64()),
        *((name, pa.int64() if name in _WHOLE else pa.float64()) for name in _SUMS),
        ("bins", pa.list_(pa.int32())),
        ("counts", pa.list_(pa.int64())),
    ]
)
"""A row an hour (counted from 1970): how many interactions, errors, with feedback, with negative feedback, with a
confidence and its sum; trusted labels, their weights, squared weights and the weight of wrong answers; and latencies by
bin."""


def rollup(seen: Seen, after: int = 0) -> pa.Table:
    """What interactions and feedback with `seq > after` add to the hourly cells, as a table of schema `CELLS`.

    Late feedback changes the hour in which its interaction happened: the cells hold the difference between what that
    interaction counted for before and counts for now, so that `merge(old, rollup(snapshot, after=old_seq))` is
    `rollup(snapshot)`, in whatever steps. `seen` is a snapshot of all interactions and feedback, not of a window. What
    is erased is not taken off: roll up anew after an erasure. O(new rows), and O(log n) for each interaction that new
    feedback is about, or one look at the ids of all where it is about many.
    """
    t = seen.interactions
    fresh = t.filter(t.seq > after) if after else t
    parts = [_traffic(fresh), *_told(seen, fresh, after)]
    cells: dict[int, dict[str, float]] = {}
    for found in parts:
        for row in found:
            cell = cells.setdefault(row.pop("hour"), dict.fromkeys(_SUMS, 0))
            for name, value in row.items():
                cell[name] += value or 0
    latencies = _latencies(fresh)
    hours = sorted(cells)
    columns: dict[str, Any] = {"hour": hours}
    columns |= {name: [cells[hour][name] for hour in hours] for name in _SUMS}
    columns["bins"] = [latencies.get(hour, ([], []))[0] for hour in hours]
    columns["counts"] = [latencies.get(hour, ([], []))[1] for hour in hours]
    return pa.table(columns, schema=CELLS)


def _traffic(fresh: Any) -> list[dict[str, Any]]:
    held = fresh.select("confidence", "error", hour=block_of(fresh, Blocks("time", HOUR)))
    wrong = held.error.notnull() & (held.error != "")
    found: list[dict[str, Any]] = (
        held.group_by("hour")
        .aggregate(
            volume=held.count(),
            errors=wrong.sum(),
            confident=held.confidence.count(),
            confidence=held.confidence.sum(),
        )
        .to_pyarrow()
        .to_pylist()
    )
    return found


def _latencies(fresh: Any) -> dict[int, tuple[list[int], list[int]]]:
    held = fresh.filter(fresh.latency_ms.notnull() & ~fresh.latency_ms.isinf() & ~fresh.latency_ms.isnan())
    place = (ibis.greatest(held.latency_ms, LEAST_MS).ln() / GROWTH).ceil().cast("int32")
    held = held.select(hour=block_of(held, Blocks("time", HOUR)), bin=place)
    found = held.group_by(["hour", "bin"]).aggregate(n=held.count()).order_by(["hour", "bin"]).to_pyarrow()
    hours, bins, counts = (found[name].to_numpy() for name in ("hour", "bin", "n"))
    if not len(hours):
        return {}
    starts = np.flatnonzero(np.diff(hours, prepend=hours[0] - 1))
    ends = np.append(starts[1:], len(hours))
    return {int(hours[a]): (bins[a:b].tolist(), counts[a:b].tolist()) for a, b in zip(starts, ends, strict=True)}


def _told(seen: Seen, fresh: Any, after: int) -> list[list[dict[str, Any]]]:
    """What feedback adds by hour: all that touched interactions count for now, less what they counted for before."""
    t, f = seen.interactions, seen.said if hasattr(seen, "said") else seen.feedback
    if not after:
        return _judgements(Cut(t, standing(f)), 1)
    new = ibis.memtable(fresh.select("id").to_pyarrow())
    out = _judgements(Cut(fresh, standing(f.semi_join(new, [("interaction_id", "id")]))), 1)
    ids = f.filter(f.seq > after).select("interaction_id").distinct().to_pyarrow()
    if not ids.num_rows:
        return out
    # What new feedback touches is little: it leaves the engine once, so that the long table is read once, if at all.
    touched = ibis.memtable(ids)
    answers = getattr(seen, "answers", None)
    if answers is not None and ids.num_rows <= _FEW:
        found = answers(ids.column("interaction_id").to_pylist())
        known = ibis.memtable(found.filter(pc.less_equal(found["seq"], after)).drop_columns("seq"))
    else:
        old = t.filter(t.seq <= after).semi_join(touched, [("id", "interaction_id")]).select("id", "at", "output")
        known = ibis.memtable(old.to_pyarrow())
    told = ibis.memtable(f.semi_join(touched, "interaction_id").to_pyarrow())
    now, before = standing(told), standing(told.filter(told.seq <= after))  # a withdrawal is feedback that came later
    return out + _judgements(Cut(known, now), 1) + _judgements(Cut(known, before), -1)


def _judgements(cut: Cut, sign: int) -> list[list[dict[str, Any]]]:
    t, f = cut.interactions, cut.feedback
    per = f.group_by("interaction_id").aggregate(negative=negative(f).max())
    held = t.select("id", hour=block_of(t, Blocks("time", HOUR))).inner_join(per, [("id", "interaction_id")])
    told = held.group_by("hour").aggregate(told=held.count(), negative=held.negative.sum().cast("int64"))
    parts = [told]
    if {"source", "value", "propensity"} <= set(f.columns):
        known = judged(cut)
        known = known.select("weight", "wrong", hour=block_of(known, Blocks("time", HOUR)))
        parts.append(
            known.group_by("hour").aggregate(
                labels=known.count(),
                mass=known.weight.sum(),
                squares=(known.weight * known.weight).sum(),
                lost=(known.weight * known.wrong).sum(),
            )
        )
    rows = [part.to_pyarrow().to_pylist() for part in parts]
    return [[{k: v if k == "hour" else sign * (v or 0) for k, v in row.items()} for row in part] for part in rows]


def merge(one: pa.Table, other: pa.Table) -> pa.Table:
    """Add up two tables of cells, in any order and grouping. O(cells)."""
    both = pa.concat_tables([one, other]).combine_chunks()
    hour = both["hour"].to_numpy()
    hours, place = np.unique(hour, return_inverse=True)
    columns: dict[str, Any] = {"hour": hours}
    for name in _SUMS:
        columns[name] = _sums(place, both[name].to_numpy(), len(hours)).astype(
            np.int64 if name in _WHOLE else np.float64
        )
    row, bins, counts = _unfolded(both)
    keys, at = np.unique(np.stack([place[row], bins]), axis=1, return_inverse=True)
    counts = _sums(at.ravel(), counts, keys.shape[1]).astype(np.int64)
    offsets = pa.array(np.searchsorted(keys[0], np.arange(len(hours) + 1)), pa.int32())
    columns["bins"] = pa.ListArray.from_arrays(offsets, pa.array(keys[1], pa.int32()))
    columns["counts"] = pa.ListArray.from_arrays(offsets, pa.array(counts, pa.int64()))
    return pa.table(columns, schema=CELLS)


def overview(cells: pa.Table, every: str = "hour", *, last: int | None = None) -> list[dict[str, Any]]:
    """The rows of `metrics(snapshot, every)`, for `hour` or `day`, from cells: in time that does not grow with traffic.

    Latency quantiles are right within 1 %; all else is equal to what `metrics` gives. `last` keeps so many rows from
    the end. O(cells).
    """
    if every not in SPANS:
        raise InvalidConfig(f"An overview is by {' or '.join(SPANS)}, not {every!r}; `metrics` knows minutes too")
    step = SPANS[every] // HOUR
    held = cells.filter(pa.array(cells["volume"].to_numpy() > 0)).combine_chunks()
    start = held["hour"].to_numpy() // step
    periods, place = np.unique(start, return_inverse=True)
    if last is not None and len(periods) > last:
        kept = start >= periods[-last]
        held, place = held.filter(pa.array(kept)).combine_chunks(), place[kept] - (len(periods) - last)
        periods = periods[-last:]
    sums = {name: _sums(place, held[name].to_numpy(), len(periods)) for name in _SUMS}
    row, bins, counts = _unfolded(held)
    out = []
    quantiles = _quantiles(place[row], bins, counts, len(periods))
    for k, period in enumerate(periods.tolist()):
        n = sums["volume"][k]
        share, worth = 0.0, 0.0
        if sums["labels"][k] > 0:
            share, worth = sums["lost"][k] / sums["mass"][k], sums["mass"][k] ** 2 / sums["squares"][k]
        low, high = wilson(share, worth) if worth else (None, None)
        out.append(
            {
                "at": datetime.fromtimestamp(period * step * HOUR, UTC),
                "volume": int(n),
                "errors": float(sums["errors"][k] / n),
                "negative": float(sums["negative"][k] / n),
                "feedback": float(sums["told"][k] / n),
                "confidence": float(sums["confidence"][k] / sums["confident"][k]) if sums["confident"][k] else None,
                "latency_p50": quantiles[0][k],
                "latency_p95": quantiles[1][k],
                "failures": float(share) if worth else None,
                "failures_low": low,
                "failures_high": high,
                "labels": int(sums["labels"][k]),
            }
        )
    return out


def _sums(place: Any, values: Any, n: int) -> Any:
    total = np.zeros(n, values.dtype)
    np.add.at(total, place, values)
    return total


def _unfolded(cells: pa.Table) -> tuple[Any, Any, Any]:
    """The latency bins of all cells: the row each belongs to, the bin, its count."""
    if not cells.num_rows:
        return (np.zeros(0, np.int64),) * 3
    bins, counts = cells["bins"].combine_chunks(), cells["counts"].combine_chunks()
    lengths = np.diff(bins.offsets.to_numpy())
    return np.repeat(np.arange(len(lengths)), lengths), bins.flatten().to_numpy(), counts.flatten().to_numpy()


def _quantiles(place: Any, bins: Any, counts: Any, n: int) -> list[list[float | None]]:
    """Median and 95th percentile of each period, in milliseconds; None where nothing was timed."""
    order = np.lexsort((bins, place))
    place, bins, counts = place[order], bins[order], counts[order]
    edges = np.searchsorted(place, np.arange(n + 1))
    reached = np.concatenate([[0], np.cumsum(counts)])
    begun, timed = reached[edges[:-1]], np.diff(reached[edges])
    known = np.flatnonzero(timed)
    out: list[list[float | None]] = [[None] * n, [None] * n]
    for level, answers in zip((0.5, 0.95), out, strict=True):
        wanted = begun[known] + np.ceil(level * timed[known]).astype(np.int64)  # whole, so that sums stay exact
        at = np.searchsorted(reached[1:], wanted)
        for k, place_of in zip(known.tolist(), bins[at].tolist(), strict=True):
            answers[k] = 2 * math.exp(float(place_of) * GROWTH) / (1 + math.exp(GROWTH))
    return out
