"""Parts of a page that are worked out once the page stands, so that the rest need not wait for them."""

from __future__ import annotations

import asyncio
import os
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
_turns: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()
"""By event loop: such parts take half of the machine's cores at most, in the order in which they were asked for, so
that pages which are being opened are not held up."""


def later(view: frame.View, ask: Callable[[], T], draw: Callable[[T], None]) -> None:
    """Leave room here, and fill it with what `draw` makes of the answer of `ask`; what went wrong is said there.

    Where the page was closed before its turn came, nothing is asked; where it only lost its connection, it is once that
    is back.
    """
    client = ui.context.client
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(max(1, (os.cpu_count() or 1) // 2)))
    with ui.element("div").props("aria-live=polite") as holder:
        marks.say("Looking …", "p", "fw-dim")

    async def in_turn() -> list[T]:
        while not client.is_deleted:
            async with turn:
                if client.has_socket_connection:
                    return [await view.ask(ask, "read")]
            await asyncio.sleep(_AGAIN)
        return []

    async def fill() -> None:
        try:
            found = await in_turn()
        except FlywheelError as problem:
            holder.clear()
            with holder:
                marks.error(plain(problem))
            return
        for one in found:
            holder.clear()
            with holder:
                draw(one)

    ui.timer(0, fill, once=True)
