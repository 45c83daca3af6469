"""Log messages → templates with stable ids, incrementally."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import InvalidRecord
from flywheel.observe.templates.masks import WILD, masked
from flywheel.observe.templates.merging import Tokens, merged
from flywheel.observe.templates.shapes import Shape, shape_of, wordy

__all__ = ["TemplateMiner"]

HEAD = 3
"""Messages that begin with the same so many tokens …"""
TAILS = 100
"""… and go on in more than so many ways are one template with a free text at its end."""
_REMEMBERED = 200_000
_VERSION = 1


class TemplateMiner:
    """Parses log messages to templates; one configuration for every system.

    Messages are masked a column at a time (see `masks`), so Python sees only distinct masked texts; those that differ
    in one place are merged where values stand there (see `merging`), and endings that never repeat become one free
    text. A template keeps its id for good. When later messages show that two templates are one, the older id stays
    and `resolve` maps the other to it. Messages of one call may come in any order. At most `most` templates are kept;
    messages that would need another are template `<*>`.

    The position-wise idea is of IPLoM (Makanju, Zincir-Heywood & Milios 2009), the fixed depth and single pass of Drain
    (He et al. 2017); masking a column first, and merging by distinct values, are ours.

    >>> miner = TemplateMiner()
    >>> miner.mine(["took 12 ms", "user a_1 left", "took 9 ms"]).tolist()
    [0, 1, 0]
    >>> miner.templates
    ['took <*> ms', 'user a_<*> left']
    """

    def __init__(self, most: int = 20_000) -> None:
        self.most = most
        self._shapes: list[Shape] = []
        self._into: list[int] = []
        self._counts: list[int] = []
        self._known: dict[Tokens, int] = {}
        self._heads: dict[Tokens, int] = {}
        self._open: dict[tuple[int, str], list[int]] = defaultdict(list)
        self._lengths: dict[int, list[int]] = defaultdict(list)
        self._alive = 0
        self._other: int | None = None

    def mine(self, messages: Sequence[str] | pa.Array | pa.ChunkedArray) -> np.ndarray[Any, Any]:
        """The template id of each message, int64. O(characters) in C++, O(distinct masked texts) in Python."""
        column = messages if isinstance(messages, pa.Array | pa.ChunkedArray) else pa.array(messages, pa.string())
        if not len(column):
            return np.zeros(0, np.int64)
        texts, places = masked(column)
        shapes = [shape_of(text) for text in texts]
        self._learn(shapes)
        ids = np.array([self._match(shape.tokens) for shape in shapes], np.int64)
        found: np.ndarray[Any, Any] = ids[places]
        for one, n in zip(*np.unique(found, return_counts=True), strict=True):
            self._counts[one] += int(n)
        if len(self._known) > _REMEMBERED:
            self._known = {self._shapes[one].tokens: one for some in self._lengths.values() for one in some}
        return found

    @property
    def templates(self) -> list[str]:
        """The text of each id; an id that was merged into another has that one's."""
        return [self._shapes[self._root(one)].text for one in range(len(self._shapes))]

    @property
    def counts(self) -> np.ndarray[Any, Any]:
        """Messages seen of each id; those of merged ids are counted where they went."""
        return np.array(self._counts, np.int64)

    def resolve(self, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The ids of today for ids of earlier calls."""
        today: np.ndarray[Any, Any] = np.array([self._root(one) for one in range(len(self._into))], np.int64)[ids]
        return today

    def to_json(self) -> str:
        """All it knows, as JSON; masked texts only, no value of a parameter."""
        state = {
            "version": _VERSION,
            "most": self.most,
            "shapes": [[list(one.tokens), list(one.glue)] for one in self._shapes],
            "into": self._into,
            "counts": self._counts,
            "heads": [[list(head), one] for head, one in self._heads.items()],
            "other": self._other,
        }
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> TemplateMiner:
        """Go on from `to_json`. Raises `InvalidRecord` for anything else."""
        try:
            state = json.loads(text)
            if state["version"] != _VERSION:
                raise ValueError(f"it is of version {state['version']}, this is {_VERSION}")
            miner = cls(int(state["most"]))
            miner._shapes = [Shape(tuple(tokens), tuple(glue)) for tokens, glue in state["shapes"]]
            miner._into, miner._counts = list(map(int, state["into"])), list(map(int, state["counts"]))
            miner._heads = {tuple(head): int(one) for head, one in state["heads"]}
            miner._other = state["other"]
        except (ValueError, KeyError, TypeError) as problem:
            raise InvalidRecord(
                "templates",
                f"these are not the templates of a miner: {problem}",
                "Give what `to_json` returned, or mine anew",
            ) from problem
        for one, into in enumerate(miner._into):
            if one == into:
                miner._index(one)
                miner._lengths[len(miner._shapes[one].tokens)].append(one)
                miner._alive += 1
        return miner

    # --- learning ---

    def _learn(self, shapes: Sequence[Shape]) -> None:
        """Make room for shapes that no template covers, after merging within each length that got new ones."""
        fresh: dict[Tokens, Shape] = {}
        for shape in shapes:
            if shape.tokens not in fresh and self._find(shape.tokens) is None:
                fresh[shape.tokens] = shape
        by_length: dict[int, list[Tokens]] = defaultdict(list)
        for tokens in fresh:
            by_length[len(tokens)].append(tokens)
        wholes: dict[Tokens, Tokens] = {}
        for length, some in by_length.items():
            wholes.update(self._merge(length, some))
        self._join_tails(dict.fromkeys(wholes.values()))
        for tokens, shape in fresh.items():
            one = self._exactly(wholes[tokens])
            if one is None and self._alive < self.most:
                one = self._add(Shape(wholes[tokens], shape.glue))
            if one is not None:
                self._known[tokens] = one

    def _merge(self, length: int, fresh: list[Tokens]) -> dict[Tokens, Tokens]:
        """Merge new shapes with the templates of their length; say what each new shape belongs to."""
        old = {self._shapes[one].tokens: one for one in self._lengths[length]}
        wholes = merged({*old, *fresh})
        joined: dict[Tokens, list[int]] = defaultdict(list)
        for tokens, one in old.items():
            joined[wholes[tokens]].append(one)
        for whole, ids in joined.items():
            eldest = min(ids)
            for one in ids:
                self._move(one, eldest)
            if self._shapes[eldest].tokens != whole:
                self._shapes[eldest] = Shape(whole, self._shapes[eldest].glue)
                self._index(eldest)
        return {tokens: wholes[tokens] for tokens in fresh}

    def _join_tails(self, fresh: Iterable[Tokens]) -> None:
        """Templates, old and new, that begin alike and end in too many ways become one."""
        old = {self._shapes[one].tokens: one for length in self._lengths for one in self._lengths[length]}
        heads = Counter(tokens[:HEAD] for tokens in dict.fromkeys([*old, *fresh]) if len(tokens) > HEAD)
        for head in [head for head, n in heads.items() if n > TAILS and head not in self._heads]:
            ids = [one for tokens, one in old.items() if tokens[:HEAD] == head and len(tokens) > HEAD]
            whole = Shape((*head, WILD), ("", *(" " for _ in head)))
            if ids:
                self._heads[head] = eldest = min(ids)
                for one in ids:
                    self._move(one, eldest)
                self._lengths[len(self._shapes[eldest].tokens)].remove(eldest)
                self._lengths[len(whole.tokens)].append(eldest)
                self._shapes[eldest] = whole
                self._index(eldest)
            else:
                self._heads[head] = self._add(whole)

    def _move(self, one: int, eldest: int) -> None:
        if one != eldest:
            self._into[one] = eldest
            self._lengths[len(self._shapes[one].tokens)].remove(one)
            self._alive -= 1
            self._counts[eldest] += self._counts[one]
            self._counts[one] = 0

    def _add(self, shape: Shape) -> int:
        one = len(self._shapes)
        self._shapes.append(shape)
        self._into.append(one)
        self._counts.append(0)
        self._lengths[len(shape.tokens)].append(one)
        self._alive += 1
        self._index(one)
        return one

    def _index(self, one: int) -> None:
        tokens = self._shapes[one].tokens
        self._known[tokens] = one
        if WILD in tokens:
            self._open[len(tokens), tokens[0]].append(one)

    # --- matching ---

    def _match(self, tokens: Tokens) -> int:
        one = self._find(tokens)
        if one is None:  # there is no room for another template
            if self._other is None:
                self._other = self._add(Shape((WILD,), ("",)))
            one = self._other
        return one

    def _find(self, tokens: Tokens) -> int | None:
        """The template that covers a shape."""
        one = self._exactly(tokens)
        if one is None:
            one = min((each for each in self._candidates(tokens) if self._covers(each, tokens)), default=None)
        if one is None:
            return None
        one = self._root(one)
        self._known[tokens] = one
        return one

    def _exactly(self, tokens: Tokens) -> int | None:
        one = self._known.get(tokens)
        if one is None and len(tokens) > HEAD:
            one = self._heads.get(tokens[:HEAD])
        return None if one is None else self._root(one)

    def _candidates(self, tokens: Tokens) -> Iterable[int]:
        for first in dict.fromkeys((tokens[0], WILD)):
            yield from self._open.get((len(tokens), first), ())

    def _covers(self, one: int, tokens: Tokens) -> bool:
        template = self._shapes[one].tokens
        if len(template) != len(tokens) or len(tokens) == 1 or (template[0] != tokens[0] and wordy(tokens[0])):
            return False
        return all(have in (WILD, token) for have, token in zip(template, tokens, strict=True))

    def _root(self, one: int) -> int:
        while self._into[one] != one:
            one = self._into[one]
        return one
