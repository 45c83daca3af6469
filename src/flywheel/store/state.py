"""The state: small mutable facts of the workflow, each a JSON document with the columns that queries need."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from flywheel.errors import CorruptStore
from flywheel.records import (
    Candidate,
    Dataset,
    Example,
    Mode,
    Release,
    Report,
    ReviewItem,
    Spin,
    WhyChain,
    from_dict,
    to_dict,
)
from flywheel.store import codec, schema
from flywheel.store.database import Database

__all__ = ["State"]

R = TypeVar("R")


class State:
    """Failure modes, the review queue, examples, datasets, spins, releases and the audit trail.

    Every `save` is one transaction. Times come back as UTC, tuples inside free-form values as lists.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- settings ---

    def get(self, key: str, default: Any = None) -> Any:
        """The JSON value stored under `key`."""
        found = self._one(sa.select(schema.settings.c.doc).where(schema.settings.c.key == key))
        return default if found is None else json.loads(found)

    def set(self, key: str, value: Any) -> None:
        """Store a JSON value under `key`, over what was there."""
        with self._database.write() as connection:
            _upsert(connection, schema.settings, {"key": key}, {"doc": _dump(value)})

    # --- failure modes ---

    def modes(self) -> list[Mode]:
        """Every failure mode, the oldest first."""
        return self._all(Mode, sa.select(schema.modes.c.doc).order_by(schema.modes.c.position))

    def save_modes(self, modes: Iterable[Mode]) -> None:
        """Store modes, each over the one with its id."""
        with self._database.write() as connection:
            _upsert_many(connection, schema.modes, {mode.id: {"doc": _dump(mode)} for mode in modes})

    # --- chains of whys ---

    def why(self, mode: str) -> WhyChain | None:
        """The stored chain of whys of a failure mode."""
        return _back(WhyChain, self._one(sa.select(schema.whys.c.doc).where(schema.whys.c.mode == mode)))

    def change_why(self, mode: str, change: Callable[[WhyChain | None], WhyChain]) -> WhyChain:
        """Put what `change` makes of a mode's chain (None: there is none yet) in its place, in one transaction."""
        table = schema.whys
        with self._database.write() as connection:
            connection.execute(sa.select(schema.tally.c.id).with_for_update())  # also before there is a row to hold
            known = _back(WhyChain, connection.scalar(sa.select(table.c.doc).where(table.c.mode == mode)))
            changed = change(known)
            if changed != known:
                _upsert(connection, table, {"mode": mode}, {"doc": _dump(changed)})
        return changed

    # --- reports ---

    def add_report(self, report: Report, digest: str, contact: str | None = None) -> None:
        """Store a new report under the digest of its token, and apart from it how its reporter can be reached."""
        with self._database.write() as connection:
            row = {"id": report.id, "digest": digest, "state": report.state, "doc": _dump(report)}
            connection.execute(schema.reports.insert().values(row))
            if contact is not None:
                connection.execute(schema.contacts.insert().values(id=report.id, doc=_dump(contact)))

    def reports(self, state: str | None = None) -> list[Report]:
        """Every report, of one state where given, the oldest first."""
        question = sa.select(schema.reports.c.doc).order_by(schema.reports.c.position)
        return self._all(Report, question if state is None else question.where(schema.reports.c.state == state))

    def report(self, id: str) -> Report | None:
        """One report."""
        return _back(Report, self._one(sa.select(schema.reports.c.doc).where(schema.reports.c.id == id)))

    def report_of(self, digest: str) -> Report | None:
        """The report whose token has this digest."""
        return _back(Report, self._one(sa.select(schema.reports.c.doc).where(schema.reports.c.digest == digest)))

    def change_report(self, id: str, change: Callable[[Report], Report]) -> Report | None:
        """Put what `change` makes of a report in its place; nobody else changes it in between. None: there is no such.

        Once its reporter has been told, or it is closed, how they can be reached is forgotten.
        """
        table, contacts = schema.reports, schema.contacts
        with self._database.write() as connection:
            known = _back(Report, connection.scalar(sa.select(table.c.doc).where(table.c.id == id).with_for_update()))
            if known is None:
                return None
            changed = change(known)
            if changed != known:
                values = {"state": changed.state, "doc": _dump(changed)}
                connection.execute(table.update().where(table.c.id == id).values(values))
            if changed.told_at is not None or changed.closed_at is not None:
                connection.execute(contacts.delete().where(contacts.c.id == id))
        return changed

    def contacts(self) -> dict[str, str]:
        """How reporters who left word can be reached, by the id of their report."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(schema.contacts.c.id, schema.contacts.c.doc)).all()
        return {row.id: json.loads(row.doc) for row in rows}

    # --- review queue ---

    def add_items(self, items: Iterable[ReviewItem]) -> int:
        """Put items at the end of the queue, and return how many; one whose id is there already is left as it is."""
        rows = {item.id: {"id": item.id, **_item(item)} for item in reversed(list(items))}
        return self._add(schema.items, dict(reversed(rows.items())))

    def items(self, status: str | None = None, spin: int | None = None) -> list[ReviewItem]:
        """The queue's items, of one status or spin where given, in the order they were added."""
        question = sa.select(schema.items.c.doc).order_by(schema.items.c.position)
        if status is not None:
            question = question.where(schema.items.c.status == status)
        if spin is not None:
            question = question.where(schema.items.c.spin == spin)
        return self._all(ReviewItem, question)

    def item(self, id: str) -> ReviewItem | None:
        """One item of the queue."""
        return _back(ReviewItem, self._one(sa.select(schema.items.c.doc).where(schema.items.c.id == id)))

    def save_item(self, item: ReviewItem) -> None:
        """Store an item over the one with its id; it keeps its place."""
        self.save_items([item])

    def save_items(self, items: Sequence[ReviewItem]) -> None:
        """Store items over those with their ids, all or none; they keep their places."""
        with self._database.write() as connection:
            _upsert_many(connection, schema.items, {item.id: _item(item) for item in items})

    # --- examples and datasets ---

    def add_examples(self, examples: Iterable[Example], replace: bool = False) -> None:
        """Add examples; one whose id is there already is left as it is, or overwritten with `replace`."""
        if replace:
            with self._database.write() as connection:
                _upsert_many(connection, schema.examples, {e.id: {"doc": _dump(e)} for e in examples})
        else:
            rows = {e.id: {"id": e.id, "doc": _dump(e)} for e in reversed(list(examples))}
            self._add(schema.examples, dict(reversed(rows.items())))

    def examples(self) -> list[Example]:
        """Every example, in the order they were added."""
        return self._all(Example, sa.select(schema.examples.c.doc).order_by(schema.examples.c.position))

    def save_dataset(self, dataset: Dataset) -> None:
        """Store a dataset for good. Saving it again, known by its hash, changes nothing."""
        manifest = _dump(replace(dataset, examples=()))
        content = zlib.compress(_dump(dataset.examples).encode(), 6)
        with self._database.write() as connection:
            table = schema.datasets
            if connection.scalar(sa.select(table.c.position).where(table.c.hash == dataset.hash)) is not None:
                return
            connection.execute(table.insert().values(hash=dataset.hash, doc=manifest, content=content))
            sources = sorted({e.interaction_id for e in dataset.examples if e.interaction_id is not None})
            if sources:
                rows = [{"interaction_id": source, "dataset": dataset.hash} for source in sources]
                connection.execute(schema.dataset_sources.insert(), rows)

    def dataset(self, hash: str) -> Dataset | None:
        """A dataset with its examples. Raises `CorruptStore` when its stored bytes cannot be read back."""
        table = schema.datasets
        with self._database.read() as connection:
            row = connection.execute(sa.select(table.c.doc, table.c.content).where(table.c.hash == hash)).one_or_none()
        if row is None:
            return None
        try:
            examples = _examples(zlib.decompress(row.content))
        except (zlib.error, ValueError) as problem:
            raise CorruptStore(
                f"the stored examples of dataset {hash} cannot be read ({problem}). Restore the database from a backup"
            ) from problem
        manifest = from_dict(Dataset, json.loads(row.doc))
        return replace(manifest, examples=examples)

    def living_dataset(self, hash: str) -> Dataset | None:
        """A dataset; where an erasure has left a tombstone of it, the version that took its place."""
        found = self.dataset(hash)
        while found is not None and (stone := found.notes.get("tombstone")) and stone.get("replaced_by"):
            found = self.dataset(stone["replaced_by"])
        return found

    def datasets(self) -> list[Dataset]:
        """Every dataset without its examples, the oldest first."""
        return self._all(Dataset, sa.select(schema.datasets.c.doc).order_by(schema.datasets.c.position))

    def datasets_of(self, interaction_id: str) -> list[str]:
        """The hashes of the datasets that learnt from an interaction, the oldest first."""
        sources, table = schema.dataset_sources, schema.datasets
        question = (
            sa.select(table.c.hash)
            .join(sources, sources.c.dataset == table.c.hash)
            .where(sources.c.interaction_id == interaction_id)
            .order_by(table.c.position)
        )
        with self._database.read() as connection:
            return list(connection.scalars(question))

    # --- spins ---

    def save_spin(self, spin: Spin) -> None:
        """Store a spin over the one with its number."""
        with self._database.write() as connection:
            _upsert(connection, schema.spins, {"number": spin.number}, {"doc": _dump(spin)})

    def spin(self, number: int) -> Spin | None:
        """One spin."""
        return _back(Spin, self._one(sa.select(schema.spins.c.doc).where(schema.spins.c.number == number)))

    def spins(self) -> list[Spin]:
        """Every spin by number."""
        return self._all(Spin, sa.select(schema.spins.c.doc).order_by(schema.spins.c.number))

    def save_step(self, spin: int, step: str, doc: dict[str, Any], record: Spin | None = None) -> None:
        """Store what a step of a spin found, over what was there; and in the same transaction the spin's own record."""
        with self._database.write() as connection:
            if record is not None:
                _upsert(connection, schema.spins, {"number": record.number}, {"doc": _dump(record)})
            _upsert(connection, schema.steps, {"spin": spin, "step": step}, {"doc": _dump(doc)})

    def step(self, spin: int, step: str) -> dict[str, Any] | None:
        """What a step found, None when it has not ended."""
        steps = schema.steps
        found = self._one(sa.select(steps.c.doc).where(steps.c.spin == spin, steps.c.step == step))
        return None if found is None else json.loads(found)

    # --- candidates and releases ---

    def save_candidate(self, candidate: Candidate, extra: Mapping[str, Any]) -> None:
        """Store a candidate with what else is known of it, over the one with its version."""
        with self._database.write() as connection:
            values = {"doc": _dump(candidate), "extra": _dump(dict(extra))}
            _upsert(connection, schema.candidates, {"version": candidate.version}, values)

    def candidate(self, version: str) -> tuple[Candidate, dict[str, Any]] | None:
        """A candidate and what else is known of it."""
        table = schema.candidates
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(table.c.doc, table.c.extra).where(table.c.version == version)
            ).one_or_none()
        return None if row is None else (from_dict(Candidate, json.loads(row.doc)), json.loads(row.extra))

    def save_release(self, release: Release) -> None:
        """Store a release over the one with its version; it keeps its place."""
        with self._database.write() as connection:
            _upsert(connection, schema.releases, {"version": release.version}, {"doc": _dump(release)})

    def releases(self) -> list[Release]:
        """Every release, the first one stored first."""
        return self._all(Release, sa.select(schema.releases.c.doc).order_by(schema.releases.c.position))

    # --- keys of the server ---

    def server_keys(self) -> list[dict[str, Any]]:
        """Every key of the server, as it was saved."""
        with self._database.read() as connection:
            found = connection.scalars(sa.select(schema.keys.c.doc).order_by(schema.keys.c.id)).all()
        return [json.loads(doc) for doc in found]

    def key(self, id: str) -> dict[str, Any] | None:
        """One key of the server."""
        found = self._one(sa.select(schema.keys.c.doc).where(schema.keys.c.id == id))
        return None if found is None else json.loads(found)

    def save_key(self, id: str, doc: dict[str, Any]) -> None:
        """Store a key of the server over the one with its id."""
        with self._database.write() as connection:
            _upsert(connection, schema.keys, {"id": id}, {"doc": _dump(doc)})

    def change_key(self, id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any] | None:
        """Put what `change` makes of a key in its place; nobody else changes it in between. None: there is no such."""
        table = schema.keys
        with self._database.write() as connection:
            found = connection.scalar(sa.select(table.c.doc).where(table.c.id == id).with_for_update())
            if found is None:
                return None
            changed = change(json.loads(found))
            connection.execute(table.update().where(table.c.id == id).values(doc=_dump(changed)))
        return changed

    # --- sessions of the dashboard ---

    def save_session(self, digest: str, doc: dict[str, Any], expires: datetime) -> None:
        """Remember a session under the digest of its token."""
        with self._database.write() as connection:
            values = {"expires": codec.to_micros(expires), "doc": _dump(doc)}
            _upsert(connection, schema.sessions, {"digest": digest}, values)

    def session(self, digest: str) -> dict[str, Any] | None:
        """One session."""
        found = self._one(sa.select(schema.sessions.c.doc).where(schema.sessions.c.digest == digest))
        return None if found is None else json.loads(found)

    def sessions(self) -> list[tuple[str, dict[str, Any]]]:
        """Every session that was not ended, with its digest."""
        table = schema.sessions
        with self._database.read() as connection:
            return [(row.digest, json.loads(row.doc)) for row in connection.execute(sa.select(table)).all()]

    def end_session(self, digest: str) -> dict[str, Any] | None:
        """Take a session away and return it; None: it is not there. Of many who try, one gets it."""
        table = schema.sessions
        with self._database.write() as connection:
            doc = connection.scalar(sa.select(table.c.doc).where(table.c.digest == digest).with_for_update())
            if doc is None or not connection.execute(table.delete().where(table.c.digest == digest)).rowcount:
                return None
        return dict(json.loads(doc))

    def forget_sessions(self, now: datetime) -> None:
        """Take away those that are over."""
        with self._database.write() as connection:
            connection.execute(schema.sessions.delete().where(schema.sessions.c.expires <= codec.to_micros(now)))

    # --- audit trail ---

    def append_trail(self, entry: dict[str, Any] | Callable[[dict[str, Any] | None], dict[str, Any]]) -> None:
        """Add an entry at the end of the audit trail.

        A chained entry depends on the one before it: pass a function, which gets the last entry (None for the first)
        and returns the new one; no other process can append in between.
        """
        with self._database.write() as connection:
            # The tally's row is the one lock that every database has; SQLite's transaction holds everything anyway.
            connection.execute(sa.select(schema.tally.c.id).with_for_update())
            if callable(entry):
                newest = sa.select(schema.trail.c.doc).order_by(schema.trail.c.position.desc()).limit(1)
                last = connection.scalar(newest)
                entry = entry(None if last is None else json.loads(last))
            connection.execute(schema.trail.insert().values(doc=_dump(entry)))

    def trail(self) -> list[dict[str, Any]]:
        """The audit trail, the oldest entry first."""
        with self._database.read() as connection:
            found = connection.scalars(sa.select(schema.trail.c.doc).order_by(schema.trail.c.position)).all()
        return [json.loads(doc) for doc in found]

    # --- how ---

    def _one(self, question: sa.Select[str]) -> str | None:
        with self._database.read() as connection:
            return connection.scalar(question)

    def _all(self, kind: type[R], question: sa.Select[str]) -> list[R]:
        with self._database.read() as connection:
            found = connection.scalars(question).all()
        decoder = _DECODERS.get(kind)
        if decoder is not None:
            try:
                return [decoder.decode(doc) for doc in found]
            except msgspec.DecodeError:  # a number that JSON does not have, such as NaN
                pass
        return [from_dict(kind, json.loads(doc)) for doc in found]

    def _add(self, table: sa.Table, rows: dict[str, dict[str, Any]]) -> int:
        """Insert the rows whose id is not there, in order; how many they are."""
        if not rows:
            return 0
        with self._database.write() as connection:
            connection.execute(sa.select(schema.tally.c.id).with_for_update())
            ids = list(rows)
            there: set[str] = set()
            for start in range(0, len(ids), 500):
                there.update(connection.scalars(sa.select(table.c.id).where(table.c.id.in_(ids[start : start + 500]))))
            new = [row for key, row in rows.items() if key not in there]
            if new:
                connection.execute(table.insert(), new)
        return len(new)


