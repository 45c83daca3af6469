"""An exchange that passed through the proxy → a draft, whatever came of it: an answer, a refusal, an error, a cut."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flywheel.capture.exchanges import draft_of_exchange

__all__ = ["Forwarded", "kept_of", "told_of"]

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


@dataclass(slots=True)
class Forwarded:
    """What is known of one exchange when it has ended. `answer` holds at most `most` bytes of what was passed on."""

    id: str
    path: str
    request: bytes
    at: datetime
    most: int
    status: int = 0
    encoding: str = ""
    answer: bytearray = field(default_factory=bytearray)
    cut: bool = False
    """The answer was longer than what is kept."""
    problem: str | None = None
    """What broke it off: the upstream, or the client that went away."""
    latency_ms: float = 0.0
    first_ms: float | None = None
    """Time to the first byte of the answer."""
    told: dict[str, Any] = field(default_factory=dict)
    """What the client said beside it: user, session, context."""

    def keep(self, chunk: bytes) -> None:
        """Keep a piece of the answer, up to the bound."""
        room = self.most - len(self.answer)
        self.answer += chunk[:room]
        self.cut = self.cut or len(chunk) > room


def kept_of(exchange: Forwarded) -> dict[str, Any]:
    """The draft of an interaction. Never raises for what either side sent: what cannot be read is kept as text."""
    request = _read(exchange.request)
    text = _inflated(exchange)
    draft = draft_of_exchange(request, text) if text or exchange.status == 200 else draft_of_exchange(request, None)
    told = exchange.told
    context = {**draft.get("context", {}), "operation": exchange.path, **told.get("context", {})}
    if exchange.status:
        context["status"] = exchange.status
    if exchange.first_ms is not None:
        context["first_byte_ms"] = round(exchange.first_ms, 3)
    extra = dict(draft.get("extra", {}))
    if exchange.cut:
        extra["answer_cut_at"] = exchange.most
    error = exchange.problem or draft.get("error")
    if error is None and exchange.status >= 400:
        error = f"http {exchange.status}: {text[:500]}".strip()
    draft |= {
        "kind": "interaction", "id": exchange.id, "at": exchange.at, "latency_ms": exchange.latency_ms,
        "context": context, "extra": extra,
    }  # fmt: skip
    if error is not None:
        draft["error"] = error
    for name in ("user", "session"):
        if told.get(name):
            draft[name] = told[name]
    return draft


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _inflated(exchange: Forwarded) -> str:
    body = bytes(exchange.answer)
    window = _WINDOWS.get(exchange.encoding.lower())
    if window is not None and body:
        try:
            body = zlib.decompressobj(window).decompress(body, 4 * exchange.most)
        except zlib.error:
            return f"({len(body)} bytes of {exchange.encoding})"
    return body.decode("utf-8", "replace")


def told_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """What a client says beside its request: `X-Flywheel-User`, `-Session`, and `-Context` (a flat JSON object)."""
    told: dict[str, Any] = {}
    for name in ("user", "session"):
        value = headers.get(f"x-flywheel-{name}")
        if value:
            told[name] = value[:200]
    try:
        context = json.loads(headers.get("x-flywheel-context", "") or "{}")
    except (ValueError, RecursionError):
        context = {}
    if isinstance(context, dict):
        flat = {str(key): value for key, value in context.items() if not isinstance(value, dict | list)}
        if flat:
            told["context"] = flat
    return told
