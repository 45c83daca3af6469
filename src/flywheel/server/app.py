"""The application: every group of routes, the doorkeeper, the queue and the figures."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from flywheel import __version__
from flywheel.config import ServerSettings
from flywheel.errors import InvalidConfig
from flywheel.server import answers, groups
from flywheel.server.accept import Queue
from flywheel.server.access import Doorkeeper, PrefixChooses
from flywheel.server.routes import undeclared
from flywheel.server.watching import Watching

if TYPE_CHECKING:
    from flywheel.wheel import Flywheel

__all__ = ["make_app"]

_ABOUT = (
    "Send what your AI product was asked and answered, and what became known about it. 200 means on stable storage: "
    "what is counted as accepted survives a power cut. With several flywheels in one server, a key chooses its own; "
    "or put `/flywheels/<name>` before the path."
)


def make_app(
    wheels: dict[str, Flywheel],
    settings: ServerSettings | None = None,
    *,
    dashboard: bool = True,
    loopback: bool = False,
) -> FastAPI:
    """Make the ASGI application for flywheels by name; the caller opens and closes them.

    `settings` are the first flywheel's `[server]` when left out. Raises `InvalidConfig` for a route without a scope.
    With `dashboard` and the extra `web`, the pages are shown at `/`; with `loopback`, which says that nobody but this
    machine reaches the address, one-time links sign in.
    """
    if not wheels:
        raise InvalidConfig("there is no flywheel to serve. Name a folder: flywheel serve FOLDER")
    queue = Queue(settings or next(iter(wheels.values())).config.server)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        queue.open()
        yield
        await groups.closing(_app)
        queue.close()

    app = FastAPI(
        title="Flywheel", version=__version__, description=_ABOUT, lifespan=lifespan,
        openapi_url=None, docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.wheels = wheels
    app.state.queue = queue
    app.state.loopback = loopback
    app.state.doorkeeper = Doorkeeper(wheels)
    app.state.watching = Watching()
    app.state.proxy_clients, app.state.proxy_tasks, app.state.proxy_waiting = {}, set(), {}
    for routes in groups.all_routes():
        app.router.routes.extend(routes.router.routes)  # as they are: each is guarded already
    if dashboard and importlib.util.find_spec("nicegui") is not None:
        from flywheel import web

        web.mount(app)
    app.add_middleware(PrefixChooses)
    app.add_exception_handler(HTTPException, _plain)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    missing = undeclared(app)
    if missing:
        raise InvalidConfig(f"no scope is declared for {', '.join(missing)}. Add them through Routes")
    return app


async def _plain(request: Request, problem: Any) -> Response:
    """No such route, or no such method."""
    return answers.as_json(request, answers.problem_of(problem))


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        from fastapi.openapi.utils import get_openapi

        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        found.setdefault("components", {})["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "A key: fw_…, from `flywheel keys create`"}
        }
        app.openapi_schema = found
    return app.openapi_schema
