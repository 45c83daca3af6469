"""Following failures to their fix over HTTP: where the loop stands, one mode's story, what comes next."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.records import FailureHistory, ModeStory, Standing, Wish, to_dict
from flywheel.server.act import who
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]


@routes.get("/v1/standing", scope="read", summary="Where the loop stands", response_model=Standing, responses=PROBLEMS)
async def standing(request: Request) -> Response:
    """The twelve stages of the last spin, and what waits for people: labels, verdicts, promotions, alarms."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(wheel.standing)))


@routes.get(
    "/v1/failure-history", scope="read", summary="Failures over time", response_model=FailureHistory,
    responses=PROBLEMS,
)  # fmt: skip
async def failure_history(request: Request) -> Response:
    """Failures open, fixed and reopened after each spin, every fix, and how many days a fix takes."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(wheel.failure_history)))


@routes.get(
    "/v1/modes/{id}/story", scope="read", summary="One mode's story", response_model=ModeStory, responses=PROBLEMS
)
async def story(request: Request, id: _Id) -> Response:
    """Its failures by day, the slices it favours, what each spin did about it, and which version gets it right."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.mode(id))))


@routes.post("/v1/modes/{id}/fix-next", scope="label", summary="Fix this next", response_model=Wish, responses=PROBLEMS)
async def fix_next(request: Request, id: _Id) -> Response:
    """Have the next spin ask for labels of this mode first."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.fix_next(id, by=by))))


@routes.delete(
    "/v1/fix-next", scope="label", summary="Prefer no mode", response_model=dict[str, Any], responses=PROBLEMS
)
async def no_wish(request: Request) -> Response:
    """Take back what the next spin was asked to fix; a spin that follows it already goes on."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    await queue.run(lambda: wheel.fix_next(None, by=by))
    return JSONResponse({"next": to_dict(await queue.run(wheel.next_fix))})
