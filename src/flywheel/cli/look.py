"""Commands that show what fails, and what will: failures, modes and edge cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import Door, Folder, Json, opened
from flywheel.cli.text import bar, number, percent, short
from flywheel.errors import NotFound

if TYPE_CHECKING:
    from flywheel.records import Failure, Mode

__all__ = ["edge_cases", "failures", "modes"]


def failures(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    mode: Annotated[str | None, typer.Option(help="Only those of one failure mode.")] = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List the likeliest failures, with the evidence.

    Of everything since the last spin's window began.

    \b
    Examples:
      flywheel failures
      flywheel failures --mode m1 --limit 5
      flywheel failures --json
    """
    with opened(folder, as_json) as door:
        found = door.wheel.failures(limit=limit, mode=mode)
        if door.json(found):
            return
        if not found:
            door.screen.line("No likely failure since the last spin began.")
            return
        for failure in found:
            _show_failure(door, failure)


def _show_failure(door: Door, failure: Failure) -> None:
    show = door.screen
    show.parts((f"{percent(failure.probability, 0):>5}  ", "red"), (short(failure.input, 400), "bold"))
    right = ("   right is ", "dim"), short(failure.label, 100)
    show.parts(("       answered ", "dim"), short(failure.output, 100), *(right if failure.label is not None else ()))
    if failure.evidence:
        show.line("       " + "; ".join(short(evidence.detail, 120) for evidence in failure.evidence[:4]))
    show.line(f"       {failure.mode or 'no mode'}   {failure.interaction_id}", "dim")


def modes(
    mode: Annotated[str | None, typer.Argument(help="Show everything about one mode.", metavar="MODE")] = None,
    state: Annotated[str | None, typer.Option(help="open, in work, fixed or reopened.")] = None,
    first: Annotated[bool, typer.Option("--first", help="Only what to fix first, and what that would buy.")] = False,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List the failure modes, the riskiest first, or show one.

    Risk is severity × occurrence × detectability, each from 1 to 10.

    \b
    Examples:
      flywheel modes
      flywheel modes --state reopened
      flywheel modes --first
      flywheel modes m1
    """
    with opened(folder, as_json) as door:
        if first:
            _first(door)
            return
        found = door.wheel.modes(state)
        if mode is not None:
            one = next((known for known in found if known.id == mode), None)
            if one is None:
                raise NotFound(f"no failure mode {mode!r}. `flywheel modes` lists them")
            if not door.json(one):
                _show_mode(door, one)
            return
        if door.json(found):
            return
        if not found:
            door.screen.line("No failure mode yet. A spin groups the failures it finds: flywheel spin")
            return
        largest = max(known.share for known in found) or 1.0
        room = max(20, door.screen.out.width - 62)
        door.screen.table(
            ["id", "state", "what fails", ">risk", ">failures", "share of traffic"],
            [
                [
                    known.id,
                    _state(known.state),
                    short(known.name, room),
                    f"{known.risk.number}" if known.risk else None,
                    number(known.count),
                    (f"{bar(known.share / largest, 8)} {percent(known.share)}", "yellow"),
                ]
                for known in found
            ],
        )
        fixes = [fix for fix in door.wheel.fix_first(5) if state is None or fix.mode in {known.id for known in found}]
        if fixes:
            door.screen.heading("What to fix first")
            for fix in fixes:
                door.screen.parts("  ", (f"{fix.mode}  ", "dim"), short(fix.line, 400))


def _first(door: Door) -> None:
    fixes = door.wheel.fix_first()
    if door.json(fixes):
        return
    if not fixes:
        door.screen.line("Nothing to fix that is known. A spin groups the failures it finds: flywheel spin")
    for fix in fixes:
        door.screen.parts((f"{fix.mode}  ", "dim"), short(fix.line, 400))


def _state(state: str) -> tuple[str, str]:
    from flywheel.cli.screen import COLOURS

    return state, COLOURS.get(state, "")


def _show_mode(door: Door, mode: Mode) -> None:
    show = door.screen
    show.parts((f"{mode.id}  {mode.name}", "bold"), "   ", _state(mode.state))
    facts = [f"{number(mode.count)} expected failures in the last window, {percent(mode.share)} of its traffic"]
    facts.append(f"first seen in spin {mode.first_spin}, last in spin {mode.last_spin}")
    if mode.fixed_in:
        facts.append(f"fixed in {mode.fixed_in}")
    if mode.risk:
        facts.append(
            f"risk {mode.risk.number} = severity {mode.risk.severity} × occurrence {mode.risk.occurrence}"
            f" × detectability {mode.risk.detectability}"
        )
    facts.append(f"cause: {mode.cause.kind} ({percent(mode.cause.probability, 0)})")
    for fact in facts:
        show.line(f"  {fact}")
    for line in (*mode.cause.evidence, *mode.whys):
        show.line(f"    · {line}", "dim")
    if mode.cause.remedy:
        show.line(f"  what helps: {mode.cause.remedy}")
    if mode.signature:
        show.heading("What sets it apart")
        strongest = sorted(mode.signature.items(), key=lambda term: -term[1])[:8]
        top = strongest[0][1] or 1.0
        show.table(
            ["sign", "weight"], [[short(term, 40), (bar(weight / top, 10), "yellow")] for term, weight in strongest]
        )
    examples = door.wheel.failures(limit=5, mode=mode.id)
    if examples:
        show.heading("For example")
        show.table(
            ["~input", "~output", "id"],
            [[short(f.input, 120), short(f.output, 40), (f.interaction_id, "dim")] for f in examples],
        )


def edge_cases(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of each.")] = 15,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List edge cases, and groups of inputs that no known class explains.

    Of the last spin's window. An edge case's risk is P(failure) × severity × exposure × lack of labelled examples.

    \b
    Examples:
      flywheel edge-cases
      flywheel edge-cases --limit 50 --json
    """
    with opened(folder, as_json) as door:
        groups, cases = door.wheel.groups(), door.wheel.edge_cases(limit)
        named = [group for group in groups if group.size > 1 and group.name][:limit]
        if door.json({"groups": named, "edge_cases": cases}):
            return
        if not named and not cases:
            door.screen.line("No edge case yet. A spin looks for them among what it finds: flywheel spin")
            return
        if named:
            door.screen.line("Alike inputs that no known class explains", "bold")
            door.screen.table(
                ["~what they say", ">inputs", ">one new class", "ask about"],
                [[group.name, number(group.size), percent(group.p_new, 0), group.members[0]] for group in named],
            )
        if cases:
            door.screen.line("Edge cases, the riskiest first", "bold")
            door.screen.table(
                ["interaction", "kind", ">P(failure)", ">severity", ">exposure", ">lack", "~why"],
                [
                    [
                        case.interaction_id,
                        case.kind,
                        percent(case.p_failure, 0),
                        f"{case.severity:.1f}",
                        percent(case.exposure),
                        f"{case.lack:.2f}",
                        case.why,
                    ]
                    for case in cases
                ],
            )
