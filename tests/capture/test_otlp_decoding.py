"""OTLP in protobuf and in JSON says the same; bytes that are neither are refused, quickly and in bounded memory."""

import base64
import json
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from flywheel.capture.otlp import decode
from flywheel.errors import TooLarge, Undecodable, UnsupportedMedia

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACE, SPAN = bytes(range(16)), bytes(range(1, 9))


def as_json(message):
    """The message in OTLP's JSON, written by protobuf's own library and then given OTLP's exceptions."""
    tree = json_format.MessageToDict(message, use_integers_for_enums=True)
    for outer in tree.get("resourceSpans", tree.get("resourceLogs", [])):
        for inner in outer.get("scopeSpans", outer.get("scopeLogs", [])):
            for record in inner.get("spans", inner.get("logRecords", [])):
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in record:
                        record[key] = base64.b64decode(record[key]).hex().upper()
    return json.dumps(tree).encode()


def value_of(told):
    value = AnyValue()
    if isinstance(told, bool):
        value.bool_value = told
    elif isinstance(told, str):
        value.string_value = told
    elif isinstance(told, int):
        value.int_value = told
    elif isinstance(told, float):
        value.double_value = told
    elif isinstance(told, bytes):
        value.bytes_value = told
    elif isinstance(told, list):
        value.array_value.SetInParent()
        value.array_value.values.extend(value_of(item) for item in told)
    elif isinstance(told, dict):
        value.kvlist_value.SetInParent()
        for key, item in told.items():
            value.kvlist_value.values.add(key=key, value=value_of(item))
    return value


def put(attributes, told):
    for key, value in told.items():
        attributes.add(key=key, value=value_of(value))


def request(*attributes, resource=None, scope="s"):
    message = ExportTraceServiceRequest()
    outer = message.resource_spans.add()
    put(outer.resource.attributes, resource or {"service.name": "shop"})
    inner = outer.scope_spans.add()
    inner.scope.name = scope
    for number, told in enumerate(attributes):
        span = inner.spans.add(
            trace_id=TRACE, span_id=(number + 1).to_bytes(8, "big"), name="chat",
            start_time_unix_nano=1_700_000_000_000_000_000, end_time_unix_nano=1_700_000_000_500_000_000,
        )  # fmt: skip
        put(span.attributes, told)
    return message


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.prompt": "Hi", "gen_ai.completion": "Hello"}

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
SCALARS = st.booleans() | TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from([*CHAT, "user.id", "gen_ai.usage.input_tokens", "device", "llm.model_name", "input.value"]) | TEXT,
    VALUES,
    max_size=6,
)
IDS = st.just(TRACE) | st.binary(max_size=20)


@pytest.mark.slow
@given(st.lists(st.tuples(ATTRIBUTES, IDS, st.integers(0, 2**64 - 1), st.integers(0, 2)), max_size=4), ATTRIBUTES)
def test_protobuf_and_json_say_the_same_of_spans(spans, resource):
    message = request(*(attributes for attributes, *_ in spans), resource=resource)
    for span, (_, trace, end, status) in zip(message.resource_spans[0].scope_spans[0].spans, spans, strict=True):
        span.trace_id, span.end_time_unix_nano, span.status.code = trace, end, status
        event = span.events.add(name="exception", time_unix_nano=end)
        put(event.attributes, {"exception.message": "no"})
    one = decode(message.SerializeToString(), PROTOBUF, "traces", keep_other=True)
    other = decode(as_json(message), JSON, "traces", keep_other=True)
    assert repr(one) == repr(other)
    assert one.records == len(spans)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(ATTRIBUTES, VALUES, st.sampled_from(["", "gen_ai.user.message", "gen_ai.choice", "x"])), max_size=4
    )
)
def test_protobuf_and_json_say_the_same_of_log_records(records):
    message = ExportLogsServiceRequest()
    inner = message.resource_logs.add().scope_logs.add()
    for attributes, body, name in records:
        record = inner.log_records.add(
            trace_id=TRACE, span_id=SPAN, event_name=name, time_unix_nano=1_700_000_000_000_000_000,
            severity_number=17, body=value_of(body),
        )  # fmt: skip
        put(record.attributes, attributes)
    one = decode(message.SerializeToString(), PROTOBUF, "logs", keep_other=True)
    assert repr(one) == repr(decode(as_json(message), JSON, "logs", keep_other=True))


