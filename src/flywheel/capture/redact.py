"""Redaction: personal data and secrets are taken out of a payload before its first byte is written.

`Patterns` knows what has a shape of its own: e-mail and network addresses, payment cards, bank accounts and national
ids (with their check digits), telephone numbers, keys and tokens of well-known services, passwords in URLs. Names of
people have no such shape: for those there is the redactor `presidio`, or one of your own (port `Redactor`).

Needs the standard library only; `python-stdnum` and `phonenumbers` sharpen it where they are installed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from flywheel.capture.redaction.numbers import is_card
from flywheel.capture.redaction.phones import REGIONS, plans_of
from flywheel.capture.redaction.text import ALL, clean, clean_once, is_made, is_wary, residue, rules_of
from flywheel.capture.redaction.words import meaning_of_key
from flywheel.errors import InvalidRecord

__all__ = ["Nothing", "Patterns"]

_SECRET_NAME = re.compile(
    r"(?:.*[_. -])?(?:passwords?|passwd|pwd|passphrase|secrets?|client_?secret|credentials?|authorization"
    r"|cookies?|set_cookie"
    r"|(?:api|private|secret|access|auth|encryption|signing)_?keys?"
    r"|(?:access|auth|refresh|session|id|bearer|csrf|xsrf|api)_?tokens?|jwt)"
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_.\s-]+")
_SECRET = "[secret]"  # noqa: S105
_DEEPEST = 256
_MOST_KEYS = 8192  # keys that are remembered, so that a field's name is looked at once and not with every record
_LONGEST_KEY = 64
_DIRTY = "dirty"


class Patterns:
    """The redactor `patterns`: replaces each find with its kind in brackets and counts it.

    Text is searched wherever it stands: values, keys, nested lists. A value under a key that names a secret
    (`password`, `api_key` …) goes as a whole; a key such as `phone` or `ssn` speaks for the number under it. Where
    nothing is found the value itself comes back, not a copy. Time: O(length). Safe to share between threads.

    `regions` are the countries whose national telephone numbers (without `+`) are looked for.

    >>> Patterns().redact({"text": "write to ana@example.org from 10.0.0.7"})
    ({'text': 'write to [email] from [ip]'}, {'email': 1, 'ip': 1})
    """

    name = "patterns"

    def __init__(self, *, regions: Sequence[str] = REGIONS) -> None:
        self._plans = plans_of(tuple(regions))
        self._keys: dict[str, str] = {}

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value without personal data, and how many of each kind were removed; never what they were."""
        if type(value) is str:
            return self._text(value)
        walk = _Walk(self)
        walk.collect(value, "", 0)
        leaves = walk.leaves
        if not leaves:
            return (walk.rebuild(value), _sorted(walk.found)) if walk.changed else (value, {})
        joined = "\0".join(leaves)
        left = residue(joined)
        wary = is_wary(joined)
        if not wary and not walk.meanings and not walk.changed and left.count(0) == len(left):
            return value, {}
        lefts = left.split(b"\0")
        if len(lefts) != len(leaves):  # somebody's text holds the separator
            lefts = [residue(leaf) for leaf in leaves]
        self._look(walk, lefts, wary)
        if not walk.changed:
            return value, {}
        return walk.rebuild(value), _sorted(walk.found)

    def _text(self, value: str) -> tuple[str, dict[str, int]]:
        left, wary = residue(value), is_wary(value)
        rules = ALL if wary else left and rules_of(value, left)
        if not rules:
            return value, {}
        found: defaultdict[str, int] = defaultdict(int)
        cleaned = clean(value, rules, self._plans, "", found)
        return cleaned, _sorted(found) if found else {}

    def _again(self, text: str, meaning: str, found: defaultdict[str, int]) -> str:
        return clean(text, ALL if is_wary(text) else rules_of(text, residue(text)), self._plans, meaning, found)

    def _look(self, walk: _Walk, lefts: list[bytes], wary: bool) -> None:
        """Apply the rules to the leaves that call for any: together, as one text, where there are several."""
        leaves, changed, meanings, found = walk.leaves, walk.changed, walk.meanings, walk.found
        together: list[int] = []
        rules = 0
        for place, left in enumerate(lefts):
            if not left and not wary:
                continue
            leaf = leaves[place]
            wants = ALL if wary else rules_of(leaf, left)
            if not wants or place in changed or is_made(leaf):
                continue
            if place in meanings:
                cleaned = self._again(leaf, meanings[place], found)
                if cleaned is not leaf:
                    changed[place] = cleaned
            else:
                together.append(place)
                rules |= wants
        if not together:
            return
        text = "\0".join([leaves[place] for place in together])
        if text.count("\0") != len(together) - 1:  # somebody's text holds the separator
            cleaned_leaves = [self._again(leaves[place], "", found) for place in together]
        else:
            cleaned = clean_once(text, rules, self._plans, "", found)
            if cleaned is text:
                return
            cleaned_leaves = cleaned.split("\0")
        for place, leaf in zip(together, cleaned_leaves, strict=True):
            if leaf != leaves[place]:
                changed[place] = self._again(leaf, "", found)

    def meaning(self, key: Any) -> str:
        """What a key says of what is under it: `"secret"`, `"phone"` …, or nothing; `"dirty"` if it needs redaction."""
        if not isinstance(key, str):
            return ""
        if self._again(key, "", defaultdict(int)) != key:
            return _DIRTY
        words = _WORDS.sub("_", key).lower()
        meaning = "secret" if _SECRET_NAME.fullmatch(words) else meaning_of_key(words.replace("_", " "))
        if len(key) <= _LONGEST_KEY and len(self._keys) < _MOST_KEYS:
            self._keys[key] = meaning
        return meaning

    @property
    def keys(self) -> dict[str, str]:
        """The meanings of keys that were seen and are clean."""
        return self._keys


