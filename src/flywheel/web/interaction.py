"""One interaction: what was asked and answered, what says it failed, what is like it, and where it went."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from nicegui import ui

from flywheel.web import frame, marks
from flywheel.web.drawing import drawn, drawn_small, plain
from flywheel.web.later import later

__all__ = ["add"]

T = TypeVar("T")
_PROVES = {
    "fresh": "trains, and proves: new to the champion",
    "fresh and suite": "trains, and proves: new to the champion, and drawn at random",
    "suite": "trains, and proves: regression suite",
    "nothing": "trains only",
}
_HOW = {
    "cross-fitted": "by a twin that had not seen its label",
    "asked": "by the model, which was not trained on it",
    "trained on it": "by the model, which was trained on it",
    "not kept": "its answer was not kept",
}


def add() -> None:
    """Register the page."""

    @frame.page("/interactions/{interaction_id:path}", title="Interaction", scope="read")
    async def interaction(view: frame.View, interaction_id: str) -> None:
        found, feedback = await view.ask(lambda: view.wheel.interaction(interaction_id))
        _head(found)
        with ui.element("div").classes("fw-grid"):
            with marks.block("Input"):
                drawn(found.input)
            _output(found)
        with ui.element("div").classes("fw-grid"):
            _later(view, "Did it fail?", lambda: _judged(view, found.id), lambda told: _belief(view, *told))
            with ui.element("div"):
                _feedback(feedback)
                _context(found)
        _later(
            view, "What the versions answer", lambda: view.wheel.replays(found.id), lambda told: _replays(view, told)
        )
        entered = await view.ask(lambda: view.wheel.entered(found.id))
        _entered(view, found.id, *entered)
        _later(view, "Most alike", lambda: view.wheel.neighbours(found.id), lambda told: _neighbours(view, told))


def _later(view: frame.View, title: str, ask: Callable[[], T], draw: Callable[[T], None]) -> None:
    with marks.block(title):
        later(view, ask, draw)


def _head(found: Any) -> None:
    with ui.element("div").classes("fw-figures"):
        marks.figure("At", marks.when(found.at), plain(found.id))
        marks.figure("Confidence", marks.percent(found.confidence))
        marks.figure("Latency", marks.number(found.latency_ms, 1, "ms"))
        marks.figure("Version", plain(found.model or "–"), f"user {plain(found.user)}" if found.user else "")


def _output(found: Any) -> None:
    with marks.block("Output"):
        if found.error:
            marks.error(plain(found.error))
        if found.output is not None or not found.error:
            drawn(found.output)
        if found.scores:
            top = sorted(found.scores.items(), key=lambda pair: -pair[1])[:10]
            rows = [(plain(name), f"{score:.3f}") for name, score in top]
            marks.table("Scores", ("Answer", "Score"), rows, numbers=(1,))


def _context(found: Any) -> None:
    with marks.block("Context"):
        rows = [(plain(name), plain(marks.brief(value))) for name, value in found.context.items()]
        if found.session:
            rows.append(("session", plain(found.session)))
        if rows:
            marks.table("Context", ("Field", "Value"), rows)
        else:
            marks.say("None was logged.", "p")


def _feedback(feedback: list[Any]) -> None:
    with marks.block("Feedback"):
        if not feedback:
            marks.say("Nobody has said anything about it yet.", "p")
            return
        rows = [
            (one.kind, plain(f"{one.name}: " if one.name else "") + plain(marks.brief(one.value, 300)),
             plain(f"{one.source}{f', {one.by}' if one.by else ''}"), marks.when(one.at))
            for one in feedback
        ]  # fmt: skip
        marks.table("Feedback", ("Kind", "Value", "From", "At"), rows)


# --- did it fail? -----------------------------------------------------------------------------------------------------


def _judged(view: frame.View, id: str) -> tuple[Any, Any]:
    belief = view.wheel.belief(id)
    modes = view.wheel.modes() if belief.mode else []
    return belief, next((mode for mode in modes if mode.id == belief.mode), None)


def _belief(view: frame.View, belief: Any, mode: Any) -> None:
    says = f"{belief.probability:.0%} likely wrong"
    if belief.settled:
        says = "Known to be wrong" if belief.probability > 0.5 else "Known to be right"
    with ui.element("p"):
        marks.say(says, classes=f"fw-{'bad' if belief.probability > 0.5 else 'good'}").style("font-weight:600")
        marks.say(f". Before anything is known of one, {belief.base:.0%}.", classes="fw-dim")
    if belief.label is not None:
        with ui.element("p"):
            marks.say("The right answer: ", classes="fw-dim")
            marks.say(plain(marks.brief(belief.label, 200)))
    if belief.evidence:
        rows = [(plain(one.detail), _strength(one.weight)) for one in belief.evidence]
        marks.table("Evidence", ("Evidence", "Makes a failure"), rows)
    else:
        marks.say("Nothing speaks for a failure, and nothing against one.", "p")
    with ui.element("p"):
        if mode is not None:
            marks.say("Failure mode ", classes="fw-dim")
            marks.link(plain(mode.name), view.path("/modes", mode.id))
            marks.say(f", cause: {mode.cause.kind} ({mode.cause.probability:.0%})", classes="fw-dim")
        elif belief.spin is not None:
            marks.say(f"Spin {belief.spin} put it into no failure mode.", classes="fw-dim")
        else:
            marks.say("It came after the last spin; the next one may put it into a failure mode.", classes="fw-dim")


def _strength(weight: float) -> str:
    """Log-odds as people say it.

    >>> _strength(3.0), _strength(-0.7), _strength(9.0)
    ('20 times likelier', '2.0 times less likely', 'over 1,000 times likelier')
    """
    times = math.exp(min(abs(weight), 50.0))
    many = "over 1,000" if times > 1000 else f"{times:,.0f}" if times >= 10 else f"{times:.1f}"
    return f"{many} times {'likelier' if weight > 0 else 'less likely'}"


# --- where it went ----------------------------------------------------------------------------------------------------


def _right(right: bool | None) -> Callable[[], None]:
    words, colour = {True: ("right", "good"), False: ("wrong", "bad"), None: ("not known", "dim")}[right]

    def shown() -> None:
        marks.say(words, classes=f"fw-{colour}")

    return shown


def _wide(words: str) -> Callable[[], None]:
    """A cell that keeps a readable width on a phone, where the table scrolls."""

    def shown() -> None:
        marks.say(words).style("display:inline-block;min-width:10rem")

    return shown


def _replays(view: frame.View, told: list[Any]) -> None:
    if not told:
        marks.say("There is no champion yet, and no candidate was replayed on it.", "p")
        return
    rows = [
        (plain(one.version), (f"spin {one.spin}", view.path("/spins", one.spin)) if one.spin else "now",
         one.role.removesuffix(" now"), "–" if one.how == "not kept" else plain(marks.brief(one.output, 90)),
         marks.percent(one.confidence), _right(one.right), _wide(_HOW[one.how]), one.decision or "")
        for one in told
    ]  # fmt: skip
    heads = ("Version", "In", "As", "Answer", "Confidence", "Is", "Answered", "Verdict")
    marks.table("What the versions answer", heads, rows, numbers=(4,))


def _entered(view: frame.View, id: str, entries: list[Any], older: int) -> None:
    with marks.block("Datasets it entered"):
        if not entries:
            marks.say("None: it was never labelled, or its label was not learnt from.", "p")
            return
        rows = [
            ((one.dataset[:12], view.path("/data", one.dataset)),
             (f"spin {one.spin}", view.path("/spins", one.spin)) if one.spin else "–",
             plain(marks.brief(one.label, 60)), plain(f"{one.origin}{f', {one.by}' if one.by else ''}"),
             _wide(_PROVES[one.proves]), one.fold + 1)
            for one in entries
        ]  # fmt: skip
        marks.table("Datasets", ("Dataset", "Made by", "Label", "From", "It is there", "Fold"), rows, numbers=(5,))
        if older:
            marks.say(f"And {older:,} older ones.", "p", "fw-dim")
        marks.link("Its whole lineage", f"{view.path('/data')}?of={quote(id, safe='')}")


def _neighbours(view: frame.View, told: Any) -> None:
    marks.say(f"Of the newest {told.among:,} others, those whose input is most like this one.", "p")
    if not told.found:
        marks.say("None has anything in common with it.", "p", "fw-dim")
        return
    rows = [
        (f"{one.likeness:.0%}", _input(view, one), plain(marks.brief(one.output, 50)), _right(one.right),
         "–" if one.label is None else plain(marks.brief(one.label, 50)), marks.when(one.at))
        for one in told.found
    ]  # fmt: skip
    marks.table("Most alike", ("Likeness", "Input", "Answer", "Is", "Right answer", "At"), rows, numbers=(0,))


def _input(view: frame.View, one: Any) -> Any:
    href = view.path("/interactions", one.interaction_id)
    if not isinstance(one.input, list | tuple | dict):
        return plain(marks.brief(one.input, 120)), href

    def shown() -> None:
        drawn_small(one.input)
        marks.link(plain(one.interaction_id), href).style("display:inline-block;min-width:7rem")

    return shown
