"""Releases: what is in production and what was, promote and roll back, two versions beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks

__all__ = ["add"]


def add() -> None:
    """Register the page."""

    @frame.page("/releases", title="Releases", scope="read")
    async def releases(view: frame.View, a: str = "", b: str = "") -> None:
        found = await view.ask(view.wheel.releases)
        spins = await view.ask(view.wheel.spins)
        now = next((one for one in reversed(found) if one.role == "champion"), None)
        if now is None:
            marks.empty("No model was released yet. A spin releases what its gate promotes:", "flywheel spin")
        else:
            with ui.element("div").classes("fw-figures"):
                marks.figure("Champion", now.version, f"since {marks.when(now.at)}")
                marks.figure("Took over from", now.replaced or "nothing")
        if view.may("release"):
            _act(view, now, next((one for one in reversed(found) if one.role == "challenger"), None))
        if found:
            _history(view, found)
            _compare(view, found, {one.number: one for one in spins}, a, b)


def _act(view: frame.View, now: Any, challenger: Any) -> None:
    back = now is not None and now.replaced
    with marks.block("Change what is in production"), ui.element("div").classes("fw-row"):
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
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            ui.button(f"Yes: {name[:1].lower()}{name[1:]}", on_click=go).props("no-caps unelevated")
    ui.button(name, on_click=dialog.open).props("no-caps outline")


def _history(view: frame.View, found: list[Any]) -> None:
    rows = [
        (one.version, lambda one=one: marks.badge(one.role), marks.when(one.at),
         (f"Spin {one.spin}", view.path("/spins", one.spin)) if one.spin else "–", one.trainer or "–",
         (one.dataset[:12], view.path("/data", one.dataset)) if one.dataset else "–", one.replaced or "–")
        for one in reversed(found)
    ]  # fmt: skip
    with marks.block("History", "The newest first."):
        marks.table("Releases", ("Version", "Role", "Since", "Made by", "Trainer", "Dataset", "Took over from"), rows)


def _compare(view: frame.View, found: list[Any], spins: dict[int, Any], a: str, b: str) -> None:
    versions = list(dict.fromkeys(one.version for one in found))
    if len(versions) < 2:
        return
    first, second = (a if a in versions else versions[-2]), (b if b in versions else versions[-1])
    known = {one.version: one for one in found}
    with marks.block("Two versions beside each other", "Each with the figures of the spin that made it."):
        with ui.element("div").classes("fw-row"):
            ui.select(versions, value=first, label="One", on_change=lambda event: ui.navigate.to(
                _beside(view, event.value, second))).props("dense outlined")  # fmt: skip
            ui.select(versions, value=second, label="Other", on_change=lambda event: ui.navigate.to(
                _beside(view, first, event.value))).props("dense outlined")  # fmt: skip
        left, right = _figures(known[first], spins), _figures(known[second], spins)
        rows = [(name, left[name], right[name]) for name in left]
        marks.table("Two versions", ("What", first, second), rows)


def _beside(view: frame.View, a: str, b: str) -> str:
    return view.path(f"/releases?{urlencode({'a': a, 'b': b})}")


def _figures(release: Any, spins: dict[int, Any]) -> dict[str, str]:
    spin = spins.get(release.spin)
    verdict, receipt = (spin.verdict, spin.receipt) if spin else (None, None)
    return {
        "Since": marks.when(release.at),
        "Trainer": release.trainer or "–",
        "Dataset": (release.dataset or "–")[:12],
        "Verdict": str(verdict) if verdict else "–",
        "Accuracy": marks.interval(receipt.after) if receipt else "–",
        "Uplift": marks.interval(receipt.uplift, points=True) if receipt else "–",
    }
