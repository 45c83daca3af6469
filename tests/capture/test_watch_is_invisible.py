"""A watched function behaves as if nobody looked, and each call is logged."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import asyncio
import functools
import inspect

import pytest
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import Recorder
from flywheel.capture.redact import Nothing
from flywheel.errors import StoreBusy


class Trouble(Exception):
    pass


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


@pytest.fixture
def logged(store):
    def all_of():
        return list(store.log.interactions([row.id for row in store.log.read(0)]).values())

    return all_of


def test_result_and_input(recorder, logged):
    @recorder.watch
    def answer(text):
        """Docs."""
        return text.upper()

    assert answer("hi") == "HI"
    assert (answer.__name__, answer.__doc__, str(inspect.signature(answer))) == ("answer", "Docs.", "(text)")
    (seen,) = logged()
    assert (seen.input, seen.output, seen.error) == ("hi", "HI", None)
    assert seen.latency_ms >= 0


def test_the_very_object_is_returned_though_it_is_no_json(recorder, store):
    thing = object()
    assert recorder.watch(lambda text: thing)("hi") is thing
    assert store.log.counts()["dead_letters"] == 1
    assert recorder.unrecorded == {"InvalidRecord": 1}


def test_several_arguments_are_named(recorder, logged):
    @recorder.watch
    def answer(text, *more, top=3, client=None):
        return 1

    answer("hi", "x", top=5, client=object())
    answer(text="hi")
    first, second = logged()
    assert first.input == {"text": "hi", "more": ["x"], "top": 5}
    assert first.extra == {"arguments_left_out": ["client"]}
    assert second.input == {"text": "hi"}


def test_methods_leave_self_out(recorder, logged):
    class Bot:
        @recorder.watch
        def answer(self, text):
            return text

        @recorder.watch
        def both(self, text, top=1):
            return text

        def __call__(self, text):
            return text * 2

    bot = Bot()
    assert bot.answer("a") == "a"
    assert bot.both("b", top=2) == "b"
    assert recorder.watch(bot)("c") == "cc"
    assert recorder.watch(functools.partial(bot.both, top=3))("d") == "d"
    assert [seen.input for seen in logged()][:3] == ["a", {"text": "b", "top": 2}, "c"]


def test_the_very_exception_is_raised(recorder, logged):
    trouble = Trouble("bad wires")

    @recorder.watch
    def answer(text):
        raise trouble

    with pytest.raises(Trouble) as raised:
        answer("hi")
    assert raised.value is trouble
    assert trouble.__context__ is None
    assert trouble.__cause__ is None
    (seen,) = logged()
    assert (seen.input, seen.output, seen.error) == ("hi", None, "Trouble: bad wires")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, Unprintable])
def test_any_exception_passes(kind, recorder):
    @recorder.watch
    def answer(text):
        raise kind

    with pytest.raises(kind) as raised:
        answer("hi")
    assert raised.value.__context__ is None


def test_a_wrong_call_fails_as_it_would_unwatched(recorder):
    def answer(text):
        return text

    with pytest.raises(TypeError) as plain:
        answer(1, 2)
    with pytest.raises(TypeError) as watched:
        recorder.watch(answer)(1, 2)
    assert str(plain.value) == str(watched.value)


def test_the_input_is_what_was_passed_not_what_became_of_it(recorder, logged):
    @recorder.watch
    def consume(items):
        items.clear()
        return len(items)

    consume([1, 2])
    assert logged()[0].input == [1, 2]


@pytest.mark.parametrize("failure", [StoreBusy("locked"), OSError("disk full"), Trouble("odd driver")])
def test_a_log_that_fails_never_reaches_the_product(failure, caplog):
    class Failing:
        def append(self, records):
            raise failure

        def commit(self, encoded, *args, **more):
            raise failure

    recorder = Recorder(Failing(), redactor=Nothing(), pseudonym_key=None, max_record_bytes=1000)
    assert recorder.watch(lambda text: text)("secret words") == "secret words"
    with pytest.raises(Trouble, match="mine"):
        recorder.watch(_raise)("mine")
    assert recorder.unrecorded == {type(failure).__name__: 2}
    assert "was not recorded" in caplog.text
    assert "secret words" not in caplog.text


def _raise(words):
    raise Trouble(words)


def test_coroutine(recorder, logged):
    @recorder.watch
    async def answer(text):
        await asyncio.sleep(0.02)
        if text == "bad":
            raise Trouble("x")
        return text.upper()

    assert inspect.iscoroutinefunction(answer)
    assert asyncio.run(answer("hi")) == "HI"
    with pytest.raises(Trouble):
        asyncio.run(answer("bad"))
    good, bad = logged()
    assert (good.input, good.output) == ("hi", "HI")
    assert good.latency_ms >= 15
    assert bad.error == "Trouble: x"


def test_cancellation_passes(recorder, logged):
    @recorder.watch
    async def answer(text):
        await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.create_task(answer("hi"))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert logged()[0].error.startswith("CancelledError")


def _dialogue(first):
    """Uses the whole protocol: yields, is sent to, is thrown into, returns."""
    got = yield first
    try:
        got = yield got
    except Trouble as problem:
        got = yield f"caught {problem}"
    return f"returned {got}"


def _play(make):
    """Drive a generator through its protocol and write down all that can be seen of it."""
    seen = []
    talk = make("a")
    seen.append(next(talk))
    seen.append(talk.send("b"))
    seen.append(talk.throw(Trouble("t")))
    try:
        talk.send("c")
    except StopIteration as stop:
        seen.append(stop.value)
    return seen


def test_generator_protocol_is_untouched(recorder, logged):
    watched = recorder.watch(_dialogue)
    assert inspect.isgeneratorfunction(watched)
    assert _play(watched) == _play(_dialogue) == ["a", "b", "caught t", "returned c"]
    assert logged()[0].output == "abcaught t"


def test_generator_exception_and_early_end(recorder, logged):
    closed = []

    @recorder.watch
    def stream(n):
        try:
            yield from range(n)
            raise Trouble("end")
        finally:
            closed.append(n)

    with pytest.raises(Trouble):
        list(stream(2))
    early = stream(5)
    assert next(early) == 0
    early.close()
    assert closed == [2, 5]
    failed, stopped = logged()
    assert (failed.output, failed.error) == ([0, 1], "Trouble: end")
    assert (stopped.output, stopped.error, stopped.extra) == ([0], None, {"stopped_early": True})


def test_a_generator_does_nothing_until_it_is_asked(recorder, logged):
    stream = recorder.watch(_dialogue)("a")
    assert logged() == []
    del stream


async def _async_dialogue(first):
    got = yield first
    try:
        got = yield got
    except Trouble as problem:
        got = yield f"caught {problem}"
    yield f"last {got}"


async def _async_play(make):
    seen = []
    talk = make("a")
    seen.append(await anext(talk))
    seen.append(await talk.asend("b"))
    seen.append(await talk.athrow(Trouble("t")))
    seen.append(await talk.asend("c"))
    with pytest.raises(StopAsyncIteration):
        await anext(talk)
    return seen


def test_async_generator_protocol_is_untouched(recorder, logged):
    watched = recorder.watch(_async_dialogue)
    assert inspect.isasyncgenfunction(watched)
    assert asyncio.run(_async_play(watched)) == asyncio.run(_async_play(_async_dialogue))
    assert logged()[0].output == "abcaught tlast c"


def test_async_generator_exception_and_early_end(recorder, logged):
    closed = []

    @recorder.watch
    async def stream(n):
        try:
            for i in range(n):
                yield i
            raise Trouble("end")
        finally:
            closed.append(n)

    async def use():
        with pytest.raises(Trouble):
            async for _ in stream(2):
                pass
        early = stream(5)
        assert await anext(early) == 0
        await early.aclose()

    asyncio.run(use())
    assert closed == [2, 5]
    failed, stopped = logged()
    assert (failed.output, failed.error) == ([0, 1], "Trouble: end")
    assert (stopped.output, stopped.error) == ([0], None)


def test_an_exception_thrown_in_and_not_caught_comes_out_the_same(recorder):
    trouble = Trouble("in")

    def stream(text):
        yield text

    async def astream(text):
        yield text

    talk = recorder.watch(stream)("a")
    next(talk)
    with pytest.raises(Trouble) as raised:
        talk.throw(trouble)
    assert raised.value is trouble

    async def use():
        talk = recorder.watch(astream)("a")
        await anext(talk)
        with pytest.raises(Trouble) as raised:
            await talk.athrow(trouble)
        assert raised.value is trouble

    asyncio.run(use())


def test_only_callables(recorder):
    with pytest.raises(TypeError, match="something to call"):
        recorder.watch(3)
