"""The quick way from the wire and the careful one store the same; the books of a batch balance whatever is in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import flywheel
from flywheel.capture import wire
from flywheel.capture.spoken import read_spoken
from flywheel.errors import TooLarge, Undecodable

AT = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT = 1_048_576

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20)
interactions = st.fixed_dictionaries(
    {"input": values, "id": names},
    optional={
        "output": values,
        "at": st.integers(631152000, 4102444800).map(lambda second: datetime.fromtimestamp(second, UTC).isoformat()),
        "scores": st.dictionaries(names, st.floats(-5, 5), max_size=3),
        "confidence": st.floats(0, 1),
        "latency_ms": st.integers(0, 10_000),
        "error": st.text(max_size=20),
        "model": names,
        "user": names,
        "session": names,
        "context": st.dictionaries(names, scalars, max_size=4),
        "propensity": st.floats(0.01, 1),
        "consent": st.just(True),
        "extra": st.dictionaries(names, values, max_size=2),
    },
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = tmp_path_factory.mktemp("intake")
    opened = [flywheel.open(made / name) for name in ("quick", "careful")]
    (made / "careful" / "pseudonym.key").write_bytes((made / "quick" / "pseudonym.key").read_bytes()) if (
        made / "quick" / "pseudonym.key"
    ).exists() else None
    yield opened
    for fw in opened:
        fw.close()


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=interactions)
@example(record={"input": "mail ana@example.org", "id": "a", "context": {"note": "card 4111 1111 1111 1111"}})
@example(record={"input": 2**63 - 1, "id": "a"})
def test_both_ways_store_the_same(house: Any, record: dict[str, Any]) -> None:
    fw = house[0]
    raw = json.dumps(record).encode()
    spoken = read_spoken(raw)
    if spoken is None:
        return  # the careful way is the only one
    spoken.at = spoken.at or AT
    _, key, _, body = fw._recorder.spoken(spoken)
    from flywheel.capture.drafts import Limits, interaction_of
    from flywheel.store import codec

    careful = fw._recorder.prepare(interaction_of({"at": AT, **json.loads(raw)}, Limits(LIMIT)))
    assert careful.id == key
    assert msgspec.json.decode(codec.encode(careful)[3]) == msgspec.json.decode(body)


parts = st.one_of(
    interactions.map(lambda record: json.dumps(record).encode()),
    values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=30),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(parts, max_size=6), lines=st.booleans(), kind=st.sampled_from(["interaction", "feedback"]))
def test_whatever_arrives_the_books_balance(house: Any, chunks: list[bytes], lines: bool, kind: str) -> None:
    fw = house[1]
    body = b"\n".join(chunks) if lines else b"[" + b",".join(chunks) + b"]"
    before = fw.books()
    try:
        taken = fw.intake.take_body(body, kind=kind, lines=lines, source="test")
        parts_of = (taken.stored, taken.duplicates, taken.conflicts, taken.rejected, taken.dead_lettered)
        assert taken.received == sum(parts_of)
        arrived = taken.received
    except Undecodable:
        arrived = 1
    after = fw.books()
    assert after["received"] - before["received"] == arrived
    assert after["received"] == sum(after[part] for part in ("stored", "duplicates", "rejected", "dead_lettered"))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(items=st.lists(values, max_size=20), spaces=st.sampled_from(["", " ", "\n\t"]))
def test_an_array_is_cut_the_same_however_large(items: list[Any], spaces: str) -> None:
    body = (
        spaces + "[" + f"{spaces},{spaces}".join(json.dumps(item) for item in items) + spaces + "]" + spaces
    ).encode()
    assert [json.loads(part) for part in wire._array(body, LIMIT)] == items
    assert [json.loads(part) for part in wire._carefully(body, LIMIT)] == items


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"]",
        b"[1",
        b"[1]]",
        b"[1] 2",
        b"1",
        b'"[1]"',
        b"{",
        b"[{]",
        b"[}",
        b"x[1]",
        b"[" * 100_000,
        b"[1][2]",
    ],
)
def test_what_is_no_array_is_undecodable_both_ways(body: bytes) -> None:
    for cut in (wire._array, wire._carefully):
        try:
            found = cut(body, LIMIT)
        except Undecodable:
            continue
        assert cut is wire._carefully  # which leaves the inside of a record to its own decoder
        assert any(_broken(part) for part in found)


def _broken(part: bytes | str) -> bool:
    try:
        json.loads(part)
    except ValueError:
        return True
    return False


def test_too_many_and_too_deep_are_refused_before_they_are_built() -> None:
    with pytest.raises(TooLarge, match="50,000"):
        list(wire.records_in(b"[" + b"1," * 60_000 + b"1]", lines=False, limit=LIMIT))
    with pytest.raises(TooLarge, match="50,000"):
        list(wire.records_in(b"[" + b"1," * 210_000 + b"1]", lines=False, limit=LIMIT))
    with pytest.raises(TooLarge, match="50,000"):
        list(wire.records_in(b"1\n" * 60_000, lines=True, limit=LIMIT))
    with pytest.raises((Undecodable, TooLarge)):
        wire._carefully(b"[" + b"[" * 1000 + b"]" * 1000 + b"]", LIMIT)
    with pytest.raises(TooLarge, match="one record"):
        wire._carefully(b"[[" + b"[]," * 300_000 + b"[]]]", 100_000)


def test_a_long_record_is_told_and_its_neighbours_are_taken(tmp_path: Path) -> None:
    with flywheel.open(tmp_path / "a", store={"max_record_bytes": 300}) as fw:
        long = b'{"input": "' + b"x" * 400 + b'"}'
        for body, lines in ((b'[{"input": 1},' + long + b"]", False), (b'{"input": 2}\n' + long, True)):
            taken = fw.intake.take_body(body, kind="interaction", lines=lines, source="t")
            assert (taken.stored, taken.rejected) == (1, 1)
            assert "400" in taken.errors[0][1] or "41" in taken.errors[0][1]
