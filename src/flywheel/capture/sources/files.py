"""Files that logs lie in: where they are, what their ending says, and what stands for a row that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flywheel.errors import InvalidConfig, NotFound

__all__ = ["AS_TEXT", "ENDINGS", "LONGEST_LINE", "file_at", "source_for", "unreadable"]

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

LONGEST_LINE = 64 * 1024 * 1024
AS_TEXT = ("input", "error", "comment", "report", "id", "interaction_id", "user", "session", "model", "by")
"""Fields whose cells are text even where they look like numbers."""


def source_for(location: str) -> str:
    """Name the source (and the sink) for a file by its ending."""
    ending = Path(location).suffix.lower()
    if ending not in ENDINGS:
        raise InvalidConfig(f"{location!r} does not end in one of {', '.join(ENDINGS)}: say which format it has")
    return ENDINGS[ending]


def unreadable(place: str, problem: str) -> dict[str, Any]:
    """What stands for a row that could not be read."""
    return {"kind": "unreadable", "place": place, "problem": problem}


def file_at(location: str) -> Path:
    """The file at a location; `NotFound` when there is none."""
    path = Path(location)
    if not path.is_file():
        raise NotFound(f"there is no file {location!r}. Check the path; a folder or a pattern is not taken")
    return path
