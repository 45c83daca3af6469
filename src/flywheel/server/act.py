"""What people do over HTTP: label, promote, roll back, deal with keys and dead letters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.records import Release, ReviewItem, to_dict
from flywheel.server.pages import After, Limit, Page, page_of, shown
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes", "who"]

routes = Routes(tags=["act"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]


def who(request: Request) -> str:
    """Who acts, for the audit trail: the key, never what a client says of itself."""
    key = request.state.access.key
    return f"key {key}" if key else "this machine"


@routes.get(
    "/v1/review", scope="label", summary="What waits for a label", response_model=Page[ReviewItem], responses=PROBLEMS
)
async def review(request: Request, after: After = "", limit: Limit = 100) -> Response:
    """The review queue, in the order it was asked for."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(wheel.review_queue)
    return page_of(found, lambda item: str(item.id), after, limit)


@routes.post(
    "/v1/review/{id}/label", scope="label", summary="Answer one item", response_model=ReviewItem, responses=PROBLEMS
)
async def label(request: Request, id: _Id, label: Annotated[Any, Body(embed=True)]) -> Response:
    """Say what is right. Answering again corrects the answer until the spin has gone on."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.label(id, label, by=by))))


@routes.post("/v1/review/{id}/skip", scope="label", summary="Skip one", response_model=ReviewItem, responses=PROBLEMS)
async def skip(request: Request, id: _Id) -> Response:
    """Leave an item unanswered for good: nobody can tell what is right."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.skip(id, by=by))))


@routes.post("/v1/review/{id}/unsure", scope="label", summary="Unsure", response_model=ReviewItem, responses=PROBLEMS)
async def unsure(request: Request, id: _Id) -> Response:
    """Leave an item to somebody else: it waits behind the others."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.unsure(id, by=by))))


@routes.post("/v1/review/{id}/undo", scope="label", summary="Undo", response_model=ReviewItem, responses=PROBLEMS)
async def undo(request: Request, id: _Id) -> Response:
    """Take back what was said about an item: it waits again. Not once its spin is done."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.undo(id, by=by))))


@routes.post(
    "/v1/releases/promote", scope="release", summary="Promote the challenger", response_model=Release,
    responses=PROBLEMS,
)  # fmt: skip
async def promote(request: Request) -> Response:
    """Make the waiting challenger the champion."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.promote(by=by))))


@routes.post("/v1/releases/rollback", scope="release", summary="Roll back", response_model=Release, responses=PROBLEMS)
async def rollback(request: Request) -> Response:
    """Bring back the champion before this one, at once."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.rollback(by=by))))


@routes.get("/v1/keys", scope="admin", summary="Keys", response_model=Page[dict[str, Any]], responses=PROBLEMS)
async def keys(request: Request) -> Response:
    """Every key, without its secret."""
    wheel, queue, now = request.state.access.wheel, request.app.state.queue, datetime.now(UTC)
    found = await queue.run(wheel.keys.all)
    return shown(
        {
            "id": key.id, "name": key.name, "scopes": key.scopes, "state": key.state(now),
            "created_at": key.created_at, "last_used": key.last_used, "expires_at": key.expires_at,
        }
        for key in found
    )  # fmt: skip


@routes.delete(
    "/v1/keys/{id}", scope="admin", summary="Revoke a key", response_model=dict[str, str], responses=PROBLEMS
)
async def revoke(request: Request, id: _Id) -> Response:
    """End a key for good, within two seconds."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)

    def end() -> dict[str, str]:
        key = wheel.keys.revoke(id)
        wheel.note("key revoke", key.id, by=by, detail={"name": key.name})
        return {"id": key.id, "state": "revoked"}

    return JSONResponse(await queue.run(end))


@routes.get(
    "/v1/dead-letters", scope="admin", summary="Dead letters", response_model=Page[dict[str, Any]], responses=PROBLEMS
)
async def dead_letters(
    request: Request, before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None, limit: Limit = 100
) -> Response:
    """Records that could not be stored, the newest first; `next` goes into `before`."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(lambda: wheel.dead_letters(limit=limit, before=before))
    return shown(found, found[-1]["id"] if len(found) == limit else None)


@routes.post(
    "/v1/dead-letters/retry", scope="admin", summary="Try them again", response_model=dict[str, Any],
    responses=PROBLEMS,
)  # fmt: skip
async def retry(request: Request) -> Response:
    """Try every dead letter again; `still` lists those that cannot be stored yet."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(await queue.run(wheel.retry_dead_letters))
