"""Labels of several people: who decides where they differ."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.records import ReviewItem, to_dict
from flywheel.server.act import who
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS

__all__ = ["routes"]

routes = Routes(tags=["act"])


@routes.post(
    "/v1/review/{id}/resolve", scope="label", summary="Settle one", response_model=ReviewItem, responses=PROBLEMS
)
async def resolve(
    request: Request, id: Annotated[str, Path(min_length=1, max_length=200)], label: Annotated[Any, Body(embed=True)]
) -> Response:
    """Settle a disagreement: this label stands, and the audit trail keeps who decided."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.resolve(id, label, by=by))))
