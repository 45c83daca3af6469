"""The earlier and the later part of a window, as counts by combination of coded values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import numpy as np

from flywheel.observe.slices.cases import HOUR, Cases, short_names
from flywheel.observe.slices.coding import Column, encode, plan, sampled
from flywheel.observe.slices.confirm import BLOCKS

__all__ = ["FEW", "Part", "circumstances", "commonest", "parts"]

EARLY = 0.6
"""The part of the interactions, in order of time, that chooses."""
HOURS = (4.0, 8.0, 12.0, 16.0, 20.0)
BINS = 5
SAME = 0.02
"""Two columns of which each leaves less than this part of the other's entropy open cannot be told apart."""
FEW = 50.0

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Counts by combination of levels and stretch of time, in one part of the window."""

    codes: Array
    weight: Array
    loss: Array
    block: Array
    since: datetime
    until: datetime
    n: int
    used: int

    def without(self, place: int) -> Part:
        """The same with one column less."""
        codes = np.delete(self.codes, place, axis=0)
        return Part(codes, self.weight, self.loss, self.block, self.since, self.until, self.n, self.used)


def circumstances(seen: Any) -> list[str]:
    """Columns that say under which circumstances an interaction happened."""
    kinds = seen.schema()
    scalar = [
        name
        for name in seen.columns
        if name.startswith("context.")
        and (kinds[name].is_string() or kinds[name].is_boolean() or kinds[name].is_numeric())
    ]
    return [*scalar, *(["model"] if "model" in seen.columns else []), HOUR]


def parts(known: Cases, chosen: list[str], sample: int) -> tuple[Part, Part, list[Column], dict[str, list[str]]] | None:
    """The earlier and the later part, how columns are coded, and which columns stand for others too."""
    table = known.table
    if HOUR in chosen and known.span.days < 3:
        chosen = [name for name in chosen if name != HOUR]
    moments = np.sort(sampled(table, sample, known.n).select("at").to_pyarrow()["at"].to_numpy())
    cut = table["at"].type()
    middle = moments[min(int(EARLY * len(moments)), len(moments) - 1)]
    border = ibis.literal(middle.astype("datetime64[us]").astype(datetime), type=cut)
    early = table.filter(table["at"] < border)
    names = [name for name in chosen if name != HOUR]
    planned = plan(early, names, bins=BINS, labels=short_names(names))
    if HOUR in chosen:
        planned.append(Column(HOUR, HOUR, cuts=HOURS))
    if not planned:
        return None
    first = _counted(known, early, planned, sample)
    second = _counted(known, table.filter(table["at"] >= border), planned, sample)
    if first is None or second is None:
        return None
    twins: dict[str, list[str]] = {}
    for a, b in reversed(_aliases(first, planned)):
        twins.setdefault(planned[a].label, []).append(planned[b].label)
        first, second = first.without(b), second.without(b)
        planned.pop(b)
    return first, second, planned, twins


def _counted(known: Cases, table: Any, planned: Sequence[Column], sample: int) -> Part | None:
    facts = table.aggregate(
        n=table.count(),
        since=table["at"].min(),
        until=table["at"].max(),
        w=table.weight.sum(),
        v=(table.weight * table.weight).sum(),
    )
    row = facts.to_pyarrow().to_pylist()[0]
    if row["n"] < FEW or not row["v"]:
        return None
    length = max((row["until"] - row["since"]).total_seconds() / BLOCKS, 1.0)
    place = ((table["at"].epoch_seconds() - row["since"].timestamp()) / length).floor().cast("int16")
    lines = table.mutate(block=place)
    coded = encode(lines, [*planned, Column("block", "block", tuple(range(-1, BLOCKS + 2)))], most=sample)
    codes = coded.rows.codes[:-1].copy()
    for place_, column in enumerate(planned):
        codes[place_][codes[place_] < 0] = column.width  # values without a name are a level of their own
    scale = round(row["w"] / row["v"], 9)
    return Part(
        codes,
        coded.rows.weight * scale,
        np.minimum(coded.rows.loss, coded.rows.weight) * scale,
        np.maximum(coded.rows.codes[-1], 0).astype(np.int64),
        row["since"],
        row["until"],
        coded.n,
        coded.used,
    )


def _aliases(part: Part, planned: Sequence[Column]) -> list[tuple[int, int]]:
    """Pairs of columns that say the same: of each, the later one cannot be told from the earlier."""
    found: list[tuple[int, int]] = []
    gone: set[int] = set()
    for a in range(len(planned)):
        for b in range(a + 1, len(planned)):
            if a in gone or b in gone:
                continue
            wide = planned[b].width + 1
            shape = (planned[a].width + 1, wide)
            joint = np.bincount(part.codes[a].astype(np.int64) * wide + part.codes[b], part.weight, shape[0] * wide)
            joint = joint.reshape(shape) / joint.sum()
            one, other, both = (_entropy(v) for v in (joint.sum(axis=1), joint.sum(axis=0), joint.ravel()))
            if one > 0 and other > 0 and max((both - other) / one, (both - one) / other) < SAME:
                found.append((a, b))
                gone.add(b)
    return sorted(found, key=lambda pair: pair[1])


def _entropy(shares: Array) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum())


def commonest(part: Part, planned: Sequence[Column]) -> tuple[int, ...]:
    """Each column's commonest named level."""
    out = []
    for codes, column in zip(part.codes, planned, strict=True):
        sizes = np.bincount(codes.astype(np.int64), part.weight, column.width + 1)
        out.append(int(np.argmax(sizes[: column.width])))
    return tuple(out)
