"""What the middlewares have in common: which requests are captured, bodies up to a bound, and the record they make."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

from flywheel.capture.integrations.teller import Teller, Told
from flywheel.capture.lines import fresh_id

__all__ = ["Capture", "Exchange"]

_TEXT = ("text/", "application/json", "application/x-ndjson", "application/xml", "application/javascript")
_FORM = "application/x-www-form-urlencoded"


class Exchange:
    """A request and its response, as far as they were captured."""

    def __init__(self, method: str, path: str, query: str, headers: Mapping[str, str], most: int) -> None:
        self.id = fresh_id()
        self.method, self.path, self.query = method, path, query
        self.headers = headers
        """The request's, names in lower case."""
        self.status = 0
        self.response_headers: Mapping[str, str] = {}
        self.request = _Body(most)
        self.response = _Body(most)
        self.error: str | None = None
        self.at = datetime.now(UTC)
        self._started = time.perf_counter()
        self.latency_ms = 0.0

    def ended(self) -> None:
        """The last byte of the response has gone out."""
        self.latency_ms = (time.perf_counter() - self._started) * 1000

    @property
    def input(self) -> Any:
        """The request's body: JSON read, a form as a dict, text; for a request without one, its query."""
        if not self.request.size:
            return {name: values[0] if len(values) == 1 else values for name, values in parse_qs(self.query).items()}
        return self.request.read(self.headers)

    @property
    def output(self) -> Any:
        """The response's body: JSON read, or text."""
        return self.response.read(self.response_headers) if self.response.size else None


class _Body:
    """Bytes that pass by, kept up to a bound."""

    def __init__(self, most: int) -> None:
        self.size = 0
        self._most = most
        self._kept = bytearray()

    def keep(self, chunk: bytes) -> None:
        self.size += len(chunk)
        room = self._most - len(self._kept)
        if room > 0:
            self._kept += chunk[:room]

    @property
    def cut(self) -> bool:
        return self.size > len(self._kept)

    def read(self, headers: Mapping[str, str]) -> Any:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        readable = kind.startswith(_TEXT) or kind.endswith("+json") or kind in (_FORM, "")
        if not readable or headers.get("content-encoding", "identity") != "identity":
            return {"content_type": kind, "bytes": self.size}
        text = bytes(self._kept).decode("utf-8", "replace")
        if not self.cut and (kind.endswith("json") or (not kind and text[:1] in ("{", "["))):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return text
        if not self.cut and kind == _FORM:
            return {name: values[0] if len(values) == 1 else values for name, values in parse_qs(text).items()}
        return text


class Capture:
    """Which requests are captured, and the interaction that each becomes.

    `routes`: paths, with `*` for any text (`/chat`, `/v1/*`). `methods`: which HTTP methods. `most_bytes`: how much of
    each body is kept. `fields`: a function from the `Exchange` to more fields (user, session, context, input, ...).
    """

    def __init__(
        self,
        to: Told,
        routes: Iterable[str],
        methods: Iterable[str],
        most_bytes: int,
        fields: Callable[[Exchange], Mapping[str, Any]] | None,
    ) -> None:
        if isinstance(routes, str):
            raise TypeError(f"routes is a list of paths, not one text: [{routes!r}]")
        self.teller = Teller(to)
        self._routes = tuple(routes)
        self._methods = frozenset(method.upper() for method in methods)
        self._most = most_bytes
        self._fields = fields

    def begun(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Exchange | None:
        """An exchange to fill, if this request is one of those that are captured."""
        if method.upper() not in self._methods or not any(fnmatchcase(path, route) for route in self._routes):
            return None
        return Exchange(method, path, query, headers, self._most)

    def finished(self, exchange: Exchange) -> None:
        """Log an exchange. Never raises."""
        self.teller.quietly(lambda: self.teller.to.log(**self._interaction(exchange)))

    def _interaction(self, exchange: Exchange) -> dict[str, Any]:
        error = exchange.error
        output = exchange.output
        if error is None and exchange.status >= 500:
            error = f"http {exchange.status}: {output if isinstance(output, str) else json.dumps(output)}"[:2000]
        fields: dict[str, Any] = {
            "id": exchange.id,
            "at": exchange.at,
            "input": exchange.input,
            "output": output,
            "error": error,
            "latency_ms": exchange.latency_ms or None,
            "context": {"method": exchange.method, "path": exchange.path, "status": exchange.status},
        }
        cut = {f"{name}_bytes": body.size for name, body in _bodies(exchange) if body.cut}
        if cut:
            fields["extra"] = cut
        for name, value in (self._fields(exchange) if self._fields else {}).items():
            fields[name] = {**fields["context"], **value} if name == "context" else value
        return fields


def _bodies(exchange: Exchange) -> tuple[tuple[str, _Body], ...]:
    return (("request", exchange.request), ("response", exchange.response))
