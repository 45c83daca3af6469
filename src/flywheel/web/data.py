"""Data: datasets, what they were made from and what came of them, and copies to take away."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from flywheel.web import frame, marks

__all__ = ["add"]


def add() -> None:
    """Register the pages."""

    @frame.page("/data", title="Data", scope="read")
    async def data(view: frame.View) -> None:
        found = await view.ask(view.wheel.datasets)
        if not found:
            marks.empty("No dataset yet: a spin makes one of the examples it has.", "flywheel spin")
            return
        rows = [
            ((one.hash[:12], view.path("/data", one.hash)),
             (f"Spin {one.spin}", view.path("/spins", one.spin)) if one.spin else "–",
             (one.parent[:12], view.path("/data", one.parent)) if one.parent else "–", marks.when(one.created_at))
            for one in reversed(found)
        ]  # fmt: skip
        with marks.block("Datasets", "Immutable; the name is the hash of the content. The newest first."):
            marks.table("Datasets", ("Dataset", "Made by", "Made from", "Made at"), rows)

    @frame.page("/data/{hash}", title="Dataset", scope="read")
    async def dataset(view: frame.View, hash: str) -> None:
        found = await view.ask(lambda: view.wheel.dataset(hash))
        line = await view.ask(lambda: view.wheel.lineage(found.hash))
        marks.link("All datasets", view.path("/data"))
        with ui.element("div").classes("fw-figures"):
            marks.figure("Dataset", found.hash[:12], f"made {marks.when(found.created_at)}")
            marks.figure("Examples", marks.number(len(found.examples)))
            marks.figure("From interactions", marks.number(len(line["interactions"])))
        _export(found.hash)
        _lineage(view, found, line)
        with ui.element("div").classes("fw-grid"):
            _sources(line, len(found.examples))
            _notes(found.notes)
        _examples(view, found)


def _export(hash: str) -> None:
    with marks.block(
        "Take a copy", "On the machine of this flywheel, so that the copy is on record and an erasure finds it."
    ):
        for kind in ("jsonl", "parquet"):
            marks.say(f"flywheel export dataset:{hash[:12]} dataset-{hash[:12]}.{kind}", "code", "fw-code")


def _lineage(view: frame.View, found: Any, line: dict[str, Any]) -> None:
    with marks.block("Where it comes from, and where it went"):
        rows: list[tuple[Any, ...]] = [("Ancestor", (one[:12], view.path("/data", one))) for one in line["ancestors"]]
        if found.spin:
            rows.append(("Spin", (f"Spin {found.spin}", view.path("/spins", found.spin))))
        rows += [("Release", (one, view.path("/releases"))) for one in line["releases"]]
        rows += [("Interaction", (one, view.path("/interactions", one))) for one in line["interactions"][:20]]
        if rows:
            marks.table("Lineage", ("What", "Which"), rows)
        else:
            marks.empty("It was made of seed examples alone, and no release was trained on it.")


def _sources(line: dict[str, Any], n: int) -> None:
    with marks.block("Where its labels come from"):
        rows = [(origin, marks.number(len(ids)), marks.percent(len(ids) / n if n else None))
                for origin, ids in line["examples"].items()]  # fmt: skip
        marks.table("Label sources", ("Source", "Examples", "Share"), rows, numbers=(1, 2))


def _notes(notes: dict[str, Any]) -> None:
    with marks.block("What was noted when it was made"):
        rows = [(name.replace("_", " "), marks.brief(value)) for name, value in notes.items()]
        if rows:
            marks.table("Notes", ("What", "Figure"), rows)
        else:
            marks.empty("Nothing was noted.")


def _examples(view: frame.View, found: Any) -> None:
    rows = [
        ((marks.brief(one.input, 90), view.path("/interactions", one.interaction_id)) if one.interaction_id
         else marks.brief(one.input, 90), marks.brief(one.label, 60), one.origin, one.by or "–")
        for one in found.examples[:100]
    ]  # fmt: skip
    with marks.block("Examples", f"The first {len(rows):,} of {len(found.examples):,}."):
        marks.table("Examples", ("Input", "Label", "Source", "By"), rows)
