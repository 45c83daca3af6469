"""A logged value in the cell of a table: a small picture where it is one, else its words in one line."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from flywheel.web import marks

__all__ = ["glimpse", "picture_of"]

_SIDES = (8, 14, 16, 28, 32, 64)


def picture_of(value: Any) -> str | None:
    """The address of a small grey picture, made of the numbers alone; None where a value is no square of numbers.

    >>> picture_of([0.0] * 63 + [1.0])[:22], picture_of("text"), picture_of([1.0, 2.0])
    ('data:image/png;base64,', None, None)
    """
    if not isinstance(value, list) or not all(isinstance(one, int | float) for one in value):
        return None
    side = math.isqrt(len(value))
    if side not in _SIDES or side * side != len(value) or not all(math.isfinite(one) for one in value):
        return None
    return f"data:image/png;base64,{base64.b64encode(_png(value, side)).decode()}"


def glimpse(value: Any, to: str | None = None, most: int = 90) -> Callable[[], None]:
    """What fills a table's cell with a value: for `marks.table`; `to` is where it leads."""

    def fill() -> None:
        drawn = picture_of(value)
        if drawn is None:
            words = marks.brief(value, most) or "(empty)"
            marks.link(words, to) if to else marks.say(words)
            return
        side = math.isqrt(len(value))
        with ui.element("a" if to else "span") as outer:
            if to:
                outer._props["href"] = to
            shown = ui.element("img").classes("fw-thumb")
        shown._props.update({"src": drawn, "alt": f"picture of {side} × {side} cells"})

    return fill


def _png(values: Sequence[float], side: int) -> bytes:
    """Eight bits of grey a cell; the highest value is the darkest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    grey = bytes(round(255 - 238 * (one - low) / span) for one in values)
    rows = b"".join(b"\0" + grey[start : start + side] for start in range(0, len(grey), side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
