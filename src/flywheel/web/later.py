"""Parts of a page that are worked out once the page stands, so that the rest need not wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks
from flywheel.web.drawing import plain

__all__ = ["later"]

T = TypeVar("T")


def later(view: frame.View, ask: Callable[[], T], draw: Callable[[T], None]) -> None:
    """Leave room here, and fill it with what `draw` makes of the answer of `ask`; what went wrong is said there."""
    with ui.element("div").props("aria-live=polite") as holder:
        marks.say("Looking …", "p", "fw-dim")

    async def fill() -> None:
        try:
            found = await view.ask(ask, "read")
        except FlywheelError as problem:
            holder.clear()
            with holder:
                marks.error(plain(problem))
            return
        holder.clear()
        with holder:
            draw(found)

    ui.timer(0, fill, once=True)
