"""For each stage of the spin: what is possible with this log today, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping

from flywheel.govern.baseline.result import Audit, Requirement, Share, Stage
from flywheel.govern.baseline.words import said

__all__ = ["ENOUGH", "signs_of_failure", "stages"]

ENOUGH = 0.95
"""A field is there when at least this share of the interactions says something in it."""
_WEEKS = 2
_SIGNS = 30
_LABELS, _PER_CLASS = 50, 5
_NONE = Share(0, 0, None)


def stages(audit: Audit, present: Mapping[str, Share], span_days: float) -> tuple[Stage, ...]:
    """The seven stages with what each needs.

    The limits are those of the stages themselves: a weekly pattern needs two weeks, a first model 50 labels of at least
    two classes, a rate to ±5 points 385 cases.
    """

    def there(name: str, what: str, enough: float = ENOUGH) -> Requirement:
        share = present.get(name, _NONE)
        return Requirement(what, (share.share or 0.0) >= enough, said(share) if share.n else "none")

    told, slices = audit.feedback_found, audit.slices
    signs = signs_of_failure(audit)
    readable = audit.times.readable
    labels = told.labelled
    labelled = round((labels.share or 0.0) * audit.interactions)
    timed = Requirement("a readable time", (readable.share or 0.0) >= ENOUGH, said(readable))
    length = Requirement(f"{_WEEKS} weeks of it", span_days >= 7 * _WEEKS, f"{span_days:,.0f} days")
    sliceable = Requirement(
        "something to slice by",
        bool(slices.fields),
        f"{len(slices.fields)} fields with few enough values" if slices.fields else "none",
    )
    asked = there("input", "the input")
    silent = audit.handling.unanswered
    answered = Requirement(
        "an output or an error",
        silent.share is not None and silent.share <= 1 - ENOUGH,
        f"output {said(present['output'])}" if "output" in present else "no output",
    )
    named = Requirement("an id", (audit.ids.with_id.share or 0.0) >= ENOUGH, said(audit.ids.with_id))
    whole = [
        field.path
        for field in audit.fields
        if field.cut_at and (field.path == "input" or field.path.startswith("input."))
    ]
    uncut = Requirement(
        "inputs in full", not whole and asked.met, f"cut off: {', '.join(whole[:3])}" if whole else "none cut off"
    )
    versions = there("model", "which model answered")
    some = [name for name in ("error", "latency_ms", "confidence") if (present.get(name, _NONE).share or 0) > 0]
    health = Requirement("errors, latency or confidence", bool(some), ", ".join(some) or "none of them")
    failing = Requirement(
        f"{_SIGNS} signs of failure", signs >= _SIGNS, f"{signs:,} errors, complaints and wrong answers"
    )
    many = Requirement(f"{slices.needed} interactions", audit.interactions >= slices.needed, f"{audit.interactions:,}")
    lawful = Requirement(
        "nobody who refused", audit.personal.refused == 0, f"{audit.personal.refused:,} records without consent"
    )
    taught = Requirement(
        f"{_LABELS} labels of two classes or more",
        labelled >= _LABELS and told.classes >= 2,
        f"{labelled:,} labels, {told.classes:,} different",
    )
    spread = Requirement(
        f"{_PER_CLASS} labels in each class",
        (told.smallest_class or 0) >= _PER_CLASS,
        "no labels" if told.smallest_class is None else f"{told.smallest_class:,} in the smallest",
    )
    fresh = Requirement(f"{slices.needed} labels to test on", labelled >= slices.needed, f"{labelled:,}")
    later = Requirement(
        "labels at different times", labelled > 0 and span_days >= 7, f"{labelled:,} over {span_days:,.0f} days"
    )
    who = Requirement(
        "a user or session to split by",
        max(present.get(name, _NONE).share or 0 for name in ("user", "session")) >= ENOUGH,
        f"user {said(present.get('user'))}, session {said(present.get('session'))}",
    )
    worth = Requirement(
        "an outcome the business counts", bool(told.kinds.get("outcome")), f"{told.kinds.get('outcome', 0):,} outcomes"
    )
    return (
        Stage("observe", "Is something changing?", (timed, length, health, sliceable)),
        Stage("diagnose", "What fails, and why?", (asked, answered, failing, sliceable)),
        Stage("label", "What is the right answer?", (asked, answered, named, lawful)),
        Stage("train", "Can a model learn from it?", (asked, taught, spread)),
        Stage("replay", "Would another model do better on the same inputs?", (named, asked, answered, uncut, many)),
        Stage("gate", "Is it proven better?", (fresh, later, sliceable)),
        Stage("measure", "What did the release change?", (timed, who, versions, worth)),
    )


def signs_of_failure(audit: Audit) -> int:
    """Errors, complaints and answers that differ from their label, in the whole log."""
    found = 0.0
    for share in (audit.handling.errors, audit.feedback_found.negative, audit.feedback_found.disagreeing):
        found += _whole(share, audit)
    return round(found)


def _whole(share: Share, audit: Audit) -> float:
    """How many of all, when counted among those in a sample."""
    if share.low is None or not audit.profiled:
        return share.count
    if share is audit.handling.errors:
        return (share.share or 0.0) * audit.interactions
    told = audit.feedback_found.told
    return share.count * (audit.interactions / told.n if told.n else 1.0)
