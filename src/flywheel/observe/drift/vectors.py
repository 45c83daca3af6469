"""Vectors that moved: the witness of a kernel distance, found on one half and measured on the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.observe.drift.ebh import ebh
from flywheel.observe.drift.effect import Effect, Side, grown
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.records import Interval, Observation

__all__ = ["drawn_rows", "sides", "vector_shift", "witnessed"]

SAMPLE = 20_000
WAVES = 256
Array = np.ndarray[Any, Any]


def vector_shift(
    window: Seen, reference: Seen, *, minimum: float = 0.05, alpha: float = 0.05, seed: int = 0, sample: int = SAMPLE
) -> list[Observation]:
    """Whether `input_vector` (an embedding, an image, features) moved by more than `minimum`; one finding or none.

    On half of the days it finds the direction in which the two differ most, as the witness function of the maximum mean
    discrepancy (Gretton et al. 2012) on random Fourier features (Rahimi & Recht 2007), and the cut along it that
    separates them best; the other half says how many more vectors lie beyond the cut: a lower bound of the total
    variation distance, in the same units as every column. O(sample × (dimension + 256)).
    """
    if "input_vector" not in window.interactions.columns or "input_vector" not in reference.interactions.columns:
        return []
    now, before = _vectors(window, sample), _vectors(reference, sample)
    if now is None or before is None or now[1].shape[1] != before[1].shape[1]:
        return []
    effect = witnessed(before[0], before[1], now[0], now[1], minimum, seed)
    if not ebh([effect.e], alpha)[0]:
        return []
    gap = now[1].mean(axis=0) - before[1].mean(axis=0)
    spread = np.sqrt((before[1].var(axis=0)).mean()) or 1.0
    evidence = (
        f"the mean moved by {np.linalg.norm(gap) / (spread * np.sqrt(len(gap))):.2f} standard deviations a dimension",
        f"measured on {len(now[0]):,} and {len(before[0]):,} vectors of {len(gap)} numbers, drawn at random",
    )
    return [
        Observation(
            kind="shift",
            name="input_vector",
            line=f"input_vector: at least {effect.size:.0%} of the vectors ({effect.low:.0%} to {effect.high:.0%}) are "
            "where they were not before",
            effect=effect.size,
            interval=Interval(effect.size, effect.low, effect.high, effect.n),
            n=effect.n,
            evidence=evidence,
            query=query_of(lambda seen, told: _drawn(seen, sample / max(effect.n, 1)), window),
            chart={"kind": "bars", "x": ["beyond the cut"], "y": [effect.size], "mark": [0.0]},
        )
    ]


def witnessed(old_at: Array, old: Array, new_at: Array, new: Array, minimum: float, seed: int) -> Effect:
    """The kernel witness test of two samples of vectors (n × d), with the times of their rows (seconds)."""
    rng = np.random.default_rng(seed)
    center, scale = old.mean(axis=0), old.std(axis=0)
    scale[scale == 0] = 1.0
    old, new = (old - center) / scale, (new - center) / scale
    pick = old[rng.permutation(len(old))[:500]]
    gaps = ((pick[:, None, :] - pick[None, : min(100, len(pick)), :]) ** 2).sum(axis=2)
    width = np.sqrt(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    waves = rng.normal(size=(old.shape[1], WAVES)) / width
    phase = rng.uniform(0, 2 * np.pi, WAVES)
    return separated(old_at, np.cos(old @ waves + phase), new_at, np.cos(new @ waves + phase), minimum, _witness)


def separated(old_at: Array, old: Any, new_at: Array, new: Any, minimum: float, fit: Any) -> Effect:
    """Test two samples by scores: `fit(old, new)` on one half gives a scoring function, whose best cut on that half is
    measured on the other."""
    reference, of_old = sides(old_at)
    window, of_new = sides(new_at)
    half_old, half_new = reference.halves()[of_old], window.halves()[of_new]
    inside = [np.zeros((2, len(reference.start))), np.zeros((2, len(window.start)))]
    for half in (0, 1):
        train_old, train_new = half_old != half, half_new != half
        if not (train_old.any() and train_new.any()):
            continue
        score = fit(old[train_old], new[train_new])
        scores_old, scores_new = score(old), score(new)
        cut = best_cut(scores_old[train_old], scores_new[train_new])
        inside[0][half] = np.bincount(of_old, scores_old > cut, len(reference.start))
        inside[1][half] = np.bincount(of_new, scores_new > cut, len(window.start))
    return grown(reference, window, inside[0], inside[1], minimum)


def _witness(old: Array, new: Array) -> Any:
    direction = new.mean(axis=0) - old.mean(axis=0)
    return lambda rows: rows @ direction


def best_cut(old: Array, new: Array) -> float:
    """The score above which the window has most more of its rows than the reference."""
    scores = np.concatenate([old, new])
    order = np.argsort(scores, kind="stable")
    step = np.concatenate([np.full(len(old), -1 / len(old)), np.full(len(new), 1 / len(new))])[order]
    growth = step.sum() - np.cumsum(step)
    last = np.append(np.diff(scores[order]) > 0, True)  # between equal scores there is no cut
    growth[~last] = -np.inf
    return float(scores[order][int(np.argmax(growth))])


def sides(at: Array, blocks: int = 128) -> tuple[Side, Array]:
    """Rows of a sample in time order gathered into blocks: an hour each, or as many even runs as `blocks`.

    Gives the side (one cell: all rows) and each row's block.
    """
    span = float(at.max() - at.min()) if len(at) else 0.0
    width = next((w for w in (3600, 1800, 600, 300, 60, 30, 10, 5, 1) if span >= 96 * w), None)
    if width is not None:
        start, of = np.unique(at // width, return_inverse=True)
        return Side(np.bincount(of)[:, None], start * width), of
    of = np.empty(len(at), np.int64)
    of[np.argsort(at, kind="stable")] = np.arange(len(at)) * min(blocks, max(len(at), 1)) // max(len(at), 1)
    counts = np.bincount(of)
    return Side(counts[:, None], np.full(len(counts), np.nan)), of


def drawn_rows(seen: Seen, columns: tuple[str, ...], sample: int, where: Any = None) -> pa.Table:
    """About `sample` interactions drawn by `rand`, in the order of the log, with `seconds` and these columns."""
    table = seen.interactions
    if where is not None:
        table = table.filter(where(table))
    n = int(table.count().to_pyarrow().as_py())
    if n > sample:
        table = table.filter(table.rand < sample / n)
    order = [name for name in ("seq", "at") if name in table.columns]
    chosen = table.select(*dict.fromkeys(["at", *order, *columns]))
    found = chosen.order_by(order).to_pyarrow()
    at = found["at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() / 1e6
    return found.append_column("seconds", pa.array(at))


def _drawn(seen: Any, share: float) -> Any:
    held = seen.filter(seen.input_vector.notnull())
    if share < 1:
        held = held.filter(held.rand < share)
    return held.select("id", "at", "input_vector")


def _vectors(seen: Seen, sample: int) -> tuple[Array, Array] | None:
    found = drawn_rows(seen, ("input_vector",), sample, lambda t: t.input_vector.notnull())
    if found.num_rows < 20:
        return None
    lists = found["input_vector"].combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy())
    usual = int(np.bincount(lengths).argmax())
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(float)
    starts = (np.cumsum(lengths) - lengths)[lengths == usual]
    rows = flat[starts[:, None] + np.arange(usual)]
    at = found["seconds"].to_numpy()[lengths == usual]
    good = np.isfinite(rows).all(axis=1)
    return (at[good], rows[good]) if good.sum() >= 20 else None
