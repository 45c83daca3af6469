"""Ways in for logs that already exist: one format or service a file, each a `Source` plugin.

A row that cannot be read is yielded as `unreadable`, so that the rest can go on.
"""

from __future__ import annotations

from flywheel.capture.sources.choosing import Choice, choose, source_for
from flywheel.capture.sources.delimited import Csv
from flywheel.capture.sources.files import unreadable
from flywheel.capture.sources.jsonl import JsonLines
from flywheel.capture.sources.parquet import Parquet

__all__ = ["Choice", "Csv", "JsonLines", "Parquet", "choose", "source_for", "unreadable"]
