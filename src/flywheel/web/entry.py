"""Who may come in: sign-in by key, the session cookie, and what every answer to a browser carries.

A session stands for a key: the cookie is turned into that key's `Authorization` header, and the server's own doorkeeper
decides, so a revoked key ends its sessions within two seconds. The API never sees the cookie.
"""

from __future__ import annotations

import html
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from nicegui import core
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from flywheel.errors import FlywheelError, Forbidden, NotFound, Unauthenticated

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Door", "Sessions", "add", "admit", "denied", "role_of"]

COOKIE = "flywheel_session"
_LASTS = 12 * 3600.0
_MOST = 10_000
_MOST_BODY = 4096


@dataclass
class Sessions:
    """Who is signed in, in memory: a restart of the server ends every session."""

    _of: dict[str, tuple[float, str]] = field(default_factory=dict)

    def begin(self, key: str) -> str:
        """Remember a key and return the cookie's value."""
        now = time.monotonic()
        self._of = {token: known for token, known in self._of.items() if known[0] > now}
        if len(self._of) >= _MOST:
            self._of.pop(next(iter(self._of)))
        token = secrets.token_urlsafe(32)
        self._of[token] = (now + _LASTS, key)
        return token

    def key(self, token: str | None) -> str | None:
        """The key behind a cookie, while the session lasts."""
        known = self._of.get(token or "")
        return known[1] if known is not None and known[0] > time.monotonic() else None

    def end(self, token: str | None) -> None:
        """Sign out."""
        self._of.pop(token or "", None)


def role_of(scopes: tuple[str, ...]) -> str:
    """What somebody with these scopes is called.

    >>> role_of(("read",)), role_of(("read", "label")), role_of(("read", "admin"))
    ('viewer', 'labeler', 'admin')
    """
    named = (("admin", "admin"), ("release", "releaser"), ("label", "labeler"), ("read", "viewer"))
    return next((role for scope, role in named if scope in scopes), "no role")


async def admit(connection: HTTPConnection, scope: str) -> Any:
    """Ask the server's doorkeeper; what `scope` needs, or `Unauthenticated`, `Forbidden`, `NotFound`."""
    return await connection.scope["flywheel.host"].state.doorkeeper.admit(connection, scope)


