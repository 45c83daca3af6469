"""Sketches computed where the rows lie: one pass for the edges (on a sample), one for all the counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa

from flywheel.errors import InvalidConfig
from flywheel.observe.drift.derived import derived, superfluous, value_of
from flywheel.observe.drift.sketch import Blocks, Column, Sketch

__all__ = ["block_of", "blocks_for", "columns_of", "counted", "sketch"]

BINS = 64
SAMPLE = 100_000
WORDS_LONG = 200
"""A category longer than this is text, or an id: not counted by its value."""
WIDTHS = (3600, 1800, 600, 300, 60, 30, 10, 5, 1)
FEWEST = 96
"""Blocks a window should have: fewer leave the spread between blocks itself unsure."""

MOST = 10_000
"""So many blocks are enough: a longer time is cut into days."""


@ibis.udf.agg.builtin(name="histogram")  # type: ignore[untyped-decorator]
def _binned(values: float, edges: list[float]) -> dict[float, int]:  # type: ignore[empty-body]
    """DuckDB's count of values by the first edge that is at least as large."""


@ibis.udf.agg.builtin(name="histogram_exact")  # type: ignore[untyped-decorator]
def _labelled(values: str, labels: list[str]) -> dict[str, int]:  # type: ignore[empty-body]
    """DuckDB's count of values by label, all others under the empty one."""


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]
def _microseconds(at: dt.Timestamp(timezone="UTC")) -> int:  # type: ignore[empty-body,valid-type]
    """Microseconds since 1970, without a detour through fractions."""


def sketch(
    table: Any,
    columns: Sequence[str] | None = None,
    *,
    edges: Sequence[Column] | None = None,
    blocks: Blocks | None = None,
    like: Sketch | None = None,
) -> Sketch:
    """Count an Ibis table's columns by block and bin, all of them in one scan.

    `like` counts as that sketch does (the way to look at new rows beside a kept reference); else `edges` come from
    `columns_of`, which is asked for `columns` where they are not given. The table needs `at`, or `seq` where blocks
    are by rows. Raises InvalidConfig for a column that is not there. O(rows × columns) in the engine; what leaves it is
    blocks × cells counts a column.
    """
    if like is not None:
        edges, blocks = like.columns, like.every
    chosen = list(columns_of(table, columns) if edges is None else edges)
    every = blocks or blocks_for(table)
    found = counted(table, chosen, every).to_pyarrow()
    order = np.argsort(found["block"].to_numpy(), kind="stable")
    found = found.take(pa.array(order))
    rows = found["rows"].to_numpy().astype(np.int64)
    counts = {}
    for column in chosen:
        counts[column.name] = _cells(found[column.name], found["#" + column.name].to_numpy(), rows, column)
        if "?" + column.name in found.column_names:
            counts[column.name][:, column.labels.index("")] = found["?" + column.name].to_numpy()
        if column.kind != "number":
            counts[column.name][:, -2] = rows - counts[column.name].sum(axis=1)
    return Sketch(every, tuple(chosen), found["block"].to_numpy().astype(np.int64), counts)


def counted(table: Any, columns: Sequence[Column], every: Blocks) -> Any:
    """The expression behind a sketch: a row a block with `rows`, and for each column a map of counts, and how many
    values are not null (`#<name>`)."""
    chosen = {}
    for place, column in enumerate(columns):
        value = value_of(table, column.name, column.kind)
        nothing = ibis.null("float64" if column.kind == "number" else "string")
        chosen[f"v{place}"] = nothing if value is None else value
    held = table.select(block=block_of(table, every), **chosen)
    sums: dict[str, Any] = {"rows": held.count()}
    plain = _plain(table)
    for place, column in enumerate(columns):
        value = held[f"v{place}"]
        sums["#" + column.name] = value.count()
        if column.kind == "number":
            if plain:
                sums[column.name] = _binned(value, ibis.array(list(column.edges) or [0.0]))
            else:
                sums[column.name] = _summed(_tree(value, column.edges), len(column.edges) + 1)
        elif plain:
            sums[column.name] = _labelled(value, ibis.array([label for label in column.labels if label] or [""]))
            if "" in column.labels:  # under which DuckDB counts all others
                sums["?" + column.name] = (value == "").sum().fill_null(0)
        else:
            place_of = [(value == label, ibis.literal(k)) for k, label in enumerate(column.labels)]
            sums[column.name] = _summed(
                ibis.cases(*place_of, else_=len(column.labels)) if place_of else ibis.literal(0), len(column.labels) + 1
            )
    return held.group_by("block").aggregate(**sums)


def _summed(cell: Any, cells: int) -> Any:
    """Counts of a cell's numbers as an array: what every engine can do."""
    return ibis.array([(cell == k).sum().fill_null(0) for k in range(cells)])


def _plain(table: Any) -> bool:
    return bool(table.get_backend().name == "duckdb") if _bound(table) else True


def _bound(table: Any) -> bool:
    return bool(table.op().find((ibis.expr.operations.DatabaseTable, ibis.expr.operations.SQLQueryResult)))


