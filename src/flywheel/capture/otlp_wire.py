"""OTLP messages → spans and log records, from protobuf and from OTLP's JSON; bounded before anything is built.

Protobuf: `opentelemetry-proto` reads one span or log record at a time; what lies around them (requests, resources,
scopes) is walked here, so that a body of a million empty messages is refused after the first hundred thousand. JSON:
the mapping of proto3 with OTLP's exceptions (ids are hexadecimal, enumerations numbers, unknown fields ignored).
Specification: opentelemetry.io/docs/specs/otlp, version 1.
"""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from flywheel.capture import otlp_json
from flywheel.errors import TooLarge, Undecodable

__all__ = ["MOST_RECORDS", "MOST_VALUES", "LogRecord", "Origin", "Signal", "Span", "TooLong", "records"]

Signal = Literal["traces", "logs"]

MOST_RECORDS = 50_000
"""Spans or log records in one request."""
MOST_VALUES = 250_000
"""Attributes in one request, those of events and within lists counted too."""
MOST_ATTRIBUTES = 10_000
"""Attributes of one span or log record."""
_MOST_FIELDS = 120_000  # fields around the records: resources, scopes, what a newer version may have added
_DEEPEST = 48


@dataclass(slots=True)
class Origin:
    """Where records come from: the resource's attributes, and the instrumentation scope's name."""

    resource: dict[str, Any] = field(default_factory=dict)
    scope: str = ""


