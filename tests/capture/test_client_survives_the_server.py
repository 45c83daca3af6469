"""Whatever the server does: nothing is raised, nobody is held up, memory stays bounded, what was dropped is told."""

from __future__ import annotations

import ast
import inspect
import textwrap
import threading
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import nowhere, serving, storm

import flywheel
from flywheel.capture import client, lines, outbox
from flywheel.capture.courier import Courier
from flywheel.capture.delivery import Patience


@pytest.fixture
def impatient(monkeypatch):
    """Waits between tries become short, so that storms pass in a moment; how long they are is tested by themselves."""
    monkeypatch.setattr(Patience, "wait", lambda self, asked: setattr(self, "failures", self.failures + 1) or 0.002)


def books_balance(stats):
    return stats["logged"] == stats["delivered"] + stats["waiting"] + sum(stats["dropped"].values())


@pytest.mark.slow
def test_through_cuts_and_a_storm_of_503_everything_arrives_once(impatient):
    with serving(storm(0.5, seed=3)) as server, flywheel.connect(server.url, max_age=0.005, batch_records=20) as c:
        ids = [c.log(input=n) for n in range(600)] + [c.feedback(f"i{n}", rating=1)[0] for n in range(200)]
        assert c.flush(60)
        stats = c.stats()
    assert sorted(key for _, key in server.stored) == sorted(ids)
    assert stats["delivered"] == 800
    assert stats["retries"] > 5
    assert stats["server"]["accepted"] + stats["server"].get("duplicate", 0) == 800
    assert server.counts["rejected"] == 0  # what came twice was word for word the same
    assert server.counts["duplicate"] > 0
    assert books_balance(stats)


@pytest.mark.parametrize("status", ["401", "404", "429", "500", "503"])
def test_what_may_pass_is_tried_again(status, impatient):
    with (
        serving(lambda number: status if number < 3 else "") as server,
        flywheel.connect(server.url, max_age=0.005) as c,
    ):
        c.log(input=1)
        assert c.flush(20)
    assert len(server.stored) == 1


@pytest.mark.parametrize("status", ["400", "415"])
def test_what_will_never_be_taken_is_dropped_counted_and_told(status):
    with (
        serving(lambda number: status if number == 0 else "") as server,
        flywheel.connect(server.url, max_age=0.005) as c,
    ):
        c.log(input=1)
        assert c.flush(20)
        assert c.stats()["dropped"] == {"refused": 1}
        c.log(input=2)
        assert c.flush(20)
    assert server.told == {"refused": 1}
    assert [record["input"] for record in server.order] == [2]


def test_an_answer_of_somebody_else_is_no_answer(impatient):
    judged = client.Delivery.post

    def login_page(self, path, told, dropped):
        del self, path, told, dropped
        from flywheel.capture.delivery import _judged

        return _judged(200, {}, b"<html>Please log in</html>")

    with serving() as server, flywheel.connect(server.url, max_age=0.005) as c:
        c._courier._delivery.post = login_page.__get__(c._courier._delivery)
        c.log(input=1)
        assert not c.flush(0.2)
        c._courier._delivery.post = judged.__get__(c._courier._delivery)
        assert c.flush(20)
    assert len(server.stored) == 1


def test_memory_stays_bounded_while_the_server_is_away():
    bound = 200_000
    c = flywheel.connect(nowhere(), max_memory_bytes=bound, max_age=0.01)
    try:
        tracemalloc.start()
        for n in range(6_000):
            c.log(input="x" * 80, output="y", context={"n": n})
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        stats = c.stats()
        assert stats["memory_bytes"] <= bound
        assert held < 2 * bound + 400_000
        assert stats["dropped"]["queue full"] > 4_000
        assert stats["waiting"] > 500
        assert books_balance(stats)
    finally:
        c.close(0)
    assert c.stats()["dropped"]["not sent at exit"] == stats["waiting"]
    assert c.stats()["memory_bytes"] == stats["memory_bytes"]


@pytest.mark.slow
def test_a_million_records_without_a_server_stay_within_eight_mebibytes():
    c = flywheel.connect(nowhere())
    tracemalloc.start()
    for n in range(1_000_000):
        c.log(input="where is my card", output="card_arrival", context={"n": n})
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stats = c.stats()
    c.close(0)
    assert stats["memory_bytes"] <= 8 * 1024 * 1024
    assert held < 12 * 1024 * 1024
    assert stats["logged"] == 1_000_000
    assert books_balance(stats)


def test_what_was_dropped_is_told_with_the_next_batch(impatient):
    away = threading.Event()
    with (
        serving(lambda number: "" if away.is_set() else "503") as server,
        flywheel.connect(server.url, max_memory_bytes=3_000, max_age=0.005) as c,
    ):
        for n in range(100):
            c.log(input=n)
        dropped = c.stats()["dropped"]["queue full"]
        assert dropped > 50
        away.set()
        assert c.flush(20)
        assert server.told == {"queue full": dropped}
        c.log(input="later")
        assert c.flush(20)
        assert server.told == {"queue full": dropped}  # told once
        c.log(input=object())
    assert server.told == {"queue full": dropped, "invalid": 1}  # and what nothing followed, at the end
    assert len(server.stored) == 101 - dropped


