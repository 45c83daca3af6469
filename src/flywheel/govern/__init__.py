"""Who may do what, who did what, when, provably, and what must go: keys, the audit trail, erasure, retention."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flywheel.govern.keys import SCOPES, Key, Keys
from flywheel.govern.trail import Trail

if TYPE_CHECKING:
    from flywheel.govern.desk import unfinished
    from flywheel.govern.erasure import Erasure
    from flywheel.govern.receipts import Receipts, is_about
    from flywheel.govern.retention import Retention
    from flywheel.govern.sessions import Sessions

__all__ = [
    "SCOPES",
    "Erasure",
    "Key",
    "Keys",
    "Receipts",
    "Retention",
    "Sessions",
    "Trail",
    "is_about",
    "unfinished",
]

_HOMES = {
    "Erasure": "erasure",
    "Receipts": "receipts",
    "Retention": "retention",
    "Sessions": "sessions",
    "is_about": "receipts",
    "unfinished": "desk",
}


def __getattr__(name: str) -> Any:
    # Checking a key should not wait for what an erasure needs.
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.govern.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.govern' has no attribute {name!r}. It has: {', '.join(__all__)}")
