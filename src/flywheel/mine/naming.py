"""Names for groups of inputs: the words that set a group apart from the rest of the window.

Class-based TF-IDF (Grootendorst 2022, "BERTopic: neural topic modeling with a class-based TF-IDF procedure").
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.mine.space import read, textual, words

__all__ = ["name_groups"]

_TERMS = 3
_SHARED = 0.3
"""A name's words stand in at least this share of a group's inputs, and in two of them."""
_SMALL_WORDS = """
    a an and are as at be been but by can could did do does for from had has have he her him his how i i'd i'll i'm
    i've if in into is it it's its just let like me my no not of on or our please she should so some than that the
    their them then there these they this to up us want was we were what what's when where which who why will with
    would you your der die das und ist ich du er sie es wir ihr ein eine einen mein meine in im am an auf für mit von
    zu was wie wo wann
"""
_SMALL = frozenset(_SMALL_WORDS.split())
"""Words so common that they tell nothing about what a text is about (English and German)."""


def name_groups(
    groups: Sequence[Any], inputs: Sequence[Any], users: Sequence[str | None] | None = None, min_users: int = 1
) -> list[str]:
    """A name for each group (row numbers into `inputs`), at most three words; empty where nothing telling is shared.

    No word enters a name that fewer than `min_users` of the group's logged users say. Records are named by the values
    (`device=ios`) that set them apart. Two groups may share a name.
    """
    texts = textual(inputs)
    terms = [frozenset(_terms(value, texts)) for value in inputs]
    everywhere = Counter(term for said in terms for term in said)
    people = users if users is not None and any(user is not None for user in users) else None
    return [_name([int(row) for row in rows], terms, everywhere, people, min_users) for rows in groups]


def _name(
    rows: Sequence[int],
    terms: Sequence[frozenset[str]],
    everywhere: Mapping[str, int],
    users: Sequence[str | None] | None,
    min_users: int,
) -> str:
    said: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        for term in terms[row]:
            said[term].append(row)
    telling = []
    for term, where in said.items():
        crowd = len({users[row] for row in where}) if users is not None else min_users
        if len(where) >= max(2, _SHARED * len(rows)) and crowd >= min_users:
            telling.append((-len(where) / len(rows) * math.log((1 + len(terms)) / everywhere[term]), term))
    return ", ".join(term for _, term in sorted(telling)[:_TERMS])


def _terms(value: Any, texts: bool) -> list[str]:
    if texts:
        return [word for word in words(read(value)) if word not in _SMALL and len(word) > 1]
    if isinstance(value, Mapping):
        return [f"{key}={one}" for key, one in value.items() if isinstance(one, str | bool)]
    return []
