"""The review queue: what waits for people's labels, kept in the state so that a restart loses nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from flywheel.curate.exchange import LabelProblem, LabelsRead, RowRead, read_labels, typed, write_items
from flywheel.errors import InvalidRecord, NotFound
from flywheel.records import Example, Group, Interaction, ReviewItem, Selection
from flywheel.store import State

__all__ = ["ReviewQueue"]

_SUGGESTIONS = 3
_SHOWN = 5
"""An item names so many members of its group."""


class ReviewQueue:
    """Items that wait for a label, in the order they were asked for.

    Every change is one transaction of the state; two people may label at once, and the last answer to one item stands.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def fill(
        self,
        selections: Sequence[Selection],
        interactions: Iterable[Interaction],
        spin: int,
        groups: Mapping[str, Group] | None = None,
    ) -> int:
        """Queue what was selected, and return how many items are new. Filling twice is filling once.

        A selection whose interaction is not among `interactions` (erased meanwhile) is left out. `groups` names the
        group of an interaction, by id: items of one group come one after the other. What the random audit asks about
        never shows its group: it is to be judged by itself.
        """
        by_id = {interaction.id: interaction for interaction in interactions}
        items = [
            _item(selection, by_id[selection.interaction_id], spin, (groups or {}).get(selection.interaction_id))
            for selection in selections
            if selection.interaction_id in by_id
        ]
        return self._state.add_items(_together(items))

    def ask_again(self, examples: Iterable[Example], spin: int) -> int:
        """Queue a second opinion on examples whose label looks wrong; return how many items are new.

        The audit mark and the propensity of the first label go with it: the correction stands in its place.
        """
        return self._state.add_items(
            [
                ReviewItem(
                    id=_item_id(spin, example.id, relabel=True),
                    interaction_id=example.interaction_id or "",
                    input=example.input,
                    output=example.label,
                    suggestions=(example.label,),
                    why="the label given before looks wrong: a second opinion",
                    spin=spin,
                    mode=example.mode,
                    audit=example.audit,
                    propensity=example.propensity,
                    relabel=True,
                    context=example.context,
                )
                for example in examples
            ]
        )

    def waiting(self, limit: int | None = None) -> list[ReviewItem]:
        """The items without an answer, oldest first; those about which somebody was unsure come last."""
        return sorted(self._state.items(status="waiting"), key=lambda item: bool(item.unsure))[:limit]

    def label(self, item_id: str, label: Any, by: str, at: datetime) -> ReviewItem:
        """Answer an item; an earlier answer to it is replaced.

        Raises `NotFound` for an unknown item and `InvalidRecord` for a label that is nothing, or is not JSON.
        """
        item = self._known(item_id)
        answered = replace(item, status="labelled", label=_checked(label), by=by, at=_utc(at))
        self._state.save_item(answered)
        return answered

    def label_many(self, answers: Sequence[tuple[str, Any, str, datetime]]) -> list[ReviewItem]:
        """Answer many items at once, each `(item id, label, by, at)`. Raises as `label`, with what came before kept."""
        answered: list[ReviewItem] = []
        try:
            for key, label, by, at in answers:
                item = self._known(key)
                answered.append(replace(item, status="labelled", label=_checked(label), by=by, at=_utc(at)))
        finally:
            self._state.save_items(answered)
        return answered

    def skip(self, item_id: str, by: str, at: datetime) -> ReviewItem:
        """Leave an item unanswered for good: nobody can tell."""
        skipped = replace(self._known(item_id), status="skipped", label=None, by=by, at=_utc(at))
        self._state.save_item(skipped)
        return skipped

    def unsure(self, item_id: str, by: str) -> ReviewItem:
        """Leave a waiting item to somebody else: it goes behind the others, and keeps who could not tell.

        Saying so twice, or about an item that somebody has answered meanwhile, changes nothing.
        """
        item = self._known(item_id)
        if item.status != "waiting" or by in item.unsure:
            return item
        doubted = replace(item, unsure=(*item.unsure, by))
        self._state.save_item(doubted)
        return doubted

    def sure(self, item_id: str, by: str) -> ReviewItem:
        """Take back that somebody was unsure; without it, nothing changes."""
        item = self._known(item_id)
        if by not in item.unsure:
            return item
        clear = replace(item, unsure=tuple(name for name in item.unsure if name != by))
        self._state.save_item(clear)
        return clear

    def undo(self, item_id: str | None = None) -> ReviewItem:
        """Take an answer back, by default the latest one: the item waits again. Raises `NotFound` without an answer."""
        if item_id is None:
            answered = [item for item in self._state.items() if item.status != "waiting" and item.at is not None]
            if not answered:
                raise NotFound("nothing has been answered yet, so there is nothing to undo")
            item = max(answered, key=lambda item: (item.at, item.id))
        else:
            item = self._known(item_id)
            if item.status == "waiting":
                raise NotFound(f"item {item_id} has no answer to undo; it is waiting")
        waiting = replace(item, status="waiting", label=None, by=None, at=None)
        self._state.save_item(waiting)
        return waiting

    def export(self, path: Path, format: str, items: Sequence[ReviewItem] | None = None) -> int:
        """Write the waiting items (or `items`) as `csv`, `jsonl` or `label-studio` tasks; return how many.

        The file appears whole or not at all. How an item was sampled is not in it: it would colour the answers.
        """
        chosen = self.waiting() if items is None else list(items)
        write_items(chosen, Path(path), format)
        return len(chosen)

    def import_(self, path: Path, format: str, *, by: str = "", at: datetime) -> LabelsRead:
        """Read labels back from a filled-in file; what cannot be used is reported by line and the rest is kept.

        `by` and `at` stand in where a row does not say who and when. Reading the same file again changes nothing.
        Raises `InvalidRecord` when the file as a whole is not of the format.
        """
        labelled = skipped = unchanged = 0
        problems: list[LabelProblem] = []
        for row in read_labels(Path(path), format):
            if isinstance(row, LabelProblem):
                problems.append(row)
                continue
            item = self._state.item(row.item_id)
            if item is None:
                problems.append(row.problem(f"there is no item {row.item_id!r}; keep the ids of the exported file"))
            elif row.skip:
                if item.status == "waiting":
                    self.skip(item.id, row.by or by, row.at or at)
                    skipped += 1
                else:
                    unchanged += 1
            else:
                outcome = self._answer(item, row, by, at)
                labelled += outcome is True
                unchanged += outcome is False
                if isinstance(outcome, LabelProblem):
                    problems.append(outcome)
        return LabelsRead(labelled, skipped, unchanged, tuple(problems))

    def _answer(self, item: ReviewItem, row: RowRead, by: str, at: datetime) -> bool | LabelProblem:
        """True when the item got this label, False when it has it already."""
        label = typed(row.label, item) if row.as_text else row.label
        if label is None or (isinstance(label, str) and not label.strip()):
            if item.status != "waiting":
                return False
            return row.problem("the label is empty; fill it in, or leave the line out")
        if item.status == "labelled" and item.label == label and type(item.label) is type(label):
            return False
        try:
            self.label(item.id, label, row.by or by, row.at or at)
        except InvalidRecord as problem:
            return row.problem(str(problem))
        return True

    def _known(self, item_id: str) -> ReviewItem:
        item = self._state.item(item_id)
        if item is None:
            raise NotFound(f"there is no review item {item_id!r}. `flywheel label` lists those that wait")
        return item


