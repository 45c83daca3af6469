"""What the review page shows: an input drawn as what it is, the choices, the search, and where the review stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nicegui import ui

from flywheel.web import marks
from flywheel.web.drawing import glimpse

if TYPE_CHECKING:
    from flywheel.records import ReviewItem

__all__ = ["STYLE", "choices", "disagreement_rows", "keys_of", "matches", "said", "standing"]

_FOUND = 8
_FEW = 10
"""So many labels in all get a digit each, always the same one; of more, only the item's likeliest do."""
STYLE = """
.fw-review { width: 100%; font-size: 14px; }
.fw-review .fw-quiet { opacity: .75; }
.fw-review span, .fw-review p, .fw-review td, .fw-review dd, .fw-review li { unicode-bidi: plaintext; }
.fw-status { min-height: 22px; margin: 0 0 6px; font-size: 13px; opacity: .85; }
.fw-desk { display: grid; grid-template-columns: minmax(0, 1fr) 15rem; gap: 36px; }
.fw-desk h2 { font-size: 13px; font-weight: 500; line-height: 1.4; margin: 14px 0 6px; opacity: .75; }
.fw-why { display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: baseline; font-size: 13px; }
.fw-tag { font-size: 12px; padding: 1px 7px; border-radius: 4px;
  background: color-mix(in srgb, currentColor 9%, transparent); }
.fw-input { font-size: 18px; line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 40vh;
  overflow: auto; margin: 0 0 14px; }
.fw-turn { margin: 0 0 8px; padding: 8px 12px; border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere;
  background: color-mix(in srgb, currentColor 6%, transparent); max-width: 46rem; }
.fw-turn.user { margin-left: 1.5rem; background: color-mix(in srgb, #56B4E9 16%, transparent); }
.fw-turn span { display: block; font-size: 12px; opacity: .75; }
.fw-record { border-collapse: collapse; margin: 0 0 14px; font-size: 14px; }
.fw-record th { text-align: left; font-weight: 500; opacity: .75; padding: 3px 18px 3px 0; vertical-align: top; }
.fw-record td { padding: 3px 12px 3px 0; overflow-wrap: anywhere; }
.fw-facts { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 0 0 14px; font-size: 13px; }
.fw-facts dt { font-size: 12px; opacity: .75; } .fw-facts dd { margin: 0; overflow-wrap: anywhere; }
.fw-group { border-left: 3px solid #0072B2; padding: 2px 0 4px 12px; margin: 0 0 14px; display: flex;
  flex-direction: column; gap: 4px; align-items: flex-start; font-size: 13px; }
.fw-group ul { margin: 2px 0 6px; padding-left: 18px; list-style: disc; }
.fw-choices { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 6px; margin: 0 0 10px; }
.fw-choice, .fw-review .fw-plain, .fw-review input { font: inherit; color: inherit; background: transparent;
  border: 1px solid color-mix(in srgb, currentColor 26%, transparent); border-radius: 6px; }
.fw-choices.fw-short { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
.fw-choice { display: flex; gap: 10px; align-items: baseline; padding: 8px 12px; cursor: pointer; text-align: left;
  overflow-wrap: anywhere; min-width: 0; }
.fw-choice:hover, .fw-choice:focus-visible, .fw-review .fw-plain:hover {
  background: color-mix(in srgb, currentColor 7%, transparent); }
.fw-choice kbd { font: inherit; font-size: 12px; min-width: 1.5em; text-align: center; padding: 0 4px;
  border-radius: 4px; border: 1px solid color-mix(in srgb, currentColor 26%, transparent); }
.fw-choice kbd:only-child, .fw-choice kbd + .fw-quiet { font-size: 14px; }
.fw-facts { padding-top: 8px; }
.fw-choice span { min-width: 0; }
.fw-review .fw-plain { font-size: 13px; padding: 5px 10px; cursor: pointer; }
.fw-review .fw-plain[aria-pressed=true] { background: #0072B2; color: #fff; border-color: #0072B2; }
.fw-review input { width: 100%; padding: 8px 12px; }
.fw-found { display: flex; flex-wrap: wrap; gap: 6px; margin: 6px 0 10px; }
.fw-acts { display: flex; flex-wrap: wrap; gap: 6px; }
.fw-review aside { font-size: 13px; }
.fw-review aside h2 { margin-top: 0; }
@media (max-width: 900px) { .fw-desk { grid-template-columns: minmax(0, 1fr); gap: 20px; }
  .fw-choices { grid-template-columns: minmax(0, 1fr); } .fw-choice { min-height: 44px; }
  .fw-choices.fw-short { grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); } }
"""


