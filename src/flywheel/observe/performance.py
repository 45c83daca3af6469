"""How often is the product right, for everybody and for each group, before anybody has said so?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from flywheel.observe.bets import Floats
from flywheel.observe.expected import Assessment, PerformanceEstimator
from flywheel.observe.judged import judged
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Cut, Seen, column_of, within
from flywheel.records import Interval, Observation, Slice

__all__ = ["Assessment", "PerformanceEstimator", "estimate"]

_ROWS = 50_000
_MOST_COLUMNS, _MOST_VALUES = 40, 30
_FEWEST_ALL, _FEWEST = 100, 200
_GROUPS = 12
_NEW_VERSION = 0.10


def estimate(
    window: Seen,
    reference: Seen | None,
    *,
    by: Sequence[str] = (),
    seed: int = 0,
    tolerance: float = 0.005,
    alpha: float = 0.001,
) -> list[Observation]:
    """Estimate the share of right answers in `window` from confidence, and check it on labels where there are some.

    The calibration is learnt from the trusted labels of `reference`, a window before; without one, or with fewer than
    100 labels that come with a confidence, nothing can be said and the answer is empty. For each column in `by`
    (`device`, `context.device` …) the estimate is repeated for its most frequent values, each with a calibration of its
    own, where `reference` has 200 judged answers of it; a group is held against its own past.

    Observations are of kind `performance`, named `accuracy`. One alarms when accuracy is under the reference's by more
    than `tolerance`, as sure as `alpha` (shared out among the groups), and the estimate's assumptions hold, or labels
    say so. Where they do not hold and no labels help, the line says why, and `chart["valid"]` is false. Scans both
    windows in the engine; at most 50,000 rows of each are looked at in detail.
    """
    if reference is None or not _can(window) or not _can(reference):
        return []
    found: list[Observation] = []
    groups = [None, *_groups(window, by)]
    for group in groups:
        rows = _read(window, reference, group)
        if rows is None:
            continue
        if rows.scores.size < (_FEWEST_ALL if group is None else _FEWEST):
            continue
        own = PerformanceEstimator.fit(rows.scores, rows.right, rows.features, weight=rows.weight, seed=seed)
        level = 1 - 2 * alpha / len(groups)
        told = own.assess(rows.now, rows.now_features, labelled=rows.labelled, total=rows.total)
        if rows.unknown_version > _NEW_VERSION:
            why = f"{rows.unknown_version:.0%} of the answers come from a version that was never judged before"
            told = replace(told, valid=False, reasons=(*told.reasons, why))
        found.append(_finding(window, own, told, group, rows.total, tolerance, level))
    return found


@dataclass(frozen=True, slots=True)
class _Rows:
    scores: Floats
    right: Floats
    weight: Floats
    features: Floats
    now: Floats
    now_features: Floats | None
    labelled: tuple[Floats, Floats, Floats]
    total: int
    unknown_version: float


def _can(seen: Seen) -> bool:
    return {"source", "value", "propensity"} <= set(seen.feedback.columns)


def _groups(window: Seen, by: Sequence[str]) -> list[tuple[str, Any]]:
    """The most frequent values of the columns asked for."""
    found: list[tuple[str, Any]] = []
    for name in by:
        column = column_of(window.interactions, name)
        table = window.interactions.filter(window.interactions[column].notnull())
        counts = table.group_by(column).aggregate(n=table.count())
        top = counts.filter(counts.n >= _FEWEST).order_by([counts.n.desc(), counts[column]]).limit(_GROUPS)
        found += [(column, value) for value in top.to_pyarrow().column(column).to_pylist()]
    return found


def _read(window: Seen, reference: Seen, group: tuple[str, Any] | None) -> _Rows | None:
    """Judged answers of the reference, and answers and labels of the window, as arrays in order of time."""
    where = {} if group is None else {group[0]: group[1]}
    now, before = within(window, where), within(reference, where)
    versions = _versions(now, before)
    names = _columns(now.interactions, before.interactions, group)
    told = judged(before, columns=("confidence", *names, *_if_there(before.interactions)))
    old = _sample(told.filter(told.confidence.notnull()))
    table = now.interactions.filter(now.interactions.confidence.notnull())
    total = int(table.count().to_pyarrow().as_py())
    if not total:
        return None
    new = _sample(table.select("at", "confidence", *names, *_if_there(table)))
    labels = judged(now, columns=("confidence", *_if_there(now.interactions)))
    fresh = _sample(labels.filter(labels.confidence.notnull()))
    features, now_features = _numbers(old, new, names)
    labelled = (_floats(fresh, "confidence"), 1 - _floats(fresh, "wrong"), _floats(fresh, "weight"))
    return _Rows(
        scores=_floats(old, "confidence"),
        right=1 - _floats(old, "wrong"),
        weight=_floats(old, "weight"),
        features=features,
        now=_floats(new, "confidence"),
        now_features=now_features if names else None,
        labelled=labelled,
        total=total,
        unknown_version=versions,
    )


def _if_there(table: Any) -> tuple[str, ...]:
    return ("rand",) if "rand" in table.columns else ()


def _sample(table: Any) -> Any:
    """At most about 50,000 rows, by their permanent random number, in order of time."""
    if "rand" in table.columns:
        n = int(table.count().to_pyarrow().as_py())
        if n > _ROWS:
            table = table.filter(table.rand < _ROWS / n)
    return table.order_by("at").to_pyarrow()


def _columns(now: Any, before: Any, group: tuple[str, Any] | None) -> tuple[str, ...]:
    """Scalar context and input columns that both windows have, and the group does not fix."""
    both = [c for c in now.columns if c.startswith(("context.", "input.")) and c in before.columns]
    return tuple(c for c in both if group is None or c != group[0])[:_MOST_COLUMNS]


def _versions(now: Seen, before: Seen) -> float:
    """The share of the window's answers by versions without a judged answer before."""
    if "model" not in now.interactions.columns or "model" not in before.interactions.columns:
        return 0.0
    told = judged(before, columns=("model",))
    known = told.select("model").distinct().to_pyarrow().column("model").to_pylist()
    table = now.interactions
    kinds = table.group_by("model").aggregate(n=table.count()).to_pyarrow().to_pylist()
    every = sum(row["n"] for row in kinds)
    return sum(row["n"] for row in kinds if row["model"] not in known) / every if every else 0.0


