"""Four writers, two syncers and a reader on one folder at once: nothing is lost, doubled or out of order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.store import Store

_EACH = 150


@pytest.mark.fault
@pytest.mark.slow
def test_writers_syncers_and_a_reader_agree(
    url: str, tmp_path: Path, worker: Callable[..., object], opened: Callable[..., Store]
) -> None:
    folder = tmp_path / "wheel"
    # No process has opened the folder before: laying out the database is raced for too.
    total = 4 * _EACH * 2 + _EACH  # own interactions and feedback of each writer, and those that all four send
    writers = [worker("write", folder, url, f"w{name}", _EACH) for name in range(4)]
    syncers = [worker("sync-until", folder, url, total) for _ in range(2)]
    reader = worker("read-until", folder, url, total)
    said = [process.communicate(timeout=180)[0].decode().split() for process in [*writers, *syncers, reader]]  # type: ignore[attr-defined]

    assert sum(int(stored) for stored, _ in said[:4]) == total
    assert sum(int(duplicates) for _, duplicates in said[:4]) == 3 * _EACH
    assert sum(int(added) for (added,) in said[4:6]) == total  # each fact was added by exactly one syncer
    assert said[6] == [str(total)]

    store = opened(url, folder)
    assert store.log.counts() == {
        "interactions": 5 * _EACH,
        "feedback": 4 * _EACH,
        "duplicates": 3 * _EACH,
        "conflicts": 0,
        "dead_letters": 0,
    }
    assert store.tables.sync(store.log) == 0
    snapshot = store.tables.snapshot()
    ids = snapshot.interactions.id.to_pyarrow().to_pylist()
    assert sorted(ids) == sorted(
        [f"w{name}-{n}" for name in range(4) for n in range(_EACH)] + [f"shared-{n}" for n in range(_EACH)]
    )
    about = snapshot.feedback.interaction_id.to_pyarrow().to_pylist()
    assert sorted(about) == sorted(f"w{name}-{n}" for name in range(4) for n in range(_EACH))
    seqs = snapshot.interactions.seq.to_pyarrow().to_pylist() + snapshot.feedback.seq.to_pyarrow().to_pylist()
    assert sorted(seqs) == list(range(1, total + 1))
