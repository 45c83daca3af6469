"""OTLP's JSON: proto3's mapping with its exceptions, read into typed structs without building what nobody asks for.

Exceptions: trace and span ids are hexadecimal, in any case; enumerations are numbers, never names; keys are
lowerCamelCase only; unknown keys are ignored. 64-bit integers come as text or as numbers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from flywheel.errors import TooLarge, Undecodable

__all__ = [
    "AnyValue",
    "ArrayValue",
    "KeyValue",
    "KeyValueList",
    "LogRecord",
    "Source",
    "Span",
    "Status",
    "cut",
    "hexadecimal",
    "read",
    "told",
    "too_many",
    "whole",
]

_Whole = int | str | float | None


class AnyValue(msgspec.Struct, gc=False, rename="camel"):
    """One value; at most one of the fields is there."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | float | None = None
    double_value: float | str | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class ArrayValue(msgspec.Struct, gc=False):
    """A list of values."""

    values: list[AnyValue] | None = None


class KeyValue(msgspec.Struct, gc=False):
    """An attribute."""

    key: str = ""
    value: AnyValue | None = None


class KeyValueList(msgspec.Struct, gc=False):
    """A mapping as a list of pairs."""

    values: list[KeyValue] | None = None


class Status(msgspec.Struct, gc=False):
    """How a span ended."""

    code: int | None = None
    message: str | None = None


class Event(msgspec.Struct, gc=False):
    """An event within a span."""

    name: str | None = None
    time: _Whole = msgspec.field(default=None, name="timeUnixNano")
    attributes: list[KeyValue] | None = None


class Span(msgspec.Struct, gc=False, rename="camel"):
    """A span, as it is written."""

    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | None = None
    start: _Whole = msgspec.field(default=None, name="startTimeUnixNano")
    end: _Whole = msgspec.field(default=None, name="endTimeUnixNano")
    attributes: list[KeyValue] | None = None
    events: list[Event] | None = None
    status: Status | None = None


class LogRecord(msgspec.Struct, gc=False, rename="camel"):
    """A log record, as it is written."""

    time: _Whole = msgspec.field(default=None, name="timeUnixNano")
    observed: _Whole = msgspec.field(default=None, name="observedTimeUnixNano")
    severity: int | None = msgspec.field(default=None, name="severityNumber")
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _Nothing(msgspec.Struct, gc=False):
    """Any object, for counting."""


class _Resource(msgspec.Struct, gc=False):
    attributes: list[KeyValue] | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _CountedScopeSpans(msgspec.Struct):
    scope: _Scope | None = None
    records: list[_Nothing] | None = msgspec.field(default=None, name="spans")


class _CountedResourceSpans(msgspec.Struct):
    resource: _Resource | None = None
    scopes: list[_CountedScopeSpans] | None = msgspec.field(default=None, name="scopeSpans")


class _CountedTraces(msgspec.Struct):
    resources: list[_CountedResourceSpans] | None = msgspec.field(default=None, name="resourceSpans")


class _CountedScopeLogs(msgspec.Struct):
    scope: _Scope | None = None
    records: list[_Nothing] | None = msgspec.field(default=None, name="logRecords")


class _CountedResourceLogs(msgspec.Struct):
    resource: _Resource | None = None
    scopes: list[_CountedScopeLogs] | None = msgspec.field(default=None, name="scopeLogs")


class _CountedLogs(msgspec.Struct):
    resources: list[_CountedResourceLogs] | None = msgspec.field(default=None, name="resourceLogs")


class _ScopeSpans(msgspec.Struct):
    records: list[msgspec.Raw] | None = msgspec.field(default=None, name="spans")


class _ResourceSpans(msgspec.Struct):
    scopes: list[_ScopeSpans] | None = msgspec.field(default=None, name="scopeSpans")


class _Traces(msgspec.Struct):
    resources: list[_ResourceSpans] | None = msgspec.field(default=None, name="resourceSpans")


class _ScopeLogs(msgspec.Struct):
    records: list[msgspec.Raw] | None = msgspec.field(default=None, name="logRecords")


class _ResourceLogs(msgspec.Struct):
    scopes: list[_ScopeLogs] | None = msgspec.field(default=None, name="scopeLogs")


class _Logs(msgspec.Struct):
    resources: list[_ResourceLogs] | None = msgspec.field(default=None, name="resourceLogs")


_count = {
    "traces": msgspec.json.Decoder(_CountedTraces).decode,
    "logs": msgspec.json.Decoder(_CountedLogs).decode,
}
_slice = {"traces": msgspec.json.Decoder(_Traces).decode, "logs": msgspec.json.Decoder(_Logs).decode}
_record = {"traces": msgspec.json.Decoder(Span).decode, "logs": msgspec.json.Decoder(LogRecord).decode}


