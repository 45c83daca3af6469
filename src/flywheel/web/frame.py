"""What every page stands in: who looks and at which flywheel, the navigation, the theme, errors.

    @frame.page("/modes", title="Failure modes", scope="read")      # the scope is checked before anything is read
    async def modes(view: frame.View, state: str = "open") -> None:  # path and query parameters as FastAPI reads them
        found = await view.ask(lambda: view.wheel.modes(state))

The toolkit's utility classes are off: use `marks` and the classes of `style.py`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from nicegui import core, ui
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from flywheel.errors import FlywheelError, Forbidden, NotFound, Retryable
from flywheel.web import entry, marks
from flywheel.web.style import CSS

__all__ = ["PLACES", "View", "action", "page", "scopes"]

T = TypeVar("T")
PLACES = (
    ("/", "Wheel"), ("/live", "Live"), ("/modes", "Modes"), ("/review", "Review"), ("/health", "Health"),
    ("/spins", "Spins"), ("/releases", "Releases"), ("/data", "Data"), ("/reports", "Reports"),
)  # fmt: skip
_scopes: dict[str, str] = dict.fromkeys(entry.PUBLIC, "public")
_THEMES = {"dark": True, "light": False}


def scopes() -> dict[str, str]:
    """Which scope each page needs, by its path."""
    return dict(_scopes)


@dataclass(frozen=True, slots=True)
class View:
    """One opened page: its flywheel, and what its reader may do."""

    wheel: Any
    flywheel: str
    scopes: tuple[str, ...]
    by: str
    """Who acts, for the audit trail: the key's id, or `dashboard` where no key is asked for."""
    base: str
    """What stands before every path: empty, or `/flywheels/<name>`."""
    request: Request

    def may(self, scope: str) -> bool:
        """May the reader do what needs this scope?"""
        return scope in self.scopes or "admin" in self.scopes

    async def ask(self, verb: Callable[[], T], scope: str | None = None) -> T:
        """Run a verb off the event loop; with `scope` only if the reader's key still allows it (else `Forbidden`)."""
        if scope is not None:
            await entry.admit(self.request, scope)
        return await run_in_threadpool(verb)

    def path(self, path: str, name: object = None) -> str:
        """A path of this flywheel, for links; `name` is a last part that may hold anything."""
        return f"{self.base}{path}" if name is None else f"{self.base}{path}/{quote(str(name), safe='')}"


def page(path: str, *, title: str, scope: str = "read") -> Callable[[Callable[..., Awaitable[None]]], None]:
    """Register a page. Its function gets a `View`, then its path and query parameters."""
    _scopes[path] = scope

    def add(build: Callable[..., Awaitable[None]]) -> None:
        hints = typing.get_type_hints(build)
        wanted = list(inspect.signature(build).parameters.values())[1:]

        async def shown(request: Request, **given: Any) -> Any:
            try:
                access = await entry.admit(request, scope)
            except FlywheelError as problem:
                return entry.denied(request, problem)
            view = _view(access, request)
            _dress(view, path, title)
            with ui.element("main").classes("fw-main").props("id=main tabindex=-1"):
                try:
                    await build(view, **given)
                except FlywheelError as problem:
                    status = 404 if isinstance(problem, NotFound) else 403 if isinstance(problem, Forbidden) else 422
                    ui.context.client.status_code = status
                    marks.error(str(problem))
            return None

        first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
        rest = [one.replace(annotation=hints.get(one.name, str), kind=inspect.Parameter.KEYWORD_ONLY) for one in wanted]
        shown.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]
        shown.__name__ = build.__name__
        ui.page(path, title=f"{title} · Flywheel", response_timeout=60.0)(shown)

    return add


def action(path: str, *, scope: str) -> Callable[[Callable[..., Awaitable[Response]]], None]:
    """Register what a form on a page sends to, by POST: behind the same door as the pages, but no page itself.

    Its function gets a `View`, the path's parameters and the query's as text, and returns the answer.
    """
    _scopes[path] = scope

    def add(do: Callable[..., Awaitable[Response]]) -> None:
        async def answered(request: Request) -> Response:
            try:
                access = await entry.admit(request, scope)
            except FlywheelError as problem:
                return entry.denied(request, problem)
            try:
                return await do(_view(access, request), **{**request.query_params, **request.path_params})
            except FlywheelError as problem:
                status = 404 if isinstance(problem, NotFound) else 503 if isinstance(problem, Retryable) else 422
                return PlainTextResponse(str(problem), status)

        core.app.add_route(path, answered, methods=["POST"], include_in_schema=False)

    return add


def _view(access: Any, request: Request) -> View:
    named = request.scope.get("flywheel")
    base = f"/flywheels/{named}" if named else ""
    return View(access.wheel, access.flywheel, access.scopes, access.key or "dashboard", base, request)


def _dress(view: View, path: str, title: str) -> None:
    ui.add_css(CSS)
    dark = ui.dark_mode(_THEMES.get(view.request.cookies.get("flywheel_theme", "")))
    skip = ui.element("a").classes("fw-skip")
    skip._props["href"] = "#main"
    with skip:
        marks.say("Skip to the content")
    with ui.element("header").classes("fw-rail"):
        with ui.element("div").classes("fw-brand"):
            marks.say("Flywheel", classes="fw-mark")
            marks.say(view.wheel.name, classes="fw-name")
        with ui.element("nav").props('aria-label="Pages"'):
            for target, name in PLACES:
                if target not in _scopes or not view.may(_scopes[target]):
                    continue
                here = path == target or (target != "/" and path.startswith(target)) or (
                    target == "/modes" and path.startswith("/interactions")
                )  # fmt: skip
                link = marks.link(name, view.path(target))
                if here:
                    link._props["aria-current"] = "page"
        with ui.element("div").classes("fw-foot"):
            marks.say(
                f"{entry.role_of(view.scopes)}{'' if view.by == 'dashboard' else f' · {view.by}'}", classes="fw-dim"
            )
            ui.button("Theme", on_click=lambda: _turn(dark)).props(
                'flat dense no-caps aria-label="Switch between light and dark"'
            )
            if view.by != "dashboard":
                form = ui.element("form")
                form._props.update(method="post", action="/sign-out")
                with form:
                    marks.say("Sign out", tag="button", classes="fw-plain")
    marks.say(title, tag="h1", classes="fw-title")


async def _turn(dark: ui.dark_mode) -> None:
    """The other theme, remembered by the browser."""
    now = await ui.run_javascript("Quasar.Dark.isActive")
    dark.value = not now
    name = "light" if now else "dark"
    ui.run_javascript(f"document.cookie = 'flywheel_theme={name}; path=/; max-age=31536000; SameSite=Strict'")
