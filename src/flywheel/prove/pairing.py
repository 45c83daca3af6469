"""Champion, candidate and placebo on the same examples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flywheel.ports import Task
from flywheel.prove.folds import Answer
from flywheel.records import Example

__all__ = ["Pair", "pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One example with everybody's answer. `fresh`: its label is not in the champion's training data."""

    example: Example
    champion: Any
    candidate: Any
    champion_right: bool
    candidate_right: bool
    fresh: bool
    placebo: Any = None
    placebo_right: bool | None = None
    """None where no placebo answered."""
    candidate_score: float | None = None
    placebo_score: float | None = None
    """How right each was, 0 to 1: the probability it gave to the label, else the task's score."""
    placebo_again: tuple[float, ...] = ()
    """The placebo's score from further trainings with other seeds."""


def pairs(
    examples: Iterable[Example],
    *,
    task: Task,
    fresh: Collection[str],
    champion: Mapping[str, Answer],
    candidate: Mapping[str, Answer],
    placebo: Mapping[str, Answer] | None = None,
) -> list[Pair]:
    """Line up answers by example id; `fresh` holds the ids of the labels that the champion was not trained on.

    The champion answers fresh examples itself (`answers`), the others by the cross-fitted answers stored when it was
    made; the candidate answers all by `crossfit`. Synthetic examples and examples that either side has no answer for
    are left out.
    """
    fresh = frozenset(fresh)
    lined = []
    for example in examples:
        if not example.evidence or example.id not in champion or example.id not in candidate:
            continue
        old, new = champion[example.id].output, candidate[example.id].output
        control = (placebo or {}).get(example.id)
        lined.append(
            Pair(
                example=example,
                champion=old,
                candidate=new,
                champion_right=task.correct(old, example.label),
                candidate_right=task.correct(new, example.label),
                fresh=example.id in fresh,
                placebo=None if control is None else control.output,
                placebo_right=None if control is None else task.correct(control.output, example.label),
                candidate_score=_score(candidate[example.id], example, task),
                placebo_score=None if control is None else _score(control, example, task),
                placebo_again=() if control is None else control.again,
            )
        )
    return lined


def _score(answer: Answer, example: Example, task: Task) -> float:
    return task.score(answer.output, example.label) if answer.likelihood is None else answer.likelihood