@dataclass(slots=True)
class Source:
    """What stands around some records: the resource's attributes and the scope's name."""

    attributes: list[KeyValue] | None
    scope: str


def cut(body: bytes, signal: str, most_records: int, most_objects: int) -> Iterator[tuple[Source, list[Any]]]:
    """Cut a request into its records, each still bytes, by resource and scope.

    The body is read twice: first to count, when a record costs sixteen bytes, then to cut.
    """
    if body.count(b"{") > most_objects:
        raise TooLarge(f"the request holds more than {most_objects:,} JSON objects. Send smaller batches")
    counted = _decoded(_count[signal], body, "request")
    resources = counted.resources or []
    total = sum(len(scope.records or ()) for resource in resources for scope in resource.scopes or ())
    if total > most_records:
        raise too_many(most_records)
    if not total:
        return
    cuts = _decoded(_slice[signal], body, "request").resources
    for resource, sliced in zip(resources, cuts, strict=True):
        attributes = resource.resource.attributes if resource.resource else None
        for scope, records in zip(resource.scopes or (), sliced.scopes or (), strict=True):
            if records.records:
                name = (scope.scope.name if scope.scope else None) or ""
                yield Source(attributes, name), records.records


def read(raw: memoryview, signal: str) -> Any:
    """Read one record: a `Span` or a `LogRecord`."""
    return _decoded(_record[signal], raw, "span" if signal == "traces" else "log record")


def _decoded(decode: Any, body: bytes | memoryview, what: str) -> Any:
    try:
        return decode(body)
    except RecursionError:
        _undecodable(f"a {what} is nested too deep", "Flatten it")
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        _undecodable(f"a {what} is not OTLP's JSON ({problem})", "Send what an OpenTelemetry SDK or Collector writes")


def told(value: AnyValue | None) -> Any:
    """What a value says: a scalar, or an `ArrayValue` or `KeyValueList` that is read on."""
    if value is None:
        return None
    if value.string_value is not None:
        found: Any = value.string_value
    elif value.int_value is not None:
        found = whole(value.int_value, "intValue", signed=True)
    elif value.bool_value is not None:
        found = value.bool_value
    elif value.double_value is not None:
        found = _double(value.double_value)
    elif value.array_value is not None:
        found = value.array_value
    elif value.kvlist_value is not None:
        found = value.kvlist_value
    elif value.bytes_value is not None:
        found = _bytes(value.bytes_value)
    else:
        return None
    if sum(one is not None for one in _fields(value)) > 1:
        _undecodable("a value says two things at once", "Send one of stringValue, intValue, … only")
    return found


def _fields(value: AnyValue) -> tuple[Any, ...]:
    return (
        value.string_value,
        value.int_value,
        value.bool_value,
        value.double_value,
        value.array_value,
        value.kvlist_value,
        value.bytes_value,
    )


def whole(value: _Whole, name: str, *, signed: bool = False) -> int:
    """Read a 64-bit integer, written as a number or as text; nothing is 0."""
    if value is None:
        return 0
    low, high = (-(2**63), 2**63) if signed else (0, 2**64)
    number: int | None = None
    if isinstance(value, str):
        if value.removeprefix("-").isdecimal() and value.isascii() and len(value) < 25:
            number = int(value)
    elif isinstance(value, int):
        number = value
    elif value == value // 1:
        number = int(value)
    if number is None or not low <= number < high:
        _undecodable(f"{name} is {str(value)[:40]!r}, which is no 64-bit integer", 'Write it as text: "1544712660"')
    return number


def hexadecimal(value: str | None, name: str) -> str:
    """Read an id, written in hexadecimal digits of any case; nothing is empty."""
    if not value:
        return ""
    try:
        return bytes.fromhex(value).hex() if value.isalnum() else _undecodable_id(value, name)
    except ValueError:
        _undecodable_id(value, name)


def _undecodable_id(value: str, name: str) -> NoReturn:
    _undecodable(f"{name} is {value[:40]!r}, which is not hexadecimal", "Write ids in hexadecimal, not in base64")


def _double(value: float | str) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            _undecodable(f"doubleValue is {value[:40]!r}, which is no number", 'Write a number, "NaN" or "Infinity"')
    return float(value)


def _bytes(value: str) -> str:
    """Bytes stay the base64 text that they came as, in its standard spelling."""
    try:
        plain = value.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64encode(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)).decode()
    except (binascii.Error, ValueError):
        _undecodable(f"bytesValue is {value[:40]!r}, which is not base64", "Write bytes in base64")


def too_many(most: int) -> TooLarge:
    """The error for more records than one request may hold."""
    return TooLarge(
        f"the request holds more than {most:,} spans or log records. Send smaller batches: "
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE, or send_batch_max_size in the Collector"
    )


def _undecodable(problem: str, fix: str) -> NoReturn:
    raise Undecodable(f"{problem}. {fix}")
