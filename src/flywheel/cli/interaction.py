"""The command about one interaction: what is known about it, what is like it, and where it went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.door import Door, Folder, Json, opened
from flywheel.cli.text import percent, short

if TYPE_CHECKING:
    from flywheel.diagnose.belief import Belief

__all__ = ["interaction"]


def interaction(
    id: Annotated[str, typer.Argument(help="Its id, as `log` returned it.", metavar="ID")],
    near: Annotated[int, typer.Option(min=1, max=100, help="How many of the most alike to show.")] = 5,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show one interaction and everything it is connected with.

    What says that it failed and how strongly, its failure mode, the interactions most like it, the datasets it entered
    and what it is there for, and what each version answers to it.

    \b
    Examples:
      flywheel interaction 0197a…
      flywheel interaction 0197a… --near 20 --json
    """
    with opened(folder, as_json) as door:
        wheel = door.wheel
        found, feedback = wheel.interaction(id)
        belief, alike = wheel.belief(id), wheel.neighbours(id, near)
        (entries, older), replays = wheel.entered(id), wheel.replays(id)
        answer: dict[str, Any] = {
            "interaction": found, "feedback": feedback, "belief": belief, "neighbours": alike,
            "entered": entries, "entered_older": older, "replays": replays,
        }  # fmt: skip
        if door.json(answer):
            return
        show = door.screen
        show.parts((short(found.input, 400), "bold"))
        show.parts(
            ("answered ", "dim"), short(found.output, 200), ("   by ", "dim"), found.model or "an unnamed version"
        )
        for fact in feedback:
            show.parts(("  ", ""), (f"{fact.kind} ", "dim"), short(fact.value, 200), (f"   {fact.source}", "dim"))
        _believed(door, belief)
        show.heading(f"Most alike, of {alike.among:,}")
        _table(
            door,
            [">alike", "~input", "~output", "right", "id"],
            [
                [
                    percent(one.likeness, 0),
                    short(one.input, 80),
                    short(one.output, 30),
                    _right(one.right),
                    one.interaction_id,
                ]
                for one in alike.found
            ],
        )
        show.heading("Datasets it entered" + (f", and {older} older" if older else ""))
        _table(
            door,
            ["dataset", ">spin", "~label", "from", "proves"],
            [[one.dataset[:12], str(one.spin), short(one.label, 30), one.origin, one.proves] for one in entries],
        )
        show.heading("What the versions answer")
        _table(
            door,
            ["version", "as", ">spin", "~answer", "right", "how"],
            [
                [one.version, one.role, "" if one.spin is None else str(one.spin), short(one.output, 40),
                 _right(one.right), one.how]
                for one in replays
            ],
        )  # fmt: skip


def _believed(door: Door, belief: Belief) -> None:
    show = door.screen
    show.heading(f"Wrong with a probability of {percent(belief.probability, 0)}")
    if belief.mode:
        show.line(f"  failure mode {belief.mode}, by spin {belief.spin}")
    _table(
        door,
        [">log-odds", "~evidence"],
        [[f"{one.weight:+.1f}", short(one.detail, 120)] for one in belief.evidence],
    )


def _table(door: Door, heads: list[str], rows: list[list[str]]) -> None:
    if rows:
        door.screen.table(heads, rows)
    else:
        door.screen.line("  none", "dim")


def _right(right: bool | None) -> str:
    return "unknown" if right is None else "right" if right else "wrong"
