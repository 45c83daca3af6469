"""The usual band of an hour: 19 of 20 quiet hours lie inside, an odd one outside, and only the past speaks for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flywheel.errors import InvalidConfig
from flywheel.observe.usual import usual

START = datetime(2026, 1, 5, tzinfo=UTC)


def rows(days: int, rng: Any, scale: float = 0.02) -> list[dict[str, Any]]:
    """Confidence that is lower in the evening."""
    return [
        {
            "at": START + timedelta(hours=hour),
            "volume": 100,
            "confidence": float(0.8 - 0.2 * (hour % 24 >= 18) + rng.normal(0, scale)),
        }
        for hour in range(24 * days)
    ]


@pytest.mark.parametrize("days", [12, 35])
def test_nineteen_of_twenty_quiet_hours_lie_inside(days: int) -> None:
    inside, n = 0, 0
    for seed in range(10):
        found = [one for one in usual(rows(days, np.random.default_rng(seed)), "confidence") if one.low is not None]
        inside, n = inside + sum(not one.outside for one in found), n + len(found)
    assert n > 1500
    assert 0.92 < inside / n < 0.98


def test_an_evening_is_held_against_evenings() -> None:
    told = rows(12, np.random.default_rng(0), 0.005)
    told[-1]["confidence"] = 0.8  # usual at noon, odd at eleven at night
    found = usual(told, "confidence")
    assert found[-1].outside
    assert found[-1].high < 0.7
    assert sum(one.outside for one in found[-48:-1]) < 10


def test_what_came_later_changes_no_band() -> None:
    told = rows(10, np.random.default_rng(1))
    whole = {one.at: one for one in usual(told, "confidence", last=1000)}
    for one in usual(told[:200], "confidence", last=1000):
        assert whole[one.at] == one


def test_without_four_of_the_same_hours_there_is_no_band() -> None:
    found = usual(rows(3, np.random.default_rng(2)), "confidence")
    assert len(found) == 72
    assert all(one.low is None and not one.outside for one in found)


def test_bands_stay_within_what_a_metric_can_be() -> None:
    wild = rows(12, np.random.default_rng(3), 0.5)
    for row in wild:
        row["confidence"] = min(1.0, max(0.0, row["confidence"]))
    banded = [one for one in usual(wild, "confidence") if one.low is not None]
    assert banded
    assert all(0 <= one.low <= one.high <= 1 for one in banded)


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(InvalidConfig, match="happiness"):
        usual(rows(1, np.random.default_rng(4)), "happiness")


def test_a_share_of_few_cases_is_allowed_its_chance() -> None:
    told = [{"at": START + timedelta(days=day, hours=9), "volume": 4, "errors": 0.0} for day in range(8)]
    assert not usual([*told[:-1], {**told[-1], "errors": 0.25}], "errors")[-1].outside
    assert usual([*told[:-1], {**told[-1], "volume": 4000, "errors": 0.25}], "errors")[-1].outside
