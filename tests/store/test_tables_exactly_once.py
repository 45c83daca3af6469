"""The tables hold every fact of the log exactly once: bit by bit, after a kill, after a rebuild."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from flywheel.errors import CorruptStore, InvalidConfig
from flywheel.records import Feedback, Interaction
from flywheel.store import Store
from flywheel.store import tables as tables_module

AT = datetime(2026, 1, 1, tzinfo=UTC)


def facts(start: int, stop: int) -> list[Interaction | Feedback]:
    found: list[Interaction | Feedback] = []
    for number in range(start, stop):
        context: dict[str, Any] = {"n": number, f"late{number // 100}": "x"}
        if number % 7 == 0:
            context["n"] = str(number)
        found.append(
            Interaction(id=f"i{number}", at=AT + timedelta(seconds=number), input=f"q {number}", context=context)
        )
        if number % 3 == 0:
            found.append(Feedback(id=f"f{number}", interaction_id=f"i{number}", at=AT, kind="rating", value=-1))
    return found


def content(store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    snapshot = store.tables.snapshot()
    return (
        snapshot.interactions.order_by("seq").to_pyarrow().to_pylist(),
        snapshot.feedback.order_by("seq").to_pyarrow().to_pylist(),
    )


def assert_whole(store: Store) -> None:
    interactions, feedback = content(store)
    rows = store.log.read(0, 1_000_000)
    assert [(r["seq"], r["id"]) for r in interactions] == [
        (row.seq, row.id) for row in rows if row.kind == "interaction"
    ]
    assert [(r["seq"], r["id"]) for r in feedback] == [(row.seq, row.id) for row in rows if row.kind == "feedback"]


def test_an_empty_store_has_empty_tables_with_columns(opened: Callable[..., Store]) -> None:
    store = opened()
    for _ in range(2):
        snapshot = store.tables.snapshot()
        assert (snapshot.seq, snapshot.count()) == (0, 0)
        assert snapshot.feedback.count().execute() == 0
        assert "input_vector" in snapshot.interactions.columns
        assert store.tables.conflicts() == {}
        assert store.tables.sync(store.log) == 0


def test_sync_adds_what_is_new_once(opened: Callable[..., Store], url: str) -> None:
    store = opened(url)
    for start in range(0, 60, 20):
        new = facts(start, start + 20)
        store.log.append(new)
        assert store.tables.sync(store.log) == len(new)
        assert store.tables.sync(store.log) == 0
        assert_whole(store)
    assert store.tables.snapshot().seq == store.log.last()


def test_progress_reaches_the_end(opened: Callable[..., Store]) -> None:
    store = opened()
    store.log.append(facts(0, 10))
    seen: list[tuple[str, float]] = []
    store.tables.sync(store.log, lambda step, share: seen.append((step, share)))
    assert seen[-1] == ("sync", 1.0)


def test_a_log_of_one_kind_is_not_read_again_for_the_other(opened: Callable[..., Store]) -> None:
    store = opened()
    store.log.append([fact for fact in facts(0, 10) if isinstance(fact, Interaction)])
    store.tables.sync(store.log)
    assert store.tables.snapshot().seq == 10  # the feedback table, too, says that it has seen them all


@pytest.mark.slow
def test_rebuilding_gives_what_filling_bit_by_bit_gave(
    opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    for start in range(0, 400, 40):
        store.log.append(facts(start, start + 40))
        store.tables.sync(store.log)
    before, conflicts = content(store), store.tables.conflicts()
    assert conflicts == {"context.n": 342}  # "0", the first value in log order, is text, so every number is beside it
    monkeypatch.setattr(tables_module, "_CHUNK_ROWS", 77)
    assert store.tables.rebuild(store.log) == store.log.last()
    assert content(store) == before
    assert list(store.tables.snapshot().interactions.columns) == list(before[0][0])
    assert store.tables.conflicts() == conflicts


@pytest.mark.fault
@pytest.mark.slow
def test_a_syncer_killed_around_its_write_neither_loses_nor_doubles(
    opened: Callable[..., Store], worker: Callable[..., Any], tmp_path: Path
) -> None:
    store = opened()
    store.log.append(facts(0, 300))
    for writes, when in [(1, "before"), (1, "after"), (2, "after"), (1, "after")]:
        process = worker("sync-and-die", store.folder, "", writes, when)
        assert process.wait(60) == -9
    already = store.tables.snapshot().interactions.count().execute()
    interactions = sum(isinstance(fact, Interaction) for fact in facts(0, 300))
    assert 0 < already < interactions
    store.tables.sync(store.log)
    assert_whole(store)


@pytest.mark.fault
@pytest.mark.slow
def test_a_syncer_killed_at_any_moment_neither_loses_nor_doubles(
    opened: Callable[..., Store], worker: Callable[..., Any], url: str
) -> None:
    chance = random.Random(3)
    store = opened(url)
    for kill in range(int(os.environ.get("FLYWHEEL_FAULT_KILLS", "20")) // 4 + 1):
        process = worker("sync-for-ever", store.folder, url)
        process.stdout.readline()
        until = time.monotonic() + 0.1 + chance.random() * 0.5
        number = 0
        while time.monotonic() < until:
            start = kill * 100_000 + number * 10
            store.log.append(facts(start, start + 10))
            number += 1
        process.kill()
        process.wait()
    store.tables.sync(store.log)
    assert_whole(store)


@pytest.mark.fault
@pytest.mark.slow
def test_a_rebuild_that_is_killed_leaves_the_old_tables_and_the_next_one_works(
    opened: Callable[..., Store], worker: Callable[..., Any]
) -> None:
    store = opened(keep_old_files_hours=0.0)
    store.log.append(facts(0, 300))
    store.tables.sync(store.log)
    before = content(store)
    for writes in (1, 3):
        assert worker("rebuild-and-die", store.folder, "", writes).wait(60) == -9
        assert content(store) == before
    assert store.tables.sync(store.log) == 0
    assert store.tables.rebuild(store.log) == store.log.last()
    assert content(store) == before
    # Nothing of the killed ones, nor of the tables before them, is left lying about.
    assert len([folder for folder in (store.folder / "tables").iterdir() if any(folder.iterdir())]) == 1


@pytest.mark.slow
def test_tables_that_were_deleted_or_damaged_are_mended_from_the_log(opened: Callable[..., Store]) -> None:
    import shutil

    store = opened()
    store.log.append(facts(0, 30))
    store.tables.sync(store.log)
    before = content(store)
    shutil.rmtree(store.folder / "tables")
    assert store.tables.sync(store.log) == store.log.last()
    assert content(store) == before
    for log_file in (store.folder / "tables").rglob("*0.json"):
        log_file.write_text("{not json")
    with pytest.raises(CorruptStore, match="flywheel rebuild"):
        store.tables.snapshot()
    store.tables.rebuild(store.log)
    assert content(store) == before


def test_tables_ahead_of_the_log_are_refused(opened: Callable[..., Store], tmp_path: Path) -> None:
    import shutil

    store = opened(folder=tmp_path / "one")
    store.log.append(facts(0, 30))
    store.tables.sync(store.log)
    other = opened(folder=tmp_path / "other")
    other.log.append(facts(0, 3))
    shutil.copytree(store.folder / "tables", other.folder / "tables")
    with pytest.raises(CorruptStore, match="flywheel rebuild"):
        other.tables.sync(other.log)
    other.tables.rebuild(other.log)
    assert_whole(other)


def test_two_fills_that_race_without_the_lock_are_still_exactly_once(
    opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rival = opened(), opened()
    store.log.append(facts(0, 30))
    store.tables.sync(store.log)
    store.log.append(facts(30, 60))
    original = tables_module.write_deltalake
    raced: list[int] = []

    def race(*arguments: Any, **options: Any) -> None:
        if not raced:
            raced.append(1)
            # The rival's lock was lost, as when its database connection broke: it fills at the same time.
            rival.tables._fill(1, rival.log, None)
        original(*arguments, **options)

    monkeypatch.setattr(tables_module, "write_deltalake", race)
    assert store.tables.sync(store.log) == 0  # the rival had added everything
    assert raced
    assert_whole(store)


def test_tables_at_an_object_store_url(opened: Callable[..., Store], tmp_path: Path) -> None:
    store = opened(tables=(tmp_path / "bucket").as_uri() + "/prefix/")
    for start in (0, 30):
        store.log.append(facts(start, start + 30))
        store.tables.sync(store.log)
    assert_whole(store)
    assert store.tables.snapshot().interactions.input_text.count().execute() == 60
    store.tables.compact()
    store.tables.rebuild(store.log)
    assert_whole(store)
    assert DeltaTable.is_deltatable(str(tmp_path / "bucket" / "prefix" / "2" / "interactions"))
    assert not (store.folder / "tables").exists()


@pytest.mark.parametrize("name", ["my wheel", "wheel*?", "rad é 100%"])
def test_any_folder_name_works(opened: Callable[..., Store], tmp_path: Path, name: str) -> None:
    store = opened(folder=tmp_path / name)
    store.log.append(facts(0, 5))
    store.tables.sync(store.log)
    assert_whole(store)


@pytest.mark.parametrize("name", ["a[1]", "a%20b"])
def test_a_folder_that_delta_cannot_open_is_refused_clearly(
    opened: Callable[..., Store], tmp_path: Path, name: str
) -> None:
    store = opened(folder=tmp_path / name)
    with pytest.raises(InvalidConfig, match="Rename"):
        store.tables.sync(store.log)


def test_an_unknown_engine_or_url_is_refused_clearly(opened: Callable[..., Store]) -> None:
    with pytest.raises(InvalidConfig, match="'duckdb' or 'spark'"):
        opened(engine="dukdb").tables.snapshot()
    with pytest.raises(InvalidConfig, match="mysql"):
        opened("mysql://x@y/z")
    with pytest.raises(InvalidConfig, match="not a database URL"):
        opened("nonsense")
