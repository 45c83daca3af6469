"""Which slices there are, which are too small to measure, and which are missing."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from flywheel.govern.baseline.clock import moment_of
from flywheel.govern.baseline.result import ContextField, Slices, share_of
from flywheel.govern.baseline.shown import Shown

__all__ = ["NEEDED", "Slicing"]

NEEDED = math.ceil(1.959964**2 * 0.25 / 0.05**2)
"""Cases from which any rate is known to ±5 points at 95 %: 385, the worst case being a rate of one half."""

_MOST_FIELDS = 60
_MOST_VALUES = 60
_LONGEST_VALUE = 60
_RESERVOIR = 10_000
_LISTED = 12
_TOGETHER = 0.5
_DAY = 86_400.0


def _written(value: Any) -> str | None:
    """A value as slices name it; None for what is no single short value."""
    if isinstance(value, str):
        return value.strip() if len(value) <= _LONGEST_VALUE else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


class _Life:
    """From when to when a value came, and the longest it ever stayed away in between."""

    __slots__ = ("before", "first", "last", "pause")

    def __init__(self, at: float) -> None:
        self.first = self.last = self.before = at
        self.pause = 0.0

    def seen(self, at: float) -> None:
        if at < self.first:
            self.first = at
        elif at > self.last:
            self.last = at
        pause = abs(at - self.before)
        if pause > self.pause:
            self.pause = pause
        self.before = at


class _Values:
    """The values of one field, until they are too many."""

    __slots__ = ("counts", "lives", "many", "n", "numeric")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lives: dict[str, _Life] = {}
        self.n = 0
        self.many = False
        self.numeric = True

    def take(self, value: str, number: bool, at: float | None) -> None:
        self.n += 1
        self.numeric &= number
        self.counts[value] += 1
        if at is not None:
            life = self.lives.get(value)
            if life is None:
                life = self.lives[value] = _Life(at)
            life.seen(at)
        if len(self.counts) > _MOST_VALUES:
            self.give_up()

    def give_up(self) -> None:
        """Too many values, or such as no slice is named after: only how often it is there is counted from here."""
        self.many = True
        self.counts.clear()
        self.lives.clear()


class Slicing:
    """Values of context and of inputs' parts, and how they come together.

    Combinations are looked for in a uniform sample of 10,000 interactions (reservoir sampling, Vitter 1985, algorithm
    R). Memory: 60 fields of 60 values, and the sample.
    """

    def __init__(self, seed: int = 0) -> None:
        self.interactions = 0
        self._fields: dict[str, _Values] = {}
        self._rows: list[dict[str, str]] = []
        self._draw = random.Random(seed)

    def take(self, opened: Sequence[tuple[str, Any]], at: float | None) -> None:
        """Take the leaves of one interaction."""
        self.interactions += 1
        row = {}
        for path, value in opened:
            values = self._fields.get(path)
            if values is None:
                if not (path.startswith(("context.", "input.")) or path == "model"):
                    continue
                if len(self._fields) >= _MOST_FIELDS:
                    continue
                values = self._fields[path] = _Values()
            if values.many:
                values.n += 1
                values.numeric &= isinstance(value, int | float)
                continue
            written = _written(value)
            if written is None:
                values.n += 1
                values.numeric = False
                values.give_up()
            elif written:
                values.take(written, isinstance(value, int | float) and not isinstance(value, bool), at)
                row[path] = written
        if len(self._rows) < _RESERVOIR:
            self._rows.append(row)
        else:
            place = self._draw.randrange(self.interactions)
            if place < _RESERVOIR:
                self._rows[place] = row

    def found(
        self, shown: Shown, *, expected: Mapping[str, Sequence[str]], end: float | None, scale: float = 1.0
    ) -> Slices:
        """What can be sliced.

        `expected` are the values somebody says must be there, by field. Each interaction seen stands for `scale` of the
        log's: counts are those of the log, estimated when that is not 1.
        """
        sampled = scale > 1
        usable = {path: values for path, values in self._fields.items() if self._why_not(values) is None}
        ordered = sorted(usable, key=lambda path: (not path.startswith("context."), -usable[path].n, path))
        small: list[dict[str, Any]] = [
            {"slice": _named(shown, {path: value}), "n": round(n * scale), "share": n / self.interactions}
            for path in ordered
            for value, n in usable[path].counts.items()
            if n * scale < NEEDED
        ]
        return Slices(
            needed=NEEDED,
            fields=tuple(self._field(path, usable[path], shown, scale) for path in ordered),
            unusable=tuple(
                {"path": shown.text(path, 60), "why": why}
                for path, values in sorted(self._fields.items())
                if (why := self._why_not(values)) is not None
            ),
            small=tuple(sorted(small, key=lambda one: (-one["n"], one["slice"]))),
            missing=tuple(self._missing(usable, shown, scale)),
            vanished=tuple(self._vanished(usable, shown, end, scale)),
            expected_missing=tuple(self._not_there(expected, shown)),
            combined_n=len(self._rows),
            combined_sampled=sampled or self.interactions > len(self._rows),
        )

    def _why_not(self, values: _Values) -> str | None:
        if values.many:
            return "numbers: slice by ranges" if values.numeric else f"more than {_MOST_VALUES} values"
        if len(values.counts) < 2:
            return "always the same"
        if values.n < 0.02 * self.interactions:
            return "hardly ever said"
        return None

    def _field(self, path: str, values: _Values, shown: Shown, scale: float) -> ContextField:
        listed = sorted(values.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return ContextField(
            path=shown.text(path, 60),
            complete=share_of(values.n, self.interactions, sampled=scale > 1),
            values=tuple(
                {
                    "value": shown.field(path, value, 40),
                    "n": round(n * scale),
                    "share": n / self.interactions,
                    "enough": n * scale >= NEEDED,
                }
                for value, n in listed[:_LISTED]
            ),
            more=max(0, len(listed) - _LISTED),
            small=sum(n * scale < NEEDED for n in values.counts.values()),
        )

    def _missing(self, usable: Mapping[str, _Values], shown: Shown, scale: float) -> list[dict[str, Any]]:
        """Pairs of values that never came together though chance alone would have brought them ten times.

        Only of fields that do not simply go together (Cramér's V up to one half): a city implies its country. The bound
        on the share such a slice can have is the rule of three.
        """
        rows, n = self._rows, len(self._rows)
        few = [
            path
            for path, values in usable.items()
            if 2 <= len(values.counts) <= 20 and values.n >= 0.5 * self.interactions
        ]
        few.sort(key=lambda path: (not path.startswith("context."), len(usable[path].counts), path))
        found: list[dict[str, Any]] = []
        for one, other in combinations(few[:8], 2):
            pairs = Counter((row[one], row[other]) for row in rows if one in row and other in row)
            total = sum(pairs.values())
            ones, others = Counter[str](), Counter[str]()
            for (left, right), count in pairs.items():
                ones[left] += count
                others[right] += count
            if not total or _cramer(pairs, ones, others, total) > _TOGETHER:
                continue
            for left, a in ones.items():
                for right, b in others.items():
                    chance = a * b / total
                    if chance >= 10 and (left, right) not in pairs:
                        found.append(
                            {
                                "slice": _named(shown, {one: left, other: right}),
                                "expected": round(chance * self.interactions / n * scale),
                                "at_most": 3 / n,
                            }
                        )
        return sorted(found, key=lambda gap: (-gap["expected"], gap["slice"]))[:20]

    def _vanished(
        self, usable: Mapping[str, _Values], shown: Shown, end: float | None, scale: float
    ) -> list[dict[str, Any]]:
        """Values that came steadily and then no more.

        At their own rate 20 or more should have come since, they never before stayed away half as long, and they came
        for a third of that time at least: one busy hour is no rate.
        """
        found: list[dict[str, Any]] = []
        for path, values in usable.items():
            if path == "model":  # versions come and go
                continue
            for value, n in values.counts.items():
                life = values.lives.get(value)
                if end is None or life is None or n < 20:
                    continue
                silent = end - life.last
                lived = life.last - life.first
                due = n * silent / max(lived, _DAY)
                if silent >= max(_DAY, 2 * life.pause) and lived >= silent / 3 and due >= 20:
                    found.append(
                        {
                            "slice": _named(shown, {path: value}),
                            "n": round(n * scale),
                            "last": moment_of(life.last),
                            "expected": round(due * scale),
                        }
                    )
        return sorted(found, key=lambda gone: (-gone["expected"], gone["slice"]))[:20]

    def _not_there(self, expected: Mapping[str, Sequence[str]], shown: Shown) -> list[str]:
        missing = []
        for field, wanted in expected.items():
            path = field if field.startswith(("context.", "input.")) or field == "model" else f"context.{field}"
            values = self._fields.get(path)
            for value in wanted:
                if values is None or (not values.many and value not in values.counts):
                    missing.append(_named(shown, {path: value}))
        return missing


def _cramer(pairs: Counter[tuple[str, str]], ones: Counter[str], others: Counter[str], n: int) -> float:
    """How strongly two fields go together, from 0 to 1 (Cramér, 1946)."""
    chi = n * (sum(count * count / (ones[left] * others[right]) for (left, right), count in pairs.items()) - 1)
    smaller = min(len(ones), len(others)) - 1
    return math.sqrt(max(0.0, chi) / (n * smaller)) if smaller else 0.0


def _named(shown: Shown, conditions: Mapping[str, str]) -> str:
    """A slice as people write it: `device=ios & network=3g`."""
    return " & ".join(
        f"{shown.text(path.removeprefix('context.'), 40)}={shown.field(path, value, 40)}"
        for path, value in sorted(conditions.items())
    )
