"""Plain application logs: lines with a time, a level and a message, in one of the usual forms or your own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

from flywheel.capture.mapping import guess_mapping
from flywheel.capture.sources.access_log import parsed as parsed_request
from flywheel.capture.sources.documents import columns_of_documents, is_error, record_of, row_of, trace_of
from flywheel.capture.sources.log_files import Line, LogFiles, Occurrences, first_lines, stem_of, written_at
from flywheel.capture.sources.patterns import NAMED, Pattern, compiled, guessed, named
from flywheel.capture.sources.places import Place, place_of
from flywheel.capture.sources.times import time_of
from flywheel.errors import InvalidConfig

__all__ = ["Lines", "PlainLog"]

_PEEK = 200
_BATCH = 1_000
_LONGEST_RECORD = 64 * 1024
_TIMES = ("at", "timestamp", "time", "ts", "datetime", "date")
_MESSAGES = ("message", "msg", "text", "body", "content")
_LEVELS = ("level", "loglevel", "levelname", "severity")
_CONTEXT = ("logger", "thread", "host", "process", "alert", "kind_of", "state")
_KEPT = ("pid", "line", "pri", "msgid", "structured", "number", "flag", "epoch", "module", "function")
_LETTERS = {
    "V": "VERBOSE", "D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL", "A": "ASSERT",
}  # fmt: skip
_LEVEL_NAMES = frozenset(
    (
        "trace",
        "debug",
        "info",
        "notice",
        "warn",
        "warning",
        "error",
        "err",
        "critical",
        "fatal",
        "severe",
        "alert",
        "panic",
    )
)
_SYSLOG_LEVELS = ("EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")
_RAISED = re.compile(
    r"\s{0,64}(?:Caused by: |Exception in thread \"[^\"]{0,200}\" )?"
    r"((?:[\w$]{1,100}\.){0,20}[A-Z]\w{0,100}(?:Error|Exception|Warning|Exit|Interrupt|Fault|Failure))\b(?:: ?(.*))?"
)
_WEB = re.compile(r'(?P<client>[\w.:\[\]]{1,64}?)(?::\d{1,5})? - "(?P<request>[A-Z]{3,10} [^"]*)" (?P<status>\d{3})')
_TRACKED = ("user", "session", "latency_ms", "model", "confidence")


class Lines:
    """Reads single messages by some patterns: what `log` and `cloudwatch` share.

    The first pattern that fits a message gives its fields; JSON objects are read as documents.
    """

    def __init__(self, patterns: Sequence[Pattern], zone: tzinfo | None = None) -> None:
        self.patterns = tuple(patterns)
        self.zone = zone

    def heads(self, lines: Sequence[str]) -> list[dict[str, Any] | None]:
        """The fields of each line that begins a record; None for the others."""
        found: list[dict[str, Any] | None] = [_json_object(line) for line in lines]
        for pattern in self.patterns:
            left = [place for place, row in enumerate(found) if row is None]
            for place, row in zip(left, pattern.of([lines[place] for place in left]), strict=True):
                found[place] = row
        if not self.patterns:  # nothing fits this log: every line that is not indented is a message
            for place, line in enumerate(lines):
                if found[place] is None and line[:1].strip():
                    found[place] = {"message": line}
        return found

    def row(self, head: dict[str, Any], rest: Sequence[str], near: datetime) -> dict[str, Any]:
        """The columns of a record: the fields of its first line, and the lines that follow it."""
        if "" in head:
            row = row_of(head[""])
            row["at"] = self._time(row, near)
            return {name: value for name, value in row.items() if value is not None}
        fields = {name: value for name, value in head.items() if value != "-"}
        row = {"at": self._time(fields, near), "latency_ms": None}
        message = str(_first(fields, _MESSAGES) or "")
        level = _level(fields)
        whole = "\n".join([message, *rest]).strip() or level or "-"
        row["input"] = whole
        row["context.level"] = level
        for name in _CONTEXT:
            row[f"context.{name}"] = fields.pop(name, None)
        for name in _KEPT:
            row[f"extra.{name}"] = fields.pop(name, None)
        client = fields.pop("client", None)
        row["user"] = fields.pop("user", None) or (client and str(client).rsplit(":", 1)[0])
        for name, value in trace_of(whole).items():
            row[f"extra.{name}"] = value
        row["error"] = _failure(level, message, rest)
        _web(row, message)
        row.update({name: value for name, value in fields.items() if value is not None})
        return {name: value for name, value in row.items() if value is not None}

    def _time(self, fields: dict[str, Any], near: datetime) -> Any:
        said = _first(fields, _TIMES)
        if said is None:
            return None
        return time_of(str(said), near, self.zone) or said


def _json_object(line: str) -> dict[str, Any] | None:
    """A JSON object, under the empty name, which no pattern can give."""
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return {"": said} if isinstance(said, dict) and said else None


def _first(fields: dict[str, Any], names: Iterable[str]) -> Any:
    """Take the first of these fields that is there."""
    return next((fields.pop(name) for name in names if name in fields), None)


def _level(fields: dict[str, Any]) -> str | None:
    level = _first(fields, _LEVELS)
    if level is None and str(fields.get("pri", "")).isdigit():
        level = _SYSLOG_LEVELS[int(fields["pri"]) % 8]
    return None if level is None else _LETTERS.get(str(level), str(level).upper())


def _failure(level: str | None, message: str, rest: Sequence[str]) -> str | None:
    """What failed: the exception that a stack trace names, else the message."""
    if level is None or not is_error(level):
        return None
    for line in [*reversed(rest), message]:
        found = _RAISED.match(line)
        if found and not line.startswith(("\tat ", "    at ")):
            return f"{found[1].rsplit('.', 1)[-1]}: {found[2] or message}"[:1_000]
    return f"{level}: {message}"[:1_000]


def _web(row: dict[str, Any], message: str) -> None:
    """A line that a web server such as uvicorn writes for a request is read like one of an access log."""
    found = _WEB.match(message)
    if not found:
        return
    clf = f'{found["client"]} - - [01/Jan/2000:00:00:00 +0000] "{found["request"]}" {found["status"]} -'
    request = parsed_request(clf)
    if request:
        del request["at"]
        row.update(request)


@dataclass(slots=True)
class _Record:
    """A record under way: its first line's fields, and the lines that belong to it."""

    head: dict[str, Any]
    first: Line
    last: Line
    rest: list[str] = field(default_factory=list)
    size: int = 0
    cut: int = 0

    def add(self, line: Line) -> None:
        self.last = line
        self.size += len(line.text) + 1
        if self.size <= _LONGEST_RECORD:
            self.rest.append(line.text)
        else:
            self.cut += 1


