"""What to fix about people: their data, and what they say."""

from __future__ import annotations

from collections.abc import Iterator

from flywheel.govern.baseline.found_records import import_command
from flywheel.govern.baseline.result import Audit, Finding
from flywheel.govern.baseline.words import BLOCKS, TIDY, WEAKENS, said

__all__ = ["feedback", "privacy"]


def privacy(audit: Audit) -> Iterator[Finding]:
    """Personal data, users by name, consent."""
    personal = audit.personal
    if personal.rows.count:
        first = personal.by_field[0]
        drawn = " drawn" if audit.sampled else ""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in list(personal.finds.items())[:4])
        yield Finding(
            "personal data",
            "The log holds personal data or secrets",
            WEAKENS,
            "Flywheel takes it out before the first byte is written; the log you already have keeps it.",
            f"{said(personal.rows)} records{drawn}: {kinds}; most in {first['path']} ({first['rows']:,} records)",
            ("flywheel settings  # [privacy] redactor, hash, drop", f'[privacy] redact = ["{first["path"]}"]'),
            ("label", "train"),
        )
    if (personal.identifiable.share or 0.0) > 0.01:
        yield Finding(
            "users by name",
            "Users are recorded by name or address",
            WEAKENS,
            "Whoever reads the log knows who asked what. An opaque id does the same work.",
            f"{said(personal.identifiable)} interactions with a user",
            ("fw.log(user=account.id, …)  # Flywheel keeps a keyed pseudonym of it",),
        )
    if personal.refused:
        yield Finding(
            "consent refused",
            f"{personal.refused:,} interactions are from people who refused",
            WEAKENS,
            "They are counted and not kept; a model must not learn from them.",
            f"consent = false: {personal.refused:,} of {personal.consent.n:,}",
            (import_command(audit),),
            ("label",),
        )
    elif not personal.consent.count and personal.users.count:
        yield Finding(
            "no consent",
            "Whether people agreed is not recorded",
            TIDY,
            "Where you need it, it cannot be added afterwards.",
            f"consent: none of {personal.consent.n:,}",
            ("fw.log(consent=True, …)", '[privacy] consent = "required"'),
        )


def feedback(audit: Audit) -> Iterator[Finding]:
    """What comes back, and what becomes of complaints."""
    told = audit.feedback_found
    if not told.kinds:
        yield Finding(
            "no feedback",
            "Nothing ever comes back about an answer",
            BLOCKS,
            "Without ratings, corrections or outcomes nobody knows which answers were wrong.",
            f"0 feedback about {audit.interactions:,} interactions",
            (
                "fw.feedback(id, rating=-1)  # from a thumb in the product",
                "flywheel init && flywheel spin --budget 100 && flywheel label",
            ),
            ("diagnose", "train", "gate", "measure"),
        )
    elif not told.labelled.count:
        yield Finding(
            "no labels",
            "There is feedback, and never the right answer",
            BLOCKS,
            "A complaint says that something is wrong; only a label says what would have been right.",
            ", ".join(f"{count:,} {kind}s" for kind, count in told.kinds.items()) + "; 0 labels",
            (
                "flywheel spin --budget 100 && flywheel label",
                "fw.feedback(id, label=…)  # when the truth is known later",
            ),
            ("train", "gate"),
        )
    if told.negative.count and (told.followed_up.share or 0.0) < 0.5:
        open_ = told.negative.count - told.followed_up.count
        yield Finding(
            "complaints without an answer",
            "Most complaints are never followed up",
            WEAKENS,
            "They are the likeliest failures you have, and each one labelled teaches the most.",
            f"{open_:,} of {told.negative.count:,} interactions with negative feedback have no label",
            ("flywheel spin --budget 100  # asks for them first", "flywheel label"),
            ("diagnose", "train"),
        )
    if told.ratings is not None and told.ratings.low >= 0 and told.ratings.high > 1:
        middle = (told.ratings.low + told.ratings.high) / 2
        yield Finding(
            "ratings without a negative side",
            f"Ratings go from {told.ratings.low:g} to {told.ratings.high:g}, so none counts as a complaint",
            WEAKENS,
            "Flywheel takes a rating below zero for negative.",
            f"{told.ratings.n:,} ratings, half of them {told.ratings.p50:g} or less",
            (f"fw.feedback(id, rating=stars - {middle:g})",),
            ("diagnose",),
        )
    if (told.strangers.share or 0.0) > 0.05:
        yield Finding(
            "feedback about strangers",
            "Much feedback is about interactions that are not here",
            WEAKENS,
            "Either they lie in another log, or the ids of the two do not match.",
            f"{said(told.strangers)} interactions that feedback is about",
            ("flywheel import INTERACTIONS  # first; then the feedback",),
            ("diagnose", "label"),
        )
