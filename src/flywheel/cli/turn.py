"""Commands that turn the wheel and show what a turn brought: spin, spins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import At, Door, Folder, Json, moment, opened
from flywheel.cli.text import money, number, percent, short
from flywheel.errors import NotFound

if TYPE_CHECKING:
    from flywheel.records import Interval, Receipt, Spin, Verdict

__all__ = ["show_spin", "spin", "spins"]

_SIGNS = {"pass": "✓", "fail": "✗", "unsure": "?"}


def spin(
    budget: Annotated[int, typer.Option("--budget", "-b", min=0, help="How many labels it may ask for.")] = 100,
    seed: Annotated[int, typer.Option(help="The same log and the same seed give the same spin.")] = 0,
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Turn the wheel once.

    Find what fails, ask for labels, retrain, prove, release, measure. It stops when it waits for labels, and says for
    how many; run it again when they are given. A spin that was interrupted goes on where it was.

    \b
    Examples:
      flywheel spin
      flywheel spin --budget 40
      flywheel spin --json
    """
    with opened(folder, as_json) as door:
        with door.screen.progress("spin") as listen:
            turned = door.wheel.spin(budget=budget, seed=seed, at=moment(at), progress=listen)
        if not door.json(turned):
            show_spin(door, turned)


def spins(
    spin_number: Annotated[
        int | None, typer.Argument(help="Show one spin: its verdict and receipt.", metavar="N")
    ] = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List the spins, or show the verdict and the receipt of one.

    \b
    Examples:
      flywheel spins
      flywheel spins 3
      flywheel spins 3 --json
    """
    with opened(folder, as_json) as door:
        found = door.wheel.spins()
        if spin_number is not None:
            one = next((known for known in found if known.number == spin_number), None)
            if one is None:
                raise NotFound(
                    f"there is no spin {spin_number}; the last one is {len(found)}. `flywheel spins` lists them"
                )
            if not door.json(one):
                show_spin(door, one)
            return
        if door.json(found):
            return
        if not found:
            door.screen.line("The wheel has not turned yet: flywheel spin")
            return
        door.screen.table(
            [">spin", "verdict", ">labels", ">fixed", ">broke", ">accuracy before", ">after", ">avoided per 1,000"],
            [_row(known) for known in found],
        )


def _row(spin: Spin) -> list[str | tuple[str, str] | None]:
    from flywheel.cli.screen import COLOURS

    verdict, receipt = spin.verdict, spin.receipt
    said = verdict.decision if verdict else f"{spin.state} ({spin.step})"
    return [
        str(spin.number),
        (said, COLOURS.get(verdict.decision if verdict else spin.state, "")),
        number(spin.labels),
        f"{verdict.fixed} of {verdict.failures}" if verdict else None,
        f"{verdict.broke} of {verdict.kept}" if verdict else None,
        percent(receipt.before.estimate) if receipt and receipt.before.n else None,
        percent(receipt.after.estimate) if receipt and receipt.after.n else None,
        number(receipt.avoided_per_1000.estimate) if receipt and receipt.avoided_per_1000.n else None,
    ]


def show_spin(door: Door, spin: Spin) -> None:
    """Show one spin: what it waits for, or its verdict as a table of checks, and its receipt."""
    show = door.screen
    if spin.state == "waiting":
        show.parts((f"Spin {spin.number} waits for {spin.waiting_for:,} labels.", "bold yellow"))
        show.line("Next: flywheel label, and then flywheel spin to go on.")
    elif spin.state != "done":
        show.line(f"Spin {spin.number} stands before the step {spin.step}. flywheel spin goes on.", "yellow")
    alarms = [seen for seen in spin.observations if seen.alarm]
    for seen in alarms:
        show.line(f"  ! {seen.line}", "yellow")
    if spin.modes:
        open_modes = [mode for mode in spin.modes if mode.state != "fixed"]
        named = ", ".join(short(mode.name, 40) for mode in open_modes[:4])
        more = f" and {len(open_modes) - 4} more" if len(open_modes) > 4 else ""
        show.line(f"{len(open_modes)} failure modes: {named}{more}")
    if spin.verdict:
        _show_verdict(door, spin, spin.verdict)
    if spin.receipt:
        _show_receipt(door, spin.receipt)


def _show_verdict(door: Door, spin: Spin, verdict: Verdict) -> None:
    from flywheel.cli.screen import COLOURS

    colour = COLOURS.get(verdict.decision, "")
    door.screen.heading(f"Verdict of spin {spin.number}")
    door.screen.parts(
        "  ",
        (verdict.decision, f"bold {colour}"),
        f"   fixed {verdict.fixed} of {verdict.failures} known failures, broke {verdict.broke} of {verdict.kept}",
        f"; about {verdict.need} more labels would decide" if verdict.need else "",
    )
    door.screen.line()
    door.screen.table(
        ["", "check", "~evidence"],
        [
            [(_SIGNS.get(check.outcome, check.outcome), COLOURS.get(check.outcome, "")), check.name, check.line]
            for check in verdict.checks
        ],
    )


def _show_receipt(door: Door, receipt: Receipt) -> None:
    door.screen.heading("Receipt")
    if receipt.line:
        door.screen.line(f"  {receipt.line}")
        door.screen.line()
    rows: list[list[str]] = [
        ["accuracy before", _interval(receipt.before, 100, " %")],
        ["accuracy after", _interval(receipt.after, 100, " %")],
        ["uplift", _interval(receipt.uplift, 100, " points")],
        ["failures avoided per 1,000", _interval(receipt.avoided_per_1000, 1, "")],
        ["labels", f"{receipt.labels}, of them {receipt.audit_labels} drawn at random to measure with"],
        ["time", f"{receipt.seconds:,.1f} s"],
    ]
    if receipt.value is not None:
        rows.append(["worth a year", money(receipt.value, receipt.currency)])
    if receipt.cost is not None:
        rows.append(["cost", money(receipt.cost, receipt.currency)])
    door.screen.table(["", "~"], rows)


def _interval(interval: Interval, scale: float, unit: str) -> str:
    if not interval.n:
        return "not known: no label to measure with"
    estimate, low, high = (value * scale for value in (interval.estimate, interval.low, interval.high))
    return f"{estimate:.1f}{unit}  ({low:.1f} to {high:.1f}, {interval.n} labels)"
