"""`/healthz`, `/readyz`, `/metrics` and `/openapi.json`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from flywheel.errors import FlywheelError
from flywheel.server.routes import Routes

__all__ = ["routes"]

routes = Routes(tags=["health"])


@routes.get("/healthz", scope="public", summary="Is the process alive?")
async def healthz(request: Request) -> dict[str, str]:
    """Answers as long as the process does."""
    return {"status": "ok"}


@routes.get("/readyz", scope="public", summary="Can records be stored now?")
async def readyz(request: Request) -> Response:
    """503 while the queue is full, a disk is full or a database does not answer; says which, names no flywheel."""
    queue, wheels = request.app.state.queue, request.app.state.wheels

    def problems() -> list[str]:
        found = ["queue"] if queue.full else []
        for wheel in wheels.values():
            if queue.disk_full(wheel):
                found.append("disk")
            try:
                wheel.books()
            except FlywheelError:
                found.append("database")
        return sorted(set(found))

    found = await queue.run(problems)
    body: dict[str, Any] = {"ready": not found, "problems": found}
    return JSONResponse(body, 503 if found else 200, headers={"Retry-After": "5"} if found else None)


@routes.get("/metrics", scope="read", summary="Figures for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Requests, times, records by outcome, and the durable books, of the flywheel the key belongs to.

    On a server with one flywheel also what never got past the door (`flywheel_door_…`): bad keys, defects.
    """
    state, access = request.app.state, request.state.access
    alone = len(state.wheels) == 1
    page = await state.queue.run(
        lambda: state.watching.page(access.flywheel, access.wheel, state.queue.held, alone=alone)
    )
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")


@routes.get("/openapi.json", scope="public", summary="This description", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The OpenAPI description of every route."""
    return JSONResponse(request.app.openapi())
