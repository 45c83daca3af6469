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
        await view.part("How soon", view.wheel.report_figures, _figures)
        with ui.element("nav").classes("fw-tabs").props('aria-label="States"'):
            for one in _STATES:
                target = marks.link(one or "all", view.path(f"/reports?state={one}" if one else "/reports"))
                if one == chosen:
                    target._props["aria-current"] = "page"
        if not found:
            marks.empty("No report here. Give people the form below: it asks what happened and blames nobody.")
        else:
            with marks.block("Reports", f"{len(found):,}; the newest first."):
                rows = [_row(view, one) for one in reversed(found[-200:])]
                heads = ["What happened", "Expected", "State", "At", "Interaction", "Failure mode", "What became of it"]
                marks.table("Reports", [*heads, "Do"] if view.may("label") else heads, rows)
        _form(view)


def _figures(told: dict[str, Any]) -> None:
    if not told["reports"]:
        marks.say("Nobody has reported anything yet.", "p")
        return
    with ui.element("div").classes("fw-figures"):
        marks.figure("Reports", marks.number(told["reports"]), ", ".join(
            f"{count} {state}" for state, count in told["by_state"].items() if count))  # fmt: skip
        for name, words in (("to_acknowledge", "Until somebody has read it"), ("to_fix", "Until it is fixed")):
            found = told[name]
            half = found["median_hours"]
            says = (
                f"half of them by then; {found['waiting']:,} wait" if half is not None else f"{found['done']:,} so far"
            )
            marks.figure(words, "–" if half is None else _lasted(half), says)


def _lasted(hours: float) -> str:
    return (
        f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:,.0f} min"
    )


def _form(view: frame.View) -> None:
    says = "It asks what happened and what was expected, names nobody, and gives a token to ask what became of it."
    with marks.block("The form to report with", says):
        with ui.element("p"):
            marks.link("Open the form", view.path("/report-form"))
        marks.say("This prints the lines that put it into a page of your product:", "p", "fw-says")
        marks.code(f"flywheel report --form {str(view.request.base_url).rstrip('/')}{view.base}")


def _row(view: frame.View, one: Any) -> list[Any]:
    cells: list[Any] = [
        marks.brief(one.what, 300), marks.brief(one.expected or "–", 120), marks.stamp(one.state),
        marks.when(one.at),
        (one.interaction_id, view.path("/interactions", one.interaction_id)) if one.interaction_id else "–",
        (one.mode, view.path("/modes", one.mode)) if one.mode else "–", _became(one),
    ]  # fmt: skip
    if view.may("label"):
        cells.append((lambda: _acknowledge(view, one)) if one.state in ("received", "joined") else "–")
    return cells


def _became(one: Any) -> str:
    """What became of a report, in words."""
    if one.state == "fixed":
        heard = (
            f"; the reporter heard on {marks.when(one.told_at)}" if one.told_at else "; the reporter has not heard yet"
        )
        return f"fixed by {one.fixed_in or 'a release'} on {marks.when(one.fixed_at)}{heard}"
    if one.state == "closed":
        return f"closed: {marks.brief(one.closing or '', 200)}"
    if one.reopened:
        return f"came back {one.reopened} times after a fix"
    waits = {
        "received": "nobody has read it yet",
        "joined": "joined to an interaction; the next spin looks for its mode",
    }
    return waits.get(one.state, "read; it waits for a fix")


def _acknowledge(view: frame.View, one: Any) -> None:
    async def go() -> None:
        try:
            await view.ask(lambda: view.wheel.acknowledge_report(one.id, by=view.by), "label")
        except FlywheelError as problem:
            told.set_text(str(problem))
            return
        ui.navigate.reload()

    marks.button("Acknowledge", go)
    told = marks.say("", classes="fw-bad").props("role=alert")