class Door:
    """Stands before the pages: same origin only, cookie to key, no socket without a right, and the security headers.

    The policy for scripts is as strict as the toolkit allows. Scripts come from this server or carry the answer's own
    nonce. `unsafe-eval` is needed because the toolkit compiles its templates in the browser; styles may be inline
    because its elements carry `style` attributes. No other origin is loaded from or spoken to.
    """

    def __init__(self, inner: ASGIApp, host: FastAPI) -> None:
        self._inner, self._host = inner, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request or a socket pass, or turn it away."""
        if scope["type"] not in ("http", "websocket"):
            return await self._inner(scope, receive, send)
        scope = dict(scope) | {"flywheel.host": self._host}
        seen = HTTPConnection(scope)
        key = self._host.state.sessions.key(seen.cookies.get(COOKIE))
        if key is not None and "authorization" not in seen.headers:
            scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {key}".encode())]
        seen = HTTPConnection(scope)
        socket = "/_nicegui_ws/" in scope["path"]
        if not _same_origin(seen) or (socket and not await _may_listen(seen)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
                return None
            return await Response("another site's page may not call this", 403)(scope, receive, send)
        if scope["type"] == "websocket" or socket:
            return await self._inner(scope, receive, send)
        return await self._inner(scope, receive, _Sealed(send))


class _Sealed:
    """Sends an answer with the security headers, and its scripts with their nonce."""

    def __init__(self, send: Send) -> None:
        self._send, self._body = send, bytearray()
        self._start: Message = {}
        self._nonce = secrets.token_urlsafe(16)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            page = headers.get("content-type", "").startswith("text/html")
            _seal(headers, self._nonce, page)
            if page:
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = bytes(self._body).replace(b"<script", f'<script nonce="{self._nonce}"'.encode())
            MutableHeaders(scope=self._start)["content-length"] = str(len(body))
            start, self._start = self._start, {}
            await self._send(start)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)


def _seal(headers: MutableHeaders, nonce: str, page: bool) -> None:
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "same-origin"
    if not page:
        return
    headers["cache-control"] = "no-store"
    headers["x-frame-options"] = "DENY"
    headers["cross-origin-opener-policy"] = "same-origin"
    headers["content-security-policy"] = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'none'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _same_origin(seen: HTTPConnection) -> bool:
    origin = seen.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == seen.headers.get("host", "").lower()


async def _may_listen(seen: HTTPConnection) -> bool:
    for scope in ("read", "label", "release"):
        try:
            await admit(seen, scope)
        except Forbidden:
            continue
        except NotFound:
            return True  # open, and of several flywheels: the page has chosen
        except FlywheelError:
            return False
        return True
    return False


def denied(request: Request, problem: Exception) -> Response:
    """Where somebody may not enter: on to the sign-in, or a page that says why."""
    if isinstance(problem, Unauthenticated):
        base = f"/flywheels/{request.scope['flywheel']}" if request.scope.get("flywheel") else ""
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{base}/sign-in?next={quote(base + request.scope['path'] + query, safe='')}", 303)
    status = 404 if isinstance(problem, NotFound) else 403
    return HTMLResponse(_plain("You may not see this", str(problem), "", ""), status)


def add() -> None:
    """Register sign-in and sign-out."""
    core.app.add_route("/sign-in", _sign_in, methods=["GET", "POST"], include_in_schema=False)
    core.app.add_route("/sign-out", _sign_out, methods=["POST"], include_in_schema=False)


async def _sign_in(request: Request) -> Response:
    onward = _local(request.query_params.get("next", "/"))
    if request.method == "GET":
        return HTMLResponse(_plain("Sign in", "", onward, ""))
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BODY:
            return HTMLResponse(_plain("Sign in", "", onward, "That is no key."), 413)
    key = parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0].strip()
    headers = [pair for pair in request.scope["headers"] if pair[0] != b"authorization"]
    tried = HTTPConnection({**request.scope, "headers": [*headers, (b"authorization", b"Bearer " + key.encode())]})
    if not key or not key.isascii() or not await _may_listen(tried):
        words = "This is no key of this server, or it may only send facts. Make one with: flywheel keys create"
        return HTMLResponse(_plain("Sign in", "", onward, words), 401)
    answer = RedirectResponse(onward, 303)
    answer.set_cookie(
        COOKIE, request.scope["flywheel.host"].state.sessions.begin(key), max_age=int(_LASTS), httponly=True,
        samesite="strict", secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


async def _sign_out(request: Request) -> Response:
    request.scope["flywheel.host"].state.sessions.end(request.cookies.get(COOKIE))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _local(path: str) -> str:
    """Only a path of this server: no other site is gone on to."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:0;display:grid;place-items:center;min-height:100vh;background:#fafafa;"  # noqa: E501
    "color:#1c1f24}main{width:min(22rem,90vw)}h1{font-size:1.25rem;margin:0 0 .75rem}label{display:block;margin-bottom:.3rem}"  # noqa: E501
    "input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem .65rem;border:1px solid #8a919b;border-radius:6px;"  # noqa: E501
    "background:inherit;color:inherit}button{margin-top:.75rem;background:#0060a0;color:#fff;border:0}p{margin:.5rem 0}"
    "[role=alert]{color:#b03a00}a{color:#0060a0}@media(prefers-color-scheme:dark){body{background:#121417;color:#e6e8eb}"
    "a{color:#6cb8ee}[role=alert]{color:#f0a070}}"
)


def _plain(title: str, words: str, onward: str, problem: str) -> str:
    """A page that works without scripts."""
    form = (
        f'<form method="post" action="?next={quote(onward, safe="")}"><label for="key">Your key</label>'
        '<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>'
        "<button>Sign in</button></form><p>A key begins with fw_ and comes from whoever runs this flywheel.</p>"
        if onward
        else '<p><a href="/sign-in">Sign in with another key</a></p>'
    )
    alert = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)} · Flywheel</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>{alert}{form}</main></body></html>"
    )
