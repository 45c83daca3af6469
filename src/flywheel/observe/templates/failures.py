"""Templates that go with failures: in the same trace, or at the same time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import InvalidRecord
from flywheel.observe.contrast import Contrast, contrast, holm
from flywheel.observe.templates.counts import Mined, moment
from flywheel.observe.templates.times import STAMP
from flywheel.records import Observation

__all__ = ["tied"]

Array = np.ndarray[Any, Any]

MOST_ROWS = 200_000
MOST_TEMPLATES = 400
CANDIDATES = 10
LEAST_LINES, LEAST_ROWS = 5, 10
EFFECT = 0.02
_BLOCK = 600_000_000
_MATCHED = 0.2


def tied(log: Mined, failing: Any, near: float, alpha: float) -> list[Observation]:
    """Templates whose lines come with failures more often, or more seldom, than chance would have it.

    `failing` has `id`, `at`, `loss` (0..1) and perhaps `weight` and `trace_id`; an Ibis or Arrow table, of which at
    most 200,000 rows, chosen by a hash of the id, are looked at. An interaction has a template when a line of its trace
    has; where fewer than a fifth of the traces are in the log, when a line lies within `near` seconds of it. The ten
    templates with the clearest difference of mean loss in the earlier half are tested again in the later half (Holm,
    family-wise `alpha`); sizes and intervals are of the later half alone. Rows of ten minutes count as depending on one
    another. It says what goes together, not what causes what.
    """
    rows = _rows(log, failing)
    if len(rows["at"]) < 4 * LEAST_ROWS:
        return []
    half = np.median(rows["at"])
    early = rows["at"] < half
    has, how = _having(log, rows, near)
    found: list[tuple[float, int]] = []
    for one in _worth(log):
        mine = has(one)
        if min(mine[early].sum(), mine[~early].sum(), (~mine[early]).sum(), (~mine[~early]).sum()) < LEAST_ROWS:
            continue
        first = _contrast(rows, mine, early)
        if first.p < 0.05 and abs(first.interval.estimate) >= EFFECT:
            found.append((first.p, one))
    chosen = [one for _, one in sorted(found)[:CANDIDATES]]
    again = [_contrast(rows, has(one), ~early, level=1 - 0.05 / max(len(chosen), 1)) for one in chosen]
    p = holm([each.p for each in again])
    out = []
    for one, each, sure in zip(chosen, again, p, strict=True):
        same = (each.interval.estimate > 0) == (_contrast(rows, has(one), early).interval.estimate > 0)
        if sure <= alpha and same and abs(each.interval.estimate) >= EFFECT:
            out.append(_finding(log, one, each, float(sure), how, len(chosen), moment(int(half))))
    return out


def _rows(log: Mined, failing: Any) -> dict[str, Array]:
    """The columns of the failing table within the log's time."""
    names = failing.column_names if isinstance(failing, pa.Table) else list(failing.columns)
    missing = {"id", "at", "loss"} - set(names)
    if missing:
        raise InvalidRecord("failing", f"there is no column {', '.join(sorted(missing))}", "It needs id, at and loss")
    wanted = [name for name in ("id", "at", "loss", "weight", "trace_id") if name in names]
    if isinstance(failing, pa.Table):
        table = failing.select(wanted).sort_by("id")
        if len(table) > MOST_ROWS:
            places = np.random.default_rng(0).choice(len(table), MOST_ROWS, replace=False)
            table = table.take(np.sort(places))
    else:
        table = failing.select(*wanted).order_by([failing.id.hash(), failing.id]).limit(MOST_ROWS).to_pyarrow()
    at = table["at"].combine_chunks().cast(STAMP).cast(pa.int64()).to_numpy(zero_copy_only=False)
    loss = table["loss"].to_numpy().astype(float)
    weight = table["weight"].to_numpy().astype(float) if "weight" in wanted else np.ones(len(at))
    trace = np.full(len(at), -1)
    if "trace_id" in wanted and len(log.names):
        told = np.array([one or "" for one in table["trace_id"].to_pylist()], str)
        place = np.minimum(np.searchsorted(log.names, told), len(log.names) - 1)
        trace = np.where(log.names[place] == told, place, -1)
    inside = np.isfinite(loss) & (weight > 0)
    if len(log.at):
        inside &= (at >= log.at[0]) & (at <= log.at[-1])
    else:
        inside[:] = False
    rows = {"at": at, "loss": loss, "weight": weight, "trace": trace}
    return {name: column[inside] for name, column in rows.items()}


def _having(log: Mined, rows: dict[str, Array], near: float) -> tuple[Any, str]:
    """A function that says for a template which rows have it, and how that was found out."""
    if (rows["trace"] >= 0).mean() >= _MATCHED:

        def by_trace(one: int) -> Array:
            there = np.zeros(len(log.names) + 1, bool)
            there[log.trace[(log.ids == one) & (log.trace >= 0)]] = True
            return there[rows["trace"]]  # -1 is the last, which stays False

        return by_trace, "in the same trace"
    margin = int(near * 1e6)

    def by_time(one: int) -> Array:
        at = log.at[log.ids == one]
        return np.searchsorted(at, rows["at"] + margin, "right") > np.searchsorted(at, rows["at"] - margin, "left")

    return by_time, f"within {near:g} s"


def _worth(log: Mined) -> list[int]:
    counts = np.bincount(log.ids, minlength=len(log.texts))
    order = np.lexsort((np.arange(len(counts)), -counts))
    return [int(one) for one in order if counts[one] >= LEAST_LINES][:MOST_TEMPLATES]


def _contrast(rows: dict[str, Array], mine: Array, part: Array, level: float = 0.95) -> Contrast:
    block = rows["at"] // _BLOCK
    clusters = np.unique(block[part], return_inverse=True)[1]
    return contrast(rows["loss"][part], mine[part], clusters, weights=rows["weight"][part], level=level)


def _finding(log: Mined, one: int, found: Contrast, p: float, how: str, tests: int, half: Any) -> Observation:
    text, gap = log.texts[one], found.interval
    worse = gap.estimate > 0
    line = (
        f"{found.here:.0%} of the interactions with “{text}” {how} fail, {found.there:.0%} of the others"
        f"{'' if worse else ': fewer'}"
    )
    mine = log.at[log.ids == one]
    return Observation(
        kind="template",
        name=f"with failures: {text[:120]}",
        line=line,
        value=found.here,
        reference=found.there,
        effect=gap.estimate,
        interval=gap,
        n=gap.n,
        alarm=bool(worse and gap.low > 0),
        since=moment(int(mine[0])),
        until=moment(int(mine[-1])),
        evidence=(
            f"difference {gap.estimate:+.1%}, {gap.level:.1%} interval {gap.low:+.1%} to {gap.high:+.1%}, "
            f"over {gap.n:,} interactions with it",
            f"found before {half:%Y-%m-%d %H:%M}, confirmed after it: p = {p:.2g}, corrected for {tests} templates",
            f"{len(mine):,} lines; tied {how}",
        ),
        chart=log.bars(one),
    )
