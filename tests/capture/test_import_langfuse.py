"""Exports of Langfuse: traces with their observations, the bulk export's tables, and what was scored."""

from __future__ import annotations

import csv
import itertools
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.sources import choose
from flywheel.capture.sources.langfuse import Langfuse
from flywheel.errors import InvalidConfig
from flywheel.testing import check_source

TRACE = "a" * 32
ASKED = [{"role": "user", "content": "hi"}]


def observation(id, type="GENERATION", parent="", start="2026-01-01 00:00:00.000000", **more):
    """A row of the bulk export (observations_v2)."""
    row = {"id": id, "trace_id": TRACE, "type": type, "parent_observation_id": parent, "start_time": start}
    row |= {"end_time": start.replace(":00.000", ":01.500"), "name": f"step {id}", "level": "DEFAULT"}
    row |= {"input": json.dumps(ASKED), "output": "hello", "provided_model_name": "gpt-x", "user_id": "ana"}
    row |= {"model_parameters": '{"temperature":0.5}', "usage_details": {"input": 7, "output": 2, "total": 9}}
    row |= {"session_id": "s1", "trace_name": "chat", "tags": ["t1"], "environment": "prod", "total_cost": 0.25}
    row |= {"metadata": {"tier": "gold", "deep": {"a": 1}}, "version": "", "status_message": ""}
    return {**row, **more}


def score(name, value=1.0, source="EVAL", sort="NUMERIC", observation_id=None, **more):
    row = {"id": f"score-{name}", "timestamp": "2026-01-02 00:00:00.000000", "trace_id": TRACE, "name": name}
    row |= {"observation_id": observation_id, "value": value, "source": source, "data_type": sort}
    return {**row, "string_value": None, "comment": None, **more}


def _table(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in rows:
                cells = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()}
                writer.writerow(cells)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_generation_of_the_bulk_export(ending, tmp_path):
    rows = [observation("root", "SPAN"), observation("gen", parent="root")]
    location = _table(tmp_path / f"observations{ending}", rows)
    assert choose(location).source == "langfuse"
    check_source(Langfuse(), location, expected=1)
    source = Langfuse()
    (draft,) = source.read(location)
    assert source.passed == 1
    assert draft.pop("extra")["tags"] == ["t1"]
    assert draft == {
        "kind": "interaction",
        "input": ASKED,
        "output": "hello",
        "id": f"{TRACE}-gen",
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "latency_ms": 1500.0,
        "model": "gpt-x",
        "user": "ana",
        "session": "s1",
        "context": {
            "temperature": 0.5,
            "environment": "prod",
            "trace_name": "chat",
            "tokens_in": 7,
            "tokens_out": 2,
            "cost": 0.25,
            "tier": "gold",
        },
    }


@pytest.mark.parametrize(("spans", "ids"), [("roots", ["root"]), ("all", ["root", "gen"])])
def test_which_observations_are_kept(spans, ids, tmp_path):
    location = _table(tmp_path / "o.jsonl", [observation("root", "SPAN"), observation("gen", parent="root")])
    for mapping, where in (({"spans": spans}, location), (None, f"{location}?spans={spans}")):
        assert [draft["id"] for draft in Langfuse().read(where, mapping)] == [f"{TRACE}-{id}" for id in ids]
    with pytest.raises(InvalidConfig, match="spans"):
        list(Langfuse().read(location, {"spans": "some"}))


def test_errors_and_agents(tmp_path):
    failed = observation("bad", level="ERROR", status_message="boom", output="")
    agent = observation("agent", "AGENT")
    inner = observation("inner", "AGENT", parent="agent")
    location = _table(tmp_path / "o.jsonl", [failed, agent, inner])
    bad, root = Langfuse().read(location)
    assert bad["error"] == "error: boom"
    assert bad["output"] is None
    assert root["id"] == f"{TRACE}-agent"


def test_scores_in_a_folder_are_about_the_answer(tmp_path):
    folder = tmp_path / "export"
    for name in ("observations_v2", "scores"):
        (folder / name).mkdir(parents=True)
    first = observation("gen1", parent="root")
    last = observation("gen2", parent="root", start="2026-01-01 00:00:05.000000")
    _table(folder / "observations_v2" / "a.jsonl", [observation("root", "SPAN"), last, first])
    scores = [
        score("correctness", 0.2, comment="wrong"),
        score("thumbs", 0.0, "API", "BOOLEAN"),
        score("tone", 0, "ANNOTATION", "CATEGORICAL", "gen1", string_value="rude", author_user_id="bo"),
        score("note", 0, "ANNOTATION", "TEXT", string_value="please mend"),
        score("output", None, "ANNOTATION", "CORRECTION", long_string_value="good day"),
        {**score("mood"), "trace_id": None, "session_id": "s1"},
        {**score("lost"), "trace_id": "f" * 32},
    ]
    _table(folder / "scores" / "0.jsonl", scores)  # its name comes first, and it is read last
    assert choose(str(folder)).source == "langfuse"
    source = Langfuse()
    drafts = list(source.read(str(folder)))
    about = {draft.get("id"): draft for draft in drafts if draft["kind"] == "feedback"}
    answer = f"{TRACE}-gen2"
    assert [about[f"score-{name}"]["interaction_id"] for name in ("correctness", "thumbs", "output")] == [answer] * 3
    assert about["score-correctness"]["outcome"] == {"correctness": 0.2}
    assert about["score-correctness"]["source"] == "judge"
    assert about["score-correctness"]["extra"] == {"explanation": "wrong"}
    assert (about["score-thumbs"]["rating"], about["score-thumbs"]["source"]) == (-1, "user")
    tone = about["score-tone"]
    assert (tone["interaction_id"], tone["outcome"], tone["by"]) == (f"{TRACE}-gen1", {"tone": "rude"}, "bo")
    assert (about["score-note"]["comment"], about["score-note"]["source"]) == ("please mend", "reviewer")
    assert (about["score-output"]["label"], about["score-output"]["at"]) == (
        "good day",
        datetime(2026, 1, 2, tzinfo=UTC),
    )
    (lost,) = [draft for draft in drafts if draft["kind"] == "unreadable"]
    assert "folder" in lost["problem"]
    assert source.passed == 2  # the root, and the score of a session
    for count in range(1, len(drafts)):  # going on knows what was before
        begun = Langfuse()
        list(itertools.islice(begun.read(str(folder)), count))
        assert list(Langfuse().read(str(folder), after=begun.cursor)) == drafts[count:]


