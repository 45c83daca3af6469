"""From probabilities to failures: whole records with their evidence in words, at most as many as people and
clusters need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis

from flywheel.diagnose.calibration import Calibration, contributions
from flywheel.diagnose.evidence import KEYS, TRUSTED, Window
from flywheel.records import Evidence, Failure, Interaction

if TYPE_CHECKING:
    from flywheel.ports import Task

__all__ = ["failures", "sentence"]

_GOLDEN = 0.6180339887498949
"""Shifts the permanent random numbers from seed to seed, evenly over [0, 1)."""

_SENTENCES = {
    "label_wrong": "a label says the answer was another",
    "negative_rating": "rated negative",
    "report": "reported as a failure",
    "negative_comment": "a comment reads like a complaint",
    "error": "the call ended in an error",
    "slow": "slower than the limit",
}


def failures(
    window: Window,
    detected: Any,
    *,
    threshold: float = 0.5,
    limit: int = 4000,
    seed: int = 0,
    labels: Mapping[str, Any] | None = None,
    calibration: Calibration | None = None,
    task: Task | None = None,
) -> list[Failure]:
    """The interactions with P(failure) of at least `threshold`, the likeliest first, with evidence.

    When there are more than `limit`, a random sample of that size is taken by the interactions' permanent random
    numbers, so that the same window and seed give the same sample. Interactions that `labels` (interaction id →
    right output) names as wrong are always among the candidates, those it names as right never; `task` decides,
    else equality. Labels in the window's feedback are shown on the failures too. Only the sample leaves the engine.
    """
    told = labels or {}
    likely = detected.filter(detected.p_failure >= threshold)
    if told:
        named = ibis.memtable({"id": sorted(told)}, schema={"id": "string"})
        likely = ibis.union(likely.anti_join(named, "id"), detected.semi_join(named, "id"))
    shifted = likely.rand + (seed * _GOLDEN) % 1.0
    sample = likely.mutate(turn=shifted - shifted.floor()).order_by("turn", "id").limit(limit)
    rows: list[dict[str, Any]] = sample.drop("turn").to_pyarrow().to_pylist()
    records = {seen.id: seen for seen in window.fetch([row["id"] for row in rows])}
    said = _labels_of(window, list(records))
    known = {**{key: last for key, (last, _) in said.items()}, **told}
    found = []
    for row in rows:
        seen = records.get(row["id"])
        if seen is None:
            continue
        failure = _failure(seen, row, calibration)
        if seen.id in known:
            label = known[seen.id]
            right = task.correct(seen.output, label) if task is not None else seen.output == label
            if right and (task is not None or seen.id in told):
                continue
            failure = replace(
                failure,
                label=told.get(seen.id, said[seen.id][1]) if seen.id in said else label,
                probability=failure.probability if right else max(0.99, failure.probability),
            )
        if failure.probability >= threshold:
            found.append(failure)
    return sorted(found, key=lambda failure: (-failure.probability, failure.interaction_id))


def _labels_of(window: Window, ids: list[str]) -> dict[str, tuple[Any, Any]]:
    """The last trusted label in the feedback on each of the sampled interactions, and the one to show: people's and the
    outcome's own before a judge's."""
    if not ids:
        return {}
    f = window.feedback
    told = f.filter((f.kind == "label") & f.source.isin(TRUSTED))
    told = told.semi_join(ibis.memtable({"interaction_id": ids}, schema={"interaction_id": "string"}), "interaction_id")
    rows = told.order_by("seq").select("interaction_id", "value", "source").to_pyarrow().to_pylist()
    last = {row["interaction_id"]: json.loads(row["value"]) for row in rows}
    best = {row["interaction_id"]: json.loads(row["value"]) for row in rows if row["source"] != "judge"}
    return {key: (label, best.get(key, label)) for key, label in last.items()}


def _failure(seen: Interaction, row: dict[str, Any], calibration: Calibration | None) -> Failure:
    names = [name for name in row if name not in KEYS and name != "p_failure"]
    parts = contributions(row, calibration, names)
    evidence = [
        Evidence(name, sentence(name, row[name]), round(weight, 4))
        for name, weight in parts.items()
        if name != "label_right" and weight > 0.05 and row[name]
    ]
    return Failure(
        interaction_id=seen.id,
        at=seen.at,
        probability=round(float(row["p_failure"]), 6),
        evidence=tuple(sorted(evidence, key=lambda e: (-e.weight, e.kind))),
        input=seen.input,
        output=seen.output,
        confidence=seen.confidence,
        model=seen.model,
        user=seen.user,
        context=seen.context,
    )


def sentence(name: str, value: float) -> str:
    """One sign of failure in words."""
    if name == "doubt":
        return f"the model itself was only {1.0 - value:.0%} confident"
    return _SENTENCES.get(name, f"the detector {name!r} saw it (strength {value:.2f})")
