"""Watching the log live: everything once and in order, with the signs of failure that are known at once."""

import pytest

import flywheel
from flywheel.records import Cause, Mode


@pytest.fixture
def wheel(tmp_path):
    with flywheel.open(tmp_path / "wheel", task="classification") as fw:
        yield fw


def test_each_fact_comes_once_in_order_and_an_empty_log_is_no_error(wheel):
    assert wheel.arrivals() == ([], 0)
    ids = [wheel.log(input=f"text {k}", output="a", confidence=0.9) for k in range(5)]
    got, after = [], 0
    while (page := wheel.arrivals(after, 2))[0]:
        got += [one.interaction.id for one in page[0]]
        after = page[1]
    assert got == ids
    assert [one.interaction.id for one in wheel.arrivals(limit=3)[0]] == ids[-3:]


@pytest.mark.parametrize(
    ("fields", "told", "kinds"),
    [
        ({"error": "timeout"}, {}, ["error"]),
        ({"confidence": 0.2}, {}, ["doubt"]),
        ({"confidence": 0.9}, {"rating": -1}, ["rating"]),
        ({"confidence": 0.9}, {"rating": 1}, []),
        ({"confidence": 0.9}, {"label": "b"}, ["label"]),
        ({"confidence": 0.9}, {"label": "a"}, []),
        ({"confidence": 0.9}, {"comment": "hm"}, []),
    ],
)
def test_what_makes_it_look_like_a_failure(wheel, fields, told, kinds):
    one = wheel.log(input="x", output="a", **fields)
    if told:
        wheel.feedback(one, **told)
    last = wheel.arrivals()[0][-1]
    assert last.interaction.id == one
    assert [sign.kind for sign in last.signs] == kinds
    assert last.feedback == (next(iter(told)) if told else None)


def test_a_failure_is_put_with_the_mode_it_is_most_like(wheel):
    lost = Mode(id="m1", name="lost", signature={"device=ios": 2.0, "card": 1.0}, cause=Cause(kind="data scarcity"))
    wheel._store.state.save_modes([lost, Mode(id="m2", name="other", signature={"pin": 1.0})])
    wheel.log(input="my card", output="a", error="e", context={"device": "ios"})
    wheel.log(input="my card", output="a", confidence=0.9, context={"device": "ios"})
    wheel.log(input="weather", output="a", error="e")
    assert [(one.mode, one.cause) for one in wheel.arrivals()[0]] == [
        ("m1", "data scarcity"),
        (None, None),
        (None, None),
    ]
