"""Following one interaction: what is believed about it, what is like it, where it went."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.curate.entered import Entry
from flywheel.diagnose.belief import Belief
from flywheel.loop.single import Neighbours, Replay
from flywheel.records import to_dict
from flywheel.server.pages import Page, shown
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]


class _Entered(BaseModel):
    items: list[Entry]
    older: int


@routes.get(
    "/v1/interactions/{id}/belief", scope="read", summary="Did it fail?", response_model=Belief, responses=PROBLEMS
)
async def belief(request: Request, id: _Id) -> Response:
    """How likely it failed, what says so or speaks against it and how strongly (log-odds), its mode and label."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.belief(id))))


@routes.get(
    "/v1/interactions/{id}/neighbours", scope="read", summary="What is like it", response_model=Neighbours,
    responses=PROBLEMS,
)  # fmt: skip
async def neighbours(
    request: Request,
    id: _Id,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 8,
    among: Annotated[int, Query(ge=1, le=20_000, description="How many of the newest interactions to compare.")] = 2000,
) -> Response:
    """The most alike of the newest interactions: likeness, right or wrong where somebody has said so, failure mode."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.neighbours(id, limit, among=among))))


@routes.get(
    "/v1/interactions/{id}/datasets", scope="read", summary="Where it went", response_model=_Entered, responses=PROBLEMS
)
async def entered(request: Request, id: _Id) -> Response:
    """The datasets it entered, the newest first, and what it trains and proves there; `older` were not opened."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found, older = await queue.run(lambda: wheel.entered(id))
    return JSONResponse({"items": to_dict(found), "older": older})


@routes.get(
    "/v1/interactions/{id}/replays", scope="read", summary="What versions answer", response_model=Page[Replay],
    responses=PROBLEMS,
)  # fmt: skip
async def replays(request: Request, id: _Id) -> Response:
    """What the champion now, each candidate and the champion of its time answer, and whether that is right."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return shown(await queue.run(lambda: wheel.replays(id)))
