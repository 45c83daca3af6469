"""JSON files: one object a line, one array of objects, or one document."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from flywheel.capture.mapping import guess_mapping, shape
from flywheel.capture.sources.files import BROKEN, LONGEST_LINE, LineFile, file_at, first_bytes, unpacked, unreadable
from flywheel.errors import InvalidConfig

__all__ = ["JsonLines", "JsonRows"]

_PEEK = 100
_CHUNK = 1 << 20
_HEAD = 1 << 16
_SPACE = " \t\r\n,"
_LISTS = ("data", "traces", "spans", "observations", "scores", "inferences", "datapoints", "annotations", "records")
"""Where a document that is the answer of an API keeps its rows."""
_BESIDE = frozenset(
    ["meta", "next_cursor", "next_page_token", "page_token", "has_more", "total", "count", "object", "cursor"]
)


class JsonRows:
    """The objects of a JSON file as `(place, object)`, or `(place, problem)` for what is none.

    A file that is one array, or an API's answer around one, is read element by element, however long it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = _is_whole(path)
        self._lines = LineFile(path)
        self._seen = 0
        self._done = 0.0

    @property
    def done(self) -> float:
        """The share that has been read."""
        return self._done if self._whole else self._lines.done

    @property
    def cursor(self) -> str | None:
        """Where the last object ended."""
        if self._whole:
            return json.dumps({"element": self._seen}) if self._seen else None
        return self._lines.cursor

    def read(self, after: str | None = None) -> Iterator[tuple[str, Any]]:
        """Yield the rows, or those after a cursor."""
        if self._whole:
            yield from self._elements(_element(after))
            return
        for line in self._lines.lines(after):
            if line.problem is not None:
                yield f"line {line.number}", line.problem
            elif line.bytes.strip(b"\xef\xbb\xbf \t\r\n"):
                yield f"line {line.number}", _parsed(line.bytes)

    def _elements(self, after: int) -> Iterator[tuple[str, Any]]:
        self._seen = 0
        self._done = 0.0
        for value in _values(self._path):
            for row in _unwrapped(value):
                self._seen += 1
                if self._seen > after:
                    yield f"element {self._seen}", row if isinstance(row, dict | str) else _not_an_object(row)
        self._done = 1.0


def _element(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        return int(json.loads(cursor).get("element", 0))
    except (ValueError, AttributeError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of a file. Leave it out to read from the start"
        ) from problem


def _is_whole(path: Path) -> bool:
    """Is the file an array, or a document over several lines, rather than one object a line?"""
    head = first_bytes(path, _HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"[", b""):
        return bool(head)
    line, newline, rest = head.partition(b"\n")
    if not newline or not rest.strip():  # is there another line?
        first = next(lines := LineFile(path).lines(), None)
        alone = next((line for line in lines if line.bytes.strip()), None) is None
        return alone and (first is None or first.problem is None)
    if isinstance(_parsed(line), dict):
        return False
    return head[:1] == b"{" and not rest.lstrip().startswith(b"{")


def _values(path: Path) -> Iterator[Any]:
    """The values of a file, one after the other; those of an array at the top, one by one.

    What breaks off, or is no JSON, ends it with a text that says so.
    """
    decoder = json.JSONDecoder()
    text = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    buffer, within, ended = "", False, False
    wanted = _CHUNK
    try:
        with path.open("rb") as raw:
            content = unpacked(raw)
            while True:
                if not ended:
                    chunk = content.read(wanted)
                    ended = not chunk
                    buffer += text.decode(chunk, ended)
                while True:
                    buffer = buffer.lstrip(_SPACE)
                    if not within and buffer.startswith("["):
                        within, buffer = True, buffer[1:]
                        continue
                    if within and buffer.startswith("]"):
                        within, buffer = False, buffer[1:]
                        continue
                    if not buffer:
                        break
                    try:
                        value, end = decoder.raw_decode(buffer)
                    except RecursionError:
                        yield "it is nested too deep"
                        return
                    except ValueError as problem:
                        if not ended and len(buffer) < LONGEST_LINE:
                            break
                        yield f"it is not JSON: {problem.args[0]}"
                        return
                    if end == len(buffer) and not ended and not isinstance(value, dict | list | str):
                        break  # a number may go on
                    yield value
                    buffer, wanted = buffer[end:], _CHUNK
                if ended:
                    if within:
                        yield "the array breaks off before its end"
                    return
                wanted = min(LONGEST_LINE, max(_CHUNK, len(buffer)))
    except BROKEN as problem:
        yield f"the file breaks off here: {problem}"


def _unwrapped(value: Any) -> Iterator[Any]:
    rows = _rows_in(value) if isinstance(value, dict) else None
    if rows is None:
        yield value
    else:
        yield from rows


def _rows_in(value: dict[str, Any]) -> list[Any] | None:
    """The rows in an API's answer: a list of objects, with nothing of substance beside it."""
    for name in _LISTS:
        rows = value.get(name)
        alone = all(key == name or key in _BESIDE for key in value)
        if alone and isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return rows
    return None


def _not_an_object(value: Any) -> str:
    return f"it is a JSON {type(value).__name__}, not an object"


def _parsed(line: bytes) -> Any:
    """A dict, or what is wrong with the line; never the line itself, which may hold anything."""
    try:
        return _checked(_decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # the standard library takes more, and says better what is wrong
    try:
        return _checked(json.loads(line.decode("utf-8-sig")))
    except UnicodeDecodeError as problem:
        return f"byte {problem.start + 1} is not UTF-8"
    except RecursionError:
        return "it is nested too deep"
    except ValueError as problem:
        return f"it is not JSON: {problem.args[0]}"


_decode = msgspec.json.decode


def _checked(row: Any) -> Any:
    return row if isinstance(row, dict) else _not_an_object(row)


class JsonLines:
    """The source `jsonl`: one JSON object a line, or an array of objects; also packed (`.gz`, `.bz2`, `.xz`).

    `done` is the share that has been read. `cursor` is where the last object ended; `read(…, after=cursor)` goes on,
    also in a file that has grown.
    """

    name = "jsonl"

    def __init__(self) -> None:
        self._rows: JsonRows | None = None

    @property
    def done(self) -> float:
        """The share that has been read."""
        return self._rows.done if self._rows else 0.0

    @property
    def cursor(self) -> str | None:
        """Where the last object ended; None before the first."""
        return self._rows.cursor if self._rows else None

    def columns(self, location: str) -> list[str]:
        """The keys of the first hundred objects."""
        found: dict[str, None] = {}
        for _, row in islice(JsonRows(file_at(location)).read(), _PEEK):
            if isinstance(row, dict):
                found.update(dict.fromkeys(row))
        return list(found)

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the records in order; without a mapping, by the guessed one."""
        path = file_at(location)
        chosen = guess_mapping(self.columns(location)) if mapping is None else mapping
        self._rows = JsonRows(path)
        for place, row in self._rows.read(after):
            yield shape(row, chosen) if isinstance(row, dict) else unreadable(place, str(row))
