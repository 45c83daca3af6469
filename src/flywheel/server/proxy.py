"""An OpenAI-compatible proxy: what it forwards passes through untouched, and is logged when it has ended.

The product comes first: an exchange is passed on even when it cannot be recorded; then that is counted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from flywheel.capture import new_id
from flywheel.capture.forwarded import Forwarded, kept_of, told_of
from flywheel.errors import FlywheelError, NotFound, Overloaded
from flywheel.server.bodies import read_body
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROXY_ANSWERS, PROXY_BODY

if TYPE_CHECKING:
    from fastapi import FastAPI

    from flywheel.server.answers import Problem
    from flywheel.wheel import Flywheel

__all__ = ["close", "routes"]

_HOP = frozenset(("connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"))
_OURS = ("host", "content-length", "content-encoding", "accept-encoding", "cookie", "proxy-authorization", "trailers")
_WHOSE = ("forwarded", "x-forwarded-for", "x-real-ip", "x-api-key")  # whom it came from is not the upstream's business
_NOT_FORWARDED = _HOP | {*_OURS, *_WHOSE}
_NOT_RETURNED = _HOP | {"set-cookie"}
_TOGETHER = 0.05  # seconds for which an ended exchange waits for others: one commit for all of them
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def _as_openai(_request: Request, problem: Problem) -> Response:
    """An error in the form that OpenAI's clients read."""
    kind = _TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "server_error")
    body = {"error": {"message": problem.message, "type": kind, "param": None, "code": problem.kind}}
    return JSONResponse(body, problem.status, headers=problem.all_headers())


routes = Routes(on_error=_as_openai, tags=["proxy"])


@routes.post(
    "/openai/v1/chat/completions", scope="ingest", summary="Forward a chat completion", openapi_extra=PROXY_BODY,
    responses=PROXY_ANSWERS,
)  # fmt: skip
async def chat(request: Request) -> Response:
    """Forward to the configured upstream, streamed or whole, and log the exchange as an interaction.

    The answer's header `X-Flywheel-Interaction` is the id to give feedback about.
    """
    return await _forward(request, "chat/completions")


@routes.post(
    "/openai/v1/responses", scope="ingest", summary="Forward a response", openapi_extra=PROXY_BODY,
    responses=PROXY_ANSWERS,
)  # fmt: skip
async def responses(request: Request) -> Response:
    """Forward to the configured upstream, streamed or whole, and log the exchange as an interaction."""
    return await _forward(request, "responses")


@routes.get("/openai/v1/models", scope="ingest", summary="The upstream's models", responses=PROXY_ANSWERS)
async def models(request: Request) -> Response:
    """Ask the upstream which models it has; not logged."""
    wheel: Flywheel = request.state.access.wheel
    client = _client(request.app, request.state.access.flywheel, wheel)
    try:
        answer = await client.get("models", headers=_headers(request, wheel))
    except httpx.HTTPError as problem:
        return _unreachable(problem)[0]
    return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


async def _forward(request: Request, path: str) -> Response:
    wheel: Flywheel = request.state.access.wheel
    client = _client(request.app, request.state.access.flywheel, wheel)
    body = bytes(await read_body(request))
    exchange = Forwarded(
        new_id(), path, body, datetime.now(UTC), 4 * wheel.config.store.max_record_bytes, told=told_of(request.headers)
    )
    started = time.perf_counter()
    try:
        sent = client.build_request("POST", path, content=body, headers=_headers(request, wheel))
        answer = await client.send(sent, stream=True)
    except httpx.HTTPError as problem:
        response, exchange.problem = _unreachable(problem)
        exchange.latency_ms = 1000 * (time.perf_counter() - started)
        _record(request, exchange)
        response.headers["X-Flywheel-Interaction"] = exchange.id
        return response
    exchange.status, exchange.encoding = answer.status_code, answer.headers.get("content-encoding", "")
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED}
    kept["X-Flywheel-Interaction"] = exchange.id
    return StreamingResponse(_passed_on(request, answer, exchange, started), answer.status_code, headers=kept)