class Hostile:
    """An object that fights back."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __repr__(self):
        return "<hostile>"

    def __str__(self):
        raise RuntimeError("str")


hostile = st.sampled_from(
    [object(), Hostile(), float("nan"), float("inf"), b"bytes", {1, 2}, 10**400, "\ud800", {(1, 2): 3}, type, lambda: 0]
)


def _circle():
    circle: list = []
    circle.append(circle)
    return circle


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["input", "output", "id", "at", "scores", "context", "user", "extra", "consent", "x", "confidense"]
        ),
        hostile | st.builds(_circle) | st.none() | st.integers() | st.text() | st.lists(hostile, max_size=2),
    )
)
def test_nothing_is_raised_for_whatever_is_logged(fields):
    assert isinstance(_silent.log(**fields), str)
    assert isinstance(
        _silent.feedback(fields.get("id"), label=fields.get("input"), outcome=fields.get("context")), list
    )
    assert books_balance(_silent.stats())


_silent = flywheel.connect(nowhere(), max_memory_bytes=50_000, exit_timeout=0)


def test_deep_and_large_values_are_refused_without_much_work():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 5_000_000, ["x" * 1000] * 1_000_000, {"a": [0] * 2_000_000}):
        _silent.log(input=value)
    assert _silent.stats()["dropped"]["too large"] >= 3


def test_one_message_a_minute_without_payloads(caplog):
    with serving() as server, flywheel.connect(server.url, max_age=0.005) as c:
        for _ in range(20):
            c.log(input=object(), output="secret words")
            c.log(input="secret words", confidence=7)
            c.flush(20)
    assert c.stats()["dropped"] == {"invalid": 20}
    speakers = {threading.get_ident(), *(t.ident for t in c._courier._threads)}  # other connections still speak, too
    ours = [record for record in caplog.records if record.name == "flywheel" and record.thread in speakers]
    assert len(ours) == 2, [record.getMessage() for record in ours]
    assert "secret" not in caplog.text


def test_a_server_that_hangs_holds_nobody_up():
    """The caller's way shares no lock with the network's: while a request hangs, it goes on, also from two threads."""
    with serving(lambda number: "hang") as server, flywheel.connect(server.url, exit_timeout=0, max_age=0.005) as c:
        c.log(input=0)
        while not server.counts["requests"]:
            threading.Event().wait(0.002)
        assert c._courier._sending.locked()
        threads = [threading.Thread(target=lambda: [c.log(input=n) for n in range(500)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert c.stats()["waiting"] == 1001
        assert not c.flush(0.05)
        c.close(0)


def test_the_callers_way_takes_no_lock_but_the_outbox_and_calls_nothing_that_waits():
    """Held by the code's structure: what a caller runs through never names what sleeps, sends, syncs or logs."""
    waits = {"sleep", "wait", "flush", "fsync", "collect", "deliver", "post", "send", "acquire", "warning", "open"}
    paths = [client.Connection.log, client.Connection.feedback, client.Connection._leave, client.Connection._put_extra]
    paths += [
        outbox.Outbox.put,
        outbox.Outbox.refuse,
        outbox.Outbox.ring,
        lines.written,
        lines.fresh_id,
        lines.clock_text,
    ]
    for path in paths:
        tree = ast.parse(textwrap.dedent(inspect.getsource(path)))
        called = {
            node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "attr")
        }
        assert not called & waits, path.__name__


def test_logging_in_the_middle_of_logging_does_not_lock_up():
    """A signal handler or a finaliser may log while its own thread is inside the outbox."""
    with serving() as server, flywheel.connect(server.url, max_age=0.005) as c, c._outbox._lock:
        c.log(input="inside")
    assert len(server.stored) == 1


def test_no_thread_where_none_can_begin_and_nothing_is_lost(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    with serving() as server:
        monkeypatch.setattr(Courier, "start", refuse)
        c = flywheel.connect(server.url)
        c.log(input=1)
        c.close()
    assert len(server.stored) == 1


def test_after_close_records_are_counted(caplog):
    with serving() as server:
        c = flywheel.connect(server.url)
        c.close()
        c.log(input=1)
        c.close()
        assert c.flush()
    assert c.stats()["dropped"] == {"closed": 1}


def test_waits_grow_with_full_jitter_and_honour_retry_after():
    patience = Patience(first=1.0, longest=8.0)
    seen = [patience.wait(None) for _ in range(8)]
    assert all(0 <= wait <= min(8.0, 2.0**n) for n, wait in enumerate(seen))
    assert len({round(wait, 6) for wait in seen}) == 8
    assert patience.wait(30.0) >= 30.0
    assert patience.wait(10**9) <= 308.0
    patience.reset()
    assert patience.wait(None) <= 1.0


@pytest.mark.parametrize(("value", "low", "high"), [("7", 7, 7), ("soon", None, None), ("-1", None, None)])
def test_retry_after_is_read(value, low, high):
    from flywheel.capture.delivery import _judged

    wait = _judged(503, {"retry-after": value}, b"{}").wait
    assert wait == low == high


def test_retry_after_may_be_a_date():
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    from flywheel.capture.delivery import _judged

    told = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 60 < _judged(429, {"retry-after": told}, b"").wait <= 100


def test_threads_end_with_the_connection():
    with serving() as server:
        before = threading.active_count()
        with flywheel.connect(server.url) as c:
            c.log(input=1)
            assert threading.active_count() > before
        assert not any(thread.is_alive() for thread in c._courier._threads)
