"""The way in: what your product says about itself becomes durable, checked, redacted facts in the log.

`Recorder` is the SDK behind `fw.log`, `fw.feedback` and `fw.watch`; `Intake` takes what arrives at the server;
`import_records` brings in logs you already have. Names are loaded when first used: what runs inside a product
(`connect`, the integrations) needs the standard library only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.capture.identity import new_id, pseudonym_key
    from flywheel.capture.importing import Imported, import_records
    from flywheel.capture.intake import Intake, Taken
    from flywheel.capture.mapping import guess_mapping
    from flywheel.capture.recorder import Recorder
    from flywheel.capture.sinks import sink_for
    from flywheel.capture.sources import source_for

__all__ = [
    "Imported",
    "Intake",
    "Recorder",
    "Taken",
    "guess_mapping",
    "import_records",
    "new_id",
    "pseudonym_key",
    "sink_for",
    "source_for",
]

_HOMES = {
    "Imported": "importing",
    "Intake": "intake",
    "Recorder": "recorder",
    "Taken": "intake",
    "guess_mapping": "mapping",
    "import_records": "importing",
    "new_id": "identity",
    "pseudonym_key": "identity",
    "sink_for": "sinks",
    "source_for": "sources",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.capture.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.capture' has no attribute {name!r}. It has: {', '.join(__all__)}")
