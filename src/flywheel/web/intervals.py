"""Estimates that stand apart, each with its interval: no line and no band joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flywheel.web import marks

__all__ = ["intervals"]


def intervals(x: Sequence[str], spans: Sequence[Sequence[float]], *, unit: str, name: str) -> dict[str, Any]:
    """Options of a chart of one estimate at each of `x`; `spans` are its low end, the estimate, and the high end."""
    options = marks.bars(x, [], unit=unit)
    options["series"] = [
        {
            "type": "boxplot",
            "name": "95 % interval",
            "boxWidth": [7, 14],
            "silent": True,
            "data": [[low, low, middle, high, high] for low, middle, high in spans],
            "itemStyle": {"color": marks.BAND, "borderColor": marks.BAND, "opacity": 0.5},
            "tooltip": {"show": False},
        },
        {
            "type": "scatter",
            "name": name,
            "symbolSize": 9,
            "color": marks.NEUTRAL,
            "itemStyle": {"borderColor": "#ffffff", "borderWidth": 1.5},
            "data": [middle for _, middle, _ in spans],
        },
    ]
    return options
