"""Access logs of Apache and nginx: each request is an interaction with the product behind the web server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.log_files import LogFiles, Occurrences, first_lines, stem_of
from flywheel.capture.sources.places import Place, place_of
from flywheel.capture.sources.times import time_of
from flywheel.errors import InvalidConfig

__all__ = ["AccessLog", "parsed"]

_COLUMNS = (
    *("id", "at", "input", "output", "latency_ms", "error", "user"),
    *("context.method", "context.status_class", "context.protocol", "context.referrer_host", "context.agent"),
    *("context.host", "extra.request_id"),
)
_MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0}

# Each repetition ends at a character that it cannot hold itself, so that the time is linear in the line.
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(
    r"(?:(?P<host>[\w.-]+:\d{1,5}) )?"
    r"(?P<client>[^ ]{1,255}) [^ ]{1,255} (?P<auth>.{1,255}?) "
    r"\[(?P<at>[^\]]{20,40})\] "
    rf"{_QUOTED} (?P<status>\d{{3}}|-) (?P<bytes>\d{{1,19}}|-)"
    rf"(?: {_QUOTED} {_QUOTED})?"
    r"(?P<rest>(?: .*)?)\Z"
)
_SPENT = re.compile(r'(?:^|\s)(?:(?:rt|request_time|duration|D|T)=)?"?(\d{1,12}(?:\.\d{1,9})?)(us|ms|s)?"?(?=\s|\Z)')
_REQUEST = re.compile(r"([A-Z][A-Z_-]{1,30}) (\S.*?)(?: (HTTP/\d(?:\.\d)?))?\Z")
_JSON_NAMES = {
    "client": "remote_addr client_ip remote_ip client clientip ip remote_host",
    "auth": "remote_user auth user",
    "at": "time_iso8601 time_local @timestamp timestamp time at msec ts",
    "request": "request request_line",
    "method": "request_method method verb",
    "path": "request_uri uri path url",
    "query": "args query_string query",
    "status": "status status_code response",
    "bytes": "body_bytes_sent bytes_sent bytes size",
    "referrer": "http_referer http_referrer referer referrer",
    "agent": "http_user_agent user_agent agent",
    "seconds": "request_time duration request_duration",
    "protocol": "server_protocol protocol httpversion",
    "host": "host server_name http_host vhost",
    "request_id": "request_id x_request_id",
}
_AGENTS = (
    (re.compile(r"(?i)bot\b|bot/|crawl|spider|slurp|feed|monitor|preview|archiver|check"), "bot"),
    (
        re.compile(r"(?i)^(curl|wget|python|go-http|java|okhttp|axios|node|php|ruby|perl|libwww|httpx|apache-http)"),
        "program",
    ),
    (re.compile(r"Edge?/|EdgA/|EdgiOS/"), "Edge"),
    (re.compile(r"OPR/|Opera"), "Opera"),
    (re.compile(r"Firefox/|FxiOS/"), "Firefox"),
    (re.compile(r"Chrome/|CriOS/|Chromium/"), "Chrome"),
    (re.compile(r"Safari/"), "Safari"),
    (re.compile(r"MSIE |Trident/"), "Internet Explorer"),
)


class AccessLog:
    """The source `access-log`: a file, folder or pattern of access logs, plain or packed, oldest first.

    Common, combined and virtual-host formats, with or without the request's time behind, and nginx's JSON. The input
    is `{method, path, query}`, the output `{status, bytes}`; an answer of 500 or more is an error. The user is who
    logged in, else the client's address (a pseudonym like any user before it is stored), which is kept nowhere else.

    Settings: `time=s`, `ms` or `us` says what a request's time is in. Without it, a number with a decimal point is
    seconds (nginx `$request_time`), and a whole one microseconds (Apache `%D`).

    `done` is the share that has been read, `cursor` how far each file has been; `read(…, after=cursor)` goes on there.
    """

    name = "access-log"

    def __init__(self) -> None:
        self._files: LogFiles | None = None

    @property
    def done(self) -> float:
        """The share of the bytes that has been read."""
        return self._files.done if self._files else 0.0

    @property
    def cursor(self) -> str | None:
        """How far each file has been read; None before the first record."""
        return self._files.cursor if self._files else None

    def recognises(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Why these rows of JSON are requests that nginx wrote; None when they are not."""
        client = _JSON_NAMES["client"].split()
        found = sum(
            any(name in row for name in client) and parsed(json.dumps(row, default=str)) is not None for row in rows
        )
        return f"{found} of its first {len(rows)} rows are requests of a web server" if found * 2 > len(rows) else None

    def columns(self, location: str) -> list[str]:
        """The fields that a request has."""
        self._open(location)
        return list(_COLUMNS)

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield a record for each line; a line that is no request of an access log is unreadable."""
        place, files = self._open(location)
        scale = _MICROSECONDS[place.settings["time"]] if "time" in place.settings else None
        chosen = guess_mapping(_COLUMNS) if mapping is None else mapping
        seen = Occurrences()
        self._files = files
        for path, done in files.after(after):
            stem = stem_of(path)
            if not any(parsed(line) for line in islice(first_lines(path, 50), 50)):
                if len(files.paths) == 1 and first_lines(path, 1):
                    raise InvalidConfig(
                        f"{path.name} does not look like an access log: none of its first lines is a request in the "
                        "common or combined format or nginx's JSON. For other logs use the source log"
                    )
                if done == 0 and first_lines(path, 1):
                    yield _unreadable(path.name, "none of its first lines is a request of an access log", None)
                continue
            for line in files.lines(path):
                if line.problem is None and not line.text.strip():
                    continue
                row = None if line.problem else parsed(line.text, scale)
                stable = seen.id_of(stem, line.text) if row else None
                if line.number <= done:
                    continue
                files.reached(line)
                if row is None:
                    why = line.problem or "it is not a request in the common or combined format or nginx's JSON"
                    yield _unreadable(line.place, why, line.text)
                else:
                    yield shape({"id": stable, **row}, chosen)

    def _open(self, location: str) -> tuple[Place, LogFiles]:
        place = place_of(location, (self.name,), ("time",))
        if place.settings.get("time", "s") not in _MICROSECONDS:
            raise InvalidConfig(f"time={place.settings['time']!r} is not a unit. Write s, ms or us")
        return place, LogFiles(place.path, _began)


def _began(line: str, near: datetime) -> str | None:
    row = parsed(line)
    return str(row["at"]) if row else None


def _unreadable(place: str, problem: str, body: str | None) -> dict[str, Any]:
    told = {"kind": "unreadable", "place": place, "problem": problem}
    return told | {"body": body} if body else told


def parsed(line: str, microseconds: float | None = None) -> dict[str, Any] | None:
    """A line of an access log as the fields of an interaction; None when it is none.

    `microseconds` is how many of them the unit of the request's time has.

    >>> row = parsed('192.0.2.1 - ana [17/May/2026:10:05:03 +0000] "GET /a?b=1 HTTP/1.1" 503 12')
    >>> row["input"], row["output"], row["error"], row["user"]
    ({'method': 'GET', 'path': '/a', 'query': 'b=1'}, {'status': 503, 'bytes': 12}, 'HTTP 503', 'ana')
    """
    if line.startswith("{"):
        return _of_json(line, microseconds)
    found = _LINE.match(line)
    if found is None:
        return None
    at = time_of(found["at"], _NEVER)
    if at is None or datetime.fromisoformat(at).tzinfo is None:
        return None
    request, referrer, agent = (found.group(number) for number in _QUOTED_GROUPS)
    parts = {
        "at": at,
        "request": request,
        "status": found["status"],
        "bytes": found["bytes"],
        "referrer": referrer,
        "agent": agent,
        "client": found["client"],
        "auth": found["auth"].strip('"'),
        "host": found["host"],
    }
    spent = _SPENT.search(found["rest"]) if found["rest"] else None
    if spent:
        unit = microseconds or _MICROSECONDS.get(spent[2]) or (1e6 if "." in spent[1] else 1.0)
        parts["latency_ms"] = float(spent[1]) * unit / 1e3
    return _row(parts)


_QUOTED_GROUPS = tuple(number for number in range(1, _LINE.groups + 1) if number not in set(_LINE.groupindex.values()))
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


def _of_json(line: str, microseconds: float | None) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    given = {str(name).lower(): value for name, value in said.items() if isinstance(value, str | int | float)}
    parts: dict[str, Any] = {}
    for field, names in _JSON_NAMES.items():
        for name in names.split():
            if given.get(name) not in (None, "", "-"):
                parts[field] = str(given[name])
                break
    at = time_of(parts.get("at", ""), _NEVER)
    if at is None or datetime.fromisoformat(at).tzinfo is None or "status" not in parts:
        return None
    parts["at"] = at
    if "request" not in parts:
        if "path" not in parts:
            return None
        protocol = parts.get("protocol", "")
        query = f"?{parts['query']}" if "query" in parts and "?" not in parts["path"] else ""
        parts["request"] = f"{parts.get('method', 'GET')} {parts['path']}{query} {protocol}".rstrip()
    if "seconds" in parts:
        with suppress(ValueError):
            parts["latency_ms"] = float(parts["seconds"]) * (microseconds or 1e6) / 1e3
    return _row(parts)


def _row(parts: dict[str, Any]) -> dict[str, Any]:
    method, path, query, protocol = _request(parts["request"])
    status = int(parts["status"]) if parts["status"].isdigit() else None
    size = int(parts["bytes"]) if str(parts.get("bytes", "-")).isdigit() else None
    latency = parts.get("latency_ms")
    row = {
        "at": parts["at"],
        "input": {"method": method, "path": path, "query": query},
        "output": {name: value for name, value in (("status", status), ("bytes", size)) if value is not None},
        "latency_ms": round(latency, 3) if latency is not None and 0 <= latency < 1e12 else None,
        "error": f"HTTP {status}" if status is not None and status >= 500 else None,
        "user": _said(parts.get("auth")) or _said(parts.get("client")),
        "context.method": method,
        "context.status_class": f"{status // 100}xx" if status is not None else None,
        "context.protocol": protocol,
        "context.referrer_host": _host(_said(parts.get("referrer"))),
        "context.agent": _agent(_said(parts.get("agent"))),
        "context.host": _said(parts.get("host")),
        "extra.request_id": _said(parts.get("request_id")),
    }
    return {name: value for name, value in row.items() if value is not None}


def _request(request: str) -> tuple[str | None, str, str, str | None]:
    """Method, path, query, protocol. What is no HTTP (a TLS greeting on the plain port) is all path."""
    found = _REQUEST.match(request)
    if found is None:
        return None, request, "", None
    path, _, query = found[2].partition("?")
    return found[1], path, query, found[3]


def _said(value: str | None) -> str | None:
    return None if value in (None, "", "-") else value


@lru_cache(maxsize=4096)
def _host(referrer: str | None) -> str | None:
    if referrer is None:
        return None
    try:
        return urlsplit(referrer).hostname
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _agent(agent: str | None) -> str | None:
    """The family of a browser or program: few values, and nobody is known by them."""
    if agent is None:
        return None
    return next((family for pattern, family in _AGENTS if pattern.search(agent)), "other")
