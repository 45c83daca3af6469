"""Flask and any other WSGI application: chosen routes are logged, and stream as they did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flywheel.capture.integrations.teller import Told, error_of
from flywheel.capture.integrations.web import Capture, Exchange

__all__ = ["WsgiMiddleware"]


class WsgiMiddleware:
    """Logs each request to the chosen routes with its response::

        app.wsgi_app = WsgiMiddleware(app.wsgi_app, to=connection, routes=["/chat"])

    Bodies are kept up to `most_bytes`, JSON read, other text kept as text, anything else described. A body that is a
    list stays that list; one that is made as it is sent is passed on piece by piece. `fields(exchange)` may give more
    (user, session, context). The id under which the exchange is logged is `environ["flywheel.id"]`, for feedback later.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
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

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Run the application, and look on."""
        exchange: Exchange | None = self._capture.teller.quietly(lambda: self._begun(environ))
        if exchange is None:
            return self.app(environ, start_response)
        environ["flywheel.id"] = exchange.id
        environ["wsgi.input"] = _Listening(environ["wsgi.input"], exchange)
        try:
            body = self.app(environ, _watching(exchange, start_response))
        except BaseException as problem:
            exchange.error = error_of(problem)
            exchange.ended()
            self._capture.finished(exchange)
            raise
        if isinstance(body, list | tuple):
            for chunk in body:
                exchange.response.keep(chunk)
            exchange.ended()
            self._capture.finished(exchange)
            return body
        return _Passing(body, exchange, self._capture)

    def _begun(self, environ: Mapping[str, Any]) -> Exchange | None:
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(name):
                headers[name.replace("_", "-").lower()] = environ[name]
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        return self._capture.begun(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers)


def _watching(exchange: Exchange, start_response: Callable[..., Any]) -> Callable[..., Any]:
    def watching(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], Any]:
        exchange.status = int(status[:3]) if status[:3].isdecimal() else 0
        exchange.response_headers = {name.lower(): value for name, value in headers}
        write = start_response(status, headers, *rest)

        def writing(chunk: bytes) -> Any:
            exchange.response.keep(chunk)
            return write(chunk)

        return writing

    return watching


class _Listening:
    """The request's body, read by the application; what it reads is kept."""

    def __init__(self, body: Any, exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def _kept(self, data: bytes) -> bytes:
        self._exchange.request.keep(data)
        return data

    def read(self, *size: int) -> bytes:
        return self._kept(self._body.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._kept(self._body.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._kept(line) for line in self._body.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return (self._kept(line) for line in self._body)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._body, name)
        if name not in ("readinto", "readinto1"):
            return found

        def reading(buffer: Any) -> int:
            size: int = found(buffer)
            self._kept(bytes(memoryview(buffer)[: size or 0]))
            return size

        return reading


class _Passing:
    """The response's body as it is made, passed on piece by piece; logged at its end, or when the server closes it."""

    def __init__(self, body: Iterable[bytes], exchange: Exchange, capture: Capture) -> None:
        self._body = body
        self._pieces = iter(body)
        self._exchange = exchange
        self._capture = capture
        self._told = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._pieces)
        except StopIteration:
            self._finish()
            raise
        except BaseException as problem:
            self._exchange.error = error_of(problem)
            raise
        self._exchange.response.keep(chunk)
        return chunk

    def close(self) -> None:
        """Close the application's body, and log if that was not done."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._finish()

    def _finish(self) -> None:
        if not self._told:
            self._told = True
            self._exchange.ended()
            self._capture.finished(self._exchange)
