"""Files of application logs → columns: time, message, trace id, level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import NotFound
from flywheel.observe.templates.times import FORMS, STAMP, times

__all__ = ["LOG_SCHEMA", "read_log"]

LOG_SCHEMA = pa.schema([("at", STAMP), ("message", pa.string()), ("trace_id", pa.string()), ("level", pa.string())])

_BLOCK = 8 << 20
_PEEK = 200
_LEVEL = (
    r"(?P<level>(?i:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|alert|emerg|panic))\b"
)
_LETTERS = {"V": "VERBOSE", "D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL", "A": "ASSERT"}
_ZONE = r"(?P<zone>Z| ?UTC| ?[+-]\d\d:?\d\d)?"

_BODIES = (
    # host program[pid]: message
    r"^[\w.-]+ [^\s\[\]:]+\[\d+\]: ?(?P<message>.*)$",
    # pid thread L tag: message
    r"^\d+ +\d+ (?P<level>[VDIWEFA]) [^:]*?: (?P<message>.*)$",
    # [thread] LEVEL logger - message, LEVEL logger: message, thread LEVEL logger: message
    rf"^(?:\d+ |\[[^\]]*\] )?\[?{_LEVEL}\]? +(?:\[.*?\] +)?(?:- )?(?:[\w$.:/@-]*\w(?: -|:) +)?(?P<message>.*)$",
    # LEVEL: message, [LEVEL] [client …] message
    rf"^[\s\[|-]*{_LEVEL}[\]:|\s-]+(?P<message>.*)$",
    # logger LEVEL message
    rf"^[\w.$/-]+[\s|-]+\[?{_LEVEL}\]?[\s:|-]+(?P<message>.*)$",
)
_TRACES = (
    r"(?i:trace[_.-]?id)[\"']?\s*[=:]\s*[\"']?(?P<id>[0-9A-Za-z-]{6,64})",
    r"\b[0-9a-f]{2}-(?P<id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\b",
    r"(?i:(?:request|req|correlation)[_.-]?id)[\"']?\s*[=:]\s*[\"']?(?P<id>[0-9A-Za-z-]{6,64})",
)
_KEYS = {
    "at": ("at", "@timestamp", "timestamp", "time", "ts", "datetime", "date"),
    "message": ("message", "msg", "event", "text", "body", "log"),
    "trace_id": ("trace_id", "traceId", "traceid", "trace.id", "request_id", "requestId", "correlation_id"),
    "level": ("level", "severity", "levelname", "loglevel", "log.level"),
}


def read_log(path: str | Path, *, written: datetime | None = None) -> pa.Table:
    """Read a log file, plain or packed (`.gz`, `.bz2`, `.zst`), in blocks of 8 MB.

    One row a line: `at` (UTC), `message`, `trace_id`, `level` (upper case). The form of the times (ISO 8601, syslog,
    epoch seconds or milliseconds, Apache, log4j …) and of what stands between time and message is recognised from the
    first 200 lines; JSON lines by their usual keys. A trace id is taken from `trace_id=…`, a W3C traceparent or a
    request id anywhere in the line. Lines that do not fit, such as those of a stack trace, are kept whole, with the
    time of the line before; the table's metadata count them: `lines`, `unparsed`, and `form`, what was recognised.
    Times without a year are taken as of before `written`, by default when the file was last written.

    Raises `NotFound`. O(bytes), some 200,000 lines a second.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"there is no log file {path.name!r}. Give the path of a file")
    if written is None:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    parts: list[pa.Table] = []
    reader: _Reader | None = None
    unparsed = 0
    for lines in _blocks(path):
        if reader is None:
            reader = _Reader(lines[:_PEEK], written)
        table, missed = reader.table(lines)
        parts.append(table)
        unparsed += missed
    table = pa.concat_tables(parts).combine_chunks() if parts else LOG_SCHEMA.empty_table()
    table = _carried(table)
    counts = {"lines": str(len(table)), "unparsed": str(unparsed), "form": reader.form if reader else ""}
    return table.replace_schema_metadata(counts)


def _blocks(path: Path) -> Iterator[list[str]]:
    """Lines without their ends, empty ones left out, some megabytes at a time."""
    rest = b""
    with pa.input_stream(str(path), compression="detect") as stream:
        while block := stream.read(_BLOCK):
            whole, end, rest = (rest + block).rpartition(b"\n")
            if end and (lines := _lines(whole)):
                yield lines
    if lines := _lines(rest):
        yield lines


def _lines(block: bytes) -> list[str]:
    return [line.rstrip("\r") for line in block.decode("utf-8", "replace").split("\n") if line.strip()]


