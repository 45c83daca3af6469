"""What to ask, by the earlier part, and what the later part answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flywheel.observe.influences.model import Design, Effect, Fit, Levels, fit, variance
from flywheel.observe.influences.parts import FEW, Part
from flywheel.observe.slices.cases import Cases
from flywheel.observe.slices.coding import Column
from flywheel.observe.slices.confirm import BLOCKS

__all__ = ["Later", "Measured", "Terms", "worth_asking"]

Array = np.ndarray[Any, Any]
Terms = tuple[tuple[float, Levels], ...]
"""A signed sum of average risks, each with some columns set to levels."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One difference of average risks on the later part."""

    effect: Effect
    error: float
    """Its standard error, and the degrees of freedom of that."""
    freedom: float
    n: int
    """How many of the later interactions have the levels."""
    raw: float | None
    """The same difference without holding the others alike."""


def worth_asking(early: Part, design: Design, planned: Sequence[Column], worth: float) -> list[tuple[Terms, int]]:
    """Which differences to ask the later part about, and in which direction."""
    model = fit(design, early.codes, early.weight, early.loss)
    matrix, risk = design.matrix(early.codes), model.expected(early.codes)
    asked: list[tuple[Terms, int]] = []
    for terms in _questions(early, design, planned):
        effect = model.effect(terms)
        iid, _ = variance(effect, matrix, early.weight, early.loss, risk, None)
        blocks, _ = variance(effect, matrix, early.weight, early.loss, risk, _by(early.block))
        error = (max(iid, blocks) + effect.ridge) ** 0.5
        if error > 0 and abs(effect.size) >= worth and abs(effect.size) / error >= 2.0:
            asked.append((terms, 1 if effect.size > 0 else -1))
    return asked


def _questions(part: Part, design: Design, planned: Sequence[Column]) -> list[Terms]:
    """Every level against its column's reference, and every pair beyond what its two levels do apart."""
    out: list[Terms] = []
    for c, column in enumerate(planned):
        sizes = np.bincount(part.codes[c].astype(np.int64), part.weight, column.width + 1)
        for level in range(column.width):
            if level != design.reference[c] and sizes[level] >= FEW:
                out.append(((1.0, ((c, level),)), (-1.0, ((c, design.reference[c]),))))
    for a, level, b, other in design.pairs:
        first, second = design.reference[a], design.reference[b]
        named = level < planned[a].width and other < planned[b].width
        if named and level != first and other != second:
            corners = (
                ((a, level), (b, other)),
                ((a, first), (b, second)),
                ((a, level), (b, second)),
                ((a, first), (b, other)),
            )
            out.append(((1.0, corners[0]), (1.0, corners[1]), (-1.0, corners[2]), (-1.0, corners[3])))
    return out


def _by(groups: Array) -> Any:
    count = int(groups.max(initial=0)) + 1

    def add(pushes: Array) -> Array:
        return np.bincount(groups, pushes, count)

    return add


class Later:
    """The later part, its own fit of the same model, and how much rows of one unit depend on each other."""

    def __init__(self, known: Cases, part: Part, model: Fit, planned: Sequence[Column], sample: int) -> None:
        self.known, self.part, self.model, self.planned = known, part, model, list(planned)
        self.matrix, self.risk = model.design.matrix(part.codes), model.expected(part.codes)
        self.units = self._units(sample) if known.units else None

    def measure(self, terms: Terms) -> Measured:
        """One difference with its standard error: the larger of what units and what stretches of time give."""
        part, effect = self.part, self.model.effect(terms)
        iid, _ = variance(effect, self.matrix, part.weight, part.loss, self.risk, None)
        blocks, blocks4 = variance(effect, self.matrix, part.weight, part.loss, self.risk, _by(part.block))
        if self.units is not None:
            matrix, weight, loss, risk, by = self.units
            alone, _ = variance(effect, matrix, weight, loss, risk, None)
            groups, _ = variance(effect, matrix, weight, loss, risk, by)
            iid *= max(groups / alone, 1.0) if alone > 0 else 1.0
        spread, freedom = iid, 1e6
        if blocks > iid:
            wobble = blocks4 - blocks**2 / (BLOCKS + 1)
            spread, freedom = blocks, 2 * blocks**2 / wobble if wobble > 0 else 1e6
        inside, outside = self._rows(terms[0][1]), self._rows(terms[1][1])
        n = float(part.weight[inside].sum())
        raw = None
        if len(terms) == 2 and n and part.weight[outside].sum():
            raw = float(part.loss[inside].sum() / n - part.loss[outside].sum() / part.weight[outside].sum())
        share = n / float(part.weight.sum())
        error = max((spread + effect.ridge) ** 0.5, 1e-12)
        return Measured(effect, error, max(freedom, 1.0), round(share * part.n), raw)

    def _rows(self, levels: Levels) -> Array:
        inside = np.ones(len(self.part.loss), dtype=bool)
        for c, level in levels:
            inside &= self.part.codes[c] == level
        return inside

    def _units(self, sample: int) -> Any:
        """Rows of a sample of units, whole units, with what the model expects of them."""
        table = self.known.table.filter(self.known.table["at"] >= self.part.since)
        share = min(sample / max(self.part.n, 1), 1.0)
        heads = table.group_by("unit").aggregate(draw=table.rand.min(), many=table.count())
        # The smallest of m uniform numbers is below 1 - (1 - share)^m with probability `share` … for m = many.
        drawn = heads.filter(heads.draw < 1.0 - (1.0 - share) ** heads.many) if share < 1 else heads
        lines = table.inner_join(drawn.select(of="unit"), [("unit", "of")])
        keys = {f"k{j}": column.expression(lines) for j, column in enumerate(self.planned)}
        got = lines.select(**keys, unit=lines.unit, weight=lines.weight, loss=lines.loss).to_pyarrow()
        codes = np.empty((len(self.planned), len(got)), dtype=np.int64)
        for j, column in enumerate(self.planned):
            own = column.codes(got[f"k{j}"])
            codes[j] = np.where(own < 0, column.width, own)
        who = np.unique(got["unit"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
        weight = got["weight"].to_numpy()
        loss = weight * np.clip(got["loss"].to_numpy(), 0.0, 1.0)
        return self.model.design.matrix(codes), weight, loss, self.model.expected(codes), _by(who)