@given(st.binary(max_size=200), st.sampled_from(["traces", "logs"]), st.sampled_from([PROTOBUF, JSON]))
def test_no_bytes_break_the_decoder(body, signal, kind):
    with suppress(Undecodable, TooLarge):
        decode(body, kind, signal)


@given(st.data())
def test_no_damage_to_a_request_breaks_the_decoder(data):
    whole = request(CHAT, {"a": [1, {"b": b"c"}]}).SerializeToString()
    if data.draw(st.booleans()):
        whole = as_json(request(CHAT, {"a": [1, {"b": b"c"}]}))
    body = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for kind in (PROTOBUF, JSON):
        with suppress(Undecodable, TooLarge):
            decode(bytes(body[: data.draw(st.integers(0, len(body)))]), kind, "traces")


def span_json(**fields):
    span = {"traceId": TRACE.hex(), "spanId": SPAN.hex(), "attributes": [], **fields}
    if isinstance(span["attributes"], list):
        said = [{"key": key, "value": {"stringValue": value}} for key, value in CHAT.items()]
        span["attributes"] = [*said, *span["attributes"]]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def test_json_takes_what_the_specification_says():
    body = span_json(
        traceId=TRACE.hex().upper(),
        startTimeUnixNano="1700000000000000000",
        endTimeUnixNano=1700000001000000000,
        kind=3,
        status={"code": 2, "message": "no", "unknown": 1},
        notYetInvented={"deep": [1]},
        parentSpanId=None,
        attributes=[
            {"key": "n", "value": {"intValue": "42"}},
            {"key": "m", "value": {"intValue": 43}},
            {"key": "d", "value": {"doubleValue": "NaN"}},
            {"key": "b", "value": {"bytesValue": "_-8"}},
            {"key": "e", "value": {}},
            {"key": "snake", "value": {"string_value": "is not a name"}},
        ],
    )
    (draft,) = decode(body, f"{JSON}; charset=utf-8", "traces").drafts
    assert draft["at"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert draft["latency_ms"] == 1000.0
    assert draft["error"] == "error: no"
    assert draft["extra"]["trace_id"] == TRACE.hex()
    told = draft["context"]
    assert (told["n"], told["m"], told["d"], told["b"]) == (42, 43, "NaN", "/+8=")
    assert told["e"] is None
    assert told["snake"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "not hexadecimal!"},
        {"traceId": "5b8efff7 98038103 d269b633 813fc60c"},
        {"traceId": "W47/95gDgQPSabYzgT/GDA=="},
        {"kind": "SPAN_KIND_CLIENT"},
        {"status": {"code": "STATUS_CODE_ERROR"}},
        {"startTimeUnixNano": "soon"},
        {"endTimeUnixNano": -1},
        {"endTimeUnixNano": 2**64},
        {"name": 7},
        {"attributes": [{"key": "a", "value": {"intValue": "1.5"}}]},
        {"attributes": [{"key": "a", "value": {"intValue": str(2**63)}}]},
        {"attributes": [{"key": "a", "value": {"bytesValue": "?"}}]},
        {"attributes": [{"key": "a", "value": {"doubleValue": "much"}}]},
        {"attributes": [{"key": "a", "value": {"intValue": 1, "stringValue": "1"}}]},
        {"attributes": [{"key": "a", "value": "text"}]},
        {"attributes": {"a": 1}},
    ],
)
def test_json_that_breaks_the_specification_is_undecodable(fields):
    with pytest.raises(Undecodable):
        decode(span_json(**fields), JSON, "traces")


@pytest.mark.parametrize("trace", [b"", bytes(16), bytes(range(15)), bytes(range(17))])
def test_a_span_with_an_invalid_id_is_told_apart_from_its_good_neighbours(trace):
    message = request(CHAT, CHAT)
    message.resource_spans[0].scope_spans[0].spans[0].trace_id = trace
    bad, good = decode(message.SerializeToString(), PROTOBUF, "traces").drafts
    assert (bad["kind"], bad["place"]) == ("unreadable", "span 0")
    assert good["kind"] == "interaction"


def test_a_log_record_with_an_invalid_id_stands_for_itself():
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add(
        trace_id=bytes(16), span_id=SPAN, event_name="gen_ai.client.inference.operation.details"
    )  # fmt: skip
    put(record.attributes, {**CHAT, "gen_ai.response.id": "resp-1"})
    (draft,) = decode(message.SerializeToString(), PROTOBUF, "logs").drafts
    assert (draft["id"], draft["input"], draft["output"]) == ("resp-1", "Hi", "Hello")


