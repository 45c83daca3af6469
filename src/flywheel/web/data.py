"""Data: datasets, what they were made from and what came of them, whom they show, and copies to take away."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui
from starlette.responses import Response, StreamingResponse

from flywheel.errors import FlywheelError
from flywheel.web import charts, frame, marks
from flywheel.web.drawing import drawn_small, plain
from flywheel.web.later import later

__all__ = ["add"]

_SHOWN, _NAMED, _EXAMPLES = 20, 8, 25
_FORMATS = (("jsonl", "JSON lines"), ("parquet", "Parquet"), ("csv", "CSV"))
_ORIGINS = {
    "seed": "given at the start", "review": "labelled in review", "truth": "became known later",
    "function": "by a function", "synthetic": "made from others", "group": "passed on from an alike input",
    "user": "a user's correction, believed",
}  # fmt: skip
_KINDS = {"group": "User group", "slice": "Slice", "label": "Label"}


def add() -> None:
    """Register the pages, and what the download buttons send to."""

    @frame.page("/data", title="Data", scope="read")
    async def data(view: frame.View, of: str = "") -> None:
        found = await view.ask(view.wheel.datasets)
        if not found:
            marks.empty("No dataset yet: a spin makes one of the examples it has.", "flywheel spin")
            return
        _follow(view, of)
        if of:
            await _followed(view, of)
        with marks.block("Datasets", "Immutable; the name is the hash of the content. The newest first."):
            rows = [
                ((one.hash[:12], view.path("/data", one.hash)), _count(one.notes),
                 (f"Spin {one.spin}", view.path("/spins", one.spin)) if one.spin else "–",
                 (one.parent[:12], view.path("/data", one.parent)) if one.parent else "–", marks.when(one.created_at))
                for one in reversed(found)
            ]  # fmt: skip
            heads = ("Dataset", "Examples", "Made by", "Made from", "Made at")
            marks.table("Datasets", heads, rows, numbers=(1,))

    @frame.page("/data/{hash}", title="Dataset", scope="read")
    async def dataset(view: frame.View, hash: str) -> None:
        found = await view.ask(lambda: view.wheel.dataset(hash))
        line = await view.ask(lambda: view.wheel.lineage(found.hash))
        marks.link("All datasets", view.path("/data"))
        with ui.element("div").classes("fw-figures"):
            marks.figure("Dataset", found.hash[:12], f"made {marks.when(found.created_at)}")
            marks.figure("Examples", marks.number(len(found.examples)))
            marks.figure("From interactions", marks.number(len(line["interactions"])))
            failures = sum(one.failure for one in found.examples)
            share = marks.percent(failures / len(found.examples)) if found.examples else "–"
            marks.figure("Failures among them", marks.number(failures), share)
        if "tombstone" in found.notes:
            _stone(view, found.notes["tombstone"])
        else:
            _copy(view, found.hash)
        later(view, lambda: view.wheel.provenance(found.hash), _told)
        _lineage(view, line)
        _notes(found.notes)
        _examples(view, found)

    @frame.action("/data/{hash}/copy", scope="read")
    async def copy(view: frame.View, hash: str, format: str = "", **_: str) -> Response:
        copy = await view.ask(lambda: view.wheel.download(hash, format, by=view.by))
        return StreamingResponse(copy.pieces(), media_type=copy.media_type, headers=copy.headers)


def _count(notes: dict[str, Any]) -> str:
    return "erased" if "tombstone" in notes else marks.number(notes.get("examples"))


# --- lineage ----------------------------------------------------------------------------------------------------------


def _follow(view: frame.View, of: str) -> None:
    form = ui.element("form").classes("fw-row").style("margin:0 0 1rem")
    form._props.update(method="get", action=view.path("/data"), role="search")
    with form:
        field = ui.element("input")
        field._props.update({
            "name": "of", "value": plain(of), "maxlength": 200, "aria-label": "An interaction, a version or a dataset",
            "placeholder": "An interaction, a version or a dataset",
        })  # fmt: skip
        field.style(
            "flex:1 1 16rem;max-width:30rem;font:inherit;color:inherit;background:var(--panel);padding:.3rem .6rem;"
            "border:1px solid var(--line);border-radius:6px"
        )
        marks.say("Follow its lineage", "button", "fw-plain")


async def _followed(view: frame.View, of: str) -> None:
    with marks.block("Lineage of " + plain(of[:80])):
        try:
            found = await view.ask(lambda: view.wheel.lineage(of))
        except FlywheelError as problem:
            marks.error(plain(problem))
            return
        rows: list[tuple[Any, ...]] = []
        if "version" in found:
            rows = [("Version", f"{plain(found['version'])}, {found['role']}"), *_came_from(view, found)]
        elif "dataset" in found:
            rows = [*_made_of(view, found), *_became(view, found)]
        else:
            rows.append(("Interaction", (plain(of), view.path("/interactions", of))))
            rows += [("Review item", plain(one)) for one in found["items"][:_SHOWN]]
            rows += [("Example", plain(one)) for one in found["examples"][:_SHOWN]]
            rows += [("Dataset", (one[:12], view.path("/data", one))) for one in found["datasets"][:_SHOWN]]
            rows += [("Version that learnt from it", _version(view, one)) for one in found["releases"][:_SHOWN]]
        marks.table("Lineage", ("What", "Which"), rows)


def _version(view: frame.View, version: str) -> tuple[str, str]:
    return plain(version), f"{view.path('/data')}?of={quote(version, safe='')}"


def _came_from(view: frame.View, found: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    if found["trainer"]:
        rows.append(("Trainer", plain(found["trainer"])))
    if found["base"]:
        rows.append(("Went on from", _version(view, found["base"])))
    if found["spin"]:
        rows.append(("Spin", (f"Spin {found['spin']}", view.path("/spins", found["spin"]))))
    for place, one in enumerate(found["datasets"][:_SHOWN]):
        rows.append(("Ancestor of its dataset" if place else "Dataset", (one[:12], view.path("/data", one))))
    return rows + _interactions(view, found["interactions"])


def _interactions(view: frame.View, ids: list[str]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        ("Interaction", (plain(one), view.path("/interactions", one))) for one in ids[:_NAMED]
    ]
    if len(ids) > _NAMED:
        rows.append(("", f"and {len(ids) - _NAMED:,} more"))
    return rows


def _made_of(view: frame.View, line: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    if line["spin"]:
        rows.append(("Spin", (f"Spin {line['spin']}", view.path("/spins", line["spin"]))))
    rows += [("Ancestor", (one[:12], view.path("/data", one))) for one in line["ancestors"][:_SHOWN]]
    return rows + _interactions(view, line["interactions"])


def _became(view: frame.View, line: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [("Candidate", _version(view, one)) for one in line["candidates"]]
    rows += [("Release", _version(view, one)) for one in line["releases"]]
    return rows + [("Next dataset", (one[:12], view.path("/data", one))) for one in line["children"]]


def _lineage(view: frame.View, line: dict[str, Any]) -> None:
    with ui.element("div").classes("fw-grid"):
        for title, rows, none in (
            ("Made from", _made_of(view, line), "From examples that were given alone."),
            ("Became", _became(view, line), "Nothing was trained on it yet."),
        ):
            with marks.block(title):
                if rows:
                    marks.table(title, ("What", "Which"), rows)
                else:
                    marks.say(none, "p")


# --- copies -----------------------------------------------------------------------------------------------------------


def _copy(view: frame.View, hash: str) -> None:
    words = (
        "A download cannot be taken back: who took it goes on record, and the receipt of an erasure names them. In the "
        "CSV, text that a spreadsheet would run gets an apostrophe before it; an import takes it away again."
    )
    with marks.block("Take a copy", words), ui.element("div").classes("fw-row"):
        for format, name in _FORMATS:
            form = ui.element("form")
            form._props.update(method="post", action=f"{view.path('/data', hash)}/copy?format={format}")
            with form:
                marks.say(name, "button", "fw-quiet-do")


def _told(told: Any) -> None:
    """What takes a look at the log: copies on record, label sources, balance."""
    if told.copies:
        rows = [
            (plain(one["by"]), one["format"], f"{one['times']:,}", marks.when(one["at"])) if "by" in one
            else (plain(one["path"]), "file", "1", marks.when(one["at"]))
            for one in told.copies[-_SHOWN:]
        ]  # fmt: skip
        with marks.block("Copies on record"):
            marks.table("Copies on record", ("Taken by, or lies at", "As", "Times", "Last"), rows, numbers=(2,))
    _sources(told)
    with ui.element("div").classes("fw-grid"):
        for one in told.balance:
            _balance(one)


def _stone(view: frame.View, stone: dict[str, Any]) -> None:
    with marks.block("Emptied", f"By an erasure at {marks.when(stone['at'])}."):
        if stone["replaced_by"]:
            marks.link("What took its place", view.path("/data", stone["replaced_by"]))


# --- what is in it ----------------------------------------------------------------------------------------------------


def _sources(told: Any) -> None:
    words = "Agreement is with others who are trusted and spoke about the same interaction; second looks do not count."
    with marks.block("Where its labels come from", words):
        rows = [
            (_ORIGINS.get(one.origin, one.origin), plain(one.by or "–"), marks.number(one.examples),
             marks.percent(one.share), marks.number(one.failures), marks.interval(one.agrees))
            for one in told.sources
        ]  # fmt: skip
        heads = ("Source", "By", "Examples", "Share", "Failures", "Others agree (95 %)")
        marks.table("Label sources", heads, rows, numbers=(2, 3, 4, 5))


def _balance(one: Any) -> None:
    where = f"{_KINDS[one.kind]}: {plain(one.field)}" if one.kind != "label" else "Labels beside the product's answers"
    with marks.block(where):
        if not one.parts:
            marks.say("No example and no interaction says it.", "p")
            return
        names = [plain(part.value) for part in one.parts]
        charts.chart(_two(names, one.parts), _gap(one), tall=round(max(7, 2.1 * len(names) + 3)))
        rows = [
            (name, marks.number(part.examples), marks.percent(part.share), marks.number(part.traffic),
             marks.percent(part.traffic_share), marks.number(part.failures))
            for name, part in zip(names, one.parts, strict=True)
        ]  # fmt: skip
        heads = (plain(one.field), "Examples", "Share", "Traffic", "Share of traffic", "Failures")
        with ui.element("details"):
            marks.say("The numbers", "summary", "fw-dim fw-small").style("cursor:pointer")
            marks.table(where, heads, rows, numbers=(1, 2, 3, 4, 5))


def _gap(one: Any) -> str:
    """The sentence: whom the dataset shows least of, or most, beside the traffic."""
    n = f"{one.examples:,} examples beside the newest {one.traffic:,} interactions that say it."
    if not one.examples or not one.traffic:
        return n
    widest = max(one.parts, key=lambda part: abs(part.share - part.traffic_share))
    name = plain(widest.value)[:60]
    return f"{n} Furthest apart: {name}, {widest.share:.1%} of them and {widest.traffic_share:.1%} of the traffic."


def _two(names: list[str], parts: Any) -> dict[str, Any]:
    """Lying bars, two a value: its share of the dataset and of the traffic."""
    shares = (
        ("Dataset", marks.NEUTRAL, [round(100 * part.share, 2) for part in parts]),
        ("Traffic", marks.GREY, [round(100 * part.traffic_share, 2) for part in parts]),
    )
    return charts.lying(names, shares, unit="%")


def _notes(notes: dict[str, Any]) -> None:
    rows = [(name.replace("_", " "), plain(marks.brief(value))) for name, value in notes.items() if name != "tombstone"]
    if rows:
        with marks.block("What was noted when it was made"):
            marks.table("Notes", ("What", "Figure"), rows)


def _examples(view: frame.View, found: Any) -> None:
    if not found.examples:
        return
    rows = [
        (_input(view, one), plain(marks.brief(one.label, 60)), "yes" if one.failure else "",
         _ORIGINS.get(one.origin, one.origin), plain(one.by or "–"))
        for one in found.examples[:_EXAMPLES]
    ]  # fmt: skip
    with marks.block("Examples", f"The first {len(rows):,} of {len(found.examples):,}."):
        marks.table("Examples", ("Input", "Label", "Had failed", "Source", "By"), rows)


def _input(view: frame.View, one: Any) -> Any:
    href = view.path("/interactions", one.interaction_id) if one.interaction_id else None
    if not isinstance(one.input, list | tuple | dict):
        words = plain(marks.brief(one.input, 120))
        return (words, href) if href else words

    def shown() -> None:
        drawn_small(one.input)
        if href:
            marks.link(plain(one.interaction_id), href).style("display:inline-block;min-width:7rem")

    return shown
