"""Who may come in: what the session cookie opens, and what every answer to a browser carries.

A cookie names a session of the folder's own store, and the server's doorkeeper asks there each time: signing out, or
revoking the key behind it, ends a session at once, open pages too. The API never sees the cookie.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from flywheel.errors import FlywheelError, Forbidden, NotFound, Unauthenticated
from flywheel.govern.keys import role_of
from flywheel.web.plain import plain

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "PUBLIC", "Door", "admit", "allowed", "denied", "role_of"]

COOKIE = "flywheel_session"
PUBLIC = ("/sign-in", "/sign-in/link", "/sign-in/oidc", "/sign-in/oidc/callback", "/sign-out")
"""What is open to everybody: the ways in, and out."""
_LOOK_AGAIN = 1.0
"""Seconds for which an open page is sent more without asking whether its reader still may."""


async def admit(connection: HTTPConnection, scope: str) -> Any:
    """Ask the server's doorkeeper; what `scope` needs, or `Unauthenticated`, `Forbidden`, `NotFound`."""
    return await connection.scope["flywheel.host"].state.doorkeeper.admit(connection, scope)


class Door:
    """Stands before the pages: same origin only, cookie to session, no socket without a right, security headers.

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
        token = seen.cookies.get(COOKIE)
        if token:
            scope["flywheel.session"] = token
        seen = HTTPConnection(scope)
        socket = "/_nicegui_ws/" in scope["path"]
        if not _same_origin(seen) or (socket and not await allowed(seen)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
                return None
            return await Response("another site's page may not call this", 403)(scope, receive, send)
        if scope["type"] == "websocket":
            watched = _Watched(seen, receive, send)
            return await self._inner(scope, watched.receive, watched.send)
        if socket:
            return await self._inner(scope, receive, send)
        return await self._inner(scope, receive, _Sealed(send))


class _Watched:
    """An open page's socket: closed as soon as its reader may not look any more."""

    def __init__(self, seen: HTTPConnection, receive: Receive, send: Send) -> None:
        self._seen, self._receive, self._send = seen, receive, send
        self._looked, self._over = time.monotonic(), False

    async def receive(self) -> Message:
        """What the page says; nothing of it counts once the session is over."""
        message = await self._receive()
        if message["type"] == "websocket.receive" and not await self._still():
            return {"type": "websocket.disconnect", "code": 4403}
        return message

    async def send(self, message: Message) -> None:
        """What the page is told."""
        if message["type"] == "websocket.send":
            fresh = time.monotonic() - self._looked < _LOOK_AGAIN
            if self._over or (not fresh and not await self._still()):
                return
        elif self._over:
            return
        await self._send(message)

    async def _still(self) -> bool:
        if not self._over:
            self._looked = time.monotonic()
            if not await allowed(self._seen):
                self._over = True
                await self._send({"type": "websocket.close", "code": 4403})
        return not self._over


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


async def allowed(seen: HTTPConnection) -> bool:
    """May whoever asks see anything here at all?"""
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
    inner = '<p><a href="/sign-in">Sign in with another key</a></p>'
    return HTMLResponse(plain("You may not see this", str(problem), inner=inner), status)
