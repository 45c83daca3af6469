"""Taking out of the database what belongs to a user, or what is too old: facts first, then all that was made of them.

Everything here can be done again: a second run finds nothing and changes nothing. The tally and the books are corrected
in the transaction that deletes, so that they balance at every moment.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from flywheel.records import Dataset, Feedback, to_dict
from flywheel.store import codec, schema
from flywheel.store.database import Database
from flywheel.store.log import Log
from flywheel.store.terms import Terms

__all__ = ["ERASED", "Eraser", "Owned"]

ERASED = "erased"
"""Stands where a person's name stood who gave a label about somebody else's interaction."""

_ASK = 500
_CHUNK_ROWS, _CHUNK_BYTES = 20_000, 32 * 1024 * 1024
_AT_ONCE = 5_000  # facts deleted in one transaction: others wait no longer than that takes

Change = Callable[[Any], Any]


class _Who(msgspec.Struct, gc=False):
    id: str
    interaction_id: str | None = None
    user: str | None = None
    session: str | None = None
    by: str | None = None
    source: str = "user"


_who = msgspec.json.Decoder(_Who).decode


@dataclass(slots=True)
class Owned:
    """What in the log is a user's: ids of interactions and of feedback, and of labels they gave about others'."""

    interactions: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)


class Eraser:
    """Finds and deletes, on SQLite and PostgreSQL alike."""

    def __init__(self, database: Database, log: Log) -> None:
        self._database = database
        self._log = log

    # --- finding ---

    def owned(self, names: Collection[str], upto: int | None = None) -> Owned:
        """What belongs to whoever is known under any of `names`, with `seq` up to `upto`. O(facts), in one pass.

        A user's are the interactions that name them as user (or session), all feedback about those, and the feedback
        that they gave themselves. Labels that they gave as a reviewer about other people's interactions are not
        theirs to take away: those lose the name only.
        """
        found = Owned()
        known = frozenset(names)
        for chunk in self._log.scan(0, self._log.last() if upto is None else upto, _CHUNK_ROWS, _CHUNK_BYTES):
            for _, kind, _, body in chunk:
                said = _who(body)
                if kind == codec.INTERACTION:
                    if said.user in known or said.session in known:
                        found.interactions.append(said.id)
                elif said.by in known:
                    (found.feedback if said.source == "user" else found.signed).append(said.id)
        self._complete(found)
        return found

    def about(self, interactions: Sequence[str]) -> Owned:
        """These interactions, and the feedback about them."""
        found = Owned(interactions=list(interactions))
        self._complete(found)
        return found

    def _complete(self, found: Owned) -> None:
        facts = schema.facts
        with self._database.read() as connection:
            for part in _parts(found.interactions):
                about = sa.select(facts.c.id).where(facts.c.about.in_(part), facts.c.kind == codec.FEEDBACK)
                found.feedback.extend(connection.scalars(about))
        found.feedback = list(dict.fromkeys(found.feedback))
        theirs = set(found.feedback)
        found.signed = [key for key in dict.fromkeys(found.signed) if key not in theirs]

    def texts(self, interactions: Sequence[str], feedback: Sequence[str]) -> Iterator[str]:
        """The bodies of these facts, as JSON text."""
        facts = schema.facts
        with self._database.read() as connection:
            for kind, ids in ((codec.INTERACTION, interactions), (codec.FEEDBACK, feedback)):
                for part in _parts(ids):
                    for body in connection.scalars(
                        sa.select(facts.c.body).where(facts.c.kind == kind, facts.c.id.in_(part))
                    ):
                        yield bytes(body).decode("utf-8", "replace")

    def others(self, interactions: Collection[str], feedback: Collection[str]) -> Iterator[str]:
        """The bodies of all other facts."""
        gone = {codec.INTERACTION: frozenset(interactions), codec.FEEDBACK: frozenset(feedback)}
        for chunk in self._log.scan(0, self._log.last(), _CHUNK_ROWS, _CHUNK_BYTES):
            for _, kind, _, body in chunk:
                if _who(body).id not in gone[kind]:
                    yield body.decode("utf-8", "replace")

    def made_from(self, interactions: Collection[str]) -> tuple[list[str], list[str], list[str]]:
        """Review items, examples and datasets (by hash) that were made from these interactions."""
        theirs = frozenset(interactions)
        datasets: dict[str, None] = {}
        sources = schema.dataset_sources
        with self._database.read() as connection:
            for part in _parts(list(theirs)):
                found = connection.scalars(sa.select(sources.c.dataset).where(sources.c.interaction_id.in_(part)))
                datasets.update(dict.fromkeys(found))
        kept = [
            [key for key, doc in self._docs(table) if doc.get("interaction_id") in theirs]
            for table in (schema.items, schema.examples)
        ]
        return kept[0], kept[1], sorted(datasets)

    def used(self, interactions: Collection[str]) -> set[str]:
        """Those of these interactions of which something has been made: a review item, an example, a dataset."""
        theirs, found = frozenset(interactions), set[str]()
        sources = schema.dataset_sources
        with self._database.read() as connection:
            for part in _parts(list(theirs)):
                asked = sa.select(sources.c.interaction_id).where(sources.c.interaction_id.in_(part))
                found.update(connection.scalars(asked))
        for table in (schema.items, schema.examples):
            found.update(key for _, doc in self._docs(table) if (key := doc.get("interaction_id")) in theirs)
        return found

    def remaining(self, interactions: Collection[str], feedback: Collection[str]) -> int:
        """How many facts and sources of datasets still carry one of these ids, exactly."""
        facts, sources, count = schema.facts, schema.dataset_sources, 0
        with self._database.read() as connection:
            for kind, ids in ((codec.INTERACTION, interactions), (codec.FEEDBACK, feedback)):
                for part in _parts(list(ids)):
                    same = (facts.c.kind == kind) & facts.c.id.in_(part)
                    count += connection.scalar(sa.select(sa.func.count()).select_from(facts).where(same)) or 0
            for part in _parts(list(interactions)):
                used = sa.select(sa.func.count()).select_from(sources).where(sources.c.interaction_id.in_(part))
                count += connection.scalar(used) or 0
        return count

    # --- the log ---

    def drop_facts(self, interactions: Sequence[str], feedback: Sequence[str]) -> dict[str, int]:
        """Delete facts by id; say how many of each kind. What was received and stored becomes less by as many."""
        dropped = {"interactions": 0, "feedback": 0}
        facts, tally = schema.facts, schema.tally
        for name, kind, ids in (
            ("feedback", codec.FEEDBACK, feedback),
            ("interactions", codec.INTERACTION, interactions),
        ):
            for start in range(0, len(ids), _AT_ONCE):
                with self._database.write() as connection:
                    connection.execute(sa.select(tally.c.seq).with_for_update())
                    count = 0
                    for part in _parts(ids[start : start + _AT_ONCE]):
                        gone = facts.delete().where(facts.c.kind == kind, facts.c.id.in_(part))
                        count += connection.execute(gone).rowcount
                    connection.execute(tally.update().values({name: tally.c[name] - count}))
                    _correct(connection, count)
                dropped[name] += count
        return dropped

    def unsign(self, feedback: Sequence[str]) -> int:
        """Take the author's name from these labels; say from how many."""
        facts, count = schema.facts, 0
        for part in _parts(feedback):
            with self._database.write() as connection:
                same = (facts.c.kind == codec.FEEDBACK) & facts.c.id.in_(part)
                for seq, body in connection.execute(sa.select(facts.c.seq, facts.c.body).where(same)).all():
                    fact = cast(Feedback, codec.as_record(codec.FEEDBACK, bytes(body)))
                    written = codec.encode(replace(fact, by=ERASED))[3]
                    connection.execute(facts.update().where(facts.c.seq == seq).values(body=written))
                    count += 1
        return count

    def conflicts_of(
        self, names: Collection[str], interactions: Collection[str], feedback: Collection[str]
    ) -> list[int]:
        """Records that were kept aside and are theirs, or have the id of something that is, by position."""
        table, known = schema.conflicts, frozenset(names)
        ids = {codec.INTERACTION: frozenset(interactions), codec.FEEDBACK: frozenset(feedback)}
        theirs = []
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=_ASK).execute(
                sa.select(table.c.position, table.c.kind, table.c.id, table.c.body)
            )
            for position, kind, key, body in rows:
                said = _who(bytes(body))
                named = {said.user, said.session, said.by} & known
                if named or key in ids[kind] or said.interaction_id in ids[codec.INTERACTION]:
                    theirs.append(position)
        return theirs

    def drop_conflicts(self, positions: Sequence[int]) -> int:
        """Delete records that were kept aside."""
        return self._drop(schema.conflicts, schema.conflicts.c.position, positions)

    def letters_with(self, terms: Terms) -> list[int]:
        """The dead letters that hold any of the terms, by position."""
        table = schema.dead_letters
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=_ASK).execute(
                sa.select(table.c.position, table.c.source, table.c.reason, table.c.body)
            )
            return [row[0] for row in rows if any(terms.within(part) for part in (row[1], row[2], bytes(row[3])))]

    def letters_before(self, moment: int) -> list[int]:
        """The dead letters from before a moment (microseconds since 1970), by position."""
        table = schema.dead_letters
        with self._database.read() as connection:
            return list(connection.scalars(sa.select(table.c.position).where(table.c.at < moment)))

    def drop_letters(self, positions: Sequence[int]) -> int:
        """Delete dead letters; the books go on balancing."""
        table, tally, dropped = schema.dead_letters, schema.tally, 0
        for part in _parts(positions):
            with self._database.write() as connection:
                connection.execute(sa.select(tally.c.seq).with_for_update())
                count = connection.execute(table.delete().where(table.c.position.in_(part))).rowcount
                connection.execute(tally.update().values(dead_letters=tally.c.dead_letters - count))
                _correct(connection, count)
            dropped += count
        return dropped

    # --- the state ---

    def drop_items(self, ids: Sequence[str]) -> int:
        """Delete items of the review queue."""
        return self._drop(schema.items, schema.items.c.id, ids)

    def drop_examples(self, ids: Sequence[str]) -> int:
        """Delete examples."""
        return self._drop(schema.examples, schema.examples.c.id, ids)

    def bury_dataset(self, buried: Dataset) -> None:
        """Put a tombstone in a dataset's place: its hash and manifest stay, its examples go."""
        table, empty = schema.datasets, zlib.compress(b"[]", 6)
        doc = _dump(replace(buried, examples=()))
        with self._database.write() as connection:
            connection.execute(table.update().where(table.c.hash == buried.hash).values(doc=doc, content=empty))

    def drop_sources(self, interactions: Collection[str]) -> None:
        """Forget which datasets, tombstones among them, were made from these interactions."""
        self._drop(schema.dataset_sources, schema.dataset_sources.c.interaction_id, list(interactions))

    def unsign_examples(self, names: Collection[str]) -> int:
        """Take these names from labels in the queue, in the examples and in datasets; hashes do not depend on them."""
        known, count = frozenset(names), 0

        def unsigned(doc: Any) -> Any:
            return {**doc, "by": ERASED} if doc.get("by") in known else doc

        for table in (schema.items, schema.examples):
            count += self.change_docs(table.name, unsigned)
        if not count:
            return 0
        datasets = schema.datasets
        with self._database.read() as connection:
            hashes = connection.scalars(sa.select(datasets.c.hash)).all()
        for key in hashes:
            with self._database.write() as connection:
                content = connection.scalar(sa.select(datasets.c.content).where(datasets.c.hash == key))
                before = json.loads(zlib.decompress(content or b""))
                after = [unsigned(example) for example in before]
                if after != before:
                    packed = zlib.compress(_dump(after).encode(), 6)
                    connection.execute(datasets.update().where(datasets.c.hash == key).values(content=packed))
        return count

    def reports_of(
        self, names: Collection[str], interactions: Collection[str], terms: Terms
    ) -> tuple[list[str], list[str]]:
        """The reports that are somebody's who is known as `names`, and the feedback that those have become.

        Theirs are those they filed, those about these interactions, and those whose text or contact holds a term: what
        others wrote about them.
        """
        known, theirs = frozenset(names), frozenset(interactions)
        mine = {key for key, contact in self._docs(schema.contacts) if terms.within(contact)}
        told = []
        for key, doc in self._docs(schema.reports):
            named = any(terms.within(doc[name]) for name in ("what", "expected", "closing") if doc.get(name))
            if named or doc.get("by") in known or doc.get("interaction_id") in theirs:
                mine.add(key)
            if key in mine and doc.get("joined_at"):
                told.append(key)  # the feedback has the report's own id
        return sorted(mine), told

    def reports_before(self, at: datetime) -> list[str]:
        """The reports from before a moment."""
        return [key for key, doc in self._docs(schema.reports) if datetime.fromisoformat(doc["at"]) < at]

    def drop_reports(self, ids: Sequence[str]) -> int:
        """Delete reports, and how their reporters could be reached."""
        self._drop(schema.contacts, schema.contacts.c.id, ids)
        return self._drop(schema.reports, schema.reports.c.id, ids)

    def docs(self, name: str) -> Iterator[tuple[str, Any]]:
        """Every JSON document of a table of the state: where it is, and what it says."""
        yield from self._docs(schema.metadata.tables[name])

    def change_docs(self, name: str, change: Change, column: str = "doc") -> int:
        """Put what `change` makes of each JSON document of a table in its place; say how many it changed."""
        table = schema.metadata.tables[name]
        key = list(table.primary_key.columns)
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=_ASK).execute(sa.select(table.c[column], *key))
            places = [tuple(place) for text, *place in rows if change(before := json.loads(text)) != before]
        for place in places:
            same = sa.and_(*(one == value for one, value in zip(key, place, strict=True)))
            with self._database.write() as connection:
                newest = connection.scalar(sa.select(table.c[column]).where(same).with_for_update())
                if newest is not None:  # what a person labels at this moment is not lost
                    after = _dump(change(json.loads(newest)))
                    connection.execute(table.update().where(same).values({column: after}))
        return len(places)

    def drop_steps(self, spin: int, steps: Iterable[str]) -> int:
        """Forget what these steps of a spin found, so that they are done again."""
        table = schema.steps
        with self._database.write() as connection:
            gone = table.delete().where(table.c.spin == spin, table.c.step.in_(list(steps)))
            return connection.execute(gone).rowcount

    def _docs(self, table: sa.Table) -> Iterator[tuple[str, Any]]:
        keys = ("id", "version", "key", "hash", "step", "number", "mode")
        name = next(column for column in keys if column in table.c)
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=_ASK).execute(sa.select(table.c[name], table.c.doc))
            for key, doc in rows:
                yield str(key), json.loads(doc)

    def _drop(self, table: sa.Table, column: sa.Column[Any], keys: Sequence[Any]) -> int:
        dropped = 0
        for part in _parts(keys):
            with self._database.write() as connection:
                dropped += connection.execute(table.delete().where(column.in_(part))).rowcount
        return dropped


def _correct(connection: sa.Connection, count: int) -> None:
    """What was erased is neither received nor stored any more; it is counted as erased. The tally's row is held."""
    if not count:
        return
    counters = schema.counters
    for name, more in (("received", -count), ("erased", count)):
        same = counters.c.name == name
        if not connection.execute(counters.update().where(same).values(value=counters.c.value + more)).rowcount:
            connection.execute(counters.insert().values(name=name, value=more))


def _parts(keys: Sequence[Any]) -> Iterator[list[Any]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _ASK):
        yield unique[start : start + _ASK]


def _dump(value: Any) -> str:
    return json.dumps(to_dict(value), separators=(",", ":"))
