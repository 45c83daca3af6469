"""One slice: what fails there, which failure modes that is, and examples to look at."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from flywheel.web import frame, marks

__all__ = ["add", "has_page", "slice_path"]

_ALIKE = ("about", "like")
"""Slices of alike inputs have no value to look for."""


def has_page(seen: Any) -> bool:
    """Whether a finding is about a slice that can be looked into."""
    if seen.where is None or seen.kind not in ("slice", "influence"):
        return False
    return all(name not in _ALIKE for name, _ in seen.where.conditions)


def slice_path(view: frame.View, where: Any) -> str:
    """The link to a slice's page, of a finding's `where`."""
    return view.path(f"/slices?{urlencode([('where', f'{name}={value}') for name, value in where.conditions])}")


def add() -> None:
    """Register the page."""

    @frame.page("/slices", title="Slice", scope="read")
    async def slices(view: frame.View) -> None:
        conditions = view.request.query_params.getlist("where")
        if not conditions:
            marks.empty("No slice is named. The page of health shows those that fail most.", "flywheel slices")
            return
        found = await view.ask(lambda: view.wheel.slice(*conditions))
        with ui.element("div").classes("fw-figures"):
            marks.figure("Slice", str(found.where))
            marks.figure("Failures", marks.number(found.failures, 1), f"expected, of {found.of:,.1f} in the window")
        with ui.element("div").classes("fw-row"):
            marks.link("Health", view.path("/health"))
            where = ", ".join(f"{name}={value}" for name, value in found.where.conditions)
            marks.link("As they arrive", view.path(f"/live?{urlencode({'where': where})}"))
        _modes(view, found)
        _examples(view, found)


def _modes(view: frame.View, found: Any) -> None:
    with marks.block("Which failure modes", "Of the last spin's window; the mode that fails most here comes first."):
        if not found.modes:
            marks.empty("None of the failures here belongs to a mode yet: a spin groups them.", "flywheel spin")
            return
        rows = [
            (
                (mode.name, view.path("/modes", mode.id)),
                marks.stamp(mode.state),
                marks.number(count, 1),
                marks.number(mode.count, 1),
                mode.cause.kind,
            )
            for mode, count in found.modes
        ]
        heads = ("Mode", "State", "Failures here", "In all", "Cause")
        marks.table("Failure modes of the slice", heads, rows, numbers=(2, 3))


def _examples(view: frame.View, found: Any) -> None:
    with marks.block("Examples", "The likeliest failures here, with what speaks for each."):
        if not found.examples:
            marks.empty("No likely failure lies here.")
            return
        rows = [
            (
                (marks.brief(one.input, 70) or one.interaction_id, view.path("/interactions", one.interaction_id)),
                marks.brief(one.output, 60),
                marks.brief(one.label, 60) if one.label is not None else None,
                f"{one.probability:.0%}",
                marks.brief("; ".join(sign.detail for sign in one.evidence[:3]), 120),
            )
            for one in found.examples
        ]
        marks.table("Examples", ("Input", "Output", "Right", "P(failure)", "Evidence"), rows, numbers=(3,))
