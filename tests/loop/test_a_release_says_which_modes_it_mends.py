"""Failure modes after a release: what it mends is fixed, what it brings back knowingly is open again."""

import flywheel
from flywheel.loop.decide import close_modes
from flywheel.records import Check, Mode, Verdict


def test_a_release_closes_what_it_mends_and_reopens_what_it_brings_back(tmp_path):
    check = Check("fixed modes", "pass", "reopens m2 (3 of 3 broken): too few examples", {"modes": ["m2", "m4"]})
    verdict = Verdict(decision="promote", checks=(check,), modes_fixed=("m1",))
    with flywheel.open(tmp_path / "fw") as fw:
        state = fw._store.state
        state.save_modes(
            [
                Mode(id="m1", name="late cards", state="in work"),
                Mode(id="m2", name="lost cards", state="fixed", fixed_in="v2"),
                Mode(id="m3", name="fees", state="fixed", fixed_in="v2"),
                Mode(id="m4", name="transfers", state="open"),
            ]
        )
        close_modes(state, None, "v3")
        close_modes(state, verdict, "v3")
        found = {mode.id: (mode.state, mode.fixed_in) for mode in fw.modes()}
    assert found == {
        "m1": ("fixed", "v3"),
        "m2": ("reopened", "v2"),
        "m3": ("fixed", "v2"),
        "m4": ("open", None),
    }
