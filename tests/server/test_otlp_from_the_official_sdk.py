"""The official OpenTelemetry SDK exports to a running server, and what it meant is in the log."""

import json
import time

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from otlp_server import serving

RESOURCE = Resource({"service.name": "shop", "service.version": "1.4", "deployment.environment.name": "prod"})


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bot") / "bot", task="generation") as pair:
        yield pair


@pytest.fixture
def telemetry(served):
    fw, url = served
    spans = TracerProvider(resource=RESOURCE)
    spans.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip)))
    logs = LoggerProvider(resource=RESOURCE)
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    yield fw, spans.get_tracer("my.instrumentation"), logs.get_logger("my.instrumentation")
    spans.shutdown()
    logs.shutdown()


def ids(span):
    context = span.get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def stored(fw, id):
    return fw._store.log.interactions([id]).get(id)


def test_a_chat_span_of_today_becomes_an_interaction(telemetry):
    fw, tracer, _ = telemetry
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Where is my card?"}]}]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "On its way."}], "finish_reason": "stop"}]
    with tracer.start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.response.id": "chatcmpl-1",
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.output_tokens": 4,
                "gen_ai.request.temperature": 0.2,
                "gen_ai.conversation.id": "conv-7",
                "gen_ai.input.messages": json.dumps(asked),
                "gen_ai.output.messages": json.dumps(said),
                "enduser.id": "ana",
                "device": "ios",
            }
        )
    one = stored(fw, ids(span))
    assert one.input == [{"role": "user", "content": "Where is my card?"}]
    assert one.output == "On its way."
    assert one.model == "gpt-4o-2024-08-06"
    assert one.session == "conv-7"
    assert one.user.startswith("u_")
    assert one.error is None
    assert one.latency_ms is not None
    assert one.context == {
        "provider": "openai",
        "operation": "chat",
        "requested_model": "gpt-4o",
        "tokens_in": 12,
        "tokens_out": 4,
        "temperature": 0.2,
        "finish_reason": "stop",
        "service": "shop",
        "service_version": "1.4",
        "environment": "prod",
        "device": "ios",
    }
    assert one.extra["response_id"] == "chatcmpl-1"


def test_an_exception_becomes_the_error(telemetry):
    fw, tracer, _ = telemetry
    span = tracer.start_span("chat m")
    span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.prompt": "Hi"})
    span.record_exception(TimeoutError("no answer in 30 s"))
    span.set_status(Status(StatusCode.ERROR))
    span.end()
    one = stored(fw, ids(span))
    assert one.error == "TimeoutError: no answer in 30 s"
    assert (one.input, one.output) == ("Hi", None)


def test_other_spans_are_counted_and_not_kept(telemetry):
    fw, tracer, _ = telemetry
    before = fw.books()
    with tracer.start_as_current_span("GET /cards") as span:
        span.set_attribute("http.request.method", "GET")
    with tracer.start_as_current_span("embeddings m") as embedding:
        embedding.set_attributes({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m"})
    after = fw.books()
    assert stored(fw, ids(span)) is None
    assert stored(fw, ids(embedding)) is None
    assert after["other_spans"] - before.get("other_spans", 0) == 2
    assert after["received"] == before["received"]


def test_an_evaluation_event_becomes_feedback_about_its_span(telemetry):
    fw, tracer, logger = telemetry
    with tracer.start_as_current_span("chat m") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.system": "x", "gen_ai.prompt": "Hi"})
        span.add_event(
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": "Relevance",
                "gen_ai.evaluation.score.value": 0.25,
                "gen_ai.evaluation.score.label": "not_relevant",
                "gen_ai.evaluation.explanation": "It changes the subject.",
            },
        )
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                context=trace.set_span_in_context(span),
                event_name="gen_ai.evaluation.result",
                attributes={"gen_ai.evaluation.name": "Toxicity", "gen_ai.evaluation.score.value": 0.0},
            )
        )
    told = {fact.name: fact for fact in fw._store.log.feedback_of([ids(span)])}
    assert {name: fact.value for name, fact in told.items()} == {
        "Relevance": 0.25,
        "Relevance.label": "not_relevant",
        "Toxicity": 0.0,
    }
    assert {fact.source for fact in told.values()} == {"judge"}
    assert told["Relevance"].extra["explanation"] == "It changes the subject."


def test_an_evaluation_that_knows_only_the_response_finds_its_interaction(telemetry):
    fw, tracer, logger = telemetry
    with tracer.start_as_current_span("chat m") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.response.id": "resp-77", "gen_ai.prompt": "Hi"})
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            event_name="gen_ai.evaluation.result",
            attributes={
                "gen_ai.evaluation.name": "Faith",
                "gen_ai.evaluation.score.label": "pass",
                "gen_ai.response.id": "resp-77",
            },
        )
    )
    assert [fact.value for fact in fw._store.log.feedback_of([ids(span)])] == ["pass"]


def test_messages_that_come_as_log_records_join_their_span(telemetry):
    fw, tracer, logger = telemetry

    def call(question, answer, fail=False):
        with tracer.start_as_current_span("chat m") as span:
            span.set_attributes(
                {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.response.model": "gpt-4o"}
            )
            within = trace.set_span_in_context(span)

            def emit(name, body):
                event = LogRecord(
                    timestamp=time.time_ns(), context=within, event_name=name, body=body,
                    attributes={"gen_ai.system": "openai"},
                )  # fmt: skip
                logger.emit(event)

            emit("gen_ai.system.message", {"content": "Be kind."})
            emit("gen_ai.user.message", {"content": question})
            if fail:
                span.set_status(Status(StatusCode.ERROR, "quota"))
            else:
                emit(
                    "gen_ai.choice",
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}},
                )
        return ids(span)

    for question, answer in (("How are you?", "Fine."), ("And now?", "Still fine.")):
        one = stored(fw, call(question, answer))
        assert one.input == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": question}]
        assert one.output == answer
        assert one.model == "gpt-4o"
        assert one.latency_ms is not None
        assert one.context["finish_reason"] == "stop"
    failed = stored(fw, call("Hello?", None, fail=True))
    assert failed.error == "error: quota"
    assert failed.input[-1] == {"role": "user", "content": "Hello?"}
    assert failed.output is None


def test_sent_again_it_is_stored_once(served):
    fw, url = served
    provider = TracerProvider(resource=RESOURCE)
    finished = []
    exporter = OTLPSpanExporter(f"{url}/v1/traces")

    class Keep(SimpleSpanProcessor):
        def on_end(self, span):
            finished.append(span)

    provider.add_span_processor(Keep(exporter))
    with provider.get_tracer("t").start_as_current_span("chat") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.prompt": "once"})
    before = fw.books()
    assert [exporter.export(finished) for _ in range(3)] == [SpanExportResult.SUCCESS] * 3
    after = fw.books()
    assert after["stored"] - before["stored"] == 1
    assert after["duplicates"] - before["duplicates"] == 2
