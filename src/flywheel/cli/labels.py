"""`flywheel label`: answer the review queue in a terminal, or carry it to another tool and back."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.door import At, By, Door, Folder, Json, moment, opened, value_of
from flywheel.cli.text import clean, percent, picture, short
from flywheel.errors import InvalidConfig, NotFound

if TYPE_CHECKING:
    from flywheel.records import Group, ReviewItem

__all__ = ["Answers", "label"]

HELP = "a digit or letter takes a suggestion · text is the label · =text takes it literally · s skip · u undo · q quit"


def label(
    item: Annotated[str | None, typer.Argument(help="Answer only this item …", metavar="ITEM")] = None,
    value: Annotated[str | None, typer.Argument(help="… with this label.", metavar="LABEL")] = None,
    by: By = "",
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many items.")] = None,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the queue to a file instead.")] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Read labels back from such a file.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="jsonl, csv or label-studio.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Leave ITEM unanswered for good.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="Leave ITEM to somebody else.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was said about ITEM: it waits again.")] = False,
    group: Annotated[bool, typer.Option("--group", help="Give LABEL to all that wait in ITEM's group.")] = False,
    resolve: Annotated[bool, typer.Option("--resolve", help="Let LABEL stand where people disagree.")] = False,
    parse: Annotated[bool, typer.Option("--parse", help="Read LABEL as JSON instead of as plain text.")] = False,
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Answer what waits for a label, the most valuable first.

    In a terminal it shows one item after the other: type a suggestion's digit or the label itself; s skips, u goes
    back, q stops. Every answer is stored at once. With --json it prints the queue and asks nothing.

    \b
    Examples:
      flywheel label --by ana
      flywheel label r-17 lost_card --by ana
      flywheel label r-17 lost_card --group --by ana
      flywheel label r-17 --undo --by ana
      flywheel label r-17 lost_card --resolve --by ana
      flywheel label --export queue.csv
      flywheel label --import answered.csv --by ana
      flywheel label --export tasks.json --format label-studio
    """
    with opened(folder, as_json) as door:
        if export is not None:
            _export(door, export, format)
        elif import_ is not None:
            _import(door, import_, format, by)
        elif item is not None:
            ways = {"skip": skip, "unsure": unsure, "undo": undo, "group": group, "resolve": resolve}
            way = next((name for name, chosen in ways.items() if chosen), "")
            _answer_one(door, item, value, by, at, way=way, parse=parse)
        else:
            waiting = door.wheel.review_queue(limit)
            if door.json(waiting):
                return
            if not waiting:
                door.screen.line("Nothing waits for a label.")
            elif door.screen.interactive:
                _ask(door, waiting, by)
            else:
                _list(door, waiting)


def _export(door: Door, path: Path, format: str | None) -> None:
    chosen = format or {".csv": "csv", ".json": "label-studio"}.get(path.suffix, "jsonl")
    count = door.wheel.export_queue(path, chosen)
    if not door.json({"written": count, "location": str(path), "format": chosen}):
        door.screen.line(f"{count:,} items written to {path} as {chosen}", "green")
        door.screen.line(f"Next: fill in the labels, then flywheel label --import {path}")


def _import(door: Door, path: Path, format: str | None, by: str) -> None:
    report = door.wheel.import_labels(path, format, by=by)
    if door.json({"labelled": report.labelled, "problems": list(report.problems)}):
        return
    door.screen.line(f"{report.labelled:,} labels taken", "green")
    for problem in report.problems:
        door.screen.line(f"  {problem}", "yellow")


def _answer_one(door: Door, item: str, value: str | None, by: str, at: str | None, *, way: str, parse: bool) -> None:
    taken = {"skip": door.wheel.skip, "unsure": door.wheel.unsure, "undo": door.wheel.undo}
    if way in taken:
        answered = taken[way](item, by=by, at=moment(at))
    elif value is None:
        raise InvalidConfig(
            f"no label was given for {item!r}. Write flywheel label {item} LABEL, or --skip, --unsure or --undo"
        )
    else:
        known = next((waiting for waiting in door.wheel.review_queue() if waiting.id == item), None)
        read = value_of(value, True, "label") if parse else Answers([known] if known else []).read(value, known)
        if way == "group":
            alike = door.wheel.label_group(item, read, by=by, at=moment(at))
            if not door.json(alike):
                door.screen.line(f"{len(alike):,} items: {short(read)}", "green")
            return
        act = door.wheel.resolve if way == "resolve" else door.wheel.label
        answered = act(item, read, by=by, at=moment(at))
    if not door.json(answered):
        said = short(answered.label) if answered.status == "labelled" else answered.status
        door.screen.line(f"{answered.id}: {said}", "green")


def _list(door: Door, waiting: Sequence[ReviewItem]) -> None:
    door.screen.table(
        ["id", "~input", "~output", "~suggestions", "~why"],
        [
            [
                item.id,
                short(item.input, 100),
                "" if item.blind else short(item.output, 40),
                ", ".join(short(s, 30) for s in item.suggestions),
                item.why,
            ]
            for item in waiting
        ],
    )
    door.screen.line(f"{len(waiting):,} wait. In a terminal, flywheel label asks for them one by one.")


