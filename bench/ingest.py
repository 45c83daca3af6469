"""Durable interactions per second over HTTP: Flywheel beside MLflow tracing and Phoenix, each at its own defaults.

`make bench-ingest` starts each server alone, in a new folder on loopback, and sends it the same records (a question to
a model, its answer, model, tokens, user, session and four context fields) from one client process and from eight, in
batches of one and of a hundred. Before the clock starts, each server gets a few records to warm up with.

Right after the last answer its files are copied, which is what a SIGKILL at that moment would have left: what was
acknowledged and is not in the copy would be *lost*. Then it may go on until nothing more arrives on its disk (at most
45 s): the *stored rate* is what it has stored by then, over the time from the first request to the last record on disk.

All three speak OTLP over HTTP, protobuf; Flywheel is also measured with its own JSON. The figures of one run go
together: compare within it. Peers live in `.bench-venv-ingest`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PEERS = HERE.parent / ".bench-venv-ingest" / "bin"
TEXT = """where is my card i lost it yesterday and the app says pending please help account refund transfer money order
delivery address change cancel subscription price invoice wrong twice charged today phone login code"""
WORDS = TEXT.split()
LOADS = ((8, 100), (1, 100), (8, 1), (1, 1))  # client processes, records a request
PROMISES = {
    "flywheel": "200: on stable storage (one commit, synchronous=FULL)",
    "mlflow": "200: in its database (SQLAlchemy commit)",
    "phoenix": "200: in a queue in memory",
}


# --- the records, the same for everybody ---


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """What a support bot would log."""
    chance = random.Random(seed)
    return [
        {
            "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "input": " ".join(chance.choices(WORDS, k=14)),
            "output": " ".join(chance.choices(WORDS, k=10)),
            "model": "support-bot-3",
            "user": f"user-{chance.randrange(500)}",
            "session": f"session-{chance.randrange(2000)}",
            "confidence": round(chance.random(), 4),
            "latency_ms": round(chance.uniform(5, 900), 2),
            "context": {
                "device": chance.choice(["ios", "android", "web"]),
                "network": chance.choice(["wifi", "4g", "3g"]),
                "locale": chance.choice(["de", "en", "fr"]),
                "tokens_in": chance.randrange(10, 200),
            },
        }
        for _ in range(count)
    ]


def as_json(batch: list[dict[str, Any]]) -> bytes:
    return json.dumps(batch).encode()


def as_spans(batch: list[dict[str, Any]]) -> bytes:
    """The same as OpenTelemetry GenAI spans, one trace each."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for record in batch:
        span = scope.spans.add()
        number = uuid.UUID(record["id"]).bytes
        span.trace_id, span.span_id, span.name, span.kind = number, number[:8], "chat support-bot-3", 3
        span.start_time_unix_nano = 1_790_000_000_000_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + int(record["latency_ms"] * 1e6)
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "own",
            "gen_ai.request.model": record["model"],
            "gen_ai.conversation.id": record["session"],
            "gen_ai.input.messages": json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": record["input"]}]}]
            ),
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": [{"type": "text", "content": record["output"]}]}]
            ),
            "enduser.id": record["user"],
            **{key: value for key, value in record["context"].items() if isinstance(value, str)},
        }
        for key, value in texts.items():
            span.attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
        tokens = AnyValue(int_value=record["context"]["tokens_in"])
        span.attributes.append(KeyValue(key="gen_ai.usage.input_tokens", value=tokens))
    return request.SerializeToString()


# --- the servers ---


@dataclass
class Target:
    """One server: how to start it, where to send, and how to count what it has on disk."""

    name: str
    command: Callable[[Path, int], list[str]]
    path: str
    headers: dict[str, str]
    pack: Callable[[list[dict[str, Any]]], bytes]
    count: Callable[[Path], int]
    environment: Callable[[Path], dict[str, str]]
    ready: str = "/"


def rows(database: Path, question: str) -> int:
    """Count in an SQLite file that its owner was killed over."""
    if not database.exists():
        return 0
    with sqlite3.connect(database, timeout=60) as connection:
        try:
            return int(connection.execute(question).fetchone()[0])
        except sqlite3.DatabaseError:  # no such table yet, or copied in the middle of a write
            return 0


