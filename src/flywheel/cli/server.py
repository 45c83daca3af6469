"""Commands about the server: serve, keys, deadletter."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.cli.door import By, Door, Folder, Json, answering, name_of, opened
from flywheel.cli.text import ago, short
from flywheel.errors import InvalidConfig
from flywheel.govern.keys import role_of

if TYPE_CHECKING:
    from flywheel.govern import Key
    from flywheel.govern.sessions import Session

__all__ = ["deadletter", "keys", "serve"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Flywheels to serve; the present folder when left out.", metavar="FOLDER…"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others reach it only with keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8377,
    as_json: Json = False,
) -> None:
    """Serve flywheels over HTTP until interrupted.

    Takes interactions and feedback, OpenTelemetry, Elasticsearch bulk, and OpenAI calls to pass on. An answer of 200
    means on stable storage. Logs one JSON line a request to standard error, without payloads.

    \b
    Examples:
      flywheel serve
      flywheel serve shop support --port 9000
      flywheel keys create shop-frontend && flywheel serve --host 0.0.0.0
    """
    with answering(as_json) as door:
        try:
            from flywheel.server import serve as run
        except ModuleNotFoundError as missing:
            from flywheel.errors import MissingExtra

            raise MissingExtra(
                f"the server needs {missing.name!r}. Run: pip install 'dataflywheel[server]'"
            ) from missing

        def started(address: str, wheels: dict[str, Any]) -> None:
            links = _links(address, wheels)
            if door.json({"address": address, "flywheels": sorted(wheels), "links": links}):
                return
            door.screen.line(f"Serving {', '.join(sorted(wheels))} on {address}", "green")
            for link in links:
                door.screen.line("Open the dashboard with this link; it signs in once, within ten minutes:")
                door.screen.whole(f"  {link}", "bold")
            door.screen.line(f"  curl {address}/v1/interactions -H 'Content-Type: application/json' \\", "dim")
            door.screen.line("""    -d '{"input": "where is my card", "output": "card_arrival"}'""", "dim")
            door.screen.line("Stop with Ctrl-C.")

        run(folders or [Path()], host, port, started=started)


def _links(address: str, wheels: dict[str, Any]) -> list[str]:
    """A link for each flywheel that signs in once, where only this machine reaches the server and there are pages."""
    from importlib.util import find_spec
    from urllib.parse import quote, urlsplit

    from flywheel.server.access import is_loopback

    if not is_loopback(urlsplit(address).hostname or "") or find_spec("nicegui") is None:
        return []
    several = len(wheels) > 1
    return [
        f"{address}{f'/flywheels/{quote(name)}' if several else ''}/sign-in/link?token={wheels[name].sessions.link()}"
        for name in sorted(wheels)
    ]


class KeyAction(StrEnum):
    """What can be done with keys and who signed in with them, beside listing them."""

    list = "list"
    create = "create"
    rotate = "rotate"
    revoke = "revoke"
    sessions = "sessions"
    end = "end"
    link = "link"


def keys(
    action: Annotated[
        KeyAction,
        typer.Argument(help="list, create, rotate or revoke; sessions, end or link.", metavar="ACTION"),
    ] = KeyAction.list,
    which: Annotated[
        str, typer.Argument(help="A name for a new key, or the id of one, or of a session.", metavar="NAME|ID")
    ] = "",
    role: Annotated[
        str, typer.Option("--role", "-r", help="What its holder is: viewer, labeler, releaser or admin.")
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", help="ingest, read, label, release or admin; may be given several times."),
    ] = None,
    expires: Annotated[str, typer.Option(help="How long a new key is good, such as 90d; for ever when left out.")] = "",
    grace: Annotated[str, typer.Option(help="How long the old secret goes on after a rotation, such as 24h.")] = "",
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List the server's keys, or create, rotate or revoke one; see who is signed in to the dashboard, and end that.

    A key is shown once, when it is made; only its hash is kept. The scope `ingest`, the default, can write and read
    nothing. People get a role instead: it stands for the scopes they need. `link` makes a link that signs in once, on
    the machine that serves.

    \b
    Examples:
      flywheel keys create shop-frontend
      flywheel keys create ana --role labeler --expires 90d
      flywheel keys create board --scope read
      flywheel keys rotate 3f2a9c01b4de --grace 24h
      flywheel keys revoke 3f2a9c01b4de
      flywheel keys sessions
      flywheel keys end 5be21a9c77d0
    """
    with opened(folder, as_json) as door:
        held, now = door.wheel.keys, datetime.now(UTC)
        if action in (KeyAction.sessions, KeyAction.end, KeyAction.link):
            _sessions(door, action, which, name_of(by))
            return
        if action is KeyAction.list:
            _list(door, held.all(), now)
            return
        if not which:
            raise InvalidConfig(f"`flywheel keys {action}` needs {'a name' if action is KeyAction.create else 'an id'}")
        text = None
        if action is KeyAction.create:
            until = now + _span(expires) if expires else None
            text, key = held.create(which, _scopes(role, scope), expires_at=until)
        elif action is KeyAction.rotate:
            text, key = held.rotate(which, grace=_span(grace) if grace else timedelta(0))
        else:
            key = held.revoke(which)
        door.wheel.note(f"key {action}", key.id, by=name_of(by), detail={"name": key.name, "scopes": list(key.scopes)})
        if door.json({"key": text, **_shown(key, now)}):
            return
        if text is None:
            door.screen.line(f"key {key.id} ({key.name}) is revoked", "green")
        else:
            door.screen.whole(text, "bold")
            door.screen.line(f"Key {key.id} for {key.name}: {', '.join(key.scopes)}. It is not shown again.", "green")


