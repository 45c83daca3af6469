"""`POST /v1/interactions` and `/v1/feedback`: a JSON array or JSON lines; answered when it is on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.errors import UnsupportedMedia
from flywheel.server.accept import in_queue, told_drops
from flywheel.server.bodies import media_type, read_body
from flywheel.server.routes import Routes
from flywheel.server.schemas import FEEDBACK_BODY, INTERACTIONS_BODY, TAKEN

if TYPE_CHECKING:
    from flywheel.capture import Taken

__all__ = ["counted", "routes"]

routes = Routes(tags=["ingest"])
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


@routes.post(
    "/v1/interactions", scope="ingest", summary="Store interactions", openapi_extra=INTERACTIONS_BODY, responses=TAKEN
)
async def interactions(request: Request) -> Response:
    """Store interactions. 200 means that every record counted as accepted is on stable storage.

    The same id twice stores once. Records that cannot be stored are kept among the dead letters with the reason, and
    do not stop the others.
    """
    return await _store(request, "interaction")


@routes.post("/v1/feedback", scope="ingest", summary="Store feedback", openapi_extra=FEEDBACK_BODY, responses=TAKEN)
async def feedback(request: Request) -> Response:
    """Store feedback about interactions, which may have arrived before or arrive later."""
    return await _store(request, "feedback")


async def _store(request: Request, kind: str) -> Response:
    media = media_type(request)
    if media not in ("application/json", *_LINES):
        body = await read_body(request)
        problem = UnsupportedMedia(
            f"the content type {media[:60]!r} is not spoken here. Send application/json or application/x-ndjson"
        )
        intake = request.state.access.wheel.intake
        await request.app.state.queue.write(
            lambda: intake.refuse_body(body, str(problem), source=f"http {request.url.path}")
        )
        raise problem
    body = await read_body(request)
    intake, told = request.state.access.wheel.intake, told_drops(request)
    source = f"http /v1/{'interactions' if kind == 'interaction' else kind}"
    taken = await in_queue(
        request, lambda: intake.take_body(body, kind=kind, lines=media in _LINES, source=source, counts=told)
    )
    none = taken.received and taken.received == taken.dead_lettered
    return JSONResponse(counted(taken), 422 if none else 200)


def counted(taken: Taken) -> dict[str, Any]:
    """The books of a batch as the answer's body; a conflict is among the rejected."""
    return {
        "received": taken.received,
        "accepted": taken.stored,
        "duplicate": taken.duplicates,
        "rejected": taken.rejected + taken.conflicts,
        "dead_lettered": taken.dead_lettered,
        "errors": [{"index": index, "reason": reason} for index, reason in taken.errors],
    }
