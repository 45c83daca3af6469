"""The shape of a masked message: its words and signs, with lists and repetitions drawn together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flywheel.observe.templates.masks import WILD

__all__ = ["LONGEST", "Shape", "shape_of", "wordy"]

LONGEST = 60
"""Tokens beyond so many are one `<*>`: what follows is a dump, not a sentence."""

_PIECE = re.compile(r"(\s*)((?:[^\s,;:=(){}\[\]'\"|<>]|<\*>)+|[,;:=(){}\[\]'\"|<>])")
_LISTED = frozenset((",", "-", "|", ":", "\\"))
_WORD = re.compile(r"[^\w<]*[A-Za-z]+(?:[^\w<-]*<\*>)?[^\w>]*")
_LONGEST_CYCLE = 6


@dataclass(frozen=True, slots=True)
class Shape:
    """`tokens` say which template a message belongs to; `glue` is the white space before each."""

    tokens: tuple[str, ...]
    glue: tuple[str, ...]

    @property
    def text(self) -> str:
        """The template as people read it.

        >>> shape_of("took <*>, <*>, <*> ms").text
        'took <*> ms'
        """
        return "".join(space + token for space, token in zip(self.glue, self.tokens, strict=True)).strip()


def shape_of(text: str) -> Shape:
    """Take a masked text apart. Lists of parameters become one parameter, repeated groups one group.

    >>> shape_of("blocks <*>, <*>, <*> of node-<*> up node-<*> up").tokens
    ('blocks', '<*>', 'of', 'node-<*>', 'up')
    """
    tokens: list[str] = []
    glue: list[str] = []
    for space, piece in _PIECE.findall(text):
        if len(tokens) == LONGEST:
            tokens[-1] = WILD
            break
        token = WILD if piece.count(WILD) > 1 else piece
        if token == WILD and _joins(tokens):
            if tokens[-1] != WILD:
                tokens.pop()
                glue.pop()
            continue
        repeats = token in tokens[-_LONGEST_CYCLE:]
        tokens.append(token)
        glue.append(space)
        if repeats:
            _fold(tokens, glue)
    return Shape(tuple(tokens) or ("",), tuple(glue) or ("",))


def _joins(tokens: list[str]) -> bool:
    """Does a parameter that comes now go on with the one before?"""
    return bool(tokens) and (tokens[-1] == WILD or (len(tokens) > 1 and tokens[-2] == WILD and tokens[-1] in _LISTED))


def _fold(tokens: list[str], glue: list[str]) -> None:
    """Drop the last group of tokens when it repeats the one before it, and holds a parameter."""
    last = tokens[-1]
    for cycle in range(1, min(_LONGEST_CYCLE, len(tokens) // 2) + 1):
        if tokens[-1 - cycle] == last:
            group = tokens[-cycle:]
            if group == tokens[-2 * cycle : -cycle] and any(WILD in one for one in group):
                del tokens[-cycle:], glue[-cycle:]
                return


def wordy(token: str) -> bool:
    """Is a token a plain word, perhaps with a number at its end, rather than a made-up name?

    >>> [wordy(token) for token in ("read", "slot<*>", "cluster_root", "<*>")]
    [True, True, False, False]
    """
    return _WORD.fullmatch(token) is not None
