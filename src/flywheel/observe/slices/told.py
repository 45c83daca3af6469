"""Slices as findings: named, on one half found, on the other confirmed, with the query behind them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import ibis

from flywheel.errors import InvalidConfig
from flywheel.observe.contrast import holm
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.observe.slices.cases import HOUR, Cases, Failing, cases, joined, short_names
from flywheel.observe.slices.choose import Chosen, choose
from flywheel.observe.slices.coding import Coded, Column, encode, plan
from flywheel.observe.slices.confirm import Confirmed, confirm
from flywheel.observe.slices.rows import Rows
from flywheel.records import Observation, Slice

__all__ = ["HURTS", "slices"]

HURTS = 0.02
"""A slice has to fail so much more often than the rest to be told, or by the overall rate where that is smaller."""
BURST = 0.25
"""A slice that came within this part of the window is said to have come in a block."""


def slices(
    window: Seen,
    failing: Failing,
    *,
    k: int = 10,
    seed: int = 0,
    min_users: int = 5,
    alpha: float = 0.05,
    columns: Sequence[str] = (),
    max_level: int = 3,
    least: float = HURTS,
) -> list[Observation]:
    """Where does the product fail more often than elsewhere? At most `k` slices of up to `max_level` conditions.

    `failing` is an Ibis table with `id`, `loss` (0 to 1) and perhaps `weight`, or a function that makes one of a window
    (`judged`), which the query of each finding then repeats. Slices are made of context, scalar inputs, the answer, the
    model and, in windows of three weeks or more, the hour of the day; or of the `columns` named. They are found on half
    of the users (else sessions, else interactions) and told only when the other half confirms them: a risk difference
    above 0 by a test that allows for users and stretches of time, at `alpha` over all `k` (Holm), of at least `least`
    (or the overall rate, where that is smaller). What another slice explains is left out, and so is what fewer than
    `min_users` users share. Everything said about a slice is measured on the half that did not choose it. A slice says
    where, not that anything has changed: none is an alarm.

    Work on the rows is counted in the engine; see `encode` for when a sample of them is searched instead.
    """
    if k < 1 or not 0 < alpha < 1:
        raise InvalidConfig(f"k is {k} and alpha {alpha}: ask for at least 1 slice, at an alpha between 0 and 1")
    known = cases(window, failing, seed=seed, columns=columns)
    if not known.n:
        return []
    first = known.half(False)
    planned = plan(first, known.columns, labels=short_names(known.columns))
    if not planned:  # every column has one value only
        return []
    coded = encode(first, planned)
    rows = _as_seen(known, coded)
    total = float(rows.weight.sum())
    if not total or not rows.loss.sum():
        return []
    worth = min(least, float(rows.loss.sum()) / total)
    ordered = [place for place, column in enumerate(coded.columns) if column.cuts]
    found = choose(rows, k=k, max_level=max_level, least=worth, min_support=max(20.0, total / 500), ordered=ordered)
    if not found:
        return []
    measured = confirm(known, [_condition(coded.columns, one) for one in found])
    sure = (holm([one.p for one in measured]) <= alpha).tolist()
    enough = [known.units != "user" or one.users >= min_users for one in measured]
    kept = [
        (chosen, one)
        for chosen, one, holds, many in zip(found, measured, sure, enough, strict=True)
        if holds and many and one.effect.estimate >= worth
    ]
    kept = _own(known, coded, kept)
    return [_told(window, failing, known, coded, chosen, one, (len(found), seed)) for chosen, one in kept]


def _as_seen(known: Cases, coded: Coded) -> Rows:
    """Weights scaled to the number of labels that they are worth (Kish 1965), so that no sum of them looks sure."""
    half = known.half(False)
    sums = half.aggregate(w=half.weight.sum(), v=(half.weight * half.weight).sum()).to_pyarrow().to_pylist()[0]
    scale = round(sums["w"] / sums["v"], 9) if sums["v"] else 1.0
    return Rows(coded.rows.codes, coded.rows.weight * scale, coded.rows.loss * scale, coded.rows.worst)


def _condition(columns: Sequence[Column], chosen: Chosen) -> Any:
    def inside(table: Any) -> Any:
        out = ibis.literal(True)
        for column, low, high in chosen.conditions:
            out = out & columns[column].condition(table, low, high)
        return out

    return inside


def _own(known: Cases, coded: Coded, kept: list[tuple[Chosen, Confirmed]]) -> list[tuple[Chosen, Confirmed]]:
    """Leave out a slice within another of these that, on the second half too, fails no more than the rest of it."""
    out = []
    for chosen, one in kept:
        parents = [other for other, _ in kept if _within(chosen, other)]
        adds = all(
            confirm(known, [_condition(coded.columns, chosen)], _condition(coded.columns, parent))[0].p <= 0.05
            for parent in parents
        )
        if adds:
            out.append((chosen, one))
    return out


def _within(child: Chosen, parent: Chosen) -> bool:
    """Whether every condition of the parent holds in the child, and one of them less strictly."""
    own = {column: (low, high) for column, low, high in child.conditions}
    held = all(c in own and low <= own[c][0] and own[c][1] <= high for c, low, high in parent.conditions)
    return held and parent.conditions != child.conditions


def _told(
    window: Seen,
    failing: Failing,
    known: Cases,
    coded: Coded,
    chosen: Chosen,
    one: Confirmed,
    facts: tuple[int, int],
) -> Observation:
    candidates, seed = facts
    where = Slice(
        tuple((coded.columns[c].label, coded.columns[c].text(low, high)) for c, low, high in chosen.conditions)
    )
    effect, sample = one.effect, ""
    if coded.used < coded.n:
        sample = f", in a sample of {coded.used:,} of its {coded.n:,} interactions"
    halves = {"user": "of the users", "session": "of the sessions", "": "of the interactions"}[known.units]
    evidence = [
        f"Found on one half {halves}, where it fails {chosen.mean:.1%} against {chosen.elsewhere:.1%}{sample}; "
        f"these figures are the other half's",
        f"{effect.estimate * 100:+.1f} points, {effect.low * 100:.1f} to {effect.high * 100:.1f} with "
        f"{effect.level:.0%} confidence; p = {one.p:.2g}, the {candidates} slices asked about allowed for",
        f"{one.share:.1%} of the traffic" + (f", shared by {one.users:,} users" if known.units == "user" else ""),
    ]
    since, until = _burst(known, one)
    if since is not None and until is not None:
        evidence.append(f"It came in a block, from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC")
    return Observation(
        kind="slice",
        name=str(where),
        line=f"fails {_percent(one.inside)} of {one.n:,} against {_percent(one.elsewhere)} elsewhere: {where}",
        value=one.inside,
        reference=one.elsewhere,
        effect=effect.estimate,
        interval=effect,
        n=one.n,
        since=since,
        until=until,
        where=where,
        evidence=tuple(evidence),
        query=query_of(_asked(coded, chosen, failing, known, seed), window),
        chart=_chart(str(where), one),
    )


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.095 else f"{share * 100:.1f} %"


def _burst(known: Cases, one: Confirmed) -> tuple[datetime | None, datetime | None]:
    whole = known.span
    if one.since is None or one.until is None or whole <= timedelta(0):
        return None, None
    return (one.since, one.until) if one.until - one.since <= BURST * whole else (None, None)


def _chart(name: str, one: Confirmed) -> dict[str, Any]:
    return {"kind": "bars", "x": [name, "elsewhere"], "y": [round(one.inside, 6), round(one.elsewhere, 6)]}


def _asked(coded: Coded, chosen: Chosen, failing: Failing, known: Cases, seed: int) -> Any:
    """The slice beside the rest, in both halves; with losses where a function makes them of the tables, else counts."""
    inside = _condition(coded.columns, chosen)
    names = [coded.columns[c].name for c, *_ in chosen.conditions]

    def build(seen: Any, told: Any) -> Any:
        if callable(failing) and not isinstance(failing, ibis.Table):
            losses = failing(SimpleNamespace(interactions=seen, feedback=told))
            losses = losses if "loss" in losses.columns else losses.rename(loss="wrong")
            table = joined(seen, losses, names, seed)
            mean = {"mean_loss": (table.weight * table.loss).sum() / table.weight.sum()}
        else:
            table = seen.mutate(hour=seen["at"].hour()).rename({HOUR: "hour"}) if HOUR in names else seen
            mean = {"confidence": table.confidence.mean()} if "confidence" in table.columns else {}
        table = table.mutate(in_slice=inside(table))
        return table.group_by("in_slice").aggregate(interactions=table.count(), **mean).order_by("in_slice")

    return build
