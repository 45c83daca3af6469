"""Edge cases: novel, extreme or rare inputs among those looked at, the riskiest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flywheel.records import EdgeCase, Failure, Interaction

__all__ = ["edge_cases"]

NOVEL = 0.99
"""Farther from the training data than this share of it lies from itself."""
EXTREME = 6.0
"""Robust standard deviations from the median."""
RARE = 0.01
"""A context value that at most this share of the cases has."""


def edge_cases(
    found: Sequence[Failure | Interaction],
    novelty: Mapping[str, float],
    p_failure: Mapping[str, float],
    *,
    limit: int = 100,
) -> list[EdgeCase]:
    """Pick the edge cases out of a sample: at most `limit`, by risk (novelty or rarity × P(failure)).

    A case is `novel` (unlike the training data by its `novelty`), `extreme` (a number, or the length of a text,
    more than 6 robust standard deviations from the sample's median) or `rare` (a context value that at most 1 % of
    at least 100 cases have); the first that holds names it.
    """
    ids = [one.id if isinstance(one, Interaction) else one.interaction_id for one in found]
    extreme = _extreme([one.input for one in found])
    rare = _rare([one.context for one in found])
    cases = []
    for row, key in enumerate(ids):
        new, p = float(novelty.get(key, 0.0)), float(p_failure.get(key, 0.0))
        if new >= NOVEL:
            kind, weight, why = "novel", new, f"farther from the training data than {new:.0%} of it lies from itself"
        elif row in extreme:
            kind, weight, why = "extreme", max(new, 0.9), extreme[row]
        elif row in rare:
            kind, weight, why = "rare", max(new, 0.7), rare[row]
        else:
            continue
        cases.append(EdgeCase(interaction_id=key, kind=kind, novelty=round(new, 4), risk=round(weight * p, 4), why=why))
    return sorted(cases, key=lambda case: (-case.risk, -case.novelty, case.interaction_id))[:limit]


def _extreme(inputs: Sequence[Any]) -> dict[int, str]:
    """Row → what is extreme about it: the number in a record, or the length of a text, that lies farthest out."""
    columns: dict[str, list[float]] = {}
    for row, value in enumerate(inputs):
        numbers = {"length": float(len(value))} if isinstance(value, str) else {}
        if isinstance(value, dict):
            numbers = {k: float(v) for k, v in value.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        for name, number in numbers.items():
            columns.setdefault(name, [np.nan] * len(inputs))[row] = number
    worst: dict[int, tuple[float, str]] = {}
    for name in sorted(columns):
        column = np.array(columns[name])
        seen = column[~np.isnan(column)]
        if len(seen) < 20:
            continue
        middle = float(np.median(seen))
        spread = 1.4826 * float(np.median(np.abs(seen - middle)))
        if spread <= 0:
            continue
        away = np.abs(column - middle) / spread
        for row in np.flatnonzero(np.nan_to_num(away) > EXTREME).tolist():
            line = f"{name} is {column[row]:g}, usually about {middle:g}"
            worst[row] = max(worst.get(row, (0.0, "")), (float(away[row]), line))
    return {row: line for row, (_, line) in worst.items()}


def _rare(contexts: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    if len(contexts) < 100:
        return {}
    counts = Counter((key, value) for context in contexts for key, value in context.items() if isinstance(value, str))
    distinct = Counter(key for key, _ in counts)
    out: dict[int, str] = {}
    for row, context in enumerate(contexts):
        for key, value in sorted(context.items()):
            # A field with many values, such as an order number, makes every case rare and so none.
            if isinstance(value, str) and distinct[key] <= 50 and counts[key, value] <= RARE * len(contexts):
                out.setdefault(row, f"{key}={value} in {counts[key, value]} of {len(contexts)} cases")
    return out
