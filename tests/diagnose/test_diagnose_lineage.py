"""A mode keeps its id; when it parts in two or two become one, that is written down, and nothing else is."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from flywheel.config import DiagnoseSettings
from flywheel.diagnose import group
from flywheel.diagnose.lineage import trace
from flywheel.records import Failure, Mode, from_dict, to_dict

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Given:
    """The inputs are the vectors."""

    name = "given"

    def embed(self, inputs):
        return np.array(inputs, dtype=np.float64).reshape(len(inputs), -1)


def around(where, spin, name, n=40, spread=0.2):
    rng = np.random.default_rng([spin, len(name), int(100 * sum(where)) % 997])
    points = np.array(where, dtype=np.float64) + rng.normal(size=(n, len(where))) * spread
    return [
        Failure(interaction_id=f"{spin}-{name}-{k:02}", at=AT, probability=0.9, input=p.tolist(), output=name)
        for k, p in enumerate(points)
    ]


def turn(found, spin, previous=(), before=()):
    modes, assigned = group(
        found,
        previous,
        spin=spin,
        total=float(len(found)),
        window_size=1000,
        embedder=Given(),
        previous_inputs={f.interaction_id: f.input for f in before},
        settings=DiagnoseSettings(),
    )
    of = {name: assigned[f"{spin}-{name}-00"] for name in sorted({f.output for f in found})}
    return modes, {name: next(m for m in modes if m.id == key) for name, key in of.items()}


FAR = [(9, 0, 0, 0), (0, 9, 0, 0), (0, 0, 9, 0)]


def test_the_same_modes_have_no_lineage_to_tell():
    one = [f for where, name in zip(FAR, "abc", strict=True) for f in around(where, 1, name)]
    two = [f for where, name in zip(FAR, "abc", strict=True) for f in around(where, 2, name)]
    first, was = turn(one, 1)
    _, now = turn(two, 2, first, one)
    assert {name: m.id for name, m in was.items()} == {name: m.id for name, m in now.items()}
    assert all(m.split_from is None and m.merged == () for m in now.values())


def test_a_mode_that_parts_in_two_is_named_by_the_new_one():
    one = around((9, 0.0, 0, 0), 1, "a") + around((0, 9, 0, 0), 1, "b") + around((0, 0, 9, 0), 1, "c")
    first, was = turn(one, 1)
    two = around((9, 2.5, 0, 0), 2, "a") + around((9, -2.5, 0, 0), 2, "a2") + around((0, 0, 9, 0), 2, "c")
    two = [replace(f, output="a") if f.output == "a2" else f for f in two]
    modes, assigned = group(
        two,
        first,
        spin=2,
        total=120.0,
        window_size=1000,
        embedder=Given(),
        previous_inputs={f.interaction_id: f.input for f in one},
        settings=DiagnoseSettings(),
    )
    halves = {assigned["2-a-00"], assigned["2-a2-00"]}
    assert len(halves) == 2
    assert was["a"].id in halves
    (fresh,) = [m for m in modes if m.id in halves and m.id != was["a"].id]
    assert fresh.split_from == was["a"].id
    assert fresh.first_spin == 2
    assert next(m for m in modes if m.id == was["a"].id).split_from is None


def test_a_mode_that_takes_another_in_says_so_and_keeps_saying_it():
    one = around((9, 2.5, 0, 0), 1, "a") + around((9, -2.5, 0, 0), 1, "a2") + around((0, 0, 9, 0), 1, "c")
    one = [replace(f, output="a") for f in one if "a" in f.output] + [f for f in one if f.output == "c"]
    first, _ = turn(one, 1)
    assert len(first) == 3
    two = around((9, 0, 0, 0), 2, "a", spread=1.0) + around((0, 0, 9, 0), 2, "c")
    second, now = turn(two, 2, first, one)
    assert now["a"].id in {m.id for m in first}
    gone = {m.id for m in first} - {m.id for m in second}
    assert set(now["a"].merged) == gone
    assert len(gone) == 1
    three = around((9, 0, 0, 0), 3, "a", spread=1.0) + around((0, 0, 9, 0), 3, "c")
    quiet = [replace(m, count=0.0) for m in first if m.id in gone]
    _, later = turn(three, 3, [*second, *quiet], one + two)
    assert set(later["a"].merged) == gone


def test_a_new_mode_far_from_all_is_no_split():
    one = around((9, 0, 0, 0), 1, "a") + around((0, 9, 0, 0), 1, "b")
    first, _ = turn(one, 1)
    two = around((9, 0, 0, 0), 2, "a") + around((0, 9, 0, 0), 2, "b") + around((-9, -9, 0, 0), 2, "n")
    _, now = turn(two, 2, first, one)
    assert now["n"].id not in {m.id for m in first}
    assert now["n"].split_from is None


def test_without_earlier_modes_there_is_nothing_to_trace():
    lineage = trace([], [], np.eye(3), [np.array([0, 1, 2])], [{"a": 1.0}])
    assert (lineage.same, lineage.split, lineage.merged) == ({}, {}, {})


@pytest.mark.parametrize("count", [5.0, 0.0], ids=["was there", "was quiet"])
def test_only_a_mode_that_was_there_can_be_taken_in(count):
    here, there = (
        Mode(id="m-1", name="x", count=9.0, signature={"x": 1.0}),
        Mode(id="m-2", name="y", signature={"x": 1}),
    )
    lineage = trace([here, replace(there, count=count)], [], np.eye(2), [np.array([0, 1])], [{"x": 1.0}])
    assert lineage.same[0].id == "m-1"
    assert lineage.merged == ({0: ("m-2",)} if count else {})


def test_what_is_written_down_comes_back():
    mode = Mode(id="m-1", name="x", split_from="m-0", merged=("m-2", "m-3"))
    assert from_dict(Mode, to_dict(mode)) == mode
