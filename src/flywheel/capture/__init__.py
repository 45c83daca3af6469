"""The way in: what your product says about itself becomes durable, checked, redacted facts in the log.

`Recorder` is the SDK behind `fw.log`, `fw.feedback` and `fw.watch`; `import_records` brings in logs you already have.
"""

from __future__ import annotations

from flywheel.capture.identity import new_id, pseudonym, pseudonym_key
from flywheel.capture.importing import Imported, import_records
from flywheel.capture.mapping import guess_mapping
from flywheel.capture.recorder import Recorder
from flywheel.capture.sinks import sink_for
from flywheel.capture.sources import source_for

__all__ = [
    "Imported",
    "Recorder",
    "guess_mapping",
    "import_records",
    "new_id",
    "pseudonym",
    "pseudonym_key",
    "sink_for",
    "source_for",
]
