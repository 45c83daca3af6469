"""What is logged is there when the call returns, once, and as it was said."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from recorder_fixtures import recorder, store  # noqa: F401

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_several_things_said_are_several_facts(recorder, store):
    key = recorder.log(input="where is my card", output="card_arrival", at=AT)
    ids = recorder.feedback(
        key, rating=-1, label=None, comment="no", outcome={"kept": 1, "paid": False}, report="wrong", at=AT, id="f"
    )
    assert ids == ["f:rating", "f:label", "f:comment", "f:report", "f:outcome:kept", "f:outcome:paid"]
    facts = store.log.feedback_of([key])
    assert [(f.kind, f.name, f.value) for f in facts] == [
        ("rating", None, -1.0),
        ("label", None, None),
        ("comment", None, "no"),
        ("report", None, "wrong"),
        ("outcome", "kept", 1),
        ("outcome", "paid", False),
    ]
    assert {f.at for f in facts} == {AT}


def test_one_fact_keeps_its_id(recorder):
    assert recorder.feedback("i", label="a", id="f") == ["f"]


def test_the_stored_form_of_feedback_is_taken_back(recorder, store):
    recorder.feedback_many(
        [
            {"interaction_id": "i", "kind": "outcome", "name": "kept", "value": 1},
            {"interaction_id": "i", "kind": "label", "value": None},
        ]
    )
    assert [(f.kind, f.name, f.value) for f in store.log.feedback_of(["i"])] == [
        ("outcome", "kept", 1),
        ("label", None, None),
    ]


def test_repeating_a_record_with_an_id_stores_it_once(recorder, store):
    for _ in range(2):
        assert recorder.log(input="x", id="a", at=AT) == "a"
    counts = store.log.counts()
    assert (counts["interactions"], counts["duplicates"]) == (1, 1)


def test_many_from_a_table_and_from_a_generator(recorder, store):
    seen = []
    table = pa.table(
        {"id": ["a", "b"], "input": ["x", "y"], "confidence": [0.5, None], "context": [{"os": "ios"}, None]}
    )
    assert recorder.log_many(table, lambda step, share: seen.append((step, share))) == ["a", "b"]
    assert seen[-1] == ("log_many", 1.0)
    ids = recorder.log_many({"input": n} for n in range(2500))
    assert len(set(ids)) == 2500
    assert ids == sorted(ids)
    stored = store.log.interactions(["a", "b"])
    assert stored["a"].context == {"os": "ios"}
    assert stored["b"].confidence is None
    facts = pa.table({"interaction_id": ["a", "b"], "rating": [1.0, None], "label": [None, "z"]})
    assert len(recorder.feedback_many(facts)) == 2
    assert [(f.kind, f.value) for f in store.log.feedback_of(["a", "b"])] == [("rating", 1.0), ("label", "z")]


def test_threads_share_one_recorder(recorder, store):
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: recorder.log(input=f"write to a{n}@example.org"), range(200)))
    assert len(set(ids)) == 200
    assert store.log.counts()["interactions"] == 200
    assert recorder.redacted["email"] == 200


@pytest.mark.parametrize("empty", [[], iter(())])
def test_nothing_to_store_is_no_error(empty, recorder):
    assert recorder.log_many(empty) == []


@pytest.mark.parametrize("drawn", ["01a20c02-32ac-74e3-9689-857122983090", "imp_abcdefabcdefabcd9689857122983090"])
def test_an_id_that_a_machine_drew_is_kept_whatever_its_digits_look_like(recorder, drawn):
    assert recorder.log(id=drawn, input="hello") == drawn