def _item(item: ReviewItem) -> dict[str, Any]:
    return {"spin": item.spin, "status": item.status, "doc": _dump(item)}


_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {Example: msgspec.json.Decoder(Example)}
"""Examples are read by the thousand several times a spin, and are plain enough to be decoded in C."""


_MANY: msgspec.json.Decoder[tuple[Example, ...]] = msgspec.json.Decoder(tuple[Example, ...])


def _examples(content: bytes) -> tuple[Example, ...]:
    try:
        return _MANY.decode(content)
    except msgspec.DecodeError:  # a number that JSON does not have, such as NaN
        return tuple(from_dict(Example, example) for example in json.loads(content))


def _back(kind: type[R], doc: str | None) -> R | None:
    return None if doc is None else from_dict(kind, json.loads(doc))


def _dump(value: Any) -> str:
    return json.dumps(to_dict(value), separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    # NumPy's numbers and arrays know how to become Python's; everything else is a mistake of the caller.
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{value!r} is a {type(value).__name__}, which is not JSON. Store text, numbers, lists or dicts")


def _upsert(connection: sa.Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    same = sa.and_(*(table.c[name] == value for name, value in key.items()))
    if connection.execute(table.update().where(same).values(values)).rowcount:
        return
    # Locks out a second writer who also found nothing; then somebody may have been quicker.
    connection.execute(sa.select(schema.tally.c.id).with_for_update())
    if not connection.execute(table.update().where(same).values(values)).rowcount:
        connection.execute(table.insert().values({**key, **values}))


def _upsert_many(connection: sa.Connection, table: sa.Table, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Store rows over those with their ids: one question, one statement for those that changed, one for each new."""
    ids = list(rows)
    there: dict[str, Any] = {}
    for start in range(0, len(ids), 500):
        some = sa.select(table.c.id, table.c.doc).where(table.c.id.in_(ids[start : start + 500])).with_for_update()
        there.update((row.id, row.doc) for row in connection.execute(some))
    changed = [{"key": key, **row} for key, row in rows.items() if key in there and there[key] != row["doc"]]
    if changed:
        connection.execute(table.update().where(table.c.id == sa.bindparam("key")), changed)
    for key, row in rows.items():
        if key not in there:
            _upsert(connection, table, {"id": key}, dict(row))
