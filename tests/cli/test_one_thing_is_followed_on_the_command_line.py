"""`flywheel interaction`, `datasets --made-of` and `lineage VERSION`: as JSON, and harmless on the screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flywheel import wheel


def test_one_interaction_and_one_dataset_are_followed(
    run: Callable[..., Any], answer: Callable[..., Any], made: Path
) -> None:
    with wheel.open(made) as fw:
        id = fw.failures(1)[0].interaction_id
        hash = fw.datasets()[-1].hash
    told = answer("interaction", id, "--near", "3", "--folder", made)
    assert told["interaction"]["id"] == id
    assert told["belief"]["evidence"]
    assert 1 <= len(told["neighbours"]["found"]) <= 3
    assert told["replays"][0]["role"] == "champion now"
    screen = run("interaction", id, "--folder", made).stdout
    assert "Wrong with a probability of" in screen
    assert "Most alike" in screen
    assert "\x1b" not in screen
    assert "\u202e" not in screen
    made_of = answer("datasets", hash[:12], "--made-of", "--folder", made)
    assert made_of["sources"][0]["origin"] == "seed"
    assert {one["kind"] for one in made_of["balance"]} == {"label"}  # a seed has no context
    assert "Where its labels come from" in run("datasets", hash[:12], "--made-of", "--folder", made).stdout
    assert "Name it" in answer("datasets", "--made-of", "--folder", made, code=1)["error"]["message"]
    assert answer("lineage", "v1", "--folder", made)["datasets"] == [hash]
