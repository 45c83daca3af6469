"""Where inputs lie beside the labelled examples: one row of length 1 an input, so that a product is a likeness."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flywheel.ports import Embedder

__all__ = ["likeness", "place", "read", "textual", "words"]

_WORD = re.compile(r"[^\W_]+(?:['’]\w+)?")
_MOST_WORDS = 200
"""Of a long text so many first words are read."""
_RUNS = (2, 3, 4)
"""Letters in the runs that a word is cut into, its borders marked."""

_COMMON = 0.1
"""A term that more than this share of the inputs has (and fifty of them) tells nothing, and costs most."""

Floats = np.ndarray[Any, Any]


def textual(inputs: Sequence[Any]) -> bool:
    """Are these texts or chats, for the most part?"""
    sample = list(inputs[:200])
    return bool(sample) and 2 * sum(isinstance(one, str) or _is_chat(one) for one in sample) >= len(sample)


def read(value: Any) -> str:
    """An input as text: a string itself, the last user turn of a chat, else its JSON."""
    if isinstance(value, str):
        return value
    if _is_chat(value):
        turns = [turn for turn in value if turn.get("role") == "user"] or list(value)
        return read(turns[-1]["content"])
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def words(text: str) -> list[str]:
    """The words of a text in lower case.

    >>> words("Where's my NEW card?")
    ["where's", 'my', 'new', 'card']
    """
    return _WORD.findall(text.lower())[:_MOST_WORDS]


def place(inputs: Sequence[Any], known: Sequence[Any], embedder: Embedder | None = None) -> tuple[Any, Any]:
    """Rows for n inputs and for m known ones, of length 1 (0 where nothing is known of an input).

    Texts are placed by their words, pairs of words and, inside words, runs of two to four letters, weighted by rarity
    (TF-IDF; sparse rows): what the text trainer learns from. Anything else, and texts too where the embedder is not the
    built-in one, by the embedder's vectors, seen from the middle of the known ones (dense rows).
    """
    built_in = embedder is None or getattr(embedder, "name", "") == "text"
    if embedder is None or (built_in and textual([*inputs[:100], *known[:100]])):
        rows = _ngrams([words(read(one)) for one in [*inputs, *known]])
        return rows[: len(inputs)], rows[len(inputs) :]
    vectors = np.asarray(embedder.embed([*inputs, *known]), dtype=np.float64)
    vectors = vectors - (vectors[len(inputs) :] if len(known) else vectors).mean(axis=0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit[: len(inputs)], unit[len(inputs) :]


def likeness(first: Any, second: Any) -> Floats:
    """How alike each of n rows is to each of m: n × m, at most 1. O(n · m) memory: the caller asks in blocks."""
    product = first @ second.T
    return np.asarray(product.toarray() if hasattr(product, "toarray") else product, dtype=np.float64)


def _ngrams(texts: Sequence[Sequence[str]]) -> Any:
    """Sparse rows: words and pairs of words in one half, runs of letters in the other, each of length √½.

    Runs do not cross words, so each distinct word is cut once, however often it is said: texts × words times words ×
    runs is texts × runs.
    """
    from scipy.sparse import hstack

    vocabulary: dict[str, int] = {}
    said = _counts(texts, vocabulary)
    pairs = _counts([[f"{a} {b}" for a, b in pairwise(text)] for text in texts], {})
    runs = _counts([_runs(word) for word in vocabulary], {})
    return hstack([_weighted(hstack([said, pairs], format="csr")), _weighted(said @ runs)], format="csr")


def _counts(texts: Sequence[Sequence[str]], place: dict[str, int]) -> Any:
    """Texts × terms: how often each term is said; `place` takes up the column of each term."""
    from scipy.sparse import csr_matrix

    columns = [place.setdefault(term, len(place)) for text in texts for term in text]
    ends = np.cumsum([0, *(len(text) for text in texts)])
    rows = csr_matrix((np.ones(len(columns)), np.array(columns, dtype=np.int64), ends), (len(texts), len(place)))
    rows.sum_duplicates()
    return rows


def _runs(word: str) -> list[str]:
    bordered = f"<{word}>"
    return [bordered[at : at + n] for n in _RUNS for at in range(max(1, len(bordered) - n + 1))]


def _weighted(counts: Any) -> Any:
    """TF-IDF with the logarithm of counts; rows of length √½ (or 0)."""
    from scipy.sparse import diags

    rows = counts.tocsr().copy()
    met = np.bincount(rows.indices, minlength=rows.shape[1])
    rows.data = 1.0 + np.log(rows.data)
    n = rows.shape[0]
    rarity = np.log((1.0 + n) / (1.0 + met)) + 1.0
    rows = (rows @ diags(np.where(met > max(50, _COMMON * n), 0.0, rarity))).tocsr()
    rows.eliminate_zeros()
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return (diags(np.sqrt(0.5) / np.where(length > 0, length, 1.0)) @ rows).tocsr()


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and "content" in turn for turn in value)
    )
