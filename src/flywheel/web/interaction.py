"""One interaction: what was asked and answered, what became known, and where it went."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks
from flywheel.web.drawing import drawn

__all__ = ["add"]


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
