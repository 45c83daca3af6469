"""Reviewing beyond a single answer: unsure, undo, a whole group, and where the review stands. Verbs of `Flywheel`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flywheel import loop
from flywheel.errors import InvalidRecord, NotFound
from flywheel.loop.learn import withdraw_labels
from flywheel.parts import Parts

if TYPE_CHECKING:
    from flywheel.records import ReviewItem

__all__ = ["Reviewing"]


class Reviewing(Parts):
    """The verbs of people who label together."""

    def unsure(self, item_id: str, *, by: str = "", at: datetime | None = None) -> ReviewItem:
        """Leave an item to somebody else: it waits behind the others. Saying so twice changes nothing."""
        who = by or "somebody"
        before = self._store.state.item(item_id)
        after = self._queue.unsure(item_id, who)
        if before != after:
            self._trail.record("label unsure", _subject(after), by=who, at=at or datetime.now(UTC))
        return after  # type: ignore[no-any-return]

    def undo(self, item_id: str, *, by: str = "", at: datetime | None = None) -> ReviewItem:
        """Take back what was said about an item (its label, the skip, or that `by` was unsure): it waits again.

        The log keeps what was said and a withdrawal behind it, so that no metric, diagnosis or live page counts it any
        more; the audit trail says who took it back. An item that waits already stays as it is.
        Raises `InvalidRecord` when the item's spin is done: its label has been learnt from.
        """
        who, now = by or "somebody", at or datetime.now(UTC)
        item = self._store.state.item(item_id)
        if item is None:
            raise NotFound(f"no review item {item_id!r}. The ids are those of fw.review_queue()")
        if item.status == "waiting":
            clear = self._queue.sure(item_id, who)
            if clear != item:
                self._trail.record("label undo", _subject(item), by=who, at=now, detail={"was": "unsure"})
            return clear  # type: ignore[no-any-return]
        spin = self._store.state.spin(item.spin)
        if spin is not None and spin.state == "done":
            raise InvalidRecord(
                "item", f"spin {item.spin} has gone on with its answer", "Give the right label as feedback instead"
            )
        withdraw_labels(self._store, item, who, now)
        waiting = self._queue.undo(item_id)
        detail = {"was": item.status, "by": item.by or ""}
        self._trail.record("label undo", _subject(item), by=who, at=now, detail=detail)
        return waiting  # type: ignore[no-any-return]

    def label_group(self, item_id: str, label: Any, *, by: str = "", at: datetime | None = None) -> list[ReviewItem]:
        """Answer an item and every other that waits and belongs to the same group of alike inputs.

        Each is an answer of its own, by `by`, who has looked at them together. Items without an answer only.
        """
        item = self._store.state.item(item_id)
        if item is None:
            raise NotFound(f"no review item {item_id!r}. The ids are those of fw.review_queue()")
        now = at or datetime.now(UTC)
        alike = [one for one in self._queue.waiting() if item.group and one.group and one.group.id == item.group.id]
        rest = [one for one in alike if one.id != item.id and one.spin == item.spin]
        return [loop.record_label(self._store, one, label, by, now) for one in (item, *rest)]

    def resolve(self, item_id: str, label: Any, *, by: str = "", at: datetime | None = None) -> ReviewItem:
        """Settle what people see differently about an item: this label stands, and the audit trail keeps who decided.

        Where the item's spin has gone on, the label is feedback about the interaction, as later knowledge is. The case
        is among the `disagreements` again only when somebody says something else afterwards.
        """
        who, now = by or "somebody", at or datetime.now(UTC)
        item = self._store.state.item(item_id)
        if item is None:
            raise NotFound(f"no review item {item_id!r}. The ids are those of fw.review_queue()")
        spin = self._store.state.spin(item.spin)
        if spin is None or spin.state != "done":
            item = loop.record_label(self._store, item, label, who, now)
        else:
            self._recorder.feedback(item.interaction_id, label=label, source="reviewer", by=who, at=now)
        detail = {"interaction": item.interaction_id, "at": now.isoformat()}
        self._trail.record("label resolve", item_id, by=who, at=now, detail=detail)
        return item

    def review_progress(self, spin: int | None = None, *, at: datetime | None = None) -> dict[str, Any]:
        """How far the labels of a spin (the last one) are against its budget, who gave how many, and the pace."""
        from flywheel.curate.standing import progress

        spins = self._store.state.spins()
        chosen = next((one for one in reversed(spins) if spin is None or one.number == spin), None)
        if chosen is None and spin is not None:
            raise NotFound(f"there is no spin {spin}. `flywheel spins` lists them")
        items = self._store.state.items(spin=chosen.number) if chosen else []
        told = progress(items, chosen.budget if chosen else 0, at or datetime.now(UTC))
        return {"spin": chosen.number if chosen else None, **told}

    def disagreements(self, limit: int = 100) -> list[dict[str, Any]]:
        """Where two people said different things about one interaction: `item`, `said` (each one's last), `stands`."""
        from flywheel.curate.standing import disagreements

        items = [item for item in self._store.state.items() if item.interaction_id and item.status != "skipped"]
        told = self._store.log.feedback_of(sorted({item.interaction_id for item in items}))
        trail = self._store.state.trail()
        lines = [line["detail"] for line in trail if line["action"] == "label undo"]
        gone = [(detail["interaction"], detail["at"]) for detail in lines if "at" in detail]  # before logs said so
        done = [line["detail"] for line in trail if line["action"] == "label resolve"]
        settled = {detail["interaction"]: datetime.fromisoformat(detail["at"]) for detail in done}
        return disagreements(items, told, gone, settled)[:limit]

    def known_labels(self, limit: int = 10_000) -> list[Any]:
        """Every label that examples and answers have, the commonest first: what a labeler may search through."""
        import json

        state = self._store.state
        given = [example.label for example in state.examples()]
        given += [item.label for item in state.items(status="labelled")]
        counted = Counter(json.dumps(label, sort_keys=True) for label in given)
        return [json.loads(text) for text, _ in sorted(counted.items(), key=lambda p: (-p[1], p[0]))[:limit]]


def _subject(item: ReviewItem) -> str:
    """What the trail, from which nothing can be erased, may say of an item: not whose interaction it was about."""
    return f"an item of spin {item.spin}"
