"""Commands about people and proof: erase, retention, pseudonyms, audit-trail."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel.cli.door import At, By, Door, Folder, Json, moment, name_of, opened
from flywheel.cli.text import short
from flywheel.errors import InvalidConfig, InvalidRecord

__all__ = ["audit_trail", "erase", "pseudonyms", "retention"]

_SPAN = {"h": "hours", "d": "days"}


def erase(
    user: Annotated[
        str | None,
        typer.Option(help="Whom: the name your product logs, or a pseudonym u_…; - reads it from standard input."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what there is, and erase nothing.")] = False,
    models: Annotated[
        bool, typer.Option("--models", help="Remove the files of models that learnt from them and are not in use.")
    ] = False,
    receipt: Annotated[Path | None, typer.Option(help="Write the receipt here too.", metavar="FILE")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish erasures that were cut off.")] = False,
    verify: Annotated[
        Path | None, typer.Option(help="Check a receipt instead; with --user also whom it is about.", metavar="FILE")
    ] = None,
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Erase a user: log, tables, labels, datasets, dead letters, exports.

    Names the models that learnt from them; the next spin trains without. Ends in a byte search of the folder and the
    database, and in a signed receipt. Exit code 1 when something is left: the receipt says where.

    \b
    Examples:
      flywheel erase --user ana@example.org --dry-run
      flywheel erase --user ana@example.org --receipt erased-ana.json
      flywheel erase --verify erased-ana.json --user ana@example.org
    """
    with opened(folder, as_json) as door:
        name = sys.stdin.readline().rstrip("\n") if user == "-" else user
        if verify is not None:
            _verify(door, verify, name)
            return
        if resume:
            done = door.wheel.resume_erasures()
            if not door.json(done):
                door.screen.line(f"{len(done)} erasures finished", "green")
                for one in done:
                    _show(door, one)
            raise typer.Exit(int(not all(one["clean"] for one in done)))
        if not name:
            raise InvalidConfig("say whom: flywheel erase --user NAME")
        if dry_run or not yes:
            planned = door.wheel.erase(name, dry_run=True)
            if dry_run:
                if not door.json(planned):
                    _show_plan(door, planned)
                return
            _ask(door, planned, as_json)
        with door.screen.progress("erase") as listen:
            done_one = door.wheel.erase(name, by=name_of(by), models=models, progress=listen)
        if receipt is not None:
            receipt.write_text(json.dumps(done_one, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if not door.json(done_one):
            _show(door, done_one)
        raise typer.Exit(int(not done_one["clean"]))


def _ask(door: Door, planned: Mapping[str, Any], as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise InvalidConfig("an erasure cannot be undone, and nobody is here to ask. Add --yes, or --dry-run to look")
    _show_plan(door, planned)
    if not typer.confirm("Erase all of this for good?"):
        raise typer.Abort


def _show_plan(door: Door, planned: Mapping[str, Any]) -> None:
    counts = {name: count for name, count in planned["erased"].items() if count}
    if not counts:
        door.screen.line("Nothing in the database is theirs under this name; an erasure would still search every byte.")
        return
    door.screen.table(["what", ">how many"], [[name.replace("_", " "), f"{count:,}"] for name, count in counts.items()])
    if planned["models"]:
        door.screen.line(f"Models that have learnt from them: {', '.join(planned['models'])}", "yellow")


def _show(door: Door, receipt: Mapping[str, Any]) -> None:
    show, search = door.screen, receipt["search"]
    _show_plan(door, {"erased": receipt["erased"], "models": [entry["version"] for entry in receipt["models"]]})
    for place, done in receipt["files"].items():
        show.line(f"  {place}: {done}", "dim")
    show.line(
        f"Searched {search['files']:,} files and {search['cells']:,} cells ({search['bytes'] / 1e6:,.1f} MB) for "
        f"{search['names'] + search['pseudonyms']} names and {search['ids']:,} ids"
    )
    for problem in search["not_swept"]:
        show.line(f"! {problem}", "yellow")
    if receipt["clean"]:
        show.line("Nothing is left.", "green")
    else:
        show.line("Something is left:", "red")
        show.table(
            ["~place", "kind", ">hits"],
            [[row["place"], row["kind"], f"{row['hits']:,}"] for row in search["left"][:50]],
        )
        for place in search["unread"]:
            show.line(f"  not searched: {place}")
    if search["learnt_from"]:
        places = sorted({row["place"] for row in search["learnt_from"]})
        show.line(f"Files of models in which their words stand: {', '.join(places)}", "yellow")
    show.line(f"Receipt: receipts/{receipt['id']}.json, line {receipt['trail']['line']} of the audit trail", "dim")


def _verify(door: Door, path: Path, user: str | None) -> None:
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise InvalidRecord("receipt", f"{path} is not JSON ({problem})", "Give the file as it was written") from None
    found = door.wheel.verify_receipt(receipt, user)
    good = all(found.values())
    if not door.json(found):
        say = {
            "valid": ("the signature is right", "the signature is wrong"),
            "ours": ("signed by this flywheel", "signed by another flywheel"),
            "in_trail": ("its line is in the audit trail", "the audit trail has no such line"),
            "about": ("it is about this user", "it is about somebody else"),
        }
        for name, value in found.items():
            door.screen.line(say[name][0 if value else 1], "green" if value else "red")
    raise typer.Exit(int(not good))


def retention(
    apply: Annotated[bool, typer.Option("--apply", help="Remove what is due.")] = False,
    at: At = None,
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show what is older than [retention] allows, or remove it.

    Every new spin removes what is due before it begins.

    \b
    Examples:
      flywheel retention
      flywheel retention --apply
    """
    with opened(folder, as_json) as door:
        if apply:
            removed = door.wheel.apply_retention(at=moment(at), by=name_of(by))
            if not door.json(removed):
                said = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in removed.items() if count)
                door.screen.line(f"Removed: {said or 'nothing was due'}", "green")
            return
        found = door.wheel.retention(moment(at))
        if not door.json(found):
            door.screen.table(
                ["kind", "kept for", ">due"],
                [
                    [
                        row["kind"].replace("_", " "),
                        f"{row['days']:g} days" if row["days"] else "ever",
                        f"{row['due']:,}" if row["days"] else None,
                    ]
                    for row in found
                ],
            )


class PseudonymAction(StrEnum):
    """What can be done with the keys of pseudonyms."""

    rotate = "rotate"
    forget = "forget"


def pseudonyms(
    action: Annotated[PseudonymAction, typer.Argument(help="rotate or forget.", metavar="ACTION")],
    older_than: Annotated[
        str, typer.Option("--older-than", help="For forget: keys retired longer ago than this, such as 365d.")
    ] = "",
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Rotate the key of users' pseudonyms, or destroy old ones.

    A rotation keeps the old key aside, so that an erasure finds users under both. Processes that have the folder open
    go on with the old one until they are started again. Without its key a pseudonym is anonymous for good.

    \b
    Examples:
      flywheel pseudonyms rotate
      flywheel pseudonyms forget --older-than 365d
    """
    with opened(folder, as_json) as door:
        if action is PseudonymAction.rotate:
            made = door.wheel.rotate_pseudonyms(by=name_of(by))
            if not door.json({"fingerprint": made}):
                door.screen.line(f"New key {made[:12]}…; the old one is kept in pseudonym.keys", "green")
            return
        match = re.fullmatch(r"(\d{1,6})([hd])", older_than.strip())
        if match is None:
            raise InvalidConfig("say which: flywheel pseudonyms forget --older-than 365d (or 12h)")
        before = datetime.now(UTC) - timedelta(**{_SPAN[match.group(2)]: int(match.group(1))})
        gone = door.wheel.forget_pseudonyms(before, by=name_of(by))
        if not door.json({"forgotten": gone}):
            door.screen.line(f"{len(gone)} keys destroyed; the pseudonyms under them are anonymous now", "green")


class TrailAction(StrEnum):
    """What can be done with the audit trail."""

    list = "list"
    verify = "verify"


def audit_trail(
    action: Annotated[TrailAction, typer.Argument(help="list or verify.", metavar="ACTION")] = TrailAction.list,
    head: Annotated[
        str | None, typer.Option(help="For verify: a hash noted earlier that must still be there.", metavar="HASH")
    ] = None,
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show who promoted, rolled back or erased what, and when, or verify it.

    Each line holds the hash of the one before. `verify` names the first line that was changed, moved or removed, and
    ends with exit code 1; keep the hash it prints elsewhere and give it as --head, to notice lines missing at the end.

    \b
    Examples:
      flywheel audit-trail
      flywheel audit-trail verify
      flywheel audit-trail verify --head 2a26d8899443
    """
    with opened(folder, as_json) as door:
        if action is TrailAction.verify:
            last = door.wheel.verify_trail(head)
            lines = len(door.wheel.trail())
            if not door.json({"lines": lines, "head": last}):
                door.screen.line(f"All {lines:,} lines are whole and in order", "green")
                door.screen.line(last)
            return
        entries = door.wheel.trail()
        if door.json(entries):
            return
        if not entries:
            door.screen.line("Nothing has been done yet that the audit trail keeps.")
            return
        door.screen.table(
            ["at", "action", "subject", "by", "~detail"],
            [
                [
                    str(entry.get("at", "")),
                    str(entry.get("action", "")),
                    str(entry.get("subject", "")),
                    entry.get("by") or None,
                    short(entry.get("detail") or "", 120),
                ]
                for entry in entries
            ],
        )
