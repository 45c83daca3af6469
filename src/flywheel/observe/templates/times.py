"""Times at the head of log lines, a column at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FORMS", "STAMP", "times"]

STAMP = pa.timestamp("us", "UTC")
_NAIVE = pa.timestamp("us")
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"

FORMS = {
    "iso": r"\d{4}[-/]\d\d[-/]\d\d[T ]" + _CLOCK,
    "ctime": r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d " + _CLOCK + r" \d{4}",
    "clf": r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d",
    "syslog": r"[A-Z][a-z]{2} [ \d]\d " + _CLOCK,
    "short": r"\d\d/\d\d/\d\d " + _CLOCK,
    "monthday": r"\d\d-\d\d " + _CLOCK,
    "compact": r"\d{6} \d{6}",
    "epoch": r"\d{10}(?:\.\d+|\d{3})?",
}
"""What a time looks like, by the name of its form; the more particular first."""


def times(texts: pa.Array, zones: pa.Array, form: str, written: datetime) -> pa.Array:
    """Turn the texts of one form into times in UTC; null where they are none.

    `zones` has offsets such as `+02:00`, empty where none was written: then the time is taken as UTC. A form without a
    year has the last one that does not lie after `written`, when the file was last written.
    """
    naive = _READ[form](texts, written)
    return pc.subtract(naive, _offsets(zones)).cast(_NAIVE).cast(STAMP)


def _offsets(zones: pa.Array) -> pa.Array:
    found = pc.extract_regex(zones, r"^ ?(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)$")
    seconds = pc.add(
        pc.multiply(pc.struct_field(found, "hours").cast(pa.int64()), 3600),
        pc.multiply(pc.struct_field(found, "minutes").cast(pa.int64()), 60),
    )
    back = pc.equal(pc.struct_field(found, "sign"), "-")
    signed = pc.if_else(back, pc.negate(seconds), seconds)
    return pc.fill_null(signed, 0).cast(pa.duration("s")).cast(pa.duration("us"))


def _plain(texts: pa.Array, written: datetime) -> pa.Array:
    """Years first: 2026-01-05 12:00:00,123."""
    texts = pc.replace_substring(pc.replace_substring(texts, "/", "-"), ",", ".")
    texts = pc.replace_substring_regex(texts, r"(\.\d{1,6})\d*$", r"\1")
    return _cast(texts)


def _cast(texts: pa.Array) -> pa.Array:
    """Cast where the parts are in their ranges (a 31st of June is caught one by one)."""
    sane = pc.match_substring_regex(
        texts, r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
    )
    texts = pc.if_else(sane, texts, pa.scalar(None, pa.string()))
    try:
        return texts.cast(_NAIVE)
    except pa.ArrowInvalid:
        return pa.array([_one(text) for text in texts.to_pylist()], _NAIVE)


def _one(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _numbered(texts: pa.Array) -> pa.Array:
    """Names of months → two digits, blanks before days → zeros."""
    for number, name in enumerate(_MONTHS, 1):
        texts = pc.replace_substring(texts, name, f"{number:02d}")
    return texts


def _arranged(texts: pa.Array, pattern: str, order: str, written: datetime) -> pa.Array:
    return _plain(pc.replace_substring_regex(_numbered(texts), pattern, order), written)


def _ctime(texts: pa.Array, written: datetime) -> pa.Array:
    texts = pc.replace_substring_regex(texts, r"^[A-Z][a-z]{2} ", "")
    texts = pc.replace_substring_regex(texts, r"^([A-Z][a-z]{2})  ", r"\1 0")
    return _arranged(texts, r"^(\d\d) (\d\d) (\S+) (\d{4})$", r"\4-\1-\2 \3", written)


def _clf(texts: pa.Array, written: datetime) -> pa.Array:
    return _arranged(texts, r"^(\d\d)/(\d\d)/(\d{4}):", r"\3-\2-\1 ", written)


def _with_year(texts: pa.Array, written: datetime) -> pa.Array:
    """Times without a year: of this year, or of the last where they would lie after the file was written."""
    this = _plain(pc.binary_join_element_wise(str(written.year), texts, "-"), written)
    last = _plain(pc.binary_join_element_wise(str(written.year - 1), texts, "-"), written)
    limit = pa.scalar((written + timedelta(days=1)).replace(tzinfo=None), _NAIVE)
    return pc.if_else(pc.fill_null(pc.greater(this, limit), True), last, this)


def _syslog(texts: pa.Array, written: datetime) -> pa.Array:
    texts = pc.replace_substring_regex(texts, r"^([A-Z][a-z]{2})  ", r"\1 0")
    return _with_year(pc.replace_substring_regex(_numbered(texts), r"^(\d\d) (\d\d) ", r"\1-\2 "), written)


def _short(texts: pa.Array, written: datetime) -> pa.Array:
    return _plain(pc.binary_join_element_wise("20", texts, ""), written)


def _compact(texts: pa.Array, written: datetime) -> pa.Array:
    return _plain(
        pc.replace_substring_regex(texts, r"^(\d\d)(\d\d)(\d\d) (\d\d)(\d\d)(\d\d)$", r"20\1-\2-\3 \4:\5:\6"), written
    )


def _epoch(texts: pa.Array, written: datetime) -> pa.Array:
    seconds = texts.cast(pa.float64())
    seconds = pc.if_else(pc.greater(seconds, 1e11), pc.divide(seconds, 1000.0), seconds)
    return pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64()).cast(_NAIVE)


_READ: dict[str, Callable[[Any, datetime], Any]] = {
    "iso": _plain,
    "ctime": _ctime,
    "clf": _clf,
    "syslog": _syslog,
    "short": _short,
    "monthday": _with_year,
    "compact": _compact,
    "epoch": _epoch,
}
