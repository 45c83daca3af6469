"""Steps that a trace did not take before: one template after another, a trace that ends early."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from flywheel.observe.series import wilson
from flywheel.observe.templates.changes import family_of
from flywheel.observe.templates.counts import Mined, moment
from flywheel.records import Interval, Observation

__all__ = ["unusual"]

Array = np.ndarray[Any, Any]

LEAST_BEFORE = 20
"""A template must have been in so many earlier traces before what follows it can be called unusual."""
MOST_SHOWN = 10
START, END = -1, -2


def unusual(log: Mined, cut: int, alpha: float) -> list[Observation]:
    """Steps from one template to the next that traces take more often from window `cut` on.

    A first-order Markov model of each trace's lines, with a beginning and an end; a log of which less than half the
    lines have a trace id is a mixture of processes, and has none. For each step, the traces that took it among those
    that had its first template, now and before: Fisher's exact test, corrected for all steps that could show anything
    (Tarone 1990). Each trace counts once a step. Steps to templates that are new are left to `changes`; traces that the
    log's own edges may have cut off are left out.
    """
    if not len(log.at) or (log.trace >= 0).mean() <= 0.5:
        return []
    group, ids, part = _grouped(log, cut)
    if not len(group):
        return []
    order = np.argsort(group, kind="stable")
    group, ids, part = group[order], ids[order], part[order]
    steps = _steps(group, ids, part)
    known = np.unique(ids[part == 0])
    rows = _tested(steps, known)
    tests = family_of(np.array([row[-1] for row in rows]), alpha)
    shown = sorted((row for row in rows if row[4] * tests <= alpha), key=lambda row: (row[4], row[0], row[1]))
    return [_finding(log, row, tests, cut) for row in shown[:MOST_SHOWN]]


def _grouped(log: Mined, cut: int) -> tuple[Array, Array, Array]:
    """For each line of a whole trace: its trace, its template, and 0 (before) or 1 (now)."""
    kept = log.trace >= 0
    group, ids, at, window = log.trace[kept], log.ids[kept], log.at[kept], log.window[kept]
    n = len(log.names)
    first, last, part = np.full(n, at[-1]), np.full(n, at[0]), np.full(n, log.windows)
    np.minimum.at(first, group, at)
    np.maximum.at(last, group, at)
    np.minimum.at(part, group, window)
    margin = np.quantile(last - first, 0.95)
    whole = (first >= at[0] + margin) & (last <= at[-1] - margin)
    inside = whole[group]
    return group[inside], ids[inside], (part >= cut).astype(int)[group][inside]


def _steps(group: Array, ids: Array, part: Array) -> Array:
    """Distinct (trace, from, to, part), lines in order within each trace."""
    same = group[1:] == group[:-1]
    ends, starts = np.flatnonzero(np.append(~same, True)), np.flatnonzero(np.append(True, ~same))
    pairs = [
        np.stack([group[:-1], ids[:-1], ids[1:], part[:-1]])[:, same],
        np.stack([group[ends], ids[ends], np.full(len(ends), END), part[ends]]),
        np.stack([group[starts], np.full(len(starts), START), ids[starts], part[starts]]),
    ]
    return np.unique(np.concatenate(pairs, axis=1), axis=1)


def _tested(steps: Array, known: Array) -> list[tuple[int, int, Array, Array, float, float]]:
    """(from, to, traces that took it, traces that had the first, p, least p) of each step that is taken now."""
    having = np.unique(steps[[0, 1, 3]], axis=1)
    had: dict[int, Array] = {}
    for one in np.unique(having[1]).tolist():
        had[one] = np.bincount(having[2][having[1] == one], minlength=2)
    cells, counts = np.unique(steps[1:], axis=1, return_counts=True)
    took: dict[tuple[int, int], Array] = {}
    for (one, other, part), n in zip(cells.T.tolist(), counts.tolist(), strict=True):
        took.setdefault((one, other), np.zeros(2, int))[part] += n
    familiar = {START, END, *known.tolist()}
    rows = []
    for (one, other), c in sorted(took.items()):
        n = had[one]
        if not c[1] or n[0] < LEAST_BEFORE or other not in familiar:
            continue
        whole, hits = int(n.sum()), int(c.sum())
        p = float(stats.hypergeom.sf(c[1] - 1, whole, hits, n[1]))
        least = float(stats.hypergeom.sf(min(hits, n[1]) - 1, whole, hits, n[1]))
        rows.append((one, other, c, n, p, least))
    return rows


def _finding(log: Mined, row: tuple[int, int, Array, Array, float, float], tests: int, cut: int) -> Observation:
    one, other, c, n, p, _ = row
    old, new = c[0] / n[0], c[1] / n[1]
    (low0, high0), (low1, high1) = wilson(old, float(n[0])), wilson(new, float(n[1]))
    gap = new - old
    low = gap - float(np.hypot(new - low1, high0 - old))  # Newcombe 1998, method 10
    high = gap + float(np.hypot(high1 - new, old - low0))
    unit = "traces"
    first = "they begin" if one == START else f"“{log.texts[one]}”"
    then = "they end" if other == END else f"“{log.texts[other]}” follows"
    when = "as " if one == START else "after "
    line = f"Unusual sequence: {when}{first}, {then} in {new:.0%} of {n[1]:,} {unit}, {old:.1%} before"
    since = log.first + cut * log.step
    shown = other if one == START else one
    return Observation(
        kind="template",
        name=f"sequence: {first[:60]} → {then[:60]}",
        line=line,
        value=float(new),
        reference=float(old),
        effect=float(gap),
        interval=Interval(float(gap), low, high, int(n.sum())),
        n=int(n.sum()),
        since=moment(since),
        until=moment(int(log.at[-1])),
        evidence=(
            f"{c[1]:,} of {n[1]:,} {unit} now, {c[0]:,} of {n[0]:,} before",
            f"difference {gap:+.1%}, 95 % interval {low:+.1%} to {high:+.1%}",
            f"p = {min(1.0, p * tests):.2g} by Fisher's exact test, after correction for {tests:,} steps",
        ),
        chart=log.bars(shown, since),
    )
