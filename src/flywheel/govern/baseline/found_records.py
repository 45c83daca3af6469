"""What to fix about the records themselves: reading, fields, times, ids."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from flywheel.govern.baseline.readiness import ENOUGH
from flywheel.govern.baseline.result import Audit, Finding, Share
from flywheel.govern.baseline.words import BLOCKS, TIDY, WEAKENS, counted, said

__all__ = ["essentials", "identity", "import_command", "nothing", "reading", "times"]

_STALE_DAYS = 7
_NONE = Share(0, 0, None)


def import_command(audit: Audit, *more: str) -> str:
    """The command that brings this log in."""
    return " ".join([audit.command, *more])


def nothing(audit: Audit) -> Iterator[Finding]:
    """A log without interactions."""
    if audit.feedback:
        yield Finding(
            "no interactions",
            "There is feedback here, and nothing it is about",
            BLOCKS,
            "Feedback says which answers were good or bad; without inputs and answers nothing can be diagnosed.",
            f"{audit.feedback:,} feedback, 0 interactions",
            ("flywheel audit INTERACTIONS", import_command(audit)),
            ("observe", "diagnose", "label", "train", "replay", "gate", "measure"),
        )
        return
    why = audit.problems[0][0] if audit.problems else "the source yields no records"
    yield Finding(
        "nothing readable",
        "Nothing here could be read as a log",
        BLOCKS,
        "Every stage begins with interactions: what went into the model and what came out.",
        f"{audit.unreadable:,} of {audit.records:,} records unreadable; most often: {why}",
        ("flywheel plugins", f"flywheel audit {shlex.quote(audit.location)} --source NAME"),
        ("observe", "diagnose", "label", "train", "replay", "gate", "measure"),
    )


def reading(audit: Audit) -> Iterator[Finding]:
    """Records that cannot be read."""
    if audit.unreadable:
        share = audit.unreadable / audit.records
        yield Finding(
            "unreadable records",
            f"{audit.unreadable:,} records cannot be read",
            WEAKENS if share > 0.01 else TIDY,
            "They would go to the dead letters, and no rate computed from the rest speaks for them.",
            f"{audit.unreadable:,} of {audit.records:,}; most often: {audit.problems[0][0]}",
            (import_command(audit, "--dry-run"), "flywheel doctor"),
        )


def essentials(audit: Audit, present: Mapping[str, Share]) -> Iterator[Finding]:
    """Inputs and outputs."""
    asked = present.get("input", _NONE)
    if (asked.share or 0.0) < ENOUGH:
        yield Finding(
            "no input",
            f"The input is {_how_often(asked)}",
            BLOCKS,
            "What the model was asked is what failures are grouped by, labelled, learned from and replayed.",
            f"input: {said(asked)} interactions" if asked.n else "no column was taken for the input",
            (*_mapped(audit, "input"), "fw.log(input=…)"),
            ("diagnose", "label", "train", "replay"),
        )
    answered = present.get("output", _NONE)
    if (answered.share or 0.0) < 0.5:
        labelled = (audit.feedback_found.labelled.share or 0.0) > 0.5
        yield Finding(
            "no output",
            f"The output is {_how_often(answered)}",
            BLOCKS,
            "Without the answer nothing can be judged wrong."
            + (" With labels and no answers these are examples to begin with, not a log." if labelled else ""),
            f"output: {said(answered)} interactions" if answered.n else "no column was taken for the output",
            (f"flywheel seed {shlex.quote(audit.location)}  # a first model learns from the labels", "fw.log(output=…)")
            if labelled
            else (*_mapped(audit, "output"), "fw.log(output=…)"),
            ("diagnose", "label", "replay"),
        )


def _how_often(share: Share) -> str:
    return "not recorded" if not share.count else "often missing" if (share.share or 0.0) < 0.5 else "sometimes missing"


def _mapped(audit: Audit, field: str) -> tuple[str, ...]:
    """The import with a mapping still to be filled in, and the columns it could be; nothing where none can be given."""
    if not audit.mappable:
        return ()
    free = [one.column for one in audit.fields if one.column and one.path.startswith(("context.", "input."))]
    return (import_command(audit, f"--map {field}=COLUMN") + (f"  # one of: {', '.join(free[:6])}" if free else ""),)


def times(audit: Audit) -> Iterator[Finding]:
    """When things happened."""
    times = audit.times
    if (times.readable.share or 0.0) < ENOUGH:
        yield Finding(
            "no times",
            "When it happened is unknown",
            BLOCKS,
            "Change, gaps, training before testing, before and after: all of it needs the time of each interaction.",
            f"readable times: {said(times.readable)}"
            + (f"; {times.unreadable:,} are written in a way that is not ISO 8601" if times.unreadable else ""),
            (
                *_mapped(audit, "at"),
                'fw.log(at=datetime.now(UTC))  # or text: "2026-01-31T12:00:00Z"',
            ),
            ("observe", "gate", "measure"),
        )
    if times.without_zone:
        yield Finding(
            "no time zone",
            "Times do not say their zone",
            WEAKENS,
            "09:00 without a zone is any of 38 moments; records around a change of clocks fall on each other.",
            f"{times.without_zone:,} of {times.readable.count:,} times",
            ("at = at.replace(tzinfo=ZoneInfo('Europe/Berlin'))  # where you write the log",),
            ("observe", "measure"),
        )
    if times.in_future:
        yield Finding(
            "times in the future",
            f"{times.in_future:,} records are from the future",
            WEAKENS,
            "A wrong clock or a wrong unit; they would count as the newest of everything.",
            f"newest: {times.last:%Y-%m-%d %H:%M} UTC",
            ("timedatectl  # on the machine that writes them",),
            ("observe",),
        )
    elif times.newest_days is not None and times.newest_days > _STALE_DAYS:
        yield Finding(
            "stale",
            f"The newest record is {times.newest_days:,.0f} days old",
            WEAKENS,
            "The loop learns from what fails now. An old export shows what it could do; it does not turn the wheel.",
            f"newest: {times.last:%Y-%m-%d %H:%M} UTC",
            ("fw.log(input=…, output=…)  # from the product itself",),
            ("observe", "measure"),
        )
    if times.gaps:
        worst = max(times.gaps, key=lambda gap: gap["expected"])
        yield Finding(
            "gaps",
            f"{counted(len(times.gaps), 'gap')} in which records are missing",
            WEAKENS,
            "A log that stops is not a product without failures: rates over a gap are wrong, and nobody was told.",
            f"the worst: {worst['from']:%Y-%m-%d %H:%M} UTC, {worst['hours']:,} h, where {worst['expected']:,} records"
            f" are usual ({times.pattern})",
            ("fw.log(…)  # an open folder's log() returns when the record is on disk",),
            ("observe",),
        )


def identity(audit: Audit, present: Mapping[str, Share]) -> Iterator[Finding]:
    """Ids, repeats, users, versions."""
    ids = audit.ids
    if (ids.with_id.share or 0.0) < ENOUGH:
        yield Finding(
            "no ids",
            "Interactions have no ids",
            WEAKENS,
            "Feedback finds its interaction by id, and a record sent twice is recognised by it.",
            f"with an id: {said(ids.with_id)}",
            (*_mapped(audit, "id"), "fw.log(id=request_id, …)"),
            ("label", "replay"),
        )
    if ids.conflicts.count:
        yield Finding(
            "conflicting ids",
            "The same id stands for different records",
            WEAKENS,
            "The first one is kept and the others are refused; what they said is lost.",
            f"{said(ids.conflicts)} ids",
            ("fw.log(id=str(uuid.uuid4()), …)",),
            ("label", "replay"),
        )
    if (ids.repeated.share or 0.0) > 0.001:
        yield Finding(
            "repeated records",
            "Records are there more than once",
            TIDY,
            "An import stores each once; your own counts from this log are too high.",
            f"{said(ids.repeated)} records say exactly what an earlier one says",
            (import_command(audit),),
        )
    who = max(present.get(name, _NONE).share or 0.0 for name in ("user", "session"))
    if who < 0.5:
        yield Finding(
            "nobody to split by",
            "Neither users nor sessions are recorded",
            WEAKENS,
            "A canary splits users, not calls; retries and abandoned visits cannot be seen; nobody can be erased.",
            f"user: {said(present.get('user'))}; session: {said(present.get('session'))}",
            ("fw.log(user=user_id, session=visit_id, …)  # stored as a keyed pseudonym",),
            ("measure",),
        )
    if (present.get("model", _NONE).share or 0.0) < ENOUGH:
        yield Finding(
            "no model version",
            "Which model answered is not recorded",
            WEAKENS,
            "Before and after a release cannot be told apart, and a fixed mode cannot be pinned to a version.",
            f"model: {said(present.get('model'))}",
            ('fw.log(model="v12", …)',),
            ("measure", "replay"),
        )
