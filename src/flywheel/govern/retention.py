"""Retention: what is older than `[retention]` allows, and removing it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.store import codec

if TYPE_CHECKING:
    from flywheel.config import RetentionSettings
    from flywheel.govern.trail import Trail
    from flywheel.store import Store

__all__ = ["Retention"]


@dataclass
class _Due:
    interactions: dict[str, str | None] = field(default_factory=dict)
    """Id → whose it is."""
    feedback: list[str] = field(default_factory=list)
    dead_letters: list[int] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    exports: list[Path] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        kinds = ("interactions", "feedback", "dead_letters", "queue", "exports", "reports")
        return {kind: len(getattr(self, kind)) for kind in kinds}


class Retention:
    """Finds and removes what has been kept long enough. Ages are counted from when a thing happened (`at`).

    The same log, settings and moment always remove the same. Examples and datasets are what the team has taught the
    model; they stay until their user is erased, and whose they are is kept beside them for that day.
    """

    def __init__(self, store: Store, trail: Trail, settings: RetentionSettings) -> None:
        self._store = store
        self._trail = trail
        self._settings = settings
        self._root = store.folder.resolve()

    def due(self, at: datetime) -> list[dict[str, Any]]:
        """Per kind of data: for how many days it is kept (0: for ever), and how much is older. O(what is due)."""
        counts = self._find(at).counts()
        return [
            {"kind": kind, "days": getattr(self._settings, f"{kind}_days"), "due": count}
            for kind, count in counts.items()
        ]

    def apply(self, at: datetime, by: str = "retention") -> dict[str, int]:
        """Remove what is due; say how much of each kind. Doing it again removes nothing. O(facts) where facts are due.

        Hold the spin's lock: a spin must not lose its window under its hands.
        """
        due, eraser = self._find(at), self._store.eraser
        counts = due.counts()
        if not any(counts.values()):
            return counts
        if due.interactions:
            self._remember_owners(due.interactions)
        if due.interactions or due.feedback:
            eraser.drop_facts(list(due.interactions), due.feedback)
            self._store.tables.rebuild(self._store.log)
        eraser.drop_letters(due.dead_letters)
        eraser.drop_items(due.queue)
        eraser.drop_reports(due.reports)
        if due.interactions:
            eraser.change_docs("reports", lambda doc: _without_proposals(doc, due.interactions))
        for path in due.exports:
            path.unlink(missing_ok=True)
        if due.exports:
            gone = set(due.exports)
            known = self._store.state.get("exports") or []
            kept = [entry for entry in known if self._root / entry["path"] not in gone]
            self._store.state.set("exports", kept)
        self._store.sweep(deep=False)
        removed = {kind: count for kind, count in counts.items() if count}
        self._trail.record("retention", f"{sum(removed.values())} records", by=by, at=at, detail=removed)
        return counts

    def _find(self, at: datetime) -> _Due:
        settings, due = self._settings, _Due()
        if settings.interactions_days or settings.feedback_days:
            self._find_facts(at, due)
        if settings.dead_letters_days:
            before = codec.to_micros(at - timedelta(days=settings.dead_letters_days))
            due.dead_letters = self._store.eraser.letters_before(before)
        if settings.queue_days:
            spins = self._store.state.spins()
            open_spin = spins[-1].number if spins and spins[-1].state != "done" else None
            before_queue = at - timedelta(days=settings.queue_days)
            due.queue = [
                item.id
                for item in self._store.state.items()
                if item.status != "waiting" and item.spin != open_spin and item.at and item.at < before_queue
            ]
        if settings.exports_days:
            due.exports = self._old_files(at - timedelta(days=settings.exports_days))
        told = {*due.interactions, *due.feedback}
        for key, doc in self._store.eraser.docs("reports") if told else ():
            if doc.get("interaction_id") in told or key in told:  # the feedback it became has the report's own id
                due.reports.append(key)
        if settings.reports_days:
            old = self._store.eraser.reports_before(at - timedelta(days=settings.reports_days))
            due.reports = list(dict.fromkeys([*due.reports, *old]))
        return due

    def _find_facts(self, at: datetime, due: _Due) -> None:
        settings = self._settings
        self._store.tables.sync(self._store.log)
        snapshot = self._store.tables.snapshot()
        if settings.interactions_days:
            seen = snapshot.interactions
            old = seen.filter(seen.at < at - timedelta(days=settings.interactions_days)).select("id", "user")
            found = old.to_pyarrow()
            due.interactions = dict(zip(found.column("id").to_pylist(), found.column("user").to_pylist(), strict=True))
            due.feedback = self._store.eraser.about(list(due.interactions)).feedback
        if settings.feedback_days:
            said = snapshot.said
            old = said.filter(said.at < at - timedelta(days=settings.feedback_days)).select("id")
            due.feedback = list(dict.fromkeys([*due.feedback, *old.to_pyarrow().column("id").to_pylist()]))

    def _remember_owners(self, interactions: dict[str, str | None]) -> None:
        """Whose the examples and items are that outlive their interactions, so that an erasure still finds them."""
        used = self._store.eraser.used(interactions)
        known: dict[str, str] = self._store.state.get("owners") or {}
        new = {key: owner for key in sorted(used) if (owner := interactions[key]) is not None}
        if not new.items() <= known.items():
            self._store.state.set("owners", {**known, **new})

    def _old_files(self, before: datetime) -> list[Path]:
        found: dict[Path, None] = {}
        for entry in self._store.state.get("exports") or []:
            path = self._root / entry["path"]
            if path.is_relative_to(self._root) and datetime.fromisoformat(entry["at"]) < before and path.is_file():
                found[path] = None
        reports = self._root / "reports"
        for path in sorted(reports.rglob("*")) if reports.is_dir() else ():
            if path.is_file() and datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                found[path] = None
        return list(found)


def _without_proposals(doc: Any, gone: Collection[str]) -> Any:
    """A report that no longer names interactions that are gone as what it may be about."""
    return {**doc, "proposals": [one for one in doc.get("proposals") or [] if one["interaction_id"] not in gone]}
