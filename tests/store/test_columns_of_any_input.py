"""Which columns an interaction and a feedback become, and that no value of theirs stops anything."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.config import Config
from flywheel.records import Feedback, Interaction
from flywheel.store import Store, projection

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


def project(store: Store, *records: Interaction | Feedback) -> list[dict[str, Any]]:
    before = store.tables.snapshot().seq
    store.log.append(records, received_at=AT + timedelta(hours=1))
    store.tables.sync(store.log)
    table = store.tables.snapshot().window(before, 10**9).interactions
    return table.order_by("seq").to_pyarrow().to_pylist()  # type: ignore[no-any-return]


def one(store: Store, input: Any = 1, **fields: Any) -> dict[str, Any]:
    key = fields.pop("id", f"x{store.log.last()}")
    return project(store, Interaction(id=key, at=AT, input=input, **fields))[0]


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    return opened()


def test_the_fixed_columns(store: Store) -> None:
    row = one(
        store,
        "where is it",
        output={"b": 1, "a": [1.5]},
        sent_at=AT - timedelta(seconds=1),
        scores={"z": 0.2, "a": 0.8},
        confidence=0.5,
        latency_ms=3,
        error="e",
        model="m",
        user="u",
        session="s",
        propensity=0.1,
        consent=False,
        extra={"k": [1]},
    )
    assert row.pop("rand") == pytest.approx(0.5, abs=0.5)
    assert row == {
        "seq": 1,
        "id": "x0",
        "at": AT,
        "sent_at": AT - timedelta(seconds=1),
        "received_at": AT + timedelta(hours=1),
        "input": '"where is it"',
        "input_text": "where is it",
        "input_vector": None,
        "output": '{"a":[1.5],"b":1}',
        "scores": '{"a":0.8,"z":0.2}',
        "confidence": 0.5,
        "latency_ms": 3.0,
        "error": "e",
        "model": "m",
        "user": "u",
        "session": "s",
        "propensity": 0.1,
        "consent": False,
        "extra": '{"k":[1]}',
        "unplaced": None,
    }


def test_what_is_absent_is_null(store: Store) -> None:
    row = one(store, None)
    absent = {name for name, value in row.items() if value is None}
    assert absent == set(row) - {"seq", "id", "at", "received_at", "input", "rand"}


def test_types_on_the_engine(store: Store) -> None:
    one(store, {"n": 1, "t": "a", "f": True})
    types = {name: str(kind) for name, kind in store.tables.snapshot().interactions.schema().items()}
    assert types["at"] == "timestamp('UTC', 6)"
    assert types["input_vector"] == "array<float32>"
    assert [types["input.n"], types["input.t"], types["input.f"]] == ["float64", "string", "boolean"]


@pytest.mark.parametrize(
    ("input", "text"),
    [
        ("plain", "plain"),
        (
            [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "first"},
                {"role": "user", "content": "last"},
            ],
            "last",
        ),
        ([{"role": "user", "content": "asked"}, {"role": "assistant", "content": "told"}], "asked"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}, {"text": "this"}]}],
            "see\nthis",
        ),
        ([{"role": "assistant", "content": "told"}], None),
        (["a", "b"], None),
        ({"text": "no"}, None),
        ([], None),
        (5, None),
    ],
)
def test_input_text(store: Store, input: Any, text: str | None) -> None:
    assert one(store, input)["input_text"] == text


@pytest.mark.parametrize(
    ("input", "vector"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([[1, 2], [3, 4]], [1.0, 2.0, 3.0, 4.0]),
        ([1, [2, [3]]], [1.0, 2.0, 3.0]),
        ([[[1], [2]], [[3], [4]]], [1.0, 2.0, 3.0, 4.0]),
        ([[1, 2], [3]], [1.0, 2.0, 3.0]),
        ([1], None),
        ([[1]], None),
        ([], None),
        ([[], []], None),
        ([1, "2"], None),
        ([1, True], None),
        ([[1, 2], [None, 4]], None),
        ([1, 1e300], None),
        ("12", None),
        (7, None),
        ({"a": [1, 2]}, None),
    ],
)
def test_input_vector(store: Store, input: Any, vector: list[float] | None) -> None:
    assert one(store, input)["input_vector"] == vector


def test_one_vector_too_large_does_not_touch_the_others(store: Store) -> None:
    inputs = [[1, 2], [1e300, 0], "text", [3, 4]]
    rows = project(store, *(Interaction(id=str(i), at=AT, input=x) for i, x in enumerate(inputs)))
    assert [row["input_vector"] for row in rows] == [[1, 2], None, None, [3, 4]]


def test_scalar_leaves_become_typed_columns_and_lists_do_not(store: Store) -> None:
    row = one(
        store, {"address": {"zip": "10115", "floor": 3}, "tags": ["a"], "none": None}, context={"ios": True, "age": 7}
    )
    leaves = {name: value for name, value in row.items() if "." in name}
    assert leaves == {"input.address.zip": "10115", "input.address.floor": 3.0, "context.ios": True, "context.age": 7.0}


def test_new_keys_at_any_time(store: Store) -> None:
    one(store, context={"a": 1})
    one(store, context={"b": "x"})
    one(store, {"c": False}, context={"a": 2})
    table = (
        store.tables.snapshot().interactions.order_by("seq").select("context.a", "context.b", "input.c").to_pyarrow()
    )
    assert table.to_pydict() == {
        "context.a": [1, None, 2],
        "context.b": [None, "x", None],
        "input.c": [None, None, False],
    }


def test_the_first_type_wins_and_others_are_put_beside_and_counted(store: Store) -> None:
    rows = project(
        store,
        *(
            Interaction(id=f"c{i}", at=AT, input=0, context={"age": v})
            for i, v in enumerate([30, "old", True, 31.5, "new"])
        ),
    )
    assert [row["context.age"] for row in rows] == [30, None, None, 31.5, None]
    assert [row["context.age:text"] for row in rows] == [None, "old", None, None, "new"]
    assert [row["context.age:flag"] for row in rows] == [None, None, True, None, None]
    one(store, context={"age": "later"})
    assert store.tables.conflicts() == {"context.age": 4}


def test_a_number_beside_text(store: Store) -> None:
    rows = project(store, *(Interaction(id=f"c{i}", at=AT, input={"a": {"b": v}}) for i, v in enumerate(["t", 2])))
    assert rows[1]["input.a.b:number"] == 2
    assert store.tables.conflicts() == {"input.a.b": 1}


def test_keys_that_differ_only_in_case(store: Store) -> None:
    row = one(store, context={"Device": "a", "device": "b", "DEVICE": "c"})
    assert (row["context.Device"], row["context.device:2"], row["context.DEVICE:3"]) == ("a", "b", "c")
    assert one(store, context={"device": "d"})["context.device:2"] == "d"


def test_keys_that_look_like_our_own_suffixes(store: Store) -> None:
    row = one(store, context={"age": 1, "age:text": "mine", "age:2": "also mine"})
    assert (row["context.age"], row["context.age%3Atext"], row["context.age%3A2"]) == (1, "mine", "also mine")
    assert store.tables.conflicts() == {}


def test_two_leaves_with_one_name_lose_nothing(store: Store) -> None:
    row = one(store, {"a": {"b": 1}, "a.b": 2})
    assert row["input.a.b"] == 1
    assert json.loads(row["unplaced"]) == {"input.a.b": 2}
    assert store.tables.conflicts() == {"input.a.b": 1}


def test_ids_used_as_keys_do_not_make_columns_without_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_MOST_COLUMNS", 10)
    rows = project(store, *(Interaction(id=f"k{i}", at=AT, input=0, context={f"u{i}": i}) for i in range(15)))
    assert sum(name.startswith("context.") for name in rows[0]) == 10
    assert json.loads(rows[14]["unplaced"]) == {"context.u14": 14}
    assert sum(store.tables.conflicts().values()) == 5
    assert one(store, context={"k" * 1000: 1})["unplaced"] is not None


def test_a_permanent_random_number(store: Store) -> None:
    rows = project(store, *(Interaction(id=f"r{i}", at=AT, input=0) for i in range(2000)))
    numbers = np.array([row["rand"] for row in rows])
    assert 0 <= numbers.min() < 0.01
    assert 0.99 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 4 / math.sqrt(12 * 2000)
    assert len(set(numbers)) == 2000
    # blake2b("r0") to 8 bytes, its first 53 bits: fixed for ever, since samples drawn with it must stay the same
    digest = int.from_bytes(hashlib.blake2b(b"r0", digest_size=8).digest(), "big")
    assert rows[0]["rand"] == (digest >> 11) / 2**53


def test_feedback_columns(store: Store) -> None:
    values: list[Any] = [-1, 0.5, "lost_card", {"b": 1, "a": 2}, True, None]
    store.log.append(
        [
            Feedback(
                id=f"f{i}",
                interaction_id="a",
                at=AT,
                kind="label",
                value=v,
                name="n",
                source="judge",
                by="b",
                propensity=0.2,
            )
            for i, v in enumerate(values)
        ],
        received_at=AT,
    )
    store.tables.sync(store.log)
    rows = store.tables.snapshot().feedback.order_by("seq").to_pyarrow().to_pylist()
    assert rows[0] == {
        "seq": 1,
        "id": "f0",
        "interaction_id": "a",
        "at": AT,
        "received_at": AT,
        "kind": "label",
        "value": "-1",
        "number": -1.0,
        "text": None,
        "name": "n",
        "source": "judge",
        "by": "b",
        "propensity": 0.2,
    }
    assert [row["number"] for row in rows] == [-1, 0.5, None, None, None, None]
    assert [row["text"] for row in rows] == [None, None, "lost_card", None, None, None]
    assert [row["value"] for row in rows] == ["-1", "0.5", '"lost_card"', '{"a":2,"b":1}', "true", None]


# --- any JSON at all ---

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["a", "A", "a:text", "a.b", 'q"', "%", "İ"]
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
contexts = st.dictionaries(keys, scalars, max_size=4)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(Path(tmp_path_factory.mktemp("fuzz")) / "wheel", Config())
    yield store
    store.close()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(anything, anything, contexts), min_size=1, max_size=20))
def test_any_json_goes_through_log_and_tables(fuzzed: Store, payloads: list[tuple[Any, Any, dict[str, Any]]]) -> None:
    start = fuzzed.log.last()
    sent = [
        Interaction(id=f"z{start + i}", at=AT, input=input, output=output, context=context)
        for i, (input, output, context) in enumerate(payloads)
    ]
    assert list(fuzzed.log.interactions([r.id for r in sent])) == []
    rows = project(fuzzed, *sent)
    kept = fuzzed.log.interactions([r.id for r in sent])
    assert list(kept.values()) == sent
    for row, record in zip(rows, sent, strict=True):
        assert row["id"] == record.id
        assert json.loads(row["input"]) == record.input
        assert (None if row["output"] is None else json.loads(row["output"])) == record.output
        # Every scalar of the context is in a column of its row, or kept as unplaced: none is lost.
        placed = sum(value is not None for name, value in row.items() if name.startswith("context."))
        unplaced = json.loads(row["unplaced"] or "{}")
        homeless = sum(name.startswith("context.") for name in unplaced)
        assert placed + homeless == sum(value is not None for value in record.context.values())


def test_what_was_fuzzed_is_the_same_after_a_rebuild(fuzzed: Store) -> None:
    before = fuzzed.tables.snapshot().interactions.order_by("seq").to_pyarrow()
    counted = fuzzed.tables.conflicts()
    fuzzed.tables.rebuild(fuzzed.log)
    assert fuzzed.tables.snapshot().interactions.order_by("seq").to_pyarrow().equals(before)
    assert fuzzed.tables.conflicts() == counted
