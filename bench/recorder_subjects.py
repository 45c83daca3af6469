"""One subject of `bench/recorder.py`, in a process and an environment of its own: what a call costs the caller.

Each call records the same thing with the SDK's own defaults. Run by `bench/recorder.py`; prints one line of JSON.
`sink` is the loopback server that OpenTelemetry and Langfuse export to: it answers 200 and counts spans.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Call = Callable[[str, float, dict[str, Any]], None]
OUTPUT, CONFIDENCE = "card_arrival", 0.42


def flywheel(url: str, key: str, spool: str | None) -> tuple[Call, Callable[[], None], Callable[[], int | None]]:
    import flywheel

    connection = flywheel.connect(url, key or None, spool=spool)

    def call(text: str, latency: float, context: dict[str, Any]) -> None:
        connection.log(input=text, output=OUTPUT, confidence=CONFIDENCE, latency_ms=latency, context=context)

    return call, lambda: _must(connection.flush(60)), lambda: connection.stats()["delivered"]


def opentelemetry(url: str, key: str, spool: str | None) -> tuple[Call, Callable[[], None], Callable[[], int | None]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    tracer = provider.get_tracer("bench")

    def call(text: str, latency: float, context: dict[str, Any]) -> None:
        with tracer.start_as_current_span("answer") as span:
            span.set_attribute("gen_ai.input.messages", text)
            span.set_attribute("gen_ai.output.messages", OUTPUT)
            span.set_attribute("confidence", CONFIDENCE)
            span.set_attribute("latency_ms", latency)
            for name, value in context.items():
                span.set_attribute(name, value)

    return call, lambda: _must(provider.force_flush(60_000)), lambda: None


def langfuse(url: str, key: str, spool: str | None) -> tuple[Call, Callable[[], None], Callable[[], int | None]]:
    from langfuse import Langfuse

    client = Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=url)

    def call(text: str, latency: float, context: dict[str, Any]) -> None:
        with client.start_as_current_observation(name="answer", as_type="generation", input=text) as generation:
            generation.update(output=OUTPUT, metadata={"confidence": CONFIDENCE, "latency_ms": latency, **context})

    return call, client.flush, lambda: None


def mlflow(url: str, key: str, spool: str | None) -> tuple[Call, Callable[[], None], Callable[[], int | None]]:
    import mlflow

    def call(text: str, latency: float, context: dict[str, Any]) -> None:
        with mlflow.start_span("answer") as span:
            span.set_inputs({"text": text})
            span.set_outputs(OUTPUT)
            span.set_attributes({"confidence": CONFIDENCE, "latency_ms": latency, **context})

    def stored() -> int | None:
        found = next(iter(Path.cwd().glob("*.db")), None)
        if found is None:
            return None
        with sqlite3.connect(found) as database:
            return int(database.execute("select count(*) from trace_info").fetchone()[0])

    return call, mlflow.flush_trace_async_logging, stored


def nothing(url: str, key: str, spool: str | None) -> tuple[Call, Callable[[], None], Callable[[], int | None]]:
    return (lambda text, latency, context: None), (lambda: None), (lambda: None)


def _must(done: bool) -> None:
    if not done:
        raise SystemExit("not everything was exported in a minute: the figures would be those of a full queue")


SUBJECTS = {one.__name__: one for one in (nothing, flywheel, opentelemetry, langfuse, mlflow)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Call after call, `rounds` times `calls`, each timed alone; what is exported between rounds is not timed."""
    call, flush, stored = SUBJECTS[options.subject](options.url, options.key, options.spool or None)
    texts = [
        f"{n:06d} where is my card and why has it not come yet, I ordered it weeks ago already"[:80] for n in range(997)
    ]
    pinned = _pin(0)
    rounds: list[list[int]] = []
    done = 0
    for number in range(options.rounds + 1):
        took = []
        calls = options.calls if number else min(options.calls, 300)  # the first warms up
        for n in range(calls):
            context = {"device": "ios", "network": "4g", "locale": "en_GB", "hour": n % 24}
            text = texts[n % 997]
            if options.pause:
                time.sleep(options.pause)
            started = time.perf_counter_ns()
            call(text, 12.5, context)
            took.append(time.perf_counter_ns() - started)
        flush()
        done += calls
        if number:
            rounds.append(took)
    pooled = [one for took in rounds for one in took]
    return {
        "calls": len(pooled),
        "sent": done,
        "stored": stored(),
        "pinned": pinned,
        "p50_us": _percentile(pooled, 50),
        "p99_us": _percentile(pooled, 99),
        "p999_us": _percentile(pooled, 99.9),
        "mean_us": round(statistics.fmean(pooled) / 1000, 2),
        "p50_us_of_rounds": [_percentile(took, 50) for took in rounds],
        "p99_us_of_rounds": [_percentile(took, 99) for took in rounds],
    }


def _percentile(took: list[int], share: float) -> float:
    ordered = sorted(took)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] / 1000, 2)


def _pin(core: int) -> bool:
    if not hasattr(os, "sched_setaffinity") or core not in os.sched_getaffinity(0):
        return False
    os.sched_setaffinity(0, {core})
    return True


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    spans = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/traces"):
            from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

            asked = ExportTraceServiceRequest.FromString(body)
            _Sink.spans += sum(len(scope.spans) for one in asked.resource_spans for scope in one.scope_spans)
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(str(_Sink.spans).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return


def sink() -> None:
    """Serve until the parent ends; say the address first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=[*SUBJECTS, "sink"])
    parser.add_argument("--url", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--spool", default="")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.0)
    options = parser.parse_args()
    if options.subject == "sink":
        sink()
    else:
        told = measure(options)
        sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
