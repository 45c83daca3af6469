"""Templates that are new, gone, or come more or less often than in an earlier part of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from flywheel.observe.templates.counts import Mined, moment
from flywheel.records import Interval, Observation

__all__ = ["changes", "family_of"]

Array = np.ndarray[Any, Any]

BLOCKS = 20
FACTOR = 2.0
"""Templates that were there before are shown when they come at least so many times as often, or as seldom."""
_LEAST_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class _Rates:
    before: Array
    now: Array
    busy: Array
    spread: Array


def changes(log: Mined, cut: int, alpha: float) -> list[Observation]:
    """Hold the windows from number `cut` on against those before.

    A template's occurrences are the windows it is in; its lines, where it is in more than half of them. Given how many
    there are in all, those in the later part are binomial when nothing changed; counts are divided by their dispersion
    over twenty blocks of the earlier part (quasi-Poisson, Wedderburn 1974), because log lines come in bursts. A
    template that is new takes the upper quartile of the dispersions of the others. Family-wise error `alpha` over all
    templates whose number of occurrences could show anything (Tarone 1990).
    """
    later = log.windows - cut
    if cut < _LEAST_WINDOWS or later < 1:
        return []
    rates = _rates(log, cut)
    share = later / log.windows
    k0, k1 = rates.before / rates.spread, rates.now / rates.spread
    with np.errstate(invalid="ignore"):
        up = np.where(k1 > 0, special.betainc(np.maximum(k1, 1e-12), k0 + 1, share), 1.0)
        down = np.where(k0 > 0, 1 - special.betainc(k1 + 1, np.maximum(k0, 1e-12), share), 1.0)
    p = np.minimum(1.0, 2 * np.minimum(up, down))
    least = 2 * np.minimum(share ** (k0 + k1), (1 - share) ** (k0 + k1))
    tests = family_of(least[rates.before + rates.now > 0], alpha)
    size, error = _size(rates, cut, later)
    shown = (p * tests <= alpha) & (
        (rates.before == 0) | (rates.now == 0) | (np.abs(size) >= np.log2(FACTOR))
    )  # one half and twice are one doubling
    order = sorted(np.flatnonzero(shown).tolist(), key=lambda one: (p[one], one))
    return [_finding(log, one, cut, rates, size[one], error[one], float(p[one] * tests)) for one in order]


def family_of(least: Array, alpha: float) -> int:
    """How many tests to correct for: those whose least attainable p could pass the correction (Tarone 1990).

    >>> family_of(np.array([0.5, 0.5, 0.001]), 0.05)
    1
    """
    for tests in range(1, len(least) + 1):
        if (least <= alpha / tests).sum() <= tests:
            return tests
    return max(len(least), 1)


def _rates(log: Mined, cut: int) -> _Rates:
    n = len(log.texts)
    cells, lines = np.unique(log.ids * log.windows + log.window, return_counts=True)
    template, window = cells // log.windows, cells % log.windows
    there = np.bincount(template[window < cut], minlength=n)
    busy = there * 2 > cut
    weight = np.where(busy[template], lines, 1).astype(float)
    block = np.minimum(window * BLOCKS // cut, BLOCKS)  # the last one is what came later
    table = np.bincount(template * (BLOCKS + 1) + block, weight, minlength=n * (BLOCKS + 1)).reshape(n, BLOCKS + 1)
    before, now = table[:, :BLOCKS], table[:, BLOCKS]
    mean = before.mean(axis=1)
    own = np.divide(before.var(axis=1, ddof=1), mean, out=np.ones(n), where=mean > 0)
    steady = np.maximum(own, 1.0)
    enough = before.sum(axis=1) >= 5
    pooled = max(1.0, float(np.quantile(steady[enough & ~busy], 0.75))) if (enough & ~busy).any() else 1.0
    sure = np.minimum(before.sum(axis=1) / 20.0, 1.0)  # few occurrences say little about their own dispersion
    spread = np.where(busy, steady, np.maximum(sure * steady + (1 - sure) * np.maximum(pooled, steady), 1.0))
    return _Rates(before.sum(axis=1), now, busy, spread)


def _size(rates: _Rates, cut: int, later: int) -> tuple[Array, Array]:
    """Doublings of the rate, and their standard error."""
    size = np.log2((rates.now + 0.5) / later) - np.log2((rates.before + 0.5) / cut)
    error = np.sqrt(rates.spread / (rates.now + 0.5) + rates.spread / (rates.before + 0.5)) / np.log(2)
    return size, error


def _finding(log: Mined, one: int, cut: int, rates: _Rates, size: float, error: float, p: float) -> Observation:
    mine = log.ids == one
    at, now = log.at[mine], log.window[mine] >= cut
    since = log.first + cut * log.step
    old, new = int((~now).sum()), int(now.sum())
    text = log.texts[one]
    begun = moment(int(at[now][0])) if new else moment(since)
    if not old:
        what, line = "new", f"New log template: “{text}”, {new:,} lines since {begun:%Y-%m-%d %H:%M}, none before"
    elif not new:
        last = moment(int(at[-1]))
        what, line = "vanished", f"No longer logged: “{text}”, {old:,} lines until {last:%Y-%m-%d %H:%M}, none since"
        begun = last
    else:
        what = "more often" if size > 0 else "less often"
        unit = "lines" if rates.busy[one] else "windows"
        times = f"{2 ** abs(size):.1f} times as {'many' if size > 0 else 'few'} {unit}"
        line = f"Log template in {times} as before: “{text}”, {new:,} lines since {moment(since):%Y-%m-%d %H:%M}"
    half = float(stats.norm.ppf(0.975)) * error
    unit = "lines" if rates.busy[one] else "windows with it"
    evidence = (
        f"{rates.now[one]:,.0f} {unit} in the later {log.windows - cut:,} windows, "
        f"{rates.before[one]:,.0f} in the {cut:,} before",
        f"its rate changed by {size:+.1f} doublings, 95 % interval {size - half:+.1f} to {size + half:+.1f}",
        f"p = {p:.2g} after correction for all templates; counts taken as {rates.spread[one]:.1f} times "
        "as uneven as chance makes them",
    )
    return Observation(
        kind="template", name=f"{what}: {text[:120]}", line=line, value=float(rates.now[one]),
        reference=float(rates.before[one]), effect=float(size),
        interval=Interval(float(size), float(size - half), float(size + half), old + new), n=old + new,
        since=begun, until=moment(int(log.at[-1])), evidence=evidence, chart=log.bars(one, since),
    )  # fmt: skip
