"""Reading: interactions, failures, modes, spins, releases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.errors import InvalidConfig, NotFound
from flywheel.records import (
    EdgeCase,
    Failure,
    Feedback,
    Group,
    Interaction,
    Mode,
    Observation,
    Release,
    Spin,
    to_dict,
)
from flywheel.server.pages import After, Limit, Page, page_of, shown
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]
_Text = Annotated[str | None, Query(max_length=200)]


class _WithFeedback(BaseModel):
    interaction: Interaction
    feedback: list[Feedback]


@routes.get(
    "/v1/interactions", scope="read", summary="Interactions", response_model=Page[Interaction], responses=PROBLEMS
)
async def interactions(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="`next` of the page before.")] = 0,
    limit: Limit = 100,
    model: _Text = None,
    user: Annotated[str | None, Query(max_length=200, description="The pseudonym.")] = None,
    session: _Text = None,
    error: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    below_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
) -> Response:
    """In the order they were logged. Any context field filters too: `context.device=ios`."""
    given: dict[str, Any] = {
        "model": model, "user": user, "session": session, "error": error, "since": since, "until": until,
        "below_confidence": below_confidence,
    }  # fmt: skip
    filters = {name: value for name, value in given.items() if value is not None}
    filters |= {name: value for name, value in request.query_params.items() if name.startswith("context.")}
    unknown = set(request.query_params) - {"after", "limit", *given} - set(filters)
    if unknown:
        raise InvalidConfig(f"{', '.join(sorted(unknown))[:200]} is no filter of interactions. See /openapi.json")
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found, following = await queue.run(lambda: wheel.interactions(after=after, limit=limit, **filters))
    return shown(found, following)


@routes.get(
    "/v1/interactions/{id}", scope="read", summary="One interaction", response_model=_WithFeedback, responses=PROBLEMS
)
async def interaction(request: Request, id: _Id) -> Response:
    """An interaction and the feedback about it."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found, feedback = await queue.run(lambda: wheel.interaction(id))
    return JSONResponse({"interaction": to_dict(found), "feedback": to_dict(feedback)})


@routes.get("/v1/failures", scope="read", summary="Failures", response_model=Page[Failure], responses=PROBLEMS)
async def failures(
    request: Request,
    after: After = "",
    limit: Limit = 100,
    mode: _Text = None,
    min_probability: Annotated[float, Query(ge=0, le=1)] = 0.0,
) -> Response:
    """The likeliest failures of the last spin's window first, with their evidence."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(lambda: wheel.failures(limit=100_000, mode=mode))
    kept = [failure for failure in found if failure.probability >= min_probability]
    return page_of(kept, lambda failure: str(failure.interaction_id), after, limit)


@routes.get("/v1/findings", scope="read", summary="Findings", response_model=Page[Observation], responses=PROBLEMS)
async def findings(
    request: Request,
    spin: Annotated[int | None, Query(ge=0, le=2**31, description="A spin's number; the last when left out.")] = None,
    alarm: bool | None = None,
    limit: Limit = 1000,
) -> Response:
    """What a spin saw in its window: what hurts first, each with its evidence, interval and query."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(lambda: wheel.findings(spin))
    return shown([seen for seen in found if alarm is None or seen.alarm == alarm][:limit])


@routes.get("/v1/modes", scope="read", summary="Failure modes", response_model=Page[Mode], responses=PROBLEMS)
async def modes(
    request: Request,
    after: After = "",
    limit: Limit = 100,
    state: Annotated[str | None, Query(pattern="^(open|in work|fixed|reopened)$")] = None,
) -> Response:
    """The riskiest that occur first."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(lambda: wheel.modes(state))
    return page_of(found, lambda mode: str(mode.id), after, limit)


@routes.get("/v1/modes/{id}", scope="read", summary="One failure mode", response_model=Mode, responses=PROBLEMS)
async def mode(request: Request, id: _Id) -> Response:
    """A failure mode with its cause, risk and history."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = [known for known in await queue.run(wheel.modes) if known.id == id]
    if not found:
        raise NotFound(f"there is no failure mode {id!r}")
    return JSONResponse(to_dict(found[0]))


@routes.get("/v1/edge-cases", scope="read", summary="Edge cases", response_model=Page[EdgeCase], responses=PROBLEMS)
async def edge_cases(request: Request, after: After = "", limit: Limit = 100) -> Response:
    """Rare, novel and extreme inputs of the last spin's window, the riskiest first, with what makes up the risk."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(wheel.edge_cases)
    return page_of(found, lambda case: str(case.interaction_id), after, limit)


@routes.get("/v1/groups", scope="read", summary="New groups", response_model=Page[Group], responses=PROBLEMS)
async def groups(request: Request, after: After = "", limit: Limit = 100) -> Response:
    """Groups of alike inputs of the last spin's window that no known class explains, in the order to ask about."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(wheel.groups)
    return page_of(found, lambda group: str(group.id), after, limit)


@routes.get("/v1/spins", scope="read", summary="Spins", response_model=Page[Spin], responses=PROBLEMS)
async def spins(
    request: Request,
    after: After = "",
    limit: Limit = 100,
    state: Annotated[str | None, Query(pattern="^(running|waiting|done)$")] = None,
) -> Response:
    """Every turn of the loop, the oldest first, with its verdict and receipt."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = [spin for spin in await queue.run(wheel.spins) if state is None or spin.state == state]
    return page_of(found, lambda spin: str(spin.number), after, limit)


@routes.get("/v1/spins/{number}", scope="read", summary="One spin", response_model=Spin, responses=PROBLEMS)
async def spin(request: Request, number: Annotated[int, Path(ge=0, le=2**31)]) -> Response:
    """A spin with everything it found."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = [known for known in await queue.run(wheel.spins) if known.number == number]
    if not found:
        raise NotFound(f"there is no spin {number}")
    return JSONResponse(to_dict(found[0]))


@routes.get("/v1/releases", scope="read", summary="Releases", response_model=Page[Release], responses=PROBLEMS)
async def releases(
    request: Request,
    after: After = "",
    limit: Limit = 100,
    role: Annotated[str | None, Query(pattern="^(champion|canary|shadow|retired)$")] = None,
) -> Response:
    """Every release, the oldest first."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = [known for known in await queue.run(wheel.releases) if role is None or known.role == role]
    return page_of(found, lambda release: str(release.version), after, limit)


@routes.get("/v1/books", scope="read", summary="The books", response_model=dict[str, int], responses=PROBLEMS)
async def books(request: Request) -> Response:
    """What arrived and what became of it: `received` = `stored` + `duplicates` + `rejected` + `dead_lettered`."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(await queue.run(wheel.books))
