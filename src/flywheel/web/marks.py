"""The visual language: what numbers, times, states, tables and charts look like, always the same.

Logged text goes through `text`, `code`, `table` or `link` only: it is shown as text, whatever it contains.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

__all__ = [
    "BAD", "BAND", "GOOD", "GREY", "LEGEND", "NEUTRAL", "NEW", "WARN", "Text", "ago", "badge", "bars", "block", "brief",
    "button", "chart", "code", "empty", "error", "figure", "interval", "line", "link", "meter", "number", "percent",
    "reading", "table", "say", "when", "whiskers",
]  # fmt: skip

NEUTRAL, GOOD, BAD, WARN, NEW, BAND = "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9"
"""Okabe and Ito's colours: what is measured, better, worse, waiting, new, and the interval around it."""
GREY = "#7d8590"
"""What is before, elsewhere, or an axis."""
LEGEND = {"top": 0, "right": 8, "itemWidth": 12, "itemHeight": 8, "textStyle": {"color": GREY, "fontSize": 11}}
"""Where a chart draws two things."""
_STATES = {
    "good": ("fixed", "promote", "pass", "done", "champion", "ok", "labelled", "closed"),
    "bad": ("reopened", "reject", "fail", "alarm", "error"),
    "warn": ("in work", "need labels", "unsure", "waiting", "running", "canary", "shadow"),
}


class Text(TextElement):
    """Words in an element of any tag."""

    def __init__(self, words: str, tag: str = "span") -> None:
        super().__init__(tag=tag, text=words)


def say(words: Any, tag: str = "span", classes: str = "") -> Text:
    """Words, and nothing but words."""
    return Text(str(words), tag).classes(classes)


def code(value: Any) -> Text:
    """A value as it was logged: text as it is, anything else as JSON."""
    return say(value if isinstance(value, str) else _json(value), "pre", "fw-code")


def link(words: str, target: str) -> Text:
    """A link inside the dashboard."""
    found = say(words, "a", "nicegui-link")
    found._props["href"] = target
    return found


