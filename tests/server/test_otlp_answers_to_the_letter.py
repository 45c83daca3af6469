"""What the OTLP routes answer: media types, partial success, `Status`, retryable codes."""

import gzip
import json

import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from serving import served

from flywheel.errors import StoreBusy

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ROUTES = {"/v1/traces": ExportTraceServiceResponse, "/v1/logs": ExportLogsServiceResponse}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("bot") / "bot") as (client, (fw,)):
        yield client, fw


def trace_request(*prompts, spans=1):
    message = ExportTraceServiceRequest()
    inner = message.resource_spans.add().scope_spans.add()
    for number, prompt in enumerate(prompts):
        span = inner.spans.add(trace_id=b"t" * 16, span_id=(number + 1).to_bytes(8, "big"))
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="gen_ai.prompt").value.string_value = prompt
    return message


def post(client, path, body, kind=PROTOBUF, **headers):
    return client.post(path, content=body, headers={"content-type": kind, **headers})


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(("kind", "body"), [(PROTOBUF, b""), (JSON, b"{}"), (JSON, b"")])
def test_an_empty_request_is_a_success_in_its_own_encoding(server, path, kind, body):
    answer = post(server[0], path, body, kind)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    told = ROUTES[path].FromString(answer.content) if kind == PROTOBUF else answer.json()
    assert told == (ROUTES[path]() if kind == PROTOBUF else {})


def test_success_leaves_partial_success_unset(server):
    answer = post(
        server[0], "/v1/traces", gzip.compress(trace_request("a").SerializeToString()), **{"content-encoding": "gzip"}
    )
    assert answer.status_code == 200
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")


def test_partial_success_counts_the_spans_that_were_not_stored(server):
    client, fw = server
    message = trace_request("b", "c", "d")
    spans = message.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id, spans[1].trace_id = b"", b"u" * 16
    spans[2].attributes.add(key="enduser.id").value.string_value = "x" * 10
    before = fw.books()
    answer = post(client, "/v1/traces", message.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200
    assert partial.rejected_spans == 1
    assert "trace id" in partial.error_message
    after = fw.books()
    assert (after["stored"] - before["stored"], after["dead_lettered"] - before["dead_lettered"]) == (2, 1)


def test_partial_success_of_log_records_in_json(server):
    record = {"eventName": "gen_ai.client.inference.operation.details",
              "attributes": [{"key": "gen_ai.prompt", "value": {"stringValue": "x" * 1_500_000}}]}  # fmt: skip
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    answer = post(server[0], "/v1/logs", body, JSON)
    assert answer.status_code == 200
    told = answer.json()["partialSuccess"]
    assert told["rejectedLogRecords"] == "1"
    assert "larger than" in told["errorMessage"]


@pytest.mark.parametrize("path", ROUTES)
def test_bad_data_is_400_with_a_status_and_a_dead_letter(server, path):
    client, fw = server
    before = fw.books()["dead_lettered"]
    answer = post(client, path, b"\xff not protobuf")
    status = Status.FromString(answer.content)
    details = BadRequest()
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROTOBUF)
    assert status.details[0].Unpack(details)
    assert "protobuf" in status.message
    assert details.field_violations[0].description == status.message
    assert "retry-after" not in answer.headers
    assert fw.books()["dead_lettered"] == before + 1

    answer = post(client, path, b'{"broken', JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (400, JSON)
    assert answer.json()["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"


def test_other_content_types_are_415(server):
    answer = post(server[0], "/v1/traces", b"x", "text/plain")
    assert answer.status_code == 415
    assert "application/x-protobuf" in answer.json()["message"]


def test_other_encodings_are_415_and_broken_gzip_is_400(server):
    assert post(server[0], "/v1/traces", b"x", **{"content-encoding": "br"}).status_code == 415
    assert post(server[0], "/v1/traces", b"x", **{"content-encoding": "gzip"}).status_code == 400


def test_what_is_too_large_is_413_and_not_retryable(server):
    bomb = gzip.compress(bytes(30_000_000))
    answer = post(server[0], "/v1/traces", bomb, **{"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert Status.FromString(answer.content).message
    assert "retry-after" not in answer.headers


def test_a_busy_store_is_503_with_retry_after(server, monkeypatch):
    client, fw = server

    def busy(*args, **kwargs):
        raise StoreBusy("another process holds the lock")

    monkeypatch.setattr(fw.intake, "take", busy)
    answer = post(client, "/v1/traces", trace_request("e").SerializeToString())
    status, info = Status.FromString(answer.content), RetryInfo()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert any(detail.Unpack(info) for detail in status.details)


def test_a_key_that_is_none_is_401_with_a_status(tmp_path):
    with served(tmp_path / "bot") as (client, (fw,)):
        fw.keys.create("sdk", ("ingest",))
        answer = post(client, "/v1/traces", trace_request("f").SerializeToString())
        assert answer.status_code == 401
        assert "key" in Status.FromString(answer.content).message


def test_without_consent_spans_are_counted_only(tmp_path):
    with served(tmp_path / "bot", privacy={"consent": "required"}) as (client, (fw,)):
        answer = post(client, "/v1/traces", trace_request("secret words").SerializeToString())
        partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert partial.rejected_spans == 1
        assert "consent" in partial.error_message
        logs = ExportLogsServiceRequest()
        record = logs.resource_logs.add().scope_logs.add().log_records.add(
            trace_id=b"t" * 16, span_id=b"s" * 8, event_name="gen_ai.user.message"
        )  # fmt: skip
        record.attributes.add(key="content").value.string_value = "secret words"
        answer = post(client, "/v1/logs", logs.SerializeToString())
        assert ExportLogsServiceResponse.FromString(answer.content).partial_success.rejected_log_records == 1
        books = fw.books()
        assert (books["stored"], books["rejected"], books["received"]) == (0, 2, 2)


def test_other_spans_and_log_records_are_kept_when_asked(tmp_path):
    with served(tmp_path / "bot", server={"keep_other_spans": True}) as (client, (fw,)):
        message = ExportTraceServiceRequest()
        span = message.resource_spans.add().scope_spans.add().spans.add(
            trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /cards"
        )  # fmt: skip
        span.attributes.add(key="http.route").value.string_value = "/cards"
        assert post(client, "/v1/traces", message.SerializeToString()).status_code == 200
        logs = ExportLogsServiceRequest()
        record = logs.resource_logs.add().scope_logs.add().log_records.add(severity_number=17, severity_text="ERROR")
        record.body.string_value = "payment failed"
        assert post(client, "/v1/logs", logs.SerializeToString()).status_code == 200
        rows = [row.id for row in fw._store.log.read(0)]
        kept = sorted((one.input, one.error) for one in fw._store.log.interactions(rows).values())
        assert kept == [("GET /cards", None), ("payment failed", "ERROR: payment failed")]
