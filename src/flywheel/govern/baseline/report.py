"""The baseline audit as one HTML file: no outside assets, no scripts, whatever was logged shown as text."""

from __future__ import annotations

from flywheel.govern.baseline import sections
from flywheel.govern.baseline.charts import dots
from flywheel.govern.baseline.result import Audit, Finding, Stage
from flywheel.page import Html, document, h, join, prose

__all__ = ["report"]

_TAGS = {3: "stops a stage", 2: "weakens what is found", 1: "worth tidying"}
_PARTS = (
    ("ready", "Ready for"),
    ("fix", "Fix first"),
    ("times", "Times"),
    ("fields", "Fields"),
    ("ids", "Ids"),
    ("feedback", "Feedback"),
    ("personal", "Personal data"),
    ("slices", "Slices"),
    ("failures", "Failures"),
)


def report(audit: Audit) -> str:
    """Write the audit as a page that stands alone: legible at 390 and at 1280 pixels, by day and by night."""
    parts = [_top(audit)]
    if audit.interactions:
        parts += [_ready(audit), _fix(audit), sections.times(audit), sections.fields(audit), sections.ids(audit)]
        parts += [sections.feedback(audit), sections.personal(audit), sections.slices(audit), sections.failures(audit)]
    else:
        parts.append(_fix(audit))
    parts.append(_method(audit))
    return document(f"Baseline audit of {audit.location}", parts)


def _top(audit: Audit) -> Html:
    weeks = len(audit.times.days) * audit.times.step_days / 7
    facts = [
        (f"{audit.interactions:,}", "interactions"),
        (f"{sum(audit.feedback_found.kinds.values()):,}", "feedback"),
        (f"{weeks:,.1f}", "weeks"),
        (f"{len(audit.fields) + audit.more_fields:,}", "fields"),
        (f"{audit.met} of {audit.required}", "requirements met"),
    ]
    if audit.unreadable:
        facts.insert(2, (f"{audit.unreadable:,}", "unreadable"))
    return h(
        "header",
        h("h1", "Baseline audit"),
        h("div", audit.location, f" · {audit.source}" if audit.source else None, cls="where"),
        h("div", [h("div", h("b", value), h("span", name)) for value, name in facts], cls="facts"),
        h("nav", [h("a", title, href=f"#{name}") for name, title in _PARTS]) if audit.interactions else None,
    )


def _ready(audit: Audit) -> Html:
    return sections.section(
        "ready",
        "What this log is ready for",
        "Each stage of a spin, and what it needs.",
        h("div", [_stage(stage) for stage in audit.stages], cls="stages"),
    )


def _stage(stage: Stage) -> Html:
    return h(
        "article",
        h("header", h("h3", stage.name), dots(stage.met, len(stage.requirements))),
        h("p", stage.question),
        h(
            "ul",
            [
                h(
                    "li",
                    h(
                        "span",
                        "✓" if one.met else "✗",
                        cls="yes" if one.met else "no",
                        role="img",
                        aria_label="met" if one.met else "missing",
                    ),
                    h("span", one.name, cls=None if one.met else "no"),
                    h("small", one.evidence),
                )
                for one in stage.requirements
            ],
        ),
        cls="stage",
    )


def _fix(audit: Audit) -> Html:
    return sections.section(
        "fix",
        "What to fix first",
        None,
        h("ol", [_finding(finding) for finding in audit.findings], cls="fix")
        if audit.findings
        else h("p", "Nothing stands out."),
    )


def _finding(finding: Finding) -> Html:
    return h(
        "li",
        h(
            "div",
            h("h3", h("span", finding.title), h("span", _TAGS[finding.severity], cls=f"tag s{finding.severity}")),
            h("p", prose(finding.why)),
            h("p", finding.evidence, cls="quiet"),
        ),
        h("pre", "\n".join(finding.do)),
    )


def _method(audit: Audit) -> Html:
    lines = []
    if audit.sampled:
        lines.append(
            f"Fields, personal data, slices and errors: a uniform sample of {audit.profiled:,} of "
            f"{audit.interactions:,} interactions, 95 % intervals in brackets. Ids, times and feedback: all of them."
        )
    lines.append(
        "Counts are of every record, in one pass. Numbers of different values above 1,024 are estimates (HyperLogLog, "
        "standard error 1.6 %); quantiles are within 1 %; repeats, feedback and retries are followed for a uniform "
        "sample of ids once there are more than 32,768, and then carry 95 % intervals."
    )
    lines.append(
        "Logged text in this page was redacted and cut short. A redactor misses what has no recognisable shape."
    )
    made = f"Made {audit.made:%Y-%m-%d %H:%M} UTC by flywheel audit."
    return h("footer", join(h("p", line) for line in [*lines, made]))
