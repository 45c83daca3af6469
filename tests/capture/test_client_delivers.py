"""`flywheel.connect`: what is logged arrives, in the words of the wire, from threads, tasks and watched functions."""

from __future__ import annotations

import asyncio
import threading
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import serving

import flywheel
from flywheel.capture.drafts import INTERACTION_FIELDS
from flywheel.capture.lines import FIELDS, clock_text, fresh_id, written
from flywheel.errors import InvalidConfig, InvalidRecord


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def connection(server):
    with flywheel.connect(server.url, "fw_1_secret", max_age=0.02) as opened:
        yield opened


def records_of(server, path="/v1/interactions"):
    return [record for seen, _, records in server.seen if seen == path for record in records]


def test_an_interaction_arrives_as_it_was_passed(server, connection):
    context = {"device": "ios", "hour": 3}
    given_input = [{"role": "user", "content": "wo ist meine Karte? 💳"}]
    i = connection.log(
        input=given_input,
        output={"label": "card"},
        confidence=0.5,
        latency_ms=2,
        error="no",
        model="v1",
        user="ana",
        session="s",
        scores={"card": 1.5},
        context=context,
        propensity=0.1,
        consent=True,
        prompt="p7",
        extra={"deep": [1]},
    )
    context["device"] = given_input[0]["content"] = "changed afterwards"
    assert connection.flush()
    ((path, headers, (record,)),) = server.seen
    at, sent = datetime.fromisoformat(record.pop("at")), datetime.fromisoformat(record.pop("sent_at"))
    assert datetime.now(UTC) >= sent >= at
    assert record == {
        "id": i,
        "input": [{"role": "user", "content": "wo ist meine Karte? 💳"}],
        "output": {"label": "card"},
        "confidence": 0.5,
        "latency_ms": 2,
        "error": "no",
        "model": "v1",
        "user": "ana",
        "session": "s",
        "scores": {"card": 1.5},
        "context": {"device": "ios", "hour": 3},
        "propensity": 0.1,
        "consent": True,
        "extra": {"prompt": "p7", "deep": [1]},
    }
    assert path == "/v1/interactions"
    assert headers["Authorization"] == "Bearer fw_1_secret"
    assert headers["User-Agent"] == f"flywheel-recorder/{flywheel.__version__}"
    assert "X-Flywheel-Dropped" not in headers


def test_feedback_arrives_with_the_ids_that_were_returned(server, connection):
    (one,) = connection.feedback("i1", rating=-1)
    several = connection.feedback("i1", label=None, outcome={"kept": 1}, id="f", source="reviewer", by="bo")
    assert several == ["f:label", "f:outcome:kept"]
    assert connection.flush()
    first, second = records_of(server, "/v1/feedback")
    assert (first["id"], first["interaction_id"], first["rating"], first["source"]) == (one, "i1", -1, "user")
    assert "label" not in first
    assert second["label"] is None
    assert (second["outcome"], second["by"]) == ({"kept": 1}, "bo")


