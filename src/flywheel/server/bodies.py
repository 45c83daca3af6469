"""Reading a request's body: bounded in memory as it arrives, and again as it inflates."""

from __future__ import annotations

import zlib
from typing import Any

from starlette.requests import Request

from flywheel.errors import TooLarge, Undecodable, UnsupportedMedia

__all__ = ["media_type", "read_body", "release"]

_STEP = 256 * 1024
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case; empty where none was given."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


async def read_body(request: Request, *, limit: int | None = None) -> bytearray:
    """Read the body, inflated where it is gzip or deflate; at most `limit` bytes (default: `server.max_body_bytes`).

    What it holds counts against the server's queue until the request is answered, so that many large requests at once
    are turned away before they fill the memory. Raises `TooLarge`, `Undecodable`, `UnsupportedMedia` or `Overloaded`.
    """
    queue = request.app.state.queue
    most = limit or queue.settings.max_body_bytes
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in (*_ENCODINGS, "identity", ""):
        raise UnsupportedMedia(f"the content encoding {encoding[:40]!r} is not spoken here. Send gzip, deflate or none")
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise _too_large(most)
    inflate = _Inflate(_ENCODINGS[encoding], most) if encoding in _ENCODINGS else None
    body = bytearray()
    async for chunk in request.stream():
        before = len(body)
        if inflate is not None:
            inflate.feed(chunk, body)
        else:
            body += chunk
        if len(body) > most:
            raise _too_large(most)
        _hold(request, queue, len(body) - before)
    if inflate is not None:
        inflate.end()
    return body


def _hold(request: Request, queue: Any, size: int) -> None:
    queue.hold(size)
    request.state.held = getattr(request.state, "held", 0) + size


def release(request: Request) -> None:
    """Give back what the request's body held of the queue."""
    held = getattr(request.state, "held", 0)
    if held:
        request.app.state.queue.release(held)
        request.state.held = 0


class _Inflate:
    """Inflates piece by piece and stops one byte after the limit, whatever was promised."""

    def __init__(self, window: int, most: int) -> None:
        self._window = window
        self._most = most
        self._engine = zlib.decompressobj(window)
        self._begun = False

    def feed(self, chunk: bytes, into: bytearray) -> None:
        data = chunk
        while data:
            self._begun = True
            room = self._most + 1 - len(into)
            if room <= 0:
                raise _too_large(self._most)
            try:
                into += self._engine.decompress(data, min(_STEP, room))
            except zlib.error as problem:
                if self._window == 15 and not into:  # some clients send deflate without its header
                    self._window, self._engine = -15, zlib.decompressobj(-15)
                    continue
                raise Undecodable(f"the body does not inflate ({problem}). Check Content-Encoding") from problem
            if self._engine.eof:
                data = self._engine.unused_data
                if data:  # gzip allows several members one after another
                    self._engine = zlib.decompressobj(self._window)
            else:
                data = self._engine.unconsumed_tail

    def end(self) -> None:
        if self._begun and not self._engine.eof:
            raise Undecodable("the compressed body ends too early. Send the whole of it")


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most:,} bytes after decompression. Send it in several requests")
