"""The command `fixes`: what was mended and how long it took, one failure mode's story, and what to fix next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import By, Door, Folder, Json, name_of, opened
from flywheel.cli.text import number, percent, short
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.records import FailureHistory, Interval, ModeStory, TimeToFix

__all__ = ["fixes"]


def fixes(
    mode: Annotated[str | None, typer.Argument(help="Tell one failure mode's story.", metavar="MODE")] = None,
    next: Annotated[bool, typer.Option("--next", help="Have the next spin ask about this mode first.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what the next spin was asked to fix.")] = False,
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show what was fixed, what came back, and how long a fix takes.

    With a mode: its failures by day, the slices it favours, what each spin did about it, and how many of its labelled
    cases each version gets right.

    \b
    Examples:
      flywheel fixes
      flywheel fixes m-20f0f490
      flywheel fixes m-20f0f490 --next --by ana
      flywheel fixes --undo
    """
    with opened(folder, as_json) as door:
        wheel = door.wheel
        if undo:
            wheel.fix_next(None, by=name_of(by))
        elif next:
            if mode is None:
                raise InvalidConfig(
                    "--next needs the mode to fix: flywheel fixes MODE --next. `flywheel modes` lists them"
                )
            wheel.fix_next(mode, by=name_of(by))
        if mode is None:
            told = wheel.failure_history()
            if not door.json(told):
                _show(door, told)
            return
        story = wheel.mode(mode)
        if not door.json(story):
            _show_mode(door, story)


def _show(door: Door, told: FailureHistory) -> None:
    show, wish = door.screen, door.wheel.next_fix()
    if not told.spins:
        show.line("No spin has looked for failures yet: flywheel spin")
        return
    show.table(
        [">spin", ">open", ">in work", ">reopened", ">fixed", ">new", ">fixed in it", ">came back"],
        [
            [str(one.spin), *(number(one.modes[name]) for name in ("open", "in work", "reopened", "fixed")),
             number(one.found), number(one.fixed), number(one.reopened)]
            for one in told.spins[-20:]
        ],
    )  # fmt: skip
    show.line(_time(told.time_to_fix))
    for one in told.repairs[-10:]:
        show.parts(("  ", ""), (f"{one.days:.1f} days  ", "green"), short(one.name, 80), (f"  {one.version}", "dim"))
    if wish is not None:
        show.line(f"The next spin asks about {short(wish.name, 80)} first.", "cyan")


def _time(found: TimeToFix) -> str:
    many = f"{found.n} {'fix' if found.n == 1 else 'fixes'}, {found.unfixed} still failing"
    if found.median is None:
        return f"Time from failure to fix: no median yet, fewer than half are fixed ({many})"
    reach = "with no upper end yet" if found.high is None else f"to {found.high:.1f}"
    low = "0" if found.low is None else f"{found.low:.1f}"
    return f"Time from failure to fix: {found.median:.1f} days (95 % interval {low} {reach}; {many})"


def _show_mode(door: Door, story: ModeStory) -> None:
    show = door.screen
    show.line(f"{story.mode.id}  {story.mode.name}", "bold")
    if story.next is not None:
        show.line(f"  The next spin asks about it first (asked for by {story.next.by}).", "cyan")
    if story.slices:
        show.heading("Where it lies")
        show.table(
            ["slice", ">failures", ">of traffic", "times as common"],
            [
                [short(str(one.where), 60), f"{one.failures} of {one.of}", percent(one.traffic / one.traffic_of),
                 _range(one.lift)] for one in story.slices
            ],
        )  # fmt: skip
    if story.days:
        show.heading("By day")
        show.table(
            ["day", ">failures", ">of interactions"],
            [[f"{day.at:%Y-%m-%d}", _range(day.failures), number(day.volume)] for day in story.days[-14:]],
        )
    if story.spins:
        show.heading("What each spin did")
        show.table(
            [">spin", "state", ">labels", ">learnt", "verdict", "fixed in"],
            [
                [str(one.spin), f"{one.before or 'new'} → {one.after}", f"{one.labelled} of {one.asked}",
                 number(one.learnt), one.decision or "", one.fixed_in or ""] for one in story.spins
            ],
        )  # fmt: skip
    if story.replays:
        show.heading("Its labelled cases, replayed")
        show.table(
            ["version", "role", ">right", "share"],
            [[one.version, one.role, f"{one.right} of {one.n}", _share(one.share)] for one in story.replays],
        )


def _range(found: Interval) -> str:
    return f"{found.estimate:.1f} ({found.low:.1f} to {found.high:.1f})"


def _share(found: Interval) -> str:
    return f"{percent(found.estimate, 0)} ({percent(found.low, 0)} to {percent(found.high, 0)})"
