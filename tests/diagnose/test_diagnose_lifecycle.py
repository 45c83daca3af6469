"""A mode opens, is worked on, is fixed by a version, and comes back by itself when it recurs, but not by chance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flywheel.diagnose import lifecycle
from flywheel.diagnose.lives import STATES
from flywheel.records import Mode

SIZE = 1000


def mode(count, key="m-1", state="open", spin=1, **more):
    return Mode(
        id=key, name="wrong card", count=count, share=count / SIZE, state=state, first_spin=1, last_spin=spin, **more
    )


def after(previous, current, spin=2, **options):
    return {m.id: m for m in lifecycle(previous, current, spin=spin, window_size=SIZE, **options)}


def test_open_in_work_fixed_reopened_in_work():
    first = after([], [mode(50)])["m-1"]
    assert first.state == "open"
    second = after([first], [mode(50, spin=2)], targeted={"m-1"})["m-1"]
    assert second.state == "in work"
    third = after([second], [mode(48, spin=3)], fixed={"m-1"}, version="v3")["m-1"]
    assert (third.state, third.fixed_in) == ("fixed", "v3")
    quiet = after([third], [mode(6, spin=4)])["m-1"]
    assert quiet.state == "fixed"
    assert quiet.count == 48
    back = after([quiet], [mode(40, state="fixed", spin=5)])["m-1"]
    assert back.state == "reopened"
    assert back.fixed_in == "v3"
    assert back.count == 40
    assert after([back], [mode(40, spin=6)], targeted={"m-1"})["m-1"].state == "in work"


def test_a_mode_that_is_not_seen_stays_known():
    gone = after([mode(50, state="in work")], [])["m-1"]
    assert (gone.state, gone.count, gone.share, gone.last_spin) == ("in work", 0.0, 0.0, 1)


def test_a_stray_failure_reopens_nothing():
    rare = mode(3, state="fixed", fixed_in="v1")
    assert after([rare], [mode(2, state="fixed")])["m-1"].state == "fixed"


def test_present_modes_come_first_by_count():
    ids = [m.id for m in lifecycle([mode(9, "m-a")], [mode(1, "m-b"), mode(5, "m-c")], spin=2, window_size=SIZE)]
    assert ids == ["m-c", "m-b", "m-a"]


@pytest.mark.parametrize(("rate", "low", "high"), [(0.25, 0.0, 0.02), (1.0, 0.95, 1.0)], ids=["false alarms", "power"])
def test_how_often_a_fixed_mode_is_reopened(rate, low, high):
    rng = np.random.default_rng(0)
    fixed = mode(40, state="fixed", fixed_in="v1")
    reopened = np.mean(
        [
            after([fixed], [mode(int(n), state="fixed")])["m-1"].state == "reopened" if n else False
            for n in rng.poisson(40 * rate, 1000)
        ]
    )
    assert low <= reopened <= high


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order, a mode only moves along the arrows."""

    def __init__(self):
        super().__init__()
        self.modes = [mode(30)]
        self.spin = 1
        self.moved = ("open", "open", None)

    @rule(count=st.one_of(st.none(), st.integers(1, 200)), targeted=st.booleans(), fixed=st.booleans())
    def spins(self, count, targeted, fixed):
        self.spin += 1
        old = self.modes[0]
        seen = [] if count is None else [replace(mode(count, spin=self.spin), state=old.state)]
        self.modes = lifecycle(
            self.modes,
            seen,
            spin=self.spin,
            window_size=SIZE,
            targeted={"m-1"} if targeted else (),
            fixed={"m-1"} if fixed else (),
            version=f"v{self.spin}",
        )
        self.moved = (old.state, self.modes[0].state, (count, targeted, fixed, old))

    @invariant()
    def only_along_the_arrows(self):
        before, now, why = self.moved
        assert len(self.modes) == 1
        assert now in STATES
        if why is None:
            return
        count, targeted, fixed, old = why
        if now == "fixed" and before != "fixed":
            assert fixed
            assert self.modes[0].fixed_in == f"v{self.spin}"
        if now == "in work" and before != "in work":
            assert targeted
        if now == "reopened" and before != "reopened":
            assert before == "fixed"
            assert count is not None
            assert count > max(1, old.count / 4)
        if before != "open":
            assert now != "open"
        if before == now == "fixed" and not fixed:
            assert self.modes[0].count == old.count


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
