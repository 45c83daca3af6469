"""Who asks, for which flywheel, and whether they may."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from flywheel.errors import Forbidden, NotFound, Unauthenticated
from flywheel.govern import SCOPES
from flywheel.govern.keys import role_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flywheel.govern import Key
    from flywheel.wheel import Flywheel

__all__ = ["Access", "Doorkeeper", "PrefixChooses", "admit", "is_loopback", "offered_key"]

_FRESH = 2.0  # seconds for which a checked key is believed
_REMEMBERED = 10_000
_PREFIX = "/flywheels/"


@dataclass(frozen=True, slots=True)
class Access:
    """What one request may do: its flywheel, and its scopes.

    `key` says who asks: the key's id, or whom a session belongs to; None where nobody is asked who they are.
    """

    wheel: Flywheel | None
    flywheel: str
    key: str | None
    scopes: tuple[str, ...]


def is_loopback(host: str) -> bool:
    """Is this a name or an address of this machine's own loopback?

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def offered_key(request: Request) -> str | None:
    """The key a request carries: `X-Flywheel-Key`, `X-API-Key`, Bearer, Elasticsearch's ApiKey, or Basic's password."""
    for header in ("x-flywheel-key", "x-api-key"):
        if request.headers.get(header):
            return str(request.headers[header]).strip()
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    kind, value = kind.lower(), value.strip()
    if not value:
        return None
    if kind == "bearer":
        return value
    if kind in ("apikey", "basic"):
        if value.startswith("fw_"):
            return value
        try:
            decoded = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return value
        return decoded.rpartition(":")[2] or decoded
    return None


