"""The source `jsonl`: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.files import LONGEST_LINE, file_at, unreadable

__all__ = ["JsonLines"]

_PEEK = 100


class JsonLines:
    """The source `jsonl`: one JSON object a line. `done` is the share of the file that has been read."""

    name = "jsonl"

    def __init__(self) -> None:
        self.done = 0.0

    def columns(self, location: str) -> list[str]:
        """The keys of the first hundred objects."""
        found: dict[str, None] = {}
        for _, row in islice(self._rows(file_at(location)), _PEEK):
            if isinstance(row, dict):
                found.update(dict.fromkeys(row))
        return list(found)

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        path = file_at(location)
        chosen = guess_mapping(self.columns(location)) if mapping is None else mapping
        for place, row in self._rows(path):
            if isinstance(row, dict):
                yield shape(row, chosen)
            else:
                yield unreadable(place, str(row))

    def _rows(self, path: Path) -> Iterator[tuple[str, Any]]:
        size = max(1, path.stat().st_size)
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                self.done = min(1.0, file.tell() / size)
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield f"line {number}", f"the line is longer than {LONGEST_LINE:,} bytes"
                elif line.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield f"line {number}", _parse(line)


def _parse(line: bytes) -> Any:
    """A dict, or what is wrong with the line; never the line itself, which may hold anything."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        return f"byte {problem.start + 1} is not UTF-8"
    except RecursionError:
        return "it is nested too deep"
    except ValueError as problem:
        return f"it is not JSON: {problem.args[0]}"
    return row if isinstance(row, dict) else f"it is a JSON {type(row).__name__}, not an object"
