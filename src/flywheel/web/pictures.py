"""Pictures inside logged values: grids of numbers and encoded images, made into what an `img` can show, or refused.

Only PNG, JPEG, GIF and WebP are shown, by what their bytes say and not by what the text claims: an SVG is markup and
stays text. A picture whose sides would cost a browser its memory stays text, too.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Picture", "of_numbers", "of_text"]

_SIDES = (8, 14, 16, 28, 32, 64, 96, 128, 224, 256)
"""Flat lists of so many numbers squared, none below 0, are read as square pictures."""
_LEAST = 4
_DRAWN = 512
"""At most so many points a side are drawn; of more, every second, third … one."""
_MOST_POINTS = 25_000_000
_MOST_BYTES = 8 * 1024 * 1024
_CLAIM = re.compile(r"data:image/[\w.+-]{1,20};base64,", re.IGNORECASE)
_BARE = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
"""How base64 text of the four formats begins."""
_SHORTEST = 40
_JPEG_SIZES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


@dataclass(frozen=True, slots=True)
class Picture:
    """What an `img` needs: a `data:` URL, the sides in points, and words for who cannot see it."""

    source: str
    width: int
    height: int
    says: str


def of_text(text: str) -> Picture | None:
    """The picture that a text encodes in base64, with `data:image/…;base64,` before it or without; else None."""
    claim = _CLAIM.match(text[:60])
    if claim is None and not (text.startswith(_BARE) and len(text) >= _SHORTEST):
        return None
    body = text[claim.end() if claim else 0 :]
    if len(body) > _MOST_BYTES:
        return None
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = _kind(data)
    sides = _sides(kind, data) if kind else None
    if kind is None or sides is None or not 0 < sides[0] * sides[1] <= _MOST_POINTS:
        return None
    says = f"A picture of {sides[0]:,} × {sides[1]:,} points, {kind.upper()}, {max(1, len(data) // 1024):,} kB."
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", *sides, says)


def of_numbers(value: Any) -> Picture | None:
    """The picture that a grid of numbers is: flat and square, rows of numbers, rows of colours, or planes of rows.

    Grey goes from the lowest number (black) to the highest (white). None for what is no picture: a list of another
    length, numbers below 0 (an embedding), rows of unequal length.

    >>> of_numbers([0, 1] * 32).says
    'A picture of 8 × 8 points, from 0 (black) to 1 (white).'
    >>> of_numbers([0.5, -0.5] * 32) is None
    True
    """
    if not isinstance(value, list | tuple) or len(value) < _LEAST - 1:
        return None
    if _is_number(value[0]):
        numbers = _numbers(value)
        side = next((side for side in _SIDES if side * side == len(value)), None)
        if numbers is None or side is None:
            return None
        return _grey([numbers[start : start + side] for start in range(0, len(numbers), side)])
    if not isinstance(value[0], list | tuple) or not value[0]:
        return None
    if _is_number(value[0][0]):
        rows = _rows(value)
        return None if rows is None else _grey(rows)
    return _coloured(value)


def _coloured(value: Any) -> Picture | None:
    if len(value) == 3 and (planes := [_rows(plane) for plane in value]) and all(plane is not None for plane in planes):
        red, green, blue = (plane or [] for plane in planes)
        sizes = {(len(plane), len(plane[0])) for plane in (red, green, blue)}
        if len(sizes) == 1:
            pixels = [list(zip(*three, strict=True)) for three in zip(red, green, blue, strict=True)]
            return _colour(pixels)
    grid: list[list[tuple[float, ...]]] = []
    for row in value:
        if not isinstance(row, list | tuple):
            return None
        points = [_numbers(point) if isinstance(point, list | tuple) else None for point in row]
        if any(point is None or len(point) not in (1, 3, 4) for point in points):
            return None
        grid.append([tuple(point or ()) for point in points])
    width = len(grid[0]) if grid else 0
    depth = {len(point) for row in grid for point in row}
    if len(grid) < _LEAST or width < _LEAST or any(len(row) != width for row in grid) or len(depth) != 1:
        return None
    return _grey([[point[0] for point in row] for row in grid]) if depth == {1} else _colour(grid)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(values: Any) -> list[float] | None:
    """Finite numbers of 0 or more, or None."""
    found = []
    for value in values:
        try:
            number = float(value) if _is_number(value) else math.nan
        except OverflowError:
            return None
        if not 0 <= number < math.inf:
            return None
        found.append(number)
    return found


def _rows(value: Any) -> list[list[float]] | None:
    if not isinstance(value, list | tuple) or len(value) < _LEAST:
        return None
    rows: list[list[float]] = []
    for row in value:
        numbers = _numbers(row) if isinstance(row, list | tuple) else None
        if numbers is None or len(numbers) < _LEAST or (rows and len(numbers) != len(rows[0])):
            return None
        rows.append(numbers)
    return rows


def _grey(rows: list[list[float]]) -> Picture:
    low, high = min(map(min, rows)), max(map(max, rows))
    span = (high - low) or 1.0
    step = _step(rows)
    body = [bytes(round(255 * ((number - low) / span)) for number in row[::step]) for row in rows[::step]]
    says = f"A picture of {len(rows[0])} × {len(rows)} points, from {low:g} (black) to {high:g} (white)."
    return Picture(_png(body, 1), len(rows[0]), len(rows), says)


def _colour(grid: Sequence[Sequence[Sequence[float]]]) -> Picture:
    high = max(number for row in grid for point in row for number in point[:3])
    top = 1.0 if high <= 1 else 255.0 if high <= 255 else high
    step = _step(grid)
    body = [bytes(round(255 * number / top) for point in row[::step] for number in point[:3]) for row in grid[::step]]
    says = f"A picture of {len(grid[0])} × {len(grid)} points in colour."
    return Picture(_png(body, 3), len(grid[0]), len(grid), says)


def _step(rows: Any) -> int:
    return max(1, -(-max(len(rows), len(rows[0])) // _DRAWN))


def _png(rows: list[bytes], channels: int) -> str:
    head = struct.pack(">IIBBBBB", len(rows[0]) // channels, len(rows), 8, 0 if channels == 1 else 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    data = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


# --- what an encoded image says of itself -----------------------------------------------------------------------------


def _kind(data: bytes) -> str | None:
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return "png"
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _sides(kind: str, data: bytes) -> tuple[int, int] | None:
    """Width and height as the file's head has them; None where it has none that can be read."""
    try:
        if kind == "png":
            return struct.unpack(">II", data[16:24])
        if kind == "gif":
            return struct.unpack("<HH", data[6:10])
        return _sides_of_jpeg(data) if kind == "jpeg" else _sides_of_webp(data)
    except (struct.error, IndexError):
        return None


def _sides_of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xFF:
            place += 1
            continue
        place += 2 + max(2, struct.unpack(">H", data[place + 2 : place + 4])[0])
    return None


def _sides_of_webp(data: bytes) -> tuple[int, int] | None:
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
