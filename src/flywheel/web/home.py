"""Wheel: where the loop stands, whether the product got better, and what waits."""

from __future__ import annotations

from flywheel.web import frame, marks

__all__ = ["add"]


def add() -> None:
    """Register the page."""

    @frame.page("/", title="Wheel", scope="read")
    async def wheel(view: frame.View) -> None:
        status = await view.ask(view.wheel.status)
        marks.figure("Interactions", marks.number(status["interactions"]))
