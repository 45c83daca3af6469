"""What is kept of a stream stays within the error and the memory it is allowed, whatever comes."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.govern.baseline.sketches import DistinctCount, FrequentValues, KeySample, Quantiles, hash_of


@pytest.mark.parametrize("size", [900, 1_500, 12_000])
def test_distinct_counts_stay_within_their_standard_error(size: int) -> None:
    errors = []
    for seed in range(12):
        count = DistinctCount()
        for n in range(size):
            count.add(hash_of([seed, n]))
            if n % 3 == 0:
                count.add(hash_of([seed, n]))
        errors.append(count.count / size - 1)
    spread = math.sqrt(sum(error * error for error in errors) / len(errors))
    assert spread < 1.6 * DistinctCount.RELATIVE_ERROR if size > DistinctCount.EXACT else spread == 0
    assert max(map(abs, errors)) < 4 * DistinctCount.RELATIVE_ERROR


@pytest.mark.parametrize(("left", "right"), [(400, 500), (3_000, 200), (200, 3_000), (4_000, 5_000)])
def test_counts_of_parts_merge_into_the_count_of_the_whole(left: int, right: int) -> None:
    one, other, whole = DistinctCount(), DistinctCount(), DistinctCount()
    for n in range(left):
        one.add(hash_of(n))
        whole.add(hash_of(n))
    for n in range(left // 2, left // 2 + right):
        other.add(hash_of(n))
        whole.add(hash_of(n))
    one.merge(other)
    assert one.count == whole.count


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=700), st.floats(0, 1))
def test_quantiles_are_within_one_per_cent(numbers: list[float], share: float) -> None:
    spread = Quantiles()
    for value in numbers:
        spread.add(value)
    rank = math.floor(share * (len(numbers) - 1))
    true = sorted(numbers)[rank]
    found = spread.at(share)
    assert found is not None
    assert found == pytest.approx(true, rel=0.0101, abs=1e-9)
    assert min(numbers) <= found <= max(numbers)


def test_quantiles_do_not_grow() -> None:
    spread = Quantiles()
    every = [(1 + step / 20) * 10.0**exponent for exponent in range(-200, 200) for step in range(20)]
    for value in every:
        spread.add(value)
        spread.add(-value)
    assert len(spread._up) <= Quantiles._BINS
    assert len(spread._down) <= Quantiles._BINS
    ordered = sorted(every + [-value for value in every])
    for share in (0.01, 0.99):
        true = ordered[math.floor(share * (len(ordered) - 1))]
        assert spread.at(share) == pytest.approx(true, rel=0.0101)


def test_histogram_counts_everything_once() -> None:
    spread = Quantiles()
    for value in (-1, 0, 5, 10, 11, 1000):
        spread.add(value)
    assert spread.histogram([0.0, 10.0, 100.0]) == [1, 2, 2, 1]


def test_frequent_values_miss_none_that_is_frequent_enough() -> None:
    draw = random.Random(4)
    stream = ["a"] * 900 + ["b"] * 500 + [f"rare {n}" for n in range(3_000)]
    draw.shuffle(stream)
    seen = FrequentValues(32)
    for value in stream:
        seen.add(value)
    allowed = len(stream) / 32
    top = dict(seen.top(32))
    assert len(top) <= 32
    assert not seen.exact
    assert 900 <= top["a"] <= 900 + allowed
    assert 500 <= top["b"] <= 500 + allowed


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_of_keys_is_uniform_and_keeps_all_that_was_said_about_them(seed: int) -> None:
    """Keys that come in blocks, as in a log, with their parts far apart."""
    sample: KeySample[Counter[str]] = KeySample(512, Counter)
    for part in ("first", "second"):
        for n in range(20_000):
            entry = sample.entry(hash_of([seed, n]))
            if entry is not None:
                entry[part] += 1
                entry["odd"] += n % 2
    assert 256 <= len(sample.entries) <= 512
    assert sample.keys == pytest.approx(20_000, rel=0.2)
    assert all(entry["first"] == entry["second"] == 1 for entry in sample.entries.values())
    odd = sum(entry["odd"] == 2 for entry in sample.entries.values()) / len(sample.entries)
    assert odd == pytest.approx(0.5, abs=0.12)


def test_a_sample_of_few_keys_is_all_of_them() -> None:
    sample: KeySample[list[int]] = KeySample(100, list)
    for n in range(90):
        sample.entry(hash_of(n))
    assert (len(sample.entries), sample.scale, sample.sampled) == (90, 1, False)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=5), anything, max_size=5))
def test_hashes_depend_on_content_alone(value: dict[str, object]) -> None:
    assert hash_of(value) == hash_of(dict(reversed(value.items())))
    assert 0 <= hash_of(value) < 2**64


@pytest.mark.parametrize("value", ["\ud800", {1: 2}, {"a": {(1, 2): "x"}}, 2**80, object, b"\xff"])
def test_values_that_are_no_json_are_hashed_too(value: object) -> None:
    assert hash_of(value) == hash_of(value)


@pytest.mark.slow
def test_what_is_nested_too_deep_is_hashed_too() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert hash_of(deep) >= 0
    while deep:  # taken apart by hand, so that freeing it does not recurse either
        deep = deep.pop()  # type: ignore[assignment]
