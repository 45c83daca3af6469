"""One interaction: what was asked and answered, what became known, and where it went."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks

__all__ = ["add", "drawn"]

_SIDES = (8, 14, 16, 28, 32, 64)


def add() -> None:
    """Register the page."""

    @frame.page("/interactions/{interaction_id:path}", title="Interaction", scope="read")
    async def interaction(view: frame.View, interaction_id: str) -> None:
        found, feedback = await view.ask(lambda: view.wheel.interaction(interaction_id))
        _head(found)
        with ui.element("div").classes("fw-grid"):
            with marks.block("Input"):
                drawn(found.input)
            with marks.block("Output"):
                drawn(found.output)
                if found.error:
                    marks.error(str(found.error))
                if found.scores:
                    top = sorted(found.scores.items(), key=lambda pair: -pair[1])[:10]
                    marks.table(
                        "Scores", ("Answer", "Score"), [(name, f"{score:.3f}") for name, score in top], numbers=(1,)
                    )
            with marks.block("Context"):
                rows = [(name, marks.brief(value)) for name, value in found.context.items()]
                if rows:
                    marks.table("Context", ("Field", "Value"), rows)
                else:
                    marks.say("None was logged.", "p")
            _feedback(feedback)
        await _lineage(view, found.id)


def _head(found: Any) -> None:
    with ui.element("div").classes("fw-figures"):
        marks.figure("At", marks.when(found.at), found.id)
        marks.figure("Confidence", marks.number(found.confidence, 3))
        marks.figure("Latency", marks.number(found.latency_ms, 1, "ms"))
        marks.figure("Model", found.model or "–", f"user {found.user}" if found.user else "")


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


def _feedback(feedback: list[Any]) -> None:
    with marks.block("Feedback"):
        if not feedback:
            marks.say("Nothing became known about it yet.", "p")
            return
        rows = [
            (one.kind, marks.brief(one.value, 300), one.name, f"{one.source}{f' · {one.by}' if one.by else ''}", marks.when(one.at))  # noqa: E501
            for one in feedback
        ]  # fmt: skip
        marks.table("Feedback", ("Kind", "Value", "Name", "From", "At"), rows)


async def _lineage(view: frame.View, id: str) -> None:
    with marks.block("Where it went", "The datasets that it entered and the models trained on them."):
        try:
            used = await view.ask(lambda: view.wheel.lineage(id))
        except FlywheelError as problem:
            marks.empty(str(problem))
            return
        for name, entries in used.items():
            if not isinstance(entries, list | tuple) or not entries:
                continue
            with ui.element("div").classes("fw-row"):
                marks.say(name, classes="fw-dim")
                for one in entries[:20]:
                    words = (
                        one
                        if isinstance(one, str)
                        else str(
                            (one.get("hash") or one.get("version") or marks.brief(one))
                            if isinstance(one, dict)
                            else one
                        )
                    )
                    if name == "datasets":
                        marks.link(words[:12], view.path("/data", words))
                    else:
                        marks.say(words)
        if not any(used.get(name) for name in ("datasets", "examples")):
            marks.say("It has entered no dataset.", "p")
