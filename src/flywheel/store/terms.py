"""What an erased user is known by: names, pseudonyms and ids, looked for all at once in any bytes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable

from ahocorasick_rs import BytesAhoCorasick

__all__ = ["SEPARATOR", "Terms"]

SEPARATOR = b"\x1f"
"""Put between values that are searched as one text, so that none runs into the next."""

_DRAWN = re.compile(
    r"(u|id|h)_[0-9a-f]{32}|(?=.*[a-f])[0-9a-f]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_SHORT_NAME = 4
_SHORT_ID = 8
_ALONE = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") | frozenset(range(128, 256))


class Terms:
    """The words that must not be left anywhere, each of one kind: `name`, `pseudonym` or `id`.

    A pseudonym, and an id that a machine drew, is found wherever it stands. A name or an id of the product's own counts
    only as a word of its own (`order-17` is not in `order-170`); a name shorter than four characters, or of digits
    alone, only as a whole value; a short id only where a field says that it is an id. Text with letters beyond ASCII is
    looked for as UTF-8 and as JSON escapes. All are looked for in one pass (Aho and Corasick, 1975).

    >>> Terms(names=["ana.gruber"]).count(b'{"user": "ana.gruber"} ana.grubers')
    Counter({'name': 1})
    """

    def __init__(self, *, names: Iterable[str] = (), pseudonyms: Iterable[str] = (), ids: Iterable[str] = ()) -> None:
        self.names = tuple(dict.fromkeys(name for name in names if name))
        self.pseudonyms = tuple(dict.fromkeys(name for name in pseudonyms if name))
        self.ids = tuple(dict.fromkeys(key for key in ids if key))
        self._kinds: list[str] = []
        self._free: list[bool] = []
        patterns: dict[bytes, None] = {}
        for name in self.names:
            whole = len(name) < _SHORT_NAME or name.isdigit()
            self._add(patterns, "name", name, _wholes(name) if whole else None)
        for name in self.pseudonyms:
            self._add(patterns, "pseudonym", name, None)
        for key in self.ids:
            whole = (len(key) < _SHORT_ID or key.isdigit()) and not _DRAWN.fullmatch(key)
            self._add(patterns, "id", key, _fields(key) if whole else None)
        self._automaton = BytesAhoCorasick(list(patterns)) if patterns else None
        self.longest = max(map(len, patterns), default=0)
        """The length of the longest, in bytes: how far two pieces of one file must overlap."""

    def _add(self, patterns: dict[bytes, None], kind: str, term: str, wholes: list[str] | None) -> None:
        free = wholes is not None or _DRAWN.fullmatch(term) is not None
        for text in wholes if wholes is not None else [term]:
            plain = text.encode("utf-8", "surrogatepass")
            for form in (plain, json.dumps(text).encode()[1:-1] if wholes is None else plain):
                if form not in patterns:
                    patterns[form] = None
                    self._kinds.append(kind)
                    self._free.append(free)

    def __bool__(self) -> bool:
        return self._automaton is not None

    def count(self, data: bytes, begin: int = 0, end: int | None = None) -> Counter[str]:
        """How often each kind occurs in the bytes, of what starts at `begin` or later and before `end`."""
        found: Counter[str] = Counter()
        if self._automaton is None:
            return found
        for place, first, last in self._automaton.find_matches_as_indexes(data, overlapping=True):
            if first < begin or (end is not None and first >= end):
                continue
            if self._free[place] or not (_joined(data, first) or (last < len(data) and data[last] in _ALONE)):
                found[self._kinds[place]] += 1
        return found

    def within(self, text: str | bytes) -> bool:
        """Is any of them in this value?"""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return bool(self.count(SEPARATOR + data + SEPARATOR))


def _joined(data: bytes, start: int) -> bool:
    """Does the word go on to the left? The n of a line end that JSON writes as an escape is no letter of it."""
    if start == 0 or data[start - 1] not in _ALONE:
        return False
    return not (start > 1 and data[start - 1] in b"bfnrt" and data[start - 2] == ord("\\"))


def _wholes(name: str) -> list[str]:
    """A value that is nothing but this name: in JSON, or between two separators."""
    mark = SEPARATOR.decode()
    return [json.dumps(name), f"{mark}{name}{mark}", *([] if name.isascii() else [f'"{name}"'])]


def _fields(key: str) -> list[str]:
    said = json.dumps(key)
    return [f'"{field}":{gap}{said}' for field in ("id", "interaction_id") for gap in ("", " ")]
