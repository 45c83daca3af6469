"""A proxy that behaves as the worst of networks: connections are cut anywhere, and 503 comes in storms."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter

_HEAD_END = b"\r\n\r\n"
_TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    b"Retry-After: 0\r\nConnection: close\r\n\r\nstorm"
)


class StormProxy:
    """One request a connection. A share `cut` of them is cut: before, inside or after the request, or in the answer.

    During a storm (the last `storm` seconds of every `every`) everybody is turned away with 503.
    """

    def __init__(self, server: int, *, cut: float, every: float = 0.0, storm: float = 0.0, seed: int = 1) -> None:
        self.server, self.cut, self.every, self.storm = server, cut, every, storm
        self.met: Counter[str] = Counter()
        self.next: list[str] = []  # what happens to the next connections, before chance decides again
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(client,), daemon=True).start()

    def _fate(self) -> tuple[str, float]:
        with self._lock:
            if self.next:
                return self.next.pop(0), 0.5
            drawn, share = self._chance.random(), self._chance.random()
            if drawn < self.cut:
                return self._chance.choice(("before", "inside", "unanswered", "half answered", "answered")), share
        return "whole", share

    def _meet(self, client: socket.socket) -> None:
        fate, share = self._fate()
        try:
            client.settimeout(30)
            if fate == "before":
                return self._tear(client, fate)
            request = self._request(client)
            if not request:
                return None
            if self.every and time.monotonic() % self.every > self.every - self.storm:
                self.met["storm"] += 1
                client.sendall(_TURNED_AWAY)
                return None
            with socket.create_connection(("127.0.0.1", self.server), timeout=30) as server:
                if fate == "inside":
                    server.sendall(request[: int(share * len(request))])
                    return self._tear(client, fate)
                server.sendall(request)
                answer = b""
                while chunk := server.recv(65536):
                    answer += chunk
            if fate == "unanswered":
                return self._tear(client, fate)
            if fate == "half answered":
                client.sendall(answer[: int(share * len(answer))])
                return self._tear(client, fate)
            client.sendall(answer)
            if fate == "answered":
                return self._tear(client, fate)
            self.met["whole"] += 1
        except OSError:  # the server is away, or the client has given up
            self.met["away"] += 1
        finally:
            client.close()
        return None

    def _tear(self, client: socket.socket, fate: str) -> None:
        """End a connection with a reset, as a broken network does."""
        self.met[fate] += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _request(self, client: socket.socket) -> bytes:
        """Read one request, and ask the server to close the connection after it."""
        read = b""
        while _HEAD_END not in read:
            chunk = client.recv(65536)
            if not chunk:
                return b""
            read += chunk
        head, _, body = read.partition(_HEAD_END)
        lines = head.split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            chunk = client.recv(65536)
            if not chunk:
                return b""
            body += chunk
        kept = [line for line in lines if not line.lower().startswith(b"connection:")]
        return b"\r\n".join([*kept, b"Connection: close"]) + _HEAD_END + body
