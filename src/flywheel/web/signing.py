"""Signing in, by key, by a one-time link of this machine, or through an identity provider; and signing out."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from nicegui import core
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from flywheel.errors import FlywheelError, Unauthenticated
from flywheel.govern.keys import ROLES
from flywheel.web import oidc
from flywheel.web.entry import COOKIE, admit
from flywheel.web.plain import plain, sign_in_page

if TYPE_CHECKING:
    from flywheel.wheel import Flywheel

__all__ = ["add"]

_MOST_BODY = 4096
_BROWSER = "flywheel_oidc"
"""The cookie that ties a sign-in begun at an identity provider to the browser that began it."""


def add() -> None:
    """Register the ways in, and out."""
    for path, answer, method in (
        ("/sign-in", _form, "GET"),
        ("/sign-in", _by_key, "POST"),
        ("/sign-in/link", _by_link, "GET"),
        ("/sign-in/oidc", _to_provider, "GET"),
        ("/sign-in/oidc/callback", _from_provider, "GET"),
        ("/sign-out", _out, "POST"),
    ):
        core.app.add_route(path, answer, methods=[method], include_in_schema=False)


async def _form(request: Request) -> Response:
    return _again(request, "", 200)


async def _by_key(request: Request) -> Response:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BODY:
            return _again(request, "That is no key.", 413)
    text = parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0].strip()
    wheel = await _wheel_of(request, text) if text.isascii() and text else None
    if wheel is None:
        words = "This is no key of this server, or it may only send facts. Make one with: flywheel keys create"
        return _again(request, words, 401)
    try:
        token = await run_in_threadpool(wheel.sessions.begin, text)
    except Unauthenticated as problem:
        return _again(request, str(problem), 401)
    return _in(request, wheel, token, _onward(request))


async def _wheel_of(request: Request, text: str) -> Flywheel | None:
    """The flywheel that a key opens, to look at least."""
    headers = [pair for pair in request.scope["headers"] if pair[0] not in (b"x-flywheel-key", b"x-api-key")]
    headers = [pair for pair in headers if pair[0] != b"authorization"]
    bearer = (b"authorization", b"Bearer " + text.encode())
    tried = HTTPConnection({**request.scope, "headers": [*headers, bearer], "flywheel.session": None})
    for scope in ("read", "label", "release"):
        try:
            access = await admit(tried, scope)
        except FlywheelError:
            continue
        wheel: Flywheel | None = access.wheel
        return wheel
    return None


async def _by_link(request: Request) -> Response:
    """The link that `flywheel serve` prints. It is for this machine: no other address, no other name."""
    token = request.query_params.get("token", "")
    if request.method != "GET":  # asking what is there uses nothing up
        return Response(status_code=405)
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    near = request.client is not None and _loopback(request.client.host) and _loopback(host)
    if not near or not request.scope["flywheel.host"].state.loopback:
        words = "A link signs in on the machine that runs the server only, at 127.0.0.1. Use a key."
        return _again(request, words, 403)
    for wheel in _candidates(request).values():
        try:
            session = await run_in_threadpool(wheel.sessions.redeem, token)
        except Unauthenticated:
            continue
        return _in(request, wheel, session, _onward(request))
    words = "This link has been used, or is older than ten minutes. Make another with: flywheel keys link"
    return _again(request, words, 401)


async def _to_provider(request: Request) -> Response:
    found = next(((name, one) for name, one in _candidates(request).items() if one.config.oidc.issuer), None)
    if found is None:
        return _again(request, "No identity provider is set up here. Use a key.", 404)
    name, wheel = found
    address = _address(request, wheel)
    try:
        where, browser = await _sign_ins(request).begin(name, wheel.config.oidc, address, _onward(request))
    except oidc.Refused as problem:
        return _again(request, str(problem), problem.status)
    answer = RedirectResponse(where, 303)
    answer.set_cookie(
        _BROWSER, browser, max_age=600, httponly=True, samesite="lax", secure=address.startswith("https:")
    )
    return answer


async def _from_provider(request: Request) -> Response:
    try:
        met = await _sign_ins(request).finish(request.query_params, request.cookies.get(_BROWSER, ""))
        wheel: Flywheel = request.scope["flywheel.host"].state.wheels[met.flywheel]
        token = await run_in_threadpool(wheel.sessions.welcome, met.who, ROLES[met.role])
        detail = {"role": met.role, "issuer": wheel.config.oidc.issuer, "subject": met.subject}
        await run_in_threadpool(lambda: wheel.note("sign in", met.who, by=met.who, detail=detail))
    except oidc.Refused as problem:
        inner = '<p><a href="/sign-in">Sign in again</a></p>'
        page = HTMLResponse(plain("You were not signed in", str(problem), inner=inner), problem.status)
        page.delete_cookie(_BROWSER, path="/", httponly=True, samesite="lax")
        return page
    answer = _in(request, wheel, token, met.onward)
    answer.delete_cookie(_BROWSER, path="/", httponly=True, samesite="lax")
    return answer


async def _out(request: Request) -> Response:
    token = request.cookies.get(COOKIE)
    if token:
        for wheel in request.scope["flywheel.host"].state.wheels.values():
            await run_in_threadpool(wheel.sessions.end, token)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


# --- how ---


def _again(request: Request, problem: str, status: int) -> Response:
    named = request.scope.get("flywheel")
    several = len(request.scope["flywheel.host"].state.wheels) > 1
    onward, providers = _onward(request), []
    for name, wheel in _candidates(request).items():
        if wheel.config.oidc.issuer:
            base = f"/flywheels/{quote(name)}" if named or several else ""
            shown = wheel.config.oidc.title or urlsplit(wheel.config.oidc.issuer).netloc
            label = f"{shown} ({wheel.name})" if several and named is None else shown
            providers.append((label, f"{base}/sign-in/oidc?next={quote(onward, safe='')}"))
    return HTMLResponse(sign_in_page(onward, problem=problem, providers=providers), status)


def _in(request: Request, wheel: Flywheel, token: str, onward: str) -> Response:
    """Go on, with the cookie. `lax`, so that a link in a colleague's message opens signed in; every way of changing
    something is a POST or a socket, which no other site's page may open."""
    answer = RedirectResponse(onward, 303)
    answer.set_cookie(
        COOKIE, token, max_age=int(wheel.config.server.session_hours * 3600), httponly=True, samesite="lax",
        secure=_address(request, wheel).startswith("https:"),
    )  # fmt: skip
    return answer


def _sign_ins(request: Request) -> oidc.SignIns:
    found: oidc.SignIns = request.scope["flywheel.host"].state.sign_ins
    return found


def _candidates(request: Request) -> dict[str, Flywheel]:
    wheels: dict[str, Flywheel] = request.scope["flywheel.host"].state.wheels
    named = request.scope.get("flywheel")
    return {name: wheel for name, wheel in wheels.items() if named in (None, name)}


def _address(request: Request, wheel: Flywheel) -> str:
    """How browsers reach this server, without a slash at the end."""
    told = wheel.config.oidc.address.rstrip("/")
    return told or f"{request.url.scheme}://{request.headers.get('host', '')}"


def _onward(request: Request) -> str:
    """Where to go on to: only a path of this server."""
    named = request.scope.get("flywheel")
    path: Any = request.query_params.get("next") or (f"/flywheels/{named}/" if named else "/")
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
