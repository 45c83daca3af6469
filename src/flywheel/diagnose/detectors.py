"""Detector plugins that ship: people who ask again, products that say so, and answers that took unusually long.

Each returns an Ibis table `(id, strength 0..1, detail)`; write your own the same way and name it in `[detect]
detectors`.
"""

from __future__ import annotations

from typing import Any

import ibis

__all__ = ["Repeated", "Retried", "Slow"]


class Repeated:
    """The same user or session asks the same, or nearly the same, again within a minute: the first answer did not
    help.

    Strength is 1 for a repetition word for word and falls with the edit distance to 0 at half the text's length.
    Only text inputs are compared nearly; other inputs only exactly. O(n log n) by one window function.
    """

    name = "repeated"

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds

    def evidence(self, interactions: Any, feedback: Any) -> Any:
        """Interactions that were asked again soon after."""
        t = interactions
        who = ibis.coalesce(t.session, t.user)
        # Only ids and times are sorted; the texts join the few pairs that are left.
        asked = t.filter(who.notnull()).select("id", "at", "seq", who=who)
        turn = ibis.window(group_by="who", order_by=["at", "seq"])
        asked = asked.mutate(next_at=asked.at.lead().over(turn), next_id=asked.id.lead().over(turn))
        pairs = asked.filter((asked.next_at.epoch_seconds() - asked.at.epoch_seconds()) <= self.seconds)
        first = t.select(first_id="id", raw="input", text=t.input_text.substr(0, 200))
        second = t.select(second_id="id", next_raw="input", next_text=t.input_text.substr(0, 200))
        soon = pairs.select("id", "next_id").inner_join(first, [("id", "first_id")])
        soon = soon.inner_join(second, [("next_id", "second_id")])
        longest = ibis.greatest(soon.text.length(), soon.next_text.length(), 1)
        near = (1.0 - 2.0 * soon.text.levenshtein(soon.next_text) / longest).fill_null(0.0)
        strength = (soon.raw == soon.next_raw).ifelse(1.0, near)
        found = soon.mutate(strength=strength).filter(lambda s: s.strength > 0)
        return found.select(
            "id", strength=found.strength.cast("float64"), detail=ibis.literal("asked again within a minute")
        )


class Retried:
    """Your product saw the user try again, and logged the outcome `retry` (above 0: they did). Strength is 1.

    For products that know better than the texts do: a button pressed twice, the same form sent anew.
    """

    name = "retried"

    def __init__(self, outcome: str = "retry") -> None:
        self.outcome = outcome

    def evidence(self, interactions: Any, feedback: Any) -> Any:
        """Interactions with such an outcome."""
        f = feedback.filter((feedback.kind == "outcome") & (feedback.name == self.outcome) & (feedback.number > 0))
        tried = f.select(id="interaction_id").distinct().semi_join(interactions, "id")
        return tried.select("id", strength=ibis.literal(1.0), detail=ibis.literal("the user tried again"))


class Slow:
    """Answers that took more than `times` the window's median time. Strength grows from 0 there to 1 at twice as
    much."""

    name = "slow"

    def __init__(self, times: float = 5.0) -> None:
        self.times = times

    def evidence(self, interactions: Any, feedback: Any) -> Any:
        """Interactions that took unusually long."""
        t = interactions.filter(interactions.latency_ms.notnull())
        limit = t.aggregate(ceiling=t.latency_ms.approx_median() * self.times)
        timed = t.select("id", "latency_ms").cross_join(limit)
        late = timed.filter(timed.latency_ms > timed.ceiling)
        return late.select(
            "id",
            strength=(late.latency_ms / late.ceiling - 1.0).clip(0.0, 1.0),
            detail=ibis.literal("took unusually long"),
        )
