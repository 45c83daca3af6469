"""Charts: lines with their band, bars, estimates with their intervals; what they show is said in a sentence, too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import nicegui.elements.echart
from nicegui.dependencies import esm_modules
from nicegui.element import Element

from flywheel.web import marks

__all__ = ["Chart", "bars", "chart", "intervals", "line", "lying", "stacked", "whiskers"]

_Values = Sequence[float | None]


def _preloaded() -> str:
    """Links by which the browser fetches ECharts while the page's own scripts begin.

    As a script: Chromium keeps the compiled code of a module for the next view only if it was asked for so.
    """
    key, kept = next((key, one) for key, one in esm_modules.items() if one.name == "nicegui-echart")
    parts = ["index.js", *re.findall(r'from"\./([\w.-]+)"', (kept.path / "index.js").read_text("utf-8"))]
    at = f"/_nicegui/{nicegui.__version__}/esm/{key}"
    return "".join(f'<link rel="preload" as="script" crossorigin href="{at}/{part}">' for part in parts)


_PRELOADED = _preloaded()


class Chart(Element, component="chart.js"):
    """A chart that ECharts draws in the browser, as SVG, from what this module's functions make."""

    def __init__(self, drawn: dict[str, Any], says: str) -> None:
        super().__init__()
        if _PRELOADED not in self.client._head_html:
            self.client._head_html += _PRELOADED
        self._props.update({"drawn": drawn, "role": "img", "aria-label": says})
        self._classes.append("fw-chart")

    @property
    def drawn(self) -> dict[str, Any]:
        """The options it is drawn from."""
        found: dict[str, Any] = self._props["drawn"]
        return found

    def draw(self, drawn: dict[str, Any]) -> None:
        """Show something else: only the chart is drawn anew, not the page."""
        self.run_method("show", drawn)


def chart(drawn: dict[str, Any], says: str, tall: float = 15.0) -> Chart:
    """Draw a chart, `tall` lines high; `says` is the sentence that tells what it shows, also to a screen reader."""
    marks.say(says, "p", "fw-says")
    found = Chart(drawn, says)
    found.style(f"height:{tall:g}rem")
    return found


def line(
    x: Sequence[Any], y: _Values, *, low: _Values | None = None, high: _Values | None = None,
    marked: Sequence[tuple[Any, str]] = (), spots: Sequence[int] = (), unit: str = "", name: str = "",
    colour: str = marks.NEUTRAL,
) -> dict[str, Any]:  # fmt: skip
    """A line over `x`, with its interval as a band, moments marked, and places (`spots`) that stand out."""
    one: dict[str, Any] = {"as": "line", "name": name, "y": list(y), "colour": colour}
    if low is not None and high is not None:
        one |= {"low": list(low), "high": list(high)}
    if spots:
        one["spots"] = list(spots)
    return _share(_drawn(x, [one], unit, marks=[[str(at), words] for at, words in marked]), (*y, *(high or ())))


def bars(
    x: Sequence[Any], y: _Values, *, unit: str = "", name: str = "", colour: str = marks.NEUTRAL,
    before: _Values | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Bars over `x`; with `before`, what was there before beside them."""
    series = [{"as": "bar", "name": name, "y": list(y), "colour": colour}]
    if before is not None:
        series.append({"as": "bar", "name": "before", "y": list(before), "colour": marks.GREY})
    return _drawn(x, series, unit, zero=True, legend=before is not None)


def stacked(x: Sequence[Any], parts: Sequence[tuple[str, str, _Values]], *, legend: bool = True) -> dict[str, Any]:
    """Counts on top of each other: a part is its name, its colour and its counts; textures tell them apart, too."""
    series = [
        {"as": "bar", "name": name, "y": list(y), "colour": colour, "stacked": True, "pattern": place if legend else 0}
        for place, (name, colour, y) in enumerate(parts)
    ]
    return _drawn(x, series, "", zero=True, legend=legend, whole=True)


def lying(x: Sequence[Any], parts: Sequence[tuple[str, str, _Values]], *, unit: str = "") -> dict[str, Any]:
    """Bars that lie down, those of each part beside each other: room for long names."""
    series = [{"as": "bar", "name": name, "y": list(y), "colour": colour} for name, colour, y in parts]
    return _drawn(x, series, unit, zero=True, legend=True, across=True)


def intervals(x: Sequence[Any], spans: Sequence[Sequence[float]], *, unit: str, name: str) -> dict[str, Any]:
    """Estimates that stand apart, each with its interval; `spans` are its low end, the estimate, and the high end."""
    low, y, high = ([span[place] for span in spans] for place in range(3))
    one = {"as": "span", "name": name, "y": y, "low": low, "high": high, "colour": marks.NEUTRAL}
    return _share(_drawn(x, [one], unit), (*y, *high))


def whiskers(
    names: Sequence[Any], y: _Values, low: _Values, high: _Values, *, unit: str = "", marked: float | None = None,
    colour: str = marks.NEUTRAL,
) -> dict[str, Any]:  # fmt: skip
    """Estimates with their intervals, one below the other: a point, and whiskers to its ends.

    `marked` is a value to hold them against, such as 0 where nothing differs.
    """
    one = {"as": "span", "name": "estimate", "y": list(y), "low": list(low), "high": list(high), "colour": colour}
    return _drawn(names, [one], unit, across=True, held=marked)


def _share(found: dict[str, Any], values: _Values) -> dict[str, Any]:
    if found["unit"] == "%" and 75 < max((one for one in values if one is not None), default=0) <= 100:
        found["top"] = 100  # a share goes no further
    return found


def _drawn(x: Sequence[Any], series: list[dict[str, Any]], unit: str, **more: Any) -> dict[str, Any]:
    return {"x": [str(one) for one in x], "series": series, "unit": unit, "marks": [], **more}
