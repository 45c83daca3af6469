"""Erasures under way: whom each is about and what it has found, on disk before anything is touched.

The state holds an entry for each, so that every process can see that there is one, but nothing that says whose it is.
What is looked for, the name among it, lies in a file in `erasures/`, for its owner alone, until the receipt is written.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.errors import CorruptStore
from flywheel.govern.receipts import digest_of, is_about
from flywheel.records import to_dict
from flywheel.store.terms import Terms

if TYPE_CHECKING:
    from flywheel.store import State

__all__ = ["Desk", "Request", "unfinished", "written"]

_KEY = "erasures"


@dataclass
class Request:
    """One erasure: its subject as a digest, what they are known as, and what has been found of them so far."""

    id: str
    subject: dict[str, str]
    begun_at: str
    by: str
    names: list[str]
    pseudonyms: list[str]
    interactions: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    """Feedback about others that carries their name as the reviewer's."""
    items: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    datasets: dict[str, str | None] = field(default_factory=dict)
    """Hash → hash of what replaced it."""
    models: list[dict[str, Any]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    letters: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Words that only their records have, and that what the workflow wrote quotes."""
    files: dict[str, str] = field(default_factory=dict)

    def gone(self) -> frozenset[str]:
        """Every id that must not be left."""
        return frozenset((*self.interactions, *self.feedback, *self.items, *self.examples, *self.reports))

    def known(self) -> frozenset[str]:
        """Everything they may be called in the log."""
        return frozenset((*self.names, *self.pseudonyms))

    def terms(self) -> Terms:
        """Everything that the search looks for."""
        return Terms(names=self.names, pseudonyms=self.pseudonyms, ids=sorted(self.gone()))

    def size(self) -> int:
        """How much has been found."""
        parts: tuple[list[Any], ...] = (
            self.interactions, self.feedback, self.signed, self.items, self.examples, self.reports, self.letters,
            self.conflicts,
        )  # fmt: skip
        return sum(len(part) for part in parts)

    def add(self, name: str, found: Sequence[Any]) -> None:
        """Put what was found beside what is known already."""
        setattr(self, name, list(dict.fromkeys([*getattr(self, name), *found])))

    def counts(self) -> dict[str, int]:
        """How much of what is theirs, by place."""
        return {
            "interactions": len(self.interactions),
            "feedback": len(self.feedback),
            "labels_without_author": len(self.signed),
            "review_items": len(self.items),
            "examples": len(self.examples),
            "datasets": len(self.datasets),
            "reports": len(self.reports),
            "dead_letters": len(self.letters),
            "conflicts": len(self.conflicts),
            "files": len(self.files),
        }


class Desk:
    """Where the requests of one flywheel lie."""

    def __init__(self, folder: Path, state: State) -> None:
        self.place = folder / "erasures"
        self._state = state

    def begin(self, user: str, pseudonyms: Sequence[str], by: str, at: datetime) -> Request:
        """A new request, not yet written down."""
        return Request(
            id=f"erasure-{secrets.token_hex(6)}",
            subject=digest_of(user),
            begun_at=at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            by=by,
            names=[user],
            pseudonyms=list(pseudonyms),
        )

    def taken_up(self, user: str, pseudonyms: Sequence[str]) -> Request | None:
        """The erasure of this user that was cut off, if there is one."""
        for request in self.waiting():
            if is_about(request.subject, user):
                return request
        for key, entry in self._entries().items():  # begun in another copy of the folder
            if is_about(entry["subject"], user):
                begun = datetime.fromisoformat(entry["begun_at"])
                request = self.begin(user, pseudonyms, entry["by"], begun)
                request.id, request.subject = key, entry["subject"]
                return request
        return None

    def waiting(self) -> list[Request]:
        """Every request whose file is here."""
        return [_read(path) for path in sorted(self.place.glob("erasure-*.json"))]

    def register(self, request: Request) -> None:
        """Write the request down, in its file and in the state."""
        self.write(request)  # first, so that whoever sees the entry finds the file
        entry = {"subject": request.subject, "begun_at": request.begun_at, "by": request.by}
        self._state.set(_KEY, {**self._entries(), request.id: entry})

    def write(self, request: Request) -> None:
        """Bring what has been found to stable storage."""
        self.place.mkdir(mode=0o700, exist_ok=True)
        written(self.place / f"{request.id}.json", to_dict(request))

    def close(self, request: Request) -> None:
        """The receipt is written: nothing that says whose it was stays here."""
        self._state.set(_KEY, {key: entry for key, entry in self._entries().items() if key != request.id})
        (self.place / f"{request.id}.json").unlink(missing_ok=True)

    def _entries(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self._state.get(_KEY) or {}
        return found


def unfinished(folder: Path, state: State) -> list[str]:
    """The ids of erasures that were begun and not finished."""
    files = {path.stem for path in (folder / "erasures").glob("erasure-*.json")}
    return sorted(files | set(state.get(_KEY) or {}))


def written(path: Path, doc: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all, for its owner alone."""
    draft = path.with_name(f".{path.name}.draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(doc, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path) -> Request:
    try:
        return Request(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as problem:
        raise CorruptStore(
            f"{path} cannot be read ({problem}). Remove it and run `flywheel erase --user NAME` again"
        ) from problem
