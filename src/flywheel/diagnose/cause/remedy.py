"""What to do about a cause, and how the next spin follows it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flywheel.diagnose.naming import say
from flywheel.records import Interval, Mode

if TYPE_CHECKING:
    from flywheel.diagnose.cause.measure import Measured

__all__ = ["ACTIONS", "Follow", "Remedy", "follow", "remedy_of"]

ACTIONS = {
    "data scarcity": "label",
    "algorithmic flaw": "change model",
    "external noise": "filter or augment",
    "label noise": "relabel",
    "unknown": "ask",
}
"""What each cause asks for."""

_BUDGET = {
    "data scarcity": 2.0,
    "algorithmic flaw": 0.3,
    "external noise": 0.5,
    "label noise": 0.3,
    "unknown": 1.0,
}
"""How much a label for a mode is worth, beside what its size says: much where labels are what is missing, little where
more of them change nothing."""

_CHECK = 10
"""Labels that show whether a change has helped, and with which an unknown cause is looked for."""
_MOST = 200

_AUGMENT = {
    "misspelt words": "typing errors",
    "odd characters": "broken encodings",
    "length": "shortened inputs",
    "letters a word": "words run together or cut",
    "evenness of the letters": "letters lost or doubled",
    "consonants in a row": "letters lost or doubled",
    "runs of one character": "letters lost or doubled",
    "words repeated": "repeated words",
    "words never seen before": "typing errors",
    "contrast": "blurred and dimmed pictures",
    "sharpness": "blurred pictures",
    "grain": "grainy pictures",
    "numbers at the floor": "covered pictures",
    "numbers at the ceiling": "bright pictures",
    "empty rows and columns": "covered pictures",
    "largest number": "dimmed pictures",
    "what the examples' main directions do not explain": "noise on every number",
    "missing numbers": "missing numbers",
    "missing fields": "missing fields",
    "numbers out of range": "numbers in another unit (or refuse them at the door)",
    "values never seen before": "unknown values (or refuse them at the door)",
    "values of another type": "fields of the wrong type (or refuse them at the door)",
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, in words and in numbers."""

    action: str
    text: str
    wanted: int
    mends: Interval | None = None


@dataclass(frozen=True, slots=True)
class Follow:
    """What the next spin does about the causes.

    `shares`: mode id → what to multiply the value of its labels by, 0.3 to 2, when the label budget is shared out.
    `relabel`: ids of examples for a second look, the most doubtful of the gravest mode first. `augment`: mode id → how
    to disturb training inputs. `asks`: mode id → what only people can answer.
    """

    shares: dict[str, float] = field(default_factory=dict)
    relabel: tuple[str, ...] = ()
    augment: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)


def remedy_of(kind: str, m: Measured) -> Remedy:
    """The remedy for a cause, with the number of labels it takes.

    Scarcity takes as many labels as it lacks of the usual label's examples; a change of model, a filter or an
    augmentation ten to see that it has helped; label noise one second look an example that is doubted.
    """
    mends = m.mends.get(kind)
    if kind == "data scarcity":
        wanted = min(_MOST, max(10, math.ceil(m.usual)) - m.of_label) if m.label is not None else 2 * _CHECK
        wanted = max(wanted, 5)
        if m.label is not None and m.slice is not None and m.numbers.get("slice_few", 0.0) >= 1.0:
            value, n, usual = m.slice
            wanted = max(5, min(_MOST, math.ceil(usual) - n))
            text = f"Label about {wanted} more with {value}: {_count(n, 'example')} of {_read(m.label)} there so far"
        elif m.label is not None:
            text = f"Label about {wanted} more like these: {_count(m.of_label, 'example')} of {_read(m.label)} so far"
        else:
            text = f"Label about {wanted} more like these: there is too little to learn them from"
        return Remedy(ACTIONS[kind], text, wanted, mends)
    if kind == "algorithmic flaw":
        best = max(sorted(m.families), key=lambda name: m.families[name]) if m.families else None
        better = f": of those with a label, {m.families[best]:.0%} are right with {_FAMILY[best]}" if best else ""
        text = f"Try another kind of model or other features{better}"
        return Remedy(ACTIONS[kind], text, _CHECK, mends)
    if kind == "external noise":
        where = (
            f"Look at what {m.place.value} does to the inputs"
            if m.place is not None
            else "Look at where they come from"
        )
        how = _AUGMENT.get(m.sign[0]) if m.sign is not None else None
        text = f"{where}; filter them, or train with {how or 'inputs disturbed in the same way'}"
        return Remedy(ACTIONS[kind], text, _CHECK, mends)
    if kind == "label noise":
        n = len(m.doubtful)
        looks = f"Have {_count(n, 'doubtful label')} nearby checked" if n else "Have the labels given to these checked"
        text = f"{looks} by a second person before training on them"
        return Remedy(ACTIONS[kind], text, max(n, min(m.labelled, _CHECK), 1), mends)
    return Remedy(
        ACTIONS[kind], "Label some of these first: there is not yet enough to say why", max(5, _CHECK - m.labelled)
    )


_FAMILY = {
    "linear": "a linear model",
    "kernel": "a kernel machine",
    "neighbours": "nearest neighbours",
    "trees": "randomised trees",
}


def follow(modes: Sequence[Mode], *, looks: int = 50) -> Follow:
    """Say what the next spin should do about the modes that are not fixed, from what their causes are.

    Shares follow the whole distribution over causes, so a cause that is only likely moves the budget only a little. At
    most `looks` second looks are asked for; a mode's doubtful labels are taken in proportion to the probability that
    labels are its trouble.

    >>> from flywheel.records import Cause
    >>> cause = Cause(kind="data scarcity", probabilities={"data scarcity": 0.9, "unknown": 0.1})
    >>> follow([Mode(id="m-1", name="reads 7", cause=cause)]).shares
    {'m-1': 1.9}
    """
    alive = [mode for mode in modes if mode.state != "fixed"]
    shares, augment, asks = {}, {}, {}
    doubted: list[tuple[float, int, str]] = []
    for mode in alive:
        chances = mode.cause.probabilities or {mode.cause.kind: 1.0}
        shares[mode.id] = round(sum(_BUDGET.get(kind, 1.0) * p for kind, p in chances.items()), 3)
        weight = chances.get("label noise", 0.0) * (mode.risk.number if mode.risk else 1)
        if mode.cause.action == "relabel":
            doubted.extend((-weight / (turn + 1), turn, key) for turn, key in enumerate(mode.cause.relabel))
        if mode.cause.action == "filter or augment":
            augment[mode.id] = mode.cause.remedy
        if mode.cause.action == "ask":
            asks[mode.id] = f"What do these have in common that the data do not show? {mode.name}"
    order = dict.fromkeys(key for _, _, key in sorted(doubted))
    return Follow(shares, tuple(order)[:looks], augment, asks)


def _read(key: str) -> str:
    return say(json.loads(key))


def _count(n: int, what: str) -> str:
    return f"{n if n else 'no'} {what}{'' if n == 1 else 's'}"