async def _passed_on(
    request: Request, answer: httpx.Response, exchange: Forwarded, started: float
) -> AsyncIterator[bytes]:
    """Every piece as it comes, and a copy for the log."""
    exchange.problem = "cancelled: the client went away before the answer's end"
    try:
        async for chunk in answer.aiter_raw():
            if exchange.first_ms is None:
                exchange.first_ms = 1000 * (time.perf_counter() - started)
            exchange.keep(chunk)
            yield chunk
        exchange.problem = None
    except httpx.HTTPError as problem:
        exchange.problem = f"upstream: it broke off ({type(problem).__name__})"
        raise
    finally:
        exchange.latency_ms = 1000 * (time.perf_counter() - started)
        _record(request, exchange)
        await asyncio.shield(answer.aclose())


def _record(request: Request, exchange: Forwarded) -> None:
    """Log an exchange beside the answer, together with those that end at about the same time; no answer waits."""
    app, access = request.app, request.state.access
    queue, size = app.state.queue, len(exchange.request) + len(exchange.answer)
    try:
        if queue.disk_full(access.wheel):
            raise Overloaded("the disk is too full")
        queue.hold(size)
    except FlywheelError as problem:
        app.state.watching.missed(access.flywheel, problem)
        return
    waiting = app.state.proxy_waiting.setdefault(access.flywheel, [])
    waiting.append((exchange, size))
    if len(waiting) == 1:
        task = asyncio.get_running_loop().create_task(_write(app, access, waiting))
        app.state.proxy_tasks.add(task)
        task.add_done_callback(app.state.proxy_tasks.discard)


async def _write(app: FastAPI, access: Any, waiting: list[tuple[Forwarded, int]]) -> None:
    await asyncio.sleep(_TOGETHER)
    batch, waiting[:] = list(waiting), []
    try:
        taken = await app.state.queue.write(
            lambda: access.wheel.intake.take([kept_of(exchange) for exchange, _ in batch], source="proxy")
        )
        app.state.watching.took(access.flywheel, taken)
    except FlywheelError as problem:
        for _ in batch:
            app.state.watching.missed(access.flywheel, problem)
    finally:
        app.state.queue.release(sum(size for _, size in batch))


def _headers(request: Request, wheel: Flywheel) -> dict[str, str]:
    """The client's headers without those that concern this hop, or us; with the upstream's key."""
    found = {
        name: value
        for name, value in request.headers.items()
        if name not in _NOT_FORWARDED and not name.startswith("x-flywheel-")
    }
    found["accept-encoding"] = "identity"
    given = found.get("authorization", "").partition(" ")[2].strip()
    if not given or given.startswith("fw_"):
        found.pop("authorization", None)
        key = os.environ.get(wheel.config.proxy.key_variable, "")
        if key:
            found["authorization"] = f"Bearer {key}"
    return found


def _client(app: FastAPI, flywheel: str, wheel: Flywheel) -> httpx.AsyncClient:
    settings = wheel.config.proxy
    if not settings.upstream:
        raise NotFound(
            "no upstream is configured. Set [proxy] upstream in flywheel.toml, such as https://api.openai.com/v1"
        )
    clients: dict[str, httpx.AsyncClient] = app.state.proxy_clients
    if flywheel not in clients:
        clients[flywheel] = httpx.AsyncClient(
            base_url=settings.upstream.rstrip("/") + "/",
            timeout=httpx.Timeout(settings.timeout_seconds, connect=10.0),
            limits=httpx.Limits(max_connections=500, max_keepalive_connections=100),
            follow_redirects=False,
        )
    return clients[flywheel]


def _unreachable(problem: httpx.HTTPError) -> tuple[Response, str]:
    slow = isinstance(problem, httpx.TimeoutException)
    status, kind = (504, "upstream_timeout") if slow else (502, "upstream_unreachable")
    text = "the upstream did not answer in time" if slow else "the upstream could not be reached"
    said = f"{kind}: {text} ({type(problem).__name__})"
    body = {"error": {"message": f"{text}. Try again", "type": "server_error", "param": None, "code": kind}}
    return JSONResponse(body, status, headers={"Retry-After": "1"}), said


async def close(app: FastAPI) -> None:
    """Let exchanges that are being logged end, and give connections back."""
    if app.state.proxy_tasks:
        await asyncio.gather(*app.state.proxy_tasks, return_exceptions=True)
    for client in app.state.proxy_clients.values():
        await client.aclose()
