"""Inputs as points, placed by the known examples alone, so that broken inputs cannot move what is normal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flywheel.diagnose.embed import _flat, as_record, as_text, choose_embedder

if TYPE_CHECKING:
    from flywheel.ports import Embedder

__all__ = ["View", "common_width", "numbers_of", "numeric", "view_of"]

_BUILT_IN = ("text", "features")
_WIDTH = 64
"""Dimensions kept of pictures and long vectors."""
_WORD = r"(?u)\b\w+\b"
_FAR = 6.0
"""Numbers are clipped at so many robust standard deviations."""


@dataclass(frozen=True, slots=True)
class View:
    """n known examples and m failures: their points, squared distances and similarities.

    `kind` is `text`, `record` or `vector`. `own` (n × n), `away` (m × n) and `among` (m × m) are squared distances,
    `own_like` and `away_like` linear similarities, `known` and `failed` dense points for learners that want them.
    """

    kind: str
    known: NDArray[Any]
    failed: NDArray[Any]
    own: NDArray[Any]
    away: NDArray[Any]
    among: NDArray[Any]
    own_like: NDArray[Any]
    away_like: NDArray[Any]


def view_of(known: Sequence[Any], failed: Sequence[Any], embedder: Embedder) -> View:
    """Place the inputs of n known examples and m failures; O((n + m) · n).

    Text is weighted n-grams on the unit sphere; records are robustly scaled numbers and indicators; pictures and
    vectors their principal components. An embedder plugin's own vectors are used as they come, scaled as one.
    """
    if embedder.name not in _BUILT_IN:
        both = np.asarray(embedder.embed([*known, *failed]), dtype=np.float64)
        return _dense("vector", both[: len(known)], both[len(known) :])
    if choose_embedder(known) == "text":
        return _of_texts([as_text(one) for one in known], [as_text(one) for one in failed])
    width = common_width(known)
    if width:
        return _dense("vector", *_reduced(numbers_of(known, width), numbers_of(failed, width)))
    records = [as_record(one) for one in known]
    return _dense("record", *_of_records(records, [as_record(one) for one in failed]))


def numbers_of(inputs: Sequence[Any], width: int) -> NDArray[Any]:
    """Lists of numbers as n × width; a missing, endless or unreadable one is NaN."""
    out = np.full((len(inputs), width), np.nan)
    for row, one in enumerate(inputs):
        flat = _flat(_with_gaps(one))
        if flat is not None and len(flat) == width:
            out[row] = flat
    out[~np.isfinite(out)] = np.nan
    return out


def _with_gaps(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if not {list, tuple, type(None)} & set(map(type, value)):
            return value  # nothing is missing
        return [_with_gaps(item) for item in value]
    return float("nan") if value is None else value


def common_width(inputs: Sequence[Any]) -> int:
    """The length of the vectors that most inputs are; 0 when most are something else."""
    lengths = Counter(len(flat) for one in inputs if (flat := _flat(_with_gaps(one))) is not None)
    width, n = lengths.most_common(1)[0] if lengths else (0, 0)
    return width if n * 2 > len(inputs) else 0


def _of_texts(known: Sequence[str], failed: Sequence[str]) -> View:
    from scipy.sparse import hstack
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.preprocessing import normalize

    words = HashingVectorizer(
        n_features=2**18, ngram_range=(1, 2), alternate_sign=False, norm=None, token_pattern=_WORD
    )
    letters = HashingVectorizer(
        n_features=2**18, analyzer="char_wb", ngram_range=(3, 4), alternate_sign=False, norm=None
    )
    parts: list[tuple[Any, Any]] = []
    for vectorizer, share in ((words, 1.0), (letters, 0.8)):
        a, b = vectorizer.transform(known), vectorizer.transform(failed)
        weigh = TfidfTransformer(sublinear_tf=True).fit(a)
        parts.append((weigh.transform(a) * share, weigh.transform(b) * share if len(failed) else b))
    a = normalize(hstack([one for one, _ in parts]).tocsr())
    b = normalize(hstack([one for _, one in parts]).tocsr())
    own_like = np.asarray((a @ a.T).todense())
    away_like = np.asarray((b @ a.T).todense())
    kept = np.flatnonzero(np.diff(a.tocsc().indptr) > 1)
    rank = min(_WIDTH, len(known) - 1, len(kept) - 1)
    if rank > 0:
        # Places for the learners that want few dimensions; they follow from the examples only.
        svd = TruncatedSVD(rank, random_state=0, n_iter=3).fit(a[:, kept])
        known_at, failed_at = svd.transform(a[:, kept]), svd.transform(b[:, kept])
    else:
        known_at, failed_at = np.zeros((len(known), 1)), np.zeros((len(failed), 1))
    return View(
        "text", known_at, failed_at, np.maximum(2 - 2 * own_like, 0), np.maximum(2 - 2 * away_like, 0),
        np.maximum(2 - 2 * np.asarray((b @ b.T).todense()), 0), own_like, away_like,
    )  # fmt: skip


def _reduced(known: NDArray[Any], failed: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Centred, scaled (pictures as one, short vectors by column), gaps at the centre, at most 64 components."""
    with np.errstate(all="ignore"):
        centre = np.nan_to_num(np.nanmean(known, axis=0))
        spread = np.nan_to_num(np.nanstd(known, axis=0))
    if known.shape[1] >= 16:
        spread = np.full(known.shape[1], max(float(np.sqrt(np.mean(spread**2))), 1e-12))
    spread = np.where(spread > 0, spread, 1.0)
    a, b = (np.clip(np.nan_to_num((x - centre) / spread), -_FAR, _FAR) for x in (known, failed))
    if known.shape[1] <= _WIDTH:
        return a, b
    _, _, axes = np.linalg.svd(a, full_matrices=False)
    return a @ axes[:_WIDTH].T, b @ axes[:_WIDTH].T


