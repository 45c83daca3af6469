"""A bad value gives an error that names the field and the fix, and leaves nothing half-written."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.errors import InvalidRecord

CIRCLE: list = [1]
CIRCLE.append(CIRCLE)
DEEP: list = []
for _ in range(100):
    DEEP = [DEEP]
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001  (the mistake under test)

BAD_INTERACTIONS = {
    "nan confidence": ({"input": "x", "confidence": math.nan}, "confidence"),
    "infinite latency": ({"input": "x", "latency_ms": math.inf}, "latency_ms"),
    "nan deep in the input": ({"input": {"a": [1.0, {"b": math.nan}]}}, "input.a[1].b"),
    "nan in an array": ({"input": np.array([1.0, math.nan])}, "input[1]"),
    "nan in context": ({"input": "x", "context": {"age": math.nan}}, "context.age"),
    "nan score": ({"input": "x", "scores": {"a": math.nan}}, "scores.a"),
    "missing score": ({"input": "x", "scores": {"a": None}}, "scores.a"),
    "nan in an unknown field": ({"input": "x", "mood": math.nan}, "mood"),
    "naive time": ({"input": "x", "at": NAIVE}, "at"),
    "naive text time": ({"input": "x", "sent_at": "2026-01-01T00:00:00"}, "sent_at"),
    "time that is none": ({"input": "x", "at": "yesterday"}, "at"),
    "small number as time": ({"input": "x", "at": 12}, "at"),
    "a large input": ({"input": "x" * 10_000_000}, "input"),
    "a large list": ({"input": [0] * 10_000_000}, "input"),
    "large altogether": ({"input": "x" * 60_000, "output": "y" * 60_000}, "input"),
    "circular": ({"input": {"a": CIRCLE}}, "input.a[1]"),
    "too deep": ({"input": DEEP}, "input" + "[0]" * 64),
    "a set": ({"input": {1, 2}}, "input"),
    "bytes": ({"input": b"abc"}, "input"),
    "an object": ({"input": object()}, "input"),
    "a datetime as value": ({"input": {"when": datetime.now(UTC)}}, "input.when"),
    "a key that is no text": ({"input": {1: "a"}}, "input"),
    "half a surrogate pair": ({"input": "a\ud800"}, "input"),
    "a huge whole number": ({"input": 2**70}, "input"),
    "id of another type": ({"input": "x", "id": 17}, "id"),
    "empty id": ({"input": "x", "id": ""}, "id"),
    "long id": ({"input": "x", "id": "i" * 201}, "id"),
    "id with a zero byte": ({"input": "x", "id": "a\0b"}, "id"),
    "user of another type": ({"input": "x", "user": 17}, "user"),
    "confidence 1.7": ({"input": "x", "confidence": 1.7}, "confidence"),
    "confidence below 0": ({"input": "x", "confidence": -0.1}, "confidence"),
    "confidence as text": ({"input": "x", "confidence": "high"}, "confidence"),
    "confidence as truth value": ({"input": "x", "confidence": True}, "confidence"),
    "negative latency": ({"input": "x", "latency_ms": -1}, "latency_ms"),
    "propensity 0": ({"input": "x", "propensity": 0}, "propensity"),
    "nested context": ({"input": "x", "context": {"device": {"os": "ios"}}}, "context.device"),
    "context that is no dict": ({"input": "x", "context": ["ios"]}, "context"),
    "consent that is no truth value": ({"input": "x", "consent": "yes"}, "consent"),
    "error that is no text": ({"input": "x", "error": ValueError("x")}, "error"),
    "misspelt field": ({"input": "x", "confidense": 0.5}, "confidense"),
    "user under another name": ({"input": "x", "user_id": "ana"}, "user_id"),
    "extra that is no dict": ({"input": "x", "extra": 3}, "extra"),
}

BAD_FEEDBACK = {
    "nothing said": ({}, "feedback"),
    "nan rating": ({"rating": math.nan}, "rating"),
    "rating as text": ({"rating": "good"}, "rating"),
    "rating as truth value": ({"rating": True}, "rating"),
    "label that is no JSON": ({"label": {1, 2}}, "label"),
    "empty comment": ({"comment": "  "}, "comment"),
    "comment that is no text": ({"comment": 3}, "comment"),
    "outcome without a metric": ({"outcome": {}}, "outcome"),
    "outcome that says nothing": ({"outcome": {"kept": None}}, "outcome.kept"),
    "nested outcome": ({"outcome": {"kept": [1]}}, "outcome.kept"),
    "unknown source": ({"rating": 1, "source": "me"}, "source"),
    "naive time": ({"rating": 1, "at": NAIVE}, "at"),
    "propensity 0": ({"rating": 1, "propensity": 0.0}, "propensity"),
    "id of another type": ({"rating": 1, "id": 5}, "id"),
    "second of two things is bad": ({"rating": 1, "comment": ""}, "comment"),
}


@pytest.mark.parametrize("name", BAD_INTERACTIONS)
def test_bad_interaction(name, recorder, store):
    fields, field = BAD_INTERACTIONS[name]
    with pytest.raises(InvalidRecord) as refused:
        recorder.log(**fields)
    assert refused.value.field == field
    assert refused.value.fix
    assert len(str(refused.value)) < 600  # it shows the value, not all of it
    assert store.log.last() == 0


@pytest.mark.parametrize("name", BAD_FEEDBACK)
def test_bad_feedback(name, recorder, store):
    fields, field = BAD_FEEDBACK[name]
    with pytest.raises(InvalidRecord) as refused:
        recorder.feedback("i1", **fields)
    assert refused.value.field == field
    assert refused.value.fix
    assert store.log.last() == 0


def test_feedback_needs_an_interaction_id_of_the_right_type(recorder, store):
    with pytest.raises(InvalidRecord, match="interaction_id"):
        recorder.feedback(17, rating=1)
    assert store.log.last() == 0


def test_unknown_feedback_field_is_named(recorder):
    with pytest.raises(InvalidRecord, match="rating") as refused:
        recorder.feedback_many([{"interaction_id": "i1", "ratting": 1}])
    assert refused.value.field == "records[0].ratting"


def test_interaction_without_input(recorder):
    with pytest.raises(InvalidRecord) as refused:
        recorder.log_many([{"output": "x"}])
    assert refused.value.field == "records[0].input"


@pytest.mark.parametrize("place", [0, 1, 999, 1000, 1500])
def test_records_before_a_bad_one_are_stored_and_none_after(place, recorder, store):
    rows = [{"id": f"r{n}", "input": n} for n in range(1600)]
    rows[place]["confidence"] = 2.0
    with pytest.raises(InvalidRecord) as refused:
        recorder.log_many(rows)
    assert refused.value.field == f"records[{place}].confidence"
    assert store.log.counts()["interactions"] == place
    if place:
        assert f"The {place} before it are stored" in str(refused.value)


def test_bad_record_in_an_arrow_table(recorder, store):
    table = pa.table({"input": ["a", "b"], "confidence": [0.5, 1.7]})
    with pytest.raises(InvalidRecord) as refused:
        recorder.log_many(table)
    assert refused.value.field == "records[1].confidence"
    assert store.log.last() == 1


def test_good_values_at_the_edges_are_kept(recorder, store):
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    key = recorder.log(
        input={"image": np.eye(2), "n": np.int64(3), "pair": (1, 2)},
        output=None,
        id="i" * 200,
        at="2026-01-31T13:00:00+01:00",
        confidence=np.float32(0.5),
        latency_ms=0,
        propensity=1,
        context={"device": None, "hour": 3, "beta": True},
        consent=True,
        mood="glad",
        extra={"confidense": 1},
    )
    seen = store.log.interactions([key])[key]
    assert seen.at == at
    assert seen.input == {"image": [[1.0, 0.0], [0.0, 1.0]], "n": 3, "pair": [1, 2]}
    assert (seen.confidence, seen.latency_ms, seen.propensity, seen.consent) == (0.5, 0.0, 1.0, True)
    assert seen.extra == {"mood": "glad", "confidense": 1}
    assert seen.context == {"device": None, "hour": 3, "beta": True}


@pytest.mark.parametrize("stamp", [1_767_225_600, 1_767_225_600_000, 1_767_225_600_000_000, 1_767_225_600e9])
def test_times_since_1970_in_any_unit(stamp, recorder, store):
    key = recorder.log(input="x", at=stamp)
    assert store.log.interactions([key])[key].at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_value_used_twice_is_no_circle(recorder, store):
    part = [1, 2]
    key = recorder.log(input={"a": part, "b": part})
    assert store.log.interactions([key])[key].input == {"a": [1, 2], "b": [1, 2]}


def test_a_refused_value_does_not_change_what_comes_next(recorder, store):
    value = {"a": [1, {1: 2}]}
    for _ in range(2):
        with pytest.raises(InvalidRecord):
            recorder.log(input=value)
    value["a"] = [1]
    recorder.log(input=value)
    assert store.log.last() == 1
