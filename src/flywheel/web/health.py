"""Health: what the last spin saw move, what hurts first; each chart says in a sentence what it shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nicegui import ui

from flywheel.page.findings import SECTIONS, sentence
from flywheel.web import frame, marks

__all__ = ["add"]

_MOST = 40


def add() -> None:
    """Register the page."""

    @frame.page("/health", title="Health", scope="read")
    async def health(view: frame.View, spin: int = -1) -> None:
        found = await view.ask(lambda: view.wheel.findings(None if spin < 0 else spin))
        if not found:
            marks.empty("Nothing was looked at yet: a spin looks for change in its window.", "flywheel spin")
            return
        alarms = [seen for seen in found if seen.alarm]
        with marks.block(
            "What hurts",
            "Worse by more than chance explains." if alarms else "Nothing that hurts happened in this window.",
        ):
            for seen in alarms:
                _finding(seen)
        for _, name, about, kinds in SECTIONS:
            here = [seen for seen in found if seen.kind in kinds and not seen.alarm]
            if here:
                with marks.block(name, about):
                    for seen in here[:_MOST]:
                        _finding(seen)
                    if len(here) > _MOST:
                        marks.say(
                            f"The first {_MOST} of {len(here):,}. All: flywheel observe --html page.html", "p", "fw-dim"
                        )


def _finding(seen: Any) -> None:
    facts = [f"effect {seen.effect:+.3g}"] if seen.effect is not None else []
    if seen.interval is not None:
        facts.append(f"{seen.interval.level:.0%} interval {seen.interval.low:+.3g} to {seen.interval.high:+.3g}")
    facts += [f"n = {seen.n:,}"] if seen.n else []
    facts += [f"since {marks.when(seen.since)}"] if seen.since is not None else []
    with ui.element("article"):
        options = _options(seen.chart or {}, marks.BAD if seen.alarm else marks.NEUTRAL)
        if options is not None:
            marks.chart(options, sentence(seen.line))
        else:
            marks.say(sentence(seen.line), "p", "fw-bad" if seen.alarm else "")
        marks.say(" · ".join(facts), "p", "fw-dim fw-small")
        for line in seen.evidence:
            marks.say(line, "p", "fw-small")


def _options(chart: dict[str, Any], colour: str) -> dict[str, Any] | None:
    x, y = list(chart.get("x") or ())[:200], list(chart.get("y") or ())[:200]
    if not x or len(x) != len(y):
        return None
    kind, names = chart.get("kind"), [_name(one) for one in x]
    if kind == "bars":
        options = marks.bars(names, y, name="now", colour=colour)
        before = list(chart.get("reference") or ())[: len(x)]
        if len(before) == len(x):
            options["series"].append({"type": "bar", "name": "before", "data": before, "color": "#8a919b"})
        return options
    if kind not in ("line", "interval"):
        return None
    low, high = list(chart.get("low") or ())[: len(x)], list(chart.get("high") or ())[: len(x)]
    banded = kind == "line" and len(low) == len(high) == len(x)  # a band would join what stands apart
    mark = chart.get("mark")
    marked = [(names[x.index(one)], "") for one in (mark if isinstance(mark, list | tuple) else [mark]) if one in x]
    options = marks.line(names, y, low=low if banded else None, high=high if banded else None, marked=marked,
                         name="now", colour=colour)  # fmt: skip
    if kind == "interval":  # estimates of separate things: no line joins them
        options["series"][0].update({"lineStyle": {"opacity": 0}, "symbolSize": 9})
    return options


def _name(x: Any) -> str:
    """A moment as people write it, anything else in a few letters."""
    try:
        return f"{datetime.fromisoformat(str(x)):%m-%d %H:%M}"
    except ValueError:
        return marks.brief(str(x), 24)
