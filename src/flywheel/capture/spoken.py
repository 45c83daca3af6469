"""The quick way from the wire into the log, for records that are as they should be.

Nearly every record is: known fields, right types, nothing to hide. Such a record is read straight into the form in
which the log writes it; anything else goes the careful way of `drafts`, which finds the words for what is wrong.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from flywheel.capture.wire import deepest_allowed

__all__ = ["SpokenInteraction", "looks_plain", "read_spoken"]

_LONG_NUMBER = re.compile(rb"\d{19}")
_ESCAPED = b"\\"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Chance = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
_Positive = Annotated[float, msgspec.Meta(ge=0.0)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Scalar = str | int | float | bool | None


class SpokenInteraction(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An interaction as it is sent; written again it is what the log keeps."""

    input: Any
    id: _Name | None = None
    at: _Moment | None = None
    output: Any = None
    sent_at: _Moment | None = None
    scores: dict[str, float] | None = None
    confidence: _Share | None = None
    latency_ms: _Positive | None = None
    error: str | None = None
    model: _Name | None = None
    user: _Name | None = None
    session: _Name | None = None
    context: dict[str, _Scalar] = {}
    propensity: _Chance | None = None
    consent: bool | None = None
    extra: dict[str, Any] = {}


_read_interaction = msgspec.json.Decoder(SpokenInteraction).decode
_NAMES = ("id", "model", "user", "session")


def looks_plain(body: bytes | bytearray) -> bool:
    """Is there neither an escape nor a very long number in a whole body? Then no record needs a look for them."""
    return _ESCAPED not in body and not _LONG_NUMBER.search(body)


def read_spoken(raw: bytes, *, plain: bool = False) -> SpokenInteraction | None:
    """Read an interaction the quick way; None where it needs the careful one. `plain`: see `looks_plain`."""
    if not deepest_allowed(raw) or (not plain and _LONG_NUMBER.search(raw)):
        return None
    try:
        spoken: SpokenInteraction = _read_interaction(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not plain and _ESCAPED in raw:  # only an escape can bring in a control character
        for name in _NAMES:
            value = getattr(spoken, name)
            if value is not None and _CONTROL.search(value):
                return None
    try:
        if spoken.at is not None:
            spoken.at = spoken.at.astimezone(UTC)
        if spoken.sent_at is not None:
            spoken.sent_at = spoken.sent_at.astimezone(UTC)
    except OverflowError:  # a moment outside the years 1 to 9999
        return None
    return spoken
