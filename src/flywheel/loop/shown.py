"""The likeliest failures of each mode as a spin has found them, kept with it: looking costs no diagnosis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flywheel.records import Evidence, Failure, from_dict, to_dict
from flywheel.store import Store

__all__ = ["KEPT", "failures_shown", "likeliest"]

KEPT = 50
"""So many failures of a mode are kept with a spin."""


def likeliest(found: Sequence[Failure], assignments: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a spin keeps of its failures: the likeliest of each mode, without what the log has of them anyway."""
    kept: list[dict[str, Any]] = []
    counted: Counter[str] = Counter()
    for failure in sorted(found, key=lambda one: (-one.probability, one.interaction_id)):
        mode = assignments.get(failure.interaction_id)
        if mode is not None and counted[mode] < KEPT:
            counted[mode] += 1
            kept.append(
                {
                    "interaction_id": failure.interaction_id,
                    "mode": mode,
                    "probability": failure.probability,
                    "evidence": to_dict(list(failure.evidence)),
                }
            )
    return kept


def failures_shown(store: Store, mode: str, limit: int) -> list[Failure] | None:
    """The likeliest failures of a mode by the last spin that diagnosed, with the labels they have got by now.

    None where that spin has kept none, or fewer than are asked for. What was erased since is left out. O(limit).
    """
    for spin in reversed(store.state.spins()):
        told = store.state.step(spin.number, "diagnose")
        if told is not None:
            break
    else:
        return None
    if limit > KEPT or "likeliest" not in told:
        return None
    kept = [one for one in told["likeliest"] if one["mode"] == mode][:limit]
    ids = [one["interaction_id"] for one in kept]
    seen = store.log.interactions(ids)
    labels = {
        heard.interaction_id: heard.value
        for heard in store.log.feedback_of(ids)
        if heard.kind == "label" and heard.source in ("reviewer", "system")
    }
    found = []
    for one in kept:
        about = seen.get(one["interaction_id"])
        if about is not None:
            failure = Failure(
                interaction_id=about.id, at=about.at, probability=one["probability"], input=about.input,
                output=about.output, label=labels.get(about.id), confidence=about.confidence, model=about.model,
                mode=mode, user=about.user, context=about.context,
            )  # fmt: skip
            evidence = tuple(from_dict(Evidence, sign) for sign in one["evidence"])
            found.append(replace(failure, evidence=evidence))
    return found