def test_ids_are_of_the_kind_that_sorts_by_time_and_carry_a_moment_when_told():
    ids = [fresh_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(uuid.UUID(one).version == 7 and uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)
    assert ids[0][:13] <= ids[-1][:13]
    moment = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    assert int(fresh_id(moment).replace("-", "")[:12], 16) == int(moment * 1000)


def test_the_clock_is_utc_now():
    before = datetime.now(UTC)
    told = datetime.fromisoformat(clock_text())
    assert abs((told - before).total_seconds()) < 60
    assert told.utcoffset().total_seconds() == 0


def test_large_batches_travel_compressed(server, connection):
    for _ in range(100):
        connection.log(input="hello " * 20)
    assert connection.flush()
    assert any(headers.get("Content-Encoding") == "gzip" for _, headers, _ in server.seen)
    assert len(records_of(server)) == 100


def test_watched_functions_are_logged(server, connection):
    @connection.watch
    def answer(text):
        return text.upper()

    @connection.watch
    async def think(text):
        await asyncio.sleep(0)
        raise ValueError("no idea")

    assert answer("hi") == "HI"
    with pytest.raises(ValueError, match="no idea"):
        asyncio.run(think("hm"))
    assert connection.flush()
    good, bad = records_of(server)
    assert (good["input"], good["output"]) == ("hi", "HI")
    assert (bad["input"], bad["error"]) == ("hm", "ValueError: no idea")
    assert good["latency_ms"] >= 0


def test_threads_and_tasks_share_one_connection(server, connection):
    def work(number):
        for place in range(50):
            connection.log(input=place, id=f"t{number}-{place}")

    async def task(number):
        for place in range(50):
            connection.log(input=place, id=f"a{number}-{place}")
            await asyncio.sleep(0)

    async def tasks():
        await asyncio.gather(*(task(number) for number in range(4)))
        assert await asyncio.to_thread(connection.flush)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    assert connection.flush()
    assert len(server.stored) == 400
    assert connection.stats()["delivered"] == 400


def test_what_is_large_is_sent_in_halves(server):
    server.misbehave = lambda number: "small7"
    with flywheel.connect(server.url, max_age=0.02) as connection:
        ids = [connection.log(input=n) for n in range(50)]
        assert connection.flush()
    assert [record["id"] for record in records_of(server)] == ids
    assert all(len(records) <= 7 for _, _, records in server.seen)


def test_one_record_that_is_too_large_for_the_server_is_dropped_and_told(server):
    server.misbehave = lambda number: "small0" if number == 0 else ""
    with flywheel.connect(server.url, max_age=0.02) as connection:
        connection.log(input="large")
        assert connection.flush()
        connection.log(input="small")
        assert connection.flush()
        stats = connection.stats()
    assert stats["dropped"] == {"too large": 1}
    assert stats["logged"] == 2
    assert stats["delivered"] == 1
    assert server.told == {"too large": 1}


def test_what_the_server_keeps_aside_is_delivered_and_said(server, connection, caplog):
    connection.log(input="x", confidence=7)
    assert connection.flush()
    assert connection.stats()["server"]["dead_lettered"] == 1
    assert connection.stats()["waiting"] == 0
    assert "'confidence'" in caplog.text


def test_without_consent_nothing_of_a_record_leaves(server, connection):
    connection.log(input="secret words", output="more", user="ana", consent=False, context={"a": 1}, note="x")
    assert connection.flush()
    (record,) = records_of(server)
    assert record["consent"] is False
    assert record["input"] is None
    assert set(record) == {"id", "at", "sent_at", "input", "consent"}


def test_redaction_and_pseudonyms_before_anything_leaves(server):
    with flywheel.connect(server.url, redact=True, hash_users=b"k" * 32, max_age=0.02) as connection:
        i = connection.log(
            input="write to ana@example.org", user="ana@example.org", session="bob@example.org", api_key="abcd"
        )
        connection.feedback(i, comment="call ana@example.org", by="ana@example.org")
        connection.feedback(i, label="x", by="reviewer-1", source="reviewer")
        assert connection.flush()
    (record,) = records_of(server)
    assert record["input"] == "write to [email]"
    assert record["user"].startswith("u_")
    assert record["session"].startswith("id_")
    assert record["extra"]["redacted"]["email"] == 1
    assert "abcd" not in str(record)
    said, other = records_of(server, "/v1/feedback")
    assert said["by"] == record["user"]
    assert said["comment"] == "call [email]"
    assert other["by"] == "reviewer-1"


def test_a_redactor_of_ones_own_and_one_that_fails(server):
    def hide(fields):
        if fields["input"] == "bad":
            raise RuntimeError("no")
        return {**fields, "input": "hidden"}

    with flywheel.connect(server.url, redact=hide, max_age=0.02) as connection:
        connection.log(input="bad")
        connection.log(input="good")
        assert connection.flush()
        assert connection.stats()["dropped"] == {"not redacted": 1}
    assert [record["input"] for record in records_of(server)] == ["hidden"]


def test_numpy_values_become_json(server, connection):
    np = pytest.importorskip("numpy")
    connection.log(input={"a": np.float32(0.5), "b": np.arange(3)}, output=np.int64(7), confidence=np.float64(0.25))
    assert connection.flush()
    (record,) = records_of(server)
    assert (record["input"], record["output"], record["confidence"]) == ({"a": 0.5, "b": [0, 1, 2]}, 7, 0.25)


def test_strict_raises_what_the_server_would_find(server):
    with flywheel.connect(server.url, strict=True) as connection:
        for fields in ({"input": 1, "confidence": 1.5}, {"input": object()}, {}, {"input": 1, "confidense": 1}):
            with pytest.raises(InvalidRecord):
                connection.log(**fields)
        with pytest.raises(InvalidRecord):
            connection.feedback("i1")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://x", {}),
        ("flywheel.example.org", {}),
        ("http://", {}),
        ("http://u:p@x", {}),
        ("http://x:99999", {}),
        (None, {}),
        ("http://x", {"key": "fw \n"}),
        ("http://x", {"max_memory_bytes": 0}),
        ("http://x", {"batch_records": 1.5}),
        ("http://x", {"strict": 1}),
        ("http://x", {"max_age": None}),
        ("http://x", {"redact": "yes"}),
        ("http://x", {"hash_users": "short"}),
    ],
)
def test_a_wrong_address_or_option_is_said_at_the_start(url, options):
    with pytest.raises(InvalidConfig):
        flywheel.connect(url, **options)


def test_a_prefix_chooses_the_flywheel(server):
    with flywheel.connect(f"{server.url}/flywheels/shop/") as connection:
        connection.log(input=1)
    assert server.seen[0][0] == "/flywheels/shop/v1/interactions"


def test_the_fields_are_those_of_the_log():
    assert FIELDS == INTERACTION_FIELDS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_a_line_says_what_was_passed_and_stays_one_line(value):
    import json

    line = written({"input": value}, 1_000_000)
    assert b"\n" not in line
    assert json.loads(line) == {"input": value}


def test_half_a_surrogate_pair_stays_an_escape():
    assert written({"input": "\ud83d x"}, 1000) == rb'{"input":"\ud83d x"}'
