"""The parts of the report that show what is there: fields, ids, times, feedback, personal data, slices, failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flywheel.govern.baseline.charts import bar, columns, days, week
from flywheel.govern.baseline.result import Audit, ContextField, FieldFound, Share, Spread
from flywheel.govern.baseline.words import lasting, milliseconds, number, percent, said
from flywheel.page.markup import Html, h, join, prose

__all__ = ["failures", "feedback", "fields", "ids", "personal", "slices", "times"]

_MOST_FIELDS = 60
_EXPECTED = ("input", "output", "id", "at", "user", "session", "model", "confidence", "latency_ms")


def section(name: str, title: str, lead: Any, *parts: Any) -> Html:
    """A part of the report with its heading."""
    return h("section", h("h2", title), h("p", prose(lead), cls="lead") if lead else None, parts, id=name)


def table(head: Sequence[str], rows: Sequence[Any], *, style: str | None = None) -> Html:
    """A table; a heading that begins with `>` is set to the right. Rows of a `stack` become blocks when narrow."""
    cells = [h("th", name.lstrip(">"), cls="r" if name.startswith(">") else None) for name in head]
    return h("table", h("thead", h("tr", cells)), h("tbody", rows), cls=style)


def shares(rows: Sequence[tuple[str, Share, str, str]]) -> Html:
    """Named shares as bars: name, share, what it means, tone."""
    return table(
        ["", ">", "", ">of"],
        [
            h(
                "tr",
                h("td", name, h("small", note) if note else None),
                h("td", percent(share), cls="r"),
                h("td", bar(share.share, tone=tone) if share.n else None, cls="b"),
                h("td", f"{share.n:,}", cls="r"),
            )
            for name, share, note, tone in rows
        ],
        style="slim",
    )


def spread(name: str, value: Spread | None, write: Any) -> Html | None:
    """Median and tail of a set of numbers, in one line."""
    if value is None:
        return None
    return h(
        "p",
        f"{name}: half {write(value.p50)} or less, 95 % {write(value.p95)}, 99 % {write(value.p99)}, "
        f"at most {write(value.high)} (n = {value.n:,})",
    )


def fields(audit: Audit) -> Html:
    """Which fields are there, how complete, of which types."""
    from flywheel.govern.baseline.columns import KNOWN

    there = {field.path.partition(".")[0] for field in audit.fields}
    absent = [
        name for name in KNOWN if name not in there and name not in ("context", "sent_at", "propensity", "scores")
    ]
    listed = audit.fields[:_MOST_FIELDS]
    renamed = any(_renamed(field) for field in listed)
    left = len(audit.fields) - len(listed) + audit.more_fields
    return section(
        "fields",
        "Fields",
        "The mapping from columns to fields is a guess by name unless you gave one with --map. Examples are redacted.",
        h("p", "Not there: ", h("b", ", ".join(absent)), ".") if absent else None,
        table(
            [
                "field",
                *(["column"] if renamed else []),
                ">complete",
                "",
                "types",
                ">different",
                "examples and notes",
            ],
            [_field_row(field, renamed) for field in listed],
            style="stack",
        ),
        h("p", f"{left:,} more fields are in the JSON report or were too many to follow.", cls="quiet")
        if left
        else None,
    )


def _renamed(field: FieldFound) -> bool:
    return field.column is not None and field.column not in (field.path, field.path.partition(".")[2])


def _field_row(field: FieldFound, renamed: bool) -> Html:
    share = field.complete.share or 0.0
    tone = "" if share >= 0.95 or field.path not in _EXPECTED else "warn" if share >= 0.5 else "bad"
    numbers = field.numbers
    range_ = (
        h("small", f"{number(numbers.low)} to {number(numbers.high)}, median {number(numbers.p50)}")
        if numbers
        else None
    )
    notes = [h("small", note, cls="note") for note in field.notes]
    if field.empty:
        notes.append(h("small", f"{field.empty:,} say nothing in words", cls="note"))
    return h(
        "tr",
        h("td", field.path, cls="f"),
        h("td", field.column if _renamed(field) else None, cls="f", data_h="column") if renamed else None,
        h("td", percent(field.complete), cls="r"),
        h("td", bar(share, tone=tone), cls="b"),
        h(
            "td",
            ", ".join(f"{kind} {count:,}" if len(field.types) > 1 else kind for kind, count in field.types.items()),
        ),
        h("td", f"{'' if field.distinct_exact else '≈ '}{field.distinct:,}", cls="r", data_h="different"),
        h("td", [h("q", text) for text in field.examples], range_, notes, cls="ex wide"),
    )


def ids(audit: Audit) -> Html:
    """Ids and duplicates."""
    found = audit.ids
    return section(
        "ids",
        "Ids and duplicates",
        None,
        shares(
            (
                ("Interactions with an id", found.with_id, "", _low(found.with_id)),
                ("Exact repeats", found.repeated, "the same id and the same content", _high(found.repeated, 0.001)),
                ("Ids with different content", found.conflicts, "of the ids", _high(found.conflicts, 0.0)),
                (
                    "Inputs that came before",
                    found.repeated_inputs,
                    f"{found.distinct_inputs:,} different inputs",
                    "",
                ),
            )
        ),
    )


def _low(share: Share) -> str:
    return "" if (share.share or 0.0) >= 0.95 else "warn"


def _high(share: Share, limit: float) -> str:
    return "bad" if (share.share or 0.0) > limit else ""


def times(audit: Audit) -> Html:
    """When things happened."""
    found = audit.times
    facts = []
    if found.first and found.last:
        facts.append(f"From {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC.")
    if found.newest_days is not None:
        facts.append(
            f"The newest record is {lasting(found.newest_days * 86_400)} old."
            if found.newest_days > 0
            else f"The newest record is {lasting(-found.newest_days * 86_400)} ahead of now."
        )
    facts.append(f"Order: {found.order}; {percent(found.out_of_order)} of the steps go the other way.")
    if found.delay:
        facts.append(
            f"Received {lasting(found.delay.p50)} after it happened (median), 95 % within {lasting(found.delay.p95)}."
        )
    for count, what in (
        (found.without_zone, "times say no zone and are read as UTC here"),
        (found.unreadable, "times cannot be read"),
        (found.in_future, "times are in the future"),
    ):
        if count:
            facts.append(f"{count:,} {what}.")
    rows = [
        h(
            "tr",
            h("td", f"{gap['from']:%a %Y-%m-%d %H:%M}"),
            h("td", f"{gap['until']:%a %Y-%m-%d %H:%M}"),
            h("td", f"{gap['hours']:,}", cls="r"),
            h("td", f"{gap['expected']:,}", cls="r"),
        )
        for gap in found.gaps
    ]
    return section(
        "times",
        "Times",
        " ".join(facts),
        days(found.days, found.gaps, found.step_days),
        h(
            "div",
            week(found.week),
            h(
                "div",
                h("h3", "Gaps"),
                table(["from", "until", ">hours", ">usual records"], rows)
                if rows
                else h("p", "None that stand out.", cls="quiet"),
                h("p", f"Measured against {found.pattern}.", cls="quiet") if rows else None,
            ),
            cls="two",
        ),
    )


def feedback(audit: Audit) -> Html:
    """What came back."""
    found = audit.feedback_found
    kinds = ", ".join(f"{count:,} {kind}{'s' if count != 1 else ''}" for kind, count in found.kinds.items())
    weekly = (
        f"About {number(found.labels_a_week)} labels a week "
        f"({number(found.labels_a_week_low)} to {number(found.labels_a_week_high)})."
        if found.labels_a_week is not None and found.kinds.get("label")
        else ""
    )
    wrong = "not the failure rate, unless the labelled ones were drawn at random"
    return section(
        "feedback",
        "Feedback",
        f"{kinds or 'No feedback at all'}. {weekly}",
        shares(
            (
                ("Interactions with any feedback", found.told, "", _low(found.told) if not found.told.count else ""),
                ("Interactions with a label", found.labelled, f"{found.classes:,} different labels", ""),
                ("Negative, of those rated or reported", found.negative, "", ""),
                ("Complaints that got a label", found.followed_up, "", _low(found.followed_up)),
                ("Answers that differ from their label", found.disagreeing, wrong, ""),
                ("Feedback about interactions not in this log", found.strangers, "", _high(found.strangers, 0.05)),
            )
        )
        if found.kinds
        else None,
        spread("Delay until the first feedback", found.delay, lasting),
        h(
            "p",
            f"Ratings go from {number(found.ratings.low)} to {number(found.ratings.high)}, "
            f"half of them {number(found.ratings.p50)} or less (n = {found.ratings.n:,})",
        )
        if found.ratings
        else None,
    )


def personal(audit: Audit) -> Html:
    """Personal data by kind and field."""
    found = audit.personal
    kinds = list(found.finds)
    rows = [
        h(
            "tr",
            h("td", one["path"], cls="f"),
            [
                h("td", f"{one['kinds'][kind]:,}" if kind in one["kinds"] else "", cls="r", data_h=kind)
                for kind in kinds
            ],
            h("td", f"{one['rows']:,}", cls="r", data_h="records"),
            h("td", bar(one["share"], tone="bad"), cls="b"),
        )
        for one in found.by_field[:30]
    ]
    return section(
        "personal",
        "Personal data and secrets",
        f"Searched with the redactor `{found.redactor}`: counts only, no values. What has no shape of its own, such as "
        "a person's name in running text, is not found by patterns.",
        table(
            ["field", *(f">{kind}" for kind in kinds), ">records", "share of records"],
            rows,
            style="stack slim" if len(kinds) < 5 else "stack",
        )
        if rows
        else h("p", "None found."),
        shares(
            (
                ("Records with any", found.rows, "", _high(found.rows, 0.0)),
                ("Interactions with a user", found.users, "", ""),
                (
                    "Users by name or address",
                    found.identifiable,
                    "of the interactions with a user",
                    _high(found.identifiable, 0.01),
                ),
                ("Consent recorded", found.consent, f"{found.refused:,} refused" if found.refused else "", ""),
            )
        ),
        h("p", "Fields that by their names describe a person: ", h("b", ", ".join(found.describing[:20])), ".")
        if found.describing
        else None,
    )


def slices(audit: Audit) -> Html:
    """What can be sliced, and what is too small or missing."""
    found = audit.slices
    drawn = f"a sample of {found.combined_n:,}" if found.combined_sampled else f"all {found.combined_n:,}"
    return section(
        "slices",
        "Slices",
        f"A failure rate needs {found.needed} cases to be known to ±5 points at 95 %, at worst. Red ones have fewer.",
        h("div", [_sliced(field) for field in found.fields[:18]], cls="two")
        if found.fields
        else h("p", "There is nothing to slice by."),
        _list("Expected, and not there", [(name, "") for name in found.expected_missing]),
        _list(
            "Came steadily, and then no more",
            [
                (gone["slice"], f"{gone['n']:,} until {gone['last']:%Y-%m-%d}; about {gone['expected']:,} due since")
                for gone in found.vanished
            ],
        ),
        _list(
            f"Never come together (looked for in {drawn} interactions)",
            [
                (
                    gap["slice"],
                    f"about {gap['expected']:,} expected by chance"
                    + (f", at most {gap['at_most'] * 100:.2g} % of all" if found.combined_sampled else ""),
                )
                for gap in found.missing
            ],
        ),
        _list("Fields that slice nothing", [(one["path"], one["why"]) for one in found.unusable[:30]]),
    )


def _sliced(field: ContextField) -> Html:
    top = max((one["share"] for one in field.values), default=1.0) or 1.0
    rest = f"and {field.more:,} more values; " if field.more else ""
    return h(
        "div",
        h("h3", h("code", field.path)),
        table(
            ["", ">n", "", ">share"],
            [
                h(
                    "tr",
                    h("td", one["value"] or "(empty)", cls="f"),
                    h("td", None if one["enough"] else h("small", "few ", cls="no in"), f"{one['n']:,}", cls="r"),
                    h("td", bar(one["share"] / top, tone="" if one["enough"] else "bad"), cls="b"),
                    h("td", f"{one['share'] * 100:.1f} %", cls="r"),
                )
                for one in field.values
            ],
        ),
        h("p", f"{rest}{field.small:,} too small to measure", cls="quiet") if field.more or field.small else None,
    )


def _list(title: str, rows: Sequence[tuple[str, str]]) -> Html | None:
    if not rows:
        return None
    return join(
        (
            h("h3", title),
            table(["", ""], [h("tr", h("td", name, cls="f"), h("td", note)) for name, note in rows], style="slim"),
        )
    )


def failures(audit: Audit) -> Html:
    """How failures are handled today."""
    how = audit.handling
    coded = (
        (f"Status 400 or more ({how.status_field})", how.status_failures, "", "bad"),
        ("… of them without an error", how.silent, "", "warn"),
    )
    bands = [(f"{n / 10:.1f}", count) for n, count in enumerate(how.confidence_histogram)]
    return section(
        "failures",
        "How failures are handled today",
        f"{how.versions:,} model version{'s' if how.versions != 1 else ''}, recorded on {said(how.versioned)}."
        if how.versioned.count
        else "No model version is recorded.",
        shares(
            (
                ("Errors recorded", how.errors, "", "bad"),
                *(coded if how.status_field else ()),
                ("Timeouts", how.timeouts, "", "bad"),
                ("Refusals", how.refusals, "", "warn"),
                ("Neither answer nor error", how.unanswered, "", "warn"),
                ("Sessions that end in one of these", how.abandoned, "of the sessions", "warn"),
                ("Asked again within a minute", how.retries, "same user or session, same input", "warn"),
                ("Confidence below one half", how.unsure, "of those with a confidence", "warn"),
            )
        ),
        h(
            "div",
            h("figure", h("figcaption", "Latency"), columns(how.latency_histogram)) if how.latency_histogram else None,
            h("figure", h("figcaption", "Confidence, from each value up"), columns(bands)) if bands else None,
            cls="two",
        ),
        spread("Latency", how.latency, milliseconds),
        _list("Kinds of error, numbers and quotes left out", [(kind, f"{count:,}") for kind, count in how.kinds]),
    )
