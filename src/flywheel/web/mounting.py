"""Putting the pages onto the server's application."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from nicegui import Client, core, nicegui
from nicegui.classes import Classes
from nicegui.middlewares import RedirectWithPrefixMiddleware, SetCacheControlMiddleware
from nicegui.props import Props
from nicegui.style import Style
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Match, Mount, Route

from flywheel.web import entry, frame, oidc, signing

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["PAGES", "mount"]

PAGES = (
    "home", "modes", "interaction", "live", "review", "spins", "releases", "health", "slices", "data", "reports",
)  # fmt: skip
"""The modules with pages; each has `add()`."""

_made: list[bool] = []
_running: list[FastAPI] = []


class _Pages(Mount):
    """Takes only the paths of pages and of what the browser loads for them: all others stay the API's, 404 and 405 too."""  # noqa: E501

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        """Is this path one of ours?"""
        path = str(scope.get("path", ""))
        ours = path.startswith(("/_nicegui/", "/_nicegui_ws/")) or any(
            route.matches(scope)[0] is Match.FULL for route in core.app.routes if isinstance(route, Route)
        )
        return super().matches(scope) if ours else (Match.NONE, {})

    def undeclared(self) -> list[str]:
        """Pages that do not say who may see them."""
        ours = [route.path for route in core.app.routes if isinstance(route, Route)]
        return [path for path in ours if not path.startswith(("/_nicegui", "/favicon")) and path not in frame.scopes()]


class _Home(Mount):
    """`/` for a browser; for every other client it is the API's, where Elasticsearch's clients ask who we are."""

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        """Does a browser ask for the first page?"""
        if scope.get("path") != "/" or scope["type"] != "http" or scope["method"] != "GET":
            return Match.NONE, {}
        wants = any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
        return super().matches(scope) if wants else (Match.NONE, {})

    def undeclared(self) -> list[str]:
        """Nothing beside the pages."""
        return []


def mount(app: FastAPI) -> None:
    """Show the dashboard at `/` of a server's application, behind its doorkeeper."""
    if not _made:
        _configure()
        _made.append(True)
    app.state.sign_ins = oidc.SignIns()
    # Level 9 takes 49 ms for a page of charts, level 4 takes 6, for a tenth more bytes.
    door = GZipMiddleware(entry.Door(core.app, app), minimum_size=1000, compresslevel=4)
    app.router.routes.insert(0, _Home("/", app=door))
    app.router.routes.append(_Pages("/", app=door))
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(one: FastAPI) -> AsyncIterator[Any]:
        first = not _running  # the toolkit has one loop a process
        _running.append(one)
        try:
            if first:
                await nicegui._startup()
            async with inner(one) as state:
                yield state
            if first:
                await nicegui._shutdown()
        finally:
            _running.remove(one)

    app.router.lifespan_context = lifespan


def _let_go(client: Client) -> None:
    """Undo what holds a closed page's elements together, so that they go at once.

    Left to the collector of garbage, the pages of some minutes took it 1.5 s at once, in which nothing was answered.
    """
    for element in client.elements.values():
        for part in (element._classes, element._style, element._props):
            part._change_handlers.clear()


def _configure() -> None:
    core.app.config.add_run_config(
        reload=False, title="Flywheel", viewport="width=device-width, initial-scale=1", favicon=None, dark=None,
        language="en-US", binding_refresh_interval=None, reconnect_timeout=10.0, message_history_length=200,
        tailwind=False, unocss=None, prod_js=True, show_welcome_message=False, markdown=False,
    )  # fmt: skip
    core.app.add_middleware(RedirectWithPrefixMiddleware)
    core.app.add_middleware(SetCacheControlMiddleware)
    for kind in (Classes, Style, Props):
        # The toolkit asks for this signature three times an element, which is half of what an element costs: the answer
        # is left where Python looks for one first.
        kind._update.__dict__["__signature__"] = inspect.signature(kind._update)
    core.app.on_delete(_let_go)
    signing.add()
    for name in PAGES:
        if importlib.util.find_spec(f"flywheel.web.{name}") is not None:
            importlib.import_module(f"flywheel.web.{name}").add()
