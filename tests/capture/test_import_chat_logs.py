"""Chat logs in OpenAI's format, and the NeMo blueprint's records, become interactions word for word."""

from __future__ import annotations

import copy
import itertools
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.exchanges import chat_of, draft_of_exchange, whole_of
from flywheel.capture.sources import choose
from flywheel.capture.sources.blueprint import Blueprint
from flywheel.capture.sources.openai_chat import OpenAIChat
from flywheel.errors import InvalidConfig
from flywheel.testing import check_source

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": '["a", {"type": "x"}]'}]
ANSWER = {"role": "assistant", "content": "yes", "refusal": None, "annotations": []}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}


def completion(message=ANSWER, finish="stop", **more):
    choice = {"index": 0, "message": message, "finish_reason": finish}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1767225600, "model": "gpt-x-1"}
    return {**whole, "choices": [choice], "usage": USAGE, **more}


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1767225600, "choices": [choice], **more}


def read(tmp_path, rows, mapping=None):
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(OpenAIChat().read(str(path), mapping))


def test_a_request_and_its_response(tmp_path):
    request = {"model": "gpt-x", "messages": ASKED, "temperature": 0.2, "user": "ana", "tools": [{"type": "function"}]}
    request |= {"metadata": {"tier": "gold", "session_id": "s1"}, "seed": 7}
    row = {"request": request, "response": completion(), "rating": -1, "duration_ms": 12, "region": "eu"}
    (draft,) = read(tmp_path, [row])
    assert draft == {
        "kind": "interaction",
        "input": ASKED,  # word for word, though the text looks like JSON
        "output": "yes",
        "id": "chatcmpl-1",
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "model": "gpt-x-1",
        "user": "ana",
        "session": "s1",
        "latency_ms": 12,
        "rating": -1,
        "context": {
            "temperature": 0.2,
            "tier": "gold",
            "tokens_in": 5,
            "tokens_out": 2,
            "tokens_cached": 1,
            "tokens_reasoning": 0,
            "finish_reason": "stop",
            "requested_model": "gpt-x",
            "region": "eu",
        },
        "extra": {"response_id": "chatcmpl-1", "parameters": {"seed": 7}, "tools": [{"type": "function"}]},
    }


def test_conversations_of_training_files(tmp_path):
    later = [*ASKED, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}, ANSWER]
    open_end = [{"role": "user", "content": "anybody?"}]
    rows = [{"messages": later, "id": "k", "user_id": "u", "label": "right"}, {"messages": open_end}]
    last, waiting = read(tmp_path, rows)
    assert (last["input"], last["output"], last["label"], last["user"]) == (later[:-1], "yes", "right", "u")
    assert (waiting["input"], waiting["output"]) == (open_end, None)
    first, second, _ = read(tmp_path, rows, {"turns": "every"})
    assert (first["input"], first["output"], first["id"]) == (ASKED, "a", "k-1")
    assert "label" not in first  # what was said is about the end
    assert (second["input"], second["label"], second["id"]) == (later[:-1], "right", "k-2")
    with pytest.raises(InvalidConfig, match="turns"):
        read(tmp_path, rows, {"turns": "some"})
    with pytest.raises(InvalidConfig, match="jsonl"):
        read(tmp_path, rows, {"input": "messages"})


@pytest.mark.parametrize("form", ["chunks", "response", "text", "rows"])
def test_a_stream_is_the_answer_that_it_was(form, tmp_path):
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "yes"}),
        chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "find"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"q"'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
        chunk({}, "tool_calls", model="gpt-x-1"),
        {"id": "chatcmpl-2", "object": "chat.completion.chunk", "choices": [], "usage": USAGE},
    ]
    if form == "rows":
        rows = [*chunks, {**chunk({"content": "other"}), "id": "chatcmpl-3"}]
    else:
        text = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n"
        rows = [{"request": {"messages": ASKED}, form: chunks}]
        if form == "text":
            rows = [{"request": {"messages": ASKED}, "response": text}]
    first, *others = read(tmp_path, rows)
    assert first["output"] == {"role": "assistant", "content": "yes", "tool_calls": [CALL]}
    assert (first["id"], first["model"], first["context"]["tokens_out"]) == ("chatcmpl-2", "gpt-x-1", 2)
    assert [one["output"] for one in others] == (["other"] if form == "rows" else [])


def test_an_import_of_streams_goes_on_without_half_a_stream(tmp_path):
    path = tmp_path / "chunks.jsonl"
    rows = [{**chunk({"content": f"{n}{part}"}), "id": f"c{n}"} for n in range(4) for part in "ab"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = list(OpenAIChat().read(str(path)))
    assert [one["output"] for one in whole] == ["0a0b", "1a1b", "2a2b", "3a3b"]
    for count in range(1, 5):
        begun = OpenAIChat()
        list(itertools.islice(begun.read(str(path)), count))
        rest = list(OpenAIChat().read(str(path), after=begun.cursor))
        assert rest == whole[count:] or rest == whole[count - 1 :]  # the same stream again, whole: known by its id


def test_responses_and_their_items():
    request = {
        "model": "gpt-x",
        "instructions": "be brief",
        "input": [
            {"role": "user", "content": "weather?"},
            {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"q": 1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        ],
    }
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "sunny"}]}
    response = {"id": "resp_1", "object": "response", "created_at": 1767225600, "model": "gpt-x-1", "error": None}
    response |= {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, said]}
    response |= {"usage": {"input_tokens": 3, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 0}}}
    draft = draft_of_exchange(request, response)
    assert draft["input"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]
    assert (draft["output"], draft["extra"]["reasoning"], draft["context"]["tokens_in"]) == ("sunny", "hm", 3)
    events = [
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-x-1"}},
        {"type": "response.output_text.delta", "delta": "sun"},
    ]
    broken = draft_of_exchange(request, events)
    assert (broken["output"], broken["id"]) == ("sun", "resp_1")
    assert "broke off" in broken["error"]
    assert draft_of_exchange(request, [*events, {"type": "response.completed", "response": response}]) == draft


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"error": {"type": "rate_limit_error", "message": "slow down"}}, "rate_limit_error: slow down"),
        ({"status_code": 500, "body": "oh"}, "HTTP 500: oh"),
        (completion({"role": "assistant", "content": None, "refusal": "no"}), "refusal: no"),
        (completion({"role": "assistant", "content": ""}, "content_filter"), "refusal: content_filter"),
        (completion(), None),
    ],
)
def test_errors_and_refusals(response, error):
    draft = draft_of_exchange({"messages": ASKED}, response)
    assert draft.get("error") == error


