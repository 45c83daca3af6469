"""Traces of MLflow: from a real tracking store, page by page, and from files of them."""

from __future__ import annotations

import copy
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.sources import choose
from flywheel.capture.sources.mlflow_traces import MlflowTraces
from flywheel.errors import InvalidConfig, NotFound, StoreUnavailable
from flywheel.testing import check_source

CALL = {
    "trace_id": "M/syfNT7n0eWgPhZpDqYVQ==",
    "span_id": "UkLW+8vGYcc=",
    "parent_span_id": None,
    "name": "call",
    "start_time_unix_nano": 1767225600000000000,
    "end_time_unix_nano": 1767225601000000000,
    "status": {"code": "STATUS_CODE_OK", "message": ""},
    "events": [],
    "attributes": {
        "mlflow.traceRequestId": '"tr-33fb327cd4fb9f479680f859a43a9855"',
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": '{"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}',
        "mlflow.spanOutputs": '{"model": "gpt-x-1", "choices": [{"message": {"role": "assistant", "content": "yo"}}]}',
        "mlflow.chat.tokenUsage": '{"input_tokens": 3, "output_tokens": 2}',
    },
}
INFO = {
    "trace_id": "tr-33fb327cd4fb9f479680f859a43a9855",
    "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}},
    "request_time": "2026-01-01T00:00:00Z",
    "state": "OK",
    "execution_duration_ms": 1000,
    "trace_metadata": {"mlflow.trace.user": "ana", "mlflow.trace_schema.version": "3"},
    "tags": {"tier": "gold", "mlflow.traceName": "call"},
    "assessments": [],
}
TRACE = {"info": INFO, "data": {"spans": [CALL]}}


