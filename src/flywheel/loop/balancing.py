"""A dataset beside the log it came from: who labelled it, and whom it shows more or less of than the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flywheel.curate.lineage import made_from
from flywheel.curate.provenance import Balance, LabelSource, balance, fields_of, label_sources, written
from flywheel.loop.turn import Workshop
from flywheel.records import Dataset

if TYPE_CHECKING:
    import ibis

    from flywheel.store import Snapshot

__all__ = ["Provenance", "provenance_of"]

_TRAFFIC = 100_000
"""A dataset is held beside the newest so many facts of the log."""
_VALUES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a dataset is made of and what became of it."""

    dataset: str
    spin: int
    made_at: datetime | None
    examples: int
    lineage: dict[str, Any]
    """Both ways: `ancestors`, `interactions`, `examples` by origin; `children`, `candidates`, `releases`."""
    sources: tuple[LabelSource, ...] = ()
    balance: tuple[Balance, ...] = ()
    traffic: int = 0
    """Interactions that the balance is held against: the newest of the log."""
    copies: tuple[dict[str, Any], ...] = ()
    """Copies of it that are on record: exports by `path`, downloads by `by` and `format`; `at` is the last time."""


def provenance_of(shop: Workshop, dataset: Dataset) -> Provenance:
    """Everything about one dataset. O(its examples and the newest hundred thousand facts)."""
    store, protected = shop.store, shop.config.product.protected
    told = store.log.feedback_of(sorted({one.interaction_id for one in dataset.examples if one.interaction_id}))
    store.tables.sync(store.log)
    snapshot = store.tables.snapshot()
    recent = snapshot.window(max(0, snapshot.seq - _TRAFFIC), snapshot.seq)
    found = [
        balance(dataset, field, _traffic(recent, f"context.{field}"), protected=protected)
        for field in fields_of(dataset, protected)
    ]
    if shop.config.product.task == "classification":
        found.append(balance(dataset, None, _traffic(recent, "output")))
    return Provenance(
        dataset=dataset.hash,
        spin=dataset.spin,
        made_at=dataset.created_at,
        examples=len(dataset.examples),
        lineage=made_from(store.state, dataset.hash),
        sources=tuple(
            label_sources(dataset, told, correct=shop.task.correct, unasked=_unasked(shop, [one.id for one in told]))
        ),
        balance=tuple(found),
        traffic=recent.count(),
        copies=tuple(_copies(shop, dataset.hash)),
    )


def _traffic(recent: Snapshot, name: str) -> dict[str, int]:
    """How many interactions have each value of a column."""
    seen: ibis.Table = recent.interactions
    if name not in seen.columns:
        return {}
    some = seen.filter(seen[name].notnull()).select(value=seen[name])
    counted = some.group_by("value").aggregate(n=some.count())
    rows = counted.order_by(counted.n.desc(), counted["value"]).limit(_VALUES).to_pyarrow().to_pylist()
    found: dict[str, int] = {}
    for row in rows:
        key = _label(row["value"]) if name == "output" else written(row["value"])
        found[key] = found.get(key, 0) + row["n"]
    return found


def _label(text: str) -> str:
    """An answer as labels are written: canonical JSON."""
    import json

    from flywheel.curate.examples import canonical

    try:
        return canonical(json.loads(text))
    except ValueError:
        return text


def _unasked(shop: Workshop, facts: list[str]) -> set[str]:
    """Labels that say nothing about how good others are: second looks, which are asked in doubt, and withdrawn ones."""
    state = shop.store.state
    doubted = {item.id for item in state.items() if item.relabel}
    doubted |= {line["subject"] for line in state.trail() if line["action"] == "label undo"}
    return {fact for fact in facts if fact.startswith("label:") and fact.split(":")[1] in doubted}


def _copies(shop: Workshop, hash: str) -> list[dict[str, Any]]:
    state = shop.store.state
    files = [
        entry for entry in state.get("exports") or []
        if entry["what"].startswith("dataset:") and hash.startswith(entry["what"].partition(":")[2])
    ]  # fmt: skip
    downloads = [entry for entry in state.get("downloads") or [] if entry["dataset"] == hash]
    return sorted([*files, *downloads], key=lambda entry: str(entry["at"]))
