"""What the OpenAI proxy adds to a call: the same requests straight to an upstream and through the server, in turn.

`make bench-proxy` starts a loopback upstream that answers at once (whole, or as a stream of twenty events) and
`flywheel serve` in front of it, and sends each request both ways, one after the other, so that both meet the same
machine. What is added is the difference of the two latencies' quantiles, to the last byte. Target: 5 ms at p99.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "where is my card " * 10}]}).encode()
WHOLE = json.dumps(
    {"id": "c", "model": "m", "choices": [{"message": {"role": "assistant", "content": "on its way " * 20}}]}
).encode()
EVENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream without a model: reads a request, answers at once, keeps the connection."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        size = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        body = await reader.readexactly(size)
        if b'"stream": true' in body:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE
            )
        await writer.drain()


def upstream() -> int:
    """Start it in a thread; return its port."""
    ready: list[int] = []

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ready.append(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    while not ready:
        time.sleep(0.01)
    return ready[0]


def call(connection: http.client.HTTPConnection, path: str, body: bytes) -> float:
    started = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": "application/json", "Authorization": "Bearer sk-x"})
    answered = connection.getresponse()
    answered.read()
    assert answered.status == 200, answered.status
    return 1000 * (time.perf_counter() - started)


def quantiles(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {name: round(ordered[int(len(ordered) * share)], 3) for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    given = parser.parse_args()
    port = upstream()
    flywheel = str(Path(sys.executable).with_name("flywheel"))
    report: dict[str, object] = {
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "calls": given.calls,
    }
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([flywheel, "init", folder], check=True, stdout=subprocess.DEVNULL)
        server = subprocess.Popen(
            [flywheel, "serve", folder, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "FLYWHEEL_PROXY_UPSTREAM": f"http://127.0.0.1:{port}/v1"},
        )  # fmt: skip
        try:
            assert server.stdout is not None
            text = b""
            while b"}" not in text:
                text += server.stdout.readline()
            through = http.client.HTTPConnection("127.0.0.1", int(json.loads(text)["address"].rpartition(":")[2]))
            direct = http.client.HTTPConnection("127.0.0.1", port)
            for name, body in (("whole", ASK), ("stream", ASK[:-1] + b', "stream": true}')):
                for _ in range(50):
                    call(through, "/openai/v1/chat/completions", body)
                    call(direct, "/v1/chat/completions", body)
                ways: dict[str, list[float]] = {"direct": [], "through": []}
                for _ in range(given.calls):
                    ways["direct"].append(call(direct, "/v1/chat/completions", body))
                    ways["through"].append(call(through, "/openai/v1/chat/completions", body))
                found = {way: quantiles(took) for way, took in ways.items()}
                added = {q: round(found["through"][q] - found["direct"][q], 3) for q in ("p50_ms", "p99_ms")}
                report[name] = {**found, "added": added}
                sys.stdout.write(f"{name:7} adds {added['p50_ms']:.2f} ms at p50, {added['p99_ms']:.2f} ms at p99\n")
        finally:
            server.terminate()
            server.wait()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "proxy.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
