"""JSON documents of log services, as rows: nested values get dotted names, and well-known words their meaning.

The words are those of the Elastic Common Schema and of what common loggers write.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flywheel.capture.mapping import guess_mapping, shape

__all__ = ["columns_of_documents", "is_error", "json_value", "known_as", "record_of", "row_of", "trace_of"]

_WHOLE = frozenset(
    (
        *("input", "output", "context", "metadata", "scores", "probabilities", "extra", "outcome", "request"),
        *("response", "prediction", "answer", "features", "messages"),
    )
)
"""Names at the top that hold one value, however deep it is."""
_DEEPEST = 16

_MEANS = {
    "@timestamp": "at",
    "user.id": "user",
    "user.name": "user",
    "user.email": "user",
    "client.user.name": "user",
    "source.user.name": "user",
    "session.id": "session",
    "error.message": "error",
    "log.level": "context.level",
    "level": "context.level",
    "levelname": "context.level",
    "loglevel": "context.level",
    "severity": "context.level",
    "log.logger": "context.logger",
    "logger": "context.logger",
    "logger_name": "context.logger",
    "thread": "context.thread",
    "thread_name": "context.thread",
    "process.thread.name": "context.thread",
    "trace.id": "extra.trace_id",
    "trace_id": "extra.trace_id",
    "traceid": "extra.trace_id",
    "dd.trace_id": "extra.trace_id",
    "span.id": "extra.span_id",
    "span_id": "extra.span_id",
    "spanid": "extra.span_id",
    "request_id": "extra.request_id",
    "requestid": "extra.request_id",
    "uuid": "extra.uuid",
    "event_id": "extra.event_id",
    "log_id": "extra.log_id",
    "error.stack_trace": "extra.stack_trace",
    "stack_trace": "extra.stack_trace",
}
_ADDRESSES = ("client.ip", "source.ip", "client.address", "source.address", "remote_ip", "remote_addr", "client_ip")
"""Personal data: who asked, where no user is named; never context."""
_ERRORS = frozenset(
    ("error", "err", "e", "critical", "crit", "fatal", "f", "severe", "alert", "emerg", "emergency", "panic", "failure")
)
_TRACE = re.compile(
    r"(?i)\b(trace|span)[_-]?id[\"']?\s{0,2}[=:]\s{0,2}[\"']?"
    r"([0-9a-f]{16,32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
)


def is_error(level: Any) -> bool:
    """Does a level of this name (or of syslog's or pino's number) say that something failed?

    >>> is_error("CRITICAL"), is_error("warn"), is_error(50)
    (True, False, True)
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return 0 <= level <= 3 or level >= 50
    return str(level).strip().lower() in _ERRORS


def trace_of(text: str) -> dict[str, str]:
    """The trace and span ids that a message names."""
    return {f"{found[1].lower()}_id": found[2].lower() for found in _TRACE.finditer(text[:65_536])}


def row_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as a flat row: column → value. Columns that mean a field carry the field's name.

    >>> row_of({"@timestamp": "2026-01-01T00:00:00Z", "event": {"duration": 2000000}, "labels": {"tier": "gold"}})
    {'at': '2026-01-01T00:00:00Z', 'latency_ms': 2.0, 'labels.tier': 'gold'}
    """
    leaves: dict[str, Any] = {}
    _flatten(document, "", leaves, 0)
    row: dict[str, Any] = {}
    address: Any = None
    for name, value in leaves.items():
        if value is None:
            continue
        known = known_as(name)
        if name.lower() in _ADDRESSES:
            address = address or value
        elif name == "event.duration" and isinstance(value, int | float) and not isinstance(value, bool):
            row["latency_ms"] = value / 1e6
        else:
            row.setdefault(known, value)
    if address is not None and "user" not in row and not any(name in row for name in ("user_id", "userid", "username")):
        row["user"] = str(address)
    _web_request(row)
    _failure(row)
    return row


def known_as(name: str) -> str:
    """The column of a row that a document's field of this name becomes."""
    return _MEANS.get(name.lower(), name)


def _flatten(value: Mapping[str, Any], prefix: str, into: dict[str, Any], depth: int) -> None:
    for key, item in value.items():
        name = f"{prefix}{key}"
        whole = depth == 0 and name in _WHOLE
        if isinstance(item, Mapping) and item and not whole and depth < _DEEPEST:
            _flatten(item, f"{name}.", into, depth + 1)
        elif not (isinstance(item, Mapping) and not item):
            into[name] = item


def _web_request(row: dict[str, Any]) -> None:
    """A request of the Elastic Common Schema: what was asked is the input, what was answered the output."""
    path = row.get("url.path") or row.get("url.original")
    method = row.get("http.request.method")
    if "input" in row or path is None or method is None:
        return
    path, _, query = str(path).partition("?")
    row["input"] = {"method": method, "path": path, "query": row.get("url.query") or query}
    status = row.get("http.response.status_code")
    answer = {"status": status, "bytes": row.get("http.response.body.bytes") or row.get("http.response.bytes")}
    row.setdefault("output", {name: value for name, value in answer.items() if value is not None})
    if isinstance(status, int) and status >= 500:
        row.setdefault("error", f"HTTP {status}")
    if "message" in row:
        row["extra.message"] = row.pop("message")
    for name in ("url.path", "url.original", "url.query", "http.response.body.bytes", "http.response.bytes"):
        row.pop(name, None)


def _failure(row: dict[str, Any]) -> None:
    message = row.get("message", row.get("msg", row.get("log")))
    kind = row.pop("error.type", None)
    if kind is not None and "error" in row:
        row["error"] = f"{kind}: {row['error']}"
    elif "error" not in row and is_error(row.get("context.level")):
        row["error"] = (
            f"{row['context.level']}: {str(message).splitlines()[0][:500] if message else kind or 'no message'}"
        )
    elif kind is not None:
        row.setdefault("error", str(kind))
    if isinstance(message, str):
        for name, value in trace_of(message).items():
            row.setdefault(f"extra.{name}", value)


def columns_of_documents(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of some rows, in the order in which they came."""
    found: dict[str, None] = {}
    for row in rows:
        found.update(dict.fromkeys(row))
    return list(found)


def record_of(
    row: Mapping[str, Any], mapping: Mapping[str, str] | None, stable_id: str | None = None
) -> dict[str, Any]:
    """A row as a record. Columns that the mapping does not know, because they came late, are kept as `extra`.

    A row in which no column is the input is a row of features: it is its own input.
    """
    chosen = guess_mapping(row) if mapping is None else mapping
    record = shape(row, chosen)
    used = set(chosen.values())
    used |= {column.split(".")[0] for column in used}
    for name, value in row.items():
        if value is not None and name not in used and name.split(".")[0] not in row.keys() & used:
            part = record.setdefault("extra", {})
            if isinstance(part, dict):
                part[name.removeprefix("extra.").removeprefix("context.")] = value
    if stable_id is not None:
        record.setdefault("id", stable_id)
    return record


def json_value(value: Any) -> Any:
    """A value of a database as JSON: numbers that are none are missing, times and decimals become text and numbers."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return json_value(float(value)) if value.is_finite() else None
    if isinstance(value, datetime):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if hasattr(value, "nanoseconds") and hasattr(value, "months"):  # Arrow's interval
        seconds = value.days * 86_400 + value.nanoseconds / 1e9
        return f"P{value.months}MT{seconds:g}S" if value.months else seconds
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return str(value)
