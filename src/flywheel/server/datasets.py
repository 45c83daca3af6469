"""Datasets over HTTP: what there is, what one is made of, lineage both ways, and a copy to take away."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from flywheel.loop.balancing import Provenance
from flywheel.records import to_dict
from flywheel.server.act import who
from flywheel.server.pages import After, Limit, Page, page_of
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["read"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]
_COPY: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    200: {
        "description": "The copy, as a file to keep",
        "content": {
            name: {"schema": {"type": "string", "format": "binary"}}
            for name in ("application/x-ndjson", "application/vnd.apache.parquet", "text/csv")
        },
    },
}


@routes.get("/v1/datasets", scope="read", summary="Datasets", response_model=Page[dict[str, Any]], responses=PROBLEMS)
async def datasets(request: Request, after: After = "", limit: Limit = 100) -> Response:
    """Every dataset without its examples, the oldest first."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(wheel.datasets)
    return page_of(found, lambda one: str(one.hash), after, limit)


@routes.get(
    "/v1/datasets/{id}/provenance", scope="read", summary="What a dataset is made of", response_model=Provenance,
    responses=PROBLEMS,
)  # fmt: skip
async def provenance(request: Request, id: _Id) -> Response:
    """Lineage both ways, label sources with their agreement, balance beside the traffic, copies on record."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.provenance(id))))


@routes.get("/v1/datasets/{id}/export", scope="read", summary="Take a copy", responses=_COPY)
async def export(
    request: Request,
    id: _Id,
    format: Annotated[Literal["jsonl", "parquet", "csv"], Query(description="What to write.")] = "jsonl",
) -> Response:
    """A dataset as a file. The key goes on record: an erasure names it, since it cannot reach the copy."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    copy = await queue.run(lambda: wheel.download(id, format, by=by))
    return StreamingResponse(copy.pieces(), media_type=copy.media_type, headers=copy.headers)


@routes.get("/v1/lineage/{id}", scope="read", summary="Lineage", response_model=dict[str, Any], responses=PROBLEMS)
async def lineage(request: Request, id: _Id) -> Response:
    """From an interaction to the datasets and releases it entered; of a dataset, or a version, where it came from."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.lineage(id))))
