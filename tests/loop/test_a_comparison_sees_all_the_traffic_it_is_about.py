"""A comparison over labelled spins that lie far back counts their traffic too."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel import wheel
from flywheel.loop.turn import RECENT, Turn


@pytest.mark.slow
def test_a_window_that_begins_before_the_recent_spins_is_read_whole(tmp_path: Path) -> None:
    with wheel.open(tmp_path, task="classification") as fw:
        fw.seed(["a b", "c d", "a e", "c f"] * 5, ["x", "y"] * 10)
        for spin in range(RECENT + 3):
            fw.log_many([{"input": f"a {spin} {n}", "output": "x"} for n in range(10)])
            fw.spin(budget=0)
        spins = fw.spins()
        edges = [fw._store.state.step(one.number, "sync") for one in (spins[0], spins[-1])]
        work = Turn(fw._workshop([], None), spins[-1], datetime.now(UTC))
        work.docs["sync"] = {"after": edges[0]["after"], "upto": edges[1]["upto"]}
        assert work.window.count() == 10 * len(spins)
