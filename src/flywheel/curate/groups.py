"""Group decisions: what one answer says about the inputs that are alike, and where it may be believed.

An answer about one input of a group is no answer about the others: of labels spread to whole groups of texts more than
half are wrong (`make bench-discovery`). So an answer is passed on only where everything agrees about the single
member: the other answers in its group, the labelled examples nearest to it, and a model that learnt from the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.curate.examples import canonical
from flywheel.records import Example, Group, ReviewItem

__all__ = ["ORIGIN", "RULES", "WEIGHT", "group_examples", "spread"]

ORIGIN = "group"
"""The origin of an example whose label comes from another input's answer. It is never in an evaluation."""
WEIGHT = 0.5
"""What such an example weighs beside one that somebody has looked at."""
RULES = ("group", "checks", "neighbours", "all")
"""From the loosest to the strictest: the whole group; where a check agrees; and the nearest examples; and the model."""


def spread(
    group: Group,
    answers: Mapping[str, Any],
    *,
    nearest: Mapping[str, Sequence[Any]],
    model: Mapping[str, Any],
    rule: str = "all",
) -> dict[str, Any]:
    """The members without an answer that get the group's, and that label.

    `answers` holds the label of each member that somebody has answered, by interaction id: the first is the decision,
    every other one a check. `nearest` holds the labels of the examples nearest to each member, and `model` what a
    retrained model, to which the member itself was not shown, says about it. With `rule` `group` all members get the
    commonest answer; with `checks` only in a group of two answers or more that all agree; with `neighbours` only
    those, besides, whose nearest examples all have that label; with `all` only those about which the model agrees, too.

    >>> alike = Group(id="g1", name="parking", members=("a", "b", "c", "d"))
    >>> told = {"a": "park", "b": "park"}
    >>> spread(alike, told, nearest={"c": ["park"], "d": ["pay"]}, model={"c": "park", "d": "park"})
    {'c': 'park'}
    """
    given = [answers[key] for key in group.members if key in answers]
    if not given:
        return {}
    said = sorted(canonical(label) for label in given)
    most = max(sorted(set(said)), key=said.count)
    label = next(one for one in given if canonical(one) == most)
    if rule != "group" and (len(given) < 2 or len(set(said)) > 1):
        return {}
    found = {}
    for key in group.members:
        near = [canonical(one) for one in nearest.get(key, ())]
        by_near = rule in ("group", "checks") or (bool(near) and set(near) == {most})
        by_model = rule != "all" or (key in model and canonical(model[key]) == most)
        if key not in answers and by_near and by_model:
            found[key] = label
    return found


def group_examples(
    items: Sequence[ReviewItem], labels: Mapping[str, Any], inputs: Mapping[str, Any], group: Group
) -> list[Example]:
    """Make examples of spread labels: of the origin `group`, half the weight, and a way back to the decision.

    `items` are the answered items of the group, `labels` the spread label and `inputs` the input of each interaction.
    """
    asked = [item for item in items if item.interaction_id in group.members and item.status == "labelled"]
    if not asked:
        return []
    first = min(asked, key=lambda item: (group.members.index(item.interaction_id), item.id))
    return [
        Example(
            id=f"group-{key}",
            input=inputs[key],
            label=label,
            origin=ORIGIN,
            interaction_id=key,
            by=f"group {group.id}, item {first.id}",
            at=first.at,
            spin=first.spin,
            mode=first.mode,
            weight=WEIGHT,
        )
        for key, label in sorted(labels.items())
        if key in inputs
    ]
