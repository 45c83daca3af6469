"""Commands about datasets: list them, show one, follow the lineage in both directions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import Door, Folder, Json, opened
from flywheel.cli.text import ago, bar, percent, short
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.cli.screen import Screen
    from flywheel.loop.balancing import Provenance
    from flywheel.records import Dataset

__all__ = ["datasets", "lineage"]


def datasets(
    hash: Annotated[
        str | None, typer.Argument(help="Show one dataset: its hash, or the beginning of it.", metavar="HASH")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many examples of it to show.")] = 10,
    made_of: Annotated[
        bool, typer.Option("--made-of", help="Its label sources, whom it shows beside the traffic, copies on record.")
    ] = False,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List the datasets, or show one.

    A dataset is an immutable set of examples; its hash is over the content. With HASH and --json, all its examples.

    \b
    Examples:
      flywheel datasets
      flywheel datasets 3f2a
      flywheel datasets 3f2a --made-of
      flywheel datasets 3f2a --json > dataset.json
    """
    with opened(folder, as_json) as door:
        if made_of and hash is None:
            raise InvalidConfig("--made-of is about one dataset. Name it: flywheel datasets HASH --made-of")
        if hash is not None and made_of:
            told = door.wheel.provenance(hash)
            if not door.json(told):
                _made_of(door, told)
            return
        if hash is not None:
            one = door.wheel.dataset(hash)
            if not door.json(one):
                _show(door, one, limit)
            return
        found = door.wheel.datasets()
        if door.json(found):
            return
        if not found:
            door.screen.line("No dataset yet; a spin builds one from the labels: flywheel spin")
            return
        door.screen.table(
            [">spin", "hash", "made", ">examples", "~from"],
            [
                [
                    str(known.spin),
                    known.hash[:12],
                    ago(known.created_at),
                    str(known.notes.get("examples", "–")),
                    short(known.notes.get("by_origin"), 100),
                ]
                for known in found
            ],
        )


def _show(door: Door, found: Dataset, limit: int) -> None:
    screen = door.screen
    screen.parts((f"dataset {found.hash[:12]}", "bold"), f"   spin {found.spin}, {len(found.examples):,} examples")
    if found.parent:
        screen.line(f"  made from {found.parent[:12]}", "dim")
    for heading, values in (
        ("Labels", Counter(short(example.label, 40) for example in found.examples)),
        ("Origins", Counter(example.origin for example in found.examples)),
    ):
        screen.heading(heading)
        _counts(screen, values, len(found.examples))
    if found.notes:
        screen.heading("Notes")
    for name, value in found.notes.items():
        screen.line(f"  {name}: {short(value, 160)}")
    if limit:
        screen.heading("Examples")
        screen.table(
            ["~input", "~label", "origin", ">weight", "id"],
            [
                [short(e.input, 100), short(e.label, 40), e.origin, f"{e.weight:.2f}", (e.id, "dim")]
                for e in found.examples[:limit]
            ],
        )


def _made_of(door: Door, told: Provenance) -> None:
    screen = door.screen
    screen.parts((f"dataset {told.dataset[:12]}", "bold"), f"   spin {told.spin}, {told.examples:,} examples")
    screen.heading("Where its labels come from")
    screen.table(
        ["from", "by", ">examples", ">share", ">others agree"],
        [
            [one.origin, short(one.by, 40), f"{one.examples:,}", percent(one.share),
             f"{percent(one.agrees.estimate, 0)} of {one.agrees.n}" if one.agrees else None]
            for one in told.sources
        ],
    )  # fmt: skip
    for field in told.balance:
        name = "Labels beside answers" if field.kind == "label" else f"{field.kind} {field.field}"
        screen.heading(f"{name}, beside {field.traffic:,} interactions")
        screen.table(
            ["value", ">examples", ">share", ">of the traffic"],
            [
                [short(one.value, 40), f"{one.examples:,}", percent(one.share), percent(one.traffic_share)]
                for one in field.parts
            ],
        )
    if told.copies:
        screen.heading("Copies on record")
        for copy in told.copies:
            where = f"downloaded as {copy['format']} by {copy['by']}" if "by" in copy else copy["path"]
            screen.line(f"  {copy['at']}   {short(where, 120)}")


def _counts(screen: Screen, values: Counter[str], total: int) -> None:
    top = values.most_common(12)
    screen.table(
        ["", ">examples", ""],
        [[value, f"{n:,}", (f"{bar(n / top[0][1], 10)} {percent(n / total)}", "cyan")] for value, n in top],
    )
    if len(values) > len(top):
        screen.line(f"  and {len(values) - len(top)} more", "dim")


def lineage(
    id: Annotated[str, typer.Argument(help="An interaction's id, a dataset's hash, or a version.")],
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Follow an interaction to its datasets, or a dataset or a version back.

    From an interaction to the datasets and releases it entered; from a dataset to what it was made of and became;
    from a version back to its dataset and the interactions in it.

    \b
    Examples:
      flywheel lineage 0197a…
      flywheel lineage v4
      flywheel lineage 3f2a41 --json
    """
    with opened(folder, as_json) as door:
        found = door.wheel.lineage(id)
        if door.json(found):
            return
        rows: list[list[str]] = []
        for name, value in found.items():
            values = value if isinstance(value, list | tuple) else [value]
            rows.append([name, ", ".join(short(item, 60) for item in values[:10]) or "–"])
            if len(values) > 10:
                rows.append(["", f"and {len(values) - 10:,} more"])
        door.screen.table(["", "~"], rows)
