"""Influences as findings: chosen on the earlier part of the window, measured again on the later part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import ibis
import numpy as np
from scipy import stats

from flywheel.errors import InvalidConfig
from flywheel.observe.influences.model import Design, Effect, Fit, Levels, fit, pairs_of_levels, variance
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.observe.slices.cases import HOUR, Cases, Failing, cases, joined, short_names
from flywheel.observe.slices.coding import Column, encode, plan, sampled
from flywheel.observe.slices.confirm import BLOCKS, holm
from flywheel.records import Interval, Observation, Slice

__all__ = ["influences"]

HURTS = 0.02
"""An influence has to change the failure rate by so much to be told, or by the rate itself where that is smaller."""
EARLY = 0.6
"""The part of the interactions, in order of time, that chooses."""
HOURS = (4.0, 8.0, 12.0, 16.0, 20.0)
BINS = 5
SAME = 0.02
"""Two columns of which each leaves less than this part of the other's entropy open cannot be told apart."""
_FEW = 50.0

Array = np.ndarray[Any, Any]


def influences(
    window: Seen,
    failing: Failing,
    *,
    sample: int = 200_000,
    seed: int = 0,
    alpha: float = 0.05,
    least: float = HURTS,
    columns: Sequence[str] = (),
) -> list[Observation]:
    """Which device, network, locale, version or hour drives failures, each with the others held alike?

    `failing` is what `slices` takes. A logistic model on the context, the model version and (in windows of three days
    or more) the hour of the day says by how much the failure rate would change if every interaction had one value
    instead of the commonest, all else as it is. Values, and pairs of values that do more together than apart, are
    chosen on the earlier 60 % of the window and measured again on the rest: told are those that change the rate by at
    least `least` (or by the overall rate, where that is smaller) there too, in the same direction, by a test at `alpha`
    over all that were chosen (Holm), with rows of one user and of one stretch of time taken together. An influence
    beside a rarer reference is none: effects are against each column's commonest value. Only what adds failures, surely
    and by that much, is an alarm.

    The model works on counts by combination of values, made in the engine, however many interactions there are; where
    there are hardly two alike, on a `sample` of them. `columns` names what to look at instead.
    """
    if sample < 1 or not 0 < alpha < 1:
        raise InvalidConfig(f"sample is {sample} and alpha {alpha}: take at least 1 row, and an alpha between 0 and 1")
    chosen = list(columns) or _circumstances(window.interactions)
    known = cases(window, failing, seed=seed, columns=chosen) if chosen else None
    if known is None or not known.n or known.span.total_seconds() <= 0:
        return []
    halves = _parts(known, chosen, sample)
    if halves is None:
        return []
    early, late, planned, twins = halves
    overall = float(late.loss.sum() / late.weight.sum())
    worth = min(least, overall)
    design = Design(tuple(c.width + 1 for c in planned), _commonest(early, planned))
    design = Design(design.widths, design.reference, pairs_of_levels(design, early.codes, early.weight, early.loss))
    found = _chosen(early, design, planned, worth)
    if not found or not late.loss.sum():
        return []
    again = _Later(known, late, fit(design, late.codes, late.weight, late.loss), planned, sample)
    measured = [again.measure(terms) for terms, _ in found]
    chances = [
        stats.t.sf(way * m.effect.size / m.error, m.freedom) for (_, way), m in zip(found, measured, strict=True)
    ]
    sure = holm([float(p) for p in chances], alpha)
    told = []
    for (terms, way), m, holds, p in zip(found, measured, sure, chances, strict=True):
        if holds and way * m.effect.size >= worth:
            told.append(_say(window, failing, again, terms, m, (float(p), len(found), worth, seed), twins))
    return sorted(told, key=lambda one: (-(one.effect or 0.0), one.name))


@dataclass(frozen=True, slots=True)
class _Part:
    """Counts by combination of levels and stretch of time, in one part of the window."""

    codes: Array
    weight: Array
    loss: Array
    block: Array
    since: datetime
    until: datetime
    n: int
    used: int

    def without(self, place: int) -> _Part:
        codes = np.delete(self.codes, place, axis=0)
        return _Part(codes, self.weight, self.loss, self.block, self.since, self.until, self.n, self.used)


