"""What goes wrong and why, as one page: what hurts first, then where, then why, then what else moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flywheel.page.document import document
from flywheel.page.figures import CHART_STYLE, figure
from flywheel.page.markup import Html, h
from flywheel.records import Interval, Mode, Observation

__all__ = ["SECTIONS", "findings_page", "sentence"]

SECTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("level", "How it goes", "Levels of the window, beside what was before.", ("metric", "performance")),
    ("since", "Since when", "Levels that changed, seasons, odd hours.", ("change", "pattern", "anomaly")),
    ("where", "For whom", "Where it fails most, found on one half of the interactions, confirmed on the other.",
     ("slice", "influence")),
    ("moved", "What moved", "What is not what it was. Not harmful by itself.", ("shift",)),
    ("said", "What people and logs say", "Wording, mood, and lines of the application's own log.",
     ("wording", "template")),
)  # fmt: skip
"""Sections of findings: id, title, what it holds, and the kinds of observation that go there."""

_STYLE = (
    CHART_STYLE
    + """
.f{border-top:1px solid var(--line);padding:12px 0}.f:first-of-type{border-top:0}.f h3{margin:0;font-size:14.5px;
font-weight:600}.f.hurts h3{color:var(--red)}.f p{margin:2px 0}
.f ul{margin:2px 0 4px;padding-left:18px;color:var(--soft);
font-size:13px}.f details{font-size:12.5px;color:var(--soft)}.f summary{cursor:pointer}.f .num{color:var(--soft);
font-size:12.5px}.calm{border-left:3px solid var(--green);padding:6px 12px;margin:18px 0 0}
.hurt{border-left:3px solid var(--red);padding:6px 12px;margin:18px 0 0}.f pre{max-height:220px;overflow:auto}
.probs{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:12.5px;color:var(--soft)}
"""
)


def findings_page(
    observations: Sequence[Observation],
    *,
    title: str,
    window: str = "",
    facts: Mapping[str, str] | None = None,
    modes: Sequence[Mode] = (),
    first: Sequence[Any] = (),
    made: datetime | None = None,
) -> str:
    """Write findings and failure modes as a page that stands alone.

    `facts` are figures for the head (name → value), `first` the lines of what to fix first. O(findings).

    >>> page = findings_page([Observation(kind="metric", name="volume", line="1 < 2")], title="bot")
    >>> "1 &lt; 2" in page, "Nothing that hurts" in page
    (True, True)
    """
    alarms = [seen for seen in observations if seen.alarm]
    quiet = {seen.kind for seen in observations if not seen.alarm}
    links = [("hurts", "What hurts")] if alarms else []
    links += [("first", "What to fix first")] if first else []
    links += [("modes", "Failure modes")] if modes else []
    links += [(key, name) for key, name, _, there in SECTIONS if quiet & set(there)]
    parts = [_top(title, window, facts or {}, alarms, links)]
    if alarms:
        parts.append(_section("hurts", "What hurts", "Worse by more than chance explains.", map(_finding, alarms)))
    if first:
        parts.append(_section("first", "What to fix first", "By what it would buy for what it takes.", [_first(first)]))
    if modes:
        shown = [_mode(mode) for mode in modes if mode.count or mode.state in ("open", "in work", "reopened")]
        parts.append(_section("modes", "Failure modes", "Failures with one likely cause, the riskiest first.", shown))
    for key, name, about, kinds in SECTIONS:
        here = [_finding(seen) for seen in observations if seen.kind in kinds and not seen.alarm]
        if here:
            parts.append(_section(key, name, about, here))
    parts.append(_foot(made))
    return document(f"What goes wrong: {title}", parts, style=_STYLE)


def _top(
    title: str,
    window: str,
    facts: Mapping[str, str],
    alarms: Sequence[Observation],
    links: Sequence[tuple[str, str]],
) -> Html:
    if alarms:
        verdict = h("p", h("b", f"{len(alarms)} finding{'s' if len(alarms) > 1 else ''} that hurt. "),
                    sentence(alarms[0].line), cls="hurt")  # fmt: skip
    else:
        verdict = h("p", h("b", "Nothing that hurts happened in this window. "),
                    "What moved without hurting is below.", cls="calm")  # fmt: skip
    return h(
        "header",
        h("h1", title),
        h("div", window, cls="where") if window else None,
        h("div", [h("div", h("b", value), h("span", name)) for name, value in facts.items()], cls="facts"),
        verdict,
        h("nav", [h("a", name, href=f"#{key}") for key, name in links]),
    )


def _section(key: str, name: str, about: str, items: Any) -> Html:
    return h("section", h("h2", name), h("p", about, cls="lead"), list(items), id=key)


def _finding(seen: Observation) -> Html:
    facts = []
    if seen.interval is not None and seen.effect is not None:
        facts.append(f"effect {seen.effect:+.3g}, {_interval(seen.interval)}")
    elif seen.effect is not None:
        facts.append(f"effect {seen.effect:+.3g}")
    if seen.n:
        facts.append(f"n = {seen.n:,}")
    if seen.since is not None:
        facts.append(f"since {seen.since:%Y-%m-%d %H:%M}")
    return h(
        "article",
        h("h3", sentence(seen.line)),
        h("p", " · ".join(facts), cls="num") if facts else None,
        figure(seen.chart, seen.name) if seen.chart else None,
        h("ul", [h("li", line) for line in seen.evidence]) if seen.evidence else None,
        h("details", h("summary", "The query behind it"), h("pre", seen.query)) if seen.query else None,
        cls="f hurts" if seen.alarm else "f",
    )


def sentence(line: str) -> str:
    """A finding's line with a capital at its head."""
    return line[:1].upper() + line[1:]


def _interval(found: Interval) -> str:
    return f"{found.level:.0%} interval {found.low:+.3g} to {found.high:+.3g}"


def _first(lines: Sequence[Any]) -> Html:
    return h("ol", [h("li", h("div", h("p", getattr(line, "line", line)))) for line in lines], cls="fix")


def _mode(mode: Mode) -> Html:
    facts = [f"{mode.count:,.0f} expected failures, {mode.share:.1%} of the traffic", mode.state]
    if mode.risk is not None:
        facts.append(
            f"risk {mode.risk.number} = severity {mode.risk.severity} × occurrence {mode.risk.occurrence}"
            f" × detectability {mode.risk.detectability}"
        )
    likely = getattr(mode.cause, "probabilities", None) or {mode.cause.kind: mode.cause.probability}
    order = sorted(likely.items(), key=lambda pair: -pair[1])
    return h(
        "article",
        h("h3", mode.name, " ", h("span", mode.id, cls="num")),
        h("p", " · ".join(facts), cls="num"),
        h("div", [h("span", f"{kind} {share:.0%}") for kind, share in order if share >= 0.01], cls="probs"),
        h("ul", [h("li", line) for line in (*mode.cause.evidence, *mode.whys)]),
        h("p", "What helps: ", mode.cause.remedy) if mode.cause.remedy else None,
        cls="f",
    )


def _foot(made: datetime | None) -> Html:
    lines = [
        "Drift is told from a minimum effect on; only what hurts is an alarm. Intervals are at 95 %.",
        "Logged text in this page was redacted before it was stored. A redactor misses what has no recognisable shape.",
    ]
    if made is not None:
        lines.append(f"Made {made:%Y-%m-%d %H:%M} UTC by flywheel observe.")
    return h("footer", [h("p", line) for line in lines])