def _write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda row: row, lambda row: {"trace_id": "x", "trace": json.dumps(row)}])
def test_a_trace_in_a_file(wrap, tmp_path):
    location = _write(tmp_path / "traces.jsonl", [wrap(TRACE), {"info": {"trace_id": 1}, "data": {"spans": [{}]}}])
    assert choose(location).source == "mlflow"
    draft, broken = MlflowTraces().read(location)
    assert broken["kind"] == "unreadable"
    assert (draft["id"], draft["at"].isoformat()) == (
        "33fb327cd4fb9f479680f859a43a9855-5242d6fbcbc661c7",
        "2026-01-01T00:00:00+00:00",
    )
    assert (draft["input"], draft["output"]) == ([{"role": "user", "content": "hi"}], "yo")
    assert (draft["model"], draft["user"], draft["latency_ms"]) == ("gpt-x-1", "ana", 1000.0)
    assert (draft["context"]["tokens_in"], draft["context"]["tier"]) == (3, "gold")
    check_source(MlflowTraces(), _write(tmp_path / "one.jsonl", [TRACE]), expected=1)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    info=st.dictionaries(st.sampled_from(list(INFO)), _values, max_size=3),
    span=st.dictionaries(st.sampled_from(list(CALL)), _values, max_size=3),
    attributes=st.dictionaries(st.sampled_from(list(CALL["attributes"])), _values.map(json.dumps), max_size=3),
)
def test_no_row_breaks_the_source(info, span, attributes, tmp_path_factory):
    row = copy.deepcopy(TRACE)
    row["data"]["spans"][0]["attributes"].update(attributes)
    row["data"]["spans"][0].update(span)
    row["info"].update(info)
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    for one in MlflowTraces().read(_write(path, [row])):
        assert one["kind"] in ("interaction", "feedback", "unreadable")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A tracking store with real traces: three calls of a model, one without, and what was assessed."""
    import mlflow
    from mlflow.entities import AssessmentSource, SpanType

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("chat", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("chat")

    @mlflow.trace(span_type=SpanType.CHAT_MODEL)
    def call(messages, model="gpt-x", temperature=0.1):
        if messages[0]["content"] == "boom":
            raise ValueError("no")
        answer = {"role": "assistant", "content": "re " + messages[0]["content"]}
        return {"id": "c1", "model": "gpt-x-1", "choices": [{"message": answer, "finish_reason": "stop"}]}

    @mlflow.trace
    def product(question):
        mlflow.update_current_trace(
            tags={"tier": "gold"}, metadata={"mlflow.trace.user": "ana", "mlflow.trace.session": "s1"}
        )
        return call([{"role": "user", "content": question}])["choices"][0]["message"]["content"]

    @mlflow.trace
    def add(a, b):
        return a + b

    try:
        for question in ("one", "two"):
            product(question)
        with pytest.raises(ValueError, match="no"):
            product("boom")
        add(1, 2)
        (first,) = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"], max_results=1, flush=True)
        about = first.info.trace_id
        person, judge = AssessmentSource("HUMAN", "bo"), AssessmentSource("LLM_JUDGE", "gpt")
        mlflow.log_feedback(trace_id=about, name="thumbs", value=False, source=person, rationale="bad")
        mlflow.log_feedback(trace_id=about, name="correctness", value=0.3, source=judge, rationale="wrong")
        mlflow.log_expectation(trace_id=about, name="expected_response", value="good day", source=person)
        mlflow.log_expectation(trace_id=about, name="expected_facts", value=["a"], source=person)
        replaced = mlflow.log_feedback(trace_id=about, name="tone", value="rude", source=judge)
        mlflow.override_feedback(trace_id=about, assessment_id=replaced.assessment_id, value="kind", source=person)
        yield f"mlflow:{uri}"
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.slow
def test_a_tracking_store_is_read_page_by_page(tracked, tmp_path):
    source = MlflowTraces()
    drafts = list(source.read(f"{tracked}?experiment=chat&size=2"))
    calls = [draft for draft in drafts if draft["kind"] == "interaction"]
    assert [call["output"] for call in calls] == ["re one", "re two", None, 3]
    assert calls[0]["input"] == [{"role": "user", "content": "one"}]
    assert (calls[0]["model"], calls[0]["user"], calls[0]["session"]) == ("gpt-x-1", "ana", "s1")
    assert calls[2]["error"] == "ValueError: no"
    assert calls[3]["input"] == {"a": 1, "b": 2}
    assert source.passed == 3 + 1  # three roots, one feedback that was replaced
    said = {
        next(key for key in draft if key in ("rating", "label", "comment", "outcome")): draft for draft in drafts[1:4]
    }
    assert {draft["interaction_id"] for draft in drafts if draft["kind"] == "feedback"} == {calls[0]["id"]}
    assert (said["rating"]["rating"], said["rating"]["comment"], said["rating"]["by"]) == (-1, "bad", "bo")
    outcomes = [draft["outcome"] for draft in drafts if "outcome" in draft]
    assert {"correctness": 0.3} in outcomes
    assert {"tone": "kind"} in outcomes
    assert {"tone": "rude"} not in outcomes
    assert [draft["label"] for draft in drafts if "label" in draft] == ["good day"]
    assert any(draft.get("comment") == 'expected_facts: ["a"]' for draft in drafts)
    check = MlflowTraces()
    assert list(check.read(tracked)) == drafts
    assert check.done == 1.0

    for count in range(1, len(drafts)):
        begun = MlflowTraces()
        list(itertools.islice(begun.read(f"{tracked}?size=1"), count))
        rest = list(MlflowTraces().read(f"{tracked}?size=1", after=begun.cursor))
        assert all(draft in rest for draft in drafts[count:])
    middle = calls[2]["at"].isoformat().replace("+00:00", "Z")  # its trace began a little before
    late = [draft["output"] for draft in MlflowTraces().read(f"{tracked}?since={middle}") if "output" in draft]
    assert late[-1] == 3
    assert "re one" not in late
    roots = list(MlflowTraces().read(tracked, {"spans": "roots"}))
    assert next(draft["input"] for draft in roots if "input" in draft) == {"question": "one"}
    failed = MlflowTraces().read(tracked, {"filter": "status = 'ERROR'"})
    assert [draft["error"] for draft in failed] == ["ValueError: no"]


@pytest.mark.slow
def test_what_is_not_there_is_said(tracked, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(NotFound, match="It has: chat"):
        list(MlflowTraces().read(f"{tracked}?experiment=nope"))
    with pytest.raises(NotFound, match="no database"):
        list(MlflowTraces().read(f"mlflow:sqlite:///{tmp_path}/no.db"))
    with pytest.raises(InvalidConfig, match="filter"):
        list(MlflowTraces().read(f"{tracked}?filter=foo"))
    with pytest.raises(StoreUnavailable, match="run the same import again") as refused:
        list(MlflowTraces().read("mlflow:http://ana:secret@127.0.0.1:9"))
    assert "secret" not in str(refused.value)
