"""Inputs → vectors in which near means alike: one way for text, one for numbers and records. Both are deterministic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["UNTELLING", "FeatureEmbedder", "TextEmbedder", "as_record", "as_text", "choose_embedder"]

_ONE_UNIT = 16
"""A vector with at least so many numbers is taken for a picture or an embedding: all in one unit, so never rescaled
apart."""


_SMALL_WORDS = """
    a an and are as at be been but by can could did do does for from had has have he her him his how i i'd i'll i'm
    i've if in into is it it's its just let like me my no not of on or our please she should so some than that the
    their them then there these they this to up us was we were what what's when where which who why will with would
    you your der die das und ist ich du er sie es wir ihr ein eine einen mein meine in im am an auf für mit von zu
    was wie wo wann
"""
UNTELLING = frozenset(_SMALL_WORDS.split())
"""Words so common that they tell nothing about what a text is about (English and German)."""


def choose_embedder(inputs: Sequence[Any]) -> str:
    """Name the built-in embedder that suits these inputs: `text` for strings and chats, `features` for the rest.

    >>> choose_embedder(["where is my card"]), choose_embedder([{"age": 41}]), choose_embedder([[0.1, 0.2]])
    ('text', 'features', 'features')
    """
    sample = list(inputs[:200])
    texts = sum(isinstance(one, str) or _is_chat(one) for one in sample)
    return "text" if sample and texts * 2 >= len(sample) else "features"


class TextEmbedder:
    """Hashed words, word pairs and character n-grams, weighted by TF-IDF and reduced by a truncated SVD (LSA).

    Deerwester et al. (1990), "Indexing by latent semantic analysis". Rows have length 1 (0 for empty text). The
    reduction is fitted to the batch, so vectors of different batches must not be mixed.

    >>> TextEmbedder(dimensions=8).embed(["my card is lost", "lost card", "exchange rate"]).shape
    (3, 8)
    """

    name = "text"

    def __init__(self, dimensions: int = 64, seed: int = 0) -> None:
        self.dimensions = dimensions
        self.seed = seed

    def embed(self, inputs: Sequence[Any]) -> np.ndarray[Any, Any]:
        """n texts (or chats, or anything that can be written as text) to n × dimensions."""
        from scipy.sparse import hstack
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        texts = [as_text(one) for one in inputs]
        if not texts:
            return np.zeros((0, self.dimensions))
        words = HashingVectorizer(
            n_features=2**18,
            ngram_range=(1, 2),
            alternate_sign=False,
            norm=None,
            stop_words=sorted({*UNTELLING, "ll", "ve", "don"}),
        )
        letters = HashingVectorizer(
            n_features=2**18, analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False, norm=None
        )
        parts = []
        for vectorizer, share in ((words, 1.0), (letters, 0.6)):
            counts = vectorizer.transform(texts).tocsc()
            # What only one text has cannot make two texts alike; leaving it out makes the reduction ten times cheaper.
            counts = counts[:, np.flatnonzero(np.diff(counts.indptr) >= min(2, len(texts)))].tocsr()
            if counts.shape[1]:
                parts.append(TfidfTransformer(sublinear_tf=True).fit_transform(counts) * share)
        if not parts:
            return np.zeros((len(texts), self.dimensions))
        return _unit(_reduce(hstack(parts).tocsr(), self.dimensions, self.seed))


class FeatureEmbedder:
    """Numbers standardised, categories one-hot, for flat vectors, pictures and records (dicts).

    Numbers of records are centred on the median and scaled by the standard deviation within a clip of 4; missing
    ones are at the centre with a flag of their own. Of a category the 30 commonest values count. Long vectors share
    one scale, so that an almost constant pixel does not outweigh the picture. Batches of more columns than
    `dimensions` are reduced by SVD, others padded with zeros.

    >>> FeatureEmbedder(dimensions=4).embed([{"age": 20, "job": "cook"}, {"age": 60, "job": "cook"}]).shape
    (2, 4)
    """

    name = "features"

    def __init__(self, dimensions: int = 64, seed: int = 0) -> None:
        self.dimensions = dimensions
        self.seed = seed

    def embed(self, inputs: Sequence[Any]) -> np.ndarray[Any, Any]:
        """n vectors or records to n × dimensions."""
        if not len(inputs):
            return np.zeros((0, self.dimensions))
        vectors = [_flat(one) for one in inputs]
        lengths = Counter(len(v) for v in vectors if v is not None)
        length = lengths.most_common(1)[0][0] if lengths else 0
        if length and all(v is not None and len(v) == length for v in vectors):
            columns = _scaled(np.array(vectors, dtype=np.float64))
        else:
            columns = _of_records([as_record(one) for one in inputs])
        from scipy.sparse import csr_matrix

        return _reduce(csr_matrix(columns), self.dimensions, self.seed, centred=columns)


def as_text(value: Any) -> str:
    """The words of an input: a string itself, the last user turn of a chat, the texts of a record, else its JSON.

    >>> as_text([{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}])
    'hello'
    """
    if isinstance(value, str):
        return value
    if _is_chat(value):
        turns = [turn for turn in value if turn.get("role") == "user"] or list(value)
        content = turns[-1].get("content")
        return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, sort_keys=True)
    if isinstance(value, dict):
        return " ".join(str(value[key]) for key in sorted(value) if isinstance(value[key], str))
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def as_record(value: Any, prefix: str = "") -> dict[str, Any]:
    """The scalar leaves of an input, by dotted name.

    >>> as_record({"address": {"zip": "8001"}, "age": 41})
    {'address.zip': '8001', 'age': 41}
    """
    if isinstance(value, dict):
        leaves: dict[str, Any] = {}
        for key in sorted(value, key=str):
            leaves.update(as_record(value[key], f"{prefix}.{key}" if prefix else str(key)))
        return leaves
    if isinstance(value, list | tuple):
        leaves = {}
        for place, item in enumerate(value):
            leaves.update(as_record(item, f"{prefix}.{place}" if prefix else str(place)))
        return leaves
    return {prefix or "value": value}


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "content" in turn for turn in value)
    )


def _flat(value: Any) -> list[float] | None:
    """A (nested) list of numbers as one flat list; None when it is something else."""
    if not isinstance(value, list | tuple) or not value:
        return None
    out: list[float] = []
    for item in value:
        if isinstance(item, list | tuple):
            inner = _flat(item)
            if inner is None:
                return None
            out.extend(inner)
        elif isinstance(item, int | float):
            out.append(float(item))
        else:
            return None
    return out


def _scaled(columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    columns = columns - columns.mean(axis=0)
    spread = columns.std(axis=0)
    if columns.shape[1] >= _ONE_UNIT:
        size = float(np.sqrt(np.mean(spread**2)))
        return columns / size if size > 0 else columns
    return np.clip(columns / np.where(spread > 0, spread, 1.0), -4.0, 4.0)


def _of_records(records: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
    n = len(records)
    columns: list[np.ndarray[Any, Any]] = []
    for key in sorted({key for record in records for key in record}):
        values = [record.get(key) for record in records]
        numbers = [float(v) if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in values]
        column = np.array(numbers, dtype=np.float64)
        seen = ~np.isnan(column)
        if seen.any():
            spread = column[seen].std()
            centred = np.where(seen, column - np.median(column[seen]), 0.0)
            columns.append(np.clip(centred / (spread if spread > 0 else 1.0), -4.0, 4.0))
        words = [None if v is None or s else str(v) for v, s in zip(values, seen, strict=True)]
        counts = Counter(word for word in words if word is not None)
        common = sorted(counts, key=lambda word: (-counts[word], word))[:30]
        for word in common:
            share = counts[word] / n
            if share < 1.0:
                columns.append(np.array([(w == word) - share for w in words]) * np.sqrt(2.0))
        missing = np.array([v is None for v in values], dtype=np.float64)
        if 0 < missing.sum() < n:
            columns.append(missing - missing.mean())
    return np.column_stack(columns) if columns else np.zeros((n, 1))


def _reduce(
    matrix: Any, dimensions: int, seed: int, centred: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, Any]:
    """n × d to n × dimensions by truncated SVD, padded with zeros where there is less to keep.

    One thread, so that sums are added in one order and the same batch gives the same bits.
    """
    from sklearn.decomposition import TruncatedSVD

    n, d = matrix.shape
    if centred is not None and d <= dimensions:
        kept = centred
    else:
        rank = min(dimensions, n, d - 1)
        # A batch of equal rows has no variance to explain, which is no fault.
        with threadpool_limits(limits=1), np.errstate(invalid="ignore", divide="ignore"):
            kept = TruncatedSVD(rank, random_state=seed).fit_transform(matrix) if rank > 0 else np.zeros((n, 0))
    out = np.zeros((n, dimensions))
    out[:, : kept.shape[1]] = kept
    return out


def _unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray[Any, Any] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit
