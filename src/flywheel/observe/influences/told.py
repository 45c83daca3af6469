"""Influences as findings: chosen on the earlier part of the window, measured again on the later part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import ibis
from scipy import stats

from flywheel.errors import InvalidConfig
from flywheel.observe.contrast import holm
from flywheel.observe.influences.later import Later, Measured, Terms, worth_asking
from flywheel.observe.influences.model import Design, Levels, fit, pairs_of_levels
from flywheel.observe.influences.parts import circumstances, commonest, parts
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.observe.slices.cases import HOUR, Failing, cases, joined
from flywheel.observe.slices.coding import Column
from flywheel.records import Interval, Observation, Slice

__all__ = ["influences"]

HURTS = 0.02
"""An influence has to change the failure rate by so much to be told, or by the rate itself where that is smaller."""


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
    over all that were chosen (Holm), with rows of one user and of one stretch of time taken together. Effects are
    against each column's commonest value. None is an alarm: it says what drives failures, not
    that anything has changed.

    The model works on counts by combination of values, made in the engine, however many interactions there are; where
    there are hardly two alike, on a `sample` of them. `columns` names what to look at instead.
    """
    if sample < 1 or not 0 < alpha < 1:
        raise InvalidConfig(f"sample is {sample} and alpha {alpha}: take at least 1 row, and an alpha between 0 and 1")
    chosen = list(columns) or circumstances(window.interactions)
    known = cases(window, failing, seed=seed, columns=chosen) if chosen else None
    if known is None or not known.n or known.span.total_seconds() <= 0:
        return []
    halves = parts(known, chosen, sample)
    if halves is None:
        return []
    early, late, planned, twins = halves
    overall = float(late.loss.sum() / late.weight.sum())
    worth = min(least, overall)
    design = Design(tuple(c.width + 1 for c in planned), commonest(early, planned))
    design = Design(design.widths, design.reference, pairs_of_levels(design, early.codes, early.weight, early.loss))
    found = worth_asking(early, design, planned, worth)
    if not found or not late.loss.sum():
        return []
    again = Later(known, late, fit(design, late.codes, late.weight, late.loss), planned, sample)
    measured = [again.measure(terms) for terms, _ in found]
    chances = [
        stats.t.sf(way * m.effect.size / m.error, m.freedom) for (_, way), m in zip(found, measured, strict=True)
    ]
    sure = (holm([float(p) for p in chances]) <= alpha).tolist()
    told = []
    for (terms, way), m, holds, p in zip(found, measured, sure, chances, strict=True):
        if holds and way * m.effect.size >= worth:
            told.append(_say(window, failing, again, terms, m, (float(p), len(found), seed), twins))
    return sorted(told, key=lambda one: (-(one.effect or 0.0), one.name))


def _say(
    window: Seen,
    failing: Failing,
    again: Later,
    terms: Terms,
    m: Measured,
    facts: tuple[float, int, int],
    twins: dict[str, list[str]],
) -> Observation:
    p, asked, seed = facts
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
        where=where,
        evidence=tuple(evidence),
        query=query_of(_counts(planned, failing, seed, part.since), window),
        chart=_chart(again, terms),
    )


def _slice(planned: Sequence[Column], levels: Levels) -> Slice:
    return Slice(tuple((planned[c].label, planned[c].text(level)) for c, level in levels))


def _chart(again: Later, terms: Terms) -> dict[str, Any]:
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