def _sorted(found: dict[str, int]) -> dict[str, int]:
    return dict(sorted(found.items()))


class _Walk:
    """Two walks over a value in the same order: one lists its texts, the other, if any must go, builds a copy."""

    def __init__(self, rules: Patterns) -> None:
        self._rules = rules
        self.leaves: list[str] = []
        self.meanings: dict[int, str] = {}
        self.changed: dict[int, str] = {}
        self.found: defaultdict[str, int] = defaultdict(int)
        self._next: Iterator[int] = iter(())

    def collect(self, value: Any, meaning: str, depth: int) -> None:
        """List the texts of `value`; `meaning` is what the key above says of it."""
        kind = type(value)
        if kind is dict or isinstance(value, dict):
            self._collect_dict(value, depth + 1)
        elif kind is str or isinstance(value, str):
            self._leaf(value, meaning)
        elif kind is list or isinstance(value, list | tuple):
            _check(depth)
            for item in value:
                self.collect(item, meaning, depth + 1)
        elif kind is int or (kind is float and meaning == "secret"):
            self._number(value, meaning)

    def _collect_dict(self, value: dict[Any, Any], depth: int) -> None:
        _check(depth)
        leaves, known = self.leaves, self._rules.keys
        for key, item in value.items():
            meaning = known.get(key)
            if meaning is None:
                meaning = self._rules.meaning(key)
                if meaning is _DIRTY:
                    leaves.append(key)
                    meaning = ""
            if meaning:
                self.collect(item, "" if meaning == "secret" and isinstance(item, dict) else meaning, depth)
            else:
                kind = type(item)
                if kind is str:
                    leaves.append(item)
                elif kind is int:
                    if item >= 10**12:
                        self._number(item, "")
                elif kind is not float and item is not None and kind is not bool:
                    self.collect(item, "", depth)

    def _leaf(self, value: str, meaning: str) -> None:
        if meaning:
            place = len(self.leaves)
            self.meanings[place] = meaning
            if meaning == "secret" and value and value != _SECRET:
                self._take(place, "secret")
        self.leaves.append(value)

    def _number(self, value: float, meaning: str) -> None:
        """List a number as a text where it may be a card, or where its key says that it is something."""
        place = len(self.leaves)
        written = str(value)
        if meaning == "secret":
            self._take(place, "secret")
        elif value >= 10**12 and is_card(written):
            self._take(place, "card")
        if meaning:
            self.meanings[place] = meaning
        if meaning or place in self.changed:
            self.leaves.append(written)

    def _take(self, place: int, kind: str) -> None:
        self.changed[place] = f"[{kind}]"
        self.found[kind] += 1

    def rebuild(self, value: Any) -> Any:
        """Copy the value with what changed put in; what did not change is shared with the original."""
        self._next = iter(range(len(self.leaves)))
        return self._of(value, "")

    def _of(self, value: Any, meaning: str) -> Any:
        if isinstance(value, str):
            return self.changed.get(next(self._next), value)
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, list | tuple):
            return (
                type(value)([self._of(item, meaning) for item in value])
                if type(value) in (list, tuple)
                else [self._of(item, meaning) for item in value]
            )
        kind = type(value)
        if (kind is int and (meaning or (value >= 10**12 and is_card(str(value))))) or (
            kind is float and meaning == "secret"
        ):
            return self.changed.get(next(self._next), value)
        return value

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        copied: dict[Any, Any] = {}
        known = self._rules.keys
        for key, item in value.items():
            name = key
            meaning = known.get(key)
            if meaning is None:
                meaning = self._rules.meaning(key)
                if meaning is _DIRTY:
                    meaning = ""
                    name = self._name(self.changed.get(next(self._next), key), copied, value)
            copied[name] = self._of(item, "" if meaning == "secret" and isinstance(item, dict) else meaning)
        return copied

    @staticmethod
    def _name(plain: str, copied: dict[Any, Any], value: dict[Any, Any]) -> str:
        name, number = plain, 2
        while name in copied or name in value:  # two addresses as keys stay two keys
            name, number = f"{plain} {number}", number + 1
        return name


def _check(depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidRecord("payload", f"it is nested more than {_DEEPEST} levels deep", "Flatten it before logging it")


class Nothing:
    """The redactor `none`: leaves everything as it is, where the product has no personal data or has removed it.

    >>> Nothing().redact("ana@example.org")
    ('ana@example.org', {})
    """

    name = "none"

    def __init__(self, *, regions: Sequence[str] = ()) -> None:
        """`regions` means nothing here; it is taken so that both redactors are made the same way."""

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value itself."""
        return value, {}
