"""Commands about the folder itself: begin one, look after it, see its settings and plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel.cli.door import Door, Folder, Json, answering, opened

__all__ = ["demo", "doctor", "init", "plugins", "rebuild", "settings"]


def demo(
    spins: Annotated[int, typer.Option(min=1, max=50, help="How many times the wheel turns.")] = 6,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", "-f", help="Where the demo works; ./flywheel-demo when left out.", metavar="FOLDER"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch a model learn from its own failures.

    On real handwritten digits: a small model reads them for a post office. Two digits it never saw arrive, then a worse
    scanner, and users complain late and not always rightly. Three lanes see the same traffic: a frozen model, one that
    learns from random labels, and one with Flywheel. Needs no network and nothing of your own.

    \b
    Examples:
      flywheel demo
      flywheel demo --spins 3 --seed 1
      flywheel demo --json > demo.json
    """
    with answering(as_json):
        from flywheel import demo as show

        show.main(spins=spins, seed=seed, json=as_json, folder=folder)


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make; the present one when left out.")] = Path(),
    task: Annotated[
        str, typer.Option(help="classification, regression, ranking, generation, or a task plugin.")
    ] = "classification",
    name: Annotated[str, typer.Option(help="The product's name in reports; the folder's name when left out.")] = "",
    as_json: Json = False,
) -> None:
    """Make a flywheel: a folder with its settings, log and state.

    A folder that is one already is left as it is.

    \b
    Examples:
      flywheel init support-bot
      flywheel init prices --task regression --name "price model"
    """
    with answering(as_json) as door:
        from flywheel import wheel

        # A task that does not exist is refused before anything is written.
        _known_task(task)
        product = {"product": {"name": name}} if name else {}
        with wheel.open(folder, task, **product) as fw:
            made = {"folder": str(folder.resolve()), "name": fw.name, "task": fw.config.product.task}
        if door.json(made):
            return
        show = door.screen
        show.line(f"{made['name']} ({made['task']}) is ready in {made['folder']}", "green")
        show.line("Next: give it the labels you have, then log what your product answers.")
        show.line(f"  cd {folder}" if folder != Path() else "", "dim") if folder != Path() else None
        show.line("  flywheel seed labelled.csv --map input=text --map label=intent", "dim")
        show.line("  flywheel import logs.jsonl --dry-run", "dim")


def _known_task(task: str) -> None:
    from flywheel import plugins as installed

    if task not in installed.names("tasks"):
        installed.create("tasks", task)  # raises with the list of those there are


def doctor(folder: Folder = Path(), as_json: Json = False) -> None:
    """Check that log, tables, models and audit trail agree.

    Ends with exit code 1 when a check fails; its line says what to do.

    \b
    Examples:
      flywheel doctor
      flywheel doctor --json
    """
    with opened(folder, as_json) as door:
        report = door.wheel.doctor()
        if not door.json(report):
            door.screen.table(
                ["check", "", "~what was found"],
                [
                    [line["name"], ("ok", "green") if line["ok"] else ("problem", "red"), line["line"]]
                    for line in report
                ],
            )
        if not all(line["ok"] for line in report):
            raise typer.Exit(1)


def rebuild(folder: Folder = Path(), as_json: Json = False) -> None:
    """Make the tables anew from the log.

    The log is the record of truth. For tables that were lost or damaged; nothing in the log, the labels or the models
    changes.

    \b
    Examples:
      flywheel rebuild
    """
    with opened(folder, as_json) as door:
        with door.screen.progress("rebuild") as listen:
            rows = door.wheel.rebuild(progress=listen)
        if not door.json({"rows": rows}):
            door.screen.line(f"{rows:,} rows written anew from the log", "green")


def settings(folder: Folder = Path(), as_json: Json = False) -> None:
    """Show every setting in force.

    The file's, the environment's and the defaults; what is not a default is marked. Settings are changed in
    flywheel.toml; docs/guides/settings.md explains each.

    \b
    Examples:
      flywheel settings
      flywheel settings --json
    """
    with opened(folder, as_json) as door:
        from dataclasses import fields

        config, changed = door.wheel.config, set()
        shown: dict[str, dict[str, Any]] = {}
        for section in fields(config):
            values = getattr(config, section.name)
            shown[section.name] = {}
            for setting in fields(values):
                value = getattr(values, setting.name)
                if value != setting.default:
                    changed.add((section.name, setting.name))
                shown[section.name][setting.name] = _without_password(value) if isinstance(value, str) else value
        if door.json(shown):
            return
        for name, settings_ in shown.items():
            door.screen.heading(f"[{name}]")
            for setting_name, value in settings_.items():
                text = json.dumps(value, ensure_ascii=False)
                door.screen.line(f"  {setting_name} = {text}", "cyan" if (name, setting_name) in changed else "dim")


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit

    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


def plugins(as_json: Json = False) -> None:
    """List the installed trainers, tasks, detectors and the rest.

    \b
    Examples:
      flywheel plugins
      flywheel plugins --json
    """
    with answering(as_json) as door:
        from flywheel import plugins as installed

        found = {port: installed.names(port) for port in installed.PORTS}
        if not door.json(found):
            _show_plugins(door, found)


def _show_plugins(door: Door, found: dict[str, list[str]]) -> None:
    door.screen.table(["port", "~installed"], [[port, ", ".join(names) or None] for port, names in found.items()])
