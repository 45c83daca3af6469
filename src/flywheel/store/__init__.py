"""Log, tables and state: the only room that knows SQL, Parquet and paths.

`Store.open` gives the three of them for one folder. The *log* is the record of truth (append-only facts, durable when
`append` returns), the *tables* are its columnar projection for analysis, the *state* holds the small mutable facts of
the workflow. Several processes may use one folder at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.store.log import Appended, Letter, Log, Row
    from flywheel.store.snapshot import Snapshot
    from flywheel.store.state import State
    from flywheel.store.store import Store
    from flywheel.store.tables import Tables

__all__ = ["Appended", "Letter", "Log", "Row", "Snapshot", "State", "Store", "Tables"]

_HOMES = {
    "Appended": "log",
    "Letter": "log",
    "Log": "log",
    "Row": "log",
    "Snapshot": "snapshot",
    "State": "state",
    "Store": "store",
    "Tables": "tables",
}


def __getattr__(name: str) -> Any:
    # Tables and snapshots bring deltalake, pyarrow and ibis with them: whoever only logs should not wait for those.
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.store.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.store' has no attribute {name!r}. It has: {', '.join(__all__)}")