@dataclass
class Doorkeeper:
    """Knows the flywheels of one server and remembers for two seconds which keys it has seen.

    A flywheel without any key and without an identity provider is open to its own machine only: the request must name
    a loopback host, so that no page in a browser can reach it under another name (DNS rebinding), and must not come
    from another site's page.
    """

    wheels: dict[str, Flywheel]
    _seen: dict[tuple[str, str], tuple[float, Key]] = field(default_factory=dict)
    _open: dict[str, tuple[float, bool]] = field(default_factory=dict)

    async def admit(self, request: Request, scope: str) -> Access:
        """Let a request in that may do what needs `scope`, or raise `Unauthenticated`, `Forbidden` or `NotFound`."""
        named = request.scope.get("flywheel")
        if scope == "public":
            return Access(None, named or "", None, ())
        text, token = offered_key(request), request.scope.get("flywheel.session")
        if named is not None and named not in self.wheels:
            raise self._unknown(named) if text is None else Unauthenticated("this is no key of this server's flywheels")
        candidates = [named] if named is not None else list(self.wheels)
        if text is None and token is not None:
            found = await self._of_session(candidates, token, scope)
            if found is not None:
                return found
        if text is None:
            return await self._without_key(request, candidates)
        for name in candidates:
            key = await self._checked(name, text)
            if key is not None:
                if not key.allows(scope):
                    raise Forbidden(f"the key {key.id} has the scopes {', '.join(key.scopes)}; this needs {scope}")
                return Access(self.wheels[name], name, key.id, key.scopes)
        if all([await self._is_open(name) for name in candidates]):
            return await self._without_key(request, candidates)  # a client that insists on sending some key
        raise Unauthenticated("this is no key of this server's flywheels. Make one with: flywheel keys create")

    async def admit_anybody(self, request: Request) -> Access:
        """Let in a report from somebody who can show no key: a form that a browser sends without JavaScript.

        That is where the flywheel has no key and is asked by its own machine, or has set `[reports] public`. Raises
        `Forbidden`, or `NotFound` where it is not clear which flywheel is meant.
        """
        named = request.scope.get("flywheel")
        candidates = [named] if named is not None else list(self.wheels)
        if named is not None and named not in self.wheels:
            raise self._unknown(named)
        if len(candidates) > 1:
            raise NotFound(f"this server has {len(candidates)} flywheels, and this address names none of them")
        name = candidates[0]
        if not self.wheels[name].config.reports.public:
            if not await self._is_open(name):
                raise Forbidden(
                    "here reports are taken with a key, which this page can send only with JavaScript. Your text is "
                    "still here: copy it, then open the form with JavaScript switched on, or give the text to whoever "
                    "runs this product. They can take reports without it by setting public = true under [reports]"
                )
            _own_machine(request, own_page=True)
        return Access(self.wheels[name], name, None, ())

    async def _of_session(self, candidates: list[str], token: str, scope: str) -> Access | None:
        """What somebody who is signed in may do. Asked of the store each time, so that an end counts at once."""
        for name in candidates:
            try:
                session = await run_in_threadpool(self.wheels[name].sessions.find, token)
            except Unauthenticated:
                continue
            if scope not in session.scopes and "admin" not in session.scopes:
                raise Forbidden(f"{session.who} is signed in as {role_of(session.scopes)}; this needs {scope}")
            return Access(self.wheels[name], name, session.who, session.scopes)
        return None

    async def _without_key(self, request: Request, candidates: list[str]) -> Access:
        name = candidates[0]
        if not all([await self._is_open(candidate) for candidate in candidates]):
            raise Unauthenticated("a key is needed. Send it as `Authorization: Bearer fw_…` or `X-API-Key: fw_…`")
        _own_machine(request)
        if len(candidates) > 1:
            raise NotFound(f"this server has {len(candidates)} flywheels. Say which: {_PREFIX}<name>/…, or send a key")
        return Access(self.wheels[name], name, None, SCOPES)

    async def _checked(self, name: str, text: str) -> Key | None:
        now = time.monotonic()
        known = self._seen.get((name, text))
        if known is not None and now - known[0] < _FRESH:
            return known[1]
        try:
            key = await run_in_threadpool(self.wheels[name].keys.find, text)
        except Unauthenticated:
            self._seen.pop((name, text), None)
            return None
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[name, text] = (now, key)
        return key

    async def _is_open(self, name: str) -> bool:
        now = time.monotonic()
        known = self._open.get(name)
        if known is None or now - known[0] >= _FRESH:
            keyed = bool(self.wheels[name].config.oidc.issuer) or await run_in_threadpool(self.wheels[name].keys.exist)
            known = (now, not keyed)
            self._open[name] = known
        return known[1]

    def _unknown(self, name: str) -> NotFound:
        return NotFound(f"this server has no flywheel {name!r}")


def _own_machine(request: Request, *, own_page: bool = False) -> None:
    """Raise `Forbidden` unless this machine asks, and no other site's page.

    With `own_page` a page of this server counts that sends no origin because it sends no referrer.
    """
    host = request.headers.get("host", "").rpartition("@")[2]
    plain = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    origin = request.headers.get("origin")
    if not is_loopback(plain) or (origin not in (None, "null") and not is_loopback(_host_of(str(origin)))):
        raise Forbidden(
            "without keys this server answers its own machine only, and no other site's pages. Make a key with: "
            "flywheel keys create"
        )
    if origin == "null" and not (own_page and request.headers.get("sec-fetch-site") == "same-origin"):
        raise Forbidden("a page without an origin may not call this server")


def _host_of(origin: str) -> str:
    rest = origin.partition("://")[2].partition("/")[0]
    return rest if rest.endswith("]") else rest.rpartition(":")[0] or rest


async def admit(request: Request, scope: str) -> Access:
    """Ask the application's doorkeeper."""
    keeper: Doorkeeper = request.app.state.doorkeeper
    return await keeper.admit(request, scope)


class PrefixChooses:
    """Middleware: `/flywheels/<name>/v1/…` is `/v1/…` of that flywheel, for every dialect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the prefix off and remember the name."""
        path: Any = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(_PREFIX):
            name, slash, rest = path[len(_PREFIX) :].partition("/")
            if slash:
                scope = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "flywheel": name}
        await self._app(scope, receive, send)
