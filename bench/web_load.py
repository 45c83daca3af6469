"""Who looks and who sends while `bench/web.py` measures: pages without a browser, and a steady stream of records."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

__all__ = ["open_pages", "post_steadily"]

_QUERY = re.compile(r"""["']client_id["']: ["']([^"']+)["'], ["']next_message_id["']: (\d+)""")
_MADE = re.compile(r"made (\d+\.\d+)")


class _Page:
    """One open page: its socket is held and acknowledged as the page's own script does."""

    def __init__(self, base: str, path: str) -> None:
        import socketio

        self._base, self._path = base, path
        self._socket = socketio.AsyncClient(reconnection=False)
        self._socket.on("*", self._heard)
        self._next = 0
        self._newest = 0.0
        self._client = ""
        self.behind: float | None = None

    async def open(self, session: Any) -> None:
        """Fetch the page and hold its socket."""
        async with session.get(self._base + self._path, headers={"accept": "text/html"}) as answer:
            found = _QUERY.search(await answer.text())
        if found is None:
            raise SystemExit(f"{self._path} is no page of the dashboard any more")
        self._client, self._next = found[1], int(found[2])
        said = {
            "client_id": self._client, "next_message_id": self._next, "implicit_handshake": "true",
            "document_id": str(uuid.uuid4()), "tab_id": str(uuid.uuid4()),
        }  # fmt: skip
        await self._socket.connect(
            f"{self._base}?{urlencode(said)}",
            transports=["websocket"],
            socketio_path="/_nicegui_ws/socket.io",
            wait_timeout=30,
        )

    async def _heard(self, _: str, data: Any = None, *__: Any) -> None:
        if isinstance(data, dict) and "_id" in data:
            self._next = data["_id"] + 1
        newest = max((float(one) for one in _MADE.findall(json.dumps(data))), default=0.0)
        if newest > self._newest:
            if self._newest:
                self.behind = max(self.behind or 0.0, time.time() - self._newest)
            self._newest = newest

    async def acknowledge(self) -> None:
        """Say what has arrived, so that the server need not keep it."""
        if self._socket.connected:
            await self._socket.emit("ack", {"client_id": self._client, "next_message_id": self._next})

    async def close(self) -> float | None:
        """Leave; returns how far the page was behind at most, in seconds, None where it showed nothing twice.

        A page whose socket was lost counts as behind by all the time since.
        """
        if self.behind is not None:
            self.behind = max(self.behind, time.time() - self._newest)
        await self._socket.disconnect()
        return self.behind


async def open_pages(
    base: str, paths: Sequence[str], *, seconds: float, then: Callable[[], Any] | None = None
) -> dict[str, Any]:
    """Hold these pages open for so long: how far `behind` each was at most, and what `then` says before they close."""
    import aiohttp

    pages = [_Page(base, path) for path in paths]
    async with aiohttp.ClientSession() as session:
        for page in pages:
            await page.open(session)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(min(3.0, max(0.0, until - time.monotonic())))
            for page in pages:
                await page.acknowledge()
        said = then() if then else None
        return {"behind": [await page.close() for page in pages], "then": said}


def post_steadily(base: str, rate: int, seconds: float) -> None:
    """Post so many interactions a second in ten batches, each with the moment at which it was made in its input."""
    chance, place = random.Random(0), urlsplit(base)
    begun, sent = time.monotonic(), 0
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    while (passed := time.monotonic() - begun) < seconds:
        due = int(passed * rate) - sent
        if due < rate // 10:
            time.sleep(0.01)
            continue
        due = min(due, rate)
        now = time.time()
        body = json.dumps([_record(chance, now) for _ in range(due)])
        connection.request("POST", "/v1/interactions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise SystemExit(f"the server answered {answer.status}: {told[:200]!r}")
        sent += due
    print(f"  sent {sent:,} in {time.monotonic() - begun:.1f} s, {sent / (time.monotonic() - begun):,.0f} a second")


def _record(chance: random.Random, now: float) -> dict[str, Any]:
    sure = chance.betavariate(8, 2)
    return {
        "id": str(uuid.uuid4()), "input": f"where is my card, made {now:.3f}", "output": "card",
        "confidence": round(sure, 3), "latency_ms": 12.5, "model": "v-now", "user": f"u{chance.randrange(5000)}",
        "context": {"device": chance.choice(("ios", "android", "web")), "network": chance.choice(("4g", "wifi", "3g"))},
    }  # fmt: skip