@dataclass(frozen=True, slots=True)
class _Measured:
    effect: Effect
    error: float
    freedom: float
    n: int
    raw: float | None
    """The same difference without holding the others alike."""


def _circumstances(seen: Any) -> list[str]:
    kinds = seen.schema()
    scalar = [
        name
        for name in seen.columns
        if name.startswith("context.")
        and (kinds[name].is_string() or kinds[name].is_boolean() or kinds[name].is_numeric())
    ]
    return [*scalar, *(["model"] if "model" in seen.columns else []), HOUR]


def _parts(
    known: Cases, chosen: list[str], sample: int
) -> tuple[_Part, _Part, list[Column], dict[str, list[str]]] | None:
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


def _counted(known: Cases, table: Any, planned: Sequence[Column], sample: int) -> _Part | None:
    facts = table.aggregate(
        n=table.count(),
        since=table["at"].min(),
        until=table["at"].max(),
        w=table.weight.sum(),
        v=(table.weight * table.weight).sum(),
    )
    row = facts.to_pyarrow().to_pylist()[0]
    if row["n"] < _FEW or not row["v"]:
        return None
    length = max((row["until"] - row["since"]).total_seconds() / BLOCKS, 1.0)
    place = ((table["at"].epoch_seconds() - row["since"].timestamp()) / length).floor().cast("int16")
    lines = table.mutate(block=place)
    coded = encode(lines, [*planned, Column("block", "block", tuple(range(-1, BLOCKS + 2)))], most=sample)
    codes = coded.rows.codes[:-1].copy()
    for place_, column in enumerate(planned):
        codes[place_][codes[place_] < 0] = column.width  # values without a name are a level of their own
    scale = round(row["w"] / row["v"], 9)
    return _Part(
        codes,
        coded.rows.weight * scale,
        np.minimum(coded.rows.loss, coded.rows.weight) * scale,
        np.maximum(coded.rows.codes[-1], 0).astype(np.int64),
        row["since"],
        row["until"],
        coded.n,
        coded.used,
    )


def _aliases(part: _Part, planned: Sequence[Column]) -> list[tuple[int, int]]:
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


def _commonest(part: _Part, planned: Sequence[Column]) -> tuple[int, ...]:
    """Each column's commonest named level."""
    out = []
    for codes, column in zip(part.codes, planned, strict=True):
        sizes = np.bincount(codes.astype(np.int64), part.weight, column.width + 1)
        out.append(int(np.argmax(sizes[: column.width])))
    return tuple(out)


Terms = tuple[tuple[float, Levels], ...]


def _chosen(early: _Part, design: Design, planned: Sequence[Column], worth: float) -> list[tuple[Terms, int]]:
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


def _questions(part: _Part, design: Design, planned: Sequence[Column]) -> list[Terms]:
    """Every level against its column's reference, and every pair beyond what its two levels do apart."""
    out: list[Terms] = []
    for c, column in enumerate(planned):
        sizes = np.bincount(part.codes[c].astype(np.int64), part.weight, column.width + 1)
        for level in range(column.width):
            if level != design.reference[c] and sizes[level] >= _FEW:
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


class _Later:
    """The later part, its own fit of the same model, and how much rows of one unit depend on each other."""

    def __init__(self, known: Cases, part: _Part, model: Fit, planned: Sequence[Column], sample: int) -> None:
        self.known, self.part, self.model, self.planned = known, part, model, list(planned)
        self.matrix, self.risk = model.design.matrix(part.codes), model.expected(part.codes)
        self.units = self._units(sample) if known.units else None

    def measure(self, terms: Terms) -> _Measured:
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
        return _Measured(effect, error, max(freedom, 1.0), round(share * part.n), raw)

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


