"""An observation's chart as inline SVG: a line over time, bars beside bars, or estimates with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flywheel.page.markup import Html, h

__all__ = ["CHART_STYLE", "figure"]

CHART_STYLE = """
svg.chart{display:block;width:100%;max-width:680px;height:auto;margin:6px 0 2px;overflow:visible}
.chart text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
.chart .axis{stroke:var(--line);stroke-width:1}.chart .zero{stroke:var(--soft);stroke-opacity:.6}
.chart .now{stroke:var(--blue);fill:none;stroke-width:1.6;
stroke-linejoin:round}.chart .band{fill:var(--blue);fill-opacity:.16}.chart .mark{stroke:var(--red);stroke-width:1.4;
stroke-dasharray:3 3}.chart .b{fill:var(--blue)}.chart .r{fill:var(--soft);fill-opacity:.45}
.chart .w{stroke:var(--blue);stroke-width:1.6}.chart .d{fill:var(--blue)}
"""

_WIDE, _TALL, _LEFT, _FOOT = 680.0, 170.0, 52.0, 24.0
_MOST = 200
_VAST = 1e100  # differences of anything larger may be no number any more


def figure(chart: dict[str, Any], label: str = "") -> Html | None:
    """Draw what `Observation.chart` describes; None where there is nothing to draw.

    `line` draws `y` over `x` (times or numbers) with a band from `low` to `high` and a dashed `mark` at one x; `bars`
    draws `y` for each name in `x`, beside `reference` where there is one; `interval` draws `y` with whiskers.

    >>> figure({"kind": "interval", "x": ["ios"], "y": [0.1], "low": [0.05], "high": [0.2]}).count("<circle")
    1
    """
    draw = {"line": _line, "bars": _bars, "interval": _interval}.get(str(chart.get("kind")))
    x, y = list(chart.get("x") or ()), list(chart.get("y") or ())
    if draw is None or not x or len(x) != len(y):
        return None
    return draw(x[:_MOST], y[:_MOST], chart, label)


def _line(x: list[Any], y: list[Any], chart: dict[str, Any], label: str) -> Html | None:
    places = _along(x)
    band = [(_number(a), _number(b)) for a, b in zip(chart.get("low") or (), chart.get("high") or (), strict=False)]
    known = [v for v in [_number(one) for one in y] if v is not None]
    edges = [v for pair in band for v in pair if v is not None]
    if not known:
        return None
    scale = _Scale([*known, *edges])
    shapes: list[Html | None] = list(scale.axis())
    if len(band) == len(x):
        there = [(p, a, b) for p, (a, b) in zip(places, band, strict=True) if a is not None and b is not None]
        if there:
            outline = [(p, scale.up(a)) for p, a, _ in there] + [(p, scale.up(b)) for p, _, b in reversed(there)]
            shapes.append(h("polygon", points=_points(outline), cls="band"))
    for run in _runs(places, [_number(one) for one in y]):
        if len(run) == 1:
            shapes.append(h("circle", cx=f"{run[0][0]:.1f}", cy=f"{scale.up(run[0][1]):.1f}", r="2", cls="d"))
        else:
            shapes.append(h("polyline", points=_points([(p, scale.up(v)) for p, v in run]), cls="now"))
    shapes += _marks(x, places, chart.get("mark"))
    shapes.append(_text(_LEFT, _TALL - 6, _say(x[0]), "start"))
    shapes.append(_text(_WIDE - 4, _TALL - 6, _say(x[-1]), "end"))
    return _svg(shapes, _TALL, label or "A line over time")


def _marks(x: list[Any], places: list[float], mark: Any) -> list[Html]:
    lines = []
    for one in mark if isinstance(mark, list | tuple) else [mark]:
        if one is None:
            continue
        spot = _number(one) if not isinstance(one, str) else _moment(one)
        along = [(_number(v) if not isinstance(v, str) else _moment(v)) for v in x]
        near = [(abs(v - spot), p) for v, p in zip(along, places, strict=True) if v is not None and spot is not None]
        if one in x:
            place = places[x.index(one)]
        elif near:
            place = min(near)[1]
        else:
            continue
        lines.append(h("line", x1=f"{place:.1f}", x2=f"{place:.1f}", y1="4", y2=f"{_TALL - _FOOT:.1f}", cls="mark"))
    return lines


def _bars(x: list[Any], y: list[Any], chart: dict[str, Any], label: str) -> Html | None:
    reference = [_number(one) for one in chart.get("reference") or ()][: len(x)]
    beside = len(reference) == len(x)
    values = [_number(one) or 0.0 for one in y]
    top = max([*map(abs, values), *(abs(v or 0.0) for v in reference), 1e-12])
    rows = min(len(x), 14)
    tall = 16.0 if not beside else 24.0
    left, room = 170.0, _WIDE - 170.0 - 70.0
    shapes: list[Html | None] = []
    for row in range(rows):
        base = row * tall + 4
        shapes.append(_text(left - 8, base + tall / 2 + 3, _say(x[row], 26), "end"))
        shapes.append(_rect(left, base, abs(values[row]) / top * room, 10, "b"))
        shapes.append(_text(left + abs(values[row]) / top * room + 6, base + 9, _figure(values[row]), "start"))
        if beside:
            shapes.append(_rect(left, base + 11, abs(reference[row] or 0.0) / top * room, 7, "r"))
    foot = rows * tall + 8
    if beside:
        shapes.append(_text(left, foot + 8, "dark: now; pale: before", "start"))
        foot += 14
    return _svg(shapes, foot, label or "Bars")


def _interval(x: list[Any], y: list[Any], chart: dict[str, Any], label: str) -> Html | None:
    low = [_number(one) for one in chart.get("low") or ()]
    high = [_number(one) for one in chart.get("high") or ()]
    values = [_number(one) for one in y]
    every = [v for v in [*low, *high, *values, 0.0] if v is not None]
    least, most = min(every), max(every)
    spread = (most - least) or 1.0
    left, room = 190.0, _WIDE - 190.0 - 60.0

    def across(value: float) -> float:
        return left + (value - least) / spread * room

    rows = min(len(x), 16)
    tall = 20.0
    shapes: list[Html | None] = [
        h("line", x1=f"{across(0):.1f}", x2=f"{across(0):.1f}", y1="2", y2=f"{rows * tall + 2:.1f}", cls="zero")
    ]
    for row in range(rows):
        value, middle = values[row], row * tall + 12
        shapes.append(_text(180, middle + 4, _say(x[row], 30), "end"))
        if value is None:
            continue
        a = low[row] if row < len(low) else None
        b = high[row] if row < len(high) else None
        if a is not None and b is not None:
            at = f"{middle:.1f}"
            shapes.append(h("line", x1=f"{across(a):.1f}", x2=f"{across(b):.1f}", y1=at, y2=at, cls="w"))
        shapes.append(h("circle", cx=f"{across(value):.1f}", cy=f"{middle:.1f}", r="3.4", cls="d"))
        shapes.append(_text(_WIDE - 4, middle + 4, _figure(value), "end"))
    return _svg(shapes, rows * tall + 8, label or "Estimates with intervals")


class _Scale:
    """From values to heights, with a little air, and two or three labelled lines."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        self.low, self.high = low - air, high + air
        if low >= 0 > self.low:
            self.low = 0.0
        self.ends = (low, high)

    def up(self, value: float) -> float:
        return 6 + (self.high - value) / (self.high - self.low) * (_TALL - _FOOT - 6)

    def axis(self) -> list[Html]:
        shapes = []
        for value in dict.fromkeys((self.ends[0], (self.ends[0] + self.ends[1]) / 2, self.ends[1])):
            at = f"{self.up(value):.1f}"
            shapes.append(h("line", x1=f"{_LEFT:.1f}", x2=f"{_WIDE:.1f}", y1=at, y2=at, cls="axis"))
            shapes.append(_text(_LEFT - 6, self.up(value) + 4, _figure(value), "end"))
        return shapes


