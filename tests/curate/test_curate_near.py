"""Near-duplicates: what is grouped, what is not, and at what cost."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from flywheel.curate import group_near_duplicates, near
from flywheel.curate.near import features, forget, jaccard

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.lists(JSON, max_size=12))
def test_any_json_is_grouped_and_identical_inputs_are_together(inputs):
    groups = group_near_duplicates(inputs + inputs)
    assert groups[: len(inputs)] == groups[len(inputs) :]
    assert all(root <= i and groups[root] == root for i, root in enumerate(groups))


def test_spelling_space_and_case_do_not_separate_but_meaning_does():
    inputs = [
        "I would like to know where my new card is, it has not arrived",
        "i would like to know where my new card is,  it has not arrived!",
        "I would like to know why my transfer was declined",
    ]
    assert group_near_duplicates(inputs) == [0, 0, 2]


def test_every_pair_above_the_threshold_is_found_and_none_below_is_joined():
    generator = np.random.default_rng(0)
    words = [f"word{k}" for k in range(400)]
    texts = []
    for _ in range(120):
        text = list(generator.choice(words, 40))
        texts.append(" ".join(text))
        for place in generator.choice(40, generator.integers(1, 9), replace=False):
            text[place] = str(generator.choice(words))
        texts.append(" ".join(text))
    sets = [features(text) for text in texts]
    groups = group_near_duplicates(texts, 0.8)
    close = [(i, i + 1) for i in range(0, 240, 2) if jaccard(sets[i], sets[i + 1]) >= 0.8]
    assert 30 < len(close) < 110
    assert all(groups[i] == groups[j] for i, j in close)
    far = [(i, j) for i in range(0, 240, 2) for j in range(240) if j not in (i, i + 1)]
    assert not any(groups[i] == groups[j] for i, j in far)


def test_different_scans_of_digits_are_not_duplicates_but_a_repeated_one_is():
    images = load_digits().data[:400].tolist()
    again = [[min(16.0, x * 1.01) for x in image] for image in images[:50]]
    groups = group_near_duplicates(images + again)
    assert len(set(groups[:400])) >= 398
    assert sum(groups[400 + k] == groups[k] for k in range(50)) >= 48


def test_rows_of_numbers_on_different_scales_are_compared_feature_by_feature():
    rows = [[50_000.0, 3, 0.2], [50_000.0, 4, 0.9], [50_010.0, 3, 0.2]]
    assert group_near_duplicates(rows) == [0, 1, 0]
    fields = [{"amount": 12.5, "country": "DE", "age": 31}, {"amount": 99.0, "country": "DE", "age": 31}]
    assert group_near_duplicates([*fields, dict(fields[0])]) == [0, 1, 0]


def test_groups_chain_and_the_threshold_decides():
    assert jaccard(features("abcdef"), features("abcdef")) == 1.0
    assert jaccard(features("abcdef"), features("uvwxyz")) == 0.0
    texts = ["the quick brown fox jumps over the lazy dog", "the quick brown fox jumps over the lazy cat"]
    assert group_near_duplicates(texts, 0.5) == [0, 0]
    assert group_near_duplicates(texts, 0.95) == [0, 1]


@pytest.mark.slow
def test_cost_is_linear_even_when_most_inputs_are_alike():
    def seconds(n):
        texts = [f"please reset my password, ticket {k % 50}" for k in range(n)]
        begin = time.process_time()
        group_near_duplicates(texts)
        return time.process_time() - begin

    seconds(500)
    assert seconds(20_000) < 20 * max(seconds(2_000), 0.05)


def test_whole_numbers_of_more_than_64_bits_are_grouped_like_any_other():
    assert group_near_duplicates([{"id": 2**70}, {"id": 2**70}, {"word": "other"}]) == [0, 0, 2]


def test_what_was_worked_out_is_remembered_in_bounds_and_can_be_forgotten():
    forget()
    group_near_duplicates(["where is my card", " ".join(f"word{k}" for k in range(5000))])
    assert len(near._REMEMBERED) == 1  # the long one would fill the memory of a server
    forget()
    assert not near._REMEMBERED
