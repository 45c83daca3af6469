"""What every command shares: which folder, how to answer, how to fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.text import clean, json_text
from flywheel.errors import FlywheelError, InvalidRecord, NotFound, Retryable

if TYPE_CHECKING:
    from flywheel.cli.screen import Screen
    from flywheel.wheel import Flywheel

__all__ = ["At", "By", "Door", "Folder", "Json", "answering", "moment", "name_of", "opened", "pairs", "value_of"]

RETRY = 75
"""Exit code for an error after which the same command may work later (`EX_TEMPFAIL` of sysexits.h)."""

Folder = Annotated[
    Path, typer.Option("--folder", "-f", envvar="FLYWHEEL_FOLDER", help="The flywheel's folder.", metavar="FOLDER")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="When it happened, ISO 8601 with an offset; now when left out."),
]
By = Annotated[str, typer.Option("--by", envvar="FLYWHEEL_BY", metavar="NAME", help="Who does this, for the record.")]
DEFECT = 70
"""Exit code for an error that Flywheel did not foresee (`EX_SOFTWARE`)."""


class Door:
    """An open flywheel and the way to answer: as JSON, or on the screen."""

    def __init__(self, wheel: Flywheel | None, as_json: bool) -> None:
        self._wheel = wheel
        self.as_json = as_json
        self._screen: Screen | None = None

    @property
    def wheel(self) -> Flywheel:
        """The flywheel of this command."""
        assert self._wheel is not None
        return self._wheel

    @property
    def screen(self) -> Screen:
        """Where to print, loaded when first used."""
        if self._screen is None:
            from flywheel.cli.screen import Screen

            self._screen = Screen()
        return self._screen

    def json(self, answer: Any) -> bool:
        """Print the answer where JSON was asked for; False means that the command should show it."""
        if self.as_json:
            from flywheel.records import to_dict

            sys.stdout.write(json_text(to_dict(answer)) + "\n")
            sys.stdout.flush()  # whoever waits for it may wait while the command goes on
        return self.as_json


@contextmanager
def answering(as_json: bool) -> Iterator[Door]:
    """A door without a folder: turns errors into a message and an exit code."""
    door = Door(None, as_json)
    try:
        yield door
    except BrokenPipeError:  # whoever read our output has seen enough
        raise
    except (FlywheelError, OSError) as problem:
        raise typer.Exit(_fail(door, problem)) from problem
    except (typer.Exit, typer.Abort):
        raise
    except Exception as problem:  # a defect of ours: the door says so, without showing logged text to the terminal
        _confess(door, problem)
        raise typer.Exit(DEFECT) from problem


@contextmanager
def opened(folder: Path, as_json: bool) -> Iterator[Door]:
    """Open the flywheel in `folder`, which must be one; close it afterwards."""
    with answering(as_json) as door:
        if not (folder / "flywheel.toml").is_file():
            raise NotFound(
                f"{folder.resolve()} is not a flywheel: it has no flywheel.toml. Name one with --folder, or make one "
                "with `flywheel init`"
            )
        from flywheel import wheel

        with wheel.open(folder) as fw:
            door._wheel = fw
            yield door


def _fail(door: Door, problem: FlywheelError | OSError) -> int:
    message = clean(str(problem) or type(problem).__name__)
    retryable = isinstance(problem, Retryable)
    if door.as_json:
        error: dict[str, Any] = {"type": type(problem).__name__, "message": message, "retryable": retryable}
        if isinstance(problem, InvalidRecord):
            error["field"] = problem.field
        door.json({"error": error})
    else:
        door.screen.problem(message)
    return RETRY if retryable else 1


def _confess(door: Door, problem: Exception) -> None:
    """Report an error that nobody foresaw: its traceback on standard error, made safe, and where to send it."""
    import traceback

    said = f"{type(problem).__name__}: {problem}"
    if door.as_json:
        door.json({"error": {"type": "Defect", "message": clean(said), "retryable": False}})
    door.screen.err.print(clean("".join(traceback.format_exception(problem))), style="dim")
    door.screen.problem(
        f"This is a defect of Flywheel, not yours: {said}. Nothing that was logged is lost. Please report it"
    )


def name_of(by: str) -> str:
    """Who does something that goes into the audit trail: as given, or as the system knows the person."""
    import getpass

    try:
        return by or getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "somebody at the command line"


def moment(text: str | None) -> datetime | None:
    """Read the TIME of `--at`."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as problem:
        raise InvalidRecord("at", f"{text!r} is not a time", "Write it as 2026-01-31T09:30:00Z") from problem
    if found.tzinfo is None:
        raise InvalidRecord("at", f"{text!r} has no offset from UTC", "Add Z for UTC, or an offset such as +02:00")
    return found


def value_of(text: str, as_json: bool, field: str) -> Any:
    """An argument as it was typed, or read as JSON."""
    if not as_json:
        return text
    try:
        return json.loads(text)
    except ValueError as problem:
        raise InvalidRecord(field, f"{text!r} is not JSON ({problem})", "Leave --parse out for plain text") from problem


def pairs(given: Sequence[str] | None, field: str) -> dict[str, Any]:
    """Read `name=value` options; numbers, true, false and null are those, anything else is text."""
    found: dict[str, Any] = {}
    for pair in given or ():
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise InvalidRecord(field, f"{pair!r} is not of the form name=value", "For example device=ios")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = text if isinstance(value, dict | list | str) else value
    return found
