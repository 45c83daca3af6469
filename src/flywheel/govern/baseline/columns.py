"""Which fields are there: how complete, of which types, how many different values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from flywheel.govern.baseline.result import FieldFound, Share, Spread, share_of
from flywheel.govern.baseline.shown import Shown
from flywheel.govern.baseline.sketches import DistinctCount, Quantiles, hash_of
from flywheel.govern.baseline.words import counted

__all__ = ["KNOWN", "Columns", "leaves", "says_nothing", "spread_of"]

KNOWN = (
    "input",
    "output",
    "id",
    "at",
    "user",
    "session",
    "model",
    "confidence",
    "scores",
    "latency_ms",
    "error",
    "context",
    "sent_at",
    "propensity",
    "consent",
    "label",
    "rating",
    "comment",
    "outcome",
    "report",
)
"""The fields of an interaction and of what is said about it, in the order in which they are shown."""

_KNOWN = frozenset(KNOWN)
_NOTHING = frozenset(
    ("", "null", "none", "nil", "nan", "n/a", "na", "#n/a", "-", "--", "?", "unknown", "undefined", "(null)", "missing")
)
_PARTS = ("input", "context", "extra", "outcome", "scores", "label", "output")
_MOST_FIELDS = 300
_DEEPEST = 3
_MEMO = 512
_PRIVATE = ("id", "user", "session", "interaction_id", "by")


def leaves(draft: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each field of a draft with its path; dicts within `input`, `context` … are opened, three deep.

    >>> list(leaves({"kind": "interaction", "input": {"a": {"b": 1}}, "context": {"c": None}}))
    [('input.a.b', 1)]
    """
    for name, value in draft.items():
        if name == "kind" or value is None:
            continue
        if name in _PARTS and isinstance(value, dict) and value:
            yield from _within(str(name), value, 1)
        else:
            yield str(name), value


