"""Routes that say who may call them.

A route without a scope cannot be registered; one with a scope checks it before it reads anything of the request.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from flywheel.errors import FlywheelError, InvalidConfig
from flywheel.govern import SCOPES
from flywheel.server import access, answers, bodies
from flywheel.server.watching import observed

__all__ = ["OnError", "Routes", "undeclared"]

OnError = Callable[[Request, answers.Problem], Response]
"""Turns a problem into the answer that a protocol's clients understand."""

_DECLARED = (*SCOPES, "public")
_Endpoint = Callable[..., Awaitable[Any]]


class _Guarded(APIRoute):
    """A route that lets nobody in without its scope, and answers every problem in its protocol's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        extra = self.openapi_extra or {}
        scope, on_error = str(extra["x-scope"]), getattr(self.endpoint, "on_error", answers.as_json)

        async def handle(request: Request) -> Response:
            started = time.perf_counter()
            try:
                request.state.access = await access.admit(request, scope)
                response: Response = await inner(request)
            except ClientDisconnect:
                response = Response(status_code=499)  # nobody is there to read it; the log shows it
            except (FlywheelError, RequestValidationError, HTTPException) as problem:
                if isinstance(problem, answers.STORE_ERRORS):
                    observed(request.app).store_failed(self.path_format, problem)
                response = on_error(request, answers.problem_of(problem))
            except Exception as defect:  # the door: tell the client nothing of it, the operator everything but payloads
                observed(request.app).defect(self.path_format, defect)
                response = on_error(request, answers.defect())
            finally:
                bodies.release(request)
            observed(request.app).answered(request, self.path_format, response.status_code, started)
            return response

        return handle


class Routes:
    """A group of routes, added to the application by `make_app`.

    >>> routes = Routes()
    >>> @routes.get("/hello", scope="read", summary="Say hello")
    ... async def hello(request: Request) -> dict[str, str]:
    ...     return {"hello": request.state.access.flywheel}

    Raises `InvalidConfig` where the scope is none of ingest, read, label, release, admin or public.
    """

    def __init__(self, on_error: OnError | None = None, tags: list[str] | None = None) -> None:
        self.router = APIRouter(route_class=_Guarded, tags=list(tags or []))
        self._on_error = on_error

    def add(self, path: str, methods: list[str], endpoint: _Endpoint, *, scope: str, **described: Any) -> None:
        """Add a route; `described` goes to FastAPI (summary, responses, response_model …)."""
        if scope not in _DECLARED:
            raise InvalidConfig(
                f"the route {path} declares the scope {scope!r}; it takes one of {', '.join(_DECLARED)}. Nothing is "
                "served without a scope"
            )
        if self._on_error is not None:
            endpoint.on_error = self._on_error  # type: ignore[attr-defined]
        extra = {**described.pop("openapi_extra", {}), "x-scope": scope}
        if scope != "public":
            extra.setdefault("security", [{"key": []}])
        self.router.add_api_route(path, endpoint, methods=methods, openapi_extra=extra, **described)

    def get(self, path: str, *, scope: str, **described: Any) -> Callable[[_Endpoint], _Endpoint]:
        """Add a GET route."""
        return self._adding(path, ["GET"], scope, described)

    def post(self, path: str, *, scope: str, **described: Any) -> Callable[[_Endpoint], _Endpoint]:
        """Add a POST route."""
        return self._adding(path, ["POST"], scope, described)

    def delete(self, path: str, *, scope: str, **described: Any) -> Callable[[_Endpoint], _Endpoint]:
        """Add a DELETE route."""
        return self._adding(path, ["DELETE"], scope, described)

    def _adding(
        self, path: str, methods: list[str], scope: str, described: dict[str, Any]
    ) -> Callable[[_Endpoint], _Endpoint]:
        def add(endpoint: _Endpoint) -> _Endpoint:
            self.add(path, methods, endpoint, scope=scope, **described)
            return endpoint

        return add


def undeclared(app: FastAPI) -> list[str]:
    """The paths of an application that do not say who may call them."""
    found = []
    for route in app.routes:
        if hasattr(route, "undeclared"):  # a part of its own, which knows its pages
            found += route.undeclared()
            continue
        extra = getattr(route, "openapi_extra", None) or {}
        if extra.get("x-scope") not in _DECLARED or not isinstance(route, _Guarded):
            found.append(str(getattr(route, "path", route)))
    return found
