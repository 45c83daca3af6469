"""A small server that speaks the recorder's side of the wire, keeps what it takes by id, and misbehaves on request."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback(ThreadingHTTPServer):
    """`stored` maps ids to records; `misbehave(request number) -> word` decides what a request meets."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, misbehave=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.misbehave = misbehave or (lambda number: "")
        self.stored = {}
        self.order = []
        self.counts = Counter()
        self.told = Counter()
        self.seen = []
        self.release = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, path, records):
        counts = Counter(received=len(records), accepted=0, duplicate=0, rejected=0, dead_lettered=0)
        errors = []
        for place, record in enumerate(records):
            key = (path, record["id"])
            if record.get("confidence") == 7:
                counts["dead_lettered"] += 1
                errors.append({"index": place, "reason": "confidence: 7 is above 1"})
            elif key in self.stored:
                counts["duplicate" if self.stored[key] == record else "rejected"] += 1
            else:
                self.stored[key] = record
                self.order.append(record)
                counts["accepted"] += 1
        self.counts.update(counts)
        return {**counts, "errors": errors}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        server = self.server
        with server.lock:
            number = server.counts["requests"]
            server.counts["requests"] += 1
        fate = server.misbehave(number)
        if fate == "hang":
            server.release.wait(30)
            return self._cut()
        if fate == "cut":
            return self._cut()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = self.headers["Content-Type"] == "application/x-ndjson"
        records = [json.loads(line) for line in body.splitlines()] if lines else json.loads(body)
        if fate.startswith("small") and len(records) > int(fate[5:]):
            return self._answer(413, {"error": {"message": "too large"}})
        if fate.isdigit():
            return self._answer(int(fate), {"error": {"type": "x", "message": f"says {fate}"}}, {"Retry-After": "0"})
        with server.lock:
            server.seen.append((self.path, dict(self.headers), records))
            answer = server.take(self.path, records)
            server.told |= Counter(json.loads(self.headers.get("X-Flywheel-Dropped", "{}")))  # totals so far
        if fate == "lost":  # stored, but the answer never arrives
            return self._cut()
        return self._answer(
            422 if answer["received"] and answer["received"] == answer["dead_lettered"] else 200, answer
        )

    def _answer(self, status, told, headers=None):
        data = json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.connection.close()

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            return

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def serving(misbehave=None):
    server = Loopback(misbehave)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()


def storm(share, seed, words=("503", "cut", "lost")):
    """Misbehave at a share of all requests, each time in one of these ways."""
    draw = random.Random(seed)
    lock = threading.Lock()

    def misbehave(number):
        with lock:
            return draw.choice(words) if draw.random() < share else ""

    return misbehave


def nowhere():
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
