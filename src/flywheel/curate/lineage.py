"""Where data went and came from: from an interaction to the models that learnt from it, and back."""

from __future__ import annotations

from typing import Any

from flywheel.errors import NotFound
from flywheel.store import State

__all__ = ["made_from", "trained_from", "used_in"]


def used_in(state: State, interaction_id: str) -> dict[str, Any]:
    """Follow an interaction forward: its review items, examples, the datasets with it, the releases trained on those.

    Every value is a list, empty where it led nowhere.
    """
    datasets = state.datasets_of(interaction_id)
    return {
        "interaction": interaction_id,
        "items": [item.id for item in state.items() if item.interaction_id == interaction_id],
        "examples": [example.id for example in state.examples() if example.interaction_id == interaction_id],
        "datasets": datasets,
        "releases": [release.version for release in state.releases() if release.dataset in set(datasets)],
    }


def made_from(state: State, dataset: str) -> dict[str, Any]:
    """Follow a dataset back (ancestors, nearest first; interactions; examples by origin) and on (children, candidates,
    releases).

    Raises `NotFound` for an unknown hash.
    """
    found = state.dataset(dataset)
    if found is None:
        raise NotFound(f"there is no dataset {dataset!r}. `flywheel datasets` lists them")
    parents = {manifest.hash: manifest.parent for manifest in state.datasets()}
    ancestors: list[str] = []
    parent = found.parent
    while parent is not None and parent not in ancestors and parent != dataset:
        ancestors.append(parent)
        parent = parents.get(parent)
    origins: dict[str, list[str]] = {}
    for example in found.examples:
        origins.setdefault(example.origin, []).append(example.id)
    interactions = [example.interaction_id for example in found.examples if example.interaction_id is not None]
    return {
        "dataset": dataset,
        "spin": found.spin,
        "ancestors": ancestors,
        "children": [child for child, parent in parents.items() if parent == dataset],
        "interactions": sorted(set(interactions)),
        "examples": {origin: sorted(ids) for origin, ids in sorted(origins.items())},
        "candidates": [spin.candidate for spin in state.spins() if spin.dataset == dataset and spin.candidate],
        "releases": [release.version for release in state.releases() if release.dataset == dataset],
    }


def trained_from(state: State, version: str) -> dict[str, Any] | None:
    """Follow a version back: its dataset, the interactions in it, the spin that made it, its base; None for no such.

    `trainer` and `base` are empty for a model that was adopted.
    """
    known = state.candidate(version)
    release = next((one for one in state.releases() if one.version == version), None)
    if known is None and release is None:
        return None
    dataset = known[0].dataset if known else release.dataset if release else None
    back = made_from(state, dataset) if dataset is not None and state.dataset(dataset) is not None else None
    return {
        "version": version,
        "role": release.role if release else "candidate",
        "spin": known[0].spin if known else release.spin if release else 0,
        "trainer": known[0].trainer if known else release.trainer if release else "",
        "base": known[0].base if known else None,
        "datasets": [] if dataset is None else [dataset, *(back["ancestors"] if back else [])],
        "interactions": back["interactions"] if back else [],
    }
