"""What the tests run in processes of their own, to be killed or to be many."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flywheel.config import Config, StoreSettings
from flywheel.records import Feedback, Interaction
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # one system call: what was said before a kill is not lost


def record(key: str) -> Interaction:
    return Interaction(id=key, at=AT, input=f"question {key}", output="a", context={"n": len(key)})


def write_until_killed(store: Store, name: str) -> None:
    """Four threads append batches of 1 to 4 for ever, and say each id once it is acknowledged."""

    def append(thread: int) -> None:
        number = 0
        while True:
            ids = [f"{name}-{thread}-{number + i}" for i in range(1 + number % 4)]
            number += len(ids)
            facts: list[Interaction | Feedback] = [record(key) for key in ids]
            store.log.append(facts)
            say(" ".join(ids))

    for thread in range(4):
        threading.Thread(target=append, args=(thread,), daemon=True).start()
    threading.Event().wait()


def write(store: Store, name: str, count: str) -> None:
    """Append `count` interactions of this writer's own and as many that every writer sends."""
    stored = duplicates = 0
    for number in range(int(count)):
        own = [record(f"{name}-{number}"), record(f"shared-{number}")]
        said = [Feedback(id=f"f-{name}-{number}", interaction_id=own[0].id, at=AT, kind="rating", value=-1)]
        done = store.log.append([*own, *said])
        stored, duplicates = stored + done.stored, duplicates + done.duplicates
    say(f"{stored} {duplicates}")


def sync_until(store: Store, total: str) -> None:
    """Sync until the tables hold `total` facts; say how many this process added."""
    added, until = 0, time.monotonic() + 120
    while store.tables.snapshot().seq < int(total) and time.monotonic() < until:
        added += store.tables.sync(store.log)
    say(str(added))


def read_until(store: Store, total: str) -> None:
    """Follow the log until `total` facts; every number must come once and in order."""
    last, until = 0, time.monotonic() + 120
    while last < int(total) and time.monotonic() < until:
        for row in store.log.read(last, 500):
            if row.seq != last + 1:
                say(f"expected {last + 1}, got {row.seq}")
                return
            last = row.seq
    say(str(last))


def sync_and_die(store: Store, writes: str, when: str) -> None:
    """Sync, and be killed right before or after the n-th write to Delta."""
    from flywheel.store import tables

    original, left = tables.write_deltalake, [int(writes)]

    def deadly(*arguments: object, **options: object) -> None:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments, **options)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    tables.write_deltalake = deadly
    tables._CHUNK_ROWS = 100
    store.tables.sync(store.log)


def rebuild_and_die(store: Store, writes: str) -> None:
    """Rebuild, and be killed right after the n-th write to Delta."""
    from flywheel.store import tables

    original, left = tables.write_deltalake, [int(writes)]

    def deadly(*arguments: object, **options: object) -> None:
        original(*arguments, **options)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    tables.write_deltalake = deadly
    tables._CHUNK_ROWS = 100
    store.tables.rebuild(store.log)


def sync_for_ever(store: Store) -> None:
    """Say hello, then sync and compact until killed."""
    say("ready")
    while True:
        store.tables.sync(store.log)
        store.tables.compact()


def hold(store: Store, name: str) -> None:
    """Hold a lock until killed."""
    with store.lock(name, wait=10):
        say("held")
        threading.Event().wait()


if __name__ == "__main__":
    job, folder, database, *rest = sys.argv[1:]
    jobs: dict[str, Callable[..., None]] = {
        "write-until-killed": write_until_killed,
        "write": write,
        "sync-until": sync_until,
        "read-until": read_until,
        "sync-and-die": sync_and_die,
        "rebuild-and-die": rebuild_and_die,
        "sync-for-ever": sync_for_ever,
        "hold": hold,
    }
    opened = Store.open(Path(folder), Config(store=StoreSettings(url=database)))
    jobs[job](opened, *rest)
    opened.close()
