"""A logged value drawn for what it is."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from flywheel.web import marks

__all__ = ["drawn"]

_SIDES = (8, 14, 16, 28, 32, 64)


def drawn(value: Any) -> None:
    """Draw a logged value for what it is: a picture, a feature vector, a chat, a table, or text; never as markup."""
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, list) and value and all(isinstance(one, dict) and "role" in one for one in value):
        with ui.element("div").classes("fw-chat"):
            for one in value:
                with ui.element("div").classes("user" if one["role"] == "user" else ""):
                    marks.say(one["role"], "div", "fw-dim fw-small")
                    said = one.get("content", "")
                    marks.say(said if isinstance(said, str) else marks.brief(said, 2000), "div", "fw-text")
    elif isinstance(value, list) and value and all(isinstance(one, int | float) for one in value):
        side = next((side for side in _SIDES if side * side == len(value)), None)
        if side is not None:
            _picture(value, side)
        else:
            marks.chart(marks.bars(range(len(value)), value, name="value"), f"{len(value)} features, in their order.")
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        heads = list(dict.fromkeys(str(name) for one in value[:50] for name in one))[:12]
        marks.table("Rows", heads, [[marks.brief(one.get(head)) for head in heads] for one in value[:50]])
    elif isinstance(value, dict) and value and all(not isinstance(one, dict | list) for one in value.values()):
        marks.table("Fields", ("Field", "Value"), [(name, marks.brief(one, 400)) for name, one in value.items()])
    elif isinstance(value, str):
        marks.say(value, "div", "fw-text")
    else:
        marks.code(value)


def _picture(values: list[float], side: int) -> None:
    """Grey cells, the highest value the darkest, on white in both themes."""
    low, high = min(values), max(values)
    span = (high - low) or 1
    options = {
        "animation": False, "grid": {"left": 0, "right": 0, "top": 0, "bottom": 0},
        "xAxis": {"type": "category", "show": False}, "yAxis": {"type": "category", "show": False, "inverse": True},
        "visualMap": {"show": False, "min": 0, "max": 1, "inRange": {"color": ["#ffffff", "#111111"]}},
        "series": [{"type": "heatmap", "data": [
            [place % side, place // side, round((value - low) / span, 3)] for place, value in enumerate(values)
        ]}],
    }  # fmt: skip
    says = f"A picture of {side} × {side} cells, from {low:g} (white) to {high:g} (black)."
    marks.chart(options, says).style("width:12rem;height:12rem")
