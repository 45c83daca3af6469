"""Documents of the workflow without what was erased: ids taken out of them, and sentences that quote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from flywheel.store.erase import ERASED

__all__ = ["echoes", "mended", "spoken", "unnamed"]

_KEYED = frozenset(
    {"assignments", "novelty", "answers", "fresh_answers", "placebo", "second_looks", "wanted"}
)  # an id is the key
_LISTED = frozenset({"exemplars", "fixed_ids", "broke_ids", "members"})  # lists of ids
_SPOKEN = frozenset({"name", "line", "why", "evidence", "detail", "remedy"})  # texts that may quote an input
_SPOKEN |= {"whys", "question", "answer", "query", "what", "expected", "closing"}
_WORD = re.compile(r"[^\W_][\w'’-]+")
_ESCAPED = re.compile(r"\\[bfnrt]")  # facts are read as the JSON they are kept as
_SHORTEST = 4


def mended(doc: Any, gone: Collection[str], words: Collection[str] = ()) -> Any:
    """The same document without these ids, and without sentences in which one of these words occurs.

    A mode whose name quotes such a word is named after its id. Records that are about an erased id are left out of the
    lists they stand in.

    >>> mended({"id": "m-1", "name": '"frobnicate" fails', "exemplars": ["a", "b"]}, {"a"}, {"frobnicate"})
    {'id': 'm-1', 'name': 'mode m-1', 'exemplars': ['b']}
    """
    return _mended(doc, frozenset(gone), frozenset(words))


def unnamed(doc: Any, known: Collection[str], named: Callable[[str], bool]) -> Any:
    """The same document without an author who is known by these names, and without the texts in which one is `named`.

    >>> unnamed({"by": "rita", "answer": "rita was asleep", "n": 3}, {"rita"}, lambda text: "rita" in text)
    {'by': 'erased', 'answer': 'erased', 'n': 3}
    """
    if isinstance(doc, list):
        return [unnamed(one, known, named) for one in doc]
    if not isinstance(doc, dict):
        return doc
    after = {}
    for name, value in doc.items():
        theirs = isinstance(value, str) and (value in known if name == "by" else name in _SPOKEN and named(value))
        after[name] = ERASED if theirs else unnamed(value, known, named)
    return after


def _mended(doc: Any, gone: frozenset[str], words: frozenset[str]) -> Any:
    if isinstance(doc, list):
        return [_mended(one, gone, words) for one in doc if not _is_about(one, gone)]
    if not isinstance(doc, dict):
        return doc
    after: dict[str, Any] = {}
    for name, value in doc.items():
        if name in _KEYED and isinstance(value, dict):
            kept = {key: one for key, one in value.items() if key not in gone and not _in(one, gone)}
            after[name] = _mended(kept, gone, words)
        elif name in _LISTED and isinstance(value, list):
            after[name] = [key for key in value if key not in gone]
        elif name == "signature" and isinstance(value, dict):
            after[name] = {key: one for key, one in value.items() if not _says(key, words)}
        elif name in _SPOKEN:
            after[name] = _silent(value, doc, words)
        else:
            after[name] = _mended(value, gone, words)
    return after


def _in(value: Any, gone: frozenset[str]) -> bool:
    return isinstance(value, str) and value in gone


def _is_about(one: Any, gone: frozenset[str]) -> bool:
    """A record about an erased interaction or example, or a conflict of labels that one was part of."""
    if not isinstance(one, Mapping):
        return False
    left_out = one.get("left_out")
    return (
        _in(one.get("interaction_id"), gone)
        or ("name" not in one and _in(one.get("id"), gone))
        or (isinstance(left_out, list) and any(_is_about(loser, gone) for loser in left_out))
    )


def _silent(value: Any, doc: Mapping[str, Any], words: frozenset[str]) -> Any:
    if isinstance(value, str):
        if not _says(value, words):
            return value
        return f"mode {doc['id']}" if isinstance(doc.get("id"), str) and "what" not in doc else ERASED
    if isinstance(value, list):
        return [_silent(one, {}, words) for one in value]
    return _mended(value, frozenset(), words)


def _says(text: str, words: frozenset[str]) -> bool:
    return bool(words) and not words.isdisjoint(_words(text))


def _words(text: str) -> Iterator[str]:
    for found in _WORD.finditer(_ESCAPED.sub(" ", text).lower()):
        word = found.group()
        yield word
        yield from re.split(r"['’-]", word)


def spoken(doc: Any) -> Iterator[str]:
    """Every text of a document that may quote an input."""
    if isinstance(doc, list):
        for one in doc:
            yield from spoken(one)
    elif isinstance(doc, dict):
        for name, value in doc.items():
            if name == "signature" and isinstance(value, dict):
                yield from value
            elif name in _SPOKEN and isinstance(value, str | list):
                yield from (one for one in ([value] if isinstance(value, str) else value) if isinstance(one, str))
                yield from spoken([one for one in value if isinstance(one, dict)] if isinstance(value, list) else [])
            else:
                yield from spoken(value)


def echoes(theirs: Iterable[str], said: Iterable[str], others: Iterable[str]) -> list[str]:
    """The words that `theirs` (erased facts) and `said` (what the workflow wrote) have in common, and no other fact.

    Those can have come from nowhere else. `others` is read only until every word has been met. O(facts).
    """
    quoted = {word for text in said for word in _words(text) if len(word) >= _SHORTEST and not word.isnumeric()}
    left = {word for text in theirs for word in _words(text)} & quoted if quoted else set()
    for text in others if left else ():
        low = text.lower()
        if any(word in low for word in left):
            left.difference_update(_words(low))
            if not left:
                break
    return sorted(left)
