"""What `append` has acknowledged is there after a SIGKILL, once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.store import Store

_KILLS = int(os.environ.get("FLYWHEEL_FAULT_KILLS", "20"))


@pytest.mark.fault
@pytest.mark.slow
def test_every_acknowledged_record_survives_a_kill_once(
    url: str, tmp_path: Path, worker: Callable[..., object], opened: Callable[..., Store]
) -> None:
    chance = random.Random(11)
    folder = tmp_path / "wheel"
    store = opened(url, folder)
    acknowledged: list[str] = []
    for kill in range(_KILLS):
        writer = worker("write-until-killed", folder, url, f"k{kill}")
        first = writer.stdout.readline()  # type: ignore[attr-defined]
        time.sleep(chance.random() * 0.25)
        writer.kill()  # type: ignore[attr-defined]
        said = first + writer.stdout.read()  # type: ignore[attr-defined]
        acknowledged += said.decode().split()
        writer.wait()  # type: ignore[attr-defined]
    assert len(acknowledged) > 10 * _KILLS
    assert max(Counter(acknowledged).values()) == 1

    # A server may still be ending the last transaction of a client that was killed.
    time.sleep(0.5)
    last = store.log.last()
    rows = [row for after in range(0, last, 10_000) for row in store.log.read(after)]
    stored = Counter(row.id for row in rows)
    assert not set(acknowledged) - set(stored)
    assert max(stored.values()) == 1
    assert [row.seq for row in rows] == list(range(1, last + 1))
    assert store.log.counts()["interactions"] == last
    assert store.tables.sync(store.log) == last
    ids = store.tables.snapshot().interactions.id.to_pyarrow().to_pylist()
    assert Counter(ids) == stored
