"""The many ways in which logs write a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

__all__ = ["time_of"]

_MONTHS = {
    name: number + 1
    for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
}
_CLOCK = r"(?P<H>\d{1,2}):(?P<M>\d\d):(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_OFFSET = r"\s?(?P<z>Z|UTC|GMT|[+-]\d\d:?\d\d)?"
_FORMS = tuple(
    re.compile(form + r"\Z")
    for form in (
        rf"(?P<y>\d{{4}})[-/](?P<m>\d\d)[-/](?P<d>\d\d)(?:[T ]|\s-\s){_CLOCK}{_OFFSET}",  # ISO 8601, Python, log4j
        rf"(?P<d>\d\d)/(?P<b>[A-Za-z]{{3}})/(?P<y>\d{{4}}):{_CLOCK}{_OFFSET}",  # Apache and nginx access logs
        rf"(?P<b>[A-Za-z]{{3}})\s+(?P<d>\d{{1,2}})\s+(?:(?P<y>\d{{4}})\s+)?{_CLOCK}",  # syslog of RFC 3164
        rf"[A-Za-z]{{3}}\s+(?P<b>[A-Za-z]{{3}})\s+(?P<d>\d{{1,2}})\s+{_CLOCK}\s+(?P<y>\d{{4}})",  # Apache error log
        rf"(?P<d>\d\d)\s(?P<b>[A-Za-z]{{3}})\s(?P<y>\d{{4}})\s{_CLOCK}{_OFFSET}",
        rf"(?P<yy>\d\d)/(?P<m>\d\d)/(?P<d>\d\d)\s{_CLOCK}",  # Spark
        r"(?P<yy>\d\d)(?P<m>\d\d)(?P<d>\d\d)\s(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)",  # Hadoop
        rf"(?P<m>\d\d)-(?P<d>\d\d)\s{_CLOCK}",  # logcat
        rf"(?P<m>\d\d)(?P<d>\d\d)\s{_CLOCK}",  # glog
        r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)-(?P<H>\d\d)\.(?P<M>\d\d)\.(?P<S>\d\d)(?:\.(?P<f>\d{1,9}))?",  # BlueGene
        _CLOCK,
    )
)
_EPOCH = re.compile(r"\d{10}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?\Z")


@lru_cache(maxsize=1024)  # lines that follow each other often have one time
def time_of(text: str, near: datetime, zone: tzinfo | None = None) -> str | None:
    """The time that a text says, as ISO 8601; None when it says none.

    `near` (when the file was last written, in UTC) gives the year where the text has none: the last one in which the
    day had come. It gives the day too where there is only a clock. A time without an offset is in `zone`; without that
    it stays without one.

    >>> time_of("Dec 10 06:55:46", datetime(2017, 1, 2, tzinfo=UTC), UTC)
    '2016-12-10T06:55:46+00:00'
    """
    text = text.strip(" []\"'")
    if len(text) > 64 or not text.isascii():
        return None
    if _EPOCH.match(text):
        whole, _, _ = text.partition(".")
        seconds = float(text) / 10.0 ** (len(whole) - 10)
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    for form in _FORMS:
        found = form.match(text)
        if found:
            return _moment(found.groupdict(), near, zone)
    return None


def _moment(parts: dict[str, str | None], near: datetime, zone: tzinfo | None) -> str | None:
    offset = _offset(parts.get("z")) or zone
    today = near.astimezone(offset or UTC)
    if not parts.get("b") and not parts.get("m"):
        return _on_the_day(parts, today, offset)
    month: int | None
    if parts.get("b"):
        month = _MONTHS.get(str(parts["b"]).lower())
        if month is None:
            return None
    else:
        month = int(str(parts["m"]))
    day = int(str(parts["d"]))
    year = int(str(parts["y"])) if parts.get("y") else None
    if year is None and parts.get("yy"):
        year = 2000 + int(str(parts["yy"]))
    clock = _clock(parts)
    for candidate in (year,) if year is not None else range(today.year, today.year - 8, -1):
        try:
            moment = datetime(candidate, month, day, *clock, tzinfo=offset)
        except ValueError:  # no such day in this year: the 29th of February
            continue
        if year is not None or moment.replace(tzinfo=None) <= today.replace(tzinfo=None) + timedelta(days=1):
            return moment.isoformat()
    return None


def _on_the_day(parts: dict[str, str | None], today: datetime, offset: tzinfo | None) -> str | None:
    hour, minute, second, micro = _clock(parts)
    try:
        moment = today.replace(hour=hour, minute=minute, second=second, microsecond=micro, tzinfo=offset)
    except ValueError:
        return None
    late = moment.replace(tzinfo=None) > today.replace(tzinfo=None) + timedelta(hours=1)
    return (moment - timedelta(days=late)).isoformat()


def _clock(parts: dict[str, str | None]) -> tuple[int, int, int, int]:
    micro = int((parts.get("f") or "0")[:6].ljust(6, "0"))
    return int(str(parts["H"])), int(str(parts["M"])), min(59, int(str(parts["S"]))), micro  # 60: a leap second


@lru_cache(maxsize=64)
def _offset(text: str | None) -> tzinfo | None:
    if not text:
        return None
    if text in ("Z", "UTC", "GMT"):
        return UTC
    return datetime.strptime(text.replace(":", ""), "%z").tzinfo