def _of_records(known: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers by median and spread, an indicator for each common value and for what is missing."""
    left: list[NDArray[Any]] = []
    right: list[NDArray[Any]] = []
    for key in sorted({key for one in known for key in one}):
        a, b = ([one.get(key) for one in these] for these in (known, failed))
        na, nb = numeric(a), numeric(b)
        seen = na[np.isfinite(na)]
        if len(seen) * 2 > sum(v is not None for v in a):
            middle = float(np.median(seen))
            low, high = np.quantile(seen, [0.1, 0.9])
            spread = max((high - low) / 2.56, 0.25 * float(seen.std()), 1e-9 * (1 + abs(middle)))
            for column, out in ((na, left), (nb, right)):
                out.append(np.clip(np.nan_to_num((column - middle) / spread), -_FAR, _FAR))
            if len(seen) < len(a) or not np.isfinite(nb).all():
                left.append(1.0 - np.isfinite(na))
                right.append(1.0 - np.isfinite(nb))
            continue
        words = Counter(str(v) for v in a if v is not None)
        for word in sorted(words, key=lambda w: (-words[w], w))[:30]:
            left.append(np.array([v is not None and str(v) == word for v in a]) * 1.4)
            right.append(np.array([v is not None and str(v) == word for v in b]) * 1.4)
    if not left:
        return np.zeros((len(known), 1)), np.zeros((len(failed), 1))
    first, second = np.column_stack(left), np.column_stack(right) if len(failed) else np.zeros((0, len(left)))
    centre = first.mean(axis=0)
    return first - centre, second - centre


def numeric(values: Sequence[Any]) -> NDArray[Any]:
    """Values as floats, NaN where they are none; true and false are 1 and 0."""
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values], dtype=np.float64)


def _dense(kind: str, known: NDArray[Any], failed: NDArray[Any]) -> View:
    size = max(float(np.mean(np.sum(known**2, axis=1))), 1e-12) if len(known) else 1.0
    a, b = known / np.sqrt(size), failed / np.sqrt(size)
    own_like, away_like = a @ a.T, b @ a.T
    norms = np.sum(a**2, axis=1)
    own = np.maximum(norms[:, None] + norms[None, :] - 2 * own_like, 0)
    far = np.sum(b**2, axis=1)
    away = np.maximum(far[:, None] + norms[None, :] - 2 * away_like, 0)
    among = np.maximum(far[:, None] + far[None, :] - 2 * b @ b.T, 0)
    return View(kind, a, b, own, away, among, own_like, away_like)
