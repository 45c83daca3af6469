"""One request's bytes → its records, each still bytes: bounded before anything is built from them.

A JSON array or JSON lines. A body of one million brackets costs no more memory than one of prose: records are cut out
of it first, and each is decoded alone, under the limit of a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from flywheel.errors import TooLarge, Undecodable

__all__ = ["MOST_RECORDS", "deepest_allowed", "records_in"]

MOST_RECORDS = 50_000
_DEEPEST = 64
_FEW = 200_000  # commas up to which an array is cut at once: at most so many small objects
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
_SPACE = b" \t\r\n"

_cut = msgspec.json.Decoder(list[msgspec.Raw]).decode


def records_in(body: bytes | bytearray, *, lines: bool, limit: int) -> Iterator[bytes | str]:
    """Yield each record of a body as bytes, or text that says what is wrong with it; `limit` bytes a record.

    `lines` for JSON lines (NDJSON), else one array, or a single object. Raises `Undecodable` for an array that is not
    JSON as a whole, and `TooLarge` for more than 50,000 records: then nothing has been taken from it.
    """
    if lines:
        return _lines(body, limit)
    if body.lstrip(_SPACE)[:1] == b"{":
        return iter([bytes(body.strip(_SPACE)) if len(body) <= limit + 1024 else _long(len(body), limit)])
    return iter(_array(body, limit))


def _array(body: bytes | bytearray, limit: int) -> list[bytes | str]:
    if body.count(b",") <= _FEW:
        try:
            cut: list[Any] = _cut(body)
        except RecursionError:
            raise _deep() from None
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise _not_json(problem) from problem
        if len(cut) > MOST_RECORDS:
            raise _many()
        return [bytes(raw) if len(memoryview(raw)) <= limit else _long(len(memoryview(raw)), limit) for raw in cut]
    return _carefully(body, limit)


def _carefully(body: bytes | bytearray, limit: int) -> list[bytes | str]:
    """Cut a large array token by token, and stop at the first sign that it is not a list of records."""
    found: list[bytes | str] = []
    opened: list[int] = []
    begun, last = -1, -1
    for token in _TOKEN.finditer(body):
        sign = body[token.start()]
        if len(opened) == 1 and sign in b",]":
            part = bytes(body[begun : token.start()]).strip(_SPACE)
            if part or sign == 44 or found:
                found.append(part if len(part) <= limit else _long(len(part), limit))
            begun = token.end()
        if sign in b"[{":
            if not opened:
                if body[: token.start()].strip(_SPACE) or sign != 91 or last >= 0:
                    raise _not_json("it does not begin with [")
                begun = token.end()
            opened.append(sign)
            if len(opened) > _DEEPEST + 1:
                raise _deep()
        elif sign in b"]}":
            if not opened or sign - opened.pop() != 2:  # each closing sign stands two behind its opening one
                raise _not_json(f"a bracket does not fit at byte {token.start()}")
            if not opened:
                last = token.end()
        if len(found) > MOST_RECORDS:
            raise _many()
        if opened and token.end() - begun > 8 * limit:
            raise TooLarge(f"one record of the array is larger than {8 * limit:,} bytes. Send it apart, or smaller")
    if opened or last < 0 or body[last:].strip(_SPACE):
        raise _not_json("it does not end with its ]")
    return found


def _lines(body: bytes | bytearray, limit: int) -> Iterator[bytes | str]:
    start, number = 0, 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end].strip(_SPACE) if end - start <= limit + 64 else None
        if line is None:
            yield _long(end - start, limit)
        elif line:
            yield bytes(line) if len(line) <= limit else _long(len(line), limit)
        if line is None or line:
            number += 1
            if number > MOST_RECORDS:
                raise _many()
        start = end + 1


def deepest_allowed(raw: bytes) -> bool:
    """Is a JSON text nested at most 64 deep, as far as counting its brackets tells? False means: look closer."""
    return raw.count(b"[") + raw.count(b"{") <= _DEEPEST


def _long(size: int, limit: int) -> str:
    return f"the record has {size:,} bytes; at most {limit:,} are taken. Store the large part elsewhere and log where"


def _many() -> TooLarge:
    return TooLarge(f"more than {MOST_RECORDS:,} records in one request. Send them in several")


def _deep() -> Undecodable:
    return Undecodable(f"the body is nested more than {_DEEPEST} deep. Flatten it, or send the deep part as JSON text")


def _not_json(problem: Any) -> Undecodable:
    return Undecodable(
        f"the body is not a JSON array of records ({problem}). Send [{{…}}, {{…}}], or one record a line"
    )