def said(value: Any) -> str:
    """A logged value as text.

    >>> said("a"), said({"a": 1})
    ('a', '{"a": 1}')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def choices(item: ReviewItem, known: Sequence[Any]) -> list[Any]:
    """What the digits stand for: where there are few labels in all, every one in an order that stays the same from item
    to item, so that hands learn it; where there are many, the item's own suggestions, the likeliest first.

    >>> from flywheel.records import ReviewItem
    >>> choices(ReviewItem(id="q", interaction_id="i", input=1, output="b", suggestions=("b", "c")), ["a", "b", "c"])
    ['a', 'b', 'c']
    """
    own = list(item.suggestions)[:_FEW]
    every = [*own, *(label for label in known if label not in own)]
    if len(every) > _FEW:
        return own
    return sorted(every, key=lambda label: (not _is_number(label), label if _is_number(label) else 0, said(label)))


def keys_of(labels: Sequence[Any]) -> list[str]:
    """The digit for each label: the label itself where all are digits, else 1 to 9 and 0 in their order.

    >>> keys_of(["card", "pin"]), keys_of([0, 7])
    (['1', '2'], ['0', '7'])
    """
    names = [said(label) for label in labels]
    if all(len(name) == 1 and name in "0123456789" for name in names):
        return names
    return [str((place + 1) % 10) for place in range(len(labels))]


def _is_number(label: Any) -> bool:
    return isinstance(label, int | float) and not isinstance(label, bool)


def matches(query: str, known: Sequence[Any]) -> list[Any]:
    """The labels that a search finds: the equal one first, then those that begin so, then those that hold every word.

    >>> matches("card l", ["lost card", "card lost", "pin"])
    ['card lost', 'lost card']
    """
    words = query.lower().replace("_", " ").split()
    if not words:
        return []
    plain = " ".join(words)
    found = []
    for place, label in enumerate(known):
        name = said(label).lower().replace("_", " ")
        if all(word in name for word in words):
            found.append((name != plain, not name.startswith(plain), place))
    return [known[place] for _, _, place in sorted(found)[:_FOUND]]


def standing(told: dict[str, Any], keys: str) -> None:
    """Progress against the budget, the pace, who did what, and the keys."""
    marks.say("Progress" if told["spin"] is None else f"Spin {told['spin']}", "h2")
    asked, done = told["asked"], told["labelled"] + told["skipped"]
    marks.meter(done / max(1, asked), f"{done} of {asked} answered")
    rows = [
        ("Labeled", f"{told['labelled']} of {asked}"),
        ("Budget", f"{told['budget']} labels"),
        ("Random audit", f"{told['audit_labelled']} of {told['audit']}"),
        ("Skipped", str(told["skipped"])),
        ("Not sure", str(told["unsure"])),
    ]
    if told["per_hour"] is not None:
        rows.append(("Pace", f"{told['per_hour']:,} an hour"))
    rows += [(who, f"{count} labeled") for who, count in list(told["by"].items())[:6]]
    with ui.element("table").classes("fw-record"), ui.element("tbody"):
        for name, value in rows:
            with ui.element("tr"):
                marks.say(name[:60], "th").props('scope="row"')
                marks.say(value, "td")
    marks.say("Keys", "h2")
    for key in keys.split(" · "):
        marks.say(key, "div").classes("fw-quiet")


def disagreement_rows(view: Any, found: Sequence[dict[str, Any]], settle: Callable[[Any, Any], Any]) -> None:
    """A table of what people saw differently: a line leads to its interaction, and a button lets one label stand."""
    if not found:
        marks.say("Nobody disagrees", "h2")
        words = "Where two people give different labels to one interaction, both stand here until one is chosen."
        marks.say(words, "p").classes("fw-quiet")
        return
    rows = [
        (
            glimpse(one["item"].input, view.path("/interactions", one["item"].interaction_id)),
            lambda one=one: _said_by(one),
            "waits again" if one["stands"] is None else said(one["stands"])[:200],
            lambda one=one: _choices(one, settle),
        )
        for one in found
    ]
    marks.table("Disagreements", ("Input", "Who said what", "What stands", "Decide"), rows)


def _said_by(one: dict[str, Any]) -> None:
    with ui.element("div"):
        for word in one["said"]:
            marks.say(f"{word['by']}: {said(word['label'])[:200]}", "div")


def _choices(one: dict[str, Any], settle: Callable[[Any, Any], Any]) -> None:
    item, given = one["item"], []
    for word in one["said"]:
        if word["label"] not in given:
            given.append(word["label"])
    with ui.element("div").classes("fw-acts"):
        for label in given:
            button = marks.say(said(label)[:60], "button").classes("fw-plain").props('type="button"')
            button.props["aria-label"] = f"Let {said(label)[:60]} stand"
            button.on("click", lambda label=label: settle(item, label))
