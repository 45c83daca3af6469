"""Words and runs of letters of a text, as a row of a sparse matrix that depends on that text alone.

Every n-gram is known by a hash, so that no vocabulary has to be learnt: a text has the same row whatever else there is,
and similarities once computed stay true. Weinberger et al. 2009 (feature hashing), here with 44 bits, so that two
n-grams hardly ever share a number. No weight by rarity: with the kernel of `flywheel.train.text_machine` it gained
nothing where it was tried (CLINC150, 20 texts a class), and it would tie a text's row to the texts beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from flywheel.ports import Embedder

__all__ = ["Ngrams"]

Array = NDArray[Any]

_WORDS = (1, 2)
"""Runs of so many words."""
_LETTERS = (1, 2, 3, 4)
"""Runs of so many characters inside a word, its borders included."""
_WORD_SHARE = 0.12
"""Of the similarity of two texts, so much comes from words, the rest from runs of characters."""
_BITS = 44
"""Of a hash; the rest of 64 bits holds the row."""
_ROWS = 1 << (63 - _BITS)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)
_SPACE, _SIGN, _LETTER = 0, 1, 2


class Ngrams:
    """The n-grams that some texts have: sorted hashes, one for each column. With an embedder, the vectors of the texts
    follow as further columns, and make up `share` of the likeness of two texts."""

    def __init__(self, keys: Array | None = None, embedder: Embedder | None = None, share: float = 0.0) -> None:
        self.keys = np.zeros(0, dtype=np.uint64) if keys is None else np.asarray(keys, dtype=np.uint64)
        self.embedder = embedder
        self.share = share if embedder is not None else 0.0

    def learn(self, texts: Sequence[str], least: int = 1) -> tuple[Ngrams, sparse.csr_matrix]:
        """The n-grams that at least so many of `texts` have, and the texts' rows."""
        rows, keys, values = _counted(texts)
        known, columns, counts = np.unique(keys, return_inverse=True, return_counts=True)
        kept = counts >= least
        known, place = known[kept], np.cumsum(kept) - 1
        inside = kept[columns]
        found = _matrix(rows[inside], place[columns[inside]], values[inside], (len(texts), len(known)))
        return self.of(known), self._joined(found, texts)

    def of(self, keys: Array) -> Ngrams:
        """The same way of reading with these hashes."""
        return Ngrams(keys, self.embedder, self.share)

    def transform(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """n texts to n × columns; the two halves of a row, words and characters, have a fixed length when all n-grams
        are known, and less when some are not."""
        rows, keys, values = _counted(texts)
        if not len(self.keys):
            return self._joined(sparse.csr_matrix((len(texts), 0), dtype=np.float32), texts)
        columns = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[columns] == keys
        found = _matrix(rows[known], columns[known], values[known], (len(texts), len(self.keys)))
        return self._joined(found, texts)

    def _joined(self, found: sparse.csr_matrix, texts: Sequence[str]) -> sparse.csr_matrix:
        if self.embedder is None or not len(texts):
            return found
        vectors = sparse.csr_matrix(np.asarray(self.embedder.embed(texts), dtype=np.float32) * np.sqrt(self.share))
        both = sparse.hstack([found * np.sqrt(1 - self.share), vectors], format="csr")
        return both.astype(np.float32)


def _matrix(rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape=shape)


def _counted(texts: Sequence[str]) -> tuple[Array, Array, Array]:
    """Row, hash and value of every n-gram."""
    found: list[tuple[Array, Array, Array]] = []
    for start in range(0, len(texts), _ROWS):
        some = [text.lower() for text in texts[start : start + _ROWS]]
        codes = np.frombuffer("".join(some).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
        owner = np.repeat(np.arange(len(some), dtype=np.uint64), [len(text) for text in some])
        if not len(codes):
            continue
        kinds = _kinds(codes)
        parts = ((_word_grams(codes, owner, kinds), _WORD_SHARE), (_letter_grams(codes, owner, kinds), 1 - _WORD_SHARE))
        for (rows, keys), share in parts:
            both, counts = np.unique((rows << np.uint64(_BITS)) | (keys >> np.uint64(64 - _BITS)), return_counts=True)
            at = (both >> np.uint64(_BITS)).astype(np.int64)
            values = 1.0 + np.log(counts)
            length = np.sqrt(np.bincount(at, values**2, minlength=len(some)))
            values *= np.sqrt(share) / length[at]
            found.append((at + start, both & np.uint64((1 << _BITS) - 1), values))
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros(0)
    rows, keys, values = (np.concatenate([part[i] for part in found]) for i in range(3))
    return rows, keys, values


def _kinds(codes: Array) -> Array:
    """Of every character: space, letter or digit, or another sign."""
    table = np.zeros(int(codes.max()) + 1, dtype=np.uint8)
    for code in np.flatnonzero(np.bincount(codes.astype(np.int64))):
        character = chr(code)
        table[code] = _LETTER if character.isalnum() or character == "_" else not character.isspace()
    return table[codes]


def _runs(inside: Array, owner: Array) -> tuple[Array, Array, Array]:
    """Positions that are inside; the number of the run each belongs to; where each run begins among the positions."""
    at = np.flatnonzero(inside)
    if not len(at):
        return at, at, at
    first = np.ones(len(at), dtype=bool)
    first[1:] = (np.diff(at) > 1) | (owner[at[1:]] != owner[at[:-1]])
    return at, np.cumsum(first) - 1, np.flatnonzero(first)


def _word_grams(codes: Array, owner: Array, kinds: Array) -> tuple[Array, Array]:
    at, run, begins = _runs(kinds == _LETTER, owner)
    if not len(at):
        return owner[:0], codes[:0]
    place = np.arange(len(at)) - begins[run]
    powers = np.cumprod(np.concatenate([[np.uint64(1)], np.full(int(place.max()), _PRIME)]), dtype=np.uint64)
    words = _mixed(np.add.reduceat(_mixed(codes[at]) * powers[place], begins))
    whose = owner[at[begins]]
    rows, keys = [whose], [words]
    for size in _WORDS[1:]:
        same = whose[size - 1 :] == whose[: len(whose) - size + 1]
        joined = np.zeros(len(same), dtype=np.uint64)
        for step in range(size):
            joined = joined * _SECOND + words[step : len(whose) - size + 1 + step]
        rows.append(whose[: len(same)][same])
        keys.append(_mixed(joined[same] + np.uint64(size)))
    return np.concatenate(rows), np.concatenate(keys)


def _letter_grams(codes: Array, owner: Array, kinds: Array) -> tuple[Array, Array]:
    at, run, begins = _runs(kinds != _SPACE, owner)
    if not len(at):
        return owner[:0], codes[:0]
    lengths = np.diff(np.append(begins, len(at)))
    padded = np.full(len(at) + 2 * len(lengths), ord(" "), dtype=np.uint64)
    padded[np.arange(len(at)) + 2 * run + 1] = codes[at]
    token = np.repeat(np.arange(len(lengths)), lengths + 2)
    whose = np.repeat(owner[at[begins]], lengths + 2)
    rows, keys = [], []
    for size in _LETTERS:
        count = len(padded) - size + 1
        joined = np.zeros(max(count, 0), dtype=np.uint64)
        for step in range(size):
            joined = joined * _SECOND + padded[step : count + step]
        same = token[size - 1 :] == token[:count] if count > 0 else np.zeros(0, dtype=bool)
        rows.append(whose[: len(joined)][same])
        keys.append(_mixed(joined[same] * np.uint64(31) + np.uint64(1000 + size)))
    return np.concatenate(rows), np.concatenate(keys)


def _mixed(values: Array) -> Array:
    """Spread the bits (the finaliser of SplitMix64); sums wrap around, as is meant."""
    values = values + _PRIME
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))  # type: ignore[no-any-return]
