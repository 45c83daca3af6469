"""Releases: what is in production and what was, promote and roll back, two versions beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks
from flywheel.web.drawing import glimpse

__all__ = ["add"]

_MOST = 100


def add() -> None:
    """Register the page."""

    @frame.page("/releases", title="Releases", scope="read")
    async def releases(view: frame.View, left: str = "", right: str = "") -> None:
        found = await view.ask(view.wheel.releases)
        now = next((one for one in reversed(found) if one.role == "champion"), None)
        if now is None:
            marks.empty("No model was released yet. A spin releases what its gate promotes:", "flywheel spin")
        else:
            with ui.element("div").classes("fw-figures"):
                marks.figure("Champion", now.version, f"since {marks.when(now.at)}")
                made = f"spin {now.spin}, {now.trainer or 'a trainer'}" if now.spin else "it was adopted"
                marks.figure("Made by", made, f"dataset {now.dataset[:12]}" if now.dataset else "")
                marks.figure("A rollback goes to", now.replaced or "nothing")
        challenger = next((one for one in reversed(found) if one.role == "challenger"), None)
        if view.may("release") and found:
            _act(view, now, challenger)
        if found:
            await _compare(view, list(dict.fromkeys(one.version for one in found)), left, right)
            _history(view, found)


def _act(view: frame.View, now: Any, challenger: Any) -> None:
    back = now is not None and now.replaced
    says = "Each asks before it does anything, takes effect at once in every process, and is in the audit trail."
    with marks.block("Change what is in production", says), ui.element("div").classes("fw-row"):
        if challenger is not None:
            _asked(view, "Promote the challenger", f"{challenger.version} becomes the champion, at once.",
                   lambda: view.wheel.promote(by=view.by))  # fmt: skip
        if back:
            _asked(view, "Roll back", f"{now.replaced} answers again instead of {now.version}, at once.",
                   lambda: view.wheel.rollback(by=view.by))  # fmt: skip
        if challenger is None and not back:
            marks.empty("No challenger waits, and there is no model before this one.")


def _asked(view: frame.View, name: str, says: str, verb: Callable[[], Any]) -> None:
    with ui.dialog() as dialog, ui.card():
        marks.say(name, "h2")
        marks.say(says, "p")
        told = marks.say("", "p", "fw-bad").props("role=alert")

        async def go() -> None:
            try:
                await view.ask(verb, "release")
            except FlywheelError as problem:
                told.set_text(str(problem))
                return
            dialog.close()
            ui.navigate.to(view.path("/releases"))

        with ui.element("div").classes("fw-row"):
            marks.button("Cancel", dialog.close)
            marks.button(f"Yes: {name[:1].lower()}{name[1:]}", go, main=True)
    dialog._props["aria-label"] = name
    marks.button(name, dialog.open)


def _history(view: frame.View, found: list[Any]) -> None:
    rows = [
        (one.version, marks.stamp(one.role), marks.when(one.at),
         (f"Spin {one.spin}", view.path("/spins", one.spin)) if one.spin else "–", one.trainer or "–",
         (one.dataset[:12], view.path("/data", one.dataset)) if one.dataset else "–", one.replaced or "–")
        for one in reversed(found)
    ]  # fmt: skip
    with marks.block("History", "The newest first."):
        marks.table("Releases", ("Version", "Role", "Since", "Made by", "Trainer", "Dataset", "Took over from"), rows)


async def _compare(view: frame.View, versions: list[str], left: str, right: str) -> None:
    says = "Both answer the same labelled interactions; neither is judged by an example it was trained on."
    with marks.block("Two versions beside each other", says):
        if len(versions) < 2:
            marks.empty("There is one version so far: the next one that is released can be held against it.")
            return
        one, other = (left if left in versions else versions[-2]), (right if right in versions else versions[-1])
        _choose(view, versions, one, other)
        if (left and left not in versions) or (right and right not in versions):
            marks.error(f"There is no such version; {one} and {other} are shown instead.")
        try:
            found = await view.ask(lambda: view.wheel.compare(one, other))
        except FlywheelError as problem:
            marks.error(str(problem))
            return
        _beside(found)
        if found.slices:
            _slices(found)
    with ui.element("div").classes("fw-grid"):
        for title, cases, says in (
            ("Fixed", found.fixed, f"Wrong with {one}, right with {other}."),
            ("Broke", found.broke, f"Right with {one}, wrong with {other}."),
        ):
            with marks.block(title, f"{len(cases):,} of {found.n:,}. {says}"):
                if cases:
                    heads = ("Input", "Right", one, other)
                    marks.table(title, heads, [_case(view, case) for case in cases[:_MOST]])
                else:
                    marks.empty("None.")


def _choose(view: frame.View, versions: list[str], one: str, other: str) -> None:
    """A form that works without a script: the choice is in the address."""
    with ui.element("form").classes("fw-ask").props('method=get aria-label="Versions to compare"') as form:
        form._props["action"] = view.path("/releases")
        for name, words, chosen in (("left", "This version", one), ("right", "beside", other)):
            with ui.element("label"):
                marks.say(words)
                with ui.element("select") as field:
                    field._props["name"] = name
                    for version in reversed(versions):
                        option = marks.say(version, "option")
                        option._props["value"] = version
                        if version == chosen:
                            option._props["selected"] = True
        marks.say("Compare", "button", "fw-quiet-do")._props["type"] = "submit"


def _beside(found: Any) -> None:
    level = found.uplift
    with ui.element("div").classes("fw-figures").style("margin-top:1rem"):
        for version, held in ((found.left, found.accuracy_left), (found.right, found.accuracy_right)):
            says = f"{100 * held.low:.1f} to {100 * held.high:.1f}, n = {held.n:,}"
            marks.figure(f"Accuracy of {version}", marks.percent(held.estimate), says)
        sure = "" if level.low <= 0 <= level.high else ", beyond chance"
        marks.figure(f"{found.right} against {found.left}", f"{100 * level.estimate:+.1f} points",
                     f"{100 * level.low:+.1f} to {100 * level.high:+.1f}{sure}")  # fmt: skip
        marks.figure("They differ on", marks.percent(found.disagree), "of the interactions, labelled or not")


def _slices(found: Any) -> None:
    rows = [
        (str(one.where), f"{one.left} of {one.n}", f"{one.right} of {one.n}",
         f"{100 * (one.right - one.left) / one.n:+.0f} points")
        for one in found.slices
    ]  # fmt: skip
    marks.say("By slice, of the labelled interactions; where they differ most first.", "p", "fw-says")
    heads = ("Slice", f"{found.left} right", f"{found.right} right", "Difference")
    marks.table("Both versions by slice", heads, rows, numbers=(1, 2, 3))


def _case(view: frame.View, case: Any) -> tuple[Any, ...]:
    to = view.path("/interactions", case.interaction_id) if case.interaction_id else None
    return glimpse(case.input, to), *(marks.brief(one, 40) for one in (case.label, case.left, case.right))
