"""Erasing a user: from the log to the last file, with a search at the end and a signed receipt of what was done.

Every step can be done again and finds what the one before it left. Killed anywhere, the same call takes the erasure up
and ends the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.errors import InvalidRecord, NotFound
from flywheel.govern.desk import Desk, Request, unfinished, written
from flywheel.govern.mending import echoes, mended, spoken, unnamed
from flywheel.govern.receipts import Receipts
from flywheel.records import Dataset
from flywheel.store.rewrite import rewrite

if TYPE_CHECKING:
    from flywheel.govern.trail import Trail
    from flywheel.ports import Progress
    from flywheel.store import Store
    from flywheel.store.traces import Traces

__all__ = ["STEPS", "Erasure"]

STEPS = ("intend", "find", "models", "datasets", "state", "log", "tables", "files", "sweep", "search", "receipt")
"""What an erasure does, in order."""

_ROUNDS = 3  # a product that goes on logging an erased user makes new records meanwhile
_WAIT = 60.0
_AFTER_CURATE = ("train", "replay", "gate", "release", "measure")
_NO_ROWS = frozenset({"tables", "models", "registry", "receipts", "erasures", "locks", "pseudonym.keys"})
_ROWS = frozenset({".jsonl", ".ndjson", ".csv", ".parquet", ".json", ".log", ".txt", ".html"})
_SAYING = ("modes", "spins", "steps", "whys", "reports")  # tables of documents that may quote what somebody wrote
_WHY = "erasure of a user"

Remake = Callable[[Dataset, Collection[str], datetime, str], tuple[Dataset | None, Dataset]]
OnStep = Callable[[str, str], None]


class Erasure:
    """Erases users of one flywheel.

    `remake(dataset, example ids, at, why)` gives a dataset's new version and its tombstone; `known_as(name)` every
    pseudonym that a name may be stored under. `name` is the flywheel's, for the receipt.
    """

    def __init__(
        self, store: Store, trail: Trail, *, name: str, known_as: Callable[[str], list[str]], remake: Remake
    ) -> None:
        self._store = store
        self._state = store.state
        self._trail = trail
        self._name = name
        self._known_as = known_as
        self._remake = remake
        self._root = store.folder.resolve()
        self._desk = Desk(store.folder, store.state)

    def plan(self, user: str) -> dict[str, Any]:
        """What an erasure of this user would reach, by place. Changes nothing. O(facts)."""
        request = self._desk.begin(_named(user), self._known_as(user), "", datetime.now(UTC))
        self._look(request)
        models = [entry["version"] for entry in self._affected(request)]
        return {"dry_run": True, "erased": request.counts(), "models": models}

    def run(
        self,
        user: str,
        *,
        by: str,
        at: datetime,
        models: bool = False,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
    ) -> dict[str, Any]:
        """Erase a user, by the name that the product uses or by a pseudonym; return the signed receipt.

        Others may go on writing; a spin may not run meanwhile. `models` also removes the files of models that learnt
        from the user and are not in use. O(facts), and twice the database's size on disk for a while.
        """
        known = self._known_as(_named(user))
        with self._store.lock("spin", wait=_WAIT):
            request = self._desk.taken_up(user, known) or self._desk.begin(user, known, by, at)
            return self._carry_out(request, models, progress, on_step)

    def resume(self, progress: Progress | None = None, on_step: OnStep | None = None) -> list[dict[str, Any]]:
        """Finish every erasure that was cut off; return their receipts.

        Raises `NotFound` for one that was begun in another copy of the folder: that has to be told the name again.
        """
        with self._store.lock("spin", wait=_WAIT):
            done = [self._carry_out(request, False, progress, on_step) for request in self._desk.waiting()]
            left = unfinished(self._store.folder, self._state)
            if left:
                raise NotFound(
                    f"{', '.join(left)} cannot be gone on with from this folder: what it looks for is not here. "
                    "Run `flywheel erase --user NAME` again"
                )
        return done

    def _carry_out(
        self, request: Request, models: bool, progress: Progress | None, on_step: OnStep | None
    ) -> dict[str, Any]:
        receipt = self._receipt_of(request)
        if receipt is not None:  # killed when all was done
            self._desk.close(request)
            return receipt

        def step(name: str, do: Callable[[], Any]) -> Any:
            if on_step:
                on_step(name, "begin")
            if progress:
                progress(name, STEPS.index(name) / len(STEPS))
            result = do()
            if on_step:
                on_step(name, "end")
            return result

        step("intend", lambda: self._desk.register(request))
        for attempt in range(_ROUNDS):
            found = step("find", lambda: self._find(request))
            if attempt and not found:
                break  # what is left cannot be reached: the receipt says where it is
            step("models", lambda: self._queue_retraining(request))
            step("datasets", lambda: self._mend_datasets(request))
            step("state", lambda: self._mend_state(request))
            step("log", lambda: self._clear_log(request))
            step("tables", lambda: self._store.tables.rebuild(self._store.log, at_once=True))
            step("files", lambda: self._mend_files(request, models))
            undone = step("sweep", lambda: self._store.sweep(deep=True))
            traces = step("search", lambda: self._search(request))
            if not _left(traces):
                break
        signed: dict[str, Any] = step("receipt", lambda: self._finish(request, traces, undone))
        if progress:
            progress("done", 1.0)
        return signed

    # --- finding ---

    def _look(self, request: Request) -> int:
        """Add to the request what is there of the user; say how much of it is new. Writes nothing."""
        eraser, before = self._store.eraser, request.size()
        owned = eraser.owned(request.known())
        owners: dict[str, str] = self._state.get("owners") or {}
        kept = [key for key, owner in owners.items() if owner in request.known()]
        request.add("interactions", [*owned.interactions, *kept])
        request.add("feedback", [*owned.feedback, *eraser.about(kept).feedback])
        request.add("signed", owned.signed)
        items, examples, datasets = eraser.made_from(request.interactions)
        request.add("items", items)
        request.add("examples", examples)
        for key in datasets:
            request.datasets.setdefault(key, None)
        reports, told = eraser.reports_of(request.known(), request.interactions, request.terms())
        request.add("reports", reports)
        request.add("feedback", told)
        request.add("letters", eraser.letters_with(request.terms()))
        request.add("conflicts", eraser.conflicts_of(request.known(), request.interactions, request.feedback))
        return request.size() - before

    def _find(self, request: Request) -> int:
        found, eraser = self._look(request), self._store.eraser
        said = [text for name in _SAYING for _, doc in eraser.docs(name) for text in spoken(doc)]
        theirs = eraser.texts(request.interactions, request.feedback)
        request.add("words", echoes(theirs, said, eraser.others(request.interactions, request.feedback)))
        self._desk.write(request)
        return found

    # --- models and datasets ---

    def _affected(self, request: Request) -> list[dict[str, Any]]:
        """The models that learnt from the user's data; those found before stay, whatever their datasets are now."""
        known = {entry["version"]: entry for entry in request.models}
        roles = {release.version: release.role for release in self._state.releases()}
        champion = (self._state.get("release.champion") or {}).get("version")
        for version, doc in self._store.eraser.docs("candidates"):
            if doc.get("dataset") not in request.datasets or version in known:
                continue
            role = roles.get(version, "candidate")
            if version == champion or role == "champion":
                role = "champion" if version == champion else "retired"
            known[version] = {
                "version": version,
                "role": role,
                "spin": doc.get("spin", 0),
                "dataset": doc["dataset"],
                "folder": doc["folder"],
                "files": "kept",
            }
        return list(known.values())

    def _queue_retraining(self, request: Request) -> None:
        request.models = self._affected(request)
        self._desk.write(request)
        queued: list[str] = (self._state.get("retrain") or {}).get("versions", [])
        versions = list(dict.fromkeys([*queued, *(entry["version"] for entry in request.models)]))
        if versions != queued:
            self._state.set("retrain", {"versions": versions, "since": request.begun_at, "spin": None})

    def _mend_datasets(self, request: Request) -> None:
        examples, theirs = frozenset(request.examples), frozenset(request.interactions)
        for key in request.datasets:
            dataset = self._state.dataset(key)
            if dataset is None:
                continue
            if "tombstone" in dataset.notes:
                request.datasets[key] = dataset.notes["tombstone"]["replaced_by"]
                continue
            out = examples | {one.id for one in dataset.examples if one.interaction_id in theirs}
            successor, stone = self._remake(dataset, out, datetime.fromisoformat(request.begun_at), _WHY)
            if successor is not None:
                self._state.save_dataset(successor)
            self._store.eraser.bury_dataset(stone)
            request.datasets[key] = successor.hash if successor else None
        self._desk.write(request)
        self._store.eraser.drop_sources(request.interactions)  # last: they lead a second try to the datasets

    # --- the database ---

    def _mend_state(self, request: Request) -> None:
        eraser, gone = self._store.eraser, request.gone()
        spins = self._state.spins()
        affected = {entry["version"] for entry in request.models}
        if spins and spins[-1].state != "done" and spins[-1].candidate in affected:
            number = spins[-1].number
            if self._state.step(number, "release") is None:
                eraser.drop_steps(number, _AFTER_CURATE)  # the spin goes on, and trains again without
        eraser.drop_items(request.items)
        eraser.change_docs("items", lambda doc: _in_group(doc, gone, request.words))
        eraser.drop_examples(request.examples)
        eraser.drop_reports(request.reports)
        known, terms = request.known(), request.terms()
        for told in ("whys", "reports"):
            eraser.change_docs(told, lambda doc: mended(unnamed(doc, known, terms.within), gone, request.words))
        for table, column in (
            ("steps", "doc"),
            ("spins", "doc"),
            ("modes", "doc"),
            ("candidates", "extra"),
            ("datasets", "doc"),
        ):
            eraser.change_docs(table, lambda doc: mended(doc, gone, request.words), column)
        owners: dict[str, str] = self._state.get("owners") or {}
        if not gone.isdisjoint(owners):
            self._state.set("owners", {key: owner for key, owner in owners.items() if key not in gone})
        eraser.unsign_examples(request.known())

    def _clear_log(self, request: Request) -> None:
        eraser = self._store.eraser
        eraser.drop_conflicts(request.conflicts)
        eraser.drop_letters(request.letters)
        eraser.unsign(request.signed)
        eraser.drop_facts(request.interactions, request.feedback)

    # --- files ---

    def _mend_files(self, request: Request, models: bool) -> None:
        from flywheel.store.traces import Traces

        terms, gone = request.terms(), request.gone()
        for path in [*self._rows_inside(), *self._exports_outside()]:
            inside = path.is_relative_to(self._root)
            shown = path.relative_to(self._root).as_posix() if inside else path.as_posix()
            if terms.within(shown):
                shown = "(a file whose name holds it)"
            if inside and path.relative_to(self._root).parts[0] == "reports":
                # A report quotes inputs without saying whose they are; it can be written again.
                request.files[shown] = "removed"
                self._desk.write(request)
                path.unlink(missing_ok=True)
            elif not path.is_file():
                request.files[shown] = "not there any more: if it was moved or copied, erase it there"
            elif Traces(terms).file(path):
                if rewrite(path, terms, lambda row: mended(row, gone, request.words)):
                    request.files[shown] = "written anew without their rows"
                else:
                    request.files[shown] = "left as it is: not a file of rows"
                self._desk.write(request)
        for entry in self._state.get("exports") or []:
            if "://" in entry["path"]:
                request.files[entry["path"]] = "out of reach: erase it there"
        shutil.rmtree(self._root / "outgoing", ignore_errors=True)  # a download that a kill left half written
        for entry in self._state.get("downloads") or []:
            if entry["dataset"] in request.datasets:
                shown = f"dataset {entry['dataset'][:12]}, downloaded as {entry['format']} by {entry['by']}"
                shown = "(a download whose name holds it)" if terms.within(shown) else shown
                often = f"{entry['times']} times, last at {entry['at']}"
                request.files[shown] = f"out of reach: downloaded {often}; ask for its deletion"
        if models:
            self._remove_models(request)
        self._desk.write(request)

    def _rows_inside(self) -> list[Path]:
        """Files in the folder that are no part of the store: exports, spools, reports."""
        found = []
        for path in sorted(self._root.rglob("*")):
            parts = path.relative_to(self._root).parts
            rows = parts[0] == "reports" or path.suffix.lower() in _ROWS
            if parts[0] not in _NO_ROWS and rows and path.is_file() and not path.is_symlink():
                found.append(path)
        return found

    def _exports_outside(self) -> list[Path]:
        known = [self._root / entry["path"] for entry in self._state.get("exports") or [] if "://" not in entry["path"]]
        return [path for path in dict.fromkeys(known) if not path.is_relative_to(self._root)]

    def _remove_models(self, request: Request) -> None:
        """Remove the files of affected models that nobody uses; a rollback no longer stops at them."""
        for entry in request.models:
            if entry["role"] not in ("retired", "candidate"):
                continue
            shutil.rmtree(self._root / entry["folder"], ignore_errors=True)
            entry["files"] = "removed"
            releases = {release.version: release for release in self._state.releases()}
            removed = releases.get(entry["version"])
            for release in releases.values() if removed else ():
                if removed and release.replaced == removed.version:
                    self._state.save_release(replace(release, replaced=removed.replaced))

    # --- search and receipt ---

    def _search(self, request: Request) -> Traces:
        desk = self._desk.place
        traces = self._store.search(request.terms(), self._exports_outside(), lambda path: path.parent == desk)
        left = self._store.eraser.remaining(request.interactions, request.feedback)
        if left:
            traces.left["database: facts", "id"] = left
        return traces

    def _finish(self, request: Request, traces: Traces, undone: Sequence[str]) -> dict[str, Any]:
        left = _left(traces)
        models = [{name: value for name, value in entry.items() if name != "folder"} for entry in request.models]
        line = next((one for one in self._trail.lines() if one["subject"] == request.id), None)
        if line is None:
            line = self._trail.record(
                "erase",
                request.id,
                by=request.by or "operator",
                at=datetime.fromisoformat(request.begun_at),
                detail={
                    "erased": request.counts(),
                    "models": [entry["version"] for entry in models],
                    "left": sum(row["hits"] for row in left),
                },
            )
        receipt = {
            "format": 1,
            "kind": "erasure",
            "id": request.id,
            "flywheel": self._name,
            "subject": request.subject,
            "begun_at": request.begun_at,
            "finished_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "by": request.by,
            "clean": not left and not traces.unread,
            "erased": request.counts(),
            "datasets": [{"hash": old, "replaced_by": new} for old, new in sorted(request.datasets.items())],
            "models": models,
            "retraining": "queued" if models else "not needed",
            "files": dict(sorted(request.files.items())),
            "search": {
                "names": len(request.names),
                "pseudonyms": len(request.pseudonyms),
                "ids": len(request.gone()),
                "files": traces.files,
                "cells": traces.cells,
                "bytes": traces.bytes,
                "left": left,
                "learnt_from": [row for row in traces.rows() if row["place"].startswith("models/")],
                "unread": traces.unread,
                "not_swept": list(undone),
            },
            "trail": {"line": line["number"], "hash": line["hash"]},
        }
        signed = Receipts(self._store.folder).sign(receipt)
        place = self._store.folder / "receipts"
        place.mkdir(exist_ok=True)
        written(place / f"{request.id}.json", signed)
        self._desk.close(request)
        return signed

    def _receipt_of(self, request: Request) -> dict[str, Any] | None:
        path = self._store.folder / "receipts" / f"{request.id}.json"
        found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return found


def _named(user: str) -> str:
    if not user:
        raise InvalidRecord("user", "it is empty", "Give the name that your product logs, or a pseudonym u_…")
    return user


def _left(traces: Traces) -> list[dict[str, Any]]:
    return [row for row in traces.rows() if not row["place"].startswith("models/")]


def _in_group(doc: dict[str, Any], gone: Collection[str], words: Collection[str]) -> dict[str, Any]:
    """A review item whose group no longer names the erased ones; what its own user said stays as it is."""
    return {**doc, "group": mended(doc["group"], gone, words)} if doc.get("group") else doc
