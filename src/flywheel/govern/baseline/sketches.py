"""Sketches: what is kept of a stream too long to keep, each with the error it is allowed.

Every sketch holds a fixed amount of memory whatever comes, and gives the same answer for the same values in any order.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["DistinctCount", "FrequentValues", "KeySample", "Quantiles", "hash_of"]

_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=repr)
_64 = (1 << 64) - 1
E = TypeVar("E")


def hash_of(value: Any) -> int:
    """64 bits that depend on a value's content alone: any JSON, whatever the order of its keys.

    >>> hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1})
    True
    """
    if type(value) is float or type(value) is int:
        return _mixed(hash(value) & _64)  # of numbers, Python's own hash is the same in every process
    try:
        written = _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):  # lone surrogates, keys that are no text, depth
        written = _written(value)
    return int.from_bytes(hashlib.blake2b(written, digest_size=8).digest(), "little")


def _mixed(bits: int) -> int:
    """Spread bits over the whole word: the last step of SplitMix64 (Steele, Lea and Flood, 2014)."""
    bits = (bits + 0x9E3779B97F4A7C15) & _64
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _64
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _64
    return bits ^ (bits >> 31)


def _written(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True).encode()  # escapes lone surrogates, and orders keys all the way down
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    try:
        return repr(value).encode("utf-8", "surrogatepass")
    except RecursionError:
        return f"too deep: {type(value).__name__}".encode()


class DistinctCount:
    """How many different values: exact up to 1,024, then HyperLogLog (Flajolet et al., 2007) in 4 KiB.

    4,096 registers give a standard error of 1.6 %; the estimator is Ertl's (arXiv:1702.01284, algorithm 6), which
    needs no correction at either end. Two counts of parts can be merged into that of the whole.

    >>> few = DistinctCount()
    >>> for n in (1, 2, 2, 3):
    ...     few.add(hash_of(n))
    >>> few.count
    3
    """

    BITS = 12
    EXACT = 1024
    RELATIVE_ERROR = 1.04 / math.sqrt(1 << BITS)

    def __init__(self) -> None:
        self._few: set[int] | None = set()
        self._registers = bytearray()

    @property
    def exact(self) -> bool:
        """Is the count no estimate yet?"""
        return self._few is not None

    def add(self, hashed: int) -> None:
        """Take the hash of one value."""
        if self._few is not None:
            self._few.add(hashed)
            if len(self._few) > self.EXACT:
                self._registers = bytearray(1 << self.BITS)
                for known in self._few:
                    self._register(known)
                self._few = None
        else:
            self._register(hashed)

    def merge(self, other: DistinctCount) -> None:
        """Take in what another has counted."""
        if other._few is not None:
            for hashed in other._few:
                self.add(hashed)
            return
        if self._few is not None:
            few, self._few, self._registers = self._few, None, bytearray(1 << self.BITS)
            for hashed in few:
                self._register(hashed)
        self._registers = bytearray(map(max, self._registers, other._registers))

    def _register(self, hashed: int) -> None:
        rest = 64 - self.BITS
        place = hashed >> rest
        rank = rest + 1 - (hashed & ((1 << rest) - 1)).bit_length()
        if rank > self._registers[place]:
            self._registers[place] = rank

    @property
    def count(self) -> int:
        """The number of different values."""
        if self._few is not None:
            return len(self._few)
        m, top = 1 << self.BITS, 64 - self.BITS
        held = [0] * (top + 2)
        for register in self._registers:
            held[register] += 1
        z = m * _tau(1 - held[top + 1] / m)
        for rank in range(top, 0, -1):
            z = 0.5 * (z + held[rank])
        return round(m * m / (2 * math.log(2) * (z + m * _sigma(held[0] / m))))


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, math.nan
    while z != before:
        x, before = x * x, z
        z += x * y
        y *= 2
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, math.nan
    while z != before:
        x, before = math.sqrt(x), z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


class Quantiles:
    """Quantiles of numbers within 1 % of their value: DDSketch (Masson, Rim and Lee, VLDB 2019), at most 4,096 bins.

    Exact up to 256 different numbers. Beyond that, those nearer to zero than 1e-9 count as zero.

    >>> spread = Quantiles()
    >>> for n in range(1, 1001):
    ...     spread.add(n)
    >>> round(spread.at(0.5) / 500, 1)
    1.0
    """

    _GAMMA = 1.01 / 0.99
    _BINS = 2048
    _EXACT = 256

    def __init__(self) -> None:
        self.n = 0
        self.low, self.high = math.inf, -math.inf
        self._few: dict[float, int] | None = {}
        self._up: dict[int, int] = {}
        self._down: dict[int, int] = {}
        self._zeros = 0

    def add(self, value: float) -> None:
        """Take one finite number."""
        self.n += 1
        if value < self.low:
            self.low = value
        if value > self.high:
            self.high = value
        if self._few is None:
            self._bin(value, 1)
            return
        self._few[value] = self._few.get(value, 0) + 1
        if len(self._few) > self._EXACT:
            few, self._few = self._few, None
            for known, count in few.items():
                self._bin(known, count)

    def _bin(self, value: float, count: int) -> None:
        if -1e-9 < value < 1e-9:
            self._zeros += count
            return
        bins = self._up if value > 0 else self._down
        place = math.ceil(math.log(abs(value)) / _LOG_GAMMA)
        bins[place] = bins.get(place, 0) + count
        if len(bins) > self._BINS:  # the bins nearest to zero flow together
            lowest, next_lowest = sorted(bins)[:2]
            bins[next_lowest] += bins.pop(lowest)

    def at(self, share: float) -> float | None:
        """The number below which this share of all lies; None where there are none."""
        if not self.n:
            return None
        rank, seen = share * (self.n - 1), 0
        for value, count in self._in_order():
            seen += count
            if seen > rank:
                return min(max(value, self.low), self.high)
        return self.high

    def histogram(self, edges: list[float]) -> list[int]:
        """How many lie below the first edge, between each two, and from the last on."""
        counts = [0] * (len(edges) + 1)
        for value, count in self._in_order():
            counts[sum(value >= edge for edge in edges)] += count
        return counts

    def _in_order(self) -> list[tuple[float, int]]:
        if self._few is not None:
            return sorted(self._few.items())
        middle = 2 / (self._GAMMA + 1)
        down = [(-middle * self._GAMMA**place, self._down[place]) for place in sorted(self._down, reverse=True)]
        up = [(middle * self._GAMMA**place, self._up[place]) for place in sorted(self._up)]
        return down + ([(0.0, self._zeros)] if self._zeros else []) + up


_LOG_GAMMA = math.log(Quantiles._GAMMA)


class FrequentValues:
    """The most frequent of a stream of texts: Space-Saving (Metwally, Agrawal and El Abbadi, 2005).

    Exact while there are at most `capacity` different ones; then a count may be too high by at most n / capacity, and
    no value more frequent than that is missed.

    >>> seen = FrequentValues(2)
    >>> for word in "a b a c a".split():
    ...     seen.add(word)
    >>> seen.top(1)
    [('a', 3)]
    """

    def __init__(self, capacity: int = 256) -> None:
        self.n = 0
        self.exact = True
        self._capacity = capacity
        self._counts: dict[str, int] = {}

    def add(self, value: str) -> None:
        """Count one."""
        self.n += 1
        if value in self._counts:
            self._counts[value] += 1
        elif len(self._counts) < self._capacity:
            self._counts[value] = 1
        else:
            self.exact = False
            rarest = min(self._counts, key=self._counts.__getitem__)
            self._counts[value] = self._counts.pop(rarest) + 1

    def top(self, most: int) -> list[tuple[str, int]]:
        """The most frequent with their counts, the most frequent first."""
        return sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


class KeySample(Generic[E]):
    """What is known about each key of a stream, for a uniform sample of the keys: distinct sampling (Gibbons, 2001).

    Keys are hashes. All of them are kept while there is room; each time there is not, the half whose next bit is set
    goes, and newcomers like them are turned away. A kept key has been kept since it first came, so whatever is
    recorded about it is complete, in whatever order its parts arrive.
    """

    def __init__(self, capacity: int, make: Callable[[], E]) -> None:
        self.entries: dict[int, E] = {}
        self.scale = 1
        """Each kept key stands for so many."""
        self._capacity = capacity
        self._make = make

    @property
    def sampled(self) -> bool:
        """Have keys been turned away?"""
        return self.scale > 1

    @property
    def keys(self) -> int:
        """How many different keys came, estimated."""
        return len(self.entries) * self.scale

    def entry(self, key: int) -> E | None:
        """What is recorded about a key; None for a key outside the sample."""
        if key & (self.scale - 1):
            return None
        found = self.entries.get(key)
        if found is None:
            found = self.entries[key] = self._make()
            while len(self.entries) > self._capacity:
                self.scale *= 2
                self.entries = {kept: entry for kept, entry in self.entries.items() if not kept & (self.scale - 1)}
        return found