def _within(path: str, value: dict[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if item is None:
            continue
        if isinstance(item, dict) and item and depth < _DEEPEST:
            yield from _within(f"{path}.{key}", item, depth + 1)
        else:
            yield f"{path}.{key}", item


def spread_of(numbers: Quantiles) -> Spread | None:
    """The quantiles worth showing; None where there are no numbers."""
    p50, p95, p99 = numbers.at(0.5), numbers.at(0.95), numbers.at(0.99)
    if p50 is None or p95 is None or p99 is None:
        return None
    return Spread(numbers.n, numbers.low, p50, p95, p99, numbers.high)


_TYPES = {
    str: "text",
    bool: "yes or no",
    int: "number",
    float: "number",
    list: "list",
    tuple: "list",
    dict: "object",
    datetime: "time",
    date: "time",
}


def type_of(value: Any) -> str:
    """What a value is, in the user's words."""
    found = _TYPES.get(type(value))
    if found is not None:
        return found
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "other")


class _Column:
    """What is kept of one field: counters, a distinct count, quantiles, up to three examples."""

    __slots__ = (
        "_memo",
        "at_longest",
        "distinct",
        "empty",
        "examples",
        "head",
        "longest",
        "numbers",
        "said",
        "shortest",
        "types",
    )

    def __init__(self, head: str) -> None:
        self.head = head
        self.said = 0
        self.empty = 0
        self.types: dict[str, int] = {}
        self.distinct = DistinctCount()
        self.numbers: Quantiles | None = None
        self.examples: list[Any] = []
        self.longest, self.at_longest, self.shortest = -1, 0, 1 << 62
        self._memo: dict[str, set[Any]] = {"text": set(), "number": set(), "yes or no": set()}

    def take(self, value: Any) -> bool:
        """Count a value; does it say something?"""
        self.said += 1
        kind = type_of(value)
        self.types[kind] = self.types.get(kind, 0) + 1
        if kind == "text":
            length = len(value)
            if (length < 12 and value.strip().lower() in _NOTHING) or value.isspace():
                self.empty += 1
                return False
            if length < self.shortest:
                self.shortest = length
            if length > self.longest:
                self.longest, self.at_longest = length, 1
            elif length == self.longest:
                self.at_longest += 1
        elif kind == "number":
            if not -1e300 < value < 1e300:
                if value != value or value in (float("inf"), float("-inf")):
                    self.empty += 1
                    return False
            else:
                if self.numbers is None:
                    self.numbers = Quantiles()
                self.numbers.add(float(value))
        elif kind in ("list", "object") and not value:
            self.empty += 1
            return False
        self._distinct(value, kind)
        return True

    def _distinct(self, value: Any, kind: str) -> None:
        memo = self._memo.get(kind)
        if memo is not None and (kind != "text" or len(value) <= 64):
            if value in memo:
                return
            if len(memo) < _MEMO:
                memo.add(value)
        self.distinct.add(hash_of(value))
        if len(self.examples) < 3:
            example = _example(value, kind)
            if example not in self.examples:
                self.examples.append(example)


def _example(value: Any, kind: str) -> Any:
    """What is kept of a value to be shown: the whole of it only when it is small."""
    if kind == "text":
        return value[:2000]
    if kind == "list":
        objects = value and all(isinstance(item, Mapping) for item in value[:50])
        return f"list of {counted(len(value), 'object' if objects else 'value')}"
    return f"object with {counted(len(value), 'part')}" if kind == "object" else value


def says_nothing(value: Any) -> bool:
    """Is it empty, or a word that stands for nothing?"""
    if isinstance(value, str):
        return value.strip().lower() in _NOTHING
    return value is None or (isinstance(value, list | tuple | Mapping) and not value)


class Columns:
    """The fields of a log. Memory: at most 300 fields, about 50 KiB each."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._beyond: set[int] = set()
        self.interactions = 0
        self.present: Counter[str] = Counter()
        """Of each of Flywheel's fields, how many interactions say something in it or in a part of it."""

    def take(self, opened: list[tuple[str, Any]]) -> None:
        """Take the leaves of one interaction."""
        self.interactions += 1
        heads = set()
        for path, value in opened:
            column = self._columns.get(path)
            if column is None:
                if len(self._columns) >= _MOST_FIELDS:
                    if len(self._beyond) < 100_000:
                        self._beyond.add(hash_of(path))
                    if not says_nothing(value):
                        heads.add(path.partition(".")[0])
                    continue
                column = self._columns[path] = _Column(path.partition(".")[0])
            if column.take(value):
                heads.add(column.head)
        for head in heads:
            if head in _KNOWN:
                self.present[head] += 1

    @property
    def beyond(self) -> int:
        """Fields that came after the three hundredth."""
        return len(self._beyond)

    def share(self, name: str, *, sampled: bool = False) -> Share:
        """The share of interactions that say something in one of Flywheel's fields."""
        return share_of(self.present[name], self.interactions, sampled=sampled)

    def _told(self, path: str) -> int:
        column = self._columns[path]
        return column.said - column.empty

    def found(
        self, mapping: Mapping[str, str], shown: Shown, *, sampled: bool, examples: bool
    ) -> tuple[FieldFound, ...]:
        """Every field, Flywheel's own first, then parts of the input, then the rest, each group by completeness."""
        return tuple(
            self._field(path, mapping, shown, sampled=sampled, examples=examples)
            for path in sorted(self._columns, key=self._rank)
        )

    def _rank(self, path: str) -> tuple[int, int, str]:
        if path in KNOWN:
            return 0, KNOWN.index(path), path
        head = path.partition(".")[0]
        return (1 + _PARTS.index(head) if head in _PARTS else 9), -self._columns[path].said, path

    def _field(
        self, path: str, mapping: Mapping[str, str], shown: Shown, *, sampled: bool, examples: bool
    ) -> FieldFound:
        column = self._columns[path]
        told = self._told(path)
        private = path in _PRIVATE
        cut = _cut_at(column, told)
        name = shown.text(path, 80)
        return FieldFound(
            path=name,
            column=_column_of(path, mapping, shown),
            known=path in KNOWN or path.partition(".")[0] in _PARTS,
            complete=share_of(told, self.interactions, sampled=sampled),
            empty=column.empty,
            types=dict(sorted(column.types.items(), key=lambda pair: -pair[1])),
            distinct=min(column.distinct.count, told),
            distinct_exact=column.distinct.exact,
            examples=() if private or not examples else tuple(shown.field(path, v, 60) for v in column.examples),
            numbers=spread_of(column.numbers) if column.numbers else None,
            longest=column.longest if column.longest >= 0 else None,
            cut_at=cut,
            notes=_notes(column, path, told, cut),
        )


def _column_of(path: str, mapping: Mapping[str, str], shown: Shown) -> str | None:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        column = mapping.get(".".join(parts[:length]))
        if column is not None:
            return shown.text(".".join([column, *parts[length:]]), 80)
    return None


def _cut_at(column: _Column, told: int) -> int | None:
    """Texts of many lengths, of which a good many end at the very same longest one, were cut there."""
    many = column.at_longest >= max(5, told * 0.01)
    return column.longest if column.longest >= 64 and many and column.shortest < column.longest * 0.8 else None


def _notes(column: _Column, path: str, told: int, cut: int | None) -> tuple[str, ...]:
    notes = []
    count = min(column.distinct.count, told)
    if told >= 20 and count == 1 and path not in ("consent", "propensity"):
        notes.append("constant")
    if told >= 100 and count >= told * 0.95 and path.startswith(("context.", "input.")) and "text" in column.types:
        notes.append("nearly unique")
    kinds = {("text" if kind == "time" else kind) for kind in column.types}
    if len(kinds) > 1 and path not in ("input", "output", "label"):
        notes.append("conflicting types")
    if cut is not None:
        notes.append("cut off")
    return tuple(notes)