class PlainLog:
    """The source `log`: a file, folder or pattern of application logs, plain or packed, oldest first.

    The form of the lines is guessed from the first 200 (`flywheel.capture.sources.patterns.NAMED`: log4j, logback,
    Spring, Python, syslog, glog, uvicorn, Apache and nginx error logs, logcat …; JSON lines too) and stands in
    `format`. Your own is given by `pattern=` after the location or in the mapping, in Grok (`%{TIMESTAMP_ISO8601:at}
    %{LOGLEVEL:level} %{GREEDYDATA:message}`), as a regular expression with named groups, or as one of the names. Lines
    that do not begin a record belong to the one before them (stack traces), up to 64 KB.

    The input is the message, `context` has level, logger, thread and host, and from level error up `error` says what
    failed. A year that is missing is taken from when the file was last written, or is `year=2016`. `zone=Europe/Berlin`
    is where times without an offset were written.

    `done` is the share that has been read, `cursor` how far each file has been; `read(…, after=cursor)` goes on there.
    """

    name = "log"
    settings = ("pattern", "zone", "year")

    def __init__(self) -> None:
        self.format = ""
        self._files: LogFiles | None = None

    @property
    def done(self) -> float:
        """The share of the bytes that has been read."""
        return self._files.done if self._files else 0.0

    @property
    def cursor(self) -> str | None:
        """How far each file has been read; None before the first record."""
        return self._files.cursor if self._files else None

    def recognises(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Why these rows of JSON are messages of a program (a time, a known level, words); None when they are not."""
        found = sum(
            any(name in row for name in ("msg", "message"))
            and any(str(row.get(name, "")).lower() in _LEVEL_NAMES for name in _LEVELS)
            and any(name in row for name in (*_TIMES, "@timestamp"))
            for row in rows
        )
        return f"{found} of its first {len(rows)} rows have a level and a message" if found * 2 > len(rows) else None

    def columns(self, location: str, mapping: dict[str, str] | None = None) -> list[str]:
        """The fields that the first two hundred lines have."""
        place, files = self._open(location)
        pattern = (mapping or {}).get("pattern") or place.settings.get("pattern")
        rows = []
        for path in files.paths[-3:]:
            peek = first_lines(path, _PEEK)
            lines = self._lines(peek, pattern, place.zone())
            rows += [lines.row(head, (), _near(place, path)) for head in lines.heads(peek) if head]
        return columns_of_documents(rows) or ["input"]

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield a record for each message with the lines that belong to it; lines before the first are unreadable."""
        place, files = self._open(location)
        chosen = dict(mapping or {})
        pattern = chosen.pop("pattern", None) or place.settings.get("pattern")
        if mapping is None:
            chosen = guess_mapping(self.columns(location, {"pattern": pattern} if pattern else None))
        self._files = files
        seen = Occurrences()
        for path, done in files.after(after):
            lines = self._lines(first_lines(path, _PEEK), pattern, place.zone())
            near, stem, at = (
                _near(place, path),
                stem_of(path),
                None,
            )  # a message without a time has that of the one before
            for one in self._records(files.lines(path), lines):
                if isinstance(one, Line):
                    if one.number > done:
                        files.reached(one)
                        why = one.problem or "it stands before the first line that begins a record"
                        yield {"kind": "unreadable", "place": one.place, "problem": why, "body": one.text}
                    continue
                row = lines.row(one.head, one.rest, near)
                at = row.get("at", at)
                if at is not None:
                    row["at"] = at
                if one.cut:
                    row["extra.lines_cut"] = one.cut
                stable = seen.id_of(stem, one.first.text)
                if one.last.number > done:
                    files.reached(one.last)
                    yield record_of(row, chosen, stable)

    def _records(self, lines: Iterator[Line], reader: Lines) -> Iterator[_Record | Line]:
        """Join the lines to records; a line that cannot be read comes as it is."""
        record: _Record | None = None
        while batch := list(islice(lines, _BATCH)):
            for line, head in zip(batch, reader.heads([line.text for line in batch]), strict=True):
                if line.problem is not None:
                    yield line
                elif head is not None:
                    if record is not None:
                        yield record
                    record = _Record(head, line, line)
                elif record is not None:
                    if line.text.strip() or record.rest:
                        record.add(line)
                elif line.text.strip():
                    yield line
        if record is not None:
            yield record

    def _lines(self, peek: Sequence[str], pattern: str | None, zone: tzinfo | None) -> Lines:
        if pattern is None:
            patterns = guessed([line for line in peek if _json_object(line) is None])
        elif pattern in NAMED:
            patterns = [named(pattern)]
        else:
            patterns = [compiled(pattern)]
        names = [one.name for one in patterns]
        if any(_json_object(line) for line in peek):
            names.insert(0, "json")
        self.format = ", ".join(names) or "one message a line"
        return Lines(patterns, zone)

    def _open(self, location: str) -> tuple[Place, LogFiles]:
        place = place_of(location, (self.name,), self.settings)
        if (own := place.settings.get("pattern")) and not own.strip():
            raise InvalidConfig("pattern= is empty. Leave it out to have the form of the lines guessed")
        zone, year = place.zone(), place.number("year", 0, 1970, 9998)
        return place, LogFiles(place.path, lambda line, near: _time_in(line, _in_year(year, near), zone))


def _near(place: Place, path: Path) -> datetime:
    return _in_year(place.number("year", 0, 1970, 9998), written_at(path))


def _in_year(year: int, written: datetime) -> datetime:
    return datetime(year, 12, 31, 12, tzinfo=UTC) if year else written


_HEADS = tuple(
    re.compile(form)
    for form in (
        r"[^\w]{0,3}(\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?)",
        r"\[?(\w{3} +\d{1,2} \d\d:\d\d:\d\d)",
        r"\[(\w{3} \w{3} +\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)? \d{4})\]",
        r"(\d\d/\d\d/\d\d \d\d:\d\d:\d\d)",
        r"(\d{6} \d{6}) ",
        r"(\d\d-\d\d \d\d:\d\d:\d\d\.\d+)",
    )
)


def _time_in(line: str, near: datetime, zone: tzinfo | None) -> str | None:
    """The time at the head of a line, in the usual forms: enough to order files by."""
    for form in _HEADS:
        found = form.match(line)
        if found:
            return time_of(found[1], near, zone)
    return None