def _say(
    window: Seen,
    failing: Failing,
    again: _Later,
    terms: Terms,
    m: _Measured,
    facts: tuple[float, int, float, int],
    twins: dict[str, list[str]],
) -> Observation:
    p, asked, worth, seed = facts
    planned, part, effect = again.planned, again.part, m.effect
    where = _slice(planned, terms[0][1])
    beside = _slice(planned, terms[1][1])
    reach = float(stats.t.ppf(0.975, m.freedom)) * m.error
    interval = Interval(effect.size, max(effect.size - reach, -1.0), min(effect.size + reach, 1.0), m.n)
    points = f"{abs(effect.size) * 100:.1f} points"
    verb = "adds" if effect.size > 0 else "saves"
    span = f"{effect.size * 100:+.1f} points, {interval.low * 100:.1f} to {interval.high * 100:.1f}"
    if len(terms) == 2:
        line = (
            f"{where} {verb} {points} of failures beside {beside}, all else alike: "
            f"{effect.risk:.1%} against {effect.beside:.1%}"
        )
    else:
        line = (
            f"{where} together {'add' if effect.size > 0 else 'save'} {points} of failures beyond what each does alone"
        )
    evidence = [
        f"Chosen on the interactions before {part.since:%Y-%m-%d %H:%M} UTC, measured on the {part.n:,} from then on: "
        f"{span} with 95% confidence; p = {p:.2g}, the {asked} asked about allowed for",
        f"Held alike: {', '.join(c.label for c in planned)}",
    ]
    if m.raw is not None:
        evidence.append(f"Without holding them alike, the difference is {m.raw * 100:+.1f} points")
    if part.used < part.n:
        evidence.append(f"The model saw a sample of {part.used:,} of these {part.n:,} interactions")
    evidence += [
        f"{', '.join(twins[planned[c].label])} goes with {planned[c].label} and cannot be told from it"
        for c, _ in terms[0][1]
        if planned[c].label in twins
    ]
    return Observation(
        kind="influence",
        name=str(where),
        line=line,
        value=effect.risk,
        reference=effect.beside,
        effect=effect.size,
        interval=interval,
        n=m.n,
        alarm=interval.low >= worth,
        where=where,
        evidence=tuple(evidence),
        query=query_of(_counts(planned, failing, seed, part.since), window),
        chart=_chart(again, terms),
    )


def _slice(planned: Sequence[Column], levels: Levels) -> Slice:
    return Slice(tuple((planned[c].label, planned[c].text(level)) for c, level in levels))


def _chart(again: _Later, terms: Terms) -> dict[str, Any]:
    """Every level of the column beside its reference; a pair by itself."""
    planned, design = again.planned, again.model.design
    if len(terms) != 2:
        m = again.measure(terms)
        levels = [(str(_slice(planned, terms[0][1])), m)]
    else:
        (c, _), reference = terms[0][1][0], terms[1][1]
        levels = [
            (str(planned[c].text(level)), again.measure(((1.0, ((c, level),)), (-1.0, reference))))
            for level in range(planned[c].width)
            if level != design.reference[c] and (again.part.codes[c] == level).any()
        ]
    sizes = [m.effect.size for _, m in levels]
    reach = [1.96 * m.error for _, m in levels]
    return {
        "kind": "interval",
        "x": [name for name, _ in levels],
        "y": [round(size, 6) for size in sizes],
        "low": [round(size - r, 6) for size, r in zip(sizes, reach, strict=True)],
        "high": [round(size + r, 6) for size, r in zip(sizes, reach, strict=True)],
    }


def _counts(planned: Sequence[Column], failing: Failing, seed: int, since: datetime) -> Any:
    """What the model is fitted to: counts, and losses where a function makes them, by combination of levels."""
    names = [column.name for column in planned]

    def build(seen: Any, told: Any) -> Any:
        mean: dict[str, Any] = {}
        if callable(failing) and not isinstance(failing, ibis.Table):
            losses = failing(SimpleNamespace(interactions=seen, feedback=told))
            table = joined(seen, losses if "loss" in losses.columns else losses.rename(loss="wrong"), names, seed)
            mean = {"mean_loss": (table.weight * table.loss).sum() / table.weight.sum()}
        else:
            table = seen.mutate(hour=seen["at"].hour()).rename({HOUR: "hour"}) if HOUR in names else seen
        table = table.filter(table["at"] >= since)
        keys = {column.label: column.expression(table) for column in planned}
        return table.group_by(**keys).aggregate(interactions=table.count(), **mean)

    return build