def targets() -> dict[str, Target]:
    flywheel = Path(sys.executable).with_name("flywheel")
    protobuf = {"Content-Type": "application/x-protobuf"}

    def ours(name: str, path: str, headers: dict[str, str], pack: Callable[..., bytes]) -> Target:
        return Target(
            name,
            lambda folder, port: [str(flywheel), "serve", str(folder / "fw"), "--port", str(port)],
            path, headers, pack,
            lambda folder: rows(folder / "fw" / "flywheel.db", "SELECT count(*) FROM facts WHERE kind = 1"),
            lambda folder: {},
            "/healthz",
        )  # fmt: skip

    return {
        "flywheel": ours("flywheel", "/v1/interactions", {"Content-Type": "application/json"}, as_json),
        "flywheel-otlp": ours("flywheel-otlp", "/v1/traces", protobuf, as_spans),
        "mlflow": Target(
            "mlflow",
            lambda folder, port: [str(PEERS / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)],
            "/v1/traces", {**protobuf, "x-mlflow-experiment-id": "0"}, as_spans,
            lambda folder: rows(folder / "mlflow.db", "SELECT count(*) FROM spans"),
            lambda folder: {},
            "/health",
        ),
        "phoenix": Target(
            "phoenix",
            lambda folder, port: [str(PEERS / "phoenix"), "serve"],
            "/v1/traces", protobuf, as_spans,
            lambda folder: rows(folder / "phoenix.db", "SELECT count(*) FROM spans"),
            lambda folder: {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1"},
            "/healthz",
        ),
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(target: Target, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    if target.name.startswith("flywheel"):
        subprocess.run([Path(sys.executable).with_name("flywheel"), "init", folder / "fw"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    extra = target.environment(folder)
    if target.name == "phoenix":
        extra |= {"PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port())}
    with (folder / "server.log").open("wb") as out:
        server = subprocess.Popen(
            target.command(folder, port), cwd=folder, env={**os.environ, **extra}, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", target.ready)
            if connection.getresponse().status < 500:
                return server, port
        except OSError:
            pass
        if server.poll() is not None:
            break
        time.sleep(0.2)
    kill(server)
    raise RuntimeError(f"{target.name} did not start: {(folder / 'server.log').read_text()[-800:]}")


def kill(server: subprocess.Popen[bytes]) -> None:
    """The whole process group at once: some servers have workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def memory_mb(server: subprocess.Popen[bytes]) -> float:
    """Peak resident memory of all its processes."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getpgid(int(folder.name)) == server.pid:
                    status = (folder / "status").read_text()
                    total += int(status.partition("VmHWM:")[2].split()[0])
            except (OSError, ProcessLookupError, IndexError):
                continue
    return total / 1024


# --- the clients ---


def send(port: int, path: str, headers: dict[str, str], bodies: list[bytes], until: float, go: Any, told: Any) -> None:
    """One client process: a request after the other on one connection, as a plain HTTP client does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took: list[float] = []
    acknowledged: list[bool] = []
    go.wait()
    begun = time.perf_counter()
    for body in bodies:
        if time.perf_counter() - begun > until:
            break
        started = time.perf_counter()
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            acknowledged.append(answer.status == 200)
        except OSError:
            acknowledged.append(False)
            connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        took.append(time.perf_counter() - started)
    told.put((took, acknowledged))


def measure(target: Target, clients: int, batch: int, seconds: float, most: int, seed: int) -> dict[str, Any]:
    """One server, one load; killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="flywheel-bench-"))
    try:
        each = max(1, most // clients // batch)
        loads = []
        for client in range(clients):
            found = records(each * batch, seed * 1000 + client)
            loads.append([target.pack(found[n : n + batch]) for n in range(0, len(found), batch)])
        server, port = start(target, folder)
        warm = warmed(target, port, folder, seed)
        go, told = multiprocessing.Barrier(clients + 1), multiprocessing.Queue()
        workers = [
            multiprocessing.Process(target=send, args=(port, target.path, target.headers, load, seconds, go, told))
            for load in loads
        ]
        for worker in workers:
            worker.start()
        go.wait()
        started = time.perf_counter()
        answers = [told.get(timeout=seconds + 120) for _ in workers]
        elapsed = time.perf_counter() - started
        shutil.copytree(folder, left := folder.with_name(folder.name + "-left"))
        at_once = target.count(left) - warm
        stored, until = drained(target, folder, warm, started + elapsed)
        memory = memory_mb(server)
        kill(server)
        for worker in workers:
            worker.join()
        took = sorted(one for times, _ in answers for one in times)
        good = sum(sum(flags) for _, flags in answers) * batch
        whole = until - started
        return {
            "server": target.name,
            "clients": clients,
            "batch": batch,
            "acknowledged": good,
            "stored": stored,
            "lost_by_a_kill": max(0, good - at_once),
            "refused": (len(took) * batch) - good,
            "seconds": round(whole, 2),
            "stored_per_second": round(stored / whole, 1),
            "acknowledged_per_second": round(good / elapsed, 1),
            "p50_ms": round(1000 * took[len(took) // 2], 2),
            "p99_ms": round(1000 * took[min(len(took) - 1, int(len(took) * 0.99))], 2),
            "memory_mb": round(memory),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder.with_name(folder.name + "-left"), ignore_errors=True)


def warmed(target: Target, port: int, folder: Path, seed: int) -> int:
    """Send a few records on many connections: a server's every worker does its first things; return how many landed."""
    for number in range(16):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", target.path, target.pack(records(10, seed * 1000 + 900 + number)), target.headers)
        connection.getresponse().read()
        connection.close()
    return drained(target, folder, 0, time.perf_counter())[0]


def drained(target: Target, folder: Path, before: int, at: float) -> tuple[int, float]:
    """Wait until nothing more arrives on disk; return how many records did, and when the last one was seen."""
    stored, until, begun = target.count(folder) - before, at, time.perf_counter()
    while time.perf_counter() - begun < 45:
        time.sleep(1.0)
        now = target.count(folder) - before
        if now > stored:
            stored, until = now, time.perf_counter()
        elif time.perf_counter() - max(until, begun) > 4:
            break
    return stored, until


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="most time a load may take")
    parser.add_argument("--records", type=int, default=200_000, help="most records of a load at batch 100")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="servers to measure: flywheel flywheel-otlp mlflow phoenix")
    given = parser.parse_args()
    table = []
    wanted = [target for name, target in targets().items() if not given.only or name in given.only]
    names = ("server", "clients", "batch", "stored/s", "p50 ms", "p99 ms", "MB", "lost", "refused")
    widths = (14, 7, 5, 10, 8, 9, 6, 8, 8)
    sys.stdout.write(" ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)) + "\n")
    for clients, batch in LOADS:
        for target in wanted:
            most = given.records if batch > 1 else given.records // 20
            row = measure(target, clients, batch, given.seconds, most, given.seed)
            table.append(row)
            sys.stdout.write(
                f"{row['server']:>14} {clients:>7} {batch:>5} {row['stored_per_second']:>10,.0f} {row['p50_ms']:>8.1f} "
                f"{row['p99_ms']:>9.1f} {row['memory_mb']:>6,} {row['lost_by_a_kill']:>8,} {row['refused']:>8,}\n"
            )
            sys.stdout.flush()
    ours = max((r["stored_per_second"] for r in table if r["server"] == "flywheel" and r["batch"] == 100), default=0.0)
    ours_otlp = max((r["stored_per_second"] for r in table if r["server"] == "flywheel-otlp"), default=0.0)
    peers = max((r["stored_per_second"] for r in table if r["server"] in ("mlflow", "phoenix")), default=0.0)
    report = {
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "seed": given.seed,
        "bytes_per_record": round(len(as_json(records(100, 0))) / 100),
        "promises": PROMISES,
        "rows": table,
        "times_the_better_peer": round(ours / peers, 1) if peers else None,
        "times_the_better_peer_by_otlp": round(ours_otlp / peers, 1) if peers else None,
    }
    if peers:
        said = f"{ours / peers:.1f} times the better peer; by OTLP {ours_otlp / peers:.1f}"
        sys.stdout.write(f"stored rate, best load of each: {said}\n")
    RESULTS.mkdir(exist_ok=True)
    if not given.only:
        (RESULTS / "ingest.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
