"""From a call to one line of JSON, in the thread of the caller: ids, clocks and encoding that never give way.

A record is written at once, by the C encoder of the standard library, so that what is sent is what was passed, whatever
becomes of the objects afterwards, and so that what waits is measured to the byte. Nothing here asks the system for
random bytes or takes a lock: both would let other threads run in the middle of the product's call.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from json import encoder as _json
from typing import Any, Final, cast

from flywheel.capture.checks import too_large
from flywheel.errors import InvalidRecord

__all__ = ["FIELDS", "UNSAID", "clock_text", "fresh_id", "moment_text", "written"]

# As in `drafts`, which would take longer to load than all of the recorder; a test holds the two together.
FIELDS = (
    "input", "output", "id", "at", "sent_at", "scores", "confidence", "latency_ms", "error", "model", "user", "session",
    "context", "propensity", "consent", "extra",
)  # fmt: skip


class _Unsaid:
    """Stands for what was not given, where None is a value too."""

    def __repr__(self) -> str:
        return "<not given>"


UNSAID: Final = _Unsaid()

_MOST_ARRAY_BYTES = 16 * 1024 * 1024  # an array that is larger becomes no record, so it is not even looked at


class _Clock:
    """The second that was written last: most records share it with the one before."""

    second: tuple[int, str] = (0, "")


_random = random.Random()  # seeded by the system; 62 bits of it stand beside the time in every id
_draw = _random.getrandbits

if hasattr(os, "register_at_fork"):  # a child must not draw the numbers that its parent draws
    os.register_at_fork(after_in_child=_random.seed)


def fresh_id(at: float | None = None) -> str:
    """Make a UUIDv7 (RFC 9562, method 3: a fraction of the millisecond after it), now or for a moment since 1970.

    >>> fresh_id(0.0)[:15]
    '00000000-0000-7'
    """
    milli, rest = divmod(time.time_ns() if at is None else max(0, int(at * 1e9)), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031  (a third quicker than an f-string here)
        milli >> 16,
        milli & 0xFFFF,
        fraction,
        0x8000 | _draw(14),
        _draw(48),
    )


def clock_text() -> str:
    """Now, as ISO 8601 in UTC to the microsecond."""
    second, rest = divmod(time.time_ns(), 1_000_000_000)
    known, text = _Clock.second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _Clock.second = (second, text)  # one assignment: threads see the old pair or the new one
    return f"{text}.{rest // 1000:06d}Z"


def moment_text(value: Any) -> Any:
    """A datetime as ISO 8601; anything else as it is, for the server to judge."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def written(record: dict[str, Any], limit: int) -> bytes:
    """Write a record as one line of JSON in UTF-8, at most `limit` bytes.

    Raises `InvalidRecord`, `TypeError`, `ValueError` or `RecursionError` for what JSON cannot hold. The work is
    bounded: what is too large is noticed before it is written. Half a surrogate pair stays an escape.
    """
    if _room(record, limit) < 0:
        raise too_large("record", limit + 1, limit)
    line = "".join(_encode(record, 0)).encode("utf-8", "backslashreplace")
    if len(line) > limit:
        raise too_large("record", len(line), limit)
    return line


def _room(value: Any, room: int) -> int:
    """What is left of `room` after the texts and items of a value; negative as soon as there is nothing left."""
    if isinstance(value, dict):
        room -= len(value)
        items = value.values()
    else:
        room -= len(value)
        items = value
    for item in items:
        kind = type(item)
        if kind is str:
            room -= len(item)
        elif kind is dict or kind is list or kind is tuple:
            room = _room(item, room)
        if room < 0:
            break
    return room


def _other(value: Any) -> Any:
    """What the encoder does not know: numpy's numbers and arrays, other mappings. No text of it in the error."""
    kind = type(value)
    if kind.__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
        if getattr(value, "nbytes", 0) > _MOST_ARRAY_BYTES:
            raise too_large("record", value.nbytes, _MOST_ARRAY_BYTES)
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise InvalidRecord("record", f"a {kind.__name__} is not a JSON value", "Pass text, numbers, lists or dicts")


def _encoder() -> Callable[[Any, int], Any]:
    """The C encoder made once: `json.dumps` makes a new one for every call."""
    make: Any = getattr(_json, "c_make_encoder", None)
    if make is None:  # no C extension, as on PyPy
        return json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False, default=_other
        ).iterencode  # type: ignore[return-value]
    # markers, default, strings, indent, two separators, sort_keys, skipkeys, allow_nan
    made = make(None, _other, _json.encode_basestring, None, ":", ",", False, False, False)
    return cast("Callable[[Any, int], Any]", made)


_encode = _encoder()
