"""The command `why`: the chain of whys of a failure mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import By, Door, Folder, Json, name_of, opened
from flywheel.cli.text import ago, percent

if TYPE_CHECKING:
    from flywheel.records import Mode, Why, WhyChain

__all__ = ["why"]


def why(
    mode: Annotated[str, typer.Argument(help="The failure mode; see `flywheel modes`.", metavar="MODE")],
    answer: Annotated[
        tuple[int, str] | None,
        typer.Option(help="Answer or correct one why, by its number; one past the end adds one.", metavar="N TEXT"),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the chain here as Markdown.", metavar="FILE")] = None,
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show why a failure mode fails: five whys, each tested on the data, or asked of you.

    A tested claim has its size, its interval and what it was held against. What the data cannot know is asked, not
    made up; what you answer stays when the claims are tested again after a spin.

    \b
    Examples:
      flywheel why m1
      flywheel why m1 --answer 5 "The partner's form sends no amount since May" --by ana
      flywheel why m1 --markdown m1.md
    """
    with opened(folder, as_json) as door:
        wheel = door.wheel
        chain = wheel.why(mode) if answer is None else wheel.answer_why(mode, *answer, by=name_of(by))
        if markdown is not None:
            markdown.write_text(wheel.why_markdown(mode), encoding="utf-8")
        if door.json(chain):
            return
        _show(door, chain, next(known for known in wheel.modes() if known.id == mode))
        if markdown is not None:
            door.screen.line(f"Written to {markdown}", "green")


def _show(door: Door, chain: WhyChain, mode: Mode) -> None:
    show = door.screen
    show.line(f"{mode.id}  {mode.name}", "bold")
    show.line(f"  {mode.state}, {percent(mode.share)} of the traffic", "dim")
    for number, link in enumerate(chain.whys, 1):
        show.line()
        show.line(f"{number}. {link.question}", "bold")
        if link.kind == "open":
            show.line(f'   Asked of you: flywheel why {mode.id} --answer {number} "…"', "yellow")
            continue
        show.line(f"   {link.answer}")
        show.line(f"   {_ground(link)}", "dim")
        if link.drafted is not None:
            show.line(f"   The data says: {link.drafted.answer}", "dim")
    if chain.fix:
        show.line()
        show.line(f"Fixed in {chain.fix}" + (f" by spin {chain.spin}" if chain.spin else ""), "green")
        if chain.receipt:
            show.line(f"  {chain.receipt}")


def _ground(link: Why) -> str:
    if link.kind == "tested":
        return f"Tested on {link.n:,} cases"
    return f"Said{f' by {link.by}' if link.by else ''}, {ago(link.at)}"
