"""The drift report: which columns of a window moved, by how much, and from what to what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig
from flywheel.observe.drift.counting import BINS, blocks_for, columns_of, counted, sketch
from flywheel.observe.drift.derived import value_of
from flywheel.observe.drift.ebh import ebh
from flywheel.observe.drift.effect import Effect, Side, apart
from flywheel.observe.drift.sketch import Blocks, Column, Sketch
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.records import Interval, Observation

__all__ = ["Move", "compare", "drift", "side"]

MINIMUM = 0.05
"""One value in twenty where it was not before: less is seldom worth a look, and never by itself worth a retraining."""
WIDTH = {"hour": 3600, "minute": 60, "day": 86_400}
BARS = 24


@dataclass(frozen=True, slots=True)
class Move:
    """One column of two sketches: its effect, and whether it is among those that moved."""

    column: Column
    effect: Effect
    moved: bool


def drift(
    window: Seen,
    reference: Seen | Sketch,
    *,
    minimum: float = MINIMUM,
    alpha: float = 0.05,
    columns: Sequence[str] | None = None,
    block: str = "hour",
    seed: int = 0,
) -> list[Observation]:
    """Columns that moved by more than `minimum` between a reference and a window, the largest move first.

    Looks at inputs (`input.*`, the length of texts, vectors), outputs, confidence, latency, errors and context; or at
    `columns`. The effect is the total variation distance: the share of values that are where they were not before,
    whatever the traffic. A column is told when the evidence that it moved by more than `minimum` survives e-BH at
    `alpha` over all columns, with chance taken from how blocks of time differ (`block`: `minute`, `hour` or `day`;
    shorter where the window is short) and hours held against the same hours where the reference has them. None of
    these is an alarm: that something moved does not say that it hurts. `reference` may be a `Sketch` that was kept.
    """
    from flywheel.observe.drift.vectors import vector_shift

    if block not in WIDTH:
        raise InvalidConfig(f"Blocks of drift are {', '.join(WIDTH)}, not {block!r}")
    _check(minimum, alpha)
    table = window.interactions
    plain = None if columns is None else [name for name in columns if name != "input_vector"]
    if isinstance(reference, Sketch):
        old = reference if plain is None else reference.only(plain)
    else:
        old = sketch(
            reference.interactions,
            edges=columns_of(reference.interactions, plain),
            blocks=blocks_for(reference.interactions, WIDTH[block]),
        )
    found: list[Observation] = []
    if old.rows:
        every = blocks_for(table, WIDTH[block])
        new = sketch(table, edges=old.columns, blocks=every)
        if not new.rows:
            return []
        moves = compare(new, old, minimum=minimum, alpha=alpha)
        found = [_told(move, new, old, window, every, minimum) for move in moves if move.moved]
    if not isinstance(reference, Sketch) and (columns is None or "input_vector" in columns):
        found += vector_shift(window, reference, minimum=minimum, alpha=alpha, seed=seed)
    return sorted(found, key=lambda one: -(one.effect or 0.0))


def compare(window: Sketch, reference: Sketch, *, minimum: float = MINIMUM, alpha: float = 0.05) -> list[Move]:
    """Every column of two sketches with its effect, moved or not, in the order of the columns.

    Needs only the sketches, so a reference that was kept, or a week added up from its days, will do. The sketches count
    in the same bins; their blocks may be of different widths.
    """
    _check(minimum, alpha)
    if window.columns != reference.columns:
        raise InvalidConfig("These two sketches count in different bins. Make the window's with like=<the reference's>")
    effects = [
        apart(side(reference, c.name), side(window, c.name), minimum, ordered=c.kind == "number")
        for c in window.columns
    ]
    moved = ebh([effect.e for effect in effects], alpha)
    return [Move(column, effect, bool(yes)) for column, effect, yes in zip(window.columns, effects, moved, strict=True)]


def side(counted_rows: Sketch, name: str) -> Side:
    """A column of a sketch, with the times of its blocks."""
    every = counted_rows.every
    start = counted_rows.blocks * float(every.width)
    return Side(counted_rows.counts[name], start if every.by == "time" else np.full(len(start), np.nan))


def _check(minimum: float, alpha: float) -> None:
    if not 0 <= minimum < 1:
        raise InvalidConfig(f"minimum is a share of values, from 0 to below 1, not {minimum!r}")
    if not 0 < alpha < 1:
        raise InvalidConfig(f"alpha is the share of false findings to bear, between 0 and 1, not {alpha!r}")


def _told(move: Move, new: Sketch, old: Sketch, window: Seen, every: Blocks, minimum: float) -> Observation:
    column, effect = move.column, move.effect
    q, p = (one.counts[column.name].sum(axis=0).astype(float) for one in (new, old))
    evidence = [*_described(column, p, q)]
    if column.kind == "category":
        evidence += _unseen(column, window, p, q)
    like = f", each hour against the same {effect.season}" if effect.season else ""
    evidence.append(
        f"Evidence {_size(effect.e)} to 1 that more than {minimum:.0%} moved, over {effect.blocks:,} blocks{like}"
    )
    reach = f"{effect.size:.0%} of the values ({effect.low:.0%} to {effect.high:.0%})"
    line = f"{column.name}: {reach} are where they were not before"
    if evidence[:-1]:
        line += f"; {evidence[0]}"
    value, before = _middle(column, q), _middle(column, p)
    return Observation(
        kind="shift",
        name=column.name,
        line=line,
        value=value,
        reference=before,
        effect=effect.size,
        interval=Interval(effect.size, effect.low, effect.high, effect.n),
        n=effect.n,
        since=_moment(new, 0),
        until=_moment(new, -1),
        evidence=tuple(evidence),
        query=query_of(_build(column, every), window),
        chart=_chart(column, p, q),
    )


def _build(column: Column, every: Blocks) -> Callable[[Any, Any], Any]:
    return lambda interactions, feedback: counted(interactions, [column], every)


def _size(e: float) -> str:
    return f"{e:,.0f}" if e < 1e6 else f"over {10 ** int(min(math.log10(e), 12)):,}"


def _moment(new: Sketch, place: int) -> datetime | None:
    if new.every.by != "time" or not len(new.blocks):
        return None
    block = int(new.blocks[place]) + (1 if place else 0)
    return datetime.fromtimestamp(block * new.every.width, UTC)


def _described(column: Column, p: Any, q: Any) -> list[str]:
    """What moved, in words: median, nulls, or the values that gained and lost most."""
    out = []
    if column.kind == "number":
        before, value = _middle(column, p), _middle(column, q)
        if before is not None and value is not None and abs(value - before) > 1e-3 * max(abs(value), abs(before)):
            out.append(f"median {before:.4g} → {value:.4g}")
        low, high, now_low, now_high = (_quantile(column, counts, level) for counts in (p, q) for level in (0.25, 0.75))
        if low is not None and now_low is not None:
            out.append(f"middle half {low:.4g} to {high:.4g} → {now_low:.4g} to {now_high:.4g}")
    share_p, share_q = p / p.sum(), q / q.sum()
    if abs(share_q[-1] - share_p[-1]) >= 0.01:
        out.insert(0, f"nulls {share_p[-1]:.1%} → {share_q[-1]:.1%}")
    if column.kind == "category":
        names = column.names()
        order = np.argsort(-np.abs(share_q - share_p), kind="stable")
        out += [
            f"{names[k]!r} {share_p[k]:.1%} → {share_q[k]:.1%}"
            for k in order[:3]
            if abs(share_q[k] - share_p[k]) >= 0.005 and names[k] != "null"
        ]
    return out


def _unseen(column: Column, window: Seen, p: Any, q: Any) -> list[str]:
    """Frequent values that the reference's list does not have."""
    if q[-2] / q.sum() - p[-2] / p.sum() < 0.01:
        return []
    table = window.interactions
    values = value_of(table, column.name, column.kind)
    held = table.select(value=values).filter(lambda t: t.value.notnull() & ~t.value.isin(list(column.labels) or [""]))
    top = held.group_by("value").aggregate(n=held.count())
    rows = top.order_by([top.n.desc(), top.value]).limit(3).to_pyarrow().to_pylist()
    return [f"new: {row['value'][:60]!r}, {row['n'] / q.sum():.1%} of the values" for row in rows]


