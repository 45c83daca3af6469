"""Group decisions in a spin: which groups the labelers are shown, and which answers are passed on to alike inputs."""

from __future__ import annotations

from collections.abc import Sequence

from flywheel import mine
from flywheel.curate.groups import group_examples, spread
from flywheel.loop.turn import Turn
from flywheel.records import Dataset, Example, Group, ReviewItem, from_dict

__all__ = ["groups_to_show", "passed_on"]

_ALIKE = 3
"""A group of fewer inputs is not shown as one."""
_NEAREST = 2
"""So many of the nearest examples must have the label that is passed on."""


def _groups(work: Turn) -> list[Group]:
    return [from_dict(Group, group) for group in work.docs["mine"].get("groups", [])]


def groups_to_show(work: Turn) -> dict[str, Group]:
    """Interaction id → its group, for the groups that a labeler is shown: those with a name and three members."""
    return {key: group for group in _groups(work) if group.size >= _ALIKE and group.name for key in group.members}


def passed_on(work: Turn, items: Sequence[ReviewItem], learnt: Sequence[Example]) -> list[Example]:
    """Examples for the unanswered members of groups about which all agree (`curate.spread_groups`); usually few.

    `items` are this spin's answered ones and `learnt` all examples, those made of them among these. A group takes part
    when two of its members or more have an answer: the first is the decision, the others check it. Trains once.
    """
    if not work.shop.config.curate.spread_groups:
        return []
    answers = {item.interaction_id: item.label for item in items if item.interaction_id}
    groups = [group for group in _groups(work) if sum(key in answers for key in group.members) > 1]
    known = {example.interaction_id for example in learnt}
    asked_for = sorted({key for group in groups for key in group.members if key not in answers and key not in known})
    inputs = {seen.id: seen.input for seen in work.snapshot.fetch(asked_for)}
    if not inputs:
        return []
    ids, texts = sorted(inputs), [example.input for example in learnt]
    members = [inputs[key] for key in ids]
    labels = [example.label for example in learnt]
    seen = mine.look(members, texts, labels, embedder=work.embedder(texts))
    nearest = {key: [labels[at] for at in seen.nearest_examples(row, _NEAREST)] for row, key in enumerate(ids)}
    taught = Dataset(hash=f"groups of spin {work.spin.number}", examples=tuple(learnt))
    said = work.shop.trainer_for(texts).fit(taught, None, work.spin.seed).predict(members).outputs
    model = dict(zip(ids, said, strict=True))
    found: list[Example] = []
    for group in groups:
        labelled = spread(group, answers, nearest=nearest, model=model)
        found += group_examples(items, labelled, inputs, group)
    return found
