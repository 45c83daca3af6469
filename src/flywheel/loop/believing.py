"""Corrections by users: labels that cost nothing, come late, are few and partly wrong, and never prove anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from flywheel.loop.turn import Turn
from flywheel.records import Example

__all__ = ["believed"]

_AMONG = 5
"""The named answer has to be among the champion's so many best: users who name any wrong one are caught by it."""
_MOST = 2000
"""At most so many corrections are weighed a spin, the newest."""


def believed(work: Turn, known: Sequence[Example]) -> list[Example]:
    """Examples of what users said the right answer was, since the last spin and about any earlier interaction.

    A correction is believed when the product had answered otherwise, nobody contradicts it, and the champion holds the
    named answer for one of its five likeliest. It becomes an example of origin `user` with half the weight: it trains,
    and enters no evaluation (`Example.evidence`). A reviewer's answer about the same interaction replaces it.
    """
    shop, model = work.shop, work.incumbent_model
    if not shop.config.curate.corrections or shop.config.product.task != "classification" or model is None:
        return []
    named = _named(work)
    have = {example.interaction_id for example in known}
    ids = [key for key in sorted(named) if key not in have]
    seen = [one for one in work.snapshot.fetch(ids) if not shop.task.correct(one.output, named[one.id])]
    if not seen:
        return []
    said = model.predict([one.input for one in seen])
    if said.scores is None:
        return []
    best = np.argsort(-np.asarray(said.scores), axis=1, kind="stable")[:, :_AMONG]
    return [
        Example(
            id=f"u{one.id}",
            input=one.input,
            label=named[one.id],
            origin="user",
            interaction_id=one.id,
            at=one.at,
            spin=work.spin.number,
            weight=0.5,
            failure=True,
            context=one.context,
        )
        for one, places in zip(seen, best, strict=True)
        if any(said.labels[place] == named[one.id] for place in places)
    ]


def _named(work: Turn) -> dict[str, Any]:
    """Interaction → the one answer that users named for it since the last spin."""
    told = work.recent.feedback
    told = told.filter((told.kind == "label") & (told.source == "user") & (told.seq > work.docs["sync"]["after"]))
    rows = told.order_by(told.seq.desc()).limit(_MOST).select("interaction_id", "value").to_pyarrow().to_pylist()
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row["interaction_id"], set()).add(row["value"])
    return {key: json.loads(next(iter(values))) for key, values in answers.items() if len(values) == 1}
