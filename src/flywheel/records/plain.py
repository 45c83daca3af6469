"""Records to JSON values and back."""

from __future__ import annotations

import typing
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, TypeVar

__all__ = ["from_dict", "to_dict"]


R = TypeVar("R")


def to_dict(record: Any) -> Any:
    """Turn a record into JSON values.

    >>> from flywheel.records import Slice
    >>> to_dict(Slice((("device", "ios"),)))
    {'conditions': [['device', 'ios']]}
    """
    if is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_dict(getattr(record, f.name)) for f in fields(record)}
    if isinstance(record, datetime):
        return record.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(record, dict):
        return {str(key): to_dict(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_dict(value) for value in record]
    return record


def from_dict(kind: type[R], data: dict[str, Any]) -> R:
    """Bring back what `to_dict` wrote; keys the record does not know are ignored, so older readers can read newer data.

    >>> from flywheel.records import Risk
    >>> from_dict(Risk, {"severity": 7, "occurrence": 2, "detectability": 5}).number
    70
    """
    hints = _hints(kind)
    return kind(**{name: _revive(hints[name], value) for name, value in data.items() if name in hints})


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def _revive(hint: Any, value: Any) -> Any:
    if value is None or hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return _revive(next(a for a in arguments if a is not NoneType), value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_revive(arguments[0], item) for item in value)
        return tuple(_revive(a, item) for a, item in zip(arguments, value, strict=True))
    if is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value)
    return value
