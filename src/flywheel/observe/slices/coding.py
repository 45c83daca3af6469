"""Columns of a table as small codes: categories by value, numbers by quantile, equal rows counted in the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.observe.slices.rows import Rows

__all__ = ["Coded", "Column", "encode", "plan", "sampled"]

PLANNED = 100_000
"""So many rows are looked at to choose categories and cut points."""
MOST = 1_000_000
"""Rows that leave the engine at most, when hardly two are equal."""
MERGES = 0.5
"""Rows are counted in the engine when at most this share of a sample of them is different."""
RARE = 0.002
"""A category with a smaller share gets no name of its own."""
NAMED = 50
"""At most so many categories of a column get one."""

_OTHER = "\x01other"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is coded: `levels` are its values, or `cuts` the places where its numbers are cut."""

    name: str
    label: str
    levels: tuple[Any, ...] = ()
    cuts: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many codes there are: one a level or bin, and one for what is missing."""
        return (len(self.cuts) + 1 if self.cuts else len(self.levels)) + 1

    def expression(self, table: Any) -> Any:
        """What the engine groups by: the number of the bin (-1 where missing), or the value itself."""
        cell = table[self.name]
        if not self.cuts:
            # Values without a name are one value to the engine, or a column of texts would keep all rows apart.
            return (cell.isnull() | cell.isin(self.levels)).ifelse(cell, _OTHER) if cell.type().is_string() else cell
        steps = [(cell >= cut).cast("int16") for cut in self.cuts]
        return sum(steps[1:], steps[0]).fill_null(-1).cast("int16")

    def codes(self, cells: pa.ChunkedArray) -> Array:
        """Codes of what `expression` gave: 0 for missing, -1 for a value without a name."""
        if self.cuts:
            bins: Array = cells.to_numpy().astype(np.int16) + 1
            return bins
        flat = cells.combine_chunks()
        found = pc.index_in(flat, value_set=pa.array(list(self.levels), flat.type))
        code = pc.fill_null(pc.add(pc.cast(found, pa.int16()), 1), -1).to_numpy(zero_copy_only=False)
        return np.where(flat.is_null().to_numpy(zero_copy_only=False), 0, code).astype(np.int16)

    def condition(self, table: Any, low: int, high: int | None = None) -> Any:
        """The rows with this code, or with one of the bins from `low` to `high`, as an expression over the table."""
        cell, high = table[self.name], low if high is None else high
        if low == 0:
            return cell.isnull()
        if not self.cuts:
            return (cell == self.levels[low - 1]).fill_null(ibis.literal(False))
        inside = cell.notnull()
        if low > 1:
            inside = inside & (cell >= self.cuts[low - 2])
        if high <= len(self.cuts):
            inside = inside & (cell < self.cuts[high - 1])
        return inside.fill_null(ibis.literal(False))

    def text(self, low: int, high: int | None = None) -> Any:
        """The value, or the bins from `low` to `high`, as they stand in the slice's name."""
        high = low if high is None else high
        if low == 0:
            return "missing"
        if not self.cuts:
            value = self.levels[low - 1]
            return _plain(value) if self.name == "output" else value
        if low == 1:
            return f"below {self.cuts[high - 1]:g}" if high <= len(self.cuts) else "any"
        if high > len(self.cuts):
            return f"{self.cuts[low - 2]:g} and more"
        return f"{self.cuts[low - 2]:g} to {self.cuts[high - 1]:g}"


@dataclass(frozen=True, slots=True)
class Coded:
    """The rows of a table, coded, equal ones counted once."""

    columns: tuple[Column, ...]
    rows: Rows
    n: int
    """Interactions in the table …"""
    used: int
    """… and those that the rows stand for: fewer where a sample had to do."""


