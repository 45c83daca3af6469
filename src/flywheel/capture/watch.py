"""Watching a product's own functions: each call becomes an interaction, and the function behaves as if nobody looked.

Two rules. The wrapped callable's results, exceptions and protocol (`send`, `throw`, `close`, cancellation) pass
through untouched. And what cannot be recorded is counted and told to the `flywheel` logger, never raised into the
product: this is a door of Flywheel, the one place in this room that stops every error.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from flywheel.capture.checks import plain
from flywheel.capture.drafts import Limits, interaction_of
from flywheel.errors import InvalidRecord

if TYPE_CHECKING:
    from collections import Counter

    from flywheel.capture.recorder import Recorder

__all__ = ["watched"]

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger("flywheel")
_MOST_PIECES = 10_000


class Keeper(Protocol):
    """Where watched calls go: a connection. (A `Recorder` has its own way: it stores them, or keeps a dead letter.)"""

    unrecorded: Counter[str]

    @property
    def max_record_bytes(self) -> int:
        """The largest record that is taken."""
        ...

    def keep_watched(self, fields: dict[str, Any], problem: InvalidRecord | None) -> None:
        """Take the fields of a call, or what was wrong with its input."""
        ...


def watched(recorder: Recorder | Keeper, function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a callable in the form it has, so that frameworks that look at it see the same kind of function."""
    if not callable(function):
        raise TypeError(f"watch takes something to call, not a {type(function).__name__}: {function!r}")
    form = (
        function if inspect.isroutine(function) or isinstance(function, functools.partial) else type(function).__call__
    )
    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(form):
        wrapper = _async_generator(recorder, function)
    elif inspect.iscoroutinefunction(form):
        wrapper = _coroutine(recorder, function)
    elif inspect.isgeneratorfunction(form):
        wrapper = _generator(recorder, function)
    else:
        wrapper = _plain(recorder, function)
    return cast("Callable[P, R]", _dressed(wrapper, function))


