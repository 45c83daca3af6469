"""What is done to an example to make it like the inputs that fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Operation", "text_of", "with_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One way of disturbing examples, with the parameters that the failing inputs taught.

    `kind` is `text`, `image` or `between` (SMOTE). `share` is the share of the failing inputs that show this damage
    beyond what the examples show, `n` how many failing inputs that was learnt from, `mode` the failure mode it was
    learnt from, empty for all failures together. `line` says it in a sentence.
    """

    name: str
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    share: float = 0.0
    n: int = 0
    mode: str = ""
    line: str = ""


def text_of(value: Any) -> str | None:
    """The text of an input: a string itself, of a chat the last user turn; None for anything else.

    >>> text_of([{"role": "user", "content": "where is my card"}])
    'where is my card'
    >>> text_of([1, 2]) is None
    True
    """
    if isinstance(value, str):
        return value
    turn = _turn(value)
    return None if turn is None else str(turn["content"])


def with_text(value: Any, text: str) -> Any:
    """The same input with another text in that place."""
    if isinstance(value, str):
        return text
    turn = _turn(value)
    turns = value["messages"] if isinstance(value, dict) else value
    changed = [{**turn, "content": text} if turn is not None and one is turn else one for one in turns]
    return {**value, "messages": changed} if isinstance(value, dict) else changed


def _turn(value: Any) -> dict[str, Any] | None:
    turns = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(turns, list | tuple) or not turns or not all(isinstance(t, dict) for t in turns):
        return None
    asked = [t for t in turns if t.get("role") == "user" and isinstance(t.get("content"), str)]
    return asked[-1] if asked else None
