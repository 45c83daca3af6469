"""A dataset after an erasure: the version without somebody's examples, and the tombstone of the one before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from flywheel.curate.dataset import content_hash
from flywheel.records import Dataset

__all__ = ["remade"]

_LOST = ("by_label", "conflict_list", "left_out_by_label")  # labels and ids that the erased examples may have brought


def remade(dataset: Dataset, examples: Collection[str], at: datetime, why: str) -> tuple[Dataset | None, Dataset]:
    """The dataset without the `examples` of these ids, and the tombstone that takes its place; O(examples).

    The new version is a child of the old one in the lineage and keeps everybody else's examples as they are, with
    their weights; synthetic examples go with any that they were made of. It is None where nothing is left. The
    tombstone has no examples; its notes say when, why and what replaced it, so that whatever refers to its hash still
    finds out.
    """
    gone = frozenset(examples)
    kept = tuple(e for e in dataset.examples if e.id not in gone and gone.isdisjoint(e.made.get("of", ())))
    lost = len(dataset.examples) - len(kept)
    notes: dict[str, Any] = {name: value for name, value in dataset.notes.items() if name not in _LOST}
    successor = None
    if kept:
        successor = Dataset(
            hash=content_hash(kept),
            examples=kept,
            spin=dataset.spin,
            parent=dataset.hash,
            created_at=at,
            notes={**notes, "examples": len(kept), "left_out_by_erasure": lost},
        )
    stone = {
        "at": at.isoformat(),
        "why": why,
        "examples": lost,
        "replaced_by": successor.hash if successor else None,
    }
    return successor, replace(dataset, examples=(), notes={"tombstone": stone})
