"""A small FlywheelBench: two short spins of every arm on real images, the product among them."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="needs FLYWHEEL_DATA")]


@pytest.fixture(scope="module")
def table():
    from flywheelbench.habits import Shared
    from flywheelbench.referee import Referee
    from flywheelbench.streams import STREAMS

    world = STREAMS["images"](0)
    world = replace(world, spins=[spin[:120] for spin in world.spins[:3]], weights=world.weights[:3])
    return world, Shared(world, 0), Referee(world)


def test_every_habit_plays_and_keeps_its_budget(table):
    from flywheelbench.habits import HABITS
    from flywheelbench.play import play

    world, shared, referee = table
    found = {arm: play(world, arm, 100, shared, referee) for arm in HABITS}
    assert {row["live"][0] for row in found.values()} == {found["frozen"]["live"][0]}, "all begin with one model"
    assert found["frozen"]["labels"] == 0
    assert found["oracle"]["labels"] == 360
    assert all(row["labels"] <= 36 for arm, row in found.items() if arm != "oracle")
    assert found["oracle"]["final"] > found["frozen"]["final"]
    whole, parts = found["margin"], found["margin in three rounds"]
    assert parts["labels"] == whole["labels"] == 36
    assert parts["live"][1:] != whole["live"][1:], "what was answered changes what is asked"
    again = play(world, "badge", 100, shared, referee)
    assert again["live"] == found["badge"]["live"]
    assert again["sealed"] == found["badge"]["sealed"]


def test_the_product_plays_within_its_budget_and_the_same_again(table):
    from flywheelbench.play import play

    world, shared, referee = table
    row = play(world, "flywheel", 100, shared, referee)
    assert row["labels"] <= 36
    assert len(row["live"]) == len(row["sealed"]) == 3
    assert row["live"][0] == play(world, "frozen", 100, shared, referee)["live"][0]
    again = play(world, "flywheel", 100, shared, referee)
    assert (again["live"], again["sealed"], again["trials"]) == (row["live"], row["sealed"], row["trials"])
    bare = play(world, "flywheel without gate", 100, shared, referee)
    assert bare["promoted"] == bare["candidates"]


def test_a_rehearsal_begins_like_every_arm_keeps_its_budget_and_says_the_same_again(table, monkeypatch):
    from flywheelbench import rehearse as rehearsal
    from flywheelbench.play import play

    world, shared, referee = table
    margin = play(world, "margin", 100, shared, referee)["live"]
    assert rehearsal.rehearse(world, shared, margin=True).live.tolist() == pytest.approx(margin, abs=5e-5), "the habit"
    asked, select = [], rehearsal._Window.select
    monkeypatch.setattr(
        rehearsal._Window, "select", lambda *given: asked.append(select(*given)) or asked[-1], raising=True
    )
    whole, parts = (rehearsal.rehearse(world, shared, rounds=rounds, budget=600).live for rounds in (1, 2))
    for part in (asked[:3], asked[3:]):
        bought = [one for some in part for one in some]
        assert len({i for i, _ in bought}) == len(bought) == 3 * 72, "every label is another request"
        assert sum(audit for _, audit in bought) == 3 * 15
    assert len(asked) == 3 + 6
    assert whole[0] == parts[0] == pytest.approx(margin[0], abs=5e-5)
    assert rehearsal.rehearse(world, shared, budget=600).live.tolist() == whole.tolist()
    assert parts.tolist() != whole.tolist()
    asked.clear()
    wary = rehearsal.rehearse(world, shared, budget=600, disagreements=0.25)
    assert sum(map(len, asked)) == 3 * (72 - 18), "what is kept for disagreements is not asked before"
    assert wary.live.tolist() != whole.tolist()
    assert rehearsal.rehearse(world, shared, budget=600).kept_back == 0, "without such labels all are shipped"
    with pytest.raises(ValueError, match="come late"):
        rehearsal.rehearse(replace(world, late=True), shared)
