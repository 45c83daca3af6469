"""How much a mode matters: severity × occurrence × detectability, how sure each is, and what it costs a week.

Failure mode and effects analysis (IEC 60812:2018). Each factor is a number from 1 to 10 that follows from what was
measured, with the measurement beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import ibis

from flywheel.diagnose.cause.shares import jeffreys, rate
from flywheel.diagnose.evidence import TRUSTED, Window
from flywheel.records import Failure, Interval, Mode, Risk

if TYPE_CHECKING:
    from flywheel.config import ValueSettings
    from flywheel.ports import Task

__all__ = ["Ledger", "Outcome", "ledger_of", "risk_of"]

_WEEK = 7 * 24 * 3600.0
_WEEKS_A_YEAR = 365.25 / 7
_AUDITED = 100
"""From so many effective audit labels on, occurrence is taken from them rather than from P(failure)."""
_EFFECT = 0.2
"""A difference of an outcome below so many standard deviations is small (Cohen 1988), and left out."""
_ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """A business metric on a mode's interactions and on the others': means, n, difference in standard deviations."""

    name: str
    here: float
    elsewhere: float
    n: int
    effect: float
    p: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the window says about cost and frequency, for all modes, in three queries.

    `size` interactions in `seconds`; `audited` is the effective number of labels that were drawn with a known
    probability, `audit` mode id → share of the traffic that they say fails in this way; `outcomes` mode id → business
    metrics that differ.
    """

    size: int = 0
    seconds: float = 0.0
    audited: float = 0.0
    audit: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, tuple[Outcome, ...]] = field(default_factory=dict)


def ledger_of(window: Window, found_by_mode: Mapping[str, Sequence[Failure]]) -> Ledger:
    """Ask the window once for all modes; O(interactions + feedback) in the engine, what leaves it is one row a mode."""
    seen = window.interactions
    span = seen.aggregate(n=seen.count(), first=seen["at"].min(), last=seen["at"].max()).to_pyarrow().to_pylist()[0]
    rows = [(f.interaction_id, mode) for mode, found in sorted(found_by_mode.items()) for f in found]
    if not rows or not span["n"]:
        return Ledger(span["n"], _seconds(span["first"], span["last"]))
    members = ibis.memtable(
        {"member": [key for key, _ in rows], "mode": [mode for _, mode in rows]},
        schema={"member": "string", "mode": "string"},
    )
    audited, audit = _audit(window, members)
    return Ledger(
        int(span["n"]), _seconds(span["first"], span["last"]), audited, audit, _outcomes(window, members)
    )  # fmt: skip


def _seconds(first: datetime | None, last: datetime | None) -> float:
    return max(0.0, (last - first).total_seconds()) if first is not None and last is not None else 0.0


def _audit(window: Window, members: Any) -> tuple[float, dict[str, float]]:
    """The effective number of audit labels (Kish 1965), and by mode the Hájek share of the traffic that is wrong."""
    f = window.feedback
    if "propensity" not in f.columns:
        return 0.0, {}
    drawn = f.propensity.notnull() | (f.source == "system")
    f = f.filter((f.kind == "label") & f.source.isin(TRUSTED) & drawn)
    last = f.group_by("interaction_id").aggregate(
        truth=f["value"].argmax(f.seq), chance=f.propensity.fill_null(1.0).argmax(f.seq)
    )
    outputs = window.interactions.select("id", "output")
    told = outputs.inner_join(last, [("id", "interaction_id")])
    told = told.filter(told.chance > 0).mutate(
        weight=1.0 / told.chance, wrong=(told.output.fill_null("null") != told.truth).ifelse(1.0, 0.0)
    )
    told = told.left_join(members, [("id", "member")])
    told = told.group_by("mode").aggregate(
        w=told.weight.sum(), w2=(told.weight * told.weight).sum(), bad=(told.weight * told.wrong).sum()
    )
    rows = told.to_pyarrow().to_pylist()
    total, square = sum(row["w"] for row in rows), sum(row["w2"] for row in rows)
    if total <= 0:
        return 0.0, {}
    return total**2 / square, {row["mode"]: row["bad"] / total for row in rows if row["mode"] is not None}


def _outcomes(window: Window, members: Any) -> dict[str, tuple[Outcome, ...]]:
    """Business metrics that differ between a mode's interactions and the others' by Welch's test, at p < 0.01 after
    Bonferroni's correction, and by at least 0.2 standard deviations."""
    from scipy.stats import ttest_ind_from_stats

    f = window.feedback
    if "name" not in f.columns or "number" not in f.columns:
        return {}
    f = f.filter((f.kind == "outcome") & f.number.notnull() & f.name.notnull())
    here = window.interactions.select("id")
    f = f.inner_join(here, [("interaction_id", "id")]).left_join(members, [("interaction_id", "member")])
    rows = (
        f.group_by("name", "mode")
        .aggregate(n=f.count(), total=f.number.sum(), square=(f.number * f.number).sum())
        .to_pyarrow()
        .to_pylist()
    )
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    found: dict[str, list[Outcome]] = {}
    tests = max(1, sum(row["mode"] is not None for row in rows))
    for name, some in sorted(by_name.items()):
        for row in some:
            if row["mode"] is None:
                continue
            rest = [one for one in some if one["mode"] != row["mode"]]
            a, b = _moments([row]), _moments(rest)
            if a is None or b is None:
                continue
            spread = math.sqrt((a[1] ** 2 * (a[2] - 1) + b[1] ** 2 * (b[2] - 1)) / (a[2] + b[2] - 2))
            if spread <= 0:
                continue
            p = min(1.0, tests * float(ttest_ind_from_stats(*a, *b, equal_var=False).pvalue))
            effect = (a[0] - b[0]) / spread
            if p < _ALPHA and abs(effect) >= _EFFECT:
                found.setdefault(row["mode"], []).append(Outcome(name, a[0], b[0], int(a[2]), effect, p))
    return {mode: tuple(several) for mode, several in found.items()}