def brief(value: Any, most: int = 140) -> str:
    """A value in one line.

    >>> brief({"a": 1}), brief("x" * 200, 5)
    ('{"a": 1}', 'xxxx…')
    """
    words = " ".join((value if isinstance(value, str) else _json(value, None)).split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """A number with its unit; a dash where there is none.

    >>> number(12345.6), number(None), number(3.14159, 2, "ms")
    ('12,346', '–', '3.14 ms')
    """
    return "–" if value is None else f"{value:,.{digits}f}{' ' if unit else ''}{unit}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def interval(found: Any, *, points: bool = False) -> str:
    """An estimate with its interval and n.

    >>> from flywheel.records import Interval
    >>> interval(Interval(0.5, 0.4, 0.6, 20))
    '50.0 % (40.0 to 60.0, n = 20)'
    """
    if found is None:
        return "–"
    estimate, low, high, n = ((found[k] for k in ("estimate", "low", "high", "n")) if isinstance(found, dict) else
                              (found.estimate, found.low, found.high, found.n))  # fmt: skip
    lead = f"{100 * estimate:+.1f} points" if points else f"{100 * estimate:.1f} %"
    return f"{lead} ({100 * low:.1f} to {100 * high:.1f}, n = {n:,})"


def when(at: datetime | str | None) -> str:
    """A time, in UTC."""
    if at is None:
        return "–"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in words."""
    if at is None:
        return "–"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def badge(state: str) -> Text:
    """A state in its colour; the word says it too."""
    kind = next((kind for kind, states in _STATES.items() if state in states), "")
    return say(state, classes=f"fw-badge {f'fw-{kind}' if kind else 'fw-dim'}")


def meter(share: float, says: str) -> Element:
    """A bar from 0 to 1 with words for who cannot see it."""
    held = max(0.0, min(1.0, share))
    with ui.element("span").classes("fw-meter") as found:
        ui.element("i").style(f"width:{100 * held:.1f}%")
    found._props.update({"role": "img", "aria-label": says})
    return found


def figure(name: str, value: str, says: str = "") -> Element:
    """One number with its name and what it rests on."""
    with ui.element("div").classes("fw-figure") as found:
        say(name, classes="fw-dim fw-small")
        say(value, classes="n")
        if says:
            say(says, classes="fw-dim fw-small")
    return found


def block(title: str, says: str = "") -> Element:
    """A part of a page: a heading and a sentence that says what it shows. Use it with `with`."""
    found = ui.element("section").classes("fw-block")
    with found:
        say(title, "h2")
        if says:
            say(says, "p")
    return found


def empty(words: str, *commands: str) -> Element:
    """Nothing here yet: why, and what to do."""
    with ui.element("div").classes("fw-empty") as found:
        say(words, "p")
        for command in commands:
            code(command)
    return found


def error(words: str, again: str = "") -> Element:
    """What went wrong and what to do; `again` is the address to try once more."""
    with ui.element("div").classes("fw-error").props("role=alert") as found:
        say(words, "p")
        if again:
            with ui.element("p"):
                link("Try again", again)
    return found


def reading(words: str = "Reading …") -> Element:
    """Stands where something is still being read."""
    with ui.element("div").classes("fw-reading").props("role=status") as found:
        say(words, "p")
        for width in (60, 90, 75, 40):
            ui.element("i").style(f"width:{width}%").props("aria-hidden=true")
    return found


def button(words: str, act: Callable[..., Any], *, main: bool = False, says: str = "") -> Text:
    """What somebody can do. `main` is the one that the page is for; `says` is a longer name for a screen reader."""
    found = say(words, "button", "fw-do" if main else "fw-quiet-do")
    found._props["type"] = "button"
    if says:
        found._props["aria-label"] = says
    found.on("click", act)
    return found


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()) -> Element:
    """A dense table. A cell is words, `(words, href)` for a link, or a function that fills the cell.

    `numbers` are the columns that stand to the right. On a narrow screen each row of a table with more than three
    columns (four, where three hold numbers) becomes a list of its cells with their names.
    """
    wide = len(heads) > (4 if len(numbers) >= 3 else 3)
    with ui.element("div").classes(f"fw-scroll{' fw-wide' if wide else ''}").props("tabindex=0 role=region") as outer:
        outer._props["aria-label"] = caption
        with _part("table", "table").classes("fw-table") as found:
            found._props["aria-label"] = caption
            with _part("thead", "rowgroup"), _part("tr", "row"):
                for place, head in enumerate(heads):
                    say(head, "th", "num" if place in numbers else "")._props.update(
                        {"scope": "col", "role": "columnheader"}
                    )
            with _part("tbody", "rowgroup"):
                for row in rows:
                    with _part("tr", "row"):
                        for place, cell in enumerate(row):
                            _cell(cell, "num" if place in numbers else "", heads[place] if wide else "")
    return outer


def _part(tag: str, role: str) -> Element:
    """A part of a table that stays one for a screen reader, also where the style lays it out as a list."""
    found = ui.element(tag)
    found._props["role"] = role
    return found


def _cell(cell: Any, classes: str, head: str) -> None:
    with _part("td", "cell").classes(f"{classes} none" if cell is None or cell == "–" else classes) as found:
        if head:
            found._props["data-head"] = head
        if callable(cell):
            cell()
        elif isinstance(cell, tuple):
            link(str(cell[0]), str(cell[1]))
        else:
            say("–" if cell is None else cell)


def chart(options: dict[str, Any], says: str, tall: float = 15.0) -> Element:
    """Draw a chart, `tall` lines high; `says` is the sentence that tells what it shows, also to a screen reader."""
    say(says, "p", "fw-says")
    found = ui.echart(options).classes("fw-chart").style(f"height:{tall:g}rem")
    found._props.update({"role": "img", "aria-label": says})
    return found


def line(
    x: Sequence[Any], y: Sequence[float | None], *, low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None, marked: Sequence[tuple[Any, str]] = (), unit: str = "", name: str = "",
    colour: str = NEUTRAL,
) -> dict[str, Any]:  # fmt: skip
    """Options of a line over `x`, with its interval as a band and moments marked."""
    series: list[dict[str, Any]] = [
        {"type": "line", "name": name, "data": list(y), "symbolSize": 5, "color": colour, "lineStyle": {"width": 2}}
    ]
    if marked:
        lines = [{"xAxis": at, "label": {"formatter": words, "color": GREY, "fontSize": 11}} for at, words in marked]
        series[0]["markLine"] = {"symbol": "none", "silent": True, "data": lines, "lineStyle": {"color": GREY}}
    if low is not None and high is not None:
        wide = [None if a is None or b is None else b - a for a, b in zip(low, high, strict=True)]
        quiet = {"type": "line", "symbol": "none", "lineStyle": {"opacity": 0}, "stack": "band", "silent": True,
                 "stackStrategy": "all", "tooltip": {"show": False}}  # fmt: skip
        series += [
            {**quiet, "data": list(low), "name": "low"},
            {**quiet, "data": wide, "name": "interval", "areaStyle": {"color": BAND, "opacity": 0.25}},
        ]
    options = _options(x, series, unit)
    if unit == "%" and 75 < max((one for one in (*y, *(high or ())) if one is not None), default=0) <= 100:
        options["yAxis"]["max"] = 100  # a share goes no further
    return options


def bars(
    x: Sequence[Any], y: Sequence[float | None], *, unit: str = "", name: str = "", colour: str = NEUTRAL
) -> dict[str, Any]:
    """Options of bars over `x`."""
    return _options(x, [{"type": "bar", "name": name, "data": list(y), "color": colour, "barMaxWidth": 28}], unit)


def whiskers(
    names: Sequence[Any], y: Sequence[float | None], low: Sequence[float | None], high: Sequence[float | None], *,
    unit: str = "", marked: float | None = None, colour: str = NEUTRAL,
) -> dict[str, Any]:  # fmt: skip
    """Options of estimates with their intervals, one below the other: a point, and whiskers to its ends.

    `marked` is a value to hold them against, such as 0 where nothing differs.
    """
    known = [(place, v, a, b) for place, (v, a, b) in enumerate(zip(y, low, high, strict=True))
             if v is not None and a is not None and b is not None]  # fmt: skip
    points: dict[str, Any] = {
        "type": "scatter", "name": "estimate", "symbolSize": 10, "color": colour, "z": 3,
        "data": [[v, place] for place, v in enumerate(y) if v is not None],
    }  # fmt: skip
    if marked is not None:
        points["markLine"] = {"symbol": "none", "silent": True, "label": {"show": False}, "data": [{"xAxis": marked}],
                              "lineStyle": {"color": GREY, "type": "dashed"}}  # fmt: skip
    spans: list[Any] = ["-"] * len(y)
    for place, v, a, b in known:
        spans[place] = [a, v, v, v, b]
    ink = {"color": colour, "borderColor": colour, "borderWidth": 2}
    box = {"type": "boxplot", "name": "interval", "data": spans, "boxWidth": [9, 9], "silent": True,
           "tooltip": {"show": False}, "itemStyle": ink}  # fmt: skip
    found = _options(names, [box, points], unit)
    found["xAxis"], found["yAxis"] = found["yAxis"], found["xAxis"]
    found["yAxis"]["inverse"] = True
    found["xAxis"]["nameLocation"] = "end"
    found["grid"] |= {"top": 8, "right": 36}
    found["tooltip"]["trigger"] = "item"
    return found


def _options(x: Sequence[Any], series: list[dict[str, Any]], unit: str) -> dict[str, Any]:
    axis = {"axisLabel": {"color": GREY}, "axisLine": {"lineStyle": {"color": GREY}}}
    zero = any(one["type"] == "bar" for one in series)
    return {
        "animation": False, "grid": {"left": 8, "right": 16, "top": 28, "bottom": 4, "containLabel": True},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "xAxis": {"type": "category", "data": [str(one) for one in x], **axis},
        "yAxis": {"type": "value", "scale": not zero, "name": unit,
                  "nameTextStyle": {"color": GREY, "align": "left"}, "splitNumber": 4,
                  "splitLine": {"lineStyle": {"color": "rgba(138,145,155,0.2)"}}, **axis},
        "series": series,
    }  # fmt: skip


def _json(value: Any, indent: int | None = 2) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
