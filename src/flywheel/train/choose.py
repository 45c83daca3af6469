"""Which built-in trainer fits these inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flywheel.train.vector import flatten

__all__ = ["choose_trainer"]


def choose_trainer(inputs: Sequence[Any]) -> str:
    """Name the trainer for the kind of input that most of `inputs` are: `text`, `vector` or `tabular`.

    Text and chats (lists of `{"role", "content"}`) go to `text`; flat or nested lists of numbers, such as embeddings or
    images, to `vector`; dicts and mixed lists to `tabular`.

    >>> choose_trainer(["where is my card"])
    'text'
    >>> choose_trainer([[0.1, 0.2], [0.3, 0.4]])
    'vector'
    >>> choose_trainer([{"age": 31, "plan": "gold"}])
    'tabular'
    """
    votes = Counter(_kind(value) for value in inputs if value is not None)
    if not votes:
        return "text"
    return max(sorted(votes), key=lambda kind: votes[kind])


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "text" if isinstance(value.get("messages"), list) else "tabular"
    if isinstance(value, list | tuple):
        if value and all(isinstance(turn, dict) and "content" in turn for turn in value):
            return "text"
        return "vector" if flatten(value) is not None else "tabular"
    return "tabular"
