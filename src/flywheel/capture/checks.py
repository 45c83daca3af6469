"""What may enter the log: every value is checked and copied before anything is written.

A value that JSON cannot hold, or that would surprise a reader later (NaN, a time without a zone, a key that is not
text), raises `InvalidRecord` with the field and what to pass instead.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flywheel.errors import InvalidRecord

__all__ = ["FEEDBACK_KINDS", "SOURCES", "moment", "plain", "probability", "scalars", "text", "unknown_field"]

FEEDBACK_KINDS = ("rating", "label", "comment", "outcome", "report")
SOURCES = ("user", "reviewer", "judge", "system")
_DEEPEST = 64
_LONGEST_NAME = 200
_USER_NAMES = ("user_id", "userid", "user_name", "username")


def show(value: Any) -> str:
    """Print a value in an error: short, whatever it is."""
    written = repr(value) if isinstance(value, str | bytes | int | float | None) else f"a {type(value).__name__}"
    return written if len(written) <= 80 else f"{written[:77]}…"


def plain(value: Any, field: str, limit: int) -> Any:
    """Copy a value as JSON: dicts with text keys, lists, text, finite numbers, true, false, null.

    Tuples become lists; numpy numbers and arrays become numbers and lists. `limit` (bytes) bounds the work on a value
    that is too large anyway.
    """
    return _Copy(limit).of(value, field, 0)


class _Copy:
    """One walk over a value, which remembers where it is (for circles) and how much it has seen (for size)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen = 0
        self._open: set[int] = set()

    def of(self, value: Any, field: str, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is float:
            return finite(value, field)
        if kind is str:
            return self._text(value, field)
        if kind is int:
            return _integer(value, field)
        if isinstance(value, Mapping | list | tuple):
            return self._container(value, field, depth)
        if type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.of(value.tolist(), field, depth)
        if isinstance(value, str):  # text enumerations and other subclasses
            return self._text(str.__str__(value), field)
        if isinstance(value, float):
            return finite(float(value), field)
        if isinstance(value, int):
            return _integer(int(value), field)
        raise InvalidRecord(field, f"a {type(value).__name__} is not a JSON value", _instead(value))

    def _text(self, value: str, field: str) -> str:
        self._count(len(value), field)
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as problem:
                raise InvalidRecord(
                    field,
                    f"the text has a lone surrogate at position {problem.start}, which is not Unicode",
                    "Decode the bytes with the right encoding, or with errors='replace'",
                ) from problem
        return value

    def _container(self, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], field: str, depth: int) -> Any:
        self._count(len(value), field)
        if id(value) in self._open:
            raise InvalidRecord(field, "the value contains itself", "Pass a copy without the circle")
        if depth >= _DEEPEST:
            raise InvalidRecord(
                field, f"the value is nested more than {_DEEPEST} deep", "Flatten it, or pass it as JSON text"
            )
        self._open.add(id(value))
        copied: Any
        if isinstance(value, Mapping):
            copied = {}
            for key, item in value.items():
                if not isinstance(key, str):
                    raise InvalidRecord(
                        field, f"the key {show(key)} is a {type(key).__name__}", "Use text as keys: str(key)"
                    )
                copied[self._text(key, field)] = self.of(item, f"{field}.{key}", depth + 1)
        else:
            copied = [self.of(item, f"{field}[{place}]", depth + 1) for place, item in enumerate(value)]
        self._open.discard(id(value))
        return copied

    def _count(self, size: int, field: str) -> None:
        self._seen += size
        if self._seen > self._limit:
            raise too_large(field, self._seen, self._limit)


def too_large(field: str, size: int, limit: int) -> InvalidRecord:
    """The error for a record over the limit."""
    return InvalidRecord(
        field,
        f"the record is larger than {limit:,} bytes (at least {size:,})",
        "Store the large part elsewhere and log a reference to it, or raise store.max_record_bytes",
    )


def _integer(value: int, field: str) -> int:
    if -(2**63) <= value < 2**63:
        return value
    raise InvalidRecord(field, f"{show(value)} does not fit into 64 bits", "Pass it as text: str(value)")


def finite(value: float, field: str) -> float:
    """Let a finite number through."""
    if math.isfinite(value):
        return value
    raise InvalidRecord(field, f"{value} is not a number that JSON can hold", "Leave the field out, or pass None")


def number(
    value: Any, field: str, *, low: float | None = None, high: float | None = None, fix: str = ""
) -> float | None:
    """Check a number and its limits; None passes."""
    if value is None:
        return None
    if (
        not isinstance(value, int | float)
        and type(value).__module__.split(".")[0] == "numpy"
        and hasattr(value, "item")
    ):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRecord(field, f"{show(value)} is a {type(value).__name__}, not a number", f"Pass a number{fix}")
    checked = finite(float(value), field)
    if (low is not None and checked < low) or (high is not None and checked > high):
        side = f"below {low:g}" if low is not None and checked < low else f"above {high:g}"
        raise InvalidRecord(field, f"{value} is {side}", f"Pass a number{fix}")
    return checked


