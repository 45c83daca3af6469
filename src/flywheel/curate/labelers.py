"""Who answers without being asked: truth that arrives later, and a function. People answer through the review queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flywheel.records import Feedback, ReviewItem

__all__ = ["DelayedTruth", "FunctionLabeler"]


class DelayedTruth:
    """Answers items from feedback of kind `label` that arrived after the fact: a charge-back, a corrected address.

    `feedback_of` finds the feedback about interactions, as `Log.feedback_of` does. Only the named `sources` are
    believed; of several labels for one interaction the latest stands.

    >>> from datetime import UTC, datetime
    >>> told = Feedback(id="f", interaction_id="i", at=datetime(2026, 1, 2, tzinfo=UTC), kind="label", value="fraud",
    ...                 source="system")
    >>> item = ReviewItem(id="q1", interaction_id="i", input={}, output="fine")
    >>> list(DelayedTruth(lambda ids: [told]).label([item]))
    [('q1', 'fraud', 'truth')]
    """

    name = "truth"

    def __init__(
        self, feedback_of: Callable[[Sequence[str]], Sequence[Feedback]], sources: Sequence[str] = ("system",)
    ) -> None:
        self._feedback_of = feedback_of
        self._sources = frozenset(sources)

    def label(self, items: Sequence[ReviewItem]) -> Iterator[tuple[str, Any, str]]:
        """Yield `(item id, label, by)` for the items whose truth has arrived."""
        wanted = sorted({item.interaction_id for item in items if item.interaction_id})
        if not wanted:
            return
        truth: dict[str, Feedback] = {}
        for fact in sorted(self._feedback_of(wanted), key=lambda fact: (fact.at, fact.id)):
            if fact.kind == "label" and fact.source in self._sources and fact.value is not None:
                truth[fact.interaction_id] = fact
        for item in items:
            if item.interaction_id in truth:
                fact = truth[item.interaction_id]
                yield item.id, fact.value, fact.by or self.name


class FunctionLabeler:
    """Answers items by a function of the item: a rule, a lookup, an oracle in a simulation. None means "not now".

    >>> item = ReviewItem(id="q1", interaction_id="i", input=7, output="even")
    >>> list(FunctionLabeler(lambda item: "even" if item.input % 2 == 0 else "odd").label([item]))
    [('q1', 'odd', 'function')]
    """

    name = "function"

    def __init__(self, function: Callable[[ReviewItem], Any], by: str = "function") -> None:
        self._function = function
        self._by = by

    def label(self, items: Sequence[ReviewItem]) -> Iterator[tuple[str, Any, str]]:
        """Yield `(item id, label, by)` for the items the function has an answer to."""
        for item in items:
            answer = self._function(item)
            if answer is not None:
                yield item.id, answer, self._by
