"""A user is erased while four threads log others, a process syncs, and a reader reads: nobody else loses a record."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

import flywheel
from flywheel.config import Config, StoreSettings
from flywheel.errors import Retryable
from flywheel.store import Store

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nobody_else_loses_a_record(kind, tmp_path, new_url):
    folder, url = tmp_path / "bot", new_url(kind)
    with flywheel.open(folder, store={"url": url}, release={"registry": "folder"}) as fw:
        for n in range(300):
            i = fw.log(input=f"q{n}", user=f"user-name-{n % 3}", at=AT)
            fw.feedback(i, rating=-1)
        fw.metrics("day")
        over, acknowledged, troubles = threading.Event(), [], []

        def write(thread):
            number = 0
            while not over.is_set():
                key = f"new-{thread}-{number}"
                try:
                    fw.log(id=key, input="q", user=f"user-name-{1 + number % 2}", at=AT)
                except Retryable:
                    continue
                acknowledged.append(key)
                number += 1

        def sync():
            store = Store.open(folder, Config(store=StoreSettings(url=url)))
            while not over.is_set():
                try:
                    store.tables.sync(store.log)
                except Retryable as problem:
                    troubles.append(problem)
            store.close()

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)] + [threading.Thread(target=sync)]
        for thread in threads:
            thread.start()
        try:
            receipt = fw.erase("user-name-0")
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert receipt["clean"], receipt["search"]["left"]
        assert receipt["erased"]["interactions"] == 100
        there = {row.id for row in fw._store.log.read(0, limit=1_000_000) if row.kind == "interaction"}
        assert set(acknowledged) <= there
        assert len(there) == 200 + len(acknowledged)
        fw._store.tables.sync(fw._store.log)
        rows = fw._store.tables.snapshot().interactions.id.to_pyarrow().to_pylist()
        assert sorted(rows) == sorted(there)
        books = fw.books()
        assert books["received"] == books["stored"] == len(there) + fw.status()["feedback"]
        assert acknowledged
        assert not troubles
