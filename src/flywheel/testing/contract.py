"""What every check begins with: the object has the methods of its port, and a name."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["check_json", "check_port"]


def check_port(plugin: Any, port: type, methods: tuple[str, ...]) -> str:
    """Assert that `plugin` has the port's name and methods; return how to call it in messages."""
    called = type(plugin).__name__
    missing = [method for method in methods if not callable(getattr(plugin, method, None))]
    assert not missing, f"{called} has no method {', '.join(missing)}, which every {port.__name__} has"
    name = getattr(plugin, "name", None)
    assert isinstance(name, str), f"{called}.name is {name!r}; it must be a text"
    assert name.strip() == name != "", f"{called}.name is {name!r}; it must be a text without blanks around it"
    return called


def check_json(value: Any, what: str) -> None:
    """Assert that a value can be stored."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise AssertionError(f"{what} is {value!r}, which is not JSON: {problem}") from problem
