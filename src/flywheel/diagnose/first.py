"""What to fix first: what each mode's remedy would buy, and what it would take in labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flywheel.records import Interval, Mode

if TYPE_CHECKING:
    from flywheel.config import ValueSettings

__all__ = ["Fix", "fix_first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One line of the list. `avoided` failures a week and `saved` money a week are None where nothing measured says;
    `labels` is what the remedy takes, `label_cost` what these cost."""

    mode: str
    name: str
    action: str
    remedy: str
    risk: int
    labels: int
    avoided: Interval | None = None
    saved: Interval | None = None
    currency: str | None = None
    label_cost: float | None = None
    line: str = ""


def fix_first(modes: Sequence[Mode], *, value: ValueSettings | None = None, limit: int = 20) -> list[Fix]:
    """Order the modes that are not fixed by what a label spent on them buys.

    What a remedy would avoid is the mode's failures a week × the share that it would mend. That share is measured, not
    hoped for: for scarcity, how often the quick learners are right on examples of the usual label (taught as much,
    these would be as right as those); for a flaw, the share of labelled failures that the learner which is best on the
    examples gets right; for label noise, the share that it gets right once the doubtful labels are left out.
    Intervals multiply as if the two were independent (their ends are those of a log-normal with both variances). Where
    no such trial is possible the line says "cannot tell", gives the most that it could be, and comes after those that
    can be told, by risk. Labels: see `flywheel.diagnose.cause.remedy.remedy_of`.
    """
    alive = [mode for mode in modes if mode.state != "fixed"]
    fixes = [_fix(mode, value) for mode in alive]

    def turn(fix: Fix) -> tuple[bool, float, int, str]:
        worth = fix.saved or fix.avoided
        return (worth is None, -(worth.estimate / max(fix.labels, 1)) if worth else 0.0, -fix.risk, fix.mode)

    return sorted(fixes, key=turn)[:limit]


def _fix(mode: Mode, value: ValueSettings | None) -> Fix:
    risk, cause = mode.risk, mode.cause
    week = risk.per_week if risk is not None else None
    avoided = _product(week, cause.mends) if week is not None and cause.mends is not None else None
    saved = None
    if avoided is not None and risk is not None and risk.cost is not None and week is not None and week.estimate > 0:
        saved = _scaled(avoided, risk.cost.estimate / week.estimate)
    fix = Fix(
        mode=mode.id, name=mode.name, action=cause.action, remedy=cause.remedy, risk=risk.number if risk else 0,
        labels=cause.wanted, avoided=avoided, saved=saved,
        currency=risk.currency if risk is not None and saved is not None else None,
        label_cost=round(value.per_label * cause.wanted, 2) if value is not None and value.per_label > 0 else None,
    )  # fmt: skip
    return replace(fix, line=_line(mode, fix))


def _line(mode: Mode, fix: Fix) -> str:
    takes = f"takes about {fix.labels} labels" if fix.labels != 1 else "takes 1 label"
    if fix.label_cost is not None:
        takes += f" ({fix.label_cost:g} for them)"
    if fix.avoided is not None:
        buys = f"would avoid {_range(fix.avoided)} failures a week"
        if fix.saved is not None:
            buys += f", worth {_range(fix.saved)} {fix.currency}"
    else:
        most = mode.risk.per_week if mode.risk is not None else None
        bound = f": at most {most.high:.3g} failures a week" if most is not None else ""
        buys = f"cannot tell what it would avoid{bound}"
    return f"{mode.name}: {mode.cause.remedy}. It {takes}, and {buys}"


def _range(interval: Interval) -> str:
    return f"{interval.estimate:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def _product(a: Interval, b: Interval) -> Interval:
    """The product of two independent estimates. On the log scale their half-widths add as squares."""
    middle = a.estimate * b.estimate

    def side(x: Interval, y: Interval, ends: tuple[float, float]) -> float:
        out = 0.0
        for one, end in zip((x, y), ends, strict=True):
            if one.estimate <= 0 or end <= 0:
                return math.inf
            out += math.log(end / one.estimate) ** 2
        return float(out**0.5)

    low = middle * math.exp(-side(a, b, (a.low, b.low)))
    up = side(a, b, (a.high, b.high))
    high = a.high * b.high if up == math.inf else min(a.high * b.high, middle * math.exp(up))
    return Interval(round(middle, 4), round(low, 4), round(high, 4), min(a.n, b.n) or b.n)


def _scaled(interval: Interval, factor: float) -> Interval:
    return replace(
        interval, estimate=round(interval.estimate * factor, 4), low=round(interval.low * factor, 4),
        high=round(interval.high * factor, 4),
    )  # fmt: skip
