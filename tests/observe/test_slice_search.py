"""The search gives exactly the best slices, however rows are counted, weighted or compressed."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import InvalidConfig
from flywheel.observe.slices import top_slices
from flywheel.observe.slices.rows import as_rows, compress


def every_slice(codes, loss, weight, *, alpha, level, support):
    """(score, conditions) of every slice above 0, by looking at each; the order of ties as documented."""
    total = weight.sum()
    mean = (weight * loss).sum() / total
    found = []
    for length in range(1, level + 1):
        for columns in combinations(range(codes.shape[1]), length):
            for values in product(*[sorted(set(codes[:, c].tolist()) - {-1}) for c in columns]):
                inside = np.all(codes[:, columns] == values, axis=1)
                size = weight[inside].sum()
                if size < support or not size:
                    continue
                score = alpha * ((weight * loss)[inside].sum() / size / mean - 1) - (1 - alpha) * (total / size - 1)
                if score > 1e-9:
                    found.append((-round(score, 8), length, columns, values))
    return [tuple(zip(map(str, columns), values, strict=True)) for _, _, columns, values in sorted(found)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(10, 120),
    d=st.integers(1, 4),
    alpha=st.sampled_from([0.6, 0.95, 1.0]),
    level=st.integers(1, 4),
    binary=st.booleans(),
    weighted=st.booleans(),
)
def test_equal_to_looking_at_every_slice(seed, n, d, alpha, level, binary, weighted):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, (n, d))
    loss = (rng.random(n) < 0.3) * (1.0 if binary else rng.integers(1, 5, n) / 4)
    weight = rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)
    found = top_slices(codes, loss, weight, k=6, alpha=alpha, max_level=level, min_support=4)
    wanted = every_slice(codes, loss, weight, alpha=alpha, level=level, support=4)[:6] if (weight * loss).sum() else []
    assert [one.conditions for one in found] == wanted


def test_what_is_said_of_a_slice_is_what_its_rows_say():
    device, network = np.array([0, 0, 0, 1, 1, 1] * 40), np.array([0, 0, 1, 0, 1, 1] * 40)
    loss = ((device == 0) & (network == 1)).astype(float)
    (best,) = top_slices({"device": device, "network": network}, loss, k=1)
    assert best.conditions == (("device", 0), ("network", 1))
    assert (best.size, best.loss, best.mean) == (40, 40, 1)
    assert best.score == pytest.approx(0.95 * (6 - 1) - 0.05 * (6 - 1))


def test_a_weight_of_three_is_three_rows():
    rng = np.random.default_rng(3)
    codes, loss = rng.integers(0, 3, (200, 4)), (rng.random(200) < 0.3).astype(float)
    weight = rng.integers(1, 4, 200)
    again = np.repeat(np.arange(200), weight)
    assert top_slices(codes, loss, weight, min_support=10) == top_slices(codes[again], loss[again], min_support=10)


def test_merged_rows_stand_for_the_same_interactions():
    rng = np.random.default_rng(4)
    codes, loss = rng.integers(0, 3, (3000, 3)), rng.random(3000)
    rows, _ = as_rows(codes, loss)
    merged = compress(rows, [3, 3, 3])
    assert len(merged.loss) == 27
    assert merged.weight.sum() == 3000
    for place in range(27):
        mine = np.all(codes == merged.codes[:, place], axis=1)
        assert merged.weight[place] == mine.sum()
        assert merged.loss[place] == pytest.approx(loss[mine].sum())
        assert merged.worst[place] == loss[mine].max()


def test_many_columns_do_not_make_the_numbers_of_rows_run_over():
    rng = np.random.default_rng(5)
    codes = np.repeat(rng.integers(0, 50, (100, 60)), 20, axis=0)
    rows, _ = as_rows(codes, np.ones(2000))
    assert compress(rows, [50] * 60).weight.tolist() == [20.0] * 100


def test_nothing_fails_or_all_alike_gives_nothing():
    codes = np.array([[0], [1]] * 50)
    assert top_slices(codes, np.zeros(100)) == []
    assert top_slices(codes, np.ones(100)) == []


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        pytest.param({"columns": np.zeros((2, 1), int), "losses": [1.0, -0.5]}, "-0.5", id="loss-below-0"),
        pytest.param({"columns": {"a": np.zeros(3, int)}, "losses": [1.0, 0.0]}, "'a'", id="lengths"),
        pytest.param({"columns": {"a": np.array(["x", "y"])}, "losses": [1.0, 0.0]}, "integer codes", id="text"),
        pytest.param({"columns": np.zeros((2, 1), int), "losses": [1.0, 0.0], "k": 0}, "k is 0", id="k"),
    ],
)
def test_what_cannot_be_searched_is_named(given_, words):
    with pytest.raises(InvalidConfig, match=words):
        top_slices(**given_)
