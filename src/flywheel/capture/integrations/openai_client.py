"""The OpenAI client: each call of a chat model is logged with its answer, streamed or whole, and passes untouched."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from flywheel.capture.exchanges import draft_of_exchange, error_text
from flywheel.capture.integrations.teller import Teller, Told, error_of
from flywheel.capture.lines import fresh_id

__all__ = ["watch_openai"]

_MOST_CHUNKS = 20_000
_TRANSPORT = ("extra_headers", "extra_query", "timeout")


def watch_openai(client: Any, to: Told, *, fields: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None) -> Any:
    """Log what an `OpenAI` or `AsyncOpenAI` client is asked and answers; returns the same client::

        client = watch_openai(OpenAI(), connection)

    `chat.completions.create` and `.parse`, `responses.create` and `.parse` are logged: messages, answer, tool calls,
    tokens, latency, time to the first chunk; errors and refusals as the error. A stream yields the same chunks at the
    same moments, and is logged when it ends, is closed or breaks off. The id is the response's own (`response.id`), for
    feedback later. `fields(request)` may give more (user, session, context). A copy made by `client.with_options()` is
    not watched: watch it too.
    """
    teller = Teller(to)
    for resource in (client.chat.completions, client.responses):
        for name in ("create", "parse"):
            method = getattr(resource, name, None)
            if method is not None and not hasattr(method, "__flywheel__"):
                setattr(resource, name, _watched(method, teller, resource, fields))
    return client


def _watched(method: Callable[..., Any], teller: Teller, resource: Any, fields: Any) -> Callable[..., Any]:
    operation = "responses" if "responses" in type(resource).__module__ else "chat"
    provider = _provider(resource)

    def begun(request: dict[str, Any]) -> _Call:
        return _Call(teller, request, operation, provider, fields)

    if inspect.iscoroutinefunction(inspect.unwrap(method)):

        @functools.wraps(method)
        async def watching(*args: Any, **request: Any) -> Any:
            call = teller.quietly(lambda: begun(request))
            try:
                answer = await method(*args, **request)
            except BaseException as problem:
                _failed(call, problem)
                raise
            return answer if call is None else call.answered(answer)

    else:

        @functools.wraps(method)
        def watching(*args: Any, **request: Any) -> Any:
            call = teller.quietly(lambda: begun(request))
            try:
                answer = method(*args, **request)
            except BaseException as problem:
                _failed(call, problem)
                raise
            return answer if call is None else call.answered(answer)

    watching.__flywheel__ = True  # type: ignore[attr-defined]
    return watching


def _failed(call: _Call | None, problem: BaseException) -> None:
    if call is not None:
        call.ended(None, problem)


def _provider(resource: Any) -> str:
    host = str(getattr(getattr(resource._client, "base_url", None), "host", "") or "")
    return "openai" if host in ("", "api.openai.com") else host


class _Call:
    """One call, from its request to the end of its answer."""

    def __init__(self, teller: Teller, request: dict[str, Any], operation: str, provider: str, fields: Any) -> None:
        self._teller = teller
        self._request = {
            name: _plain(value) for name, value in request.items() if name not in _TRANSPORT and _is_given(value)
        }
        self._context = {"operation": operation, "provider": provider}
        self._fields = fields
        self._chunks: list[Any] = []
        self._cut = 0
        self._first: float | None = None
        self._told = False
        self._at = datetime.now(UTC)
        self._started = time.perf_counter()

    def answered(self, answer: Any) -> Any:
        """Note an answer, or look on as it streams; it comes back as the same object."""
        whole = self._teller.quietly(lambda: self._seen(answer))
        if whole is not None:
            self.ended(whole, None)
        return answer

    def _seen(self, answer: Any) -> Any:
        """What was answered, or None as long as it streams."""
        if hasattr(answer, "http_response") and hasattr(answer, "parse"):
            if not self._request.get("stream"):  # asked for with its headers (`with_raw_response`)
                return answer.http_response.json()
            self._raw(answer)
            return None
        if hasattr(answer, "_iterator") and hasattr(answer, "response"):
            self._look_on(answer)
            return None
        return _plain(answer)

    def _raw(self, answer: Any) -> None:
        """A stream asked for with its headers: it begins when it is parsed."""
        parse = answer.parse

        def parsing(*args: Any, **named: Any) -> Any:
            stream = parse(*args, **named)
            self._teller.quietly(lambda: self._look_on(stream) if self._first is None else None)
            return stream

        answer.parse = parsing

    def _look_on(self, stream: Any) -> None:
        """Put a listener between a stream and what it reads from; the stream itself stays the object it is."""
        inner = stream._iterator
        asynchronous = hasattr(inner, "__anext__")
        stream._iterator = self._aheard(inner) if asynchronous else self._heard(inner)
        close = stream.close
        if asynchronous:

            @functools.wraps(close)
            async def closing() -> None:
                await close()
                self._stopped()

        else:

            @functools.wraps(close)
            def closing() -> None:
                close()
                self._stopped()

        stream.close = closing

    def _heard(self, inner: Iterator[Any]) -> Iterator[Any]:
        try:
            for chunk in inner:
                self._chunk(chunk)
                yield chunk
        except GeneratorExit:
            self._stopped()
            raise
        except BaseException as problem:
            self.ended(self._chunks, problem)
            raise
        self.ended(self._chunks, None)

    async def _aheard(self, inner: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for chunk in inner:
                self._chunk(chunk)
                yield chunk
        except GeneratorExit:
            self._stopped()
            raise
        except BaseException as problem:
            self.ended(self._chunks, problem)
            raise
        self.ended(self._chunks, None)

    def _chunk(self, chunk: Any) -> None:
        if self._first is None:
            self._first = (time.perf_counter() - self._started) * 1000
        if len(self._chunks) < _MOST_CHUNKS:
            self._chunks.append(chunk)
        else:
            self._cut += 1

    def _stopped(self) -> None:
        """The product has heard enough."""
        if not self._told:
            self.ended(self._chunks, None, stopped=True)

    def ended(self, answer: Any, problem: BaseException | None, *, stopped: bool = False) -> None:
        """Log the call, once."""
        if self._told:
            return
        self._told = True
        took = (time.perf_counter() - self._started) * 1000
        self._teller.quietly(lambda: self._teller.to.log(**self._interaction(answer, problem, took, stopped)))

    def _interaction(self, answer: Any, problem: BaseException | None, took: float, stopped: bool) -> dict[str, Any]:
        draft = draft_of_exchange(
            self._request, [_plain(one) for one in answer] if isinstance(answer, list) else answer
        )
        draft.pop("kind")
        draft |= {"at": self._at, "latency_ms": took}
        draft.setdefault("id", fresh_id())
        if problem is not None:
            draft["error"] = _error(problem)
        elif stopped:
            draft["extra"] = {**draft.get("extra", {}), "stopped_early": True}
            if draft.get("error", "").startswith("stream:"):
                del draft["error"]  # it did not break off: nobody wanted more of it
        context = {**self._context, **draft.get("context", {})}
        if self._first is not None:
            context["first_chunk_ms"] = self._first
        if self._cut:
            draft["extra"] = {**draft.get("extra", {}), "chunks_left_out": self._cut}
        draft["context"] = {name: value for name, value in context.items() if not isinstance(value, dict | list)}
        for name, value in (self._fields(self._request) if self._fields else {}).items():
            draft[name] = {**draft["context"], **value} if name == "context" else value
        return draft


def _error(problem: BaseException) -> str:
    """What the API said, where the exception carries it."""
    told = error_text(getattr(problem, "body", None))
    kind = type(problem).__name__
    return f"{kind}: {told}" if told else error_of(problem)


def _is_given(value: Any) -> bool:
    """The client has objects of its own for what was left out."""
    return type(value).__name__ not in ("NotGiven", "Omit")


def _plain(value: Any, depth: int = 0) -> Any:
    """The client's objects as JSON; classes (of structured answers) by their name."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json", exclude_unset=True, warnings=False)
    if depth > 60:
        return str(type(value).__name__)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items() if _is_given(one)}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    return getattr(value, "__name__", None) or type(value).__name__
