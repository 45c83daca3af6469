"""Labeling together over HTTP: a whole group, how far the review is, who does not agree, which labels there are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.records import ReviewItem, to_dict
from flywheel.server.act import who
from flywheel.server.pages import Limit, Page, shown
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["label"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]


class _Progress(BaseModel):
    """Where a spin's review stands; `per_hour` is the pace of the last quarter of an hour."""

    spin: int | None
    budget: int
    asked: int
    waiting: int
    labelled: int
    skipped: int
    unsure: int
    audit: int
    audit_labelled: int
    per_hour: int | None
    by: dict[str, int]


class _Said(BaseModel):
    by: str
    label: Any
    at: datetime


class _Disagreement(BaseModel):
    """An item about which two people differ: what each said last, and what stands."""

    item: ReviewItem
    said: list[_Said]
    stands: Any


@routes.post(
    "/v1/review/{id}/label-group", scope="label", summary="Answer a group", response_model=Page[ReviewItem],
    responses=PROBLEMS,
)  # fmt: skip
async def label_group(request: Request, id: _Id, label: Annotated[Any, Body(embed=True)]) -> Response:
    """Answer an item and every other that waits and belongs to the same group of alike inputs, each for itself."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return shown(await queue.run(lambda: wheel.label_group(id, label, by=by)))


@routes.get(
    "/v1/review-progress", scope="label", summary="How far the review is", response_model=_Progress, responses=PROBLEMS
)
async def progress(
    request: Request,
    spin: Annotated[int | None, Query(ge=0, le=2**31, description="A spin's number; the last when left out.")] = None,
) -> Response:
    """The labels of a spin against its budget, who gave how many, and the pace."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.review_progress(spin))))


@routes.get(
    "/v1/disagreements", scope="label", summary="Who does not agree", response_model=Page[_Disagreement],
    responses=PROBLEMS,
)  # fmt: skip
async def disagreements(request: Request, limit: Limit = 100) -> Response:
    """Where two people gave different labels to one interaction, until they agree."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return shown(await queue.run(lambda: wheel.disagreements(limit)))


@routes.get("/v1/labels", scope="read", summary="Labels there are", response_model=Page[Any], responses=PROBLEMS)
async def labels(request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> Response:
    """Every label that examples and answers have, the commonest first."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return shown(await queue.run(lambda: wheel.known_labels(limit)))