def _scopes(role: str, scopes: list[str] | None) -> list[str]:
    """The scopes of a new key: those of its role, and those that were named."""
    from flywheel.govern.keys import ROLES

    if role and role not in ROLES:
        raise InvalidConfig(f"{role!r} is no role. There are: {', '.join(ROLES)}")
    return [*ROLES.get(role, ()), *(scopes or [])] or ["ingest"]


def _sessions(door: Door, action: KeyAction, which: str, by: str) -> None:
    """Who is signed in; the end of one session; a link."""
    held = door.wheel.sessions
    if action is KeyAction.link:
        path = f"/sign-in/link?token={held.link()}"
        if not door.json({"path": path}):
            door.screen.line("Put this behind the server's address, such as http://127.0.0.1:8377. It signs in once,")
            door.screen.line("within ten minutes, and on the machine that serves only:")
            door.screen.whole(path, "bold")
        return
    if action is KeyAction.end:
        if not which:
            raise InvalidConfig("`flywheel keys end` needs the id of a session. List them with: flywheel keys sessions")
        gone = held.revoke(which)
        door.wheel.note("session end", gone.id, by=by, detail={"who": gone.who})
        if not door.json({"id": gone.id, "who": gone.who, "state": "ended"}):
            door.screen.line(f"session {gone.id} of {gone.who} has ended", "green")
        return
    found = held.all()
    if door.json([_signed_in(session) for session in found]):
        return
    if not found:
        door.screen.line("Nobody is signed in to the dashboard.")
        return
    door.screen.table(
        ["id", "~who", "role", "came by", "since", "until"],
        [
            [
                session.id,
                short(session.who, 60),
                role_of(session.scopes),
                session.way,
                ago(session.began_at),
                session.expires_at.isoformat(timespec="minutes"),
            ]
            for session in found
        ],
    )


def _signed_in(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "who": session.who,
        "role": role_of(session.scopes),
        "way": session.way,
        "key": session.key,
        "began_at": session.began_at,
        "expires_at": session.expires_at,
    }