def plan(table: Any, names: Sequence[str], *, bins: int = 10, labels: Sequence[str] | None = None) -> list[Column]:
    """Choose how to code each column, from a sample of the rows; columns that cannot split them are left out.

    Numbers with more than `bins` different values are cut at their quantiles. Text and flags, and numbers with fewer,
    keep their commonest values; a column of ids, of which no value has a share, is left out.
    """
    sample = sampled(table, PLANNED).select(*names).to_pyarrow()
    out = []
    for name, label in zip(names, labels or names, strict=True):
        cells = sample[name]
        counted = pc.value_counts(cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells)
        values, counts = counted.field("values"), counted.field("counts").to_numpy()
        if pa.types.is_floating(cells.type) or pa.types.is_integer(cells.type):
            numbers = cells.drop_null().to_numpy().astype(np.float64)
            numbers = numbers[np.isfinite(numbers)]
            if len(np.unique(numbers)) > bins:
                cuts = np.unique(np.quantile(numbers, np.arange(1, bins) / bins, method="higher"))
                cuts = cuts[cuts > numbers.min()]
                if len(cuts):
                    out.append(Column(name, label, cuts=tuple(float(cut) for cut in cuts)))
                continue
        order = np.argsort(-counts, kind="stable")
        common = [values[int(at)].as_py() for at in order if counts[at] >= max(RARE * len(sample), 2)]
        levels = sorted((v for v in common if v is not None), key=lambda value: (str(type(value)), value))
        kept = set(common[: NAMED + 1])
        levels = [value for value in levels if value in kept]
        if levels and len(values) > 1:
            out.append(Column(name, label, tuple(levels)))
    return out


def encode(table: Any, columns: Sequence[str] | Sequence[Column], bins: int = 10, *, most: int = MOST) -> Coded:
    """Code the columns of a table that has `loss`, and perhaps `weight` and `rand`.

    Equal rows are counted, and their losses added up, in the engine: what leaves it is one row for each combination of
    codes, exact for any number of interactions. Where nearly every row is its own combination, a sample of `most` by
    `rand` does instead; `used` says so. O(rows) in the engine.
    """
    chosen: list[Column] = [one for one in columns if isinstance(one, Column)]
    if len(chosen) < len(columns):
        chosen = plan(table, [str(one) for one in columns], bins=bins)
    weight = table.weight if "weight" in table.columns else ibis.literal(1.0)
    keys = {f"k{place}": column.expression(table) for place, column in enumerate(chosen)}
    extra = {"rand": table.rand} if "rand" in table.columns else {}
    lines = table.select(**keys, **extra, loss=table.loss.cast("float64"), weight=weight.cast("float64"))
    n = used = int(table.count().to_pyarrow().as_py())
    if n > PLANNED and not _merges(lines, list(keys)) and n > most:
        lines = sampled(lines, most, n)
    counted = (
        lines.group_by(list(keys))
        .aggregate(n=lines.count(), w=lines.weight.sum(), e=(lines.weight * lines.loss).sum(), worst=lines.loss.max())
        .to_pyarrow()
    )
    used = int(pc.sum(counted["n"]).as_py() or 0)
    codes = np.empty((len(chosen), len(counted)), dtype=np.int16)
    for place, column in enumerate(chosen):
        codes[place] = column.codes(counted[f"k{place}"])
    # Engines add floats, and give groups, in any order.
    rows = Rows(codes, *(np.round(counted[name].to_numpy().astype(np.float64), 9) for name in ("w", "e", "worst")))
    order = np.lexsort((*codes[::-1], rows.weight, rows.loss)) if len(chosen) else np.arange(len(counted))
    rows = Rows(codes[:, order], rows.weight[order], rows.loss[order], rows.worst[order])
    return Coded(tuple(chosen), rows, n, used)


def sampled(table: Any, most: int, n: int | None = None) -> Any:
    """About `most` rows of a table by their `rand`; all of them where there are fewer, or no `rand`."""
    if "rand" not in table.columns:
        return table
    count = int(table.count().to_pyarrow().as_py()) if n is None else n
    return table.filter(table.rand < most / count) if count > most else table


def _merges(lines: Any, keys: list[str]) -> bool:
    some = sampled(lines, PLANNED)
    different, seen = some.select(*keys).distinct().count(), some.count()
    return int(different.to_pyarrow().as_py()) <= MERGES * int(seen.to_pyarrow().as_py())


def _plain(text: Any) -> Any:
    """An output without the quotes of JSON."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    return value if isinstance(value, str) else text
