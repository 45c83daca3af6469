"""What may be shown of a log: redacted first, then cut short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Protocol

__all__ = ["Redacts", "Shown"]

_MEMO = 8192


class Redacts(Protocol):
    """What the audit needs of a redactor."""

    name: str

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value without personal data, and how many of each kind were removed."""
        ...


class Shown:
    """The one way from a logged value to something that is kept or shown. Remembers up to 8,192 short answers."""

    def __init__(self, redactor: Redacts) -> None:
        self.name = redactor.name
        self._redactor = redactor
        self._memo: dict[tuple[str, str], dict[str, int]] = {}

    def counts(self, path: str, value: Any) -> dict[str, int]:
        """How much personal data of each kind a field's value holds; its name counts too, when that tells a secret."""
        if value is None or isinstance(value, bool | float):
            return {}
        if not isinstance(value, str) or len(value) > 200:
            return self._redact({path: value})[1]
        key = (path, value)
        found = self._memo.get(key)
        if found is None:
            found = self._redact({path: value})[1]
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            self._memo[key] = found
        return found

    def field(self, path: str, value: Any, width: int) -> str:
        """A field's value as one line of at most `width` characters."""
        cleaned, _ = self._redact({path: _bounded(value)})
        return _line(next(iter(cleaned.values()), ""), width) if isinstance(cleaned, Mapping) else ""

    def text(self, value: Any, width: int) -> str:
        """A text that stands for itself: a column's name, an error, a place."""
        return _line(self._redact(str(value)[:4000])[0], width)

    def _redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        try:
            return self._redactor.redact(value)
        except RecursionError:
            return "(nested too deep to show)", {}


def _bounded(value: Any) -> Any:
    """Long values are cut before they are searched, well beyond what is shown: a half secret is still one."""
    return value[:4000] if isinstance(value, str | list) else value


def _line(value: Any, width: int) -> str:
    if isinstance(value, date):
        value = value.isoformat()
    elif not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False, default=str)
        except (TypeError, ValueError, RecursionError):
            value = f"({type(value).__name__})"
    line = " ".join(value[: width * 8].split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
