"""Every arm may train for the same processor seconds a spin, and rows tell what it used."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from flywheelbench.compute import CapSpent, Meter, metered
from flywheelbench.run import NAMES, append_row, read_rows

BEFORE = tuple(name for name in NAMES if name not in ("train_cpu", "train_cpu_most", "capped"))


class _Learner:
    """Burns processor time; its cross-fit is made of fits."""

    def fit(self, seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return "model"

    def crossfit(self, seconds):
        return [self.fit(seconds), self.fit(seconds)]


def test_a_call_within_a_call_counts_once_and_only_within_a_spin():
    meter = Meter(cap=10.0)
    with metered(_Learner, meter):
        _Learner().fit(0.02)
        assert meter.spins == []
        meter.begins()
        assert _Learner().crossfit(0.02) == ["model", "model"]
        meter.begins()
        time.sleep(0.05)
        assert _Learner().fit(0.01) == "model"
    assert 0.04 <= meter.spins[0] < 0.08
    assert 0.01 <= meter.spins[1] < 0.05
    used = list(meter.spins)
    _Learner().fit(0.01)
    assert meter.spins == used, "the learner is left as it was found"


def test_once_the_cap_is_spent_the_next_training_is_refused_until_the_next_spin():
    meter = Meter(cap=0.02)
    with metered(_Learner, meter):
        meter.begins()
        _Learner().fit(0.03)
        for _ in range(2):
            with pytest.raises(CapSpent):
                _Learner().fit(0.01)
        meter.begins()
        _Learner().fit(0.001)
        assert _Learner().fit(0.001) == "model"
    row = meter.row()
    assert row["capped"] == 1
    assert row["train_cpu_most"] >= 0.03 > row["train_cpu"]


def test_rows_from_before_stay_readable_beside_new_ones(tmp_path):
    from flywheelbench.report import means

    path = tmp_path / "rows.csv"
    old = {"stream": "images", "seed": 5, "arm": "random", "budget": 100, "preq": 0.5, "live": [0.25, 0.75], "cpu": 3.0}
    append_row(path, old, BEFORE)
    first = path.read_text()
    new = {**old, "seed": 6, "preq": 0.7, "train_cpu": 1.5, "train_cpu_most": 2.0, "capped": 1}
    append_row(path, new, NAMES)
    append_row(path, {**new, "seed": 7}, NAMES)
    append_row(path, {**old, "seed": 8}, BEFORE)  # an older version beside a newer file loses nothing either
    rows = read_rows(path)
    assert [row["seed"] for row in rows] == [5, 6, 7, 8]
    assert [row["train_cpu"] for row in rows] == [None, 1.5, 1.5, None]
    assert all(row["live"] == [0.25, 0.75] and row["cpu"] == 3.0 for row in rows)
    append_row(tmp_path / "again.csv", old, BEFORE)
    assert (tmp_path / "again.csv").read_text() == first
    by_key = {(row["stream"], row["seed"], row["arm"], row["budget"]): row for row in rows}
    found = means(by_key, "random", "images", ("preq", "train_cpu", "capped"))
    assert found == pytest.approx({"preq": 0.6, "train_cpu": 1.5, "capped": 1.0})


@pytest.mark.slow
@pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="needs FLYWHEEL_DATA")
@pytest.mark.parametrize("arm", ["margin + gate", "flywheel"])
def test_an_arm_without_seconds_keeps_its_model_and_its_labels(arm):
    from flywheelbench.habits import Shared
    from flywheelbench.play import play
    from flywheelbench.referee import Referee
    from flywheelbench.streams import STREAMS

    world = STREAMS["images"](0)
    world = replace(world, spins=[spin[:120] for spin in world.spins[:2]], weights=world.weights[:2])
    shared, referee = Shared(world, 0), Referee(world)
    frozen = play(world, "frozen", 100, shared, referee)
    stopped = play(world, arm, 100, shared, referee, cap=0.0)
    assert (stopped["live"], stopped["sealed"]) == (frozen["live"], frozen["sealed"])
    assert (stopped["capped"], stopped["train_cpu"], stopped["promoted"]) == (2, 0.0, 0)
    assert stopped["labels"] > 0
    free = play(world, arm, 100, shared, referee)
    assert (free["capped"], free["candidates"]) == (0, 2)
    assert 0 < free["train_cpu"] <= free["train_cpu_most"] < 60
