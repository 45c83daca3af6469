"""FastAPI, Starlette and any other ASGI application: chosen routes are logged, and stream as they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from flywheel.capture.integrations.teller import Told, error_of
from flywheel.capture.integrations.web import Capture, Exchange

__all__ = ["AsgiMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiMiddleware:
    """Logs each request to the chosen routes with its response::

        app.add_middleware(AsgiMiddleware, to=connection, routes=["/chat"])

    Every message passes through as it is, at once. Of each body at most `most_bytes` are kept: JSON is read, other text
    kept as text, anything else described. `fields(exchange)` may give more (user, session, context). The id under which
    the exchange is logged is `request.state.flywheel_id`, for feedback later. `to` should be a connection: an open
    folder writes to its disk in the event loop.
    """

    def __init__(
        self,
        app: App,
        *,
        to: Told,
        routes: Iterable[str],
        methods: Iterable[str] = ("POST",),
        most_bytes: int = 65_536,
        fields: Callable[[Exchange], Mapping[str, Any]] | None = None,
    ) -> None:
        self.app = app
        self._capture = Capture(to, routes, methods, most_bytes, fields)

    @property
    def unrecorded(self) -> dict[str, int]:
        """What could not be logged, by the kind of trouble."""
        return dict(self._capture.teller.unrecorded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and look on."""
        exchange = None
        if scope["type"] == "http":
            exchange = self._capture.teller.quietly(lambda: self._begun(scope))
        if exchange is None:
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["flywheel_id"] = exchange.id
        try:
            await self.app(scope, _listening(exchange, receive), _watching(exchange, send))
        except BaseException as problem:
            exchange.error = error_of(problem)
            raise
        finally:
            if not exchange.latency_ms:
                exchange.ended()
            self._capture.finished(exchange)

    def _begun(self, scope: Scope) -> Exchange | None:
        path = scope["path"]
        root = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        return self._capture.begun(
            scope["method"], path, scope.get("query_string", b"").decode("latin-1"), _headers(scope["headers"])
        )


def _listening(exchange: Exchange, receive: Receive) -> Receive:
    async def listening() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            exchange.request.keep(message.get("body", b""))
        return message

    return listening


def _watching(exchange: Exchange, send: Send) -> Send:
    async def watching(message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            exchange.status = message.get("status", 0)
            exchange.response_headers = _headers(message.get("headers", ()))
        await send(message)
        if kind == "http.response.body":
            exchange.response.keep(message.get("body", b""))
            if not message.get("more_body", False):
                exchange.ended()

    return watching


def _headers(given: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {bytes(name).decode("latin-1").lower(): bytes(value).decode("latin-1") for name, value in given}
