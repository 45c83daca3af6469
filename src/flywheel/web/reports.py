"""Reports: what people said went wrong, naming nobody, and what became of each."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks

__all__ = ["add"]

_STATES = ("", "received", "joined", "acknowledged", "fixed", "closed")


def add() -> None:
    """Register the page."""

    @frame.page("/reports", title="Reports", scope="read")
    async def reports(view: frame.View, state: str = "") -> None:
        chosen = state if state in _STATES else ""
        found = await view.ask(lambda: view.wheel.reports(chosen or None))
        with ui.element("nav").classes("fw-tabs").props('aria-label="States"'):
            for one in _STATES:
                target = marks.link(one or "all", view.path(f"/reports?state={one}" if one else "/reports"))
                if one == chosen:
                    target._props["aria-current"] = "page"
        marks.link("The form to report with", view.path("/report-form"))
        if not found:
            marks.empty("No report here. Give people the form: it asks what happened and blames nobody.")
            return
        with marks.block("Reports", f"{len(found):,}; the newest first."):
            rows = [_row(view, one) for one in reversed(found[-200:])]
            heads = ["What happened", "Expected", "State", "At", "Interaction", "Failure mode", "Fixed in"]
            marks.table("Reports", [*heads, "Do"] if view.may("label") else heads, rows)


def _row(view: frame.View, one: Any) -> list[Any]:
    cells: list[Any] = [
        marks.brief(one.what, 300), marks.brief(one.expected or "–", 120), lambda: marks.badge(one.state),
        marks.when(one.at),
        (one.interaction_id, view.path("/interactions", one.interaction_id)) if one.interaction_id else "–",
        (one.mode, view.path("/modes", one.mode)) if one.mode else "–", one.fixed_in or one.closing or "–",
    ]  # fmt: skip
    if view.may("label"):
        cells.append((lambda: _acknowledge(view, one)) if one.state in ("received", "joined") else "–")
    return cells


def _acknowledge(view: frame.View, one: Any) -> None:
    async def go() -> None:
        try:
            await view.ask(lambda: view.wheel.acknowledge_report(one.id, by=view.by), "label")
        except FlywheelError as problem:
            told.set_text(str(problem))
            return
        ui.navigate.reload()

    ui.button("Acknowledge", on_click=go).props("dense outline no-caps")
    told = marks.say("", classes="fw-bad").props("role=alert")
