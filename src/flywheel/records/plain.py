"""Records to JSON values and back."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import partial
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
    kind = type(record)
    if kind in _PLAIN:
        return record
    if kind is dict:
        return {str(key): value if type(value) in _PLAIN else to_dict(value) for key, value in record.items()}
    if kind is list or kind is tuple:
        return [value if type(value) in _PLAIN else to_dict(value) for value in record]
    if isinstance(record, datetime):
        return record.astimezone(UTC).isoformat().replace("+00:00", "Z")
    names = _FIELDS.get(kind)
    if names is None and is_dataclass(kind):
        names = _FIELDS[kind] = tuple(f.name for f in fields(kind))
    if names is not None:
        return {name: to_dict(getattr(record, name)) for name in names}
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
    revivers = _REVIVERS.get(kind)
    if revivers is None:
        revivers = _REVIVERS[kind] = {name: _reviver(hint) for name, hint in typing.get_type_hints(kind).items()}
    given = {}
    for name, value in data.items():
        if name in revivers:
            revive = revivers[name]
            given[name] = value if revive is None or value is None else revive(value)
    return kind(**given)


_PLAIN = frozenset((str, int, float, bool, NoneType))
_FIELDS: dict[type, tuple[str, ...]] = {}
_REVIVERS: dict[type, dict[str, Callable[[Any], Any] | None]] = {}
"""How each field of a record is brought back, worked out once a kind; None where the JSON value is the field's."""


def _reviver(hint: Any) -> Callable[[Any], Any] | None:
    """What turns a JSON value that is not null into what a type hint asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return _reviver(next(a for a in arguments if a is not NoneType))
    if hint is datetime:
        return datetime.fromisoformat
    if origin is tuple and arguments[-1] is Ellipsis:
        return partial(_tuple_of, _reviver(arguments[0]))
    if origin is tuple:
        return partial(_tuple_by_place, [_reviver(a) for a in arguments])
    if is_dataclass(hint):
        return partial(from_dict, typing.cast(type, hint))
    return None


def _tuple_of(revive: Callable[[Any], Any] | None, items: Any) -> tuple[Any, ...]:
    if revive is None:
        return tuple(items)
    return tuple(None if item is None else revive(item) for item in items)


def _tuple_by_place(revivers: list[Callable[[Any], Any] | None], items: Any) -> tuple[Any, ...]:
    both = zip(revivers, items, strict=True)
    return tuple(item if revive is None or item is None else revive(item) for revive, item in both)
