"""Two versions are held against each other on the same labels, and a spin tells every process where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bank import knows, play
from flywheel import wheel
from flywheel.errors import NotFound, NothingToLearn

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The first version never saw `login`; the second learnt it from labels."""
    with wheel.open(tmp_path_factory.mktemp("spun"), task="classification") as fw:
        truth = play(fw, 200, "a-{}".format, lambda n: {"device": "ios" if n % 2 else "web"})
        fw.spin(budget=40, labeler=knows(truth))
        yield fw


def test_what_the_newer_version_fixed_is_listed_with_both_answers(spun: Any) -> None:
    versions = [one.version for one in spun.releases()]
    assert len(versions) == 2, "the gate promoted a model that learnt the new class"
    found = spun.compare(versions[0], versions[1])
    assert found.n == spun.spins()[-1].labels
    assert found.fixed
    for case in found.fixed:
        assert case.right == case.label != case.left
    for case in found.broke:
        assert case.left == case.label != case.right
    assert len(found.fixed) - len(found.broke) == sum(one.right - one.left for one in found.slices)
    assert found.uplift.low <= found.uplift.estimate <= found.uplift.high
    assert found.uplift.estimate > 0
    assert 0 < found.disagree < 1


def test_the_other_way_round_fixed_and_broke_change_places(spun: Any) -> None:
    one, other = (release.version for release in spun.releases())
    there, back = spun.compare(one, other), spun.compare(other, one)
    assert {case.example for case in there.fixed} == {case.example for case in back.broke}
    assert there.uplift.estimate == pytest.approx(-back.uplift.estimate)


def test_a_version_beside_itself_differs_nowhere(spun: Any) -> None:
    version = spun.releases()[0].version
    found = spun.compare(version, version)
    assert not found.fixed
    assert not found.broke
    assert found.uplift.estimate == found.disagree == 0


def test_an_unknown_version_is_named(spun: Any) -> None:
    with pytest.raises(NotFound, match="v99"):
        spun.compare("v99", spun.releases()[0].version)


def test_a_spin_tells_where_it_is_and_why_it_stopped(tmp_path: Any) -> None:
    with wheel.open(tmp_path, task="classification") as fw, wheel.open(tmp_path) as elsewhere:
        assert elsewhere.turning() is None
        with pytest.raises(NothingToLearn):
            fw.spin()
        assert elsewhere.turning().problem
        fw.seed([f"my {word} {n}" for word in ("card", "fee") for n in range(20)], ["card"] * 20 + ["fee"] * 20)
        seen = []

        def look(step: str, what: str) -> None:
            if what == "end":
                seen.append(elsewhere.turning())

        fw.spin(budget=0, on_step=look)
        assert {one.state for one in seen} == {"running"}
        assert all(one.since is not None and one.problem is None for one in seen)
        assert [one.place for one in seen] == list(range(len(seen)))
        after = elsewhere.turning()
        assert (after.state, after.place, after.since) == ("done", len(after.steps), None)


def test_an_interrupted_spin_is_not_shown_as_running(tmp_path: Any) -> None:
    with wheel.open(tmp_path, task="classification") as fw:
        fw.seed([f"my {word} {n}" for word in ("card", "fee") for n in range(20)], ["card"] * 20 + ["fee"] * 20)

        def interrupt(step: str, what: str) -> None:
            if (step, what) == ("train", "end"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fw.spin(budget=0, on_step=interrupt)
        stopped = fw.turning()
        assert stopped.state == "stopped"
        assert "KeyboardInterrupt" in stopped.problem
        assert fw.spin(budget=0).state == "done"
        assert fw.turning().problem is None
