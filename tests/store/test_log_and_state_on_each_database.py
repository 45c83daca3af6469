"""What the log, the state and the locks promise, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from flywheel.errors import CorruptStore, InvalidRecord, NotFound, StoreBusy
from flywheel.records import (
    Candidate,
    Cause,
    Check,
    Dataset,
    Example,
    Feedback,
    Interaction,
    Interval,
    Mode,
    Observation,
    Receipt,
    Release,
    Report,
    ReviewItem,
    Risk,
    Spin,
    Verdict,
    Why,
    WhyChain,
)
from flywheel.store import Appended, Letter, Log, Store
from flywheel.store import migrations as migrations_module
from flywheel.store.codec import encode
from flywheel.store.database import Database, open_database
from flywheel.store.log import DUPLICATE, STORED
from flywheel.store.migrations import migrate

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def ask(key: str, input: object = "hello", **fields: object) -> Interaction:
    return Interaction(id=key, at=AT, input=input, **fields)  # type: ignore[arg-type]


def say(key: str, about: str, **fields: object) -> Feedback:
    return Feedback(id=key, interaction_id=about, at=AT, **{"kind": "rating", "value": -1, **fields})  # type: ignore[arg-type]


class StorePromises:
    """Run through its subclasses, one a database."""

    kind: str

    @pytest.fixture
    def address(self, new_url: Callable[[str], str]) -> str:
        return new_url(self.kind)

    @pytest.fixture
    def store(self, address: str, opened: Callable[..., Store]) -> Store:
        return opened(address)

    # --- log ---

    def test_what_was_appended_comes_back_as_it_was(self, store: Store) -> None:
        full = Interaction(
            id="a",
            at=AT,
            input={"z": [1, 2.5, None, True, "é\x00"], "a": {"b": 10**25}},
            output=["x"],
            sent_at=AT - timedelta(seconds=1),
            scores={"x": 0.9},
            confidence=0.9,
            latency_ms=1.5,
            error="boom",
            model="v1",
            user="u",
            session="s",
            context={"device": "ios", "age": 3},
            propensity=0.5,
            consent=True,
            extra={"more": [1]},
        )
        told = Feedback(
            id="f",
            interaction_id="a",
            at=AT,
            kind="outcome",
            value=1.5,
            name="kept",
            source="system",
            by="x",
            propensity=0.1,
        )
        assert store.log.append([full, told], received_at=AT) == Appended(2)
        assert store.log.interactions(["nobody", "a"]) == {"a": full}
        assert list(store.log.interactions(["a"])["a"].input) == ["z", "a"]  # the sender's order of keys
        assert store.log.feedback_of(["a", "b"]) == [told]
        rows = store.log.read(0)
        assert [(row.seq, row.kind, row.id, row.received_at) for row in rows] == [
            (1, "interaction", "a", AT),
            (2, "feedback", "f", AT),
        ]

    def test_times_are_stored_in_utc(self, store: Store) -> None:
        berlin = AT.astimezone(timezone(timedelta(hours=1)))
        store.log.append([Interaction(id="a", at=berlin, input=1)])
        assert b'"at":"2026-03-01T12:30:15.123456Z"' in store.log.read(0)[0].body

    def test_the_same_record_twice_is_a_counted_duplicate(self, store: Store) -> None:
        assert store.log.append([ask("a"), ask("a"), ask("b")]) == Appended(2, duplicates=1)
        assert store.log.append([ask("b"), say("a", "a")]) == Appended(1, duplicates=1)
        counts = store.log.counts()
        assert counts == {"interactions": 2, "feedback": 1, "duplicates": 2, "conflicts": 0, "dead_letters": 0}
        assert store.log.last() == 3

    def test_another_record_with_a_known_id_is_a_kept_conflict_and_the_first_wins(self, store: Store) -> None:
        store.log.append([ask("a", "first")])
        for _ in range(3):
            assert store.log.append([ask("a", "second"), ask("b")]).conflicts == 1
        assert store.log.interactions(["a"])["a"].input == "first"
        assert store.log.counts()["conflicts"] == 3
        kept = store.log.conflicting()
        assert [conflict["id"] for conflict in kept] == ["a"]  # counted each time, kept once
        assert b"second" in kept[0]["body"]
        assert store.log.append([ask("a", "first")]) == Appended(0, duplicates=1)

    def test_the_order_of_keys_makes_no_conflict(self, store: Store) -> None:
        store.log.append([ask("a", {"x": 1, "y": 2})])
        assert store.log.append([ask("a", {"y": 2, "x": 1})]) == Appended(0, duplicates=1)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"at": datetime(2026, 1, 1)}, "at"),  # noqa: DTZ001
            ({"confidence": "high"}, "confidence"),
            ({"id": 7}, "id"),
            ({"id": "a\x00b"}, "id"),
            ({"context": [1]}, "context"),
            ({"input": object()}, "record"),
            ({"input": "\ud800"}, "record"),
        ],
    )
    def test_what_could_not_be_read_back_is_refused_whole(
        self, store: Store, fields: dict[str, object], named: str
    ) -> None:
        bad = Interaction(**{"id": "bad", "at": AT, "input": 1, **fields})  # type: ignore[arg-type]
        with pytest.raises(InvalidRecord) as refused:
            store.log.append([ask("good"), bad])
        assert refused.value.field == named
        assert store.log.last() == 0

    def test_circular_input_is_refused(self, store: Store) -> None:
        loop: list[object] = []
        loop.append(loop)
        with pytest.raises(InvalidRecord, match="recursion"):
            store.log.append([ask("a", loop)])

    def test_threads_that_append_at_once_share_commits(self, store: Store) -> None:
        commits = []
        event.listen(store._database.engine, "commit", lambda _: commits.append(threading.get_ident()))
        event.listen(store._database.engine, "commit", lambda _: time.sleep(0.005))  # a slow disk
        problems: list[BaseException] = []

        def run(name: int) -> None:
            try:
                for number in range(20):
                    assert store.log.append([ask(f"{name}-{number}")]) == Appended(1)
                    assert f"{name}-{number}" in store.log.interactions([f"{name}-{number}"])
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=run, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems
        assert store.log.last() == 160
        assert store.log.counts()["interactions"] == 160
        # 160 reads commit too (each ends its transaction); what writes is far less than an append each
        assert len(commits) - 160 < 120

    def test_a_failed_commit_fails_everyone_who_waited_and_stores_nothing(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from flywheel.errors import StoreUnavailable
        from flywheel.store import log as log_module

        store.log.append([ask("before")])
        original = log_module._store

        def broken(connection: sa.Connection, batches: list[object]) -> object:
            original(connection, batches)  # type: ignore[arg-type]
            raise sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))

        monkeypatch.setattr(log_module, "_store", broken)
        with pytest.raises(StoreUnavailable, match="disk is full"):
            store.log.append([ask("lost")])
        monkeypatch.undo()
        assert store.log.last() == 1
        assert store.log.append([ask("lost")]) == Appended(1)
        assert [row.seq for row in store.log.read(0)] == [1, 2]

    def test_reading_goes_on_where_it_stopped(self, store: Store) -> None:
        store.log.append([ask(f"{number}") for number in range(25)])
        seen: list[int] = []
        while rows := store.log.read(seen[-1] if seen else 0, 10):
            seen += [row.seq for row in rows]
        assert seen == list(range(1, 26))
        chunks = list(store.log.scan(3, 20, rows=7, size=1_000_000))
        assert [seq for chunk in chunks for seq, *_ in chunk] == list(range(4, 21))
        assert max(len(chunk) for chunk in chunks) == 7

    def test_large_records_make_small_chunks(self, store: Store) -> None:
        store.log.append([ask(f"{number}", "x" * 10_000) for number in range(450)])
        chunks = list(store.log.scan(0, 450, rows=10_000, size=500_000))
        assert [seq for chunk in chunks for seq, *_ in chunk] == list(range(1, 451))
        assert len(chunks) == 3

    def test_the_books_balance_whatever_came(self, store: Store) -> None:
        def balanced() -> dict[str, int]:
            books = store.log.books()
            parts = ("stored", "duplicates", "rejected", "dead_lettered")
            assert books["received"] == sum(books[part] for part in parts)
            return books

        letter = Letter("http", "no input", b'{"output": 1}', AT, "draft")
        store.log.append([ask("a"), ask("b")])
        store.log.append([ask("a"), ask("b", input="other")])
        done = store.log.commit(
            [encode(ask("c")), encode(ask("a"))],
            letters=[letter, letter],
            counts={"received": 7, "rejected": 3, "client_dropped": 9},
        )
        assert (done.stored, done.duplicates, done.letters, done.fates) == (1, 2, 1, bytes([STORED, DUPLICATE]))
        books = balanced()
        assert books == {
            "received": 11, "stored": 3, "duplicates": 3, "rejected": 4, "dead_lettered": 1, "client_dropped": 9
        }  # fmt: skip
        for so_far in (3, 5, 5, 4):  # what somebody has counted in all, told again and again
            store.log.commit([], counts={"client_dropped:somebody": so_far})
        assert balanced() == {**books, "client_dropped": 9 + 5}
        (kept,) = store.log.dead_letters()
        assert (kept["reason"], kept["kind"]) == ("no input", "draft")
        store.log.settle_letter(kept["id"], [encode(ask("d"))])
        assert store.log.dead_letters() == []
        assert balanced()["stored"] == 4
        store.log.dead_letter("http", "worse", b"?", AT)
        store.log.settle_letter(store.log.dead_letters()[0]["id"], [])
        assert balanced()["rejected"] == 5
        with pytest.raises(NotFound, match="flywheel deadletter list"):
            store.log.settle_letter(99, [])

    def test_dead_letters_are_kept_and_counted(self, store: Store) -> None:
        store.log.dead_letter("import\x00", "not JSON \ud800", b"\xff{", AT)
        store.log.dead_letter("http", "too large", b"", AT)
        letters = store.log.dead_letters()
        assert [letter["source"] for letter in letters] == ["http", "import\\x00"]
        assert letters[1]["body"] == b"\xff{"
        assert letters[1]["at"] == AT
        assert store.log.counts()["dead_letters"] == 2

    def test_many_ids_at_once(self, store: Store) -> None:
        store.log.append([ask(f"{number}") for number in range(1700)])
        store.log.append([say(f"f{number}", f"{number}") for number in range(1700)])
        ids = [f"{number}" for number in range(1699, -1, -1)]
        assert list(store.log.interactions(ids)) == ids
        assert [feedback.id for feedback in store.log.feedback_of(ids)] == [f"f{number}" for number in range(1700)]

    # --- state ---

    def test_settings(self, store: Store) -> None:
        assert store.state.get("seen", 5) == 5
        store.state.set("seen", {"a": [1, None, "é\x00\ud800"], "limit": 1e400})
        assert store.state.get("seen") == {"a": [1, None, "é\x00\ud800"], "limit": float("inf")}
        store.state.set("seen", {"a": [2]})
        assert store.state.get("seen") == {"a": [2]}

    def test_modes_are_saved_over_their_id_and_keep_their_place(self, store: Store) -> None:
        one = Mode(
            id="m1",
            name="lost cards",
            exemplars=("a",),
            signature={"card": 0.5},
            risk=Risk(severity=1, occurrence=2, detectability=3),
        )
        two = Mode(id="m2", name="fees", cause=Cause(kind="data scarcity", evidence=("few",)), whys=("because",))
        store.state.save_modes([one, two])
        again = Mode(id="m1", name="lost cards", state="fixed", fixed_in="v2")
        store.state.save_modes([again])
        assert store.state.modes() == [again, two]
        three = Mode(id="m3", name="limits")
        store.state.save_modes([three, replace(two, state="in work"), again])
        assert store.state.modes() == [again, replace(two, state="in work"), three]

    def test_the_review_queue_keeps_its_order(self, store: Store) -> None:
        items = [
            ReviewItem(
                id=f"i{number}",
                interaction_id=f"x{number}",
                input={"a": number},
                output="o",
                spin=number % 2,
                suggestions=("p", "q"),
            )
            for number in range(5)
        ]
        assert store.state.add_items(items) == 5
        assert store.state.add_items([ReviewItem(id="i0", interaction_id="other", input=0, output=0), *items]) == 0
        assert store.state.items() == items
        done = ReviewItem(
            id="i2", interaction_id="x2", input={"a": 2}, output="o", status="labelled", label=["l"], by="ana", at=AT
        )
        store.state.save_item(done)
        assert store.state.items(status="labelled") == [done]
        assert [item.id for item in store.state.items()] == ["i0", "i1", "i2", "i3", "i4"]
        assert [item.id for item in store.state.items(status="waiting", spin=1)] == ["i1", "i3"]
        assert store.state.item("i2") == done
        assert store.state.item("nobody") is None

    def test_examples_are_added_once_unless_replaced(self, store: Store) -> None:
        first = Example(id="e", input="x", label="a", at=AT)
        store.state.add_examples([first, Example(id="e2", input="y", label="b")])
        store.state.add_examples([Example(id="e", input="x", label="z")])
        assert store.state.examples()[0] == first
        store.state.add_examples(
            [Example(id="e", input="x", label="z"), Example(id="e3", input=[1.5], label=3)], replace=True
        )
        assert [(example.id, example.label) for example in store.state.examples()] == [
            ("e", "z"),
            ("e2", "b"),
            ("e3", 3),
        ]

    def test_datasets_never_change_and_know_where_they_come_from(self, store: Store) -> None:
        examples = (
            Example(id="e1", input={"a": [1, 2]}, label="x", interaction_id="i1", weight=0.5, group="g", fold=3, at=AT),
            Example(id="e2", input="t", label="y", interaction_id="i2"),
            Example(id="e3", input="t", label="y", origin="seed"),
        )
        first = Dataset(hash="h1", examples=examples, spin=1, created_at=AT, notes={"n": 3})
        second = Dataset(hash="h2", examples=examples[:1], spin=2, parent="h1")
        store.state.save_dataset(first)
        store.state.save_dataset(second)
        store.state.save_dataset(Dataset(hash="h1", examples=()))
        assert store.state.dataset("h1") == first
        assert store.state.dataset("h3") is None
        assert [(d.hash, d.parent, d.examples) for d in store.state.datasets()] == [("h1", None, ()), ("h2", "h1", ())]
        assert store.state.datasets_of("i1") == ["h1", "h2"]
        assert store.state.datasets_of("i2") == ["h1"]
        assert store.state.datasets_of("i3") == []

    def test_spins_steps_candidates_and_releases(self, store: Store) -> None:
        interval = Interval(0.5, 0.4, 0.6, 10)
        spin = Spin(
            number=1,
            state="done",
            step="measure",
            started_at=AT,
            modes=(Mode(id="m", name="n"),),
            observations=(Observation(kind="drift", name="x", line="l"),),
            verdict=Verdict(decision="promote", checks=(Check("superiority", "pass", "fixed 3", {"p": 0.01}),)),
            receipt=Receipt(
                spin=1, decision="promote", before=interval, after=interval, uplift=interval, avoided_per_1000=interval
            ),
            seconds={"sync": 0.5},
        )
        store.state.save_spin(Spin(number=1, state="running", step="sync"))
        store.state.save_spin(spin)
        store.state.save_spin(Spin(number=2, state="waiting", step="label"))
        assert store.state.spin(1) == spin
        assert store.state.spin(3) is None
        assert [s.number for s in store.state.spins()] == [1, 2]
        assert store.state.step(1, "sync") is None
        store.state.save_step(1, "sync", {"upto": 5})
        store.state.save_step(1, "sync", {"upto": 6})
        assert store.state.step(1, "sync") == {"upto": 6}
        further = replace(spin, step="observe", seconds={"sync": 0.25})
        with pytest.raises(TypeError, match="not JSON"):
            store.state.save_step(1, "sync", {"upto": object()}, further)
        assert (store.state.spin(1), store.state.step(1, "sync")) == (spin, {"upto": 6})  # both, or neither
        store.state.save_step(1, "sync", {"upto": 7}, further)
        assert (store.state.spin(1), store.state.step(1, "sync")) == (further, {"upto": 7})
        candidate = Candidate(version="v1", dataset="h", trainer="text", folder="models/v1")
        store.state.save_candidate(candidate, {"answers": {"e": ["x", 0.5]}})
        assert store.state.candidate("v1") == (candidate, {"answers": {"e": ["x", 0.5]}})
        assert store.state.candidate("v2") is None
        store.state.save_release(Release(version="v1", role="champion", folder="f", at=AT))
        store.state.save_release(Release(version="v2", role="champion", folder="f", at=AT, replaced="v1"))
        store.state.save_release(Release(version="v1", role="retired", folder="f", at=AT))
        assert [(r.version, r.role) for r in store.state.releases()] == [("v1", "retired"), ("v2", "champion")]

    def test_numbers_of_numpy_become_plain_numbers(self, store: Store) -> None:
        import numpy as np

        store.state.save_step(1, "gate", {"p": np.float32(0.5), "n": np.int64(3), "v": np.arange(2)})
        assert store.state.step(1, "gate") == {"p": 0.5, "n": 3, "v": [0, 1]}
        with pytest.raises(TypeError, match="not JSON"):
            store.state.set("x", object())

    def test_the_trail_is_ordered_and_can_be_chained_from_many_threads(self, store: Store) -> None:
        store.state.append_trail({"n": 0})
        threads = [
            threading.Thread(target=store.state.append_trail, args=(lambda last: {"n": last["n"] + 1},))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.state.trail() == [{"n": number} for number in range(11)]

    def test_reports_are_found_by_token_and_their_contacts_end(self, store: Store) -> None:
        first, second = Report(id="r1", at=AT, what="é\n1"), Report(id="r2", at=AT, what="2", state="joined")
        store.state.add_report(first, "d1", "ana at the desk")
        store.state.add_report(second, "d2")
        assert store.state.reports() == [first, second]
        assert store.state.reports("joined") == [second]
        assert (store.state.report("r1"), store.state.report("r9")) == (first, None)
        assert (store.state.report_of("d2"), store.state.report_of("r2")) == (second, None)
        assert store.state.contacts() == {"r1": "ana at the desk"}
        fixed = store.state.change_report("r1", lambda old: replace(old, state="fixed"))
        assert store.state.reports("fixed") == [fixed]
        assert store.state.contacts() == {"r1": "ana at the desk"}
        store.state.change_report("r1", lambda old: replace(old, told_at=AT))
        assert store.state.contacts() == {}
        assert store.state.change_report("r9", lambda old: old) is None

    def test_answers_to_a_why_from_many_threads_are_all_kept(self, store: Store) -> None:
        def answer(number: int) -> None:
            why = Why(
                topic=f"t{number}",
                question="why?",
                interval=Interval(0.5, 0.4, 0.6, 9),
                drafted=Why(topic="d", question="?"),
            )
            store.state.change_why(
                "m1", lambda old: replace(old or WhyChain(mode="m1"), whys=(*(old.whys if old else ()), why))
            )

        assert store.state.why("m1") is None
        threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        chain = store.state.why("m1")
        assert chain is not None
        assert {why.topic for why in chain.whys} == {f"t{number}" for number in range(8)}
        assert chain.whys[0].drafted == Why(topic="d", question="?")

    def test_state_from_many_threads_at_once(self, store: Store) -> None:
        problems: list[BaseException] = []

        def run(number: int) -> None:
            try:
                for turn in range(5):
                    store.state.set("same", number)
                    store.state.save_modes([Mode(id=f"m{turn}", name=str(number))])
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems
        assert len(store.state.modes()) == 5

    # --- locks ---

    def test_a_lock_has_one_holder(self, store: Store, address: str, opened: Callable[..., Store]) -> None:
        other = opened(address)
        with store.lock("spin/../x"):
            with pytest.raises(StoreBusy, match="spin"), other.lock("spin/../x"):
                pass
            with pytest.raises(StoreBusy), store.lock("spin/../x", wait=0.1):
                pass
            with other.lock("another"):
                pass
        with other.lock("spin/../x"):
            pass

    @pytest.mark.slow
    def test_a_kill_releases_the_lock(
        self, store: Store, address: str, worker: Callable[..., object], tmp_path: Path
    ) -> None:
        holder = worker("hold", store.folder, address, "spin")
        assert holder.stdout.readline() == b"held\n"  # type: ignore[attr-defined]
        with pytest.raises(StoreBusy), store.lock("spin"):
            pass
        holder.kill()  # type: ignore[attr-defined]
        with store.lock("spin", wait=10):
            pass

    # --- migrations ---

    @pytest.fixture
    def database(self, address: str, tmp_path: Path) -> Iterator[Database]:
        database = open_database(address, tmp_path)
        yield database
        database.close()

    def test_an_older_schema_is_upgraded_with_its_facts(
        self, store: Store, address: str, opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.log.append([ask("a")])
        store.state.save_modes([Mode(id="m", name="n")])

        def add_owner(connection: sa.Connection) -> None:
            connection.execute(sa.text("ALTER TABLE modes ADD COLUMN owner TEXT"))
            connection.execute(sa.text("UPDATE modes SET owner = 'ana'"))

        shipped = migrations_module.MIGRATIONS
        newer = (*shipped, add_owner)
        monkeypatch.setattr(migrations_module.migrate, "__defaults__", (newer,))
        again = opened(address)
        with again._database.read() as connection:
            assert connection.scalar(sa.text("SELECT owner FROM modes")) == "ana"
        assert again.log.interactions(["a"])["a"].input == "hello"
        assert again.state.modes()[0].name == "n"
        opened(address)  # done once: adding the column again would fail
        monkeypatch.undo()
        with pytest.raises(CorruptStore, match=rf"schema {1 + len(newer)}; .* up to {1 + len(shipped)}.* --upgrade"):
            opened(address)

    def test_a_database_without_its_number_is_damaged_not_old(self, store: Store) -> None:
        with store._database.write() as connection:
            connection.execute(sa.text("DELETE FROM schema_version"))
        with pytest.raises(CorruptStore, match=r"schema_version holds nothing.*backup"):
            migrate(store._database)

    def test_a_broken_migration_leaves_the_schema_before_it(self, database: Database) -> None:
        shipped = migrations_module.MIGRATIONS
        newest = migrate(database)
        assert newest == 1 + len(shipped)

        def breaks(connection: sa.Connection) -> None:
            connection.execute(sa.text("ALTER TABLE modes ADD COLUMN owner TEXT"))
            raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            migrate(database, (*shipped, breaks))
        assert migrate(database) == newest
        with database.read() as connection:
            assert "owner" not in {column["name"] for column in sa.inspect(connection).get_columns("modes")}

    def test_the_first_schema_is_brought_to_the_newest(self, database: Database) -> None:
        migrate(database)
        with database.write() as connection:  # back to how the first release laid it out
            for table in ("dead_letters", "counters", "keys", "whys", "reports", "contacts"):
                connection.execute(sa.schema.DropTable(sa.table(table)))
            old = sa.MetaData()
            sa.Table(
                "dead_letters",
                old,
                sa.Column("position", sa.Integer, primary_key=True),
                *(sa.Column(name, kind, nullable=False) for name, kind in (("at", sa.BigInteger), ("source", sa.Text))),
                sa.Column("reason", sa.Text, nullable=False),
                sa.Column("body", sa.LargeBinary, nullable=False),
            )
            old.create_all(connection)
            connection.execute(
                old.tables["dead_letters"].insert(), {"at": 7, "source": "s", "reason": "r", "body": b"{}"}
            )
            connection.execute(sa.text("UPDATE tally SET dead_letters = 1, interactions = 2, duplicates = 3"))
            connection.execute(sa.text("UPDATE schema_version SET number = 1"))
        assert migrate(database) == 1 + len(migrations_module.MIGRATIONS)
        log = Log(database)
        (letter,) = log.dead_letters()
        assert (letter["source"], letter["kind"], letter["body"]) == ("s", "draft", b"{}")
        books = log.books()
        assert books["received"] == 6
        assert books["received"] == sum(books[n] for n in ("stored", "duplicates", "rejected", "dead_lettered"))
        assert log.dead_letter("s2", "r", b"x", AT)


class TestOnSqlite(StorePromises):
    kind = "sqlite"

    def test_it_syncs_every_commit_and_wipes_what_is_deleted(self, store: Store) -> None:
        with store._database.read() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "secure_delete", "busy_timeout")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "busy_timeout": 30000}


class TestOnPostgresql(StorePromises):
    kind = "postgresql"

    def test_it_waits_for_the_disk_whatever_the_server_says(self, store: Store) -> None:
        with store._database.read() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
