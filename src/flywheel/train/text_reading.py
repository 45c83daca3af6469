"""How an input is read as text."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["text_of"]


def text_of(value: Any) -> str:
    """Read any input as text: a string itself; of a chat the last user turn; nothing for None; else its JSON.

    >>> text_of([{"role": "user", "content": "where is my card"}, {"role": "assistant", "content": "…"}])
    'where is my card'
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    turns = value.get("messages") if isinstance(value, dict) else value
    if isinstance(turns, list | tuple) and turns and all(isinstance(t, dict) and "content" in t for t in turns):
        asked = [t for t in turns if t.get("role") == "user"] or list(turns)
        return text_of(asked[-1]["content"])
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
