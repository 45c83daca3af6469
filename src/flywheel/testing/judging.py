"""Checks for what judges: tasks and labelers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flywheel.ports import Labeler, Task
from flywheel.records import ReviewItem
from flywheel.testing.contract import check_json, check_port

__all__ = ["check_labeler", "check_task"]


def check_task(task: Task, pairs: Sequence[tuple[Any, Any]] | None = None) -> None:
    """Check that a task's correctness, score and severity lie in their ranges and agree with each other.

    `pairs` are (output, truth), with right and wrong ones among them; by default labels.
    """
    called = check_port(task, Task, ("correct", "score", "severity"))
    pairs = [("a", "a"), ("a", "b"), ("b", "a"), ("", "a")] if pairs is None else list(pairs)
    right: list[tuple[Any, Any]] = []
    wrong: list[tuple[Any, Any]] = []
    for output, truth in pairs:
        verdict = task.correct(output, truth)
        assert isinstance(verdict, bool), f"{called}.correct({output!r}, {truth!r}) is {verdict!r}, not True or False"
        assert task.correct(output, truth) == verdict, f"{called}.correct({output!r}, {truth!r}) changed its mind"
        for method, value in (("score", task.score(output, truth)), ("severity", task.severity(output, truth))):
            inside = isinstance(value, int | float) and 0 <= value <= 1
            assert inside, f"{called}.{method}({output!r}, {truth!r}) is {value!r}, not 0 to 1"
        (right if verdict else wrong).append((output, truth))
    assert right, f"{called} finds none of the {len(pairs)} pairs right; give check_task one that is"
    assert wrong, f"{called} finds none of the {len(pairs)} pairs wrong; give check_task one that is"
    for _, truth in pairs:
        if isinstance(truth, str | int | float):
            assert task.correct(truth, truth), f"{called} finds the truth itself, {truth!r}, wrong"
    least, most = (min(task.score(*pair) for pair in right), max(task.score(*pair) for pair in wrong))
    assert least >= most, f"{called} scores a right answer {least} and a wrong one {most}"
    refused = task.correct(None, pairs[0][1])
    assert refused is False, f"{called}.correct(None, {pairs[0][1]!r}) is {refused!r}; no answer is a wrong answer"


def check_labeler(labeler: Labeler, items: Sequence[ReviewItem] | None = None) -> None:
    """Check that a labeler answers only what it was asked, at most once, with labels that can be stored.

    `items` are waiting items, by default three with texts; it may answer all, some or none of them.
    """
    called = check_port(labeler, Labeler, ("label",))
    if items is None:
        items = [ReviewItem(id=f"q{k}", interaction_id=f"i{k}", input=f"text {k}", output="a") for k in range(3)]
    asked = {item.id for item in items}
    answered: set[str] = set()
    for answer in labeler.label(items):
        assert isinstance(answer, tuple), f"{called}.label yielded {answer!r}, not (item id, label, by)"
        assert len(answer) == 3, f"{called}.label yielded {len(answer)} values, not (item id, label, by)"
        item_id, label, by = answer
        assert item_id in asked, f"{called}.label answered {item_id!r}, which is not among the items asked"
        assert item_id not in answered, f"{called}.label answered {item_id!r} twice"
        assert label is not None, f"{called}.label answered {item_id!r} with None; leave out what cannot be answered"
        check_json(label, f"the label {called} gave {item_id!r}")
        assert isinstance(by, str), f"{called}.label says that {item_id!r} was answered by {by!r}; it must be a name"
        assert by, f"{called}.label does not say who answered {item_id!r}"
        answered.add(item_id)
    nothing = list(labeler.label([]))
    assert not nothing, f"{called}.label, asked nothing, answered {nothing}"