def test_an_empty_request_holds_nothing():
    for body, kind in ((b"", PROTOBUF), (b"", JSON), (b"{}", JSON), (b'{"resourceSpans":[]}', JSON)):
        assert decode(body, kind, "traces").records == 0
    with pytest.raises(UnsupportedMedia):
        decode(b"", "text/plain", "traces")


def test_unknown_fields_and_groups_of_protobuf_are_skipped():
    unknown = b"\xf8\x07\x01" + b"\xfb\x07\x08\x01\xfc\x07" + b"\xfd\x07abcd" + b"\xf9\x07abcdefgh"
    (draft,) = decode(unknown + request(CHAT).SerializeToString() + unknown, PROTOBUF, "traces").drafts
    assert draft["input"] == "Hi"


# --- limits ---


def field(number, body):
    size, head = len(body), bytes([number << 3 | 2])
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + body


def spans_around(body):
    return field(1, field(2, body))


ATTRIBUTE = field(9, field(1, b"a") + field(2, b"\x18\x01"))
GOOD_IDS = field(1, TRACE) + field(2, SPAN)
DEEP = b"".join(b'{"arrayValue":{"values":[' for _ in range(20_000))
BOMBS = {
    "two million empty spans": (spans_around(b"\x12\x00" * 2_000_000), PROTOBUF),
    "two million empty resources": (b"\x0a\x00" * 2_000_000, PROTOBUF),
    "a million attributes over a thousand spans": (
        spans_around(field(2, GOOD_IDS + ATTRIBUTE * 1000) * 1000),
        PROTOBUF,
    ),
    "a million attributes of the resource": (
        field(1, field(1, field(1, b"\x0a\x01a") * 1_000_000) + field(2, field(2, b""))),
        PROTOBUF,
    ),
    "a million empty spans as JSON": (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 1_000_000 + b"{}]}]}]}",
        JSON,
    ),
    "a hundred thousand spans as JSON": (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 100_000 + b"{}]}]}]}",
        JSON,
    ),
    "a million attributes as JSON": (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[' + b'{"key":"a"},' * 1_000_000 + b"{}]}]}]}]}",
        JSON,
    ),
    "numbers for spans": (b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"1," * 2_000_000 + b"1]}]}]}", JSON),
    "brackets a hundred thousand deep": (b'{"resourceSpans":' + b"[" * 100_000, JSON),
    "an unknown field a hundred thousand deep": (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON),
    "a value twenty thousand deep": (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":' + DEEP, JSON,
    ),
    "a varint without an end": (b"\xff" * 1_000_000, PROTOBUF),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_bounded_memory(name):
    body, kind = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises((TooLarge, Undecodable)):
            decode(body, kind, "traces")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_a_span_over_the_limit_is_told_and_its_neighbours_are_not_affected(kind):
    message = request(CHAT, {**CHAT, "gen_ai.prompt": "x" * 300_000}, CHAT)
    body = message.SerializeToString() if kind == PROTOBUF else as_json(message)
    first, second, third = decode(body, kind, "traces", max_record_bytes=100_000).drafts
    assert (first["kind"], second["kind"], third["kind"]) == ("interaction", "unreadable", "interaction")
    assert "max_record_bytes" in second["problem"]


CROWDS = {
    "attributes": b"\x4a\x00" * 500_000,
    "events": b"\x5a\x00" * 500_000,
    "values in a list": field(9, field(2, field(5, b"\x0a\x00" * 500_000))),
    "pairs in a mapping": field(9, field(2, field(6, b"\x0a\x00" * 500_000))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CROWDS)
def test_a_crowded_span_is_told_in_bounded_memory(name):
    body = spans_around(field(2, GOOD_IDS + CROWDS[name]))
    decode(body, PROTOBUF, "traces")
    tracemalloc.start()
    try:
        (draft,) = decode(body, PROTOBUF, "traces").drafts
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert draft["kind"] == "unreadable"
    assert "60,000" in draft["problem"]


def test_deep_protobuf_is_undecodable():
    value = field(1, b"deep")
    for _ in range(60):
        value = field(5, field(1, value))
    body = spans_around(field(2, GOOD_IDS + field(9, field(1, b"a") + field(2, value))))
    with pytest.raises(Undecodable):
        decode(body, PROTOBUF, "traces")
