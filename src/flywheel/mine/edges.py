"""Edge cases: novel, extreme or rare inputs among those looked at, the riskiest first.

Risk in the manner of ISO 31000: how likely it goes wrong, how bad that is, how many meet it, how little is known of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flywheel.mine.look import Look
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
    severity: Mapping[str, float] | None = None,
    seen: Look | None = None,
    limit: int = 100,
) -> list[EdgeCase]:
    """Pick the edge cases out of a sample: at most `limit`, by risk.

    A case is `novel` (unlike the training data by its `novelty`), `extreme` (a number, or the length of a text,
    more than 6 robust standard deviations from the sample's median) or `rare` (a context value that at most 1 % of
    at least 100 cases have); the first that holds names it.

    Risk is P(failure) × severity × exposure × lack of coverage. `severity` says how bad a wrong answer is, 0 to 1, by
    interaction id (1 where it says nothing). Exposure is the share of the sample that is alike, and coverage the
    labelled examples that are: both are read from `seen`, the `look` at the inputs of `found` in their order; without
    it nothing counts as alike. Lack of coverage is 1 / (1 + examples near it).
    """
    ids = [one.id if isinstance(one, Interaction) else one.interaction_id for one in found]
    extreme = _extreme([one.input for one in found])
    rare = _rare([one.context for one in found])
    kinds: dict[int, tuple[str, str]] = {}
    for row, key in enumerate(ids):
        new = float(novelty.get(key, 0.0))
        if new >= NOVEL:
            kinds[row] = ("novel", f"farther from the training data than {min(new, NOVEL):.0%} of it lies from itself")
        elif row in extreme:
            kinds[row] = ("extreme", extreme[row])
        elif row in rare:
            kinds[row] = ("rare", rare[row])
    rows = list(kinds)
    met, told = (np.ones(len(rows)), np.zeros(len(rows))) if seen is None else seen.neighbours(rows)
    cases = []
    for row, alike, examples in zip(rows, met.tolist(), told.tolist(), strict=True):
        key, (kind, why) = ids[row], kinds[row]
        p, bad = float(p_failure.get(key, 0.0)), float((severity or {}).get(key, 1.0))
        exposure, lack = alike / len(found), 1.0 / (1.0 + examples)
        cases.append(
            EdgeCase(
                interaction_id=key,
                kind=kind,
                novelty=round(float(novelty.get(key, 0.0)), 4),
                p_failure=round(p, 4),
                severity=round(bad, 4),
                exposure=round(exposure, 6),
                lack=round(lack, 4),
                risk=round(p * bad * exposure * lack, 8),
                why=f"{why}; {_beside(int(alike), len(found), int(examples))}",
            )
        )
    return sorted(cases, key=lambda case: (-case.risk, -case.novelty, case.interaction_id))[:limit]


def _beside(alike: int, of: int, examples: int) -> str:
    others = "no other input" if alike <= 1 else f"{alike - 1:,} other input{'s' if alike > 2 else ''}"
    near = "no labelled example" if not examples else f"{examples:,} labelled example{'s' if examples > 1 else ''}"
    return f"{others} of {of:,} and {near} alike"


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
