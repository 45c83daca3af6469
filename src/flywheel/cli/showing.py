"""Commands that show things beside each other: compare, usual."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import Folder, Json, opened
from flywheel.cli.text import percent, short

if TYPE_CHECKING:
    from flywheel.records import Interval

__all__ = ["compare", "usual"]


def compare(
    left: Annotated[str, typer.Argument(help="A version, as `flywheel releases` lists them.", metavar="LEFT")],
    right: Annotated[str, typer.Argument(help="The version to hold against it.", metavar="RIGHT")],
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Hold two versions against each other, on the same labelled interactions.

    Neither is judged by an example that it was trained on.

    \b
    Examples:
      flywheel compare v1 v4
      flywheel compare v1 v4 --json
    """
    with opened(folder, as_json) as door:
        found = door.wheel.compare(left, right)
        if door.json(found):
            return
        door.screen.table(["~", f"~{left}", f"~{right}"], [
            ["accuracy", _interval(found.accuracy_left), _interval(found.accuracy_right)],
            *([str(one.where), f"{one.left} of {one.n}", f"{one.right} of {one.n}"] for one in found.slices),
        ])  # fmt: skip
        door.screen.line(
            f"{right} is right {100 * found.uplift.estimate:+.1f} points more often "
            f"({100 * found.uplift.low:+.1f} to {100 * found.uplift.high:+.1f}, {found.n} labels); it fixes "
            f"{len(found.fixed)} and breaks {len(found.broke)}. "
            f"They differ on {found.disagree:.1%} of the interactions."
        )


def usual(
    metric: Annotated[str, typer.Argument(help="Such as confidence, errors, latency_p95 or volume.")] = "confidence",
    last: Annotated[int, typer.Option(min=1, max=2000, help="How many hours.")] = 48,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show a metric by the hour, with the band in which it usually lies.

    The band is from the same hours of the days before: 19 hours in 20 lie inside it.

    \b
    Examples:
      flywheel usual
      flywheel usual latency_p95 --last 168
      flywheel usual volume --json
    """
    with opened(folder, as_json) as door:
        found = door.wheel.usual(metric, last)
        if door.json(found):
            return
        if not found:
            door.screen.line(f"Nothing was measured of {short(metric, 40)} yet.")
            return
        door.screen.table(
            ["hour", f">{metric}", ">usually from", ">to", ">n", ""],
            [[f"{one.at:%Y-%m-%d %H:%M}", f"{one.value:.4g}", _plain(one.low), _plain(one.high), f"{one.n:,}",
              ("outside", "yellow") if one.outside else ""] for one in found],
        )  # fmt: skip


def _plain(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _interval(found: Interval) -> str:
    return f"{percent(found.estimate)} ({100 * found.low:.1f} to {100 * found.high:.1f}, {found.n} labels)"
