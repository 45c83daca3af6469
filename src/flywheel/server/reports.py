"""What people tell each other, over HTTP: blameless reports, and the whys of a failure mode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel.errors import InvalidRecord, NotFound, Undecodable, UnsupportedMedia
from flywheel.records import Report, WhyChain, to_dict
from flywheel.server.accept import room
from flywheel.server.act import who
from flywheel.server.bodies import media_type, read_body
from flywheel.server.pages import After, Limit, Page, page_of
from flywheel.server.routes import Routes
from flywheel.server.schemas import PROBLEMS, REPORT_BODY, REPORT_FILED

if TYPE_CHECKING:
    from flywheel.records.told import Acknowledgement

__all__ = ["LARGEST", "check_report", "file_report", "find_state", "routes"]

routes = Routes(tags=["reports"])
_Id = Annotated[str, Path(min_length=1, max_length=200)]
LARGEST = 65_536
"""Bytes that a report may have."""
_SAID = ("what", "expected", "by", "contact", "trace", "session", "near", "interaction_id", "when")


class _State(BaseModel):
    id: str
    state: str
    line: str
    at: datetime
    acknowledged_at: datetime | None
    fixed_at: datetime | None
    closed_at: datetime | None


@routes.post("/v1/reports", scope="ingest", summary="File a report", openapi_extra=REPORT_BODY, responses=REPORT_FILED)
async def file(request: Request) -> Response:
    """File a blameless report. 200 means on stable storage; the token asks what became of it, and is shown once.

    The answer does not tell whether the report was joined to an interaction: whoever may only write reads nothing.
    """
    if media_type(request) != "application/json":
        raise UnsupportedMedia(
            f"the content type {media_type(request)[:60]!r} is not spoken here. Send application/json"
        )
    said = _read(await read_body(request, limit=LARGEST))
    filed = await file_report(request, said)
    return JSONResponse({"id": filed.id, "token": filed.token, "state": "received", "line": filed.line})


async def file_report(request: Request, said: Mapping[str, Any]) -> Acknowledgement:
    """Store a report with these fields for the request's flywheel, if there is room on the disk and in its budget."""
    queue, wheel = request.app.state.queue, request.state.access.wheel
    spend = room(request)
    rest = dict(said)
    about = rest.pop("interaction_id", None)
    store = queue.write if about is not None else queue.run  # looking for the interaction must hold up no record
    filed: Acknowledgement = await store(lambda: wheel.report(interaction=about, **rest))
    spend(1)
    return filed


def _read(body: bytearray) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise Undecodable(f"the body is not JSON ({problem}). Send an object with the field `what`") from problem
    if not isinstance(given, dict):
        raise InvalidRecord("report", "it is no object", "Send an object with the field `what`")
    return check_report(given)


def check_report(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a report, each a text; `when` a moment. Raises `InvalidRecord`."""
    unknown = [name for name in given if name not in _SAID]
    if unknown:
        raise InvalidRecord(str(unknown[0])[:60], "a report has no such field", f"There are: {', '.join(_SAID)}")
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in said.items():
        if not isinstance(value, str) or "\x00" in value:
            raise InvalidRecord(name, "it is not a text", "Send it as a JSON string")
        if name in ("interaction_id", "trace", "session", "by") and not 0 < len(value) <= 200:
            raise InvalidRecord(name, f"it has {len(value):,} characters", "Send 1 to 200")
    if "what" not in said:
        raise InvalidRecord("what", "it is missing", "Say what happened, in a sentence")
    if "when" in said:
        try:
            said["when"] = datetime.fromisoformat(said["when"])
        except ValueError as problem:
            raise InvalidRecord("when", "it is not a time", "Write it as 2026-01-31T09:30:00Z") from problem
        if said["when"].tzinfo is None or not 1970 < said["when"].year < 9000:
            raise InvalidRecord("when", "it has no offset from UTC, or is no time of ours", "Add Z, or +02:00")
    return said


@routes.get(
    "/v1/reports/{token}", scope="public", summary="What became of a report", response_model=_State, responses=PROBLEMS
)
async def state(request: Request, token: _Id) -> Response:
    """The state of one report and its dates, for whoever holds its token; no text, and nothing that was logged."""
    return JSONResponse(await find_state(request, token), headers={"Cache-Control": "no-store"})


async def find_state(request: Request, token: str) -> dict[str, Any]:
    """What became of the report with this token, among the flywheels that the address leaves. Raises `NotFound`."""
    queue, wheels = request.app.state.queue, request.app.state.wheels
    named = request.scope.get("flywheel")
    asked = [wheels[named]] if named in wheels else [] if named is not None else list(wheels.values())

    def find() -> dict[str, Any]:
        for wheel in asked:
            try:
                found: dict[str, Any] = wheel.report_state(token)
            except NotFound:
                continue
            return found
        raise NotFound("there is no report with this token: it was mistyped, or the report has been erased")

    told: dict[str, Any] = await queue.run(find)
    return told


@routes.get("/v1/reports", scope="read", summary="Reports", response_model=Page[Report], responses=PROBLEMS)
async def reports(
    request: Request,
    after: After = "",
    limit: Limit = 100,
    state: Annotated[str | None, Query(pattern="^(received|joined|acknowledged|fixed|closed)$")] = None,
    told: Annotated[bool | None, Query(description="Has its reporter heard that it is fixed?")] = None,
) -> Response:
    """Every report, the oldest first, brought up to what the spins since have done; no way to reach a reporter."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    found = await queue.run(lambda: wheel.reports(state, told=told))
    return page_of(found, lambda report: str(report.id), after, limit)


@routes.get(
    "/v1/report-figures", scope="read", summary="Figures of reports", response_model=dict[str, Any], responses=PROBLEMS
)
async def figures(request: Request) -> Response:
    """Reports by week, and the median times until they are acknowledged and fixed, with intervals."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(wheel.report_figures)))


@routes.post(
    "/v1/reports/{id}/acknowledge", scope="label", summary="A report was read", response_model=Report,
    responses=PROBLEMS,
)  # fmt: skip
async def acknowledge(request: Request, id: _Id, mode: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """Say that a person has read a report, and perhaps which failure mode it is of."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.acknowledge_report(id, mode=mode, by=by))))


@routes.get(
    "/v1/modes/{id}/whys", scope="read", summary="Why a mode fails", response_model=WhyChain, responses=PROBLEMS
)
async def whys(request: Request, id: _Id) -> Response:
    """The chain of whys: tested claims, what people said, and what is asked of them."""
    wheel, queue = request.state.access.wheel, request.app.state.queue
    return JSONResponse(to_dict(await queue.run(lambda: wheel.why(id))))


@routes.post(
    "/v1/modes/{id}/whys/{number}", scope="label", summary="Answer a why", response_model=WhyChain, responses=PROBLEMS
)
async def answer(
    request: Request,
    id: _Id,
    number: Annotated[int, Path(ge=1, le=9)],
    answer: Annotated[str, Body(embed=True, min_length=1, max_length=2000)],
) -> Response:
    """Answer or correct one why, by its number from 1; one past the end adds one."""
    wheel, queue, by = request.state.access.wheel, request.app.state.queue, who(request)
    return JSONResponse(to_dict(await queue.run(lambda: wheel.answer_why(id, number, answer, by=by))))
