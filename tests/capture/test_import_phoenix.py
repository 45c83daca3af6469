"""Exports of Phoenix: spans as a dataframe or from its API, and annotations."""

from __future__ import annotations

import csv
import itertools
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.sources import choose
from flywheel.capture.sources.phoenix import Phoenix
from flywheel.testing import check_source

TRACE = "a" * 32
CALL = {"tool_call.function.name": "find", "tool_call.function.arguments": '{"q": 1}', "tool_call.id": "c1"}


def span(id, kind="LLM", parent=None, **more):
    """A row of `get_spans_dataframe().reset_index()`."""
    row = {"context.span_id": id, "context.trace_id": TRACE, "name": id, "span_kind": kind, "parent_id": parent}
    row |= {"start_time": "2026-01-01T00:00:00+00:00", "end_time": "2026-01-01T00:00:01+00:00"}
    row |= {"status_code": "OK", "status_message": "", "events": []}
    row["attributes.llm.model_name"] = "gpt-x"
    row["attributes.llm.input_messages"] = [
        {"message.role": "user", "message.content": "hi"},
        {"message.role": "assistant", "message.tool_calls": [CALL]},
    ]
    row["attributes.llm.output_messages"] = [{"message.role": "assistant", "message.content": "hello"}]
    row["attributes.llm.token_count.prompt"] = 7
    row["attributes.llm.invocation_parameters"] = '{"temperature": 0.5}'
    row["attributes.session.id"] = "s1"
    row["attributes.user.id"] = "ana"
    row["attributes.metadata"] = {"tier": "gold"}
    row["attributes.input.value"] = "the whole request"
    return {**row, **more}


def annotation(name, span_id, kind="HUMAN", **more):
    row = {"span_id": span_id, "annotation_name": name, "annotator_kind": kind, "id": f"A-{name}", "identifier": ""}
    row |= {"result.label": None, "result.score": None, "result.explanation": None}
    return {**row, "created_at": "2026-01-02T00:00:00+00:00", **more}


def _table(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in rows:
                writer.writerow(row)  # lists as pandas writes them
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_a_call_of_a_model(ending, tmp_path):
    location = _table(tmp_path / f"spans{ending}", [span("root", "CHAIN"), span("call", parent="root")])
    assert choose(location).source == "phoenix"
    check_source(Phoenix(), location, expected=1)
    source = Phoenix()
    (draft,) = source.read(location)
    assert source.passed == 1
    function = {"name": "find", "arguments": '{"q": 1}'}
    assert draft["input"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
    ]
    assert (draft["output"], draft["model"], draft["user"], draft["session"]) == ("hello", "gpt-x", "ana", "s1")
    assert (draft["id"], draft["latency_ms"]) == (f"{TRACE}-call", 1000.0)
    assert draft["at"] == datetime(2026, 1, 1, tzinfo=UTC)
    context = draft["context"]
    assert (float(context["tokens_in"]), context["temperature"], context["tier"]) == (7, 0.5, "gold")


def test_a_span_as_the_api_returns_it(tmp_path):
    row = {"id": "U3Bhbg==", "name": "call", "context": {"trace_id": TRACE, "span_id": "call"}, "span_kind": "LLM"}
    row |= {"parent_id": None, "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:01Z"}
    row |= {"status_code": "ERROR", "status_message": "ValueError: no"}
    attributes = {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "hi"}
    row["attributes"] = {**attributes, "llm.model_name": "gpt-x"}
    row["events"] = [{"name": "exception", "attributes": {"exception.type": "ValueError", "exception.message": "no"}}]
    path = tmp_path / "spans.json"
    path.write_text(json.dumps({"data": [row], "next_cursor": None}))
    assert choose(str(path)).source == "phoenix"
    (draft,) = Phoenix().read(str(path))
    assert draft["input"] == [{"role": "user", "content": "hi"}]
    assert draft["error"] == "ValueError: no"


def test_annotations_in_a_folder_are_about_the_answer(tmp_path):
    spans = [
        span("root", "CHAIN"),
        span("one", parent="root"),
        span("two", parent="root", end_time="2026-01-01T00:00:09Z"),
    ]
    _table(tmp_path / "spans.parquet", spans)
    notes = [
        annotation("thumbs", "root", **{"result.label": "up", "result.score": 1.0}),
        annotation("correctness", "one", "LLM", **{"result.score": 0.25, "result.explanation": "wrong"}),
        annotation("tone", "two", "CODE", **{"result.label": "rude"}),
        annotation("note", "root", **{"result.explanation": "please mend"}),
        annotation("correction", "root", **{"result.explanation": "good day"}),
        annotation("lost", "nobody", **{"result.score": 1.0}),
        annotation("empty", "root"),
    ]
    _table(tmp_path / "annotations.csv", notes)
    assert choose(str(tmp_path)).source == "phoenix"
    source = Phoenix()
    drafts = list(source.read(str(tmp_path)))
    about = {draft["id"]: draft for draft in drafts if draft["kind"] == "feedback"}
    answer = f"{TRACE}-two"
    assert (about["phoenix_A-thumbs"]["rating"], about["phoenix_A-thumbs"]["interaction_id"]) == (1, answer)
    judged = about["phoenix_A-correctness"]
    assert (judged["outcome"], judged["source"]) == ({"correctness": 0.25}, "judge")
    assert judged["interaction_id"] == f"{TRACE}-one"
    assert (about["phoenix_A-tone"]["outcome"], about["phoenix_A-tone"]["source"]) == ({"tone": "rude"}, "system")
    assert about["phoenix_A-note"]["comment"] == "please mend"
    assert (about["phoenix_A-correction"]["label"], about["phoenix_A-correction"]["source"]) == ("good day", "reviewer")
    lost, empty = (draft["problem"] for draft in drafts if draft["kind"] == "unreadable")
    assert "folder" in lost
    assert "no score" in empty
    for count in range(1, len(drafts)):
        begun = Phoenix()
        list(itertools.islice(begun.read(str(tmp_path)), count))
        assert list(Phoenix().read(str(tmp_path), after=begun.cursor)) == drafts[count:]


def test_which_spans_are_kept(tmp_path):
    location = _table(
        tmp_path / "s.jsonl", [span("root", "AGENT"), span("inner", "AGENT", "root"), span("call", "LLM", "root")]
    )
    ids = {
        kept: [draft["id"][33:] for draft in Phoenix().read(location, {"spans": kept})]
        for kept in ("calls", "roots", "all")
    }
    assert ids == {"calls": ["root", "call"], "roots": ["root"], "all": ["root", "inner", "call"]}


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from([*span("x"), *annotation("x", "x"), "context", "attributes", "annotations", "result"])


@pytest.mark.slow
@settings(max_examples=50)
@given(rows=st.lists(st.dictionaries(_fields, _values, max_size=8), max_size=3))
def test_no_row_breaks_the_source(rows, tmp_path_factory):
    rows = [base | row for row in rows for base in (span("x"), annotation("x", "x"), {})]
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    for one in Phoenix().read(_table(path, rows)):
        assert one["kind"] in ("interaction", "feedback", "unreadable")
    Phoenix.recognises(rows)
