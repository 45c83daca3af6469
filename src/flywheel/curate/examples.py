"""Labels become examples: with their provenance and propensity, and grouped so that no split separates twins."""

from __future__ import annotations

import hashlib
import json
import operator
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flywheel.config import CurateSettings
from flywheel.curate.near import group_near_duplicates
from flywheel.records import Example, ReviewItem

__all__ = ["assign_groups", "canonical", "examples_of"]


def canonical(value: Any) -> str:
    """A JSON value as text, the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def examples_of(
    items: Sequence[ReviewItem], *, correct: Callable[[Any, Any], bool] = operator.eq, origin: str = "review"
) -> list[Example]:
    """Turn labelled items into examples; waiting and skipped ones are left out.

    `correct(output, label)` says whether the product's answer was right (a task's `correct`). An item's example has an
    id of its own, so that labelling it again replaces that example and no other.
    """
    return [
        Example(
            id="e" + item.id,
            input=item.input,
            label=item.label,
            origin=origin,
            interaction_id=item.interaction_id or None,
            by=item.by,
            at=item.at,
            spin=item.spin,
            mode=item.mode,
            audit=item.audit,
            propensity=item.propensity,
            failure=not item.relabel and not correct(item.output, item.label),
            context=item.context,
        )
        for item in items
        if item.status == "labelled" and item.label is not None
    ]


def assign_groups(examples: Sequence[Example], known: Sequence[Example], settings: CurateSettings) -> list[Example]:
    """Give each of `examples` its group and fold; near-duplicates of a known example join that example's group.

    A group's fold follows from its name, so it never changes; a known example never changes its group. What is near to
    examples of several groups joins the first of them; the very input of a known example joins that example's. The
    result does not depend on the order of `examples`.
    """
    fixed = [example for example in known if example.group]
    ids = {example.id for example in fixed}
    new = sorted((example for example in examples if example.id not in ids), key=_content)
    roots = group_near_duplicates([example.input for example in (*fixed, *new)], settings.near_duplicate)
    names: dict[int, str] = {}
    met: defaultdict[int, set[str]] = defaultdict(set)
    for root, example in zip(roots, (*fixed, *new), strict=True):
        names.setdefault(root, example.group if example.id in ids else _name(example))
        if example.id in ids:
            met[root].add(example.group)
    bridged = {root for root, groups in met.items() if len(groups) > 1}
    same: dict[str, str] = {}
    for root, example in zip(roots, fixed, strict=False):
        if root in bridged:
            same.setdefault(canonical(example.input), example.group)
    named = {example.id: example.group for example in fixed}
    for root, example in zip(roots[len(fixed) :], new, strict=True):
        own = same.get(canonical(example.input)) if root in bridged else None
        named[example.id] = own or names[root]
    return [
        replace(example, group=named[example.id], fold=_fold(named[example.id], settings.folds)) for example in examples
    ]


def _content(example: Example) -> tuple[str, str]:
    return hashlib.sha256(canonical(example.input).encode()).hexdigest(), example.id


def _name(example: Example) -> str:
    return "g" + hashlib.sha256(canonical(example.input).encode()).hexdigest()[:16]


def _fold(group: str, folds: int) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % folds
