"""Counts by block and bin: what is kept of a table, however many rows it had, and added up as time goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flywheel.errors import InvalidConfig

__all__ = ["Blocks", "Column", "Sketch"]

Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Blocks:
    """How rows are gathered into blocks: by time (`at // width`, seconds), or by place in the log (`seq // width`).

    Rows of one block may depend on one another; what a test knows of chance is how much blocks differ.
    """

    by: str = "time"
    width: int = 3600


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is counted. `kind` is `number` or `category`.

    A number falls in the first bin whose edge is at least as large (`edges` ascending, the last bin is above them all);
    a category in the place of its label, or in `other`. Nulls have a cell of their own, the last one.
    """

    name: str
    kind: str
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """Bins or labels, `other` (or above), and null."""
        return len(self.edges if self.kind == "number" else self.labels) + 2

    def names(self) -> list[str]:
        """What each cell is called."""
        if self.kind != "number":
            return [*self.labels, "other", "null"]
        if not self.edges:
            return ["any", "null"]
        return [*(f"≤ {edge:.4g}" for edge in self.edges), f"> {self.edges[-1]:.4g}", "null"]


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Counts of some columns by block: `counts[name]` is blocks × cells, `blocks` their numbers in ascending order.

    Sketches with the same columns and block width add up: `a + b` is the sketch of both tables' rows, in any order and
    grouping, so a day's sketches are made once and kept. Memory: 8 bytes × blocks × cells a column.

    >>> column = Column("x", "number", edges=(0.0, 1.0))
    >>> day = Sketch(Blocks("time", 86400), (column,), np.array([1]), {"x": np.array([[2, 3, 0, 1]])})
    >>> late = Sketch(Blocks("time", 86400), (column,), np.array([1, 2]), {"x": np.array([[0, 1, 0, 0], [4, 0, 0, 0]])})
    >>> (day + late).counts["x"].tolist()
    [[2, 4, 0, 1], [4, 0, 0, 0]]
    >>> Sketch.from_dict((day + late).to_dict()) == late + day
    True
    """

    every: Blocks
    columns: tuple[Column, ...]
    blocks: Counts
    counts: dict[str, Counts] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.counts[self.columns[0].name].sum()) if self.columns else 0

    def column(self, name: str) -> Column:
        """The column of that name; raises KeyError."""
        return next(column for column in self.columns if column.name == name)

    def __add__(self, other: Sketch) -> Sketch:
        if (self.every, self.columns) != (other.every, other.columns):
            theirs = {column.name for column in other.columns} ^ {column.name for column in self.columns}
            raise InvalidConfig(
                f"Two sketches that count differently cannot be added: blocks {self.every} and {other.every}, columns "
                f"in one only: {sorted(theirs) or 'none, but edges differ'}. Make both with the same `like`"
            )
        blocks = np.union1d(self.blocks, other.blocks)
        mine, yours = np.searchsorted(blocks, self.blocks), np.searchsorted(blocks, other.blocks)
        counts = {}
        for column in self.columns:
            total = np.zeros((len(blocks), column.cells), np.int64)
            total[mine] += self.counts[column.name]
            total[yours] += other.counts[column.name]
            counts[column.name] = total
        return Sketch(self.every, self.columns, blocks, counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        return (
            (self.every, self.columns) == (other.every, other.columns)
            and np.array_equal(self.blocks, other.blocks)
            and all(np.array_equal(self.counts[c.name], other.counts[c.name]) for c in self.columns)
        )

    __hash__ = None  # type: ignore[assignment]

    def between(self, first: int, last: int) -> Sketch:
        """The blocks numbered `first` to `last`, both included."""
        kept = (self.blocks >= first) & (self.blocks <= last)
        return Sketch(self.every, self.columns, self.blocks[kept], {name: c[kept] for name, c in self.counts.items()})

    def only(self, names: Iterable[str]) -> Sketch:
        """These columns of it."""
        wanted = set(names)
        columns = tuple(column for column in self.columns if column.name in wanted)
        return Sketch(self.every, columns, self.blocks, {c.name: self.counts[c.name] for c in columns})

    def to_dict(self) -> dict[str, Any]:
        """JSON values; counts are written sparse, as (block, cell, count) columns."""
        columns = []
        for column in self.columns:
            counts = self.counts[column.name]
            place, cell = np.nonzero(counts)
            columns.append(
                {
                    "name": column.name,
                    "kind": column.kind,
                    "edges": list(column.edges),
                    "labels": list(column.labels),
                    "block": place.tolist(),
                    "cell": cell.tolist(),
                    "count": counts[place, cell].tolist(),
                }
            )
        return {"by": self.every.by, "width": self.every.width, "blocks": self.blocks.tolist(), "columns": columns}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Sketch:
        """Bring back what `to_dict` wrote."""
        blocks = np.array(data["blocks"], np.int64)
        columns, counts = [], {}
        for one in data["columns"]:
            column = Column(one["name"], one["kind"], tuple(map(float, one["edges"])), tuple(one["labels"]))
            total = np.zeros((len(blocks), column.cells), np.int64)
            total[np.array(one["block"], np.int64), np.array(one["cell"], np.int64)] = one["count"]
            columns.append(column)
            counts[column.name] = total
        return Sketch(Blocks(data["by"], int(data["width"])), tuple(columns), blocks, counts)
