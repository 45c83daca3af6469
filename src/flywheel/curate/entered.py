"""Which datasets an interaction entered, and what it is there for: learning, proving, or both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flywheel.records import Dataset, Example
from flywheel.store import State

__all__ = ["Entry", "entered"]

_OPENED = 12
"""At most so many datasets, the newest, are opened for one interaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One example of one dataset that an interaction became.

    `proves` says what the gate may use it for: `fresh` (a failure or other case that the champion had not been
    trained on), `suite` (the regression suite: what the champion was trained on), `fresh and suite` (a random audit),
    or `nothing` (its label was made or passed on, so it only trains). Every example trains; where it proves, it is
    answered by a model that did not see it (`fold`).
    """

    dataset: str
    spin: int
    made_at: datetime | None
    example: str
    label: Any
    origin: str
    by: str | None
    proves: str
    fold: int
    weight: float
    audit: bool
    failure: bool


def entered(state: State, interaction_id: str, most: int = _OPENED) -> tuple[list[Entry], int]:
    """The examples that an interaction became, the newest dataset first, and how many older datasets were left out.

    O(examples of the datasets that are opened, at most `most` and their parents).
    """
    manifests = {known.hash: known for known in state.datasets()}
    hashes = [key for key in reversed(state.datasets_of(interaction_id)) if key in manifests]
    opened: dict[str, frozenset[str]] = {}
    found: list[Entry] = []
    for key in hashes[:most]:
        dataset = state.dataset(key)
        if dataset is None:
            continue
        opened[key] = frozenset(one.id for one in dataset.examples)
        mine = [one for one in dataset.examples if one.interaction_id == interaction_id]
        if dataset.parent is not None and dataset.parent not in opened:
            parent = state.living_dataset(dataset.parent)
            opened[dataset.parent] = frozenset(one.id for one in parent.examples) if parent else frozenset()
        known = opened[dataset.parent] if dataset.parent is not None else frozenset()
        found += [_entry(dataset, one, known) for one in mine]
    return found, max(0, len(hashes) - most)


def _entry(dataset: Dataset, example: Example, known: frozenset[str]) -> Entry:
    proves = "suite" if example.id in known else "fresh and suite" if example.audit else "fresh"
    return Entry(
        dataset=dataset.hash,
        spin=dataset.spin,
        made_at=dataset.created_at,
        example=example.id,
        label=example.label,
        origin=example.origin,
        by=example.by,
        proves=proves if example.evidence else "nothing",
        fold=example.fold,
        weight=round(example.weight, 4),
        audit=example.audit,
        failure=example.failure,
    )
