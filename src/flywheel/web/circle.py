"""The loop as a picture: twelve stages on a circle, with where it stands; and the same in words beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element

from flywheel.web import frame, marks

__all__ = ["loop_picture"]

_CSS = """
.fw-loop{display:grid;grid-template-columns:minmax(17rem,26rem) minmax(0,1fr);gap:1rem 1.5rem;align-items:center}
.fw-ring{width:100%;height:auto;display:block}.fw-ring text{fill:var(--fg);font-size:15px;font-weight:550}
.fw-ring .quiet{fill:var(--dim);font-size:12.5px;font-weight:400}.fw-ring .mid{font-size:25px;font-weight:620}
.fw-ring path{fill:none;stroke:var(--line);stroke-width:10}.fw-ring path.done{stroke:var(--good)}
.fw-ring path.now{stroke:var(--accent);stroke-width:18}.fw-ring path.come{stroke-dasharray:3 4;stroke:var(--dim)}
.fw-ring circle{fill:var(--warn);stroke:var(--panel);stroke-width:3}.fw-ring a:hover text{text-decoration:underline}
.fw-turn{list-style:none;margin:0;padding:0;columns:2;column-gap:1.5rem}
.fw-turn a{text-decoration:underline}
.fw-turn li{break-inside:avoid;display:grid;grid-template-columns:1.4rem minmax(0,1fr) auto;gap:0 .4rem;
padding:.28rem 0;border-bottom:1px solid var(--line)}.fw-turn .waits{grid-column:2/-1}
@media(max-width:1000px){.fw-turn{columns:1}}@media(max-width:760px){.fw-loop{grid-template-columns:minmax(0,1fr)}}
"""
_WIDE, _HIGH, _RING, _NAMES = 460, 340, 112, 133
_MARKS = {"done": "✓", "now": "●", "to come": "○"}


def loop_picture(view: frame.View, standing: Mapping[str, Any]) -> None:
    """Draw the loop; `standing` is what `Flywheel.standing` tells, as plain values."""
    ui.add_css(_CSS)
    stages, spin = standing["stages"], standing["spin"]
    with ui.element("div").classes("fw-loop"):
        _ring(view, standing)
        with ui.element("ol").classes("fw-turn").props('aria-label="The twelve stages"'):
            for stage in stages:
                with ui.element("li"):
                    sign = marks.say(_MARKS[stage["state"]], classes=_tone(stage["state"]))
                    sign._props.update({"role": "img", "aria-label": stage["state"]})
                    with ui.element("div"):
                        _name(view, stage["name"], spin)
                        said = "" if stage["state"] == "done" else f", {stage['state']}"
                        marks.say(f" {stage['does']}{said}", classes="fw-dim fw-small")
                    took = stage["seconds"]
                    marks.say("" if took is None else _seconds(took), classes="fw-dim fw-small")
                    if stage["waits"]:
                        marks.say(stage["waits"], classes="waits fw-small fw-warn")


def _name(view: frame.View, name: str, spin: int | None) -> None:
    """The stage's name, linked to the page that serves it where the reader may go there."""
    target = _target(view, name, spin)
    if target is None:
        marks.say(name)
    else:
        marks.link(name, target)


def _target(view: frame.View, name: str, spin: int | None) -> str | None:
    places = {"sync": "/live", "observe": "/health", "diagnose": "/modes", "mine": "/health", "select": "/review",
              "label": "/review", "curate": "/data", "release": "/releases"}  # fmt: skip
    place = places.get(name, "/spins")
    if not view.may(frame.scopes().get(place, "read")):
        return None
    return view.path("/spins", spin) if place == "/spins" and spin is not None else view.path(place)


def _tone(state: str) -> str:
    return {"done": "fw-good", "now": "", "to come": "fw-dim"}[state]


def _seconds(took: float) -> str:
    return f"{took:.2f} s" if took < 1 else f"{took:,.1f} s" if took < 100 else f"{took / 60:,.1f} min"


def _ring(view: frame.View, standing: Mapping[str, Any]) -> None:
    """Twelve arcs, clockwise from the top. Words are text nodes: nothing here is read as markup."""
    stages: Sequence[Mapping[str, Any]] = standing["stages"]
    with _shape("svg", viewBox=f"0 0 {_WIDE} {_HIGH}", role="group").classes("fw-ring") as ring:
        ring._props["aria-label"] = f"The loop. {standing['line']}. The list beside it says the same."
        for place, stage in enumerate(stages):
            turn = 360 / len(stages)
            name = {"to come": "come"}.get(stage["state"], stage["state"])
            _shape("path", d=_arc((place - 0.46) * turn, (place + 0.46) * turn)).classes(name)
            if stage["waits"] and stage["state"] != "done":
                x, y = _on(place * turn, _RING)
                _shape("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="9")
            _words(view, stage, place * turn, standing["spin"])
        middle = "no spin yet" if standing["spin"] is None else f"spin {standing['spin']}"
        _write(middle, _WIDE / 2, _HIGH / 2 + 2, "middle").classes("mid")
        _write(standing["state"], _WIDE / 2, _HIGH / 2 + 24, "middle").classes("quiet")


def _words(view: frame.View, stage: Mapping[str, Any], degrees: float, spin: int | None) -> None:
    x, y = _on(degrees, _NAMES)
    side = "middle" if abs(x - _WIDE / 2) < 2 else "start" if x > _WIDE / 2 else "end"
    took = stage["seconds"]
    below = y > _HIGH / 2
    first = y + (8 if below else -9 if side == "middle" else 0)
    target = _target(view, stage["name"], spin)
    holder = _shape("a", href=target, tabindex="-1") if target else _shape("g")
    holder._props["aria-hidden"] = "true"
    with holder:
        _write(stage["name"], x, first, side)
        if took is not None:
            _write(_seconds(took), x, first + 15, side).classes("quiet")


def _write(words: str, x: float, y: float, anchor: str) -> Element:
    found = marks.say(words, "text")
    found._props.update({"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
    return found


def _shape(tag: str, **props: Any) -> Element:
    found = ui.element(tag)
    found._props.update(props)
    return found


def _on(degrees: float, radius: float) -> tuple[float, float]:
    turned = math.radians(degrees - 90)
    return _WIDE / 2 + radius * math.cos(turned), _HIGH / 2 + radius * math.sin(turned)


def _arc(begin: float, end: float) -> str:
    (x0, y0), (x1, y1) = _on(begin, _RING), _on(end, _RING)
    return f"M{x0:.1f} {y0:.1f}A{_RING} {_RING} 0 0 1 {x1:.1f} {y1:.1f}"