@dataclass
class Answers:
    """What a typed line means for an item.

    Suggestions are taken by digit; where the labels themselves are numbers, by letter, so that a digit stays a label.
    """

    waiting: Sequence[ReviewItem]
    seen: list[Any] = field(default_factory=list)

    def keys(self, item: ReviewItem) -> dict[str, Any]:
        """The key of each suggestion.

        >>> from flywheel.records import ReviewItem
        >>> Answers([]).keys(ReviewItem(id="r", interaction_id="i", input="x", output=3, suggestions=(3, 8)))
        {'a': 3, 'b': 8}
        """
        names = "abcdefghi" if self._kind(item) == "number" else "123456789"
        return dict(zip(names, item.suggestions, strict=False))

    def read(self, text: str, item: ReviewItem | None) -> Any:
        """The label that a typed text stands for: a number, truth value or JSON where the item's labels are such."""
        if text.startswith("="):
            return text[1:]
        kind = self._kind(item) if item else "text"
        try:
            value = json.loads(text, parse_constant=_refuse)
        except ValueError:
            return text
        if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if kind == "truth" and isinstance(value, bool):
            return value
        return value if kind == "json" and isinstance(value, list | dict) else text

    def _kind(self, item: ReviewItem) -> str:
        samples = [value for value in (*item.suggestions, item.output, *self.seen) if value is not None]
        if any(isinstance(value, list | dict) for value in samples):
            return "json"
        if samples and all(isinstance(value, bool) for value in samples):
            return "truth"
        if samples and all(isinstance(value, int | float) and not isinstance(value, bool) for value in samples):
            return "number"
        return "text"

    def near(self, value: Any) -> str | None:
        """A known label that a new one may be a misspelling of."""
        if not isinstance(value, str):
            return None
        known = {s for item in self.waiting for s in (*item.suggestions, item.output) if isinstance(s, str)}
        known |= {s for s in self.seen if isinstance(s, str)}
        if value in known:
            return None
        close = difflib.get_close_matches(value, sorted(known), n=1, cutoff=0.8)
        return close[0] if close else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _ask(door: Door, waiting: Sequence[ReviewItem], by: str) -> None:
    """Go through the queue; every answer is stored before the next question."""
    show, answers, position, given = door.screen, Answers(waiting), 0, 0
    show.line(HELP, "dim")
    while position < len(waiting):
        item = waiting[position]
        keys = answers.keys(item)
        _show_item(door, item, keys, f"{position + 1} of {len(waiting)}")
        try:
            typed = show.out.input("label> ").strip()
        except (EOFError, KeyboardInterrupt):
            typed = "q"
        if typed == "q":
            break
        if typed == "u":
            position = max(0, position - 1)
            continue
        if typed in ("", "?"):
            show.line(HELP, "dim")
            continue
        try:
            if typed == "s":
                door.wheel.skip(item.id, by=by)
            else:
                value = keys[typed] if typed in keys else answers.read(typed, item)
                value = _confirmed(door, answers, value) if typed not in keys and not typed.startswith("=") else value
                if value is None:
                    continue
                door.wheel.label(item.id, value, by=by)
                answers.seen.append(value)
                given += 1
        except NotFound as problem:  # somebody else's import or spin took it away meanwhile
            show.problem(problem)
        position += 1
    left = len(door.wheel.review_queue())
    show.line()
    show.line(f"{given:,} labels given, {left:,} still wait.", "green")
    show.line("Next: flywheel spin" if not left else "Go on at any time with flywheel label.")


def _confirmed(door: Door, answers: Answers, value: Any) -> Any:
    """Ask again when a new label looks like a misspelt old one; None to ask for the whole answer again."""
    near = answers.near(value)
    if near is None:
        return value
    reply = door.screen.out.input(f"{clean(value)} is a new label. Enter takes {clean(near)}, n takes the new one> ")
    reply = reply.strip().lower()
    return near if reply == "" else value if reply == "n" else None


def _show_item(door: Door, item: ReviewItem, keys: dict[str, Any], place: str) -> None:
    show = door.screen
    show.line()
    show.parts((place, "bold"), (f"   {item.id}", "dim"), (f"   {item.why}", "dim"))
    drawn = picture(item.input)
    if drawn:
        show.out.print(drawn)
    elif isinstance(item.input, str):
        show.line(item.input, "bold")
    elif isinstance(item.input, dict):
        show.table(["", "~"], [[str(name), short(value, 200)] for name, value in item.input.items()])
    else:
        show.line(json.dumps(item.input, ensure_ascii=False, indent=1, default=str)[:4000])
    sure = f" ({percent(item.confidence, 0)} sure)" if item.confidence is not None else ""
    if not item.blind:
        show.parts(("  answered ", "dim"), short(item.output, 200), (sure, "dim"))
    if item.context:
        show.line(f"  {short(item.context, 200)}", "dim")
    if item.group is not None:
        _show_group(door, item, item.group)
    for key, value in keys.items():
        show.parts((f"  {key} ", "bold cyan"), short(value, 100))


def _show_group(door: Door, item: ReviewItem, group: Group) -> None:
    """What else people ask like this: an answer is for this item alone, but it reads quicker beside its like."""
    door.screen.line(f"  one of {group.size:,} alike ({clean(group.name)}), such as:", "dim")
    for key in [key for key in group.members if key != item.interaction_id][:3]:
        with contextlib.suppress(NotFound):  # erased meanwhile
            door.screen.line(f"    {short(door.wheel.interaction(key)[0].input, 100)}", "dim")
