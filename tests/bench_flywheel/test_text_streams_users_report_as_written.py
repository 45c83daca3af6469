"""Users and labelers of FlywheelBench: the rates that are written, when it is heard, and nothing but luck decides."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
users = pytest.importorskip("flywheelbench.users")
world_ = pytest.importorskip("flywheelbench.world")
draw_luck = pytest.importorskip("flywheelbench.streams.luck").draw_luck

START = datetime(2026, 3, 2, tzinfo=UTC)
N = 20_000
LATE = "e"


@pytest.fixture(scope="module")
def world():
    """Four classes from the start, `a` and `b` mixed up by people; a fifth from the second spin on."""
    rng = np.random.default_rng(5)
    luck = draw_luck(rng, 2 * N)
    spins = []
    for spin in range(2):
        labels = ["a", "b", "c", "d", *([LATE] if spin else [])]
        spins.append(
            [
                world_.Request(
                    id=f"r-{spin}-{n}",
                    input=f"text {n}",
                    truth=labels[n % len(labels)],
                    user=f"u{n % 50}",
                    group="quiet" if n % 4 == 3 else "usual",
                    context={},
                    at=START + timedelta(days=spin, seconds=n),
                    luck=luck[spin * N + n],
                )
                for n in range(N)
            ]
        )
    return world_.World(
        name="made",
        seed=0,
        kind="text",
        seed_inputs=["x"] * 4,
        seed_labels=["a", "b", "c", "d"],
        spins=spins,
        sealed=[],
        weights=[],
        labels=["a", "b", "c", "d", LATE],
        confusable={"a": ("b",), "b": ("a",)},
    )


def within(count, n, p, miss=1e-6):
    low, high = binom.ppf([miss, 1 - miss], n, p)
    return low <= count <= high


def heard(world, spin, right):
    """What is said, by kind, when every answer is right, or every answer is one of the other classes."""
    requests = world.spins[spin]
    answers = [r.truth if right else "z" for r in requests]
    return [said for _, said in users.reports(world, requests, answers)]


@pytest.mark.parametrize(("right", "rate", "tries"), [(False, 0.08, 0.40), (True, 0.01, 0.05)])
def test_users_report_and_retry_at_the_rates_written(world, right, rate, tries):
    group = {r.id: r.group for r in world.spins[0]}
    said = heard(world, 0, right)
    told = [s for s in said if "outcome" not in s]
    quiet = sum(group[s["interaction_id"]] == "quiet" for s in told)
    assert within(quiet, N // 4, rate / 2)
    assert within(len(told) - quiet, 3 * N // 4, rate)
    assert within(sum("outcome" in s for s in said), N, tries)
    assert {s["outcome"]["retry"] for s in said if "outcome" in s} == {1.0}


def test_one_report_in_ten_names_a_wrong_class_and_half_of_the_others_the_right_one(world):
    truth = {r.id: r.truth for r in world.spins[0]}
    told = [s for s in heard(world, 0, right=False) if "outcome" not in s]
    named = [s for s in told if "label" in s]
    wrong = sum(s["label"] != truth[s["interaction_id"]] for s in named)
    assert within(wrong, len(told), 0.10)
    assert within(len(named) - wrong, len(told), 0.45)
    assert all(s["rating"] == -1 for s in told if "label" not in s)
    praised = [s for s in heard(world, 0, right=True) if "label" in s]
    assert praised
    assert all(s["label"] != truth[s["interaction_id"]] for s in praised)


def test_nobody_names_a_class_that_has_not_appeared(world):
    labeler = users.Labeler(world)
    assert LATE not in {s.get("label") for s in heard(world, 0, right=False)}
    assert LATE not in {labeler.label_of(r) for r in world.spins[0]}
    assert LATE in {labeler.label_of(r) for r in world.spins[1] if r.truth != LATE}


def test_arms_that_answer_alike_hear_alike(world):
    requests = world.spins[0]
    ours = users.reports(world, requests, ["a"] * N)
    assert ours == users.reports(world, requests, ["a"] * N)
    # Where two arms are both wrong, the same users report, whatever was answered.
    both = {r.id for r in requests if r.truth in "cd"}
    theirs = users.reports(world, requests, ["b"] * N)
    ids = [{s["id"] for _, s in said if s["interaction_id"] in both} for said in (ours, theirs)]
    assert ids[0] == ids[1]


def test_reports_come_after_a_day_in_the_median_and_within_a_week_in_95_percent(world):
    at = {r.id: r.at for r in world.spins[0]}
    said = users.reports(world, world.spins[0], ["z"] * N)
    days = [(when - at[s["interaction_id"]]) / timedelta(days=1) for when, s in said if "outcome" not in s]
    assert within(sum(day < 1 for day in days), len(days), 0.5)
    assert within(sum(day < 7 for day in days), len(days), 0.95)
    assert [when for when, _ in said] == sorted(when for when, _ in said)


def test_the_inbox_hands_over_each_feedback_once_when_it_has_come(world):
    inbox = users.Inbox(world)
    for spin, requests in enumerate(world.spins):
        inbox.add(spin, requests[: N // 2], ["z"] * (N // 2))
        inbox.add(spin, requests[N // 2 :], ["z"] * (N // 2))
    got = []
    for day in range(1, 40):
        until = START + timedelta(days=day)
        now = inbox.due(until)
        assert all(until - timedelta(days=1) < s["at"] <= until for s in now)
        got += now
    got += inbox.due(START + timedelta(days=10_000))
    everything = [s["id"] for requests in world.spins for _, s in users.reports(world, requests, ["z"] * N)]
    assert sorted(s["id"] for s in got) == sorted(everything)
    assert not inbox.due(START + timedelta(days=20_000))


def test_the_inbox_refuses_requests_of_another_spin_and_those_it_has(world):
    inbox = users.Inbox(world)
    with pytest.raises(ValueError, match="not of spin 1"):
        inbox.add(1, world.spins[0][:3], ["a"] * 3)
    inbox.add(0, world.spins[0][:3], ["a"] * 3)
    with pytest.raises(ValueError, match="answered before"):
        inbox.add(0, world.spins[0][:1], ["a"])
    with pytest.raises(ValueError, match="one answer"):
        users.reports(world, world.spins[0][:2], ["a"])


def test_with_two_classes_a_wrong_name_for_a_wrong_answer_is_only_a_bad_rating(world):
    two = world_.World("two", 0, "text", ["x", "y"], ["a", "b"], [world.spins[0][:2]], [], [], ["a", "b"])
    luck = world_.Luck(0.0, 0.0, 0.9, 0.9, 0.9, 0.9, 1.0)
    request = world_.Request("r", "t", "a", "u", "usual", {}, START, luck)
    assert [s.get("rating") for _, s in users.reports(two, [request], ["b"])] == [-1]


def test_labelers_are_wrong_at_the_rates_written_and_mix_up_what_is_alike(world):
    labeler = users.Labeler(world)
    for look in (0, 1):
        given = {r.id: labeler.label_of(r, look) for r in world.spins[0]}
        for truths, rate in (("ab", 0.15), ("cd", 0.05)):
            asked = [r for r in world.spins[0] if r.truth in truths]
            assert within(sum(given[r.id] != r.truth for r in asked), len(asked), rate)
        assert {given[r.id] for r in world.spins[0] if r.truth in "ab"} == {"a", "b"}
        assert {given[r.id] for r in world.spins[0] if r.truth == "c"} == {"a", "b", "c", "d"}


def test_a_labeler_answers_the_same_at_the_same_look_and_independently_at_another(world):
    one, other = users.Labeler(world), users.Labeler(world)
    asked = [r for r in world.spins[0] if r.truth in "ab"]
    assert [one.label_of(r) for r in asked] == [other.label_of(r) for r in reversed(asked)][::-1]
    twice = sum(one.label_of(r) != r.truth and one.label_of(r, 1) != r.truth for r in asked)
    assert within(twice, len(asked), 0.15**2)
    with pytest.raises(ValueError, match="no look"):
        one.label_of(asked[0], -1)


def test_the_product_sees_retries_through_its_detector(world):
    import ibis

    from flywheel.diagnose.detectors import Retried

    told = [said for _, said in users.reports(world, world.spins[0][:500], ["z"] * 500)]
    rows = [
        {
            "interaction_id": said["interaction_id"],
            "kind": "outcome" if "outcome" in said else "rating",
            "name": "retry" if "outcome" in said else None,
            "number": said["outcome"]["retry"] if "outcome" in said else -1.0,
        }
        for said in told
    ]
    interactions = ibis.memtable({"id": [request.id for request in world.spins[0][:500]]})
    found = Retried().evidence(interactions, ibis.memtable(rows)).to_pyarrow().to_pylist()
    assert {row["id"] for row in found} == {said["interaction_id"] for said in told if "outcome" in said}