def _list(door: Door, found: list[Key], now: datetime) -> None:
    if door.json([_shown(key, now) for key in found]):
        return
    if not found:
        door.screen.line("No key yet: the server answers this machine only. Make one: flywheel keys create NAME")
        return
    door.screen.table(
        ["id", "~name", "role", "scopes", "state", "made", "last used", "expires"],
        [
            [
                key.id,
                short(key.name, 40),
                role_of(key.scopes) if role_of(key.scopes) != "no role" else "",
                ", ".join(key.scopes),
                (key.state(now), "green" if key.state(now) == "active" else "red"),
                ago(key.created_at),
                ago(key.last_used) if key.last_used else "never",
                key.expires_at.date().isoformat() if key.expires_at else "never",
            ]
            for key in found
        ],
    )


def _shown(key: Key, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": role_of(key.scopes),
        "scopes": list(key.scopes),
        "state": key.state(now),
        "created_at": key.created_at,
        "last_used": key.last_used,
        "expires_at": key.expires_at,
    }


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    if match is None:
        raise InvalidConfig(f"{text!r} is no span of time. Write it as 30m, 24h or 90d")
    return timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})


class LetterAction(StrEnum):
    """What can be done with dead letters."""

    list = "list"
    retry = "retry"
    export = "export"
    drop = "drop"


def deadletter(
    action: Annotated[
        LetterAction, typer.Argument(help="list, retry, export or drop.", metavar="ACTION")
    ] = LetterAction.list,
    ids: Annotated[list[int] | None, typer.Argument(help="Which; see list.", metavar="ID…")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them, for retry and drop.")] = False,
    to: Annotated[
        Path | None, typer.Option(help="File to export to: .jsonl, .csv or .parquet.", metavar="FILE")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most to list.")] = 50,
    by: By = "",
    folder: Folder = Path(),
    as_json: Json = False,
) -> None:
    """List records that could not be stored, and try them again, export or drop them.

    Each is kept redacted, with the reason. A record that can be stored now leaves the list.

    \b
    Examples:
      flywheel deadletter
      flywheel deadletter retry --all
      flywheel deadletter export --to letters.jsonl
      flywheel deadletter drop 17 18
    """
    with opened(folder, as_json) as door:
        wheel = door.wheel
        if action is LetterAction.list:
            _letters(door, wheel.dead_letters(limit=limit))
        elif action is LetterAction.export:
            if to is None:
                raise InvalidConfig("say where to: flywheel deadletter export --to letters.jsonl")
            written = wheel.export("dead-letters", to)
            if not door.json({"written": written, "file": str(to)}):
                door.screen.line(f"{written:,} dead letters written to {to}", "green")
        elif not ids and not all_:
            raise InvalidConfig(f"say which: flywheel deadletter {action} 17, or --all")
        elif action is LetterAction.retry:
            done = wheel.retry_dead_letters(None if all_ else ids)
            if not door.json(done):
                door.screen.line(f"{done['stored']:,} stored, {done['duplicates']:,} known already", "green")
                for letter in done["still"]:
                    door.screen.line(f"  {letter['id']}: {short(letter['reason'], 160)}")
        else:
            dropped = wheel.drop_dead_letters(None if all_ else ids, by=name_of(by))
            if not door.json({"dropped": dropped}):
                door.screen.line(f"{dropped:,} dead letters dropped", "green")


def _letters(door: Door, found: list[dict[str, Any]]) -> None:
    if door.json(found):
        return
    if not found:
        door.screen.line("No dead letter: everything that arrived could be stored.", "green")
        return
    door.screen.table(
        [">id", "when", "source", "~reason", "~record"],
        [
            [
                str(one["id"]),
                ago(one["at"]),
                short(one["source"], 40),
                short(one["reason"], 160),
                short(one["body"], 80),
            ]
            for one in found
        ],
    )
    door.screen.line("Try them again with: flywheel deadletter retry --all", "dim")