def _floats(table: Any, name: str) -> Floats:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _numbers(old: Any, new: Any, names: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Columns as numbers: text by the rank of its frequency, the 30 most frequent values told apart."""
    sides: tuple[list[Floats], list[Floats]] = ([], [])
    for name in names:
        parts = [table.column(name) for table in (old, new)]
        if str(parts[0].type) in ("double", "float", "int64", "bool"):
            for side, part in zip(sides, parts, strict=True):
                side.append(np.asarray(part.cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64))
            continue
        values, counts = np.unique(
            [str(v) for part in parts for v in part.to_pylist() if v is not None], return_counts=True
        )
        ranks = {values[k]: float(rank) for rank, k in enumerate(np.argsort(-counts, kind="stable")[:_MOST_VALUES])}
        for side, part in zip(sides, parts, strict=True):
            side.append(
                np.array(
                    [np.nan if v is None else ranks.get(str(v), float(_MOST_VALUES)) for v in part.to_pylist()],
                    dtype=np.float64,
                )
            )
    empty = [np.empty((table.num_rows, 0)) for table in (old, new)]
    first, second = (np.column_stack(s) if s else e for s, e in zip(sides, empty, strict=True))
    return first, second


def _finding(
    window: Seen,
    known: PerformanceEstimator,
    told: Assessment,
    group: tuple[str, Any] | None,
    total: int,
    tolerance: float,
    level: float,
) -> Observation:
    before, now = known.accuracy, told.accuracy
    base = float(np.sqrt(max(before * (1 - before), 1e-9) / max(told.effective, 1.0)))
    trusted = told.valid or told.labels > 0
    error = float(np.hypot(told.error, base))
    change = now.estimate - before
    reach = 1.959964 * error
    z = float(stats.norm.ppf(0.5 + level / 2))
    hurts = trusted and change + z * error < -tolerance
    if told.labels and told.valid and not hurts:
        alone = told.expected.estimate - before
        wide = float(np.hypot((told.expected.high - told.expected.low) / 3.92, base))
        hurts = alone + z * wide < -tolerance
    whom = "" if group is None else f" where {Slice(((_short(group[0]), group[1]),))}"
    span = f"{now.estimate:.1%} ({now.low:.1%} to {now.high:.1%}) of {total:,} answers{whom} are right"
    basis = f"by confidence and {told.labels:,} labels" if told.labels else "by confidence alone"
    if trusted:
        line = f"{span}, {basis}; {before:.1%} before" + (": a fall that hurts" if hurts else "")
    else:
        line = f"No estimate without labels{whom} that could be trusted: {'; '.join(told.reasons)}"
    return Observation(
        kind="performance",
        name="accuracy",
        line=line,
        value=now.estimate if trusted else None,
        reference=before,
        effect=change if trusted else None,
        interval=Interval(change, change - reach, change + reach, total) if trusted else None,
        n=total,
        alarm=hurts,
        where=None if group is None else Slice(((_short(group[0]), group[1]),)),
        evidence=_evidence(told),
        query=query_of(lambda seen, feedback: _confidences(seen, feedback, group), window),
        chart=_chart(known, told),
    )


def _short(column: str) -> str:
    return column.split(".", 1)[1] if column.startswith(("context.", "input.")) else column


def _evidence(told: Assessment) -> tuple[str, ...]:
    alone = told.expected
    say = [
        f"By confidence alone {alone.estimate:.1%} ({alone.low:.1%} to {alone.high:.1%}) are right, "
        + ("calibrated on" if told.method.startswith("confidence") else "calibrated for this mix of inputs, worth")
        + f" {told.effective:,.0f} judged answers"
    ]
    if told.separation is not None:
        say.append(
            f"Inputs of now and before can be told apart with an area of {told.separation:.2f}; 0.5 is not at all"
        )
    if told.gap is not None:
        say.append(
            f"{told.labels:,} labels differ from that by {told.gap.estimate:+.1%} "
            f"({told.gap.low:+.1%} to {told.gap.high:+.1%})"
        )
    say += [f"The estimate without labels does not hold: {why}" for why in told.reasons]
    return tuple(say)


def _chart(known: PerformanceEstimator, told: Assessment) -> dict[str, Any]:
    rows = [("before", Interval(known.accuracy, known.accuracy, known.accuracy)), ("by confidence", told.expected)]
    if told.labels:
        rows.append(("with labels", told.accuracy))
    return {
        "kind": "interval",
        "x": [name for name, _ in rows],
        "y": [round(one.estimate, 6) for _, one in rows],
        "low": [round(one.low, 6) for _, one in rows],
        "high": [round(one.high, 6) for _, one in rows],
        "valid": told.valid,
    }


def _confidences(seen: Any, feedback: Any, group: tuple[str, Any] | None) -> Any:
    """How many answers had which confidence, in twentieths."""
    cut = within(Cut(seen, feedback), {} if group is None else {group[0]: group[1]}).interactions
    cut = cut.filter(cut.confidence.notnull())
    step = (cut.confidence * 20).floor() / 20
    return cut.group_by(confidence=step).aggregate(n=cut.count()).order_by("confidence")
