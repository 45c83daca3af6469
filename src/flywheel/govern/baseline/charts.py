"""Charts as inline SVG: shapes only, stretched to the width there is; words stand beside them as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from flywheel.page.markup import Html, h, join

__all__ = ["bar", "columns", "days", "dots", "week"]

_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def bar(share: float | None, *, mark: float | None = None, tone: str = "") -> Html:
    """A share as a bar; `mark` draws a line across it."""
    width = max(0.0, min(1.0, share or 0.0)) * 100
    return h(
        "span",
        h("i", style=f"width:{width:.2f}%", cls=tone or None),
        h("b", style=f"left:{min(100.0, mark * 100):.2f}%") if mark is not None else None,
        cls="bar",
        aria_hidden="true",
    )


def dots(met: int, of: int) -> Html:
    """Requirements met and not, as full and empty dots."""
    return h("span", h("i", "●" * met), "○" * (of - met), cls="dots", aria_label=f"{met} of {of}", role="img")


def columns(values: Sequence[tuple[str, int]], *, tall: int = 96, tone: str = "") -> Html:
    """A histogram with a label under each column and the count above it."""
    top = max((count for _, count in values), default=0) or 1
    return h(
        "div",
        [
            h(
                "div",
                h("span", f"{count:,}" if count else "", cls="n"),
                h("i", style=f"height:{max(1 if count else 0, round(count / top * tall))}px", cls=tone or None),
                h("span", label, cls="x"),
            )
            for label, count in values
        ],
        cls="cols",
        style=f"--tall:{tall + 34}px",
    )


def days(counts: Sequence[tuple[str, int]], gaps: Sequence[dict[str, Any]], step_days: int) -> Html:
    """Volume over time, with the gaps shaded behind it."""
    if not counts:
        return h("p", "No times.", cls="quiet")
    top = max(count for _, count in counts) or 1
    first = date.fromisoformat(counts[0][0])
    shades = []
    for gap in gaps:
        begin, end = _place(gap["from"], first, step_days), _place(gap["until"], first, step_days)
        shades.append(_rect(begin, 0, max(end - begin, len(counts) / 300), 100, "gap"))
    width = 0.82 if len(counts) < 150 else 1.0
    bars = [
        _rect(place + (1 - width) / 2, 100 - count / top * 100, width, count / top * 100, "vol")
        for place, (_, count) in enumerate(counts)
        if count
    ]
    svg = h(
        "svg",
        shades,
        bars,
        viewBox=f"0 0 {len(counts)} 100",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"Interactions from {counts[0][0]} to {counts[-1][0]}, at most {top:,} in one step",
    )
    unit = "a day" if step_days == 1 else f"in {step_days} days"
    return h(
        "figure",
        h("figcaption", f"Interactions {unit}, at most {top:,}", "; shaded: gaps" if gaps else ""),
        svg,
        h("div", h("span", counts[0][0]), h("span", counts[-1][0]), cls="ends"),
        cls="days",
    )


def _rect(x: float, y: float, width: float, height: float, name: str) -> Html:
    return h("rect", x=f"{x:.3f}", y=f"{y:.2f}", width=f"{width:.3f}", height=f"{height:.2f}", cls=name)


def _place(moment: datetime, first: date, step_days: int) -> float:
    begun = (moment.replace(tzinfo=None) - datetime(first.year, first.month, first.day)).total_seconds()  # noqa: DTZ001
    return begun / 86_400 / step_days


def week(rows: Sequence[Sequence[float]]) -> Html:
    """The usual week: seven rows of 24 hours, the busier the darker."""
    if not rows:
        return h("p", "No times.", cls="quiet")
    top = max(max(row) for row in rows) or 1.0
    cells = [
        h(
            "rect",
            h("title", f"{_NAMES[day]} {hour:02}:00 UTC: {value:,.1f} an hour"),
            x=str(hour * 10),
            y=str(day * 10),
            width="9",
            height="9",
            rx="1",
            fill_opacity=f"{0.06 + 0.94 * value / top:.2f}",
        )
        for day, row in enumerate(rows)
        for hour, value in enumerate(row)
    ]
    names = h("div", [h("span", name) for name in _NAMES], cls="names")
    svg = h("svg", cells, viewBox="0 0 240 70", role="img", aria_label="Interactions by weekday and hour")
    hours = h("div", [h("span", f"{hour:02}") for hour in (0, 6, 12, 18)], cls="hours")
    return h(
        "figure",
        h("figcaption", f"The usual week, hours in UTC; the darkest is {top:,.1f} an hour"),
        h("div", join((names, h("div", svg, hours))), cls="week"),
    )
