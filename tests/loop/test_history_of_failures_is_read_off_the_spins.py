"""What became of failures: a log and spins whose every figure is known beforehand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.errors import NotFound
from flywheel.loop.history import Turned
from flywheel.records import Candidate, Example, Mode, Release, ReviewItem, Spin, Verdict, to_dict

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, tzinfo=UTC)


def moment(day: float) -> datetime:
    return START + day * DAY


def mode(key: str, state: str = "open", count: float = 4.0, fixed_in: str | None = None) -> Mode:
    return Mode(id=key, name=f"misses {key}", state=state, count=count, share=count / 100, fixed_in=fixed_in)


BEFORE = [
    [],
    [mode("a", "in work"), mode("b", "in work", 2)],
    [mode("a", "fixed", fixed_in="v2"), mode("b", "in work", 3)],
    [mode("a", "reopened", 5, "v2"), mode("b", "in work", 1), mode("c")],
]
FOUND = [
    [mode("a"), mode("b", count=2)],
    [mode("a", "in work", 4), mode("b", "in work", 3)],
    [mode("a", "reopened", 5, "v2"), mode("b", "in work", 1), mode("c")],
    [mode("a", "reopened", 6, "v2"), mode("b", "in work", 1), mode("c", "in work")],
]
NOW = [mode("a", "fixed", 6, "v4"), mode("b", "in work", 1), mode("c", "in work")]
"""Mode a is fixed in v2 on day 4, comes back on day 4.5, is fixed again in v4 on day 8; b and c still fail."""
SEEN = {
    1: {"a": [0.25, 0.5], "b": [1.0]},
    2: {"a": [2.5], "b": [3.0, 3.25]},
    3: {"a": [4.5, 5.0], "b": [5.5], "c": [5.0]},
    4: {"a": [6.5], "b": [7.0], "c": [7.5 + k / 50 for k in range(12)]},
}
FIXES = {2: ("a",), 4: ("a",)}


def tell(fw) -> None:
    """Log the interactions, and store the four spins as if they had been."""
    state, after = fw._store.state, 0
    for number in range(1, 5):
        assigned = {}
        for key, days in SEEN[number].items():
            for place, day in enumerate(days):
                id = fw.log(
                    id=f"{number}-{key}-{place}", input=f"{key} {day}", output="x", at=moment(day), context={"of": key}
                )
                assigned[id] = key
        for place in range(30):
            at = moment(2 * number - 1)
            fw.log(id=f"{number}-fine-{place}", input="fine", output="y", at=at, context={"of": "z"})
        fw._store.tables.sync(fw._store.log)
        upto = fw._store.tables.snapshot().seq
        state.save_step(number, "sync", {"modes": to_dict(BEFORE[number - 1]), "after": after, "upto": upto})
        state.save_step(number, "diagnose", {"modes": to_dict(FOUND[number - 1]), "assignments": assigned})
        state.save_step(number, "select", {"preferred": "a" if number == 4 else None})
        after, version = upto, f"v{number}"
        proved = FIXES.get(number, ())
        verdict = Verdict(decision="promote" if proved else "need labels", checks=(), modes_fixed=proved)
        over = moment(2 * number)
        state.save_spin(
            Spin(
                number=number, state="done", step="measure", started_at=over - DAY / 4, ended_at=over, verdict=verdict,
                candidate=version,
            )
        )  # fmt: skip
        made = Candidate(version=version, dataset="d", trainer="text", folder=f"models/{version}", spin=number)
        answers = {f"e{k}": ["right" if k < number else "wrong", None, None] for k in range(4)}
        state.save_candidate(made, {"answers": answers, "placebo": None})
        if proved:
            state.save_release(
                Release(version=version, role="retired", folder="models/v", at=over - DAY / 4, spin=number)
            )
            fw._trail.record("promote", version, by="gate", at=over - DAY / 4)
    state.set("release.champion", {"version": "v4", "at": moment(8).isoformat(), "by": "promotion"})
    state.save_modes(NOW)
    state.add_examples(
        Example(id=f"e{k}", input=f"a {k}", label="right", interaction_id=f"1-a-{k % 2}", mode="a", spin=1)
        for k in range(4)
    )
    state.add_items(
        ReviewItem(id=f"r{k}", interaction_id=f"1-a-{k}", input="a", output="x", spin=1, mode="a",
                   status=("labelled", "skipped")[k]) for k in range(2)
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with flywheel.open(tmp_path_factory.mktemp("told"), task="classification", release={"registry": "folder"}) as fw:
        tell(fw)
        yield fw


def test_a_mode_that_a_release_brings_back_counts_once_in_the_spin_of_that_release():
    fixed, back = mode("a", "fixed", fixed_in="v2"), mode("a", "reopened", fixed_in="v2")
    spin = Spin(number=3, state="done", step="measure")
    third = Turned(spin, {"a": fixed}, {"a": fixed}, {"a": back}, {})
    fourth = Turned(spin, {"a": back}, {"a": back}, {"a": back}, {})
    assert [[one.id for one in turned.reopened] for turned in (third, fourth)] == [["a"], []]
    assert [turned.fixed for turned in (third, fourth)] == [[], []]


def test_each_spin_has_its_open_fixed_and_reopened_modes(told):
    spins = told.failure_history().spins
    assert [one.spin for one in spins] == [1, 2, 3, 4]
    assert [one.modes for one in spins] == [
        {"open": 0, "in work": 2, "reopened": 0, "fixed": 0},
        {"open": 0, "in work": 1, "reopened": 0, "fixed": 1},
        {"open": 1, "in work": 1, "reopened": 1, "fixed": 0},
        {"open": 0, "in work": 2, "reopened": 0, "fixed": 1},
    ]
    assert [(one.found, one.fixed, one.reopened) for one in spins] == [(2, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 0)]
    assert spins[2].failures == {"open": 4.0, "in work": 1.0, "reopened": 5.0, "fixed": 0.0}


def test_a_fix_is_timed_from_the_first_interaction_to_the_release(told):
    found = told.failure_history()
    assert [(one.mode, one.version, one.since, one.at, one.again) for one in found.repairs] == [
        ("a", "v2", moment(0.25), moment(4), False),
        ("a", "v4", moment(4.5), moment(8), True),
    ]
    assert [one.days for one in found.repairs] == [3.75, 3.5]
    assert found.released == {"v2": moment(4), "v4": moment(8)}
    assert (found.time_to_fix.n, found.time_to_fix.unfixed) == (2, 2)
    # b has lived 7 days, c 3: two thirds are unfixed after 3.5 days, one third after 3.75
    assert found.time_to_fix.quarter == 3.5
    assert found.time_to_fix.median == 3.75
    assert found.time_to_fix.three_quarters is None


def test_a_mode_has_its_days_and_what_each_spin_did(told):
    story = told.mode("a")
    assert [(day.at, day.seen) for day in story.days if day.seen] == [
        (moment(0), 2), (moment(2), 1), (moment(4), 1), (moment(5), 1), (moment(6), 1)
    ]  # fmt: skip
    first = story.days[0]
    assert first.failures.estimate == pytest.approx(4.0)  # two seen, four expected in that window
    assert first.failures.low == pytest.approx(2 * 0.242, abs=0.01)
    assert first.failures.high == pytest.approx(2 * 7.225, abs=0.01)
    assert first.volume == 2
    assert [(one.spin, one.before, one.after, one.proved, one.fixed_in) for one in story.spins] == [
        (1, "", "in work", False, None),
        (2, "in work", "fixed", True, "v2"),
        (3, "fixed", "reopened", False, None),
        (4, "reopened", "fixed", True, "v4"),
    ]
    assert [(one.asked, one.labelled, one.preferred) for one in story.spins] == [
        (2, 1, False), (0, 0, False), (0, 0, False), (0, 0, True)
    ]  # fmt: skip
    assert [one.days for one in story.repairs] == [3.75, 3.5]


def test_every_version_is_replayed_on_the_same_cases(told):
    found = told.mode("a").replays
    assert [(one.version, one.role, one.right, one.n) for one in found] == [
        ("as logged", "product", 0, 4),
        ("v1", "candidate", 1, 4),
        ("v2", "retired", 2, 4),
        ("v3", "candidate", 3, 4),
        ("v4", "champion", 4, 4),
    ]
    assert found[2].share.estimate == 0.5
    assert found[2].share.low == pytest.approx(0.0676, abs=1e-4)
    assert found[2].share.high == pytest.approx(0.9324, abs=1e-4)


def test_the_slice_of_a_mode_is_that_of_the_window_it_was_last_seen_in(told):
    [only] = told.mode("c").slices
    assert str(only.where) == "of=c"
    assert (only.failures, only.of, only.traffic, only.traffic_of) == (12, 12, 12, 44)
    assert only.lift.estimate == pytest.approx(44 / 12)


def test_a_mode_that_there_is_not_is_named(told):
    with pytest.raises(NotFound, match="'zz'"):
        told.mode("zz")
