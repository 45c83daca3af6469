"""The receipt of a spin: what it changed, what it cost, what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flywheel.measure.accuracy import accuracy
from flywheel.measure.uplift import uplift
from flywheel.records import Interval, Receipt

if TYPE_CHECKING:
    from flywheel.config import ValueSettings

__all__ = ["Judgement", "receipt"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One labelled case: was the product right before the spin, is it right after it?"""

    right_before: bool
    right_after: bool
    propensity: float
    """How likely the case was to be asked about."""
    audit: bool
    """It belongs to the simple random sample."""
    differs: bool | None = None
    """The two models answered differently; None when that is not known."""


def receipt(
    judged: Sequence[Judgement],
    *,
    spin: int,
    decision: str,
    population: int,
    released: bool | None = None,
    disagreement: float | None = None,
    labels: int = 0,
    audit_labels: int = 0,
    seconds: float = 0.0,
    per_year: float = 0.0,
    settings: ValueSettings | None = None,
) -> Receipt:
    """Write the receipt of a spin from its judged cases.

    `population` is the number of interactions the cases were drawn from, `disagreement` the share of them on which
    the two models differ, `per_year` the interactions of a year. When nothing was `released` (by default: when the
    decision is not to promote) the uplift is exactly 0. `value` is the money a year of the same traffic saves, where
    `settings.per_failure` prices a failure; `cost` what the labels and the time took.
    """
    propensities = [one.propensity for one in judged]
    audit = [one.audit for one in judged]
    before = accuracy([one.right_before for one in judged], propensities, audit, population)
    after = accuracy([one.right_after for one in judged], propensities, audit, population)
    changed = decision == "promote" if released is None else released
    if changed:
        known = all(one.differs is not None for one in judged)
        change = uplift(
            [one.right_before for one in judged],
            [one.right_after for one in judged],
            propensities,
            population=population or None,
            disagreement=disagreement,
            differs=[bool(one.differs) for one in judged] if judged and known else None,
        )
    else:
        change = Interval(0.0, 0.0, 0.0, len(judged))
    avoided = Interval(change.estimate * 1000, change.low * 1000, change.high * 1000, change.n, change.level)
    value = cost = None
    if settings is not None and settings.per_failure and per_year:
        value = change.estimate * per_year * settings.per_failure
    if settings is not None and (settings.per_label or settings.per_training_hour):
        cost = labels * settings.per_label + seconds / 3600 * settings.per_training_hour
    currency = settings.currency if settings is not None and (value is not None or cost is not None) else None
    return Receipt(
        spin=spin,
        decision=decision,
        before=before,
        after=after,
        uplift=change,
        avoided_per_1000=avoided,
        labels=labels,
        audit_labels=audit_labels,
        seconds=seconds,
        value=value,
        cost=cost,
        currency=currency,
        line=_line(spin, changed, before, change, labels, value, cost, currency),
    )


def _line(
    spin: int,
    changed: bool,
    before: Interval,
    change: Interval,
    labels: int,
    value: float | None,
    cost: float | None,
    currency: str | None,
) -> str:
    spent = f"{labels} label{'' if labels == 1 else 's'}"
    price = "" if cost is None else f" ({_money(cost, currency)})"
    if not changed:
        was = f", about {before.estimate:.0%} right ({before.low:.0%} to {before.high:.0%})" if before.n else ""
        return f"Spin {spin} changed nothing in production{was}; it took {spent}{price}."
    if not change.n:
        return f"Spin {spin} released a first model; there is nothing yet to compare it with. It took {spent}{price}."
    sign = "avoids" if change.estimate >= 0 else "adds"
    low, high = change.low * 1000, change.high * 1000
    sure = "" if change.low > 0 or change.high < 0 else ", so it may be none"
    worth = "" if value is None else f", worth {_money(value, currency)} a year"
    return (
        f"Spin {spin} {sign} about {abs(change.estimate) * 1000:.0f} failures in 1,000 answers "
        f"(95 % interval {low:.0f} to {high:.0f} avoided{sure}){worth}; it took {spent}{price}."
    )


def _money(amount: float, currency: str | None) -> str:
    return (
        f"{amount:,.0f} {currency or ''}".strip() if abs(amount) >= 100 else f"{amount:,.2f} {currency or ''}".strip()
    )
