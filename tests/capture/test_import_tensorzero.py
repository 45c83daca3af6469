"""Tables of the TensorZero gateway: inferences, feedback of every kind, datapoints."""

from __future__ import annotations

import itertools
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.sources import choose
from flywheel.capture.sources.tensorzero import TensorZero
from flywheel.testing import check_source

FIRST, SECOND, THIRD = (f"019b7654-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
EPISODE = "019b7653-0000-7000-8000-000000000000"
INPUT = {
    "system": "be brief",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {"role": "assistant", "content": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": '{"q":1}'}]},
        {"role": "user", "content": [{"type": "tool_result", "id": "c1", "name": "find", "result": "sunny"}]},
        {"role": "user", "content": [{"type": "template", "name": "user", "arguments": {"topic": "x"}}]},
    ],
}


def inference(id=FIRST, output=None, **more):
    row = {"id": id, "function_name": "chat", "variant_name": "gpt_v2", "episode_id": EPISODE}
    row |= {"input": json.dumps(INPUT), "output": json.dumps(output or [{"type": "text", "text": "hello"}])}
    row |= {"inference_params": '{"chat_completion":{"temperature":0.3}}', "processing_time_ms": 120}
    return {**row, "timestamp": "2026-01-01 00:00:00", "tags": {"user_id": "ana", "tier": "gold"}, **more}


def _write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_an_inference(tmp_path):
    location = _write(tmp_path / "i.jsonl", [inference()])
    assert choose(location).source == "tensorzero"
    check_source(TensorZero(), location, expected=1)
    (draft,) = TensorZero().read(location)
    assert draft == {
        "kind": "interaction",
        "id": FIRST,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "input": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}}],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
            {"role": "user", "content": [{"type": "template", "name": "user", "arguments": {"topic": "x"}}]},
        ],
        "output": "hello",
        "latency_ms": 120,
        "model": "gpt_v2",
        "session": EPISODE,
        "user": "ana",
        "context": {"function": "chat", "temperature": 0.3, "tier": "gold"},
    }


def test_outputs_of_json_functions_and_calls_of_tools(tmp_path):
    rows = [
        inference(output={"raw": '{"a":1}', "parsed": {"a": 1}}),
        inference(SECOND, {"raw": "not json", "parsed": None}),
        inference(THIRD, [{"type": "tool_call", "id": "c", "raw_name": "find", "raw_arguments": "{}", "name": None}]),
    ]
    right, wrong, call = TensorZero().read(_write(tmp_path / "i.jsonl", rows))
    assert (right["output"], right.get("error")) == ({"a": 1}, None)
    assert (wrong["output"], wrong["error"][:6]) == ("not json", "schema")
    assert call["output"]["tool_calls"][0]["function"] == {"name": "find", "arguments": "{}"}


def test_a_folder_joins_tokens_and_feedback_on_episodes(tmp_path):
    _write(tmp_path / "z_inferences.jsonl", [inference(), inference(SECOND)])
    call = {"id": THIRD, "inference_id": SECOND, "model_name": "gpt-x", "model_provider_name": "openai"}
    call |= {"input_tokens": 9, "output_tokens": 3, "finish_reason": "stop", "raw_request": "…"}
    _write(tmp_path / "y_model.jsonl", [call])
    tags = {"author": "bo"}
    rows = [
        {"id": "f1", "target_id": FIRST, "metric_name": "task_success", "value": True, "tags": tags},
        {"id": "f2", "target_id": EPISODE, "metric_name": "elapsed", "value": 1.5, "tags": {}},
        {"id": "f3", "target_id": FIRST, "metric_name": "thumbs_up", "value": False, "tags": {}},
        {"id": "f4", "target_id": FIRST, "target_type": "inference", "value": "so so", "tags": tags},
        {"id": "f5", "inference_id": FIRST, "value": '[{"type":"text","text":"good day"}]', "tags": tags},
        {"id": "f6", "target_id": "nobody", "target_type": "episode", "value": "?", "tags": {}},
        {
            "id": "f7",
            "target_id": FIRST,
            "metric_name": "judge",
            "value": 1,
            "tags": {"tensorzero::evaluator_name": "j"},
        },
    ]
    _write(tmp_path / "a_feedback.jsonl", rows)
    source = TensorZero()
    drafts = list(source.read(str(tmp_path)))
    first, second, success, elapsed, thumbs, comment, shown, lost, judged = drafts
    assert "tokens_in" not in first["context"]
    assert second["context"]["tokens_in"] == 9
    assert second["context"]["base_model"] == "gpt-x"
    assert (success["outcome"], success["interaction_id"], success["by"]) == ({"task_success": True}, FIRST, "bo")
    assert (elapsed["outcome"], elapsed["interaction_id"]) == ({"elapsed": 1.5}, SECOND)  # the episode's last
    assert (thumbs["rating"], thumbs["source"]) == (-1, "user")
    assert comment["comment"] == "so so"
    assert (shown["label"], shown["source"]) == ("good day", "reviewer")
    assert lost["kind"] == "unreadable"
    assert judged["source"] == "judge"
    for count in range(1, len(drafts)):
        begun = TensorZero()
        list(itertools.islice(begun.read(str(tmp_path)), count))
        assert list(TensorZero().read(str(tmp_path), after=begun.cursor)) == drafts[count:]


def test_datapoints_have_their_output_as_label(tmp_path):
    point = {"dataset_name": "good", "function_name": "chat", "id": FIRST, "episode_id": None, "input": INPUT}
    point |= {"output": [{"type": "text", "text": "hello"}], "tags": {}, "is_deleted": False, "staled_at": None}
    rows = [point, {**point, "is_deleted": True}, {**point, "output": None, "dataset_name": "none"}]
    source = TensorZero()
    with_label, without = source.read(_write(tmp_path / "d.jsonl", rows))
    assert source.passed == 1
    assert (with_label["id"], with_label["label"], with_label["source"]) == (f"good:{FIRST}", "hello", "system")
    assert with_label["at"] == datetime(2025, 12, 31, 21, 32, 55, 168000, tzinfo=UTC)  # the time in the id
    assert "label" not in without


@pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA names no folder with the fixtures")
@pytest.mark.parametrize(("name", "count", "labels"), [("chat", 41, 31), ("json", 27, 6)])
def test_recorded_datapoints(name, count, labels):
    location = str(Path(os.environ["FLYWHEEL_DATA"]) / "tensorzero_fixtures" / f"{name}_datapoint_fixture.jsonl")
    assert choose(location).source == "tensorzero"
    check_source(TensorZero(), location, expected=count)
    drafts = list(TensorZero().read(location))
    assert sum("label" in draft for draft in drafts) == labels
    assert all(draft["input"][0]["role"] == "user" for draft in drafts)
    assert len({draft["id"] for draft in drafts}) == count


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "raw", "role"]), part),
    max_leaves=8,
)
_fields = st.sampled_from(
    [*inference(), "target_id", "metric_name", "value", "dataset_name", "inference_id", "model_name"]
)


@settings(max_examples=50)
@given(rows=st.lists(st.dictionaries(_fields, _values, max_size=8), max_size=3))
def test_no_row_breaks_the_source(rows, tmp_path_factory):
    rows = [{**inference(), **row} for row in rows] + rows
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    for one in TensorZero().read(_write(path, rows)):
        assert one["kind"] in ("interaction", "feedback", "unreadable")
    TensorZero.recognises(rows)
