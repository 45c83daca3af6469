"""Reading what stands beside each other: a spin's progress, two versions, an hour and the hours like it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.loop.comparing import Comparison
from flywheel.loop.turning import Turning
from flywheel.observe.usual import Usual
from flywheel.records import to_dict
from flywheel.server.pages import Page, shown
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])
_Version = Annotated[str, Query(min_length=1, max_length=200, description="A version of /v1/releases.")]


@routes.get("/v1/turning", scope="read", summary="Where the spin is", response_model=Turning | None, responses=PROBLEMS)
async def turning(request: Request) -> Response:
    """How far the last spin is, whichever process began it; null where none was ever begun."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(wheel.turning)))


@routes.get("/v1/comparison", scope="read", summary="Two versions", response_model=Comparison, responses=PROBLEMS)
async def comparison(request: Request, left: _Version, right: _Version) -> Response:
    """Two versions on the same labelled interactions: accuracy, slices, what the right one fixed and broke."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.compare(left, right))))


@routes.get("/v1/usual", scope="read", summary="A metric and its usual band", response_model=Page[Usual],
            responses=PROBLEMS)  # fmt: skip
async def usual(
    request: Request,
    metric: Annotated[str, Query(min_length=1, max_length=50)] = "confidence",
    last: Annotated[int, Query(ge=1, le=2000, description="How many hours.")] = 168,
) -> Response:
    """The last hours of a metric, each with the band in which it usually lies at that hour."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return shown(await queue.run(lambda: wheel.usual(metric, last)))
