"""Watching the failure rate of a window against the one before: an alarm that may be read every minute."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from flywheel.observe.bets import Floats, Tally
from flywheel.observe.expected import PerformanceEstimator
from flywheel.observe.judged import judged
from flywheel.observe.monitor import RiskMonitor
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import EVERY, Cut, Seen, utc, within
from flywheel.records import Interval, Observation, Slice

__all__ = ["RiskMonitor", "watch"]

_FEWEST = 30
_STEPS = 256
_DRAWN = 200


def watch(
    window: Seen,
    reference: Seen | RiskMonitor,
    *,
    every: str = "hour",
    where: Mapping[str, Any] | None = None,
    estimator: PerformanceEstimator | None = None,
    tolerance: float = 0.005,
    alpha: float = 0.001,
) -> list[Observation]:
    """Watch the failure rate through `window`, a batch per `minute`, `hour` or `day`; one observation, or none.

    `reference` is a window before, whose trusted labels say how often answers failed; or a monitor, which goes on from
    where it is and is changed: keep its `state()` to go on later. With fewer than 30 labels in the reference, or none
    in the window, there is nothing to watch and the answer is empty. `where` watches a slice.

    With `estimator`, what is watched is the failure rate expected from confidence (1 - probability of being right),
    which needs no labels, and is only as good as the calibration: hold `performance.estimate` beside it.

    The observation is of kind `performance`, named `failures` (or `expected_failures`), and alarms when more fail than
    before by more than `tolerance`; false alarms are at most `alpha` per batch on average in quiet times. `since` is
    when it began. O(interactions + labels), in the engine.
    """
    here = dict(where or {})
    batches = _batches(within(window, here), every, estimator)
    if isinstance(reference, RiskMonitor):
        monitor = reference
    else:
        before = _batches(within(reference, here), "day", estimator)
        if before is None or batches is None or before[1].size == 0:
            return []
        _, _, weights, times = before
        if times.sum() < _FEWEST:
            return []
        heaviest = max(float(weights.max()), float(batches[2].max(initial=1.0)))
        tally = Tally.of(before[1], weights / heaviest, times)
        monitor = RiskMonitor(tally, tolerance=tolerance, alpha=alpha, heaviest=heaviest)
    if batches is None or batches[1].size == 0:
        return []
    rates = _feed(monitor, *batches)
    return [_finding(window, monitor, rates, here, estimator is not None, every)]


_Batches = tuple[list[datetime], Floats, Floats, Floats]


def _batches(seen: Seen, every: str, estimator: PerformanceEstimator | None) -> _Batches | None:
    """Losses by batch, as starts, losses, weights and counts; None where the tables cannot say."""
    if estimator is None and not {"source", "value", "propensity"} <= set(seen.feedback.columns):
        return None
    rows = _told(seen, every) if estimator is None else _felt(seen, every)
    rows = rows.order_by(["at", *(c for c in rows.columns if c not in ("at", "n"))]).to_pyarrow()
    times = rows.column("n").to_numpy().astype(np.float64)
    if estimator is None:
        losses, weights = (rows.column(c).to_numpy().astype(np.float64) for c in ("wrong", "weight"))
    else:
        step = rows.column("step").to_numpy().astype(np.float64)
        losses, weights = 1 - estimator.probability((step + 0.5) / _STEPS), np.ones(step.size)
    return [utc(at) for at in rows.column("at").to_pylist()], losses, weights, times


def _told(seen: Seen, every: str) -> Any:
    told = judged(seen)
    return told.group_by(at=told["at"].truncate(EVERY[every]), wrong=told.wrong, weight=told.weight).aggregate(
        n=told.count()
    )


def _felt(seen: Seen, every: str) -> Any:
    table = seen.interactions.filter(seen.interactions.confidence.notnull())
    step = (table.confidence * _STEPS).floor().clip(0, _STEPS - 1)
    return table.group_by(at=table["at"].truncate(EVERY[every]), step=step).aggregate(n=table.count())


def _feed(monitor: RiskMonitor, starts: list[datetime], losses: Floats, weights: Floats, times: Floats) -> list[Any]:
    """Give the monitor one batch after another; the mass and what was lost in each."""
    ends = [k for k in range(1, len(starts)) if starts[k] != starts[k - 1]]
    rates = []
    for first, last in zip([0, *ends], [*ends, len(starts)], strict=True):
        part = slice(first, last)
        batch = monitor.tally(losses[part], weights[part], times[part])
        monitor.take(batch, at=starts[first])
        rates.append((starts[first], batch.mass, batch.lost))
    return rates


def _finding(
    window: Seen, monitor: RiskMonitor, rates: list[Any], where: dict[str, Any], felt: bool, every: str
) -> Observation:
    base, whole = monitor.reference_rate, monitor.rate()
    alarm = monitor.alarm
    now = monitor.recent() if alarm else whole
    since = monitor.since if alarm and isinstance(monitor.since, datetime) else None
    known = monitor.reference
    spread = 1.959964 * np.sqrt(base * (1 - base) / known.effective) if isinstance(known, Tally) else 0.0
    effect = now.estimate - base
    whom = f" where {Slice(tuple(where.items()))}" if where else ""
    verb = "are expected to fail" if felt else "fail"
    labels = f"{now.n:,} answers with a confidence" if felt else f"{now.n:,} labels"
    if alarm:
        begun = f" since {since:%-d %b %H:%M} UTC" if since is not None else ""
        line = (
            f"{now.estimate:.1%} of answers{whom} {verb}{begun}, {base:.1%} before: "
            f"{effect * 100:.1f} points more, which hurts ({labels})"
        )
    else:
        line = (
            f"{now.estimate:.1%} of answers{whom} {verb}, {base:.1%} before: "
            f"no rise beyond {monitor.tolerance * 100:g} points is shown ({labels})"
        )
    return Observation(
        kind="performance",
        name="expected_failures" if felt else "failures",
        line=line,
        value=now.estimate,
        reference=base,
        effect=effect,
        interval=Interval(effect, now.low - base - float(spread), now.high - base + float(spread), now.n),
        n=now.n,
        alarm=alarm,
        since=since,
        where=Slice(tuple(where.items())) if where else None,
        evidence=_evidence(monitor, whole),
        query=query_of(lambda seen, told: _question(seen, told, where, felt, every), window),
        chart=_chart(rates, since),
    )


def _evidence(monitor: RiskMonitor, whole: Interval) -> tuple[str, ...]:
    limit = 1 / monitor.alpha
    known = f", known from {monitor.reference.n:,.0f} answers" if isinstance(monitor.reference, Tally) else ""
    return (
        f"The evidence for a rise of more than {monitor.tolerance * 100:g} points is {monitor.e_value:,.3g}; "
        f"from {limit:,.0f} on it is an alarm, of which quiet times bring at most one in {limit:,.0f} batches",
        f"Over all {monitor.batches:,} batches {whole.estimate:.1%} ({whole.low:.1%} to {whole.high:.1%}) failed, "
        "an interval that is right whenever it is read",
        f"The rate before was {monitor.reference_rate:.2%}{known}",
    )


def _question(seen: Any, told: Any, where: dict[str, Any], felt: bool, every: str) -> Any:
    cut = within(Cut(seen, told), where)
    rows = _felt(cut, every) if felt else _told(cut, every)
    return rows.order_by("at")


def _chart(rates: list[Any], since: datetime | None) -> dict[str, Any]:
    """The failure rate by batch; neighbours together where there are more than 200."""
    size = -(-len(rates) // _DRAWN)
    parts = [rates[k : k + size] for k in range(0, len(rates), size)]
    chart: dict[str, Any] = {
        "kind": "line",
        "x": [part[0][0].isoformat() for part in parts],
        "y": [round(sum(r[2] for r in part) / max(sum(r[1] for r in part), 1e-12), 6) for part in parts],
    }
    if since is not None:
        chart["mark"] = since.isoformat()
    return chart
