"""The shape of a number as it is written: its groups of digits, and the windows of groups that could be something.

A shape (`000-00-0000`) holds no digit as it was, and shapes repeat: each is worked out once and remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate

from flywheel.capture.redaction.ids import ALONE

__all__ = ["Shape", "shape_of"]

_GROUP = re.compile(r"0+")
_MAY_DATE = re.compile(r"0{4}[-/.]00?[-/.]00?(?!0)|00?[-/.]00?[-/.]0{2,4}(?!0)")
_TO_ZERO = str.maketrans("123456789", "000000000")
_MOST_GROUPS = 9  # in one telephone number or id
_REMEMBERED: dict[str, Shape] = {}
_MOST, _LONGEST = 8192, 40


@dataclass(frozen=True, slots=True)
class Shape:
    """Groups as offsets from the run's start, and windows as first and last group."""

    groups: tuple[tuple[int, int], ...]
    cards: tuple[tuple[int, int, bool], ...]
    """Windows of 12 to 19 digits, longest first for each beginning; whether they are evenly written,
    and no list of small numbers."""
    alone: dict[int, tuple[tuple[int, tuple[str, ...]], ...]]
    """First group → last groups of windows with the form of an id, and the ids of that form."""
    closes: tuple[bool, ...]
    """May a number end behind this group: at the end, or before a blank?"""
    opens: tuple[bool, ...]
    """May a number begin with this group: at the start, or behind a blank or a bracket?"""
    may_date: bool
    sizes: tuple[int, ...]
    """Digits in each group."""
    sums: tuple[int, ...]
    """Digits in front of each group, and in all."""


def shape_of(written: str) -> Shape:
    """Work out or recall the shape of a run of digits.

    >>> shape_of("123-45-6789").alone
    {0: ((2, ('us.ssn', 'us.itin')),)}
    """
    zeros = written.translate(_TO_ZERO)
    known = _REMEMBERED.get(zeros)
    if known is None:
        known = _work_out(zeros)
        if len(zeros) <= _LONGEST and len(_REMEMBERED) < _MOST:
            _REMEMBERED[zeros] = known
    return known


def _work_out(zeros: str) -> Shape:
    groups = tuple(match.span() for match in _GROUP.finditer(zeros))
    sizes = tuple(end - start for start, end in groups)
    cards: list[tuple[int, int, bool]] = []
    alone: dict[int, tuple[tuple[int, tuple[str, ...]], ...]] = {}
    for first in range(len(groups)):
        digits = 0
        windows: list[tuple[int, int, bool]] = []
        forms: list[tuple[int, tuple[str, ...]]] = []
        for last in range(first, min(len(groups), first + 19)):
            start, end = groups[last]
            digits += end - start
            if digits > 19:
                break
            size = last - first + 1
            if digits >= 12:
                between = set(zeros[groups[first][0] : end].split("0")) - {""}
                windows.append((first, last, len(between) < 2 and digits >= 3 * size))
            names = ALONE.get(zeros[groups[first][0] : end]) if size <= _MOST_GROUPS else None
            if names:
                forms.append((last, names))
        cards += reversed(windows)
        if forms:
            alone[first] = tuple(reversed(forms))
    return Shape(
        groups,
        tuple(cards),
        alone,
        tuple(_closes(zeros, end) for _, end in groups),
        tuple(start == 0 or zeros[start - 1] in " (" for start, _ in groups),
        _MAY_DATE.search(zeros) is not None,
        sizes,
        (0, *accumulate(sizes)),
    )


def _closes(zeros: str, end: int) -> bool:
    following = zeros[end : end + 2]
    return not following or following[0] == " " or following == "/ "