def test_the_older_export_has_the_users_among_the_traces(tmp_path):
    plain = {k: v for k, v in observation("gen").items() if k not in ("user_id", "session_id", "trace_name", "tags")}
    _table(tmp_path / "a_observations.jsonl", [plain])
    trace = {
        "id": TRACE,
        "timestamp": "2026-01-01 00:00:00.000000",
        "name": "chat",
        "user_id": "ana",
        "session_id": "s1",
    }
    trace |= {"tags": ["t1"], "metadata": {"plan": "pro"}, "bookmarked": False, "input": '"hi"', "output": None}
    alone = _table(tmp_path / "z_traces.jsonl", [trace])
    (draft,) = Langfuse().read(str(tmp_path))
    assert (draft["user"], draft["session"], draft["context"]["plan"]) == ("ana", "s1", "pro")
    (whole,) = Langfuse().read(alone)  # nothing but traces: they are what there is
    assert (whole["id"], whole["input"], whole["user"]) == (TRACE, "hi", "ana")


def test_a_trace_as_the_api_returns_it(tmp_path):
    def told(id, type, parent=None, **more):
        row = {"id": id, "traceId": TRACE, "type": type, "parentObservationId": parent, "name": id, "input": ASKED}
        row |= {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:02Z", "output": {"content": "hello"}}
        return {**row, "level": "DEFAULT", "model": "m", "usage": {"input": 1, "output": 2}, **more}

    trace = {"id": TRACE, "timestamp": "2026-01-01T00:00:00Z", "userId": "ana", "sessionId": None, "name": "chat"}
    thumbs = {"id": "s", "name": "user-feedback", "value": 1, "source": "API", "dataType": "NUMERIC"}
    rows = [
        {**trace, "observations": [told("r", "SPAN"), told("g", "GENERATION", "r")], "scores": [thumbs]},
        {**trace, "id": "b" * 32, "observations": [told("r", "SPAN", traceId="b" * 32)], "scores": []},
        {**trace, "id": "c" * 32, "observations": [], "scores": [thumbs], "input": "x", "output": "y"},
    ]
    path = tmp_path / "traces.json"
    path.write_text(json.dumps({"data": rows, "meta": {"page": 1}}))
    assert choose(str(path)).source == "langfuse"
    call, said, root, plain, about = Langfuse().read(str(path))
    assert (call["id"], call["output"], call["context"]["tokens_out"]) == (f"{TRACE}-g", {"content": "hello"}, 2)
    assert (said["interaction_id"], said["rating"]) == (call["id"], 1.0)
    assert root["id"] == f"{'b' * 32}-r"  # no model was called: its root
    assert (plain["id"], plain["input"], plain["output"]) == ("c" * 32, "x", "y")
    assert about["interaction_id"] == "c" * 32


@pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA names no folder with the recorded traces")
def test_recorded_traces_of_four_frameworks():
    folder = Path(os.environ["FLYWHEEL_DATA"]) / "langfuse_traces"
    check_source(Langfuse(), str(folder))
    drafts = list(Langfuse().read(str(folder)))
    calls = [draft for draft in drafts if draft["kind"] == "interaction"]
    assert len(calls) == 6
    assert all(call["output"] is not None and call["input"] is not None for call in calls)
    assert all(isinstance(call["context"]["tokens_in"], int) for call in calls)
    agents = {call["extra"]["span_id"]: call for call in calls}
    answer = agents["90d94774e8e3724d"]
    assert answer["output"].startswith("The weather in Tokyo is currently sunny")
    assert [message["role"] for message in answer["input"]][-3:] == ["user", "assistant", "tool"]
    asked = agents["98870087af69bf06"]["output"]["tool_calls"][0]["function"]
    assert asked == {"name": "get_weather", "arguments": '{"city":"Tokyo"}'}
    assert agents["7ca8b22f6628d0c7"]["user"] == "user_123"
    judged = [draft for draft in drafts if draft["kind"] == "feedback"]
    assert {draft["source"] for draft in judged} == {"judge"}
    assert {draft["interaction_id"] for draft in judged} <= {call["id"] for call in calls}
    assert len(judged) == 6


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from(
    [*observation("x"), *score("x"), "trace", "observations", "scores", "timestamp", "bookmarked"]
)


@pytest.mark.slow
@settings(max_examples=50)
@given(rows=st.lists(st.dictionaries(_fields, _values, max_size=8), max_size=3), keep=st.booleans())
def test_no_row_breaks_the_source(rows, keep, tmp_path_factory):
    rows = [{**(observation("x") if keep else score("x")), **row} for row in rows]
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for one in Langfuse().read(str(path)):
        assert one["kind"] in ("interaction", "feedback", "unreadable")
    Langfuse.recognises(rows)
