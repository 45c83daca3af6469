"""Every part that FlywheelBench takes out is a setting there is, and one that the arm has on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from flywheelbench.product import ABLATIONS, WAYS

from flywheel import config

BY_OTHER_MEANS = {
    "gate",
    "replay buffer",
    "slices",
}  # shipped whatever the verdict; one budget kept; the world's own keys


def settings(*choices):
    whole: dict = {}
    for choice in choices:
        for room, values in choice.items():
            whole[room] = {**whole.get(room, {}), **values}
    return whole


@pytest.mark.parametrize("part", sorted(set(ABLATIONS) - BY_OTHER_MEANS))
def test_the_settings_differ_from_those_of_the_arm(part, tmp_path):
    arm = WAYS["flywheel"]
    assert config.load(tmp_path, **settings(arm, ABLATIONS[part])) != config.load(tmp_path, **arm)


def test_in_one_round_it_is_the_product_as_it_is_installed(tmp_path):
    taken_out = settings(WAYS["flywheel"], ABLATIONS["rounds"], ABLATIONS["disagreements"])
    assert config.load(tmp_path, **taken_out) == config.load(tmp_path, **WAYS["flywheel in one round"])
    assert WAYS["flywheel in one round"] == {}