def _dressed(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the wrapper the name, the docs and the signature of what it wraps (a partial has only the latter)."""
    return functools.wraps(function)(wrapper)


def _plain(recorder: Recorder | Keeper, function: Callable[..., Any]) -> Callable[..., Any]:
    def watching(*args: Any, **kwargs: Any) -> Any:
        call = _Call(recorder, function, args, kwargs)
        with call:
            result = function(*args, **kwargs)
            call.output = result
        return result

    return watching


def _coroutine(recorder: Recorder | Keeper, function: Callable[..., Any]) -> Callable[..., Any]:
    async def watching(*args: Any, **kwargs: Any) -> Any:
        call = _Call(recorder, function, args, kwargs)
        with call:
            result = await function(*args, **kwargs)
            call.output = result
        return result

    return watching


def _generator(recorder: Recorder | Keeper, function: Callable[..., Any]) -> Callable[..., Any]:
    def watching(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = _Call(recorder, function, args, kwargs)
        with call:
            return (yield from _Tap(function(*args, **kwargs), call))

    return watching


def _async_generator(recorder: Recorder | Keeper, function: Callable[..., Any]) -> Callable[..., Any]:
    async def watching(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = _Call(recorder, function, args, kwargs)
        inner: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        with call:
            step = inner.__anext__()
            while True:  # what `yield from` does for generators, which has no asynchronous form
                try:
                    item = await step
                except StopAsyncIteration:
                    return
                call.piece(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as thrown:  # the consumer's, not ours: hand it on
                    step = cast(Any, inner.athrow(thrown))
                else:
                    step = cast(Any, inner.asend(sent))

    return watching


class _Tap(Generator[Any, Any, Any]):
    """A generator seen through: everything is passed on, and what comes out is noted."""

    def __init__(self, inner: Generator[Any, Any, Any], call: _Call) -> None:
        self._inner = inner
        self._call = call

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return self

    def __next__(self) -> Any:
        return self._call.piece(next(self._inner))

    def send(self, value: Any) -> Any:
        return self._call.piece(self._inner.send(value))

    def throw(self, *thrown: Any) -> Any:
        return self._call.piece(self._inner.throw(*thrown))

    def close(self) -> None:
        self._inner.close()


class _Quietly:
    """Nothing that goes wrong inside reaches the product; it is counted by kind, and logged."""

    def __init__(self, recorder: Recorder | Keeper) -> None:
        self._recorder = recorder

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, _: TracebackType | None
    ) -> bool:
        if problem is None or not isinstance(problem, Exception):
            return False
        self._recorder.unrecorded[type(problem).__name__] += 1
        reason = f"{problem.field}: {problem.problem}" if isinstance(problem, InvalidRecord) else type(problem).__name__
        _logger.warning("a watched call was not recorded: %s", reason)
        return True


class _Call:
    """One call of a watched function, from its arguments to its end. Recorded when the `with` block is left."""

    def __init__(
        self, recorder: Recorder | Keeper, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.output: Any = None
        self._recorder = recorder
        self._pieces: list[Any] | None = None
        self._fields: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._problem: InvalidRecord | None = None
        with _Quietly(recorder):
            try:  # a copy, now: the function may change its arguments
                self._fields["input"] = self._input(function, args, kwargs)
            except InvalidRecord as problem:
                self._problem = problem
        self._at = datetime.now(UTC)
        self._started = time.perf_counter()

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, _: TracebackType | None
    ) -> None:
        elapsed = (time.perf_counter() - self._started) * 1000
        with _Quietly(self._recorder):
            self._record(problem, elapsed)

    def piece(self, item: Any) -> Any:
        """Note one yielded item, and hand it back."""
        if self._pieces is None:
            self._pieces = []
        if len(self._pieces) < _MOST_PIECES:
            self._pieces.append(item)
        else:
            self._extra["output_cut_at"] = _MOST_PIECES
        return item

    def _record(self, problem: BaseException | None, elapsed: float) -> None:
        fields = {**self._fields, "at": self._at, "latency_ms": elapsed, "output": self._answer()}
        if isinstance(problem, GeneratorExit):
            self._extra["stopped_early"] = True  # by the consumer, which is no error
        elif problem is not None:
            fields["error"] = f"{type(problem).__name__}: {problem}"[:10_000]
        if self._extra:
            fields["extra"] = self._extra
        if hasattr(self._recorder, "keep_watched"):
            self._recorder.keep_watched(fields, self._problem)
        else:
            self._store(self._recorder, fields)

    def _store(self, recorder: Recorder, fields: dict[str, Any]) -> None:
        try:
            if self._problem is not None:
                raise self._problem
            recorder.store([recorder.prepare(interaction_of(fields, Limits(recorder.max_record_bytes)))])
        except InvalidRecord as refused:
            recorder.refuse("watch", str(refused), fields, self._at)
            raise  # into _Quietly, which counts it

    def _answer(self) -> Any:
        if self._pieces is None:
            return self.output
        if self._pieces and all(isinstance(piece, str) for piece in self._pieces):
            return "".join(self._pieces)
        return self._pieces

    def _input(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        limit = self._recorder.max_record_bytes
        if len(args) == 1 and not kwargs:
            return plain(args[0], "input", limit)
        try:
            bound = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):  # a wrong call, which fails by itself, or a builtin without a signature
            bound = {**{str(place): value for place, value in enumerate(args)}, **kwargs}
        first = next(iter(bound), None)
        if first in ("self", "cls") and len(args) >= 1 and bound[first] is args[0]:
            del bound[first]
            if len(bound) == 1 and len(args) == 2 and not kwargs:
                return plain(args[1], "input", limit)
        kept: dict[str, Any] = {}
        left_out = []
        for name, value in bound.items():
            try:
                kept[name] = plain(value, f"input.{name}", limit)
            except InvalidRecord:
                left_out.append(name)
        if left_out and not kept:
            raise InvalidRecord(
                "input", f"no argument is a JSON value: {', '.join(left_out)}", "Pass text, numbers, lists, dicts"
            )
        if left_out:
            self._extra["arguments_left_out"] = left_out
        return kept
