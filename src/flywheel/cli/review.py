"""Commands of those who label together: `review`, where the review stands; `arrivals`, what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.door import Door, Folder, Json, opened
from flywheel.cli.text import ago, percent, short

if TYPE_CHECKING:
    from flywheel.diagnose.arriving import Arrival

__all__ = ["arrivals", "review"]


class Of(StrEnum):
    """What there is to know of the review."""

    progress = "progress"
    disagreements = "disagreements"
    labels = "labels"


def review(
    of: Annotated[Of, typer.Argument(help="progress, disagreements or labels.", metavar="WHAT")] = Of.progress,
    spin: Annotated[int | None, typer.Option(help="A spin's number, for progress; the last when left out.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most to list.")] = 100,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show where the review stands: progress against the budget, where two people do not agree, which labels there are.

    \b
    Examples:
      flywheel review
      flywheel review progress --spin 3
      flywheel review disagreements
      flywheel review labels --json
    """
    with opened(folder, as_json) as door:
        if of is Of.progress:
            told = door.wheel.review_progress(spin)
            if not door.json(told):
                _progress(door, told)
        elif of is Of.disagreements:
            found = door.wheel.disagreements(limit)
            if not door.json(found):
                _disagreements(door, found)
        else:
            known = door.wheel.known_labels(limit)
            if not door.json(known):
                for label in known:
                    door.screen.line(short(label, 200))


def _progress(door: Door, told: dict[str, Any]) -> None:
    show = door.screen
    show.line("No spin yet" if told["spin"] is None else f"Spin {told['spin']}", "bold")
    answered = told["labelled"] + told["skipped"]
    show.line(
        f"  {answered:,} of {told['asked']:,} answered, {told['waiting']:,} wait; the budget is {told['budget']:,}"
    )
    show.line(f"  {told['audit_labelled']:,} of the random audit's {told['audit']:,}")
    show.line(f"  {told['skipped']:,} skipped, {told['unsure']:,} left to somebody else")
    if told["per_hour"] is not None:
        show.line(f"  {told['per_hour']:,} an hour in the last quarter of an hour")
    for name, count in told["by"].items():
        show.line(f"  {short(name, 60)}: {count:,}")


def _disagreements(door: Door, found: Sequence[dict[str, Any]]) -> None:
    if not found:
        door.screen.line("Nobody disagrees.", "green")
        return
    door.screen.table(
        ["item", "~input", "~who said what", "stands"],
        [
            [
                one["item"].id,
                short(one["item"].input, 80),
                "; ".join(f"{short(word['by'], 30)}: {short(word['label'], 40)}" for word in one["said"]),
                "waits again" if one["stands"] is None else short(one["stands"], 40),
            ]
            for one in found
        ],
    )


def arrivals(
    after: Annotated[
        int | None, typer.Option(min=0, help="Go on behind this number; left out, begin near the log's end.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="Most to list.")] = 50,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show what has come in last, with its signs of failure and the mode it is like.

    With --json: the arrivals, and `next`, the number to go on from.

    \b
    Examples:
      flywheel arrivals
      flywheel arrivals --after 1200 --json
    """
    with opened(folder, as_json) as door:
        found, following = door.wheel.arrivals(after, limit)
        if door.json({"items": found, "next": following}):
            return
        if not found:
            door.screen.line("Nothing has come in.")
            return
        door.screen.table(["when", "~input", "~output", "~signs", "mode"], [_row(one) for one in found])
        door.screen.line(f"Go on with: flywheel arrivals --after {following}", "dim")


def _row(one: Arrival) -> list[Any]:
    sure = one.interaction.confidence
    said = "; ".join(f"{sign.kind}: {short(sign.detail, 80)}" for sign in one.signs)
    return [
        ago(one.received_at),
        short(one.interaction.input, 80),
        f"{short(one.interaction.output, 40)}{f' ({percent(sure, 0)})' if sure is not None else ''}",
        (said or (one.feedback or ""), "yellow" if said else "dim"),
        one.mode or "",
    ]
