"""Where a review stands: progress against the budget, and where two people do not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from flywheel.curate.examples import canonical
from flywheel.records import Feedback, ReviewItem

__all__ = ["disagreements", "progress"]

_PACE = timedelta(minutes=15)
_LEAST_SECONDS = 60.0


def progress(items: Sequence[ReviewItem], budget: int, now: datetime) -> dict[str, Any]:
    """How far one spin's items are: counts by what became of them, the random audit's own, and who did how many.

    `per_hour` is the pace of the last quarter of an hour, of everybody together; None before a minute has passed.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> items = [ReviewItem(id="q1", interaction_id="i", input=1, output=2, audit=True, status="labelled", by="ana",
    ...                     at=noon), ReviewItem(id="q2", interaction_id="j", input=1, output=2)]
    >>> told = progress(items, 40, noon)
    >>> told["labelled"], told["waiting"], told["asked"], told["budget"], told["audit_labelled"], told["by"]
    (1, 1, 2, 40, 1, {'ana': 1})
    """
    status = Counter(item.status for item in items)
    audit = [item for item in items if item.audit]
    who = Counter(item.by or "somebody" for item in items if item.status == "labelled")
    recent = sorted(item.at for item in items if item.status != "waiting" and item.at and now - _PACE <= item.at <= now)
    seconds = (recent[-1] - recent[0]).total_seconds() if len(recent) > 1 else 0.0
    return {
        "budget": budget,
        "asked": len(items),
        "waiting": status["waiting"],
        "labelled": status["labelled"],
        "skipped": status["skipped"],
        "unsure": sum(item.status == "waiting" and bool(item.unsure) for item in items),
        "audit": len(audit),
        "audit_labelled": sum(item.status == "labelled" for item in audit),
        "per_hour": round((len(recent) - 1) * 3600 / seconds) if seconds >= _LEAST_SECONDS else None,
        "by": dict(sorted(who.items(), key=lambda pair: (-pair[1], pair[0]))),
    }


def disagreements(
    items: Iterable[ReviewItem],
    told: Iterable[Feedback],
    withdrawn: Iterable[tuple[str, str]] = (),
    settled: Mapping[str, datetime] | None = None,
) -> list[dict[str, Any]]:
    """Items about which two people said different things: the item, what each said last, and what stands.

    `told` holds the log's labels about their interactions. `withdrawn` names labels that were taken back, as
    `(interaction id, when they were given in ISO form)`; they count no more. `settled` says when somebody decided about
    an interaction: what was said up to then is no disagreement any more.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> item = ReviewItem(id="q1", interaction_id="i", input=1, output=2, status="labelled", label="pay", by="ben")
    >>> said = [Feedback(id=who, interaction_id="i", at=at, kind="label", value=label, source="reviewer", by=who)
    ...         for who, label in (("ana", "park"), ("ben", "pay"))]
    >>> [(one["item"].id, [word["label"] for word in one["said"]]) for one in disagreements([item], said)]
    [('q1', ['park', 'pay'])]
    """
    gone = set(withdrawn)
    latest: dict[str, dict[str, Feedback]] = {}
    for fact in sorted(told, key=lambda fact: (fact.at, fact.id)):
        taken_back = (fact.interaction_id, fact.at.isoformat()) in gone
        if fact.kind == "label" and fact.source == "reviewer" and fact.by and not taken_back:
            latest.setdefault(fact.interaction_id, {})[fact.by] = fact
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        said: Mapping[str, Feedback] = latest.get(item.interaction_id, {})
        decided = (settled or {}).get(item.interaction_id)
        if decided is not None and all(fact.at <= decided for fact in said.values()):
            continue
        if item.interaction_id and len({canonical(fact.value) for fact in said.values()}) > 1:
            words = [{"by": who, "label": fact.value, "at": fact.at} for who, fact in said.items()]
            found[item.interaction_id] = {"item": item, "said": words, "stands": item.label}
    return list(found.values())
