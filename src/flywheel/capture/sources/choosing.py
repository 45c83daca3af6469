"""Which source reads a location: what it is called, what its ending says, and above all what it holds."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel import plugins
from flywheel.capture.sources.files import first_bytes, format_of
from flywheel.capture.sources.row_source import files_at, first_rows
from flywheel.errors import FlywheelError, InvalidConfig, MissingExtra, NotFound

__all__ = ["Choice", "choose", "source_for"]

_SAMPLED_FILES = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """The source that was chosen for a location, and why."""

    source: str
    why: str


def source_for(location: str) -> str:
    """Name the source that reads a location, by its prefix, its content or its ending."""
    return choose(location).source


def choose(location: str) -> Choice:
    """Choose the source for a location, and say why.

    A prefix (`mlflow:…`, `table:…`) names the source. Else the first rows are looked at: exports of other tools have
    fields that nothing else has. Else it is the file's ending, and text of no known ending is a log.
    """
    prefix, colon, rest = location.partition(":")
    if colon and rest and prefix in plugins.names("sources"):
        return Choice(prefix, f"the location begins with {prefix}:")
    path = Path(location.partition("?")[0] if not Path(location).exists() else location).expanduser()
    if path.is_dir() and (path / "_delta_log").is_dir():
        return Choice("table", "the folder is a Delta table")
    if path.is_file():
        return _of_file(path)
    if path.is_dir() or glob.has_magic(str(path)):
        return _of_several(location)
    try:
        return Choice(format_of(str(path)), "its name ends so")
    except InvalidConfig:
        if path.suffix:
            raise
        raise NotFound(f"there is nothing at {location!r}. Check the path, or name the source") from None


def _of_file(path: Path) -> Choice:
    try:
        rows = first_rows(path)
    except FlywheelError:
        rows = []
    known = _recognised(rows)
    if known is not None:
        return known
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return Choice("parquet", "its content is Parquet")
    try:
        return Choice(format_of(path.name), "its name ends so")
    except InvalidConfig:
        if rows:
            return Choice("jsonl", "its lines are JSON objects")
        log = _log(path)
        if log is None:
            raise
        return log


def _of_several(location: str) -> Choice:
    try:
        paths = files_at(location)
    except NotFound:
        paths = []
    for path in paths[:_SAMPLED_FILES]:
        try:
            found = _recognised(first_rows(path)) or _log(path)
        except FlywheelError:
            found = _log(path)
        if found is not None:
            return Choice(found.source, f"{path.name}: {found.why}")
    if paths:
        raise InvalidConfig(
            f"{location!r} holds {len(paths)} files whose columns are their own. Import them one by one, or name the "
            "source"
        )
    folder = Path(location).expanduser()
    for path in sorted(folder.iterdir())[:_SAMPLED_FILES] if folder.is_dir() else ():
        found = _log(path) if path.is_file() else None
        if found is not None:
            return Choice(found.source, f"{path.name}: {found.why}")
    raise NotFound(f"there is no file at {location!r} that could be a log. Check the path, or name the source")


def _recognised(rows: list[dict[str, Any]]) -> Choice | None:
    """The tool whose export these rows are: each source says for itself."""
    if not rows:
        return None
    for name, source in _sources():
        recognise = getattr(source, "recognises", None)
        why = recognise(rows) if recognise else None
        if why:
            return Choice(name, str(why))
    return None


def _sources() -> Iterator[tuple[str, Any]]:
    for name in plugins.names("sources"):
        try:
            yield name, plugins.create("sources", name)
        except MissingExtra:
            continue


def _log(path: Path) -> Choice | None:
    """Lines of a log: requests of a web server, or messages of a program."""
    head = first_bytes(path, 1 << 16)
    if not head.strip() or b"\0" in head or head[:4] == b"PAR1":
        return None
    from flywheel.capture.sources.access_log import parsed

    lines = [line for line in head.decode("utf-8", "replace").splitlines() if line.strip()][:50]
    requests = sum(parsed(line) is not None for line in lines)
    if requests * 2 > len(lines):
        return Choice("access-log", f"{requests} of its first {len(lines)} lines are requests of a web server")
    try:
        format_of(path.name)
    except InvalidConfig:
        return Choice("log", "it is text, a message a line")
    return None
