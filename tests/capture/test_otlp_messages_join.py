"""Messages sent as log records and their span, in any order and any number of requests, become one interaction."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from flywheel import wheel
from flywheel.capture.otlp import decode

JSON = "application/json"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
START = 1_795_000_000_000_000_000
TRACE = "5b8efff798038103d269b633813fc60c"


def attributes(told):
    return [{"key": key, "value": value_of(value)} for key, value in told.items()]


def value_of(told):
    if isinstance(told, dict):
        return {"kvlistValue": {"values": attributes(told)}}
    if isinstance(told, int):
        return {"intValue": str(told)}
    return {"stringValue": told}


def span(number=1, scope="openai_v2", failed=False, **more):
    told = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o", "gen_ai.usage.input_tokens": 9, **more}
    one = {"traceId": TRACE, "spanId": f"{number:016x}", "name": "chat gpt-4o", "startTimeUnixNano": str(START),
           "endTimeUnixNano": str(START + 750_000_000), "attributes": attributes(told),
           "status": {"code": 2, "message": "quota"} if failed else {}}  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": [one]}]}]}
    return json.dumps(body).encode(), "traces"


def records(*events, number=1, scope="openai_v2"):
    told = [
        {"traceId": TRACE, "spanId": f"{number:016x}", "eventName": name, "timeUnixNano": str(START + place * 1000),
         "body": value_of(body), "attributes": attributes({"gen_ai.system": "openai"})}
        for place, name, body in events
    ]  # fmt: skip
    body = {"resourceLogs": [{"scopeLogs": [{"scope": {"name": scope}, "logRecords": told}]}]}
    return json.dumps(body).encode(), "logs"


SYSTEM = (1, "gen_ai.system.message", {"content": "Be kind."})
USER = (2, "gen_ai.user.message", {"content": "Mail ana@example.org, please"})
CHOICE = (
    3,
    "gen_ai.choice",
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Done."}},
)
CHAT = [SYSTEM, USER, CHOICE]


@pytest.fixture
def fw(tmp_path):
    with wheel.open(tmp_path / "bot", task="generation") as opened:
        opened.otlp.receive(*swap(records(USER, number=99)), at=NOW)  # the instrumentation is known to send messages
        yield opened


def swap(request):
    body, signal = request
    return body, JSON, signal


def one_of(fw, number=1):
    id = f"{TRACE}-{number:016x}"
    return fw._store.log.interactions([id]).get(id)


def is_whole(one):
    assert [message["role"] for message in one.input] == ["system", "user"]
    assert one.input[0]["content"] == "Be kind."
    assert "ana@example.org" not in str(one)
    assert one.output == "Done."
    assert one.model == "gpt-4o"
    assert one.latency_ms == 750.0
    assert one.context["tokens_in"] == 9
    assert one.context["finish_reason"] == "stop"
    assert one.user.startswith("u_")
    return True


REQUESTS = [span(**{"enduser.id": "ana"}), records(SYSTEM, USER), records(CHOICE)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_any_order_they_become_one_interaction(fw, order):
    for place in order:
        assert one_of(fw) is None
        fw.otlp.receive(*swap(REQUESTS[place]), at=NOW)
    assert is_whole(one_of(fw))
    for place in order:
        fw.otlp.receive(*swap(REQUESTS[place]), at=NOW)
    books = fw.books()
    assert books["received"] == books["stored"] + books["duplicates"]
    assert len([row for row in fw._store.log.read(0) if row.kind == "interaction"]) == 1


def test_at_once_from_several_threads_they_become_one_interaction(fw):
    work = [REQUESTS[place] for place in (0, 1, 2)] * 3
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda request: fw.otlp.receive(*swap(request), at=NOW), work))
    assert is_whole(one_of(fw))
    books = fw.books()
    assert books["received"] == books["stored"] + books["duplicates"] + books["rejected"] + books["dead_lettered"]


def test_a_failed_call_has_no_answer_and_does_not_wait_for_one(fw):
    fw.otlp.receive(*swap(records(USER)), at=NOW)
    fw.otlp.receive(*swap(span(failed=True)), at=NOW)
    assert one_of(fw).error == "error: quota"
    assert one_of(fw).output is None


def test_a_scope_that_never_sent_messages_does_not_wait_for_any(fw):
    fw.otlp.receive(*swap(span(scope="another")), at=NOW)
    assert one_of(fw).input is None


def test_capture_that_is_switched_off_is_noticed_within_an_hour(fw):
    fw.otlp.receive(*swap(span()), at=NOW + timedelta(minutes=59))
    assert one_of(fw) is None
    fw.otlp.receive(*swap(span(number=2)), at=NOW + timedelta(minutes=61))
    assert one_of(fw, 2).input is None


def test_what_is_known_of_scopes_is_known_to_the_next_process(tmp_path, fw):
    folder = fw.folder
    with wheel.open(folder) as again:
        again.otlp.receive(*swap(span()), at=NOW)
        assert one_of(again) is None


def test_events_without_content_are_not_messages():
    bare = [
        (1, "gen_ai.user.message", {}),
        (2, "gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}),
        (3, "gen_ai.choice", {"index": 0, "message": {"role": "assistant", "tool_calls": {"a": 1}}}),
    ]
    for events in (bare[:1], bare[1:2], bare):
        found = decode(records(*events)[0], JSON, "logs")
        assert (found.drafts, found.parts, found.other) == ([], [], len(events))


def details(number=1, **more):
    asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}])
    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]}])
    told = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": asked, "gen_ai.output.messages": said, **more}
    record = {"traceId": TRACE, "spanId": f"{number:016x}", "timeUnixNano": str(START),
              "eventName": "gen_ai.client.inference.operation.details", "attributes": attributes(told)}  # fmt: skip
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "util"}, "logRecords": [record]}]}]}).encode()


def test_todays_event_stands_alone_where_no_spans_are_sent(fw):
    fw.otlp.receive(details(), JSON, "logs", at=NOW)
    assert (one_of(fw).output, one_of(fw).latency_ms) == ("Hello", None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_todays_event_joins_its_span_where_spans_are_sent(fw, order):
    fw.otlp.receive(*swap(span(number=50, scope="util")), at=NOW)
    fw.otlp.receive(details(number=51), JSON, "logs", at=NOW)
    requests = [swap(span(scope="util")), (details(), JSON, "logs")]
    for place in order:
        fw.otlp.receive(*requests[place], at=NOW)
    assert (one_of(fw).output, one_of(fw).latency_ms) == ("Hello", 750.0)
    assert fw.books()["rejected"] == 0


def test_a_part_that_cannot_be_stored_is_a_dead_letter(fw):
    before = fw.books()
    answer = fw.otlp.receive(*swap(records((1, "gen_ai.user.message", {"content": "x" * 1_100_000}))), at=NOW)[1]
    assert json.loads(answer)["partialSuccess"]["rejectedLogRecords"] == "1"
    after = fw.books()
    assert after["dead_lettered"] == before["dead_lettered"] + 1
    assert after["received"] == after["stored"] + after["duplicates"] + after["rejected"] + after["dead_lettered"]
