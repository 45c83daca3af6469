"""What is right, for each kind of task."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import InvalidConfig
from flywheel.plugins import create
from flywheel.ports import Task
from flywheel.prove.tasks import Classification, Generation, Ranking, Regression

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", ["classification", "regression", "ranking", "generation"])
@given(output=JSON, truth=JSON)
def test_every_task_judges_anything(name, output, truth):
    task = create("tasks", name)
    assert isinstance(task, Task)
    assert task.name == name
    assert 0 <= task.score(output, truth) <= 1
    assert 0 <= task.severity(output, truth) <= 1
    if task.correct(output, truth):
        assert task.severity(output, truth) == 0


@given(JSON)
def test_the_truth_itself_is_right(value):
    assert Classification().correct(value, value)
    assert Generation().correct(value, [value])


def test_classes_are_compared_as_json():
    task = Classification()
    assert task.correct(1, 1.0)
    assert task.correct({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not task.correct("1", 1)
    assert not task.correct(True, 1)
    assert not task.correct(None, "none")


def test_regression_has_a_tolerance():
    task = Regression(tolerance=2.0)
    assert task.correct(11.9, 10)
    assert not task.correct(12.1, 10)
    assert not task.correct("10", 10)
    assert not task.correct(math.nan, 10)
    assert task.severity(20, 10) == 1.0
    assert Regression.for_labels([0.0, 10.0]).tolerance == pytest.approx(1.25)
    assert Regression.for_labels([0.0, 10.0], 3.0).tolerance == 3.0
    assert Regression.for_labels([1.0]).tolerance == 0.0
    with pytest.raises(InvalidConfig, match="tolerance is -1"):
        Regression(-1)


def test_ndcg_by_hand():
    task = Ranking(k=3)
    assert task.score(["b", "a", "c"], {"a": 3, "b": 1}) == pytest.approx(
        (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    )
    assert task.score(["x", "y", "z", "a"], ["a"]) == 0.0
    assert task.score(["a", "a", "b"], ["a", "b"]) == 1.0
    assert task.score([], []) == 1.0
    with pytest.raises(InvalidConfig):
        Ranking(k=0)


def test_token_f1_by_hand():
    task = Generation(threshold=0.6)
    assert task.score("the card was lost", "lost card") == pytest.approx(2 * 2 / 6)
    assert task.correct("Lost card!", ["stolen card", "lost card"])
    assert task.score("card card", "card") == pytest.approx(2 / 3)
    assert task.score("", "card") == 0.0
    with pytest.raises(InvalidConfig):
        Generation(0)
