"""Every part that FlywheelBench takes out is a setting there is, and one that is on by default."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from flywheelbench.product import ABLATIONS

from flywheel import config

BY_OTHER_MEANS = {
    "gate",
    "replay buffer",
    "slices",
}  # shipped whatever the verdict; one budget kept; the world's own keys


@pytest.mark.parametrize("part", sorted(set(ABLATIONS) - BY_OTHER_MEANS))
def test_the_settings_differ_from_the_default(part, tmp_path):
    assert config.load(tmp_path, **ABLATIONS[part]) != config.load(tmp_path)
