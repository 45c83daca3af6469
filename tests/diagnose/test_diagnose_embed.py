"""Near means alike, and the same batch gives the same numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.diagnose.embed import FeatureEmbedder, TextEmbedder, as_record, as_text, choose_embedder

leaf = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e6, 1e6) | st.text(max_size=9)
anything = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def apart(rows, a, b):
    return float(np.linalg.norm(rows[a] - rows[b]))


def test_texts_about_one_thing_lie_together():
    rows = TextEmbedder(dimensions=3).embed(
        [
            "my card is lost",
            "i lost my card",
            "lost card",
            "exchange rate for euro",
            "what is the exchange rate",
            "euro rate",
        ]
    )
    assert max(apart(rows, 0, 1), apart(rows, 3, 4)) < min(apart(rows, 0, 3), apart(rows, 1, 4))


def test_records_differ_by_numbers_categories_and_gaps():
    rows = FeatureEmbedder().embed(
        [
            {"age": 20, "job": "cook"},
            {"age": 22, "job": "cook"},
            {"age": 70, "job": "cook"},
            {"age": 21, "job": "judge"},
            {"job": "cook"},
        ]
    )
    assert apart(rows, 0, 1) < min(apart(rows, 0, 2), apart(rows, 0, 3), apart(rows, 0, 4))


def test_an_almost_constant_pixel_does_not_outweigh_a_picture():
    rng = np.random.default_rng(0)
    pictures = np.repeat(rng.normal(0, 5, (2, 30)), 10, axis=0) + rng.normal(0, 0.1, (20, 30))
    pictures[:, 0] = 0.0
    pictures[3, 0] = 0.01
    rows = FeatureEmbedder().embed(pictures.tolist())
    assert apart(rows, 3, 4) < apart(rows, 3, 15) / 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "embedder", [TextEmbedder(dimensions=8), FeatureEmbedder(dimensions=8)], ids=["text", "features"]
)
@settings(max_examples=40, deadline=None)
@given(inputs=st.lists(anything, max_size=8))
def test_any_json_becomes_finite_numbers_the_same_each_time(embedder, inputs):
    rows = embedder.embed(inputs)
    assert rows.shape == (len(inputs), 8)
    assert np.isfinite(rows).all()
    assert np.array_equal(rows, embedder.embed(inputs))


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        (["hello"], "text"),
        ([[{"role": "user", "content": "hello"}]], "text"),
        ([{"age": 3}], "features"),
        ([[1.0, 2.0]], "features"),
        ([[[1, 2], [3, 4]]], "features"),
        ([], "features"),
    ],
)
def test_the_embedder_suits_the_inputs(inputs, name):
    assert choose_embedder(inputs) == name


def test_nested_inputs_read_as_flat_records_and_texts():
    assert as_record({"a": {"b": [1, "x"]}}) == {"a.b.0": 1, "a.b.1": "x"}
    assert (
        as_text(
            [
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"role": "user", "content": "three"},
            ]
        )
        == "three"
    )
