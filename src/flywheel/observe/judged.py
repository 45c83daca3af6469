"""Which answers are known to be wrong, and how much each label counts for the traffic it was drawn from."""

from __future__ import annotations

from typing import Any

from flywheel.observe.series import Seen

__all__ = ["judged"]

TRUSTED = ("reviewer", "system")
"""Whose labels are known: people who were asked, and the truth that came later. A judge's own errors are not known
here, and users who correct an answer chose themselves."""


def judged(seen: Seen, *, tolerance: float = 1e-9, columns: tuple[str, ...] = ()) -> Any:
    """The interactions with a trusted label: `id`, `at`, `wrong` (0.0 or 1.0), `weight`, and `columns` of theirs.

    `weight` is 1 / propensity, the probability with which the label was asked for, so that weighted means speak for all
    interactions (Horvitz & Thompson 1952). Labels of the system without a propensity came for everybody: 1. Labels of
    reviewers without one were not drawn at random, and are left out. The last label of an interaction counts. Numbers
    are right within `tolerance`. An Ibis table; O(interactions + feedback) when it runs.
    """
    f = seen.feedback
    drawn = f.propensity.notnull() | (f.source == "system")
    told = f.filter((f.kind == "label") & f.source.isin(TRUSTED) & drawn)
    last = told.group_by("interaction_id").aggregate(
        truth=told.value.argmax(told.seq), chance=told.propensity.fill_null(1.0).argmax(told.seq)
    )
    t = seen.interactions
    names = dict.fromkeys(("id", "at", "output", *columns))
    both = t.select(*names).inner_join(last, [("id", "interaction_id")])
    number, truth = both.output.try_cast("float64"), both.truth.try_cast("float64")
    numeric = number.notnull() & truth.notnull()
    wrong = numeric.ifelse((number - truth).abs() > tolerance, both.output.fill_null("null") != both.truth)
    kept = [name for name in names if name != "output" or "output" in columns]
    return both.filter(both.chance > 0).select(
        *kept, wrong=wrong.ifelse(1.0, 0.0), weight=1.0 / both.chance, truth=both.truth
    )
