"""Slices: conjunctions of context and input values in which the product fails more often than elsewhere.

The search alone needs numpy and nothing else, so the rest is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.observe.slices.alike import vector_slices as vector_slices
    from flywheel.observe.slices.coding import encode as encode
    from flywheel.observe.slices.mixture import Mixture as Mixture
    from flywheel.observe.slices.mixture import error_mixture as error_mixture
    from flywheel.observe.slices.search import Found as Found
    from flywheel.observe.slices.search import top_slices as top_slices
    from flywheel.observe.slices.told import slices as slices

_HOMES = {
    "Found": "search",
    "Mixture": "mixture",
    "encode": "coding",
    "error_mixture": "mixture",
    "slices": "told",
    "top_slices": "search",
    "vector_slices": "alike",
}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604  (the names are literal strings one line above)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.observe.slices.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.observe.slices' has no attribute {name!r}. Names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
