"""Commands that look for what goes wrong: observe, slices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import Door, Folder, Json, moment, opened
from flywheel.cli.text import number, percent, short, spark
from flywheel.errors import InvalidRecord

if TYPE_CHECKING:
    from flywheel.records import Observation

__all__ = ["observe", "slices"]

Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Where the window begins: 7d, 24h, 30m, or ISO 8601 with an offset."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Where it ends; now when left out.")]
Seed = Annotated[int, typer.Option(help="The same log and the same seed give the same findings.")]

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def observe(
    since: Since = None,
    until: Until = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", metavar="NAME", help="Only this side; may be given several times.")
    ] = None,
    logs: Annotated[
        list[str] | None, typer.Option("--logs", metavar="FILE", help="An application log to read beside; repeatable.")
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write the findings with charts as a page.")] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Show what moved without hurting in full.")] = False,
    seed: Seed = 0,
    spin: Annotated[
        int | None,
        typer.Option(min=0, help="Show what this spin saw in its window, instead of looking anew; 0: the last."),
    ] = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """See what got worse, since when and for whom.

    Looks at a window beside the weeks before it: levels, accuracy without labels, seasons, breaks, anomalies, drift,
    influences of context, slices, wording, application logs. What hurts comes first; where nothing does, it says so.

    \b
    Examples:
      flywheel observe
      flywheel observe --since 7d --html findings.html
      flywheel observe --part slices --part influences
      flywheel observe --logs /var/log/bot.log
      flywheel observe --spin 3
    """
    with opened(folder, as_json) as door:
        if spin is not None:
            seen = door.wheel.findings(spin or None)
            if not door.json(seen):
                _show(door, seen, everything)
            return
        with door.screen.progress("looking") as listen:
            found = door.wheel.observe(
                since=_when(since, "since"),
                until=_when(until, "until"),
                parts=part or (),
                logs=logs or (),
                html=html,
                seed=seed,
                progress=listen,
            )
        if door.json(found):
            return
        _show(door, found, everything)
        if html:
            door.screen.line()
            door.screen.line(f"The page with charts: {html}", "green")


def slices(
    where: Annotated[
        list[str] | None, typer.Argument(help="Look into this one: conditions that all hold.", metavar="NAME=VALUE")
    ] = None,
    since: Since = None,
    until: Until = None,
    k: Annotated[int, typer.Option("--top", "-k", min=1, max=100, help="At most so many.")] = 10,
    seed: Seed = 0,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Find where the model fails most.

    Conjunctions of context and input values, found on one half of the interactions and confirmed on the other. With
    conditions it looks into that slice: which failure modes the failures of the last spin's window there belong to.

    \b
    Examples:
      flywheel slices
      flywheel slices device=ios network=3g
      flywheel slices --since 30d --top 5
      flywheel slices --json
    """
    with opened(folder, as_json) as door:
        if where:
            _within(door, where)
            return
        found = door.wheel.slices(since=_when(since, "since"), until=_when(until, "until"), k=k, seed=seed)
        if door.json(found):
            return
        if not found:
            door.screen.line("No slice fails more than the rest by more than chance explains.")
            return
        door.screen.table(
            ["~slice", ">interactions", ">fails", ">elsewhere", "~more, 95 % interval"],
            [
                [
                    str(seen.where) if seen.where else seen.name,
                    number(seen.n),
                    (percent(seen.value), "red"),
                    percent(seen.reference),
                    _size(seen),
                ]
                for seen in found
            ],
        )


def _within(door: Door, where: Sequence[str]) -> None:
    inside = door.wheel.slice(*where)
    if door.json(inside):
        return
    show = door.screen
    show.line(str(inside.where), "bold")
    show.line(f"  {number(inside.failures)} expected failures of the {number(inside.of)} in the last window", "dim")
    if inside.modes:
        show.table(
            ["id", "~what fails", ">here", ">in all"],
            [[mode.id, short(mode.name, 60), number(count), number(mode.count)] for mode, count in inside.modes],
        )
    if inside.examples:
        show.heading("For example")
        show.table(
            ["~input", "~output", "id"],
            [[short(f.input, 120), short(f.output, 40), (f.interaction_id, "dim")] for f in inside.examples[:5]],
        )


def _size(seen: Observation) -> str:
    if seen.effect is None:
        return "–"
    points = f"{seen.effect * 100:+.1f} points"
    held = seen.interval
    return f"{points} ({held.low * 100:+.1f} to {held.high * 100:+.1f})" if held else points


def _show(door: Door, found: Sequence[Observation], everything: bool) -> None:
    from flywheel.page.findings import SECTIONS

    show = door.screen
    alarms = [seen for seen in found if seen.alarm]
    show.line()
    if alarms:
        show.parts((f"{len(alarms)} finding{'s' if len(alarms) > 1 else ''} that hurt", "bold red"))
        for seen in alarms:
            _finding(door, seen, full=True)
    else:
        show.line("Nothing that hurts happened in this window.", "green")
    for _, name, _, kinds in SECTIONS:
        here = [seen for seen in found if seen.kind in kinds and not seen.alarm]
        if not here:
            continue
        show.heading(name)
        most = len(here) if everything else 6
        for seen in here[:most]:
            _finding(door, seen, full=everything)
        if len(here) > most:
            show.line(f"  … {len(here) - most} more with --all", "dim")


def _finding(door: Door, seen: Observation, full: bool) -> None:
    from flywheel.page.findings import sentence

    show = door.screen
    sign = ("✗ ", "red") if seen.alarm else ("· ", "dim")
    values = seen.chart.get("y") if seen.chart.get("kind") == "line" else None
    drawn = spark(values[-40:]) if values else ""
    show.parts("  ", sign, (short(sentence(seen.line), 400), "bold" if seen.alarm else ""), (f"  {drawn}", "blue"))
    if full:
        for line in seen.evidence[:4]:
            show.line(f"      {short(line, 300)}", "dim")


def _when(text: str | None, field: str) -> datetime | None:
    """A TIME: so long ago, or a moment."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago is None:
        try:
            return moment(text)
        except InvalidRecord as problem:
            raise InvalidRecord(field, f"{text!r} is not a time", "Write 7d, 24h, or 2026-01-31T09:30:00Z") from problem
    return datetime.now(UTC) - timedelta(**{_UNIT[ago.group(2)]: float(ago.group(1))})
