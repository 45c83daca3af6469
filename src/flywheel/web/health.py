"""Health: metrics in their usual bands, what the last spin saw move, for whom; each chart says what it shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from flywheel.page.findings import SECTIONS, sentence
from flywheel.web import charts, frame, marks
from flywheel.web.slices import has_page, slice_path

__all__ = ["add"]

_MOST = 40
_HOURS = 168
_METRICS = {
    "confidence": ("Confidence", "", 1.0), "failures": ("Failures, by labels", "%", 100.0),
    "negative": ("Negative feedback", "%", 100.0), "errors": ("Errors", "%", 100.0),
    "latency_p95": ("Latency of the slowest twentieth", "ms", 1.0), "sentiment": ("Sentiment of comments", "", 1.0),
    "volume": ("Interactions an hour", "", 1.0),
}  # fmt: skip
"""Its name on the page, its unit, and what a value is multiplied by to be in it."""


def add() -> None:
    """Register the page."""

    @frame.page("/health", title="Health", scope="read")
    async def health(view: frame.View, spin: int = -1, show: str = "") -> None:
        chosen = show if show == "metrics" or any(show == key for key, *_ in SECTIONS) else ""
        found = await view.ask(lambda: view.wheel.findings(None if spin < 0 else spin))
        _tabs(view, found, spin, chosen)
        if not chosen:
            _alarms(view, found)
        if chosen in ("", "metrics"):
            await _metrics(view)
        if not found and chosen != "metrics":
            marks.empty("Nothing was looked at yet: a spin looks for change in its window.", "flywheel spin")
        for key, name, about, kinds in SECTIONS:
            here = [seen for seen in found if seen.kind in kinds and not seen.alarm]
            if here and chosen in ("", key):
                _section(view, name, about, here)


def _tabs(view: frame.View, found: list[Any], spin: int, chosen: str) -> None:
    there = {seen.kind for seen in found}
    names = [("", "All"), ("metrics", "By the hour")]
    names += [(key, name) for key, name, _, kinds in SECTIONS if there & set(kinds)]
    with ui.element("nav").classes("fw-tabs").props('aria-label="Parts of this page"'):
        for key, name in names:
            asked = {name: value for name, value in (("spin", spin if spin >= 0 else ""), ("show", key)) if value != ""}
            one = marks.link(name, view.path(f"/health?{urlencode(asked)}" if asked else "/health"))
            if key == chosen:
                one._props["aria-current"] = "page"


def _alarms(view: frame.View, found: list[Any]) -> None:
    alarms = [seen for seen in found if seen.alarm]
    if not found:
        return
    says = "Worse by more than chance explains." if alarms else "Nothing that hurts happened in this window."
    with marks.block("What hurts", says):
        for seen in alarms:
            _finding(view, seen)


async def _metrics(view: frame.View) -> None:
    """Small charts, one below a sentence each; a metric that nobody measured is left out."""
    told = await view.ask(lambda: {name: view.wheel.usual(name, _HOURS) for name in _METRICS})
    measured = {name: hours for name, hours in told.items() if any(one.value for one in hours)}
    says = "The pale band is where 19 of 20 of the same hours before would lie; it needs four days of them."
    with marks.block("By the hour", says):
        if not measured:
            marks.empty("No interaction was logged yet.")
            return
        with ui.element("div").classes("fw-grid"):
            for name, hours in measured.items():
                with ui.element("div"):
                    _metric(name, hours)


def _metric(name: str, hours: list[Any]) -> None:
    words, unit, times = _METRICS[name]

    def scaled(values: list[float | None]) -> list[float | None]:
        return [None if one is None else round(times * one, 3) for one in values]

    banded = [one for one in hours if one.low is not None]
    outside = [one for one in banded if one.outside]
    last = hours[-1]
    value = times * last.value
    said = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    said += f" {unit}" if unit else ""
    says = f"{said} in the last hour, {last.at:%Y-%m-%d %H:%M} UTC, n = {last.n:,}."
    if banded:
        says += f" {len(outside)} of {len(banded)} hours lie outside their band."
    marks.say(words, "h3")
    options = charts.line(
        [f"{one.at:%m-%d %H:%M}" for one in hours], scaled([one.value for one in hours]), unit=unit, name=words,
        low=scaled([one.low for one in hours]) if banded else None,
        high=scaled([one.high for one in hours]) if banded else None,
        spots=[place for place, one in enumerate(hours) if one.outside][-40:],
    )  # fmt: skip
    charts.chart(options, says, tall=10)._props["aria-label"] = f"{words}: {says}"


def _section(view: frame.View, name: str, about: str, here: list[Any]) -> None:
    with marks.block(name, about):
        plain = [seen for seen in here if not _options(seen)]
        if plain:
            rows = [
                (
                    (sentence(seen.line), slice_path(view, seen.where)) if has_page(seen) else sentence(seen.line),
                    _effect(seen),
                    marks.number(seen.n),
                )
                for seen in plain[:_MOST]
            ]
            marks.table(name, ("What was seen", "Effect", "n"), rows, numbers=(2,))
        for seen in [seen for seen in here if _options(seen)][:_MOST]:
            _finding(view, seen)
        if len(here) > _MOST:
            words = f"The first {_MOST} of {len(here):,}. All: flywheel observe --html page.html"
            marks.say(words, "p", "fw-dim")


def _effect(seen: Any) -> str:
    if seen.effect is None:
        return "–"
    found = f"{seen.effect:+.3g}"
    if seen.interval is not None:
        found += f" ({seen.interval.low:+.3g} to {seen.interval.high:+.3g})"
    return found


def _finding(view: frame.View, seen: Any) -> None:
    options = _options(seen)
    facts = [f"effect {_effect(seen)}"] if seen.effect is not None else []
    facts += [f"n = {seen.n:,}"] if seen.n else []
    facts += [f"since {marks.when(seen.since)}"] if seen.since is not None else []
    kinds = f"{'fw-drawn ' if options else ''}{'fw-hurts' if seen.alarm else ''}"
    with ui.element("article").classes(kinds):
        marks.say(sentence(seen.line), "h3")
        if options is not None:
            with ui.element("div"):
                kind, count = (seen.chart or {}).get("kind"), len(seen.chart["x"])
                tall = min(16.0, 3.0 + 1.9 * count) if kind == "interval" else 10.0
                charts.chart(options, _shows(seen), tall)
        with ui.element("div"):
            if options is not None:
                marks.say(_shows(seen), "p", "fw-dim fw-small")
            for line in seen.evidence:
                marks.say(line, "p", "fw-small")
            marks.say(" · ".join(facts), "p", "fw-dim fw-small")
            if has_page(seen):
                marks.link(f"What fails where {seen.where}", slice_path(view, seen.where))
            if seen.query:
                with ui.element("details").classes("fw-small"):
                    marks.say("The query behind it", "summary")
                    marks.code(seen.query)


def _shows(seen: Any) -> str:
    """What the chart of a finding draws, in a sentence."""
    chart = seen.chart or {}
    kind, count, name = chart.get("kind"), len(chart.get("x") or ()), seen.name.replace("_", " ")
    if kind == "interval":
        return f"The chart: {name}, {count} estimate{'s' * (count != 1)} with {_level(seen)} intervals."
    if kind == "bars":
        beside = len(chart.get("reference") or ()) == count
        return f"The chart: {name}, {'now beside before, ' if beside else ''}{count} bar{'s' * (count != 1)}."
    banded = len(chart.get("low") or ()) == count
    marked = f"; the line marks {_name(chart['mark'])}" if isinstance(chart.get("mark"), str) else ""
    first, last = _name(chart["x"][0]), _name(chart["x"][-1])
    return f"The chart: {name} from {first} to {last}{', with its usual band' if banded else ''}{marked}."


def _level(seen: Any) -> str:
    return f"{seen.interval.level:.0%}" if seen.interval is not None else "95%"


def _options(seen: Any) -> dict[str, Any] | None:
    chart, colour = seen.chart or {}, marks.BAD if seen.alarm else marks.NEUTRAL
    x, y = list(chart.get("x") or ())[:200], list(chart.get("y") or ())[:200]
    if not x or len(x) != len(y):
        return None
    kind, names = chart.get("kind"), [_name(one) for one in x]
    if kind == "bars":
        before = list(chart.get("reference") or ())[: len(x)]
        return charts.bars(names, y, name="now", colour=colour, before=before if len(before) == len(x) else None)
    low, high = list(chart.get("low") or ())[: len(x)], list(chart.get("high") or ())[: len(x)]
    whole = len(low) == len(high) == len(x)
    mark = chart.get("mark")
    if kind == "interval":
        nothing = [None] * len(x)
        held = mark[0] if isinstance(mark, list) and mark and isinstance(mark[0], int | float) else _zero([*low, *high])
        return charts.whiskers(
            names, y, low if whole else nothing, high if whole else nothing, marked=held, colour=colour
        )
    if kind != "line":
        return None
    marked = [(names[x.index(one)], "") for one in (mark if isinstance(mark, list | tuple) else [mark]) if one in x]
    return charts.line(names, y, low=low if whole else None, high=high if whole else None, marked=marked, name="now",
                      colour=colour)  # fmt: skip


def _zero(ends: list[float | None]) -> float | None:
    """Zero, where it lies among the intervals' ends: where nothing differs."""
    known = [one for one in ends if one is not None]
    return 0.0 if known and min(known) <= 0 <= max(known) else None


def _name(x: Any) -> str:
    """A moment as people write it, anything else in a few letters."""
    try:
        return f"{datetime.fromisoformat(str(x)):%m-%d %H:%M}"
    except ValueError:
        return marks.brief(str(x), 24)