def _item_id(spin: int, of: str, relabel: bool) -> str:
    # A letter first: a spreadsheet would read twelve digits, or 12e345678901, as a number.
    return "q" + hashlib.sha256(f"{spin}|{of}|{relabel}".encode()).hexdigest()[:12]


def _together(items: Sequence[ReviewItem]) -> list[ReviewItem]:
    """The same items, those of one group right after the first of them."""
    first: dict[str, int] = {}
    for place, item in enumerate(items):
        if item.group is not None:
            first.setdefault(item.group.id, place)
    places = [first[item.group.id] if item.group is not None else place for place, item in enumerate(items)]
    return [items[at] for at in sorted(range(len(items)), key=lambda at: (places[at], at))]


def _item(selection: Selection, interaction: Interaction, spin: int, group: Group | None = None) -> ReviewItem:
    return ReviewItem(
        id=_item_id(spin, interaction.id, selection.relabel),
        interaction_id=interaction.id,
        input=interaction.input,
        output=interaction.output,
        suggestions=_suggestions(selection, interaction),
        why=selection.why,
        spin=spin,
        mode=selection.mode,
        audit=selection.audit,
        propensity=None if selection.later else selection.propensity,
        p_failure=selection.p_failure,
        relabel=selection.relabel,
        confidence=None if selection.blind else interaction.confidence,
        context=interaction.context,
        group=None if group is None or selection.audit else replace(group, members=group.members[:_SHOWN]),
        blind=selection.blind,
    )


def _suggestions(selection: Selection, interaction: Interaction) -> tuple[Any, ...]:
    """The model's answer and its next best ones, in the type of the answer."""
    found = list(selection.suggestions)
    if interaction.output is not None and interaction.output not in found:
        found.append(interaction.output)
    scores = interaction.scores or {}
    for name in sorted(scores, key=lambda name: (-scores[name], name)):
        value: Any = name
        if interaction.output is not None and not isinstance(interaction.output, str):
            try:
                value = json.loads(name)
            except ValueError:
                continue
        if value not in found:
            found.append(value)
    return tuple(found[: max(_SUGGESTIONS, len(selection.suggestions))])


def _checked(label: Any) -> Any:
    if label is None:
        raise InvalidRecord("label", "is None, which says nothing", "Give the right output, or skip the item")
    try:
        json.dumps(label, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidRecord(
            "label", f"is not JSON: {problem}", "Give text, a finite number, a list or a dict"
        ) from problem
    return label


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InvalidRecord("at", f"{at.isoformat()} has no time zone", "Use datetime.now(UTC)")
    return at