def block_of(table: Any, every: Blocks) -> Any:
    """The number of each row's block."""
    if every.by == "rows":
        return (table.seq // every.width).cast("int64")
    if _plain(table) and table["at"].type().is_timestamp() and table["at"].type().timezone:
        return (_microseconds(table["at"]) // (every.width * 1_000_000)).cast("int64")
    return (table["at"].epoch_seconds() // every.width).cast("int64")


def _tree(value: Any, edges: Sequence[float], low: int = 0, high: int | None = None) -> Any:
    """The bin of a value as nested questions, log2(bins) deep; null stays null."""
    high = len(edges) if high is None else high
    if low == high:
        return value.isnull().ifelse(ibis.null("int64"), ibis.literal(low, "int64"))
    middle = (low + high) // 2
    return (value <= edges[middle]).ifelse(_tree(value, edges, low, middle), _tree(value, edges, middle + 1, high))


def _cells(maps: Any, known: Any, rows: Any, column: Column) -> Any:
    """Blocks × cells from what the engine gave: a map a block, or an array a block. `other` is left at 0."""
    counts = np.zeros((len(rows), column.cells), np.int64)
    maps = maps.combine_chunks()
    offsets = maps.offsets.to_numpy()
    lengths = np.diff(offsets)
    block = np.repeat(np.arange(len(rows)), lengths)
    if pa.types.is_map(maps.type):
        keys, items = maps.keys.slice(offsets[0]), maps.items.slice(offsets[0])
        amounts = items.to_numpy(zero_copy_only=False).astype(np.int64)[: len(block)]
        if column.kind == "number":
            cell = _nearest(column.edges, keys.to_numpy(zero_copy_only=False)[: len(block)])
        else:
            at = {label: place for place, label in enumerate(column.labels) if label}
            cell = np.array([at.get(key, -1) for key in keys.to_pylist()[: len(block)]], np.int64)
            block, amounts, cell = block[cell >= 0], amounts[cell >= 0], cell[cell >= 0]
        np.add.at(counts, (block, cell.astype(np.int64)), amounts)
    else:
        values = maps.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
        counts[:, :-1] = values.reshape(len(rows), -1)
        if column.kind != "number":
            counts[:, -2] = 0
    counts[:, -1] = rows - known
    return counts


def _nearest(edges: Sequence[float], keys: Any) -> Any:
    """The bin of each edge that came back, whose last digit may have changed on the way; above them all is infinity."""
    known = np.array(edges)
    middle = known[:-1] / 2 + known[1:] / 2
    return np.where(np.isinf(keys) & (keys > 0), len(known), np.searchsorted(middle, keys))


def blocks_for(table: Any, widest: int = 3600) -> Blocks:
    """Blocks for this window: of `widest` seconds, or of as much less as makes a hundred or so of them.

    Where all rows carry about the same time (a bulk import), blocks are runs of rows in the order of the log.
    """
    at = table["at"]
    facts = table.aggregate(first=at.min(), last=at.max(), n=table.count()).to_pyarrow().to_pylist()[0]
    if not facts["n"]:
        return Blocks("time", widest)
    span = (facts["last"] - facts["first"]).total_seconds()
    if span > MOST * widest:
        return Blocks("time", max(86_400, widest))
    for width in (w for w in (widest, *WIDTHS) if w <= widest):
        if span >= FEWEST * width:
            return Blocks("time", width)
    if "seq" not in table.columns:
        return Blocks("time", 1)
    return Blocks("rows", max(1, math.ceil(facts["n"] / (FEWEST + FEWEST // 3))))


def columns_of(
    table: Any, columns: Sequence[str] | None = None, *, bins: int = BINS, sample: int = SAMPLE
) -> list[Column]:
    """Which columns of the tables can be counted, and their bins: quantiles of about `sample` rows drawn by `rand`.

    Numbers with at most `bins` distinct values get a bin each. Categories keep their `bins` - 2 most frequent values;
    texts and ids (hardly a value twice) are left out, unless asked for. Raises InvalidConfig for an unknown name.
    """
    names = derived(table) if columns is None else list(columns)
    unknown = [name for name in names if value_of(table, name, "any") is None]
    if unknown:
        raise InvalidConfig(f"No column {unknown[0]!r} to watch for drift; there are {', '.join(derived(table))}")
    n = int(table.count().to_pyarrow().as_py())
    drawn = table.filter(table.rand < sample / n) if "rand" in table.columns and n > sample else table
    chosen = {f"v{place}": value_of(drawn, name, "any") for place, name in enumerate(names)}
    if not chosen:
        return []
    held = drawn.select(**chosen).to_pyarrow()
    found = {}
    for place, name in enumerate(names):
        column = _column(name, held[f"v{place}"], bins, asked=columns is not None)
        if column is not None:
            found[name] = column
    if columns is None:
        for name in superfluous(found):
            del found[name]
    return list(found.values())


def _column(name: str, values: Any, bins: int, asked: bool) -> Column | None:
    values = values.drop_null()
    if pa.types.is_floating(values.type):
        numbers = values.to_numpy()
        return number(name, numbers[np.isfinite(numbers)], bins)
    counts = values.value_counts()
    size = counts.field("counts").to_numpy()
    if not asked and len(values) >= 50 and len(size) > len(values) / 5:
        return None
    labels = counts.field("values").to_pylist()
    order = sorted(range(len(size)), key=lambda k: (-int(size[k]), labels[k]))
    short = [labels[k] for k in order if len(labels[k]) <= WORDS_LONG]
    return Column(name, "category", labels=tuple(short[: bins - 2]))


def number(name: str, values: Any, bins: int = BINS) -> Column:
    """A column of numbers with the quantile bins of `values` (finite, in any order).

    >>> number("x", np.array([1.0, 2.0, 2.0, 5.0])).edges
    (1.0, 2.0, 5.0)
    """
    if not len(values):
        return Column(name, "number")
    distinct = np.unique(values)
    if len(distinct) <= bins - 1:
        edges = distinct
    else:
        edges = np.unique(np.quantile(values, np.arange(1, bins - 1) / (bins - 1), method="inverted_cdf"))
    # Twelve digits, so that an engine reads from its query the very number meant.
    return Column(name, "number", edges=tuple(dict.fromkeys(float(f"{edge:.12g}") for edge in edges.tolist())))
