"""A slice is looked into: its failures, counted by mode, whatever way its conditions are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flywheel.diagnose.within import failures_within, slice_of
from flywheel.errors import InvalidConfig
from flywheel.records import Failure, Mode

AT = datetime(2026, 1, 1, 13, tzinfo=UTC)
MODES = [Mode(id="late", name="late"), Mode(id="lost", name="lost"), Mode(id="rare", name="rare")]


def failure(n: int, mode: str | None, **more: object) -> Failure:
    return Failure(interaction_id=f"i{n}", at=AT, probability=0.5, mode=mode, **more)  # type: ignore[arg-type]


SEEN = [
    failure(0, "late", context={"device": "ios", "age": 9, "beta": True}, output="a"),
    failure(1, "lost", context={"device": "ios", "age": 12}, output="b"),
    failure(2, "lost", context={"device": "ios & co=1", "age": 20.5}, input={"amount": 3}),
    failure(3, None, context={"device": "web"}, output=7),
]


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["device=ios"], {"i0", "i1"}),
        (["device=ios", "age=9 to 12"], {"i0"}),
        (["age=below 12"], {"i0"}),
        (["age=12 and more"], {"i1", "i2"}),
        (["age=12"], {"i1"}),
        (["device=ios & co=1"], {"i2"}),
        (["context.device=web"], {"i3"}),
        (["age=missing"], {"i3"}),
        (["beta=true"], {"i0"}),
        (["input.amount=3"], {"i2"}),
        (["output=7"], {"i3"}),
        (["hour of day=13"], {"i0", "i1", "i2", "i3"}),
        (["device=9 to 12"], set()),
    ],
)
def test_conditions_hold_where_they_say(conditions: list[str], ids: set[str]) -> None:
    told = failures_within(slice_of(conditions), SEEN, MODES)
    assert {one.interaction_id for one in told.examples} == ids


def test_modes_are_counted_in_the_slice_the_most_first() -> None:
    told = failures_within(slice_of(["age=9 and more"]), SEEN, MODES)
    assert [(mode.id, count) for mode, count in told.modes] == [("lost", 1.0), ("late", 0.5)]
    assert (told.failures, told.of) == (1.5, 2.0)
    assert len(failures_within(slice_of(["age=9 and more"]), SEEN, MODES, limit=1).examples) == 1


@pytest.mark.parametrize("conditions", [[], ["device"], ["=ios"]])
def test_what_is_no_condition_is_refused_with_an_example(conditions: list[str]) -> None:
    with pytest.raises(InvalidConfig, match="device=ios"):
        slice_of(conditions)
