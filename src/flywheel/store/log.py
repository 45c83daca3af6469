"""The log: append-only facts, the record of truth.

`append` returns when its records are on stable storage. Threads that append at the same time share one commit: whoever
comes first writes for all who wait (a group commit), so that many small appends cost few disk flushes. Sequence numbers
have no gaps and become visible in order, between processes too: a writer holds the tally's row from taking the numbers
to the commit.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from flywheel.errors import FlywheelError, InvalidRecord, NotFound
from flywheel.records import Feedback, Interaction
from flywheel.store import codec
from flywheel.store.database import Database
from flywheel.store.schema import conflicts, counters, dead_letters, facts, tally

__all__ = ["DUPLICATE", "STORED", "Appended", "Letter", "Log", "Row"]

STORED, DUPLICATE, CONFLICT = range(3)

_COMMIT = 20_000  # facts at most in one commit: bounds memory and how long others wait
_ASK = 500  # ids in one question
_TELLER = ":"  # in a counter's name stands between what is counted and who tells it
_KINDS = {codec.INTERACTION: "interaction", codec.FEEDBACK: "feedback"}

_Fact = tuple[int, str, str | None, bytes]  # kind, id, interaction a feedback speaks of, body
_New = tuple[int, int, str, str | None, int, bytes]  # seq, kind, id, about, received, body

# What is asked often is built once: building a statement costs more than running it. The ids come with each call.
_ids: sa.BindParameter[list[str]] = sa.bindparam("ids", expanding=True)
_BODIES = sa.select(facts.c.id, facts.c.body).where(facts.c.kind == sa.bindparam("kind"), facts.c.id.in_(_ids))
_PLACED = sa.select(facts.c.seq, facts.c.kind, facts.c.received, facts.c.body).where(
    facts.c.kind == sa.bindparam("kind"), facts.c.id.in_(_ids)
)
_ABOUT = sa.select(facts.c.seq, facts.c.body).where(facts.c.about.in_(_ids))
_of_kind = sa.select(facts.c.id, facts.c.body).where(facts.c.kind == sa.bindparam("kind"))
_KNOWN: dict[str, sa.Select[Any]] = {  # any number of ids as one value, so that the text of the question stays the same
    "sqlite": _of_kind.where(
        facts.c.id.in_(sa.select(sa.func.json_each(sa.bindparam("ids", type_=sa.Text)).table_valued("value").c.value))
    ),
    "postgresql": _of_kind.where(facts.c.id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.Text)))),
}
_PEN = sa.select(tally.c.seq).with_for_update()
_ADD = tally.update().values(
    {
        tally.c.seq: sa.bindparam("last"),
        **{
            tally.c[name]: tally.c[name] + sa.bindparam(f"more_{name}")
            for name in ("interactions", "feedback", "duplicates", "conflicts", "dead_letters")
        },
    }
)
_COUNT = (
    counters.update()
    .where(counters.c.name == sa.bindparam("counter"))
    .values(value=counters.c.value + sa.bindparam("more"))
)
_INSERTS: dict[str, Any] = {}  # by dialect


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch: `stored` anew, `duplicates` (known id, same content), `conflicts` (other content).

    A dead letter that was there already counts as a duplicate too; `letters` are those kept anew.
    """

    stored: int
    duplicates: int = 0
    conflicts: int = 0
    letters: int = 0
    fates: bytes = field(default=b"", compare=False, repr=False)
    """What became of each record in order: a byte `STORED`, `DUPLICATE` or `CONFLICT`."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What could not become a record, with the reason. `kind` is `draft` (JSON that can be tried again) or `bytes`."""

    source: str
    reason: str
    body: bytes
    at: datetime
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One fact of the log. `kind` is `interaction` or `feedback`; `body` is the record as JSON."""

    seq: int
    kind: str
    id: str
    received_at: datetime
    body: bytes


class _Batch:
    """What one caller waits for."""

    __slots__ = ("answer", "counts", "facts", "failure", "letters", "received")

    def __init__(
        self, facts: list[_Fact], received: int, letters: list[dict[str, Any]], counts: Mapping[str, int]
    ) -> None:
        self.facts = facts
        self.received = received
        self.letters = letters
        self.counts = counts
        self.answer: Appended | None = None
        self.failure: FlywheelError | None = None


class Log:
    """Append-only facts: interactions and feedback. Safe to use from many threads and processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Batch] = []
        self._door = threading.Lock()  # guards the list of those who wait
        self._pen = threading.Lock()  # held by the one who writes

    def append(self, records: Sequence[Interaction | Feedback], received_at: datetime | None = None) -> Appended:
        """Store records; when this returns they are on stable storage.

        A record whose id is known is not stored again: with the same content it counts as a duplicate, with other
        content as a conflict, where the first stays and the other is kept aside. More than 20,000 records are committed
        in pieces, in order. Raises `InvalidRecord` before anything is written; after `StoreBusy` or `StoreUnavailable`
        appending the same records again is safe and right. O(log n) a record.
        """
        return self.commit([codec.encode(record) for record in records], received_at)

    def commit(
        self,
        encoded: list[_Fact],
        received_at: datetime | None = None,
        letters: Sequence[Letter] = (),
        counts: Mapping[str, int] | None = None,
    ) -> Appended:
        """Store records that `codec.encode` has written, dead letters and counts, as `append` does.

        `counts` go into the books: `received` (all that arrived, by default the records and letters given),
        `rejected`, or any other name. A name with a colon, such as `client_dropped:who`, is what somebody has counted
        in all so far: only what is new in it goes into `client_dropped`, so that telling it twice counts it once.
        Up to 20,000 records, their letters and their counts are one commit.
        """
        received = codec.to_micros(received_at or datetime.now(UTC))
        kept = [_row_of(letter) for letter in letters]
        counted = {"received": len(encoded) + len(kept), **(counts or {})}
        if len(encoded) <= _COMMIT:
            if not encoded and not kept and not any(counted.values()):
                return Appended(0)
            return self._submit(_Batch(encoded, received, kept, counted))
        total = Appended(0)
        for start in range(0, len(encoded), _COMMIT):
            part = encoded[start : start + _COMMIT]
            last = start + _COMMIT >= len(encoded)
            rest = (
                {**counted, "received": counted["received"] - len(encoded) + len(part)}
                if last
                else {"received": len(part)}
            )
            done = self._submit(_Batch(part, received, kept if last else [], rest))
            total = Appended(
                total.stored + done.stored,
                total.duplicates + done.duplicates,
                total.conflicts + done.conflicts,
                total.letters + done.letters,
                total.fates + done.fates,
            )
        return total

    def _submit(self, batch: _Batch) -> Appended:
        with self._door:
            self._waiting.append(batch)
        while batch.answer is None and batch.failure is None:
            with self._pen:
                # Whoever held the pen before may have written this batch too.
                if batch.answer is None and batch.failure is None:
                    self._commit(self._take())
        if batch.failure is not None:
            raise type(batch.failure)(*batch.failure.args) from batch.failure
        return cast(Appended, batch.answer)

    def _take(self) -> list[_Batch]:
        with self._door:
            count = size = 0
            for batch in self._waiting:
                size += len(batch.facts)
                if count and size > _COMMIT:
                    break
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _commit(self, batches: list[_Batch]) -> None:
        try:
            with self._database.write() as connection:
                answers = _store(connection, batches)
        except FlywheelError as failure:
            for batch in batches:
                batch.failure = failure
        except BaseException as failure:
            # Somebody else's thread must not wait for ever because this one was interrupted.
            for batch in batches:
                batch.failure = FlywheelError(f"the commit was broken off: {failure!r}. Append the records again")
            raise
        else:
            for batch, answer in zip(batches, answers, strict=True):
                batch.answer = answer

    def read(self, after: int, limit: int = 10_000) -> list[Row]:
        """The facts with `seq` above `after`, in order, at most `limit`."""
        question = sa.select(facts.c.seq, facts.c.kind, facts.c.id, facts.c.received, facts.c.body)
        with self._database.read() as connection:
            found = connection.execute(question.where(facts.c.seq > after).order_by(facts.c.seq).limit(limit)).all()
        return [Row(seq, _KINDS[kind], key, codec.from_micros(at), bytes(body)) for seq, kind, key, at, body in found]

    def scan(self, after: int, upto: int, rows: int, size: int) -> Iterator[list[tuple[int, int, int, bytes]]]:
        """Yield chunks of `(seq, kind, received in microseconds, body)` with `after < seq <= upto`, in order.

        A chunk ends at `rows` facts or about `size` bytes, whichever comes first. Each is read in a transaction of its
        own, so that a long reading holds nothing back.
        """
        question = sa.select(facts.c.seq, facts.c.kind, facts.c.received, facts.c.body).order_by(facts.c.seq)
        while after < upto:
            chunk: list[tuple[int, int, int, bytes]] = []
            weight = 0
            part = question.where(facts.c.seq > after, facts.c.seq <= upto).limit(rows)
            with self._database.read() as connection:
                result = connection.execution_options(yield_per=200).execute(part)
                for partition in result.partitions():
                    chunk.extend(map(tuple, partition))
                    weight += sum(len(row[3]) for row in partition)
                    if weight >= size:
                        break
                result.close()
            if not chunk:
                return
            after = chunk[-1][0]
            yield chunk

    def last(self) -> int:
        """The highest sequence number, 0 for an empty log."""
        return self._tally()["seq"]

    def counts(self) -> dict[str, int]:
        """How many `interactions`, `feedback`, `duplicates`, `conflicts` and `dead_letters` there have been."""
        counted = self._tally()
        del counted["seq"]
        return counted

    def books(self) -> dict[str, int]:
        """What arrived and what became of it, in one consistent reading.

        `received` = `stored` + `duplicates` + `rejected` + `dead_lettered`, exactly, whatever was killed when. A
        conflict (a known id with other content) is among the `rejected`; so is what came without consent. Beside
        them stand counters that are no part of the sum, such as `client_dropped`.
        """
        with self._database.read() as connection:
            row = connection.execute(sa.select(tally)).mappings().one()
            found = connection.execute(sa.select(counters)).tuples()
            counted = {name: int(value) for name, value in found if _TELLER not in name}
        rejected = counted.pop("rejected", 0)
        return {
            "received": counted.pop("received", 0),
            "stored": int(row["interactions"]) + int(row["feedback"]),
            "duplicates": int(row["duplicates"]),
            "rejected": int(row["conflicts"]) + rejected,
            "dead_lettered": int(row["dead_letters"]),
            **dict(sorted(counted.items())),
        }

    def _tally(self) -> dict[str, int]:
        with self._database.read() as connection:
            row = connection.execute(sa.select(tally)).mappings().one()
        return {name: int(value) for name, value in row.items() if name != "id"}

    def interactions(self, ids: Sequence[str], upto: int | None = None) -> dict[str, Interaction]:
        """The interactions with these ids (and `seq` up to `upto`, where given); unknown ids are left out."""
        found: dict[str, Interaction] = {}
        question = _BODIES if upto is None else _BODIES.where(facts.c.seq <= upto)
        with self._database.read() as connection:
            for part in _parts(ids):
                for key, body in connection.execute(question, {"kind": codec.INTERACTION, "ids": part}):
                    found[key] = cast(Interaction, codec.as_record(codec.INTERACTION, body))
        return {key: found[key] for key in ids if key in found}

    def place(self, id: str) -> int | None:
        """The sequence number of an interaction, None where there is no such. O(log n)."""
        question = sa.select(facts.c.seq).where(facts.c.kind == codec.INTERACTION, facts.c.id == id)
        with self._database.read() as connection:
            return connection.scalar(question)

    def placed(self, ids: Sequence[str]) -> list[tuple[int, int, int, bytes]]:
        """The interactions with these ids as `(seq, kind, received in microseconds, body)`, in order; O(log n) each."""
        with self._database.read() as connection:
            found = [
                (seq, kind, received, bytes(body))
                for part in _parts(ids)
                for seq, kind, received, body in connection.execute(_PLACED, {"kind": codec.INTERACTION, "ids": part})
            ]
        return sorted(found)

    def feedback_of(self, interaction_ids: Sequence[str], *, withdrawn: bool = False) -> list[Feedback]:
        """What has been said about these interactions and holds, in the order it came.

        With `withdrawn` also what was taken back, and the withdrawals.
        """
        found: list[tuple[int, Feedback]] = []
        with self._database.read() as connection:
            for part in _parts(interaction_ids):
                for seq, body in connection.execute(_ABOUT, {"ids": part}):
                    found.append((seq, cast(Feedback, codec.as_record(codec.FEEDBACK, body))))
        said = [feedback for _, feedback in sorted(found, key=lambda pair: pair[0])]
        gone = {one.value for one in said if one.kind == "withdrawal"}
        if withdrawn or not gone:
            return said
        return [one for one in said if one.kind != "withdrawal" and one.id not in gone]

    def conflicting(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest records whose id was taken by another content: `kind`, `id`, `received_at`, `body`."""
        question = sa.select(conflicts).order_by(conflicts.c.position.desc()).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(question).all()
        return [
            {
                "kind": _KINDS[row.kind],
                "id": row.id,
                "received_at": codec.from_micros(row.received),
                "body": bytes(row.body),
            }
            for row in found
        ]

    def dead_letter(self, source: str, reason: str, body: bytes, at: datetime, kind: str = "") -> bool:
        """Keep what could not become a record, with the reason; counted. False for one that is kept already."""
        return self.commit([], None, [Letter(source, reason, body, at, kind)]).letters > 0

    def dead_letters(
        self, limit: int = 100, before: int | None = None, ids: Sequence[int] = ()
    ) -> list[dict[str, Any]]:
        """The newest of them: `id`, `source`, `reason`, `kind`, `body` (bytes), `at`; older than `before`, or `ids`."""
        question = sa.select(dead_letters).order_by(dead_letters.c.position.desc()).limit(limit)
        if before is not None:
            question = question.where(dead_letters.c.position < before)
        if ids:
            question = question.where(dead_letters.c.position.in_(ids))
        with self._database.read() as connection:
            found = connection.execute(question).all()
        return [
            {
                "id": row.position,
                "source": row.source,
                "reason": row.reason,
                "kind": row.kind,
                "body": bytes(row.body),
                "at": codec.from_micros(row.at),
            }
            for row in found
        ]

    def settle_letter(self, id: int, encoded: list[_Fact]) -> Appended:
        """Take a dead letter away, and store in the same commit the records it has become; none: it was dropped.

        The books stay balanced: one dead letter less, and so many stored, duplicate or (dropped) rejected.
        Raises `NotFound` when it is not there any more.
        """
        batch = _Batch(encoded, codec.to_micros(datetime.now(UTC)), [], {})
        with self._pen, self._database.write() as connection:
            connection.execute(sa.select(tally.c.seq).with_for_update())
            if not connection.execute(dead_letters.delete().where(dead_letters.c.position == id)).rowcount:
                raise NotFound(f"there is no dead letter {id}. List them with: flywheel deadletter list")
            counts = {"rejected": 1, "dropped_letters": 1} if not encoded else {"received": len(encoded) - 1}
            batch.counts = counts
            connection.execute(tally.update().values(dead_letters=tally.c.dead_letters - 1))
            return _store(connection, [batch])[0]


def _row_of(letter: Letter) -> dict[str, Any]:
    if letter.at.tzinfo is None:
        raise InvalidRecord("at", f"{letter.at.isoformat()} has no time zone", "Pass a UTC datetime")
    source, reason = _storable(letter.source), _storable(letter.reason)
    said = f"{source}\n{reason}\n".encode() + letter.body
    return {
        "source": source,
        "reason": reason,
        "body": letter.body,
        "at": codec.to_micros(letter.at),
        "kind": letter.kind,
        "digest": hashlib.blake2b(said, digest_size=16).hexdigest(),
    }


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), _ASK):
        yield unique[start : start + _ASK]


def _storable(text: str) -> str:
    """PostgreSQL's text takes neither NUL nor half a surrogate pair."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _store(connection: sa.Connection, batches: list[_Batch]) -> list[Appended]:
    """Write batches in order in the caller's transaction; say what became of each."""
    seq: int = connection.scalars(_PEN).one()
    known = _known(connection, batches)
    new: list[_New] = []
    kept: dict[tuple[int, str, str], dict[str, Any]] = {}
    answers = []
    counts = {codec.INTERACTION: 0, codec.FEEDBACK: 0}
    letters = _Letters(connection, batches)
    counted: Counter[str] = Counter()
    for batch in batches:
        stored = duplicates = conflicting = 0
        fates = bytearray()
        for kind, key, about, body in batch.facts:
            first = known.get((kind, key))
            if first is None:
                seq += 1
                stored += 1
                counts[kind] += 1
                known[kind, key] = body
                new.append((seq, kind, key, about, batch.received, body))
                fates.append(STORED)
            elif codec.same_content(first, body):
                duplicates += 1
                fates.append(DUPLICATE)
            else:
                conflicting += 1
                fates.append(CONFLICT)
                digest = hashlib.blake2b(body, digest_size=16).hexdigest()
                kept[kind, key, digest] = {
                    "digest": digest,
                    "kind": kind,
                    "id": key,
                    "body": body,
                    "received": batch.received,
                }
        fresh = letters.take(batch)
        for name, more in batch.counts.items():
            counted[name] = max(counted[name], more) if _TELLER in name else counted[name] + more
        answers.append(Appended(stored, duplicates + len(batch.letters) - fresh, conflicting, fresh, bytes(fates)))
    if new:
        _insert(connection, new)
    for one in kept.values():
        _keep(connection, one)
    letters.write()
    _count(connection, counted)
    connection.execute(
        _ADD,
        {
            "last": seq,
            "more_interactions": counts[codec.INTERACTION],
            "more_feedback": counts[codec.FEEDBACK],
            "more_duplicates": sum(answer.duplicates for answer in answers),
            "more_conflicts": sum(answer.conflicts for answer in answers),
            "more_dead_letters": sum(answer.letters for answer in answers),
        },
    )
    return answers


class _Letters:
    """The dead letters of one commit; each is kept once."""

    def __init__(self, connection: sa.Connection, batches: list[_Batch]) -> None:
        self._connection = connection
        self._new: list[dict[str, Any]] = []
        self._known: set[str] = set()
        for part in _parts([letter["digest"] for batch in batches for letter in batch.letters]):
            question = sa.select(dead_letters.c.digest).where(dead_letters.c.digest.in_(part))
            self._known.update(connection.scalars(question))

    def take(self, batch: _Batch) -> int:
        """Take a batch's letters; return how many are new."""
        before = len(self._new)
        for letter in batch.letters:
            if letter["digest"] not in self._known:
                self._known.add(letter["digest"])
                self._new.append(letter)
        return len(self._new) - before

    def write(self) -> None:
        if self._new:
            self._connection.execute(dead_letters.insert(), self._new)


def _count(connection: sa.Connection, counted: Counter[str]) -> None:
    """Add to the books. The tally's row is held, so nobody else adds at the same moment."""
    for name, count in counted.items():
        kind, teller, _ = name.partition(_TELLER)
        if not teller:
            _add_to(connection, name, count)
            continue
        known = connection.scalar(sa.select(counters.c.value).where(counters.c.name == name)) or 0
        for counter in (kind, name):
            _add_to(connection, counter, max(0, count - known))


def _add_to(connection: sa.Connection, counter: str, more: int) -> None:
    if more and not connection.execute(_COUNT, {"counter": counter, "more": more}).rowcount:
        connection.execute(counters.insert().values(name=counter, value=more))


def _insert(connection: sa.Connection, new: list[_New]) -> None:
    """Hand the rows to the driver as they are: SQLAlchemy's care for each value costs more than writing it."""
    names = [column.name for column in facts.columns]
    dialect = connection.dialect
    if dialect.name not in _INSERTS:
        _INSERTS[dialect.name] = facts.insert().compile(dialect=dialect, column_keys=names)
    compiled = _INSERTS[dialect.name]
    if compiled.positional:
        order = [names.index(name) for name in cast(list[str], compiled.positiontup)]
        rows: Any = new if order == list(range(len(names))) else [tuple(row[i] for i in order) for row in new]
    else:
        rows = [dict(zip(names, row, strict=True)) for row in new]
    connection.exec_driver_sql(compiled.string, rows)


def _known(connection: sa.Connection, batches: list[_Batch]) -> dict[tuple[int, str], bytes]:
    """The bodies already stored under the ids of these batches."""
    known: dict[tuple[int, str], bytes] = {}
    kind_of_database = connection.dialect.name
    for kind in (codec.INTERACTION, codec.FEEDBACK):
        ids: Any = [fact[1] for batch in batches for fact in batch.facts if fact[0] == kind]
        if not ids:
            continue
        if kind_of_database == "sqlite":
            ids = msgspec.json.encode(ids).decode()
        for key, body in connection.execute(_KNOWN[kind_of_database], {"kind": kind, "ids": ids}):
            known[kind, key] = bytes(body)
    return known


def _keep(connection: sa.Connection, conflict: dict[str, Any]) -> None:
    """Keep a conflicting record once, however often it is sent."""
    same = (
        (conflicts.c.kind == conflict["kind"])
        & (conflicts.c.id == conflict["id"])
        & (conflicts.c.digest == conflict["digest"])
    )
    if connection.scalar(sa.select(conflicts.c.position).where(same)) is None:
        connection.execute(conflicts.insert().values(conflict))
