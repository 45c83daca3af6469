"""One value in one cell of a table file, and back: so that what was exported comes back as it was.

Text stands as it is unless it would be read as something else; then it is quoted as JSON text. What a spreadsheet
would run is guarded against that: see `flywheel.page.sheet`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from flywheel.page.sheet import NUMBER, guarded, unguarded

__all__ = ["guarded", "read_cell", "unguarded", "write_cell"]


def write_cell(value: Any) -> str:
    """Write any JSON value as one cell; null is the empty cell.

    >>> write_cell("lost card"), write_cell("42"), write_cell(42), write_cell(["a"])
    ('lost card', '"42"', '42', '["a"]')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value if _stands_for_itself(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _stands_for_itself(text: str) -> bool:
    found = read_cell(text)
    return isinstance(found, str) and found == text


def read_cell(cell: str) -> Any:
    """Read a cell: numbers, true, false, JSON lists, dicts, quoted text as such, an empty cell as null, others as text.

    Numbers are what JSON calls one: `007` and `1,5` stay text.
    """
    if cell == "":
        return None
    if cell in ("true", "false"):
        return cell == "true"
    if NUMBER.fullmatch(cell):
        return json.loads(cell) if abs(float(cell)) < 1e300 else cell
    if cell[0] in '[{"':
        try:
            return json.loads(cell, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return cell
    return cell


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
