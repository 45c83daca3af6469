"""What may be shown of a log: redacted first, then cut short."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Protocol

__all__ = ["Redacts", "Shown"]

_MEMO = 64
_PATHS = 300
_NO_MEMO: set[str] = set()


class Redacts(Protocol):
    """What the audit needs of a redactor."""

    name: str

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value without personal data, and how many of each kind were removed."""
        ...


class Shown:
    """The one way from a logged value to something that is kept or shown.

    Remembers up to 64 short values of each of 300 fields in which nothing was found.
    """

    def __init__(self, redactor: Redacts) -> None:
        self.name = redactor.name
        self._redactor = redactor
        self._clean: dict[str, set[str]] = {}
        self._stained: set[str] = set()

    def finds(self, opened: Iterable[tuple[str, Any]]) -> list[tuple[str, dict[str, int]]]:
        """Which fields hold personal data, and how much of each kind; a field's name counts too.

        All fields are searched together first, and one by one only where that finds something; a field that once held
        some is always searched alone.
        """
        found, together = [], {}
        for path, value in opened:
            if value is None or isinstance(value, bool | float):
                continue
            clean = self._clean.get(path)
            if clean is None:
                if len(self._clean) < _PATHS:
                    self._clean[path] = set()
            elif isinstance(value, str) and value in clean:
                continue
            if path in self._stained:
                found += self._alone(path, value)
            else:
                together[path] = value
        if together and self._redact(together)[1]:
            for path, value in together.items():
                found += self._alone(path, value)
        else:
            for path, value in together.items():
                self._remember(path, value)
        return found

    def _alone(self, path: str, value: Any) -> list[tuple[str, dict[str, int]]]:
        counts = self._redact({path: value})[1]
        if counts:
            if len(self._stained) < _PATHS:
                self._stained.add(path)
            return [(path, counts)]
        self._remember(path, value)
        return []

    def _remember(self, path: str, value: Any) -> None:
        clean = self._clean.get(path, _NO_MEMO)
        if clean is not _NO_MEMO and len(clean) < _MEMO and isinstance(value, str) and len(value) <= 200:
            clean.add(value)

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
