"""`flywheel status`: what fails, what waits for me, what the last spins brought, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flywheel.cli.door import Door, Folder, Json, opened
from flywheel.cli.text import ago, bar, number, percent, short, spark

__all__ = ["status"]

_MODES, _SPINS = 6, 5


def status(folder: Folder = Path(), as_json: Json = False) -> None:
    """See what fails, what waits, and what the last spins brought.

    \b
    Examples:
      flywheel status
      flywheel status --folder support-bot
      flywheel status --json
    """
    with opened(folder, as_json) as door:
        now = door.wheel.status()
        if door.json(now):
            return
        waiting = [release.version for release in door.wheel.releases() if release.role == "challenger"]
        _head(door, now)
        _fails(door, [mode for mode in now["modes"] if mode["state"] != "fixed"], now["modes"])
        _waits(door, now, waiting)
        _brought(door, now["spins"])
        for problem in now.get("problems") or ():
            door.screen.line()
            door.screen.line(f"! {problem}", "red")
        door.screen.line()
        door.screen.parts(("Next  ", "dim"), (_next(now), "bold cyan"))


def _head(door: Door, now: Mapping[str, Any]) -> None:
    champion = now["champion"]
    door.screen.line()
    door.screen.parts(
        (now["name"], "bold"),
        (f"   {now['task']}   ", "dim"),
        (f"{champion['version']} in production, {ago(champion['at'])}", "green")
        if champion
        else ("no model in production yet", "yellow"),
    )
    door.screen.parts(
        (number(now["interactions"]), "bold"),
        (" interactions   ", "dim"),
        (number(now["feedback"]), "bold"),
        (" feedback   ", "dim"),
        (number(now["examples"]), "bold"),
        (" labelled examples   ", "dim"),
        (spark([moment.get("interactions") for moment in now.get("metrics") or ()][-24:]), "blue"),
    )


def _fails(door: Door, living: Sequence[Mapping[str, Any]], every: Sequence[Mapping[str, Any]]) -> None:
    from flywheel.cli.screen import COLOURS

    door.screen.heading("What fails")
    if not living:
        door.screen.line("  nothing that is known" if every else "  not known yet: a spin finds out", "dim")
    else:
        largest = max(mode["share"] for mode in living) or 1.0
        door.screen.table(
            ["failure mode", "state", ">risk", "share of traffic"],
            [
                [
                    short(mode["name"], max(20, door.screen.out.width - 44)),
                    (mode["state"], COLOURS.get(mode["state"], "")),
                    number(_risk(mode)),
                    (f"{bar(mode['share'] / largest)} {percent(mode['share'])}", "yellow"),
                ]
                for mode in living[:_MODES]
            ],
        )
        if len(living) > _MODES:
            door.screen.line(f"  and {len(living) - _MODES} more: flywheel modes", "dim")
    fixed = len(every) - len(living)
    if fixed:
        door.screen.line(f"  {fixed} fixed", "green")


def _risk(mode: Mapping[str, Any]) -> float | None:
    risk = mode.get("risk")
    return float(risk["severity"] * risk["occurrence"] * risk["detectability"]) if risk else None


def _waits(door: Door, now: Mapping[str, Any], challengers: Sequence[str]) -> None:
    door.screen.heading("What waits for you")
    lines = []
    if now["waiting"]:
        lines.append((f"{now['waiting']:,} items to label", "flywheel label"))
    for version in challengers[-1:]:
        lines.append((f"{version} passed the gate and waits to be promoted", "flywheel releases promote"))
    if now["counts"].get("dead_letters"):
        lines.append((f"{now['counts']['dead_letters']:,} records could not be read", "flywheel doctor"))
    for said, command in lines:
        door.screen.parts((f"  {said}   ", "yellow"), (command, "cyan"))
    if not lines:
        door.screen.line("  nothing", "dim")


def _brought(door: Door, spins: Sequence[Mapping[str, Any]]) -> None:
    from flywheel.cli.screen import COLOURS

    door.screen.heading("What the last spins brought")
    if not spins:
        door.screen.line("  the wheel has not turned yet", "dim")
        return
    rows = []
    for spin in spins[-_SPINS:]:
        verdict, receipt = spin.get("verdict"), spin.get("receipt")
        said = verdict["decision"] if verdict else spin["state"]
        after = _estimate(receipt, "after")
        rows.append(
            [
                str(spin["number"]),
                (said, COLOURS.get(said, "")),
                f"{verdict['fixed']} of {verdict['failures']}" if verdict else None,
                f"{verdict['broke']} of {verdict['kept']}" if verdict else None,
                number(spin["labels"]),
                f"{percent(_estimate(receipt, 'before'))} → {percent(after)}" if after is not None else None,
            ]
        )
    door.screen.table([">spin", "verdict", ">fixed", ">broke", ">labels", "accuracy"], rows)
    course = [value for value in (_estimate(spin.get("receipt"), "after") for spin in spins) if value is not None]
    if len(course) > 1:
        door.screen.parts(("  accuracy ", "dim"), (spark(course[-40:]), "green"), (f" {percent(course[-1])}", "bold"))
    last = next((spin["receipt"]["line"] for spin in reversed(spins) if spin.get("receipt")), "")
    if last:
        door.screen.line(f"  {last}")


def _estimate(receipt: Mapping[str, Any] | None, name: str) -> float | None:
    """An estimate of the receipt; None where no label was there to measure with."""
    return float(receipt[name]["estimate"]) if receipt and receipt[name]["n"] else None


def _next(now: Mapping[str, Any]) -> str:
    """The one command that brings the wheel on."""
    if not now["examples"] and not now["waiting"]:
        return "flywheel seed labelled.csv"
    if now["waiting"]:
        return "flywheel label"
    return "flywheel spin"
