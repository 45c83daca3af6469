"""One request to the server and what its answer asks of us: the HTTP of the recorder, with the standard library."""

from __future__ import annotations

import gzip
import json
import random
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from http.client import HTTPConnection

__all__ = ["Answer", "Delivery", "Patience", "checked_url"]

_STALE = 20.0  # seconds after which an idle connection is not used again: servers close theirs after 30 or more
_SMALL = 1024  # bytes that are not worth compressing
_MOST_ANSWER = 256 * 1024
_LONGEST_WAIT = 300.0
_WORDS = re.compile(r"[^\x20-\x7e]")


def checked_url(url: str) -> SplitResult:
    """Check the address of a server: `http(s)://host[:port][/prefix]`. Raises `InvalidConfig`."""
    fix = "Write it as https://flywheel.example.org, or http://127.0.0.1:8377"
    try:
        parts = urlsplit(url.strip())
        port_is_good = parts.port is None or parts.port > 0
    except (ValueError, AttributeError) as problem:
        raise InvalidConfig(f"{url!r} is no address of a server ({problem}). {fix}") from problem
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_good or parts.query or parts.fragment:
        raise InvalidConfig(f"{url!r} is no address of a server. {fix}")
    if parts.username or parts.password:
        raise InvalidConfig("the address holds a login, which would end up in logs. Pass the key as key=")
    return parts


class Answer(NamedTuple):
    """What became of a request. `fate`: `taken`, `later`, `smaller` (split it), `refused` (it will never be taken)."""

    fate: str
    problem: str = ""
    wait: float | None = None
    """Seconds the server asks for."""
    counts: Mapping[str, int] = MappingProxyType({})
    errors: Sequence[str] = ()


class Patience:
    """How long to wait after a failure: full jitter over an exponential limit, and never less than the server asks.

    Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): of the ways to spread the retries
    of many clients, choosing uniformly from the whole interval makes the least work and finishes soonest.
    """

    def __init__(self, first: float = 0.5, longest: float = 60.0) -> None:
        self.failures = 0
        self._first, self._longest = first, longest
        self._random = random.Random()

    def wait(self, asked: float | None) -> float:
        """Seconds to wait after one more failure."""
        limit = min(self._longest, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return min(asked or 0.0, _LONGEST_WAIT) + self._random.uniform(0.0, limit)

    def reset(self) -> None:
        """Something went well."""
        self.failures = 0


class Delivery:
    """Posts batches over one connection that is kept open. Used by one thread at a time; it never raises."""

    def __init__(self, url: str, key: str | None, *, timeout: float, compress: bool, version: str) -> None:
        self._parts = checked_url(url)
        self._prefix = self._parts.path.rstrip("/")
        self._timeout = timeout
        self._compress = compress
        self._connection: HTTPConnection | None = None
        self._used = 0.0
        self._target = ""
        self._headers = {"User-Agent": f"flywheel-recorder/{version}", "Accept": "application/json"}
        self._own = secrets.token_hex(12)
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def post(self, path: str, lines: list[bytes], dropped: dict[str, int]) -> Answer:
        """Send lines to `path`, and with them how many records were dropped so far, for which reason.

        They are totals under a name of our own: where an answer was lost, telling them again does not count them twice.
        """
        body = b"\n".join(lines) if lines else b"[]"
        headers = {**self._headers, "Content-Type": "application/x-ndjson" if lines else "application/json"}
        if self._compress and len(body) > _SMALL:
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        if dropped:
            headers |= {"X-Flywheel-Dropped": json.dumps(dropped), "X-Flywheel-Recorder": self._own}
        fresh = self._connection is None or time.monotonic() - self._used > _STALE
        try:
            status, told, text = self._exchange(path, body, headers, fresh)
        except Exception as problem:  # a door: whatever the network does, the product must not notice
            self.close()
            if not fresh and isinstance(problem, ConnectionError):  # the server had closed it in the meantime
                return self.post(path, lines, dropped)
            return Answer("later", f"{type(problem).__name__}: {problem}")
        return _judged(status, told, text)

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """In a forked child: the connection is the parent's, so it is not closed, only left."""
        self._connection = None

    def _exchange(
        self, path: str, body: bytes, headers: dict[str, str], fresh: bool
    ) -> tuple[int, dict[str, str], bytes]:
        if fresh or self._connection is None:
            self.close()
            self._connection, self._target = _connected(self._parts, self._timeout)
        connection = self._connection
        connection.request("POST", f"{self._target}{self._prefix}{path}", body, headers)
        response = connection.getresponse()
        text = response.read(_MOST_ANSWER)
        told = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close or not response.isclosed():
            self.close()
        self._used = time.monotonic()
        return response.status, told, text


def _connected(parts: SplitResult, timeout: float) -> tuple[HTTPConnection, str]:
    """A connection, through the proxy that the environment names if there is one, and what comes before its paths."""
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.request import getproxies, proxy_bypass

    host, port = parts.hostname or "", parts.port
    named = getproxies().get(parts.scheme)
    proxy = urlsplit(named if "//" in named else f"http://{named}") if named and not proxy_bypass(host) else None
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    if proxy is None or not proxy.hostname:
        return kind(host, port, timeout=timeout), ""
    if parts.scheme == "https":
        through = HTTPSConnection(proxy.hostname, proxy.port or 8080, timeout=timeout)
        through.set_tunnel(host, port)
        return through, ""
    return HTTPConnection(proxy.hostname, proxy.port or 8080, timeout=timeout), f"http://{parts.netloc}"


def _judged(status: int, told: dict[str, str], text: bytes) -> Answer:
    said = _json(text)
    if status in (200, 422):  # 422: none could be stored; the server has kept them aside with the reason
        counts = {
            name: value
            for name in ("accepted", "duplicate", "rejected", "dead_lettered")
            if isinstance(value := said.get(name), int)
        }
        given = said.get("errors")
        errors = [str(one.get("reason")) for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        if isinstance(said.get("received"), int):
            return Answer("taken", counts=counts, errors=errors[:20])
        if status == 200:  # a proxy's login page, somebody else's server: nothing is stored there
            return Answer("later", "HTTP 200 without counts: whoever answered is no Flywheel server")
    error = said.get("error")
    words = error.get("message") if isinstance(error, dict) else error
    problem = f"HTTP {status}" + (f": {_WORDS.sub('?', str(words))[:300]}" if words else "")
    if status == 413:
        return Answer("smaller", problem)
    if status in (400, 415, 422):
        return Answer("refused", problem)
    return Answer("later", problem, wait=_retry_after(told.get("retry-after")))


def _json(text: bytes) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _retry_after(value: str | None) -> float | None:
    """Seconds, or a date as HTTP writes it (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value.strip()[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
