"""Can a classifier tell the window from the reference, and by what? Sees moves that no column shows by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from scipy import stats

from flywheel.observe.drift.counting import columns_of
from flywheel.observe.drift.derived import value_of
from flywheel.observe.drift.ebh import ebh, evalue
from flywheel.observe.drift.effect import long_run
from flywheel.observe.drift.sketch import Column
from flywheel.observe.drift.vectors import drawn_rows, sides
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Cut, Seen
from flywheel.records import Interval, Observation

__all__ = ["auc_of", "classifier_two_sample"]

Array = np.ndarray[Any, Any]
MINIMUM = 0.55
"""Of a window's and a reference's row, the classifier must tell which is which more than 55 times in 100."""
NAMED = 5
FEWEST = 100


def classifier_two_sample(
    window: Seen,
    reference: Seen,
    *,
    sample: int = 20_000,
    seed: int = 0,
    minimum: float = MINIMUM,
    alpha: float = 0.05,
    columns: Sequence[str] | None = None,
) -> list[Observation]:
    """Whether the rows of a window can be told from those of the reference, and the columns by which; one finding or
    none.

    A gradient-boosted classifier (Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR 2017) learns on
    every other day to tell the two apart, and is measured on the days between: the effect is how far its AUC lies above
    one half (0 alike, 0.5 apart), tested against `minimum` with chance taken from how days and hours differ. What moved
    is named by how much AUC is lost when a column's values are shuffled, alone and beside what that column can tell by
    itself: two columns that only moved together are told so. Season is not matched: compare whole days or weeks. About
    `sample` rows of each are drawn by `rand`. O(sample × columns).
    """
    table = reference.interactions
    chosen = columns_of(table, columns)
    if not chosen:
        return []
    old, new = (_rows(seen, chosen, sample) for seen in (reference, window))
    if old.num_rows < FEWEST or new.num_rows < FEWEST:
        return []
    at = [rows["seconds"].to_numpy() for rows in (old, new)]
    coded = [np.column_stack([_coded(rows[f"v{k}"], c) for k, c in enumerate(chosen)]) for rows in (old, new)]
    kinds = [c.kind == "category" for c in chosen]
    trial = _Trial(at[0], coded[0], at[1], coded[1], kinds, seed)
    area, low, high, p = auc_of(at[0], trial.old, at[1], trial.new, minimum)
    if not ebh([evalue(p)], alpha)[0]:
        return []
    lost = trial.lost()
    order = [int(k) for k in np.argsort(-lost, kind="stable")[:NAMED] if lost[k] >= 0.005]
    alone = [trial.alone(k) for k in order]
    names = [chosen[k].name for k in order]
    evidence = [
        f"{name}: shuffled, {lost[k]:.3f} of the AUC is lost; alone it gives {single:.2f}"
        for name, k, single in zip(names, order, alone, strict=True)
    ]
    hidden = [name for name, single in zip(names, alone, strict=True) if single < MINIMUM]
    if len(hidden) > 1:
        evidence.insert(0, f"{' and '.join(hidden)} moved together: none of them shows it alone")
    return [
        Observation(
            kind="shift",
            name="joint",
            line=f"A classifier tells {area:.0%} of the window's rows from the reference's ({low:.0%} to {high:.0%}; "
            f"50% is chance), by {', '.join(names) or 'no single column'}",
            value=area,
            reference=0.5,
            effect=area - 0.5,
            interval=Interval(area - 0.5, low - 0.5, high - 0.5, len(trial.new)),
            n=len(trial.new),
            evidence=tuple(evidence),
            query=query_of(lambda seen, told: _drawn(seen, chosen), window),
            chart={"kind": "bars", "x": names, "y": [round(float(lost[k]), 5) for k in order]},
        )
    ]


def auc_of(old_at: Array, old: Array, new_at: Array, new: Array, minimum: float) -> tuple[float, float, float, float]:
    """AUC of scores (high means window), its 95 % interval, and the p-value of "at most `minimum`".

    Chance is that of the rows' placement values (DeLong, DeLong & Clarke-Pearson 1988), summed over blocks of time.
    O(n log n).
    """
    ranked = stats.rankdata(np.concatenate([old, new]))
    below_new = (ranked[len(old) :] - stats.rankdata(new)) / len(old)
    above_old = 1 - (ranked[: len(old)] - stats.rankdata(old)) / len(new)
    area = float(below_new.mean())
    parts = []
    for at, placed in ((old_at, above_old), (new_at, below_new)):
        side, of = sides(at)
        sums = np.bincount(of, placed - placed.mean(), len(side.start)) / len(placed)
        parts.append(long_run(sums))
    variance = sum(part[0] for part in parts)
    freedom = min(part[1] for part in parts)
    if freedom < 1 or not math.isfinite(variance):
        return area, 0.0, 1.0, 1.0
    error = max(math.sqrt(variance), 1e-9)
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p = float(stats.t.sf((area - minimum) / error, freedom))
    return area, max(area - reach, 0.0), min(area + reach, 1.0), p


class _Trial:
    """The classifiers of both halves, and their scores on rows they have not seen."""

    def __init__(self, old_at: Array, old: Array, new_at: Array, new: Array, kinds: list[bool], seed: int) -> None:
        self._rows = np.concatenate([old, new])
        self._is_new = np.repeat([False, True], [len(old), len(new)])
        self._half = np.concatenate([_halves(old_at), _halves(new_at)])
        self._kinds, self._seed = kinds, seed
        self._models = [self._fit(self._half != half, self._rows, kinds) for half in (0, 1)]
        scores = self._scored(self._rows)
        self.old, self.new = scores[~self._is_new], scores[self._is_new]

    def _fit(self, chosen: Array, rows: Array, kinds: list[bool]) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        if len(np.unique(self._is_new[chosen])) < 2:
            return None
        weight = np.where(self._is_new, 1 / self._is_new.sum(), 1 / (~self._is_new).sum()) * len(rows) / 2
        model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=15, min_samples_leaf=40, categorical_features=kinds, random_state=self._seed
        )
        return model.fit(rows[chosen], self._is_new[chosen], sample_weight=weight[chosen])

    def _scored(self, rows: Array, models: list[Any] | None = None) -> Array:
        scores = np.full(len(rows), 0.5)
        for half, model in enumerate(models or self._models):
            here = self._half == half
            if model is not None and here.any():
                scores[here] = model.decision_function(rows[here])
        return scores

    def _area(self, scores: Array) -> float:
        ranks = stats.rankdata(scores)
        n = int(self._is_new.sum())
        return float((ranks[self._is_new].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))

    def lost(self) -> Array:
        """AUC lost on unseen rows when the values of each column are shuffled (Breiman 2001)."""
        rng = np.random.default_rng(self._seed)
        whole = self._area(self._scored(self._rows))
        out = np.zeros(self._rows.shape[1])
        for column in range(len(out)):
            mixed = self._rows.copy()
            mixed[:, column] = rng.permutation(mixed[:, column])
            out[column] = whole - self._area(self._scored(mixed))
        return out

    def alone(self, column: int) -> float:
        """AUC of the same classifiers given this column only."""
        rows = self._rows[:, [column]]
        models = [self._fit(self._half != half, rows, [self._kinds[column]]) for half in (0, 1)]
        return self._area(self._scored(rows, models))


def _halves(at: Array) -> Array:
    side, of = sides(at)
    return np.asarray(side.halves()[of])


def _drawn(seen: Any, chosen: Sequence[Column]) -> Any:
    values = {column.name: value_of(seen, column.name, column.kind) for column in chosen}
    return seen.select("at", "rand", **{name: value for name, value in values.items() if value is not None})


def _rows(seen: Seen, chosen: Sequence[Column], sample: int) -> pa.Table:
    table = seen.interactions
    values = {}
    for place, column in enumerate(chosen):
        value = value_of(table, column.name, column.kind)
        nothing = ibis.null("float64" if column.kind == "number" else "string")
        values[f"v{place}"] = nothing if value is None else value
    return drawn_rows(Cut(table.mutate(**values), seen.feedback), tuple(values), sample)


def _coded(values: Any, column: Column) -> Array:
    """Numbers as they are, categories as their place in the reference's list (others last); NaN for null."""
    if column.kind == "number":
        found = values.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float)
        return np.where(np.isfinite(found), found, np.nan)
    at = {label: float(place) for place, label in enumerate(column.labels)}
    return np.array([np.nan if v is None else at.get(v, float(len(at))) for v in values.to_pylist()])
