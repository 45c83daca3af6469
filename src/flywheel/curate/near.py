"""Near-duplicates: inputs that say the same thing, found by MinHash and locality-sensitive hashing.

An input becomes a set of features: character shingles of texts, rounded values of vectors and fields. Two inputs are
near-duplicates when the Jaccard similarity of their sets reaches a threshold. Signatures propose the pairs and the
exact similarity decides, so a proposal never joins two inputs by accident (Broder 1997, "On the resemblance and
containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3).
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["features", "forget", "group_near_duplicates", "jaccard"]

_PERMUTATIONS = 128
_SHINGLE = 5
_LONG_TEXT = 20
_WIDE = 32
"""Vectors with so many numbers are compared by magnitude, shorter ones by three significant digits."""
_PRIME = (1 << 31) - 1
_COMPARED_PER_BUCKET = 16
"""A bucket's member is held against at most so many distinct groups in it, so that one huge bucket stays linear."""


def group_near_duplicates(inputs: Sequence[Any], threshold: float = 0.85) -> list[int]:
    """Number the groups of near-duplicates: `result[i]` is the position of the first input in i's group.

    Groups are connected: what is near to a member belongs to the group. About 128 operations a feature, then linear.

    >>> group_near_duplicates(["where is my new card", "Where is my  new card", "cancel the transfer"])
    [0, 0, 2]
    """
    known = [_looked_up(value) for value in inputs]
    sets = [found for found, _ in known]
    parent = list(range(len(sets)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        first, second = sorted((root(i), root(j)))
        parent[second] = first

    seen: dict[bytes, int] = {}
    distinct: list[int] = []
    for i, found in enumerate(sets):
        key = found.tobytes()
        if key in seen:
            join(i, seen[key])
        else:
            seen[key] = i
            distinct.append(i)
    for bucket in _buckets([known[i][1] for i in distinct], threshold):
        met: list[int] = []
        for position in bucket:
            i = distinct[position]
            near = False
            for j in met[-_COMPARED_PER_BUCKET:]:
                if root(i) == root(j):
                    near = True
                elif jaccard(sets[i], sets[j]) >= threshold:
                    join(i, j)
                    near = True
            if not near:
                met.append(i)
    return [root(i) for i in range(len(sets))]


def jaccard(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> float:
    """Shared features as a part of all features of two sets, 0 to 1."""
    if len(first) == 0 or len(second) == 0:
        return 1.0 if len(first) == len(second) else 0.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def features(value: Any) -> NDArray[np.uint32]:
    """The set of hashed features of one input, sorted."""
    numbers = _numbers(value)
    if numbers is not None and len(numbers) >= _WIDE and any(numbers) and math.isfinite(sum(map(abs, numbers))):
        return _wide_features(numbers)
    if numbers is not None:
        tokens: Iterator[str] = _vector_tokens(numbers)
    else:
        tokens = _tokens("", value)
    return np.unique(np.fromiter((zlib.crc32(token.encode()) for token in tokens), dtype=np.uint32))


_Known = tuple[NDArray[np.uint32], NDArray[np.uint32]]
_REMEMBERED: dict[bytes, _Known] = {}
_MOST = 10_000
"""Of so many inputs features and signature are remembered, by a digest: examples come again each spin."""
_LONG = 4096
"""Features that take more bytes are not remembered, so that all take less than 50 MB."""


def _looked_up(value: Any) -> _Known:
    """The features and the signature of an input."""
    try:
        key = hashlib.blake2b(msgspec.msgpack.encode(value, enc_hook=repr), digest_size=16).digest()
    except OverflowError:  # a whole number of more than 64 bits
        own = features(value)
        return own, _signature(own)
    found = _REMEMBERED.get(key)
    if found is None:
        own = features(value)
        found = own, _signature(own)
        if own.nbytes <= _LONG:
            if len(_REMEMBERED) >= _MOST:
                _REMEMBERED.clear()
            _REMEMBERED[key] = found
    return found


def forget() -> None:
    """Remember nothing of any input: what was worked out of somebody's words goes when they are erased."""
    _REMEMBERED.clear()


def _wide_features(numbers: list[float]) -> NDArray[np.uint32]:
    """The features of a long vector that is not all zeros: what `_vector_tokens` says of it."""
    values = np.asarray(numbers)
    at = np.flatnonzero(values)
    bins = np.rint(2 * np.log2(np.abs(values[at]))).astype(np.int64)
    told = zip(at.tolist(), (values[at] > 0).tolist(), bins.tolist(), strict=True)
    return np.unique(np.fromiter((_coded(*one) for one in told), dtype=np.uint32, count=len(at)))


@lru_cache(maxsize=1 << 16)
def _coded(place: int, positive: bool, bin: int) -> int:
    return zlib.crc32(f"{place}:{positive}:{bin}".encode())


def _numbers(value: Any) -> list[float] | None:
    """The numbers of a flat or nested list of numbers, None for anything else."""
    if not isinstance(value, list | tuple) or not value:
        return None
    if set(map(type, value)) <= {int, float}:
        return list(map(float, value))
    flat: list[float] = []
    for item in value:
        if isinstance(item, list | tuple):
            inner = _numbers(item)
            if inner is None:
                return None
            flat.extend(inner)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            flat.append(float(item))
        else:
            return None
    return flat


def _vector_tokens(numbers: list[float]) -> Iterator[str]:
    wide = len(numbers) >= _WIDE
    for i, number in enumerate(numbers):
        if wide and number:
            # Half-octaves: bins as wide as a fifth of the value, whatever its scale. Empty pixels say nothing.
            yield f"{i}:{number > 0}:{round(2 * math.log2(abs(number)))}"
        elif not wide:
            yield f"{i}:{number:.3g}"
    if wide and not any(numbers):
        yield "nothing"


def _tokens(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _tokens(f"{path}.{key}", value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tokens(path, item)
    elif isinstance(value, str) and (not path or len(value) > _LONG_TEXT):
        text = " ".join(value.casefold().split())
        for start in range(max(1, len(text) - _SHINGLE + 1)):
            yield f"{path}~{text[start : start + _SHINGLE]}"
    elif isinstance(value, float):
        yield f"{path}={value:.3g}"
    else:
        yield f"{path}={value}"


def _buckets(signatures: list[NDArray[np.uint32]], threshold: float) -> Iterator[list[int]]:
    """Positions that share a band of their MinHash signatures."""
    rows = _rows(threshold)
    texts = [signature.tobytes() for signature in signatures]
    wide = 4 * rows
    for start in range(0, _PERMUTATIONS // rows * wide, wide):
        bucket: defaultdict[bytes, list[int]] = defaultdict(list)
        for i, text in enumerate(texts):
            bucket[text[start : start + wide]].append(i)
        yield from (members for members in bucket.values() if len(members) > 1)


def _rows(threshold: float) -> int:
    """The longest band that still proposes 99.9 % of the pairs at the threshold."""
    for rows in range(16, 1, -1):
        if 1 - (1 - threshold**rows) ** (_PERMUTATIONS // rows) >= 0.999:
            return rows
    return 1


def _signature(found: NDArray[np.uint32]) -> NDArray[np.uint32]:
    if not len(found):
        return np.full(_PERMUTATIONS, _PRIME, dtype=np.uint32)
    factors, offsets = _permutations()
    values = (found.astype(np.uint64) % np.uint64(_PRIME))[:, None]
    return np.asarray(((values * factors + offsets) % np.uint64(_PRIME)).min(axis=0), dtype=np.uint32)


@cache
def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    generator = np.random.default_rng(20_240_901)
    factors = generator.integers(1, _PRIME, size=_PERMUTATIONS, dtype=np.uint64)
    return factors, generator.integers(0, _PRIME, size=_PERMUTATIONS, dtype=np.uint64)