def _along(x: list[Any]) -> list[float]:
    """Where each point stands: by its time or number, else evenly."""
    spots = [_moment(v) if isinstance(v, str) else _number(v) for v in x]
    known = [v for v in spots if v is not None]
    if len(known) != len(x) or max(known) == min(known):
        known = [float(place) for place in range(len(x))]
    low, high = min(known), max(known)
    return [_LEFT + (v - low) / ((high - low) or 1.0) * (_WIDE - _LEFT - 4) for v in known]


def _runs(places: list[float], values: list[float | None]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(places, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((place, value))
    return [run for run in runs if run]


def _svg(shapes: list[Html | None], tall: float, label: str) -> Html:
    return h("svg", shapes, viewBox=f"0 0 {_WIDE:.0f} {tall:.0f}", role="img", aria_label=label, cls="chart")


def _text(x: float, y: float, value: str, anchor: str) -> Html:
    return h("text", value, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _rect(x: float, y: float, width: float, height: float, name: str) -> Html:
    return h(
        "rect", x=f"{x:.1f}", y=f"{y:.1f}", width=f"{max(width, 0.6):.1f}", height=f"{height:.0f}", rx="1", cls=name
    )


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _VAST else None  # not a number is not below either


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _say(value: Any, width: int = 28) -> str:
    text = str(value)
    if isinstance(value, str) and _moment(value) is not None:
        text = datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
    elif isinstance(value, float):
        text = _figure(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def _figure(value: float) -> str:
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 0.001 else f"{value:.1e}"
