"""Which group of failures is which earlier mode, which has split from one, and which have merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flywheel.records import Mode

__all__ = ["Lineage", "trace"]

_SAME = 0.35
"""Least likeness, 0 to 1, at which a group counts as a mode known from earlier spins."""
_KIN = 0.45
"""Least likeness at which a group counts as a part of one that another group carries on, or as having taken it in."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What became of the earlier modes, by place of the group."""

    same: dict[int, Mode] = field(default_factory=dict)
    split: dict[int, str] = field(default_factory=dict)
    merged: dict[int, tuple[str, ...]] = field(default_factory=dict)


def trace(
    previous: Sequence[Mode],
    known: Sequence[str],
    vectors: np.ndarray[Any, Any],
    members: Sequence[np.ndarray[Any, Any]],
    signatures: Sequence[Mapping[str, float]],
) -> Lineage:
    """Match groups with earlier modes by where they lie and by what sets them apart.

    `vectors` holds a row for each failure, then one for each of the `known` exemplars of the `previous` modes;
    `members` are row numbers a group, `signatures` its weighted terms. Each group carries on at most one mode, each
    mode is carried on by at most one group: the Hungarian method on likeness (Kuhn 1955), O(groups × modes²).
    """
    from scipy.optimize import linear_sum_assignment

    if not previous:
        return Lineage()
    alike = _likeness(previous, known, vectors, members, signatures)
    pairs = zip(*linear_sum_assignment(-np.round(alike, 9)), strict=True)
    at = {int(place): int(column) for place, column in pairs if alike[place, column] >= _SAME}
    split: dict[int, str] = {}
    for place in range(len(members)):
        kin = int(np.argmax(alike[place]))
        if place not in at and alike[place, kin] >= _KIN and kin in at.values():
            split[place] = previous[kin].id
    merged: dict[int, list[str]] = {}
    for column, mode in enumerate(previous):
        into = int(np.argmax(alike[:, column]))
        # A mode that was quiet already has not gone anywhere now.
        if column not in at.values() and mode.count > 0 and alike[into, column] >= _KIN and into in at:
            merged.setdefault(into, []).append(mode.id)
    return Lineage(
        {place: previous[column] for place, column in at.items()},
        split,
        {place: tuple(ids) for place, ids in merged.items()},
    )


def _likeness(
    previous: Sequence[Mode],
    known: Sequence[str],
    vectors: np.ndarray[Any, Any],
    members: Sequence[np.ndarray[Any, Any]],
    signatures: Sequence[Mapping[str, float]],
) -> np.ndarray[Any, Any]:
    """Groups × modes: half the cosine of their centres, half the overlap of their signatures; 0 to 1."""
    first = len(vectors) - len(known)
    row_of = {key: first + place for place, key in enumerate(known)}
    centres = np.array([vectors[rows].mean(axis=0) for rows in members])
    lengths = np.linalg.norm(centres, axis=1)
    alike = np.zeros((len(members), len(previous)))
    for column, mode in enumerate(previous):
        overlap = np.array([_overlap(signature, mode.signature) for signature in signatures])
        rows = [row_of[key] for key in mode.exemplars if key in row_of]
        if not rows:
            alike[:, column] = overlap
            continue
        there = vectors[rows].mean(axis=0)
        both = lengths * float(np.linalg.norm(there))
        near = np.where(both > 1e-12, centres @ there / np.maximum(both, 1e-12), float(len(members) == 1))
        alike[:, column] = 0.5 * np.maximum(near, 0.0) + 0.5 * overlap
    return alike


def _overlap(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Weighted Jaccard likeness of two signatures, each scaled to sum 1."""
    if one.keys().isdisjoint(other):
        return 0.0
    a, b = sum(one.values()) or 1.0, sum(other.values()) or 1.0
    keys = sorted({*one, *other})
    both = sum(min(one.get(key, 0.0) / a, other.get(key, 0.0) / b) for key in keys)
    either = sum(max(one.get(key, 0.0) / a, other.get(key, 0.0) / b) for key in keys)
    return both / either if either > 0 else 0.0
