"""OTLP/HTTP: `POST /v1/traces` and `/v1/logs`, in protobuf and JSON, to the letter of OTLP 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from flywheel.capture.otlp import CONTENT_TYPES, is_json
from flywheel.capture.otlp_answers import status
from flywheel.errors import UnsupportedMedia
from flywheel.server.accept import in_queue, told_drops
from flywheel.server.answers import Problem
from flywheel.server.bodies import media_type, read_body
from flywheel.server.routes import Routes

if TYPE_CHECKING:
    from flywheel.capture import Taken
    from flywheel.capture.otlp_wire import Signal

__all__ = ["routes"]


def on_error(request: Request, problem: Problem) -> Response:
    """Every error is a `Status` message, in the encoding of the request (JSON where that is not known)."""
    json = _speaks_json(request)
    body = status(problem.status, problem.message, json=json, retry_after=problem.retry_after)
    return Response(body, problem.status, headers=problem.all_headers(), media_type=CONTENT_TYPES[json])


routes = Routes(on_error=on_error, tags=["otlp"])


def _described(message: str) -> dict[str, Any]:
    content = {
        "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object", "additionalProperties": True}},
    }
    return {"requestBody": {"required": False, "description": f"`{message}`, or nothing", "content": content}}


def _answers(message: str) -> dict[int | str, dict[str, Any]]:
    status_body = {
        "content": {
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"type": "object", "additionalProperties": True}},
        }
    }
    said = {
        200: f"`{message}`; `partial_success` only where something was not stored",
        400: "`Status`: the body is not what it claims to be",
        401: "`Status`: no key, or one that is unknown",
        403: "`Status`: the key may not do this",
        413: "`Status`: too large, or too many spans or attributes",
        415: "`Status`: neither protobuf nor JSON",
        429: "`Status`: this key sends too much; retry after `Retry-After`",
        503: "`Status`: overloaded; retry after `Retry-After`",
    }
    return {code: {"description": words, **status_body} for code, words in said.items()}


@routes.post(
    "/v1/traces",
    scope="ingest",
    summary="Store GenAI spans (OTLP/HTTP)",
    openapi_extra=_described("ExportTraceServiceRequest"),
    responses=_answers("ExportTraceServiceResponse"),
)
async def traces(request: Request) -> Response:
    """Store the calls of models among the spans as interactions, and evaluations as feedback; others are counted."""
    return await _take(request, "traces")


@routes.post(
    "/v1/logs",
    scope="ingest",
    summary="Store GenAI events (OTLP/HTTP)",
    openapi_extra=_described("ExportLogsServiceRequest"),
    responses=_answers("ExportLogsServiceResponse"),
)
async def logs(request: Request) -> Response:
    """Store GenAI events among the log records: calls of models, their messages, evaluations; others are counted."""
    return await _take(request, "logs")


async def _take(request: Request, signal: Signal) -> Response:
    media = media_type(request)
    body = bytes(await read_body(request))
    receiver, counts = request.state.access.wheel.otlp, told_drops(request)
    answers: list[bytes] = []

    def job() -> Taken:
        taken: Taken
        taken, answer = receiver.receive(body, media, signal, counts=counts)
        answers.append(answer)
        return taken

    await in_queue(request, job)
    return Response(answers[0], media_type=CONTENT_TYPES[is_json(media)])


def _speaks_json(request: Request) -> bool:
    try:
        return is_json(media_type(request))
    except UnsupportedMedia:
        return True
