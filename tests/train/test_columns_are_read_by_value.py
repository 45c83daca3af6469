"""Dicts to a table of numbers: whatever is in them, a column at a time says the same as a leaf at a time."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flywheel.train import columns

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.sampled_from(["a", "b", "1", "2.5", "", "true"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["x", "y", "x.y", "", "0"]), inner, max_size=4)
    ),
    max_leaves=6,
)


def one_by_one(found, value):
    """The row of an input, read leaf by leaf."""
    row = np.full(len(found.names), math.nan)
    for name, leaf in columns.leaves(value):
        if name not in found.names:
            continue
        place = found.names.index(name)
        kind = found.categories[place]
        if kind is None:
            row[place] = columns._number(leaf)
        else:
            text = columns.category(leaf)
            row[place] = kind.index(text) if text in kind else math.nan
    return row


@given(st.lists(VALUES, max_size=12), st.lists(VALUES, max_size=4))
def test_a_table_holds_what_its_leaves_say(inputs, others):
    found = columns.learn(inputs)
    table = found.matrix([*inputs, *others])
    wanted = [one_by_one(found, value) for value in [*inputs, *others]]
    np.testing.assert_array_equal(table, np.array(wanted).reshape(table.shape))
    numeric = {name for name, kind in zip(found.names, found.categories, strict=True) if kind is None}
    for name in found.names:
        leaves = [leaf for value in inputs for own, leaf in columns.leaves(value) if own == name]
        plain = [leaf for leaf in leaves if not isinstance(leaf, bool) and not math.isnan(columns._number(leaf))]
        assert (name in numeric) == (len(plain) >= 0.9 * len(leaves))


@given(st.lists(st.fixed_dictionaries({"x": SCALARS, "y": SCALARS}), min_size=1, max_size=12))
def test_dicts_with_the_same_keys_are_read_as_any_others(inputs):
    found = columns.learn(inputs)
    assert found == columns.learn([*inputs, None])
    np.testing.assert_array_equal(found.matrix(inputs), [one_by_one(found, value) for value in inputs])


def test_one_and_true_are_different_values():
    found = columns.learn([{"a": True}, {"a": 1}, {"a": 1.0}, {"a": "1"}])
    assert found.categories == (("1", "true"),)
    assert found.matrix([{"a": True}, {"a": 1}, {"a": "1"}]).ravel().tolist() == [1.0, 0.0, 0.0]


def test_what_cannot_be_hashed_is_no_obstacle():
    strange = [{"a": {1, 2}}, {"a": b"x"}, {"a": "b"}]
    found = columns.learn(strange)
    assert found.matrix(strange).shape == (3, 1)
