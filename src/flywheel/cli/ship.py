"""Commands about models in production: releases, rollback, predict."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel.cli.door import At, By, Folder, Json, moment, name_of, opened, pairs, value_of
from flywheel.cli.text import ago, percent, short

if TYPE_CHECKING:
    from flywheel.records import Release

__all__ = ["predict", "releases", "rollback"]


class Action(StrEnum):
    """What can be done with releases beside listing them."""

    promote = "promote"


def releases(
    action: Annotated[
        Action | None, typer.Argument(help="Make the waiting challenger the champion.", metavar="promote")
    ] = None,
    by: By = "",
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List the models in production, or promote one that waits.

    A challenger waits where `[release] automatic = false` and the gate said promote.

    \b
    Examples:
      flywheel releases
      flywheel releases promote --by ana
    """
    with opened(folder, as_json) as door:
        if action is Action.promote:
            release = door.wheel.promote(by=name_of(by), at=moment(at))
            if not door.json(release):
                door.screen.line(_now_champion(release), "green")
            return
        found = door.wheel.releases()
        if door.json(found):
            return
        if not found:
            door.screen.line("Nothing has been released yet; the first spin does: flywheel spin")
            return
        from flywheel.cli.screen import COLOURS

        door.screen.table(
            ["version", "role", "since", ">spin", "trainer", "dataset", "replaced"],
            [
                [
                    known.version,
                    (known.role, COLOURS.get(known.role, "")),
                    ago(known.at),
                    str(known.spin),
                    known.trainer,
                    known.dataset[:12] if known.dataset else None,
                    known.replaced,
                ]
                for known in found
            ],
        )


def rollback(by: By = "", at: At = None, folder: Folder = Path(), as_json: Json = False) -> None:
    """Bring back the champion before this one, at once.

    Every process that predicts from this folder uses it at its next call.

    \b
    Examples:
      flywheel rollback --by ana
    """
    with opened(folder, as_json) as door:
        release = door.wheel.rollback(by=name_of(by), at=moment(at))
        if not door.json(release):
            door.screen.line(_now_champion(release), "green")


def _now_champion(release: Release) -> str:
    return f"{release.version} is the champion now"


def predict(
    inputs: Annotated[list[str], typer.Argument(help="What to ask; - reads one input a line.", metavar="INPUT...")],
    user: Annotated[str | None, typer.Option(help="Who asks; stored as a pseudonym.")] = None,
    context: Annotated[
        list[str] | None,
        typer.Option("--context", "-c", metavar="NAME=VALUE", help="Context; may be given several times."),
    ] = None,
    log: Annotated[bool, typer.Option("--log/--no-log", help="Log the answers as interactions.")] = True,
    parse: Annotated[bool, typer.Option("--parse", help="Read each input as JSON instead of as plain text.")] = False,
    at: At = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Ask the champion. Each answer is logged, unless --no-log is given.

    \b
    Examples:
      flywheel predict "where is my card" -c device=ios
      flywheel predict '{"amount": 12.5, "country": "AT"}' --parse --no-log
      flywheel predict - --json < questions.txt
    """
    with opened(folder, as_json) as door:
        lines = [line.rstrip("\n") for line in sys.stdin if line.strip()] if inputs == ["-"] else inputs
        asked = [value_of(text, parse, "input") for text in lines]
        found = door.wheel.predict(
            asked,
            users=[user] * len(asked) if user else None,
            contexts=[pairs(context, "context")] * len(asked) if context else None,
            at=moment(at),
            log=log,
        )
        if door.json(found):
            return
        door.screen.table(
            ["~input", "~output", ">confidence", "version", "id"],
            [
                [
                    short(question, 80),
                    (short(answer.output, 80), "bold"),
                    percent(answer.confidence, 0),
                    answer.version,
                    (answer.id, "dim") if answer.id else None,
                ]
                for question, answer in zip(asked, found, strict=True)
            ],
        )
