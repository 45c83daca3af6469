"""The report form over HTTP: shown to anybody, and taken as a browser sends it by itself, without JavaScript."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from flywheel.errors import InvalidRecord, Permanent, TooLarge, Undecodable, UnsupportedMedia
from flywheel.server.answers import Problem
from flywheel.server.bodies import media_type, read_body
from flywheel.server.form import HIDDEN, TYPED, form_headers, form_page, refused_page, state_page, thanks_page
from flywheel.server.reports import LARGEST, check_report, file_report, find_state
from flywheel.server.routes import Routes

__all__ = ["routes"]

_FORM = "application/x-www-form-urlencoded"
_ASKED = {"what": "What happened?", "expected": "What did you expect?", "contact": "How can we tell you?"}
_TOO_LONG = "Your text is longer than can be taken here. Please say it in fewer words"


def _as_page(request: Request, problem: Problem) -> Response:
    """A problem as a page that keeps every word that was typed."""
    typed: dict[str, str] = getattr(request.state, "typed", {})
    if "token" in typed:
        page = state_page(typed["token"], problem=_sentence(problem.message))
    else:
        page = refused_page(f"It was not sent: {_sentence(problem.message)}", typed)
    return _shown(request, page, problem.status, problem.all_headers())


routes = Routes(on_error=_as_page, tags=["reports"])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _shown(request: Request, page: bytes, status: int = 200, more: dict[str, str] | None = None) -> Response:
    headers = form_headers(_origins(request), script=request.method != "POST")
    return Response(page, status, media_type="text/html", headers={**headers, **(more or {})})


def _origins(request: Request) -> dict[str, None]:
    wheels = request.app.state.wheels.values()
    return dict.fromkeys(origin for wheel in wheels for origin in wheel.config.reports.embed_on)


def _html(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"text/html": {"schema": {"type": "string"}}}}


_TEXT: dict[str, Any] = {"type": "string"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A report; or `token` alone, to ask what became of one. At most 64 kB of text.",
        "content": {
            _FORM: {"schema": {"type": "object", "properties": dict.fromkeys((*TYPED, *HIDDEN, "token"), _TEXT)}}
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _html("It has arrived, with its token; or what became of the report"),
    400: _html("The body is no form"),
    403: _html("Reports are taken with a key only; the text is kept on the page"),
    404: _html("There is no such flywheel, or no report with this token"),
    413: _html("The text is too long"),
    415: _html("The content type or encoding is not spoken here"),
    422: _html("The report cannot be stored as it is; the text is kept on the page"),
    429: _html("Too many reports at once; Retry-After says when to go on, and the text is kept on the page"),
    503: _html("Try again later; Retry-After says when, and the text is kept on the page"),
}


@routes.get(
    "/report-form", scope="public", summary="The form to file a report", response_class=Response,
    responses={200: _html("The page")},
)  # fmt: skip
async def form(
    request: Request,
    interaction: Annotated[str, Query(description="The interaction it is about")] = "",
    session: Annotated[str, Query(description="Helps to find the interaction, as does the next")] = "",
    trace: str = "",
) -> Response:
    """A page without outside assets, which `[reports] embed_on` may show in a frame; `?interaction=ID` joins it."""
    return _shown(request, form_page({"interaction": interaction, "session": session, "trace": trace}))


@routes.post(
    "/report-form", scope="public", summary="The form, sent without JavaScript", response_class=Response,
    openapi_extra=_BODY, responses=_ANSWERS,
)  # fmt: skip
async def send(request: Request) -> Response:
    """File a report as the form sends it, where the server asks for no key or `[reports] public` is set.

    Anybody may send `token` alone to see the state and the dates of the report it belongs to.
    """
    typed = await _typed(request)
    if "token" in typed:
        return _shown(request, state_page(typed["token"], await find_state(request, typed["token"])))
    request.state.access = await request.app.state.doorkeeper.admit_anybody(request)
    try:
        said = {("interaction_id" if name == "interaction" else name): text for name, text in typed.items()}
        for name, text in said.items():
            if "\x00" in text:
                raise InvalidRecord(name, "has a sign that is no letter (NUL)", "Take it out")
        said = check_report({name: text for name, text in said.items() if text.strip()})
        request.app.state.queue.anybody(request.state.access.flywheel).take()
        filed = await file_report(request, said)
    except InvalidRecord as problem:
        place = _ASKED.get(problem.field, problem.field)
        raise Permanent(f"“{place}” {problem.problem}. {problem.fix}") from problem
    return _shown(request, thanks_page(filed.token))


async def _typed(request: Request) -> dict[str, str]:
    """The fields of a form, kept with the request so that a refusal can show them. One byte may travel as three."""
    if media_type(request) != _FORM:
        raise UnsupportedMedia(f"the content type {media_type(request)[:60]!r} is not spoken here. Send {_FORM}")
    try:
        body = await read_body(request, limit=3 * LARGEST)
    except TooLarge as problem:
        raise TooLarge(f"{_TOO_LONG}; your browser still has it when you go back") from problem
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=20)
    except ValueError as problem:
        raise Undecodable(
            "this is no form that was filled in here, or not in UTF-8. Open the form and try again"
        ) from problem
    typed = {name: text.replace("\r\n", "\n") for name, text in pairs}
    if "token" in typed and len(typed) == 1:
        request.state.typed = {"token": typed["token"][:200]}
        return dict(request.state.typed)
    request.state.typed = {name: text for name, text in typed.items() if name in (*TYPED, *HIDDEN)}
    unknown = [name for name in typed if name not in request.state.typed]
    if unknown or len(pairs) > len(typed):
        raise Permanent("the form has fields that it ought not to have, or one of them twice. Open it and try again")
    if sum(len(text.encode()) for text in typed.values()) > LARGEST:
        raise TooLarge(_TOO_LONG)
    return typed
