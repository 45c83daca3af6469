"""Is the input itself broken? Each kind of input has its own signs, held against those of the known examples."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.diagnose.cause.views import common_width, numbers_of, numeric
from flywheel.diagnose.embed import as_record, as_text

__all__ = ["Quality", "qualities"]

Array = NDArray[Any]

_TAIL = 0.01
"""A sign is out of the ordinary beyond the examples' own 1 % (upper and lower together)."""
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_PLAIN = re.compile(r"[\w\s.,;:!?'\"()\-/%$€£&@#+*=’“”…]", re.UNICODE)
_RUN = re.compile(r"(.)\1+", re.DOTALL)
_HARD = re.compile(r"[bcdfghjklmnpqrstvwxz]+")


@dataclass(frozen=True, slots=True)
class Quality:
    """Per input and sign, m × s: `strange` says on which side of the examples it lies, as a share of them beyond it.

    `names` are the s signs in plain words, `odd` (m × s booleans) marks what is out of the ordinary, `usual` is the
    share of the examples that are odd in any sign, `rank` (m × s, -1 to 1) where it lies among the examples.
    """

    names: tuple[str, ...]
    odd: Array
    rank: Array
    usual: float


def qualities(kind: str, known: Sequence[Any], failed: Sequence[Any]) -> Quality:
    """Measure the signs of brokenness on failed inputs, with n known examples as the standard; O((n + m) · size)."""
    if kind == "text":
        names, a, b = _texts([as_text(one) for one in known], [as_text(one) for one in failed])
    elif kind == "vector":
        names, a, b = _vectors(known, failed)
    else:
        names, a, b = _records([as_record(one) for one in known], [as_record(one) for one in failed])
    return _held_against(names, a, b)


def _held_against(names: Sequence[str], known: Array, failed: Array) -> Quality:
    n, m = len(known), len(failed)
    odd = np.zeros((m, len(names)), dtype=bool)
    own = np.zeros((n, len(names)), dtype=bool)
    rank = np.zeros((m, len(names)))
    for s in range(len(names)):
        seen = np.sort(known[:, s])
        low = np.searchsorted(seen, failed[:, s], side="left")
        high = np.searchsorted(seen, failed[:, s], side="right")
        rank[:, s] = (low + high) / max(n, 1) - 1.0
        odd[:, s], own[:, s] = _outside(seen, failed[:, s]), _outside(seen, known[:, s])
    return Quality(tuple(names), odd, rank, float(own.any(axis=1).mean()) if n else 0.0)


def _outside(seen: Array, values: Array) -> Array:
    if not len(seen):
        return np.zeros(len(values), dtype=bool)
    low, high = np.quantile(seen, [_TAIL / 2, 1 - _TAIL / 2])
    slack = 1e-9 * (1 + abs(high - low))
    out: Array = (values < low - slack) | (values > high + slack)
    return out


# --- text ------------------------------------------------------------------------------------------------------------


def _texts(known: Sequence[str], failed: Sequence[str]) -> tuple[list[str], Array, Array]:
    vocabulary = Counter(word for text in known for word in {w.lower() for w in _WORD.findall(text)})
    near = _one_away(vocabulary)
    words = _Words(vocabulary, set(vocabulary), set(near), {word for word, count in near.items() if count > 1})
    names = [
        "length", "letters a word", "evenness of the letters", "odd characters", "words never seen before",
        "misspelt words", "words repeated", "runs of one character", "consonants in a row", "digits", "capitals",
    ]  # fmt: skip
    a = np.array([_text(text, words, 1) for text in known]).reshape(len(known), len(names))
    b = np.array([_text(text, words, 0) for text in failed]).reshape(len(failed), len(names))
    return names, a, b


@dataclass(frozen=True, slots=True)
class _Words:
    """The known words with their counts, and by themselves; their forms with a letter less, and those of several."""

    counts: Counter[str]
    known: set[str]
    shorter: set[str]
    shared: set[str]


def _one_away(vocabulary: Counter[str]) -> dict[str, int]:
    """Every known word of four letters or more with one letter left out, and how many known words give it."""
    out: Counter[str] = Counter()
    for word in vocabulary:
        if len(word) >= 4:
            out.update(_shorter(word))
    return dict(out)


