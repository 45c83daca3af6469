"""A snapshot keeps the rows it began with, whatever arrives or is compacted meanwhile."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel.records import Feedback, Interaction
from flywheel.store import Store
from flywheel.store import tables as tables_module

AT = datetime(2026, 1, 1, tzinfo=UTC)


def add(store: Store, start: int, stop: int) -> None:
    for number in range(start, stop):
        store.log.append(
            [
                Interaction(id=f"i{number}", at=AT, input=f"q{number}", context={f"k{number % 5}": number}),
                Feedback(id=f"f{number}", interaction_id=f"i{number}", at=AT, kind="label", value="x"),
            ]
        )
    store.tables.sync(store.log)


def files(store: Store) -> list[Path]:
    return sorted((store.folder / "tables").rglob("interactions/*.parquet"))


@pytest.mark.slow
def test_it_is_pinned_while_data_arrives_and_compaction_runs(opened: Callable[..., Store]) -> None:
    store = opened()
    for start in range(0, 40, 4):
        add(store, start, start + 4)
    pinned = store.tables.snapshot()
    before = pinned.interactions.order_by("seq").to_pyarrow()
    add(store, 40, 50)
    assert len(files(store)) == 11
    store.tables.compact()
    assert len(files(store)) == 12  # the old files stay for those who read them
    assert pinned.interactions.order_by("seq").to_pyarrow() == before
    assert pinned.feedback.count().execute() == 40
    newer = store.tables.snapshot()
    assert newer.interactions.order_by("seq").to_pyarrow().slice(0, 40).to_pylist() == before.to_pylist()
    assert newer.count() == 50
    again = store.tables.snapshot(upto=pinned.seq)
    assert again.interactions.order_by("seq").to_pyarrow().to_pylist() == before.to_pylist()
    assert again.feedback.count().execute() == 40
    store.tables.rebuild(store.log)
    assert pinned.interactions.order_by("seq").to_pyarrow() == before


def test_old_files_go_when_their_time_has_come(opened: Callable[..., Store]) -> None:
    store = opened(keep_old_files_hours=0.0)
    for start in range(0, 20, 4):
        add(store, start, start + 4)
    orphan = files(store)[0].with_name("part-of-a-killed-write.parquet")
    orphan.write_bytes(b"half a file")
    assert len(files(store)) == 6
    store.tables.compact()
    assert len(files(store)) == 1
    assert store.tables.snapshot().count() == 20


@pytest.mark.slow
def test_sync_compacts_by_itself(opened: Callable[..., Store]) -> None:
    store = opened(keep_old_files_hours=0.0)
    for number in range(tables_module._MANY + 3):
        add(store, number, number + 1)
    assert len(files(store)) < 6
    snapshot = store.tables.snapshot()
    assert snapshot.interactions.order_by("seq").id.to_pyarrow().to_pylist() == [f"i{n}" for n in range(35)]
    assert snapshot.feedback.count().execute() == 35
    assert store.tables.sync(store.log) == 0


def test_a_window_has_its_interactions_and_all_feedback(opened: Callable[..., Store]) -> None:
    store = opened()
    add(store, 0, 20)  # interactions have the odd numbers 1, 3 …, their feedback the even ones
    snapshot = store.tables.snapshot()
    window = snapshot.window(10, 20)
    assert window.interactions.order_by("seq").seq.to_pyarrow().to_pylist() == [11, 13, 15, 17, 19]
    assert window.count() == 5
    assert window.seq == 40
    assert window.feedback.count().execute() == 20
    assert snapshot.window(0, 10).window(4, 100).count() == 3
    joined = window.interactions.join(snapshot.window(0, 12).interactions, "id")
    assert joined.count().execute() == 1  # two windows can be used in one expression


def test_fetch_gives_whole_records_in_the_order_asked(opened: Callable[..., Store]) -> None:
    store = opened()
    add(store, 0, 5)
    snapshot = store.tables.snapshot()
    add(store, 5, 6)
    found = snapshot.window(4, 6).fetch(["i3", "nobody", "i0", "i3", "i5"])
    assert [one.id for one in found] == ["i3", "i0", "i3"]  # i5 came after the snapshot
    assert found[0].context == {"k3": 3}


def test_each_thread_reads_on_its_own(opened: Callable[..., Store]) -> None:
    store = opened()
    add(store, 0, 30)
    snapshot = store.tables.snapshot()
    wrong: list[Any] = []

    def read(upto: int) -> None:
        try:
            for _ in range(5):
                table = snapshot.interactions.filter(lambda t: t.seq <= 2 * upto).cache()
                if table.count().execute() != upto:
                    wrong.append(upto)
        except BaseException as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=read, args=(5 * number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_held_says_the_same_as_the_files_and_is_given_up(opened: Callable[..., Store]) -> None:
    store = opened()
    add(store, 0, 12)
    gone = Feedback(id="w3", interaction_id="i3", at=AT, kind="withdrawal", value="f3")
    store.log.append([gone])
    store.tables.sync(store.log)
    snapshot = store.tables.snapshot()
    held = snapshot.window(4, 20).held()
    add(store, 12, 15)

    for after, upto in ((4, 20), (6, 15), (0, 99)):
        plain, same = snapshot.window(4, 20).window(after, upto), held.window(after, upto)
        assert same.bounds == plain.bounds
        assert 0 < same.count() == plain.count() < 12
        for name in ("interactions", "feedback", "said"):
            rows = [getattr(one, name).order_by("seq").to_pyarrow().to_pylist() for one in (plain, same)]
            assert rows[0] == rows[1], name
    assert held.feedback.count().execute() == 11  # the one that was taken back is not there
    connection = held.interactions.get_backend()
    assert any(name.startswith("held_") for name in connection.list_tables())
    del plain, same, held
    gc.collect()
    assert not any(name.startswith("held_") for name in connection.list_tables())


def test_a_window_before_any_feedback_can_be_held(opened: Callable[..., Store]) -> None:
    store = opened()
    store.log.append([Interaction(id="a", at=AT, input="q")])
    store.tables.sync(store.log)
    held = store.tables.snapshot().held()
    both = held.interactions.left_join(held.feedback, [("id", "interaction_id")])
    assert both.count().execute() == 1
