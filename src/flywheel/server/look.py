"""What the dashboard looks at, over HTTP: the status, what arrives, datasets, lineage, what to fix first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.diagnose.first import Fix
from flywheel.records import Dataset, Evidence, Interaction, to_dict
from flywheel.server.pages import Limit, Page, shown
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]


class _Arrival(BaseModel):
    """A fact as it came in: the interaction it is, or is about, its signs of failure, and the mode it is like."""

    seq: int
    received_at: datetime
    interaction: Interaction
    signs: list[Evidence]
    mode: str | None
    cause: str | None
    feedback: str | None


@routes.get(
    "/v1/status", scope="read", summary="Everything at a glance", response_model=dict[str, Any], responses=PROBLEMS
)
async def status(request: Request) -> Response:
    """What fails, what waits, what the last spins brought; without the place of the folder on the server's disk."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(wheel.status)
    return JSONResponse({name: value for name, value in to_dict(found).items() if name != "folder"})


@routes.get("/v1/arrivals", scope="read", summary="What arrives", response_model=Page[_Arrival], responses=PROBLEMS)
async def arrivals(
    request: Request,
    after: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Response:
    """The facts behind a place in the log, and the place to go on from. Left out, it begins near the log's end."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found, following = await queue.run(lambda: wheel.arrivals(after, limit))
    return shown(found, following)


@routes.get("/v1/fix-first", scope="read", summary="What to fix first", response_model=Page[Fix], responses=PROBLEMS)
async def fix_first(request: Request, limit: Limit = 20) -> Response:
    """Failure modes in the order of what mending them would buy, each with a line that says so."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return shown(await queue.run(lambda: wheel.fix_first(limit)))


@routes.get("/v1/datasets/{id}", scope="read", summary="One dataset", response_model=Dataset, responses=PROBLEMS)
async def dataset(request: Request, id: _Id) -> Response:
    """A dataset with its examples, by its hash or the beginning of it."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.dataset(id))))
