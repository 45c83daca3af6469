"""Elasticsearch's `_bulk`, and the questions that log shippers ask before they write to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flywheel import __version__
from flywheel.capture.bulk import error_body, filtered
from flywheel.server.accept import in_queue, told_drops
from flywheel.server.answers import Problem
from flywheel.server.bodies import read_body
from flywheel.server.routes import Routes

if TYPE_CHECKING:
    from flywheel.capture import Taken

__all__ = ["routes"]

_Endpoint = Callable[[Request], Awaitable[Response]]
SPEAKS = "8.17.0"
"""The version of Elasticsearch whose `_bulk` this is: clients choose their dialect by it."""
_PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
_KINDS = {
    400: "illegal_argument_exception",
    401: "security_exception",
    403: "security_exception",
    404: "resource_not_found_exception",
    413: "content_too_long_exception",
    415: "media_type_header_exception",
    422: "illegal_argument_exception",
    429: "es_rejected_execution_exception",
    503: "unavailable_shards_exception",
}


def on_error(request: Request, problem: Problem) -> Response:
    """Every error in Elasticsearch's words. Overload is 429 there, which shippers answer by trying again later."""
    status = 429 if problem.kind in ("Overloaded", "RateLimited") else problem.status
    body = error_body(status, _KINDS.get(status, "exception"), problem.message)
    return _json(request, body, status, problem.all_headers())


routes = Routes(on_error=on_error, tags=["elasticsearch"])


def _json(request: Request, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    accepts = request.headers.get("accept", "")
    media = "application/json"
    if "vnd.elasticsearch+json" in accepts:  # official clients ask for the form of their own version
        version = accepts.partition("compatible-with=")[2][:1]
        media = f"application/vnd.elasticsearch+json;compatible-with={version if version.isdigit() else 8}"
    return Response(msgspec.json.encode(body), status, headers={**_PRODUCT, **(headers or {}), "Content-Type": media})


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Actions (`index` or `create`) and documents in turn, each on its own line",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "What became of each document, in order; `errors` where one was not stored"},
    400: {"description": "The lines are not actions and documents in turn"},
    413: {"description": "Too large, or more than 50,000 documents"},
    429: {"description": "Overloaded, or this key sends too much; try again after `Retry-After`"},
}


async def bulk(request: Request) -> Response:
    """Store documents as interactions and feedback. A status of 201 means on stable storage."""
    started = time.perf_counter()
    body = bytes(await read_body(request))
    wheel, counts = request.state.access.wheel, told_drops(request)
    results: list[dict[str, Any]] = []

    def job() -> Taken:
        taken: Taken
        taken, told = wheel.bulk.receive(body, request.path_params.get("index", ""), counts=counts)
        results.extend(told)
        return taken

    await in_queue(request, job)
    failed = any(one["status"] >= 300 for item in results for one in item.values())
    answer = {"took": int((time.perf_counter() - started) * 1000), "errors": failed, "items": results}
    return _json(request, filtered(answer, request.query_params.get("filter_path", "")))


for _path, _of in (("/_bulk", ""), ("/{index}/_bulk", " into an index")):
    routes.add(
        _path,
        ["POST"],
        bulk,
        scope="ingest",
        summary=f"Store documents{_of} (Elasticsearch _bulk)",
        openapi_extra=_BODY,
        responses=_ANSWERS,
        operation_id=f"bulk{'_index' if _of else ''}",
    )
    routes.add(_path, ["PUT"], bulk, scope="ingest", include_in_schema=False)


def _probe(path: str) -> Callable[[_Endpoint], _Endpoint]:
    def add(endpoint: _Endpoint) -> _Endpoint:
        routes.add(path, ["GET", "HEAD"], endpoint, scope="ingest", include_in_schema=False)
        return endpoint

    return add


@_probe("/")
async def about(request: Request) -> Response:
    """Say who this is, in the form in which clients look for a version."""
    told = {
        "name": "flywheel",
        "cluster_name": "flywheel",
        "cluster_uuid": "_na_",
        "version": {
            "number": SPEAKS,
            "build_flavor": "default",
            "build_type": "flywheel",
            "build_hash": __version__,
            "build_snapshot": False,
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    }
    return _json(request, told)


@_probe("/_license")
async def licence(request: Request) -> Response:
    """Say that nothing has to be bought: Beats ask, and take no answer for a refusal."""
    told = {"status": "active", "uid": "flywheel", "type": "basic", "mode": "basic", "issued_to": "flywheel"}
    return _json(request, {"license": told | {"issuer": "flywheel"}})


@_probe("/_xpack")
async def features(request: Request) -> Response:
    """Say that no feature of Elasticsearch's is here, life cycles of indices in particular."""
    none = {"available": False, "enabled": False}
    licence_ = {"uid": "flywheel", "type": "basic", "mode": "basic", "status": "active"}
    return _json(request, {"license": licence_, "features": {"ilm": none, "security": none, "data_streams": none}})


@_probe("/_cat/health")
async def cat_health(request: Request) -> Response:
    """Answer rsyslog's question whether anybody is there."""
    now = int(time.time())
    line = f"{now} {time.strftime('%H:%M:%S', time.gmtime(now))} flywheel green 1 1 0 0 0 0 0 0 - 100.0%\n"
    return Response(line, headers=_PRODUCT, media_type="text/plain")


@_probe("/_cluster/health")
async def cluster_health(request: Request) -> Response:
    """Answer Vector's question whether anybody is there."""
    told = {"cluster_name": "flywheel", "status": "green", "timed_out": False, "number_of_nodes": 1}
    return _json(request, told | {"number_of_data_nodes": 1, "active_primary_shards": 0, "active_shards": 0})


@_probe("/_index_template/{name}")
@_probe("/_template/{name}")
async def template(request: Request) -> Response:
    """Say that there is a template, so that none is installed: documents need none here."""
    name = request.path_params["name"][:200]
    return _json(request, {"index_templates": [{"name": name, "index_template": {"index_patterns": []}}]})


@_probe("/_ilm/policy/{name}")
async def life_cycle(request: Request) -> Response:
    """Say that indices have no life cycle here; retention is a setting of the flywheel."""
    told = error_body(404, "resource_not_found_exception", "there are no life cycles here; see [retention]")
    return _json(request, told, 404)
