"""Parts of a page that are worked out once the page stands, so that the rest need not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks
from flywheel.web.drawing import plain

__all__ = ["later"]

T = TypeVar("T")
_AGAIN = 0.2  # seconds between looks for a browser that went away
_turns: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()
"""A page's parts are worked out one after another: the first is there sooner, and other pages are not held up."""


def later(view: frame.View, ask: Callable[[], T], draw: Callable[[T], None]) -> None:
    """Leave room here, and fill it with what `draw` makes of the answer of `ask`; what went wrong is said there.

    Where the page was closed before its turn came, nothing is asked; where it only lost its connection, it is once that
    is back.
    """
    client = ui.context.client
    turn = _turns.setdefault(client, asyncio.Lock())
    with ui.element("div").props("aria-live=polite") as holder:
        marks.say("Looking …", "p", "fw-dim")

    async def fill() -> None:
        try:
            async with turn:
                while not client.has_socket_connection:
                    if client.is_deleted:
                        return
                    await asyncio.sleep(_AGAIN)
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
