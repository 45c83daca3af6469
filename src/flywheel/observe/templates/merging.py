"""Shapes that differ in one place → one template, where what stands there are values and not words of the program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from flywheel.observe.templates.masks import WILD
from flywheel.observe.templates.shapes import wordy

__all__ = ["ALTERNATIVES", "merged"]

ALTERNATIVES = 5
"""So many different words in one place, all else being equal, are values: a program seldom has so many sentences that
differ in one word, and its parameters mostly have more values. Made-up names (`cluster_root`, `RILJ_ACK`) need two."""

Tokens = tuple[str, ...]


def merged(shapes: Iterable[Tokens], alternatives: int = ALTERNATIVES) -> dict[Tokens, Tokens]:
    """Say for each shape which template it belongs to; all shapes have one length.

    Places are taken from left to right, again and again until nothing changes, so the answer does not depend on the
    order of the shapes. O(shapes × length) a round; rounds are at most as many as places.
    """
    members: dict[Tokens, list[Tokens]] = {one: [one] for one in sorted(shapes)}
    if len(members) == 1:
        return {one: one for one in members}
    length = len(next(iter(members), ()))
    changed = True
    while changed:
        changed = False
        for place in range(length):
            families: dict[Tokens, list[Tokens]] = defaultdict(list)
            for one in members:
                families[one[:place] + one[place + 1 :]].append(one)
            if len(families) == len(members):
                continue
            for frame, family in families.items():
                if len(family) > 1 and _values(place, frame, [one[place] for one in family], alternatives):
                    whole = (*frame[:place], WILD, *frame[place:])
                    joined = [shape for one in family for shape in members.pop(one)]
                    members[whole] = joined
                    changed = True
    return {shape: whole for whole, shapes_ in members.items() for shape in shapes_}


def _values(place: int, frame: Tokens, found: list[str], alternatives: int) -> bool:
    """Are the tokens found in one place values of a parameter?"""
    if not any(token != WILD and any(map(str.isalpha, token)) for token in frame):
        return False
    if any(len(token) == 1 and not token.isalnum() for token in found):
        return False  # a sign that is there or not is another sentence
    words = sum(map(wordy, found))
    if place == 0 and words:
        return False  # the first word says what happened
    return len(found) >= alternatives or words == 0 or WILD in found