@dataclass(slots=True)
class Span:
    """A span. Ids are lower-case hexadecimal, empty where they are missing or invalid; times are nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start: int
    end: int
    failed: bool
    status_message: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    """`{"name", "time", "attributes"}` each."""


@dataclass(slots=True)
class LogRecord:
    """A log record; an event has a name."""

    trace_id: str
    span_id: str
    time: int
    name: str
    severity: int
    severity_text: str
    body: Any
    attributes: dict[str, Any]


@dataclass(slots=True)
class TooLong:
    """A record that was not read, because it is over a limit: why, and how it begins."""

    problem: str
    body: str = ""


def records(
    body: bytes, signal: Signal, *, json: bool, max_record_bytes: int
) -> Iterator[tuple[Origin, Span | LogRecord | TooLong]]:
    """Yield each span or log record with its origin, in order.

    Raises `Undecodable` when the bytes are not such a request, `TooLarge` when they hold more than 50,000 records or
    250,000 attributes. A single record over `max_record_bytes` or 10,000 attributes comes as `TooLong`.
    """
    budget = _Budget()
    if json:
        for origin, raw in otlp_json.cut(body, signal, MOST_RECORDS, 3 * MOST_VALUES):
            here = Origin(budget.attributes(origin.attributes), origin.scope)
            for one in raw:
                yield here, _from_json(memoryview(one), signal, budget, 2 * max_record_bytes)
        return
    for here, begin, end in _cut(body, budget):
        yield here, _from_protobuf(body[begin:end], signal, budget, max_record_bytes + 65_536)


_WITHIN: dict[str, dict[int, str]] = {
    "Span": {9: "KeyValue", 11: "Event", 13: "Link"},
    "LogRecord": {5: "AnyValue", 6: "KeyValue"},
    "Resource": {1: "KeyValue"},
    "Event": {3: "KeyValue"},
    "Link": {4: "KeyValue"},
    "KeyValue": {2: "AnyValue"},
    "AnyValue": {5: "ArrayValue", 6: "KeyValueList"},
    "ArrayValue": {1: "AnyValue"},
    "KeyValueList": {1: "KeyValue"},
}
"""Which fields of a message are messages that there may be many of."""
_CROWD = 65_536  # bytes from which a message's fields are counted before it is read
_MOST_INNER = 60_000  # fields within one record, four an attribute


class _Budget:
    """What a request may still hold."""

    __slots__ = ("fields", "records", "values")

    def __init__(self, fields: int = _MOST_FIELDS) -> None:
        self.fields = fields
        self.records = MOST_RECORDS
        self.values = MOST_VALUES

    def spend(self, values: int) -> None:
        self.values -= values
        if self.values < 0:
            raise TooLarge(
                f"the request holds more than {MOST_VALUES:,} attributes. Send smaller batches: "
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE, or send_batch_max_size in the Collector"
            )

    def attributes(self, given: list[otlp_json.KeyValue] | None) -> dict[str, Any]:
        if not given:
            return {}
        self.spend(len(given))
        return {one.key: self.value(one.value, 0) for one in given}

    def value(self, given: otlp_json.AnyValue | None, depth: int) -> Any:
        told = otlp_json.told(given)
        if isinstance(told, otlp_json.ArrayValue):
            items = told.values or []
            self._deeper(len(items), depth)
            return [self.value(item, depth + 1) for item in items]
        if isinstance(told, otlp_json.KeyValueList):
            pairs = told.values or []
            self._deeper(len(pairs), depth)
            return {pair.key: self.value(pair.value, depth + 1) for pair in pairs}
        return _number(told) if isinstance(told, float) else told

    def _deeper(self, values: int, depth: int) -> None:
        self.spend(values)
        if depth >= _DEEPEST:
            raise Undecodable(f"a value is nested more than {_DEEPEST} deep. Flatten it, or send it as JSON text")

    def protobuf(self, given: Any) -> dict[str, Any]:
        """The attributes of a protobuf message."""
        count = len(given)
        if not count:
            return {}
        self.spend(count)
        found = {}
        for pair in given:
            value = pair.value
            kind = value.WhichOneof("value")
            key = sys.intern(pair.key)  # the same few names again and again
            if kind == "string_value":
                found[key] = value.string_value
            elif kind == "int_value":
                found[key] = value.int_value
            else:
                found[key] = self.any(value, kind, 0)
        return found

    def any(self, value: common_pb2.AnyValue, kind: str | None, depth: int) -> Any:
        if kind is None:
            return None
        told = getattr(value, kind)
        if kind == "double_value":
            return _number(told)
        if kind == "array_value":
            self._deeper(len(told.values), depth)
            return [self.any(item, item.WhichOneof("value"), depth + 1) for item in told.values]
        if kind == "kvlist_value":
            self._deeper(len(told.values), depth)
            return {pair.key: self.any(pair.value, pair.value.WhichOneof("value"), depth + 1) for pair in told.values}
        if kind == "bytes_value":
            return base64.b64encode(told).decode()
        return told


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity: they become text, as proto3's JSON writes them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _valid(id: str, digits: int) -> str:
    """An id of another length, or of zeros only, is invalid: as if there were none."""
    return id if len(id) == digits and id.strip("0") else ""


# --- protobuf ---


def _cut(body: bytes, budget: _Budget) -> Iterator[tuple[Origin, int, int]]:
    """Find the records: where each begins and ends. Both signals have the same shape and field numbers."""
    for number, begin, end in _fields(body, 0, len(body), budget):
        if number != 1:
            continue
        inner = list(_fields(body, begin, end, budget))
        resource = _resource(b"".join(body[a:b] for n, a, b in inner if n == 1), budget)
        for number_2, begin_2, end_2 in inner:
            if number_2 != 2:
                continue
            within = list(_fields(body, begin_2, end_2, budget))
            here = Origin(resource, _scope(b"".join(body[a:b] for n, a, b in within if n == 1)))
            for number_3, begin_3, end_3 in within:
                if number_3 == 2:
                    budget.records -= 1
                    if budget.records < 0:
                        raise otlp_json.too_many(MOST_RECORDS)
                    yield here, begin_3, end_3


def _fields(body: bytes, at: int, end: int, budget: _Budget) -> Iterator[tuple[int, int, int]]:
    """Yield the length-delimited fields of a message: number, where it begins and ends. Others are skipped."""
    group: list[int] = []
    while at < end:
        budget.fields -= 1
        if budget.fields < 0:
            raise TooLarge(f"the request holds more than {_MOST_FIELDS:,} fields around its records. Send it in parts")
        tag, at = _varint(body, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0 or tag >= 1 << 32:
            raise _not_protobuf(at)
        if wire == 2:
            length, at = _varint(body, at, end)
            if length > end - at:
                raise _not_protobuf(at)
            if not group:
                yield number, at, at + length
            at += length
        elif wire == 0:
            _, at = _varint(body, at, end)
        elif wire == 3:
            group.append(number)
            if len(group) > _DEEPEST:
                raise _not_protobuf(at)
        elif wire == 4:
            if not group or group.pop() != number:
                raise _not_protobuf(at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise _not_protobuf(at)
    if at != end or group:
        raise _not_protobuf(at)


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and body[at] < 128:
        return body[at], at + 1
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise _not_protobuf(at)


def _crowded(body: bytes, kind: str) -> bool:
    """Does a message hold more than can be read in bounded memory? An empty field costs two bytes here, fifty there."""
    if len(body) < _CROWD:
        return False
    budget = _Budget(_MOST_INNER)
    waiting = [(kind, 0, len(body), 0)]
    try:
        while waiting:
            outer, begin, end, depth = waiting.pop()
            within = _WITHIN[outer]
            for number, start, stop in _fields(body, begin, end, budget):
                if number in within and depth < 2 * _DEEPEST:
                    waiting.append((within[number], start, stop, depth + 1))
    except TooLarge:
        return True
    return False


def _resource(body: bytes, budget: _Budget) -> dict[str, Any]:
    if _crowded(body, "Resource"):
        raise TooLarge(f"a resource holds more than {MOST_ATTRIBUTES:,} attributes. Send fewer")
    return budget.protobuf(_read(resource_pb2.Resource, body).attributes) if body else {}


def _scope(body: bytes) -> str:
    return str(_read(common_pb2.InstrumentationScope, body).name) if body else ""


def _read(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError as problem:
        raise Undecodable(
            f"the body holds a {kind.DESCRIPTOR.name} that is not valid protobuf ({problem}). "
            "Send what an OpenTelemetry SDK or Collector writes"
        ) from problem


def _from_protobuf(body: bytes, signal: Signal, budget: _Budget, limit: int) -> Span | LogRecord | TooLong:
    if len(body) > limit:
        return _too_long(len(body), limit, body)
    if _crowded(body, "Span" if signal == "traces" else "LogRecord"):
        return TooLong(f"it holds more than {_MOST_INNER:,} fields; at most {MOST_ATTRIBUTES:,} attributes are taken")
    if signal == "traces":
        span = _read(trace_pb2.Span, body)
        count = len(span.attributes)
        if count > MOST_ATTRIBUTES or len(span.events) > MOST_ATTRIBUTES:
            budget.spend(count)
            return _too_wide(max(count, len(span.events)), span.name)
        budget.spend(len(span.events))
        return Span(
            _valid(span.trace_id.hex(), 32),
            _valid(span.span_id.hex(), 16),
            _valid(span.parent_span_id.hex(), 16),
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == 2,
            span.status.message,
            budget.protobuf(span.attributes),
            [
                {"name": event.name, "time": event.time_unix_nano, "attributes": budget.protobuf(event.attributes)}
                for event in span.events
            ],
        )
    record = _read(logs_pb2.LogRecord, body)
    if len(record.attributes) > MOST_ATTRIBUTES:
        budget.spend(len(record.attributes))
        return _too_wide(len(record.attributes), record.event_name)
    attributes = budget.protobuf(record.attributes)
    return LogRecord(
        _valid(record.trace_id.hex(), 32),
        _valid(record.span_id.hex(), 16),
        record.time_unix_nano or record.observed_time_unix_nano,
        record.event_name or _text(attributes.get("event.name")),
        record.severity_number,
        record.severity_text,
        budget.any(record.body, record.body.WhichOneof("value"), 0),
        attributes,
    )


# --- JSON ---


def _from_json(raw: memoryview, signal: Signal, budget: _Budget, limit: int) -> Span | LogRecord | TooLong:
    if len(raw) > limit:
        return _too_long(len(raw), limit, bytes(raw[:65_536]))
    told = otlp_json.read(raw, signal)
    count = len(told.attributes or ())
    if isinstance(told, otlp_json.Span):
        events = told.events or []
        if max(count, len(events)) > MOST_ATTRIBUTES:
            budget.spend(count)
            return _too_wide(max(count, len(events)), told.name or "")
        budget.spend(len(events))
        status = told.status or otlp_json.Status()
        return Span(
            _valid(otlp_json.hexadecimal(told.trace_id, "traceId"), 32),
            _valid(otlp_json.hexadecimal(told.span_id, "spanId"), 16),
            _valid(otlp_json.hexadecimal(told.parent_span_id, "parentSpanId"), 16),
            told.name or "",
            otlp_json.whole(told.start, "startTimeUnixNano"),
            otlp_json.whole(told.end, "endTimeUnixNano"),
            status.code == 2,
            status.message or "",
            budget.attributes(told.attributes),
            [
                {
                    "name": event.name or "",
                    "time": otlp_json.whole(event.time, "timeUnixNano"),
                    "attributes": budget.attributes(event.attributes),
                }
                for event in events
            ],
        )
    if count > MOST_ATTRIBUTES:
        budget.spend(count)
        return _too_wide(count, told.event_name or "")
    attributes = budget.attributes(told.attributes)
    return LogRecord(
        _valid(otlp_json.hexadecimal(told.trace_id, "traceId"), 32),
        _valid(otlp_json.hexadecimal(told.span_id, "spanId"), 16),
        otlp_json.whole(told.time, "timeUnixNano") or otlp_json.whole(told.observed, "observedTimeUnixNano"),
        told.event_name or _text(attributes.get("event.name")),
        told.severity or 0,
        told.severity_text or "",
        budget.value(told.body, 0),
        attributes,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _too_long(size: int, limit: int, body: bytes) -> TooLong:
    return TooLong(
        f"it has {size:,} bytes; at most {limit:,} are taken. Store the large part elsewhere and send a reference "
        "to it, or raise store.max_record_bytes",
        body[:65_536].decode("utf-8", "replace"),
    )


def _too_wide(count: int, name: str) -> TooLong:
    return TooLong(f"it has {count:,} attributes or events; at most {MOST_ATTRIBUTES:,} are taken", name)


def _not_protobuf(at: int) -> Undecodable:
    return Undecodable(
        f"the body is not a protobuf message: it breaks off or goes wrong at byte {at}. "
        "Send what an OpenTelemetry SDK or Collector writes, with Content-Type application/x-protobuf"
    )