def _moments(rows: Sequence[dict[str, Any]]) -> tuple[float, float, int] | None:
    """Mean, standard deviation and n of pooled sums; None for fewer than five."""
    n = sum(row["n"] for row in rows)
    if n < 5:
        return None
    total, square = sum(row["total"] for row in rows), sum(row["square"] for row in rows)
    return total / n, math.sqrt(max(0.0, (square - total**2 / n) / (n - 1))), n


def risk_of(
    mode: Mode,
    here: Sequence[Failure],
    *,
    task: Task | None = None,
    ledger: Ledger | None = None,
    value: ValueSettings | None = None,
) -> Risk:
    """A mode's risk, with how often it occurs a week and what that costs.

    Severity is the task's, averaged over the labelled failures (without any: the middle, 5), and at least what the
    business metrics say: 1 + 9 × their largest difference, in standard deviations, up to 1. Occurrence is 10 from a
    tenth of the traffic on, and falls by 3 for each tenth part; its interval is Jeffreys' on audit labels where there
    are 100 (effective) of them, else a gamma interval on the sum of P(failure), which holds the chance of events and
    what P(failure) leaves open. Detectability is 1 when all failures show by themselves and 10 when only labels show
    them. The cost is failures a week × the price of one × their mean severity.
    """
    ledger = ledger or Ledger()
    lines: list[str] = []
    severity, mean = _severity(mode, here, task, ledger, lines)
    share = _occurrence(mode, here, ledger, lines)
    occurrence = round(10 + 3 * math.log10(max(share.estimate if share else mode.share, 1e-6) / 0.1))
    unseen = sum(not any(e.kind != "label_wrong" for e in f.evidence) for f in here) / len(here) if here else 1.0
    lines.append(f"{unseen:.0%} of its failures show only by a label")
    week = _per_week(share, ledger, value, lines)
    cost = None
    if value is not None and value.per_failure > 0 and week is not None:
        price = value.per_failure * mean
        cost = _times(week, price)
        lines.append(f"priced at {value.per_failure:g} {value.currency} a failure × a mean severity of {mean:.2f}")
    return Risk(
        severity=_ten(severity), occurrence=_ten(occurrence), detectability=_ten(round(1 + 9 * unseen)),
        share=share, per_week=week, cost=cost, currency=value.currency if cost is not None and value else None,
        evidence=tuple(lines),
    )  # fmt: skip


def _severity(
    mode: Mode, here: Sequence[Failure], task: Task | None, ledger: Ledger, lines: list[str]
) -> tuple[int, float]:
    """1 to 10, and the task's mean severity, 0 to 1 (1 where nobody has labelled any)."""
    grave = [task.severity(f.output, f.label) for f in here if f.label is not None] if task is not None else []
    mean = sum(grave) / len(grave) if grave else 1.0
    severity = round(1 + 9 * mean) if grave else 5
    lines.append(
        f"the task calls {len(grave)} labelled ones {mean:.2f} bad on average, of 1"
        if grave
        else "no labelled failure says how bad they are: severity is set to the middle"
    )
    for one in ledger.outcomes.get(mode.id, ()):
        lines.append(
            f"{one.name} is {one.here:.3g} on {one.n} of these, {one.elsewhere:.3g} elsewhere "
            f"({one.effect:+.2f} standard deviations, p = {one.p:.1g})"
        )
        severity = max(severity, round(1 + 9 * min(1.0, abs(one.effect))))
    return severity, mean


def _occurrence(mode: Mode, here: Sequence[Failure], ledger: Ledger, lines: list[str]) -> Interval | None:
    size = ledger.size or (round(mode.count / mode.share) if mode.share > 0 else 0)
    if size <= 0:
        return None
    if ledger.audited >= _AUDITED:
        n = ledger.audited
        share = jeffreys(ledger.audit.get(mode.id, 0.0) * n, n)
        lines.append(f"{share.estimate:.2%} of the traffic by {n:.0f} (effective) audit labels")
        return share
    open_question = sum(f.probability * (1 - f.probability) for f in here)
    scale = mode.count / max(sum(f.probability for f in here), 1e-9)
    count = rate(mode.count, mode.count + open_question * max(scale, 1.0) ** 2)
    lines.append(f"about {mode.count:.0f} of {size} interactions by the sum of P(failure): too few audit labels")
    return Interval(
        round(count.estimate / size, 6), round(count.low / size, 6), round(min(1.0, count.high / size), 6), size
    )  # fmt: skip


def _per_week(
    share: Interval | None, ledger: Ledger, value: ValueSettings | None, lines: list[str]
) -> Interval | None:  # fmt: skip
    if share is None:
        return None
    if value is not None and value.interactions_per_year > 0:
        traffic = value.interactions_per_year / _WEEKS_A_YEAR
    elif ledger.seconds > 0 and ledger.size > 1:
        traffic = ledger.size / ledger.seconds * _WEEK
        if ledger.seconds < _WEEK / 7:
            lines.append(f"a week's traffic is extrapolated from {ledger.seconds / 3600:.1f} hours")
    else:
        return None
    return _times(share, traffic)


def _times(interval: Interval, factor: float) -> Interval:
    return replace(
        interval, estimate=round(interval.estimate * factor, 4), low=round(interval.low * factor, 4),
        high=round(interval.high * factor, 4),
    )  # fmt: skip


def _ten(value: int) -> int:
    return min(10, max(1, value))
