"""Looking into one slice."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.records import Failure, Mode, to_dict
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])


class _ModeWithin(BaseModel):
    mode: Mode
    failures: float


class _Within(BaseModel):
    where: str
    failures: float
    of: float
    modes: list[_ModeWithin]
    examples: list[Failure]


@routes.get("/v1/slice", scope="read", summary="One slice", response_model=_Within, responses=PROBLEMS)
async def slice_(
    request: Request,
    where: Annotated[
        list[Annotated[str, Query(max_length=400)]],
        Query(min_length=1, max_length=8, description="A condition, such as `device=ios`; all of them hold."),
    ],
    limit: Annotated[int, Query(ge=0, le=1000)] = 20,
) -> Response:
    """What fails where all conditions hold, of the last spin's window: expected failures, their modes, examples."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(lambda: wheel.slice(*where, limit=limit))
    return JSONResponse(
        {
            "where": str(found.where),
            "failures": found.failures,
            "of": found.of,
            "modes": [{"mode": to_dict(mode), "failures": count} for mode, count in found.modes],
            "examples": to_dict(found.examples),
        }
    )