def probability(value: Any, field: str, *, zero: bool = True) -> float | None:
    """Check a probability; `zero=False` for one with which something did happen."""
    checked = number(value, field, low=0.0, high=1.0, fix=" from 0 to 1; divide a percentage by 100")
    if checked == 0.0 and not zero:
        raise InvalidRecord(
            field, "0 is the probability of something that never happens", "Pass a number above 0, up to 1"
        )
    return checked


def text(value: Any, field: str, *, name: bool = True, limit: int = 0) -> str | None:
    """Check a text; a `name` (id, user, version) is 1 to 200 characters on one line; None passes."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRecord(
            field, f"{show(value)} is {_article(value)}, not text", f"Pass a string, such as {str(value)[:40]!r}"
        )
    if name and not 1 <= len(value) <= _LONGEST_NAME:
        raise InvalidRecord(field, f"the text has {len(value)} characters", f"Pass 1 to {_LONGEST_NAME} characters")
    if name and any(ord(letter) < 32 or letter == "\x7f" for letter in value):
        raise InvalidRecord(
            field, f"{show(value)} holds a control character", "Strip line ends, tabs and zero bytes from it"
        )
    checked = plain(value, field, limit or 4 * len(value) + 1)
    assert isinstance(checked, str)
    return checked


def moment(value: Any, field: str) -> datetime | None:
    """Check a time and turn it to UTC; None passes.

    ISO 8601 text and seconds, milli-, micro- or nanoseconds since 1970 do too.
    """
    if value is None:
        return None
    fix = "Pass a datetime with a zone: datetime.now(UTC), or value.replace(tzinfo=UTC) if it is UTC"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as problem:
            raise InvalidRecord(
                field, f"{show(value)} is not an ISO 8601 time", "Write it as 2026-01-31T12:00:00Z"
            ) from problem
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = _since_1970(finite(float(value), field), field)
    if not isinstance(value, datetime):
        raise InvalidRecord(field, f"{show(value)} is {_article(value)}, not a time", fix)
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidRecord(field, f"{value.isoformat()} has no time zone, so it could be any of 38 moments", fix)
    try:
        return value.astimezone(UTC)
    except OverflowError as problem:
        raise InvalidRecord(field, f"{value.isoformat()} is outside the years 1 to 9999 in UTC", fix) from problem


def _since_1970(value: float, field: str) -> datetime:
    """The unit shows in the size: from 2001 to 2286, seconds have 10 digits, milliseconds 13, and so on."""
    for unit in (1.0, 1e3, 1e6, 1e9):
        if 1e9 <= value / unit < 1e10:
            return datetime.fromtimestamp(value / unit, UTC)
    raise InvalidRecord(
        field, f"{value:g} is no time since 1970 between 2001 and 2286", "Write it as 2026-01-31T12:00:00Z"
    )


def scalars(value: Any, field: str, limit: int) -> dict[str, Any]:
    """Check a flat dict of text, numbers, true, false and null."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRecord(
            field, f"{show(value)} is {_article(value)}, not a dict", "Pass a flat dict: {'device': 'ios'}"
        )
    checked = plain(value, field, limit)
    for key, item in checked.items():
        if isinstance(item, dict | list):
            raise InvalidRecord(
                f"{field}.{key}",
                f"a {type(item).__name__} is not a single value",
                f"Flatten it ({field}={{'{key}.part': …}}), or put it into input or an extra field",
            )
    return checked  # type: ignore[no-any-return]


def unknown_field(name: str, known: tuple[str, ...], *, strict: bool) -> InvalidRecord | None:
    """The error for a field nobody knows: always when `strict`, else only when it looks like a misspelt one."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if strict else 0.8)
    if name in _USER_NAMES and "user" in known:
        close = ["user"]  # kept as an extra field it would not become a pseudonym
    hint = f"Did you mean {close[0]!r}? " if close else ""
    if strict:
        return InvalidRecord(name, "there is no such field", f"{hint}Fields: {', '.join(known)}")
    if close:
        return InvalidRecord(
            name,
            f"there is no such field, but there is {close[0]!r}",
            f"{hint}To keep it under its own name, pass extra={{{name!r}: …}}",
        )
    return None


def _article(value: Any) -> str:
    kind = type(value).__name__
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _instead(value: Any) -> str:
    if isinstance(value, datetime) or hasattr(value, "isoformat"):
        return "Pass value.isoformat()"
    if isinstance(value, bytes | bytearray | memoryview):
        return "Decode it to text, or pass base64.b64encode(value).decode()"
    if isinstance(value, set | frozenset):
        return "Pass sorted(value)"
    if hasattr(value, "__dataclass_fields__"):
        return "Pass dataclasses.asdict(value)"
    return "Pass text, a number, true, false, null, or a list or dict of them"
