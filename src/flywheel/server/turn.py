"""Turning the wheel over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.records import Spin, to_dict
from flywheel.server.act import who
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["act"])


@routes.post("/v1/spins", scope="release", summary="Turn the wheel", response_model=Spin, responses=PROBLEMS)
async def spin(
    request: Request,
    budget: Annotated[int, Query(ge=0, le=100_000, description="How many labels it may ask for.")] = 100,
) -> Response:
    """Begin a spin, or go on with the one that waits; answers when it is done or waits for labels, in minutes perhaps.

    503 while another spin is under way. Whoever hangs up does not stop it: `GET /v1/spins` says where it stands.
    """
    wheel, by = request.state.access.wheel, who(request)

    def turn() -> Spin:
        last = (wheel.spins() or [None])[-1]
        which = str(last.number) if last is not None and last.state != "done" else "new"
        wheel.note("spin", which, by=by, detail={"budget": budget})
        turned: Spin = wheel.spin(budget)
        return turned

    return JSONResponse(to_dict(await run_in_threadpool(turn)))  # not a thread of those that answer questions