def _shorter(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _text(text: str, known: _Words, own: int) -> list[float]:
    """The signs of one text. `own` is 1 when the text is among those the vocabulary was made from."""
    words = [w.lower() for w in _WORD.findall(text)]
    size, n = max(len(text), 1), max(len(words), 1)
    new = [w for w in words if known.counts.get(w, 0) <= own]
    misspelt = sum(_misspelt(w, known, own) for w in new)
    counts = Counter(text.lower())
    entropy = -sum(c / size * math.log2(c / size) for c in counts.values())
    odd = len(text) - len(_PLAIN.findall(text))
    runs = max((len(m.group(0)) for m in _RUN.finditer(text)), default=min(len(text), 1))
    hard = max(map(len, _HARD.findall(text.lower())), default=0)
    return [
        float(len(text)), sum(map(len, words)) / n, entropy / math.log2(max(len(counts), 2)) if text else 0.0,
        odd / size, len(new) / n, misspelt / n, 1 - len(set(words)) / n, float(runs), float(hard),
        sum(map(str.isdigit, text)) / size, sum(map(str.isupper, text)) / size,
    ]  # fmt: skip


def _misspelt(word: str, known: _Words, own: int) -> bool:
    """Is an unknown word one letter away (left out, added, changed, swapped) from a known one?

    Its forms with a letter less are looked up among the known words and among their forms with a letter less (Garbe's
    symmetric deletion), so no pair of words is ever compared.
    """
    if len(word) < 4:
        return False
    cut = _shorter(word)  # three letters or more, as the word has four
    if word in known.shorter or not known.known.isdisjoint(cut):
        return True
    return not (known.shared if own else known.shorter).isdisjoint(cut)


# --- vectors and pictures --------------------------------------------------------------------------------------------


def _vectors(known: Sequence[Any], failed: Sequence[Any]) -> tuple[list[str], Array, Array]:
    width = common_width(known)
    a, b = numbers_of(known, width), numbers_of(failed, width)
    with np.errstate(all="ignore"):
        centre = np.nan_to_num(np.nanmean(a, axis=0))
    gaps = [np.isnan(x).mean(axis=1) for x in (a, b)]
    a, b = (np.where(np.isnan(x), centre, x) for x in (a, b))
    low, high = float(a.min()), float(a.max())
    names = ["missing numbers", "size", "contrast", "what the examples' main directions do not explain",
             "numbers at the floor", "numbers at the ceiling", "largest number", "smallest number"]  # fmt: skip
    rest = _unexplained(a - centre, b - centre)
    columns = [
        [g, x.mean(axis=1), x.std(axis=1), r, (x <= low).mean(axis=1), (x >= high).mean(axis=1), x.max(1), x.min(1)]
        for g, x, r in zip(gaps, (a, b), rest, strict=True)
    ]
    side = math.isqrt(width)
    if side * side == width and side >= 6:
        names += ["sharpness", "grain", "empty rows and columns"]
        for parts, x in zip(columns, (a, b), strict=True):
            parts.extend(_picture(x.reshape(-1, side, side), low))
    return names, np.column_stack(columns[0]), np.column_stack(columns[1])


def _unexplained(a: Array, b: Array) -> tuple[Array, Array]:
    """Share of an input's variation outside the main directions of the examples; these are each judged by a half."""
    rank = max(1, min(a.shape[1] // 3, len(a) // 6, 40))
    first, second = a[::2], a[1::2]
    if len(second) <= rank:
        return np.zeros(len(a)), np.zeros(len(b))
    of = {}
    for name, half in (("first", first), ("second", second)):
        _, _, axes = np.linalg.svd(half, full_matrices=False)
        of[name] = axes[:rank]

    def left(x: Array, axes: Array) -> Array:
        out: Array = 1 - np.sum((x @ axes.T) ** 2, axis=1) / np.maximum(np.sum(x**2, axis=1), 1e-12)
        return out

    own = np.zeros(len(a))
    own[::2], own[1::2] = left(first, of["second"]), left(second, of["first"])
    return own, (left(b, of["first"]) + left(b, of["second"])) / 2


def _picture(x: Array, low: float) -> list[Array]:
    """Of m pictures: how sharp (energy of the Laplacian per contrast), how grainy, how many lines are empty."""
    inner = x[:, 1:-1, 1:-1]
    around = (x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]) / 4
    contrast = np.maximum(x.std(axis=(1, 2)), 1e-9)
    sharp = np.sqrt(np.mean((inner - around) ** 2, axis=(1, 2))) / contrast
    flat = np.median(np.abs(np.diff(x, axis=2)), axis=(1, 2)) / contrast
    empty = ((x <= low).all(axis=1).mean(axis=1) + (x <= low).all(axis=2).mean(axis=1)) / 2
    return [sharp, flat, empty]


# --- records ---------------------------------------------------------------------------------------------------------


def _records(known: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]) -> tuple[list[str], Array, Array]:
    keys = sorted({key for one in known for key in one})
    names = ["missing fields", "fields never seen before", "numbers out of range", "values never seen before",
             "values of another type", "values that are rare together"]  # fmt: skip
    a, b = np.zeros((len(known), len(names))), np.zeros((len(failed), len(names)))
    a[:, 0] = [sum(one.get(k) is None for k in keys) for one in known]
    b[:, 0] = [sum(one.get(k) is None for k in keys) for one in failed]
    b[:, 1] = [sum(k not in set(keys) for k in one) for one in failed]
    for key in keys:
        va, vb = [one.get(key) for one in known], [one.get(key) for one in failed]
        na, nb = numeric(va), numeric(vb)
        seen = na[np.isfinite(na)]
        if len(seen) * 2 > sum(v is not None for v in va):
            low, high = np.quantile(seen, [0.005, 0.995])
            room = 0.25 * (high - low) + 1e-9
            a[:, 2] += (na < low - room) | (na > high + room)
            b[:, 2] += (nb < low - room) | (nb > high + room)
            b[:, 4] += [v is not None and not math.isfinite(x) for v, x in zip(vb, nb, strict=True)]
            a[:, 4] += [v is not None and not math.isfinite(x) for v, x in zip(va, na, strict=True)]
            continue
        counts = Counter(str(v) for v in va)
        total = len(va)
        a[:, 3] += [v is not None and counts[str(v)] <= 1 for v in va]
        b[:, 3] += [v is not None and counts.get(str(v), 0) == 0 for v in vb]
        a[:, 5] += [-math.log(max(counts[str(v)], 0.5) / total) for v in va]
        b[:, 5] += [-math.log(max(counts.get(str(v), 0), 0.5) / total) for v in vb]
    return names, a, b