def test_batches_preferences_and_other_apis(tmp_path):
    batch = {"custom_id": "b1", "response": {"status_code": 200, "body": completion()}, "error": None}
    pair = {"input": {"messages": ASKED}, "preferred_output": [ANSWER]}
    pair |= {"non_preferred_output": [{"role": "assistant", "content": "no"}]}
    legacy = {"request": {"prompt": "1 + 1 ="}, "response": {"id": "cmpl-1", "choices": [{"text": " 2"}]}}
    claude = {"request": {"model": "m", "system": "be brief", "messages": [{"role": "user", "content": "hi"}]}}
    claude["response"] = {"id": "msg_1", "type": "message", "role": "assistant", "stop_reason": "end_turn"}
    claude["response"] |= {"content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 2}}
    flat = {"messages": ASKED, "model": "gpt-x", "response": completion()}
    rows = read(tmp_path, [batch, pair, legacy, claude, flat])
    assert [row["output"] for row in rows] == ["yes", "no", " 2", "hello", "yes"]
    assert rows[1]["label"] == "yes"
    assert rows[2]["input"] == "1 + 1 ="
    assert rows[3]["input"][0] == {"role": "system", "content": "be brief"}
    assert rows[3]["context"]["finish_reason"] == "end_turn"
    assert rows[4]["input"] == ASKED


def test_records_of_the_blueprint(tmp_path):
    path = tmp_path / "records.jsonl"
    request = {"model": "m", "messages": ASKED, "temperature": 0.7}
    record = {"timestamp": 1767225600, "workload_id": "router", "client_id": "dev", "request": request}
    rows = [
        {**record, "response": completion(), "contract_version": "1.1"},
        {**record, "response": completion({"role": "assistant", "content": "no"})},  # the loader's ids repeat
        {"_index": "flywheel", "_source": {**record, "response": {}, "error_details": "timeout"}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert choose(str(path)).source == "nemo-blueprint"
    check_source(Blueprint(), str(path), expected=3)
    first, second, third = Blueprint().read(str(path))
    assert (first["input"], first["output"], first["at"]) == (ASKED, "yes", 1767225600)
    assert first["context"]["workload"] == "router"
    assert first["context"]["client"] == "dev"
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert (third["error"], third["output"]) == ("timeout", {})


@pytest.mark.parametrize(
    "row",
    [
        {"messages": ASKED},
        {"request": {"messages": ASKED}, "response": completion()},
        {"response": {"status_code": 200, "body": completion()}, "custom_id": "b"},
        completion(),
        chunk({"content": "a"}),
    ],
)
def test_chat_logs_are_recognised(row, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert choose(str(path)).source == "openai-chat"
    check_source(OpenAIChat(), str(path), expected=1)


@pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA names no folder with the recorded answers")
def test_recorded_streams_of_a_gateway():
    folder = Path(os.environ["FLYWHEEL_DATA"]) / "tensorzero_fixtures"
    said = {}
    for path in sorted(folder.glob("chat_completions_*")):
        assert choose(str(path)).source == "openai-chat"
        (draft,) = OpenAIChat().read(str(path))
        said[path.name] = draft["output"]
        assert draft["context"]["finish_reason"]
    assert len(said) == 6
    assert said["chat_completions_streaming_example.jsonl"] == "Santa Claus is a popular figure in Christmas"
    call = said["chat_completions_streaming_function_example.jsonl"]["tool_calls"][0]
    assert call["function"] == {"name": "response", "arguments": '{"answer":"Boston"}'}


_names = st.sampled_from(
    [
        "messages",
        "role",
        "content",
        "choices",
        "message",
        "delta",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "id",
        "object",
        "usage",
        "error",
        "type",
        "output",
        "input",
        "request",
        "response",
        "body",
        "status_code",
        "chunks",
        "created",
        "model",
        "metadata",
        "summary",
        "text",
        "instructions",
    ]
) | st.text(max_size=4)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(_names, part, max_size=5),
    max_leaves=25,
)


@pytest.mark.slow
@given(request=_json, response=_json)
def test_no_json_breaks_the_reading_of_an_exchange(request, response):
    before = copy.deepcopy((request, response))
    draft = draft_of_exchange(request, response)
    assert draft["kind"] == "interaction"
    assert "input" in draft
    chat_of(request)
    whole_of(response)
    assert (request, response) == before


@pytest.mark.slow
@settings(max_examples=40)
@given(rows=st.lists(st.dictionaries(_names, _json, max_size=5), max_size=3))
def test_no_row_breaks_the_sources(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source in (OpenAIChat(), Blueprint()):
        assert all(one["kind"] in ("interaction", "unreadable") for one in source.read(str(path)))
        source.recognises(rows)
