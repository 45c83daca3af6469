"""Inputs → vectors in which near means alike: one way for text, one for numbers and records. Both are deterministic."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["UNTELLING", "FeatureEmbedder", "TextEmbedder", "as_record", "as_text", "choose_embedder"]

_ONE_UNIT = 16
"""A vector with at least so many numbers is taken for a picture or an embedding: all in one unit, so never rescaled
apart."""

_MOST_TERMS = 20_000
"""So many of the commonest words, and runs of letters, get a vector."""
_MOST_WORDS = 60
"""Runs of letters are taken from so many first words of a text."""
_MOST_PAIRS = 30_000_000
"""About so many meetings of two terms are counted."""
_WORD = re.compile(r"[^\W_]+(?:['’]\w+)?")

_SMALL_WORDS = """
    a an and are as at be been but by can could did do does for from had has have he her him his how i i'd i'll i'm
    i've if in into is it it's its just let like me my no not of on or our please she should so some than that the
    their them then there these they this to up us was we were what what's when where which who why will with would
    you your der die das und ist ich du er sie es wir ihr ein eine einen mein meine in im am an auf für mit von zu
    was wie wo wann
"""
_NUMBERS = frozenset((int, float, bool))
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
    """Meanings of words, learnt from the batch itself: words that keep the same company get vectors that lie near.

    Half of the dimensions come from whole words, half from runs of four letters, which also bring together spellings,
    inflections and dialects. For each: how much oftener than by chance two of them meet in a text (positive pointwise
    mutual information), reduced by a truncated SVD (Levy & Goldberg 2014, "Neural word embedding as implicit matrix
    factorization"); a text is the sum of its parts, each weighted by its rarity (in the manner of Arora et al. 2017,
    "A simple but tough-to-beat baseline for sentence embeddings"). Rows have length 1 (0 for text without any word
    that two texts share). Fitted to the batch, so vectors of different batches must not be mixed.

    Linear in the number of texts: companies are counted in an evenly spaced sample of bounded size.

    >>> TextEmbedder(dimensions=8).embed(["my card is lost", "lost card", "exchange rate"]).shape
    (3, 8)
    """

    name = "text"

    def __init__(self, dimensions: int = 128, seed: int = 0) -> None:
        self.dimensions = dimensions
        self.seed = seed

    def embed(self, inputs: Sequence[Any]) -> np.ndarray[Any, Any]:
        """n texts (or chats, or anything that can be written as text) to n × dimensions."""
        texts = [as_text(one) for one in inputs]
        if not texts:
            return np.zeros((0, self.dimensions))
        words = [_WORD.findall(text.lower()[:5000]) for text in texts]
        half = self.dimensions // 2
        parts = [
            _by_company([sorted(set(said)) for said in words], self.dimensions - half, self.seed),
            _by_company([_runs(said) for said in words], half, self.seed),
        ]
        rows = np.hstack(parts)
        told = np.linalg.norm(rows, axis=1) > 0
        if told.sum() > 2:
            # What all texts have in common tells none apart.
            rows[told] -= rows[told].mean(axis=0)
        return _unit(np.round(rows, 12))


def _runs(words: Sequence[str]) -> list[str]:
    """The distinct runs of four letters in the first words of a text, word borders marked."""
    bordered = [f"<{word}>" for word in words[:_MOST_WORDS]]
    return sorted({word[at : at + 4] for word in bordered for at in range(max(1, len(word) - 3))})


def _by_company(texts: Sequence[Sequence[str]], dimensions: int, seed: int) -> np.ndarray[Any, Any]:
    """One row of length 1 a text: the rarity-weighted sum of its terms' vectors."""
    from scipy.sparse import csr_matrix, diags

    counts = Counter(term for terms in texts for term in terms)
    shared = sorted((-count, term) for term, count in counts.items() if count >= min(2, len(texts)))[:_MOST_TERMS]
    place = {term: at for at, (_, term) in enumerate(shared)}
    if not place or dimensions < 1:
        return np.zeros((len(texts), dimensions))
    rows = [[place[term] for term in terms if term in place] for terms in texts]
    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.array([at for row in rows for at in row], dtype=np.int64)
    has = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(texts), len(place)))
    vectors = _unit(_reduce(_surprise(has), dimensions, seed))
    frequency = np.array([-count for count, _ in shared], dtype=np.float64)
    rarity = np.log((1.0 + len(texts)) / (1.0 + frequency)) + 1e-3
    return _unit(np.asarray(has @ (diags(rarity) @ vectors)))


def _surprise(has: Any) -> Any:
    """Terms × terms: the positive pointwise mutual information of meeting in a text.

    A text's pairs weigh 1 over its length together, so that long texts do not decide; contexts are smoothed by the
    power 0.75. Of longer batches every so-manieth text is counted.
    """
    from scipy.sparse import csr_matrix, diags

    lengths = np.diff(has.indptr).astype(np.float64)
    step = int(np.ceil(float(np.sum(lengths**2)) / _MOST_PAIRS))
    some = has[:: max(step, 1)]
    lengths = np.maximum(np.diff(some.indptr) - 1.0, 1.0)
    met = (some.T @ (diags(1.0 / lengths) @ some)).tocsr()
    own = met.diagonal()
    met.setdiag(0.0)
    # A term that never has company is its own.
    met.setdiag(np.where(np.asarray(met.sum(axis=1)).ravel() > 0, 0.0, own))
    met.eliminate_zeros()
    pairs = met.tocoo()
    often = np.asarray(met.sum(axis=1)).ravel()
    smooth = often**0.75
    chance = often[pairs.row] * smooth[pairs.col] / max(float(smooth.sum()), 1e-300)
    surprise = np.log(np.maximum(pairs.data / np.maximum(chance, 1e-300), 1e-12))
    kept = surprise > 0
    return csr_matrix((surprise[kept], (pairs.row[kept], pairs.col[kept])), shape=met.shape)


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
    if set(map(type, value)) <= _NUMBERS:
        return list(map(float, value))
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
