"""What the benchmark concludes: harm is called when the sealed cases prove it; figures are what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from flywheelbench.picture import draw
from flywheelbench.referee import Referee, Seen, calibration_error, outside_recall
from flywheelbench.report import (
    ablations,
    by_budget,
    endpoint,
    gap_closed,
    group_gap,
    harms,
    holm,
    interval,
    labels_needed,
    leads,
    means,
    sign_flip,
)
from flywheelbench.world import Sealed, World


def world(n: int = 1000, small: int = 200) -> World:
    sealed = [Sealed(i, i % 5, ("device=old",) if i < small else ()) for i in range(n)]
    return World(
        name="made", seed=0, kind="vector", seed_inputs=[0], seed_labels=[0], spins=[[], []], sealed=sealed,
        weights=[np.full(n, 1 / n), np.full(n, 1 / n)], labels=list(range(5)),
    )  # fmt: skip


def seen(right: np.ndarray) -> Seen:
    return Seen(right, np.where(right, 0.9, 0.4), np.where(right, 0.1, 0.6))


def flipped(right: np.ndarray, rows: range, to: bool) -> np.ndarray:
    changed = right.copy()
    changed[list(rows)] = to
    return changed


def test_a_loss_is_harm_only_beyond_chance():
    referee = Referee(world())
    old = np.arange(1000) % 10 != 0
    assert not referee.judge(seen(old), seen(old), 0, True).harmful
    few = flipped(old, range(501, 503), False)
    assert not referee.judge(seen(old), seen(few), 0, True).harmful
    many = flipped(old, range(501, 541), False)
    found = referee.judge(seen(old), seen(many), 0, True)
    assert found.harmful
    assert found.gain == pytest.approx(-0.036)
    assert found.flips == pytest.approx(0.036)


def test_a_slice_can_be_harmed_while_the_whole_gains():
    referee = Referee(world())
    old = np.arange(1000) % 10 != 0
    new = flipped(flipped(old, range(200, 1000), True), range(1, 16), False)
    found = referee.judge(seen(old), seen(new), 0, True)
    assert found.gain > 0.05
    assert found.harmful
    assert not found.good


def test_equal_models_are_rarely_called_harmful():
    rng, referee = np.random.default_rng(1), Referee(world())
    called = 0
    for _ in range(200):
        base = rng.random(1000) < 0.85
        one, other = base ^ (rng.random(1000) < 0.03), base ^ (rng.random(1000) < 0.03)
        called += referee.judge(seen(one), seen(other), 0, True).harmful
    assert called <= 20


def test_calibration_and_outside_recall_have_known_answers():
    right = np.array([True] * 8 + [False] * 2)
    assert calibration_error(np.full(10, 0.8), right, np.full(10, 0.1)) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(np.full(10, 1.0), right, np.full(10, 0.1)) == pytest.approx(0.2)
    score, beyond = np.array([*range(10), 9.5, 3.0]), np.array([False] * 10 + [True] * 2)
    assert outside_recall(score, beyond) == 0.5


def rows(lead: float, seeds: range) -> dict:
    found = {}
    for stream in ("intents", "banking", "dialect", "images"):
        for seed in seeds:
            wave = 0.01 * np.sin(seed)
            for arm, live, labels in (
                ("frozen", 0.5, 0), ("oracle", 0.9, 12000), ("random", 0.7 + wave, 1200),
                ("flywheel", 0.7 + wave + lead, 1200),
            ):  # fmt: skip
                found[stream, seed, arm, 100] = {
                    "preq": live, "final": live, "labels": labels, "promoted": 10, "harmful": int(arm == "random"),
                    "good": 5, "refused_good": 1, "live_quiet": live - 0.1 * (arm == "random"), "live_usual": live,
                }  # fmt: skip
            found[stream, seed, "flywheel", 50] = {
                **found[stream, seed, "flywheel", 100],
                "final": 0.7 + wave - 0.1,
                "labels": 600,
            }
    return found


def test_the_endpoint_is_the_share_of_the_gap_and_its_lead_is_paired():
    made = rows(0.1, range(20))
    assert gap_closed(made, "intents", 0, "random", 100) == pytest.approx(0.5)
    found = endpoint(made, range(20), ["frozen", "random", "flywheel", "oracle"])
    assert found["random"]["lead"][0] == pytest.approx(0.25)
    assert found["random"]["lead"][1] == pytest.approx(0.25), "the seeds' own ups and downs cancel"
    assert found["random"]["p"] < 0.001
    assert endpoint(rows(0.0, range(20)), range(20), ["random", "flywheel"])["random"]["p"] > 0.4
    assert gap_closed({}, "intents", 0, "random", 100) is None


def test_an_arm_has_no_mean_over_fewer_streams_than_were_played():
    made = {key: row for key, row in rows(0.1, range(4)).items() if key[::2] != ("banking", "flywheel")}
    found = endpoint(made, range(4), ["random", "flywheel"])
    assert found["flywheel"]["by_seed"] == {}
    assert "lead" not in found["random"]
    assert sorted(found["flywheel"]["streams"]) == ["dialect", "images", "intents"]
    one = {key: row for key, row in rows(0.1, range(4)).items() if key[0] == "images"}
    assert len(endpoint(one, range(4), ["random", "flywheel"])["flywheel"]["by_seed"]) == 4, "a quick look at one"


def test_a_lead_on_a_stream_is_paired_over_the_seeds_both_played():
    made = {key: row for key, row in rows(0.1, range(4)).items() if key[:3] != ("images", 0, "flywheel")}
    del made["banking", 1, "random", 100]
    made["intents", 2, "flywheel", 100]["preq"] -= 0.04
    found = leads(made, range(4), ["random", "coreset"])
    assert sorted(found) == ["random"], "an arm that nobody played leads nowhere"
    assert found["random"]["dialect"] == pytest.approx((0.25, 0.25, 0.25))
    assert found["random"]["intents"][0] == pytest.approx(0.225)
    assert found["random"]["images"][0] == pytest.approx(0.25)
    assert found["random"]["banking"][0] == pytest.approx(0.25)


def test_budgets_are_compared_on_the_seeds_that_have_them_all():
    made = rows(0.1, range(4))
    for (stream, seed, arm, budget), row in list(made.items()):
        if (arm, budget) == ("flywheel", 50) and seed != 2:
            made[stream, seed, arm, budget] = {**row, "preq": row["preq"] - 0.08}
    del made["images", 3, "flywheel", 50]
    made["intents", 2, "flywheel", 50]["preq"] = 5.0
    del made["dialect", 2, "flywheel", 100]
    found = by_budget(made, range(4))
    assert list(found) == ["flywheel"], "random was played with one budget only"
    expected = float(np.mean([gap_closed(made, "images", n, "flywheel", 100) for n in (0, 1)]))
    assert found["flywheel"][100][0] == pytest.approx(expected)
    assert found["flywheel"][50][0] == pytest.approx(expected - 0.2)


def test_the_picture_draws_the_means_of_the_rows():
    made = rows(0.1, range(4))
    for key, row in made.items():
        row["live"] = [0.5, 0.6 + 0.01 * key[1]]
    left, *right = draw(made, range(4), least=3).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["random (4)", "flywheel (4)"], "the best on top"
    drawn = {line.get_marker(): line.get_xdata() for line in left.lines if line.get_color() != "#b8b8b8"}
    assert drawn["|"] == pytest.approx(
        [100 * interval([gap_closed(made, "images", n, "flywheel", 100) for n in range(4)])[0]]
    )
    assert [len(panel.lines) for panel in right] == [4, 4, 4, 4], (
        "oracle, flywheel, random and frozen; margin was not played"
    )
    assert right[0].lines[0].get_ydata() == pytest.approx([50.0, 61.5])
    with pytest.raises(ValueError, match="play more"):
        draw(made, range(4), least=5)


def test_labels_needed_lie_on_the_line_between_budgets():
    assert labels_needed(rows(0.1, range(3)), "intents", range(3)) == pytest.approx([0.75] * 3)
    assert labels_needed(rows(-0.05, range(3)), "intents", range(3)) == [1.0] * 3


def test_harms_and_group_gaps_are_counted_over_runs():
    made = rows(0.1, range(4))
    found = harms(made, "random", ("intents",))
    assert (found["promoted"], found["harmful"], found["refused"], found["good"]) == (40, 4, 4, 20)
    assert group_gap(made, "intents", range(4), "random") == pytest.approx([0.1] * 4)
    assert group_gap(made, "intents", range(4)) == pytest.approx([0.0] * 4)


def test_what_a_part_is_worth_is_paired_and_its_harm_counted():
    known = rows(0.1, range(5, 9))
    part = "flywheel without gate"
    for (stream, seed, arm, budget), row in list(known.items()):
        if (arm, budget) == ("flywheel", 100) and stream in ("images", "dialect") and (stream, seed) != ("images", 8):
            low, high = (known[stream, seed, name, 100]["preq"] for name in ("frozen", "oracle"))
            lost = {"images": 0.2, "dialect": -0.1}[stream] * (high - low)
            known[stream, seed, part, 100] = {**row, "preq": row["preq"] - lost, "harmful": 3, "promoted": 12}
    for seed in range(5, 9):
        known["banking", seed, part, 100] = known["banking", seed, "flywheel", 100]
    found = ablations(known, [part], range(5, 9))[part]
    assert found["streams"]["images"][0] == pytest.approx(0.2)
    assert found["streams"]["dialect"][0] == pytest.approx(-0.1)
    assert set(found["streams"]) == {"images", "dialect"}
    assert found["same"] == ["banking"], "where nothing was taken out there is nothing to count"
    assert (found["seeds"], found["mean"][0]) == (3, pytest.approx(0.05))
    assert (found["with"], found["without"]) == ((0, 60), (18, 72))


def test_what_a_spin_takes_beside_training_is_its_share_of_the_whole():
    made = {("images", seed, "flywheel", 100): {"own_share": 0.5, "spin_seconds": 2.0 * seed} for seed in (1, 2)}
    made["images", 3, "flywheel", 100] = {"own_share": None, "spin_seconds": 7.0}
    assert means(made, "flywheel", "images", ("own_seconds",)) == {"own_seconds": pytest.approx(1.5)}


def test_the_tests_have_known_answers():
    assert sign_flip([1.0, 2.0, 3.0, 4.0]) == 1 / 16
    assert sign_flip([1.0] * 20) < 0.001
    assert holm({"a": 0.01, "b": 0.5}) == {"a": 0.02, "b": 0.5}
    mean, low, high = interval([0.1, 0.2, 0.3, 0.2])
    assert low < mean < high