def _middle(column: Column, counts: Any) -> float | None:
    return _quantile(column, counts, 0.5) if column.kind == "number" else None


def _quantile(column: Column, counts: Any, level: float) -> float | None:
    """The quantile: the value where every value has a bin, else by linear interpolation inside its bin; in the outer
    bins, the edge."""
    body = counts[:-1]
    if not column.edges or not body.sum():
        return None
    edges = np.array(column.edges)
    reached = np.cumsum(body) / body.sum()
    k = int(np.searchsorted(reached, level))
    if k == 0 or k >= len(edges) or len(edges) < BINS - 2:
        return float(edges[min(k, len(edges) - 1)])
    before = reached[k - 1]
    return float(edges[k - 1] + (edges[k] - edges[k - 1]) * (level - before) / max(reached[k] - before, 1e-12))


def _chart(column: Column, p: Any, q: Any) -> dict[str, Any]:
    """Bars of the window (`y`) with the reference (`mark`) over the same cells."""
    names, cells = column.names(), len(p)
    if column.kind == "number" and cells > BARS:
        group = np.minimum(np.arange(cells - 1) * (BARS - 1) // (cells - 1), BARS - 2)
        shown = [names[int(np.flatnonzero(group == g)[-1])] for g in range(int(group.max()) + 1)]
        p = np.append(np.bincount(group, p[:-1]), p[-1])
        q = np.append(np.bincount(group, q[:-1]), q[-1])
        names = [*shown, names[-1]]
    elif cells > BARS:
        order = np.argsort(-np.maximum(p / p.sum(), q / q.sum())[:-2], kind="stable")
        kept, rest = order[: BARS - 2], order[BARS - 2 :]
        extra = [p[rest].sum() + p[-2], q[rest].sum() + q[-2]]
        names = [*(names[int(k)] for k in kept), "other", "null"]
        p, q = np.append(p[kept], [extra[0], p[-1]]), np.append(q[kept], [extra[1], q[-1]])
    return {
        "kind": "bars",
        "x": names,
        "y": [round(float(v), 5) for v in q / q.sum()],
        "mark": [round(float(v), 5) for v in p / p.sum()],
    }
