"""Turning values into text that is safe to show: logged text never reaches the terminal as an instruction to it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["ago", "bar", "clean", "json_text", "money", "number", "percent", "picture", "short", "spark"]

# Control characters (escape sequences begin with one), and the marks that reverse or hide the text around them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def clean(value: Any) -> str:
    r"""Text with every control character made visible; line ends and tabs stay.

    >>> clean("\x1b[31mred\x07")
    '␛[31mred␇'
    """
    return _UNSAFE.sub(_visible, str(value).replace("\r\n", "\n"))


def _visible(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"


def short(value: Any, width: int = 60) -> str:
    """Any JSON value on one line of at most `width` characters; strings without quotes, lists of numbers by their size.

    >>> short([0.0] * 64)
    '64 numbers'
    >>> short({"amount": 12, "currency": "EUR"})
    'amount=12 currency=EUR'
    """
    if isinstance(value, str):
        text = value
    elif _numbers(value) and len(value) > 8:
        text = f"{len(value)} numbers"
    elif isinstance(value, dict) and all(not isinstance(v, dict | list) for v in value.values()):
        text = " ".join(f"{key}={short(v, width)}" for key, v in value.items())
    elif value is None:
        text = "–"
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(clean(text).split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in value
    )


def picture(value: Any) -> str | None:
    """Draw a list of numbers that forms a square (from 4 × 4), or rows of equal length, in shades; None for the rest.

    >>> print(picture([[0, 1, 0, 0]] * 4).splitlines()[0])
      ██
    """
    rows = value
    if _numbers(value):
        side = math.isqrt(len(value))
        if side < 4 or side * side != len(value):
            return None
        rows = [value[i * side : (i + 1) * side] for i in range(side)]
    if not isinstance(rows, list | tuple) or len(rows) < 4 or not all(_numbers(row) for row in rows):
        return None
    if len(rows[0]) < 4 or len({len(row) for row in rows}) != 1:
        return None
    flat = [float(v) for row in rows for v in row]
    low, high = min(flat), max(flat)
    shades = "  ░░▒▒▓▓██"
    drawn = []
    for row in rows:
        levels = [round((float(v) - low) / ((high - low) or 1.0) * 4) * 2 for v in row]
        drawn.append("".join(shades[level : level + 2] for level in levels).rstrip())
    return "\n".join(drawn)


def bar(share: float, width: int = 12) -> str:
    """A share as a bar, in eighths of a character.

    >>> bar(0.5, 4)
    '██  '
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + ("▏▎▍▌▋▊▉"[part - 1] if part else "")).ljust(width)


def spark(values: Sequence[float | None]) -> str:
    """A row of numbers as small columns, from their lowest to their highest; a gap where there is none.

    >>> spark([1, 2, None, 4])
    '▁▃ █'
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return ""
    low, spread = min(known), (max(known) - min(known)) or 1.0
    return "".join(
        " " if v is None or not math.isfinite(v) else "▁▂▃▄▅▆▇█"[int((v - low) / spread * 7)] for v in values
    )


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent.

    >>> percent(0.043)
    '4.3 %'
    """
    return "–" if share is None or not math.isfinite(share) else f"{share * 100:.{digits}f} %"


def number(value: float | None) -> str:
    """A number, with thousands set apart.

    >>> number(12345)
    '12,345'
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.1f}"


def money(value: float | None, currency: str | None) -> str:
    """An amount with its currency."""
    return "–" if value is None else f"{value:,.0f} {clean(currency or '')}".strip()


def ago(moment: str | datetime | None, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits.

    >>> ago("2026-01-01T00:00:00Z", datetime(2026, 1, 3, tzinfo=UTC))
    '2 days ago'
    """
    if moment is None:
        return "–"
    then = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    if seconds < 0:
        return then.strftime("%Y-%m-%d %H:%M")
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return "just now"


def json_text(value: Any) -> str:
    r"""One JSON document in ASCII, which no terminal takes for an instruction; NaN and infinity are null.

    >>> json_text({"x": float("nan"), "text": "\x9b31m"})
    '{\n  "x": null,\n  "text": "\\u009b31m"\n}'
    """
    # DEL is the one control character below 128 that JSON leaves as it is.
    return json.dumps(_plain(value), indent=2, allow_nan=False, default=str).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