def _carried(table: pa.Table) -> pa.Table:
    """Lines without a time have that of the line before them, or of the first that has one."""
    at = table["at"].combine_chunks() if len(table) else table["at"]
    at = pc.fill_null_backward(pc.fill_null_forward(at))
    return table.set_column(0, "at", at)


class _Reader:
    """Knows what the lines of one file look like."""

    def __init__(self, peek: Sequence[str], written: datetime) -> None:
        self._written = written
        self._time, self._body, self._kind = "", "", ""
        if sum(line.startswith("{") for line in peek) * 2 > len(peek):
            self.form = "json"
            return
        column = pa.array(peek, pa.string())
        fits = {}
        for kind, time in FORMS.items():
            before = r"^(?:\S+ ){0,4}?\[?" if kind == "epoch" else r"^[^\w]{0,3}"
            pattern = before + rf"(?P<at>{time})" + _ZONE + r"[\]\s:|,-]*(?P<rest>.*)$"
            n = pc.sum(pc.match_substring_regex(column, pattern)).as_py()
            fits[kind] = (n, pattern)
        self._kind = max(fits, key=lambda kind: fits[kind][0])
        n, self._time = fits[self._kind]
        if not n:
            self.form, self._time = "one message a line", ""
            return
        self.form = self._kind
        rests = pc.struct_field(pc.extract_regex(column, self._time), "rest").drop_null()
        body = [pc.sum(pc.match_substring_regex(rests, pattern)).as_py() for pattern in _BODIES]
        if max(body) * 2 > len(rests):
            self._body = _BODIES[body.index(max(body))]

    def table(self, lines: list[str]) -> tuple[pa.Table, int]:
        """The columns of some lines, and how many did not fit."""
        if self.form == "json":
            return self._documents(lines)
        column = pa.array(lines, pa.string())
        nothing = pa.nulls(len(column), pa.string())
        at, message, level = pa.nulls(len(column), STAMP), column, nothing
        if self._time:
            found = pc.extract_regex(column, self._time)
            at = times(
                pc.struct_field(found, "at"), pc.struct_field(found, "zone"), self._kind, self._written
            )  # null where the line does not fit
            message = pc.if_else(pc.is_valid(at), pc.struct_field(found, "rest"), column)
            if self._body:
                inner = pc.extract_regex(message, self._body)
                body = pc.if_else(pc.is_valid(at), pc.struct_field(inner, "message"), nothing)
                if pc.struct_field(inner, "message").type == pa.string() and "level" in [f.name for f in inner.type]:
                    level = pc.if_else(pc.is_valid(body), pc.struct_field(inner, "level"), nothing)
                message = pc.coalesce(body, message)
        table = pa.table([at, message, _traces(column), _levels(level)], schema=LOG_SCHEMA)
        return table, at.null_count if self._time else 0

    def _documents(self, lines: list[str]) -> tuple[pa.Table, int]:
        rows: dict[str, list[Any]] = {name: [] for name in LOG_SCHEMA.names}
        missed = 0
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        for line in lines:
            try:
                said = decode(line)
            except msgspec.DecodeError:
                said = {"message": line}
                missed += 1
            for name, keys in _KEYS.items():
                value = next((said[key] for key in keys if said.get(key) is not None), None)
                rows[name].append(value)
        messages = [one if isinstance(one, str) else line for one, line in zip(rows["message"], lines, strict=True)]
        at = pa.array([_moment(one) for one in rows["at"]], STAMP)
        column = pa.array(lines, pa.string())
        said_ids = pa.array([one if isinstance(one, str) else None for one in rows["trace_id"]], pa.string())
        level = pa.array([str(one) if one is not None else None for one in rows["level"]], pa.string())
        ids = pc.coalesce(said_ids, _traces(column))
        return pa.table([at, pa.array(messages, pa.string()), ids, _levels(level)], schema=LOG_SCHEMA), missed


def _moment(value: Any) -> datetime | None:
    """A time as JSON has it: ISO text, or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            moment = datetime.fromisoformat(value.replace(",", "."))
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = float(value)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _traces(lines: pa.Array) -> pa.Array:
    """The trace or request id in each line."""
    found = [pc.struct_field(pc.extract_regex(lines, pattern), "id") for pattern in _TRACES]
    return pc.coalesce(*found)


def _levels(column: pa.Array) -> pa.Array:
    upper = pc.utf8_upper(column)
    for letter, name in _LETTERS.items():
        upper = pc.replace_substring_regex(upper, f"^{letter}$", name)
    return upper
