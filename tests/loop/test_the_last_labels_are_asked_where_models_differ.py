"""`[gate] disagreements`: the last labels of a spin are drawn where the new model and the champion differ."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import flywheel
from flywheel import curate
from flywheel.errors import InvalidConfig
from flywheel.loop import rounds
from flywheel.prove.playback import differences

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = AT + timedelta(days=1)
CENTRES = np.random.default_rng(7).normal(size=(4, 6)) * 3
SETTINGS = {"release": {"registry": "folder"}, "observe": {"parts": ()}}


def draw(rng, n, kinds):
    labels = rng.choice(kinds, size=n)
    return np.round(CENTRES[labels] + rng.normal(size=(n, 6)), 3).tolist(), [f"k{k}" for k in labels]


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A champion of two kinds, and a window with four."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("grown")
    with flywheel.open(folder, task="classification", **SETTINGS) as fw:
        fw.seed(*draw(rng, 80, [0, 1]), at=AT)
        fw.spin(budget=0, at=AT)
        inputs, labels = draw(rng, 300, [0, 1, 2, 3])
        fw.predict(inputs, at=AT + timedelta(hours=1), ids=[f"i{row}" for row in range(300)])
    return folder, {f"i{row}": label for row, label in enumerate(labels)}


def opened(grown, to, rounds=1):
    shutil.copytree(grown[0], to, dirs_exist_ok=True)
    return flywheel.open(to, curate={"rounds": rounds}, gate={"disagreements": 0.2})


@pytest.mark.parametrize("rounds", [1, 3])
def test_they_are_drawn_from_what_both_answer_differently_and_the_gate_hears_them(grown, tmp_path, rounds):
    with opened(grown, tmp_path, rounds) as fw:
        spin = fw.spin(budget=60, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
        items = fw._store.state.items(spin=2)
        assert (spin.state, spin.labels, len(items)) == ("done", 60, 60)
        assert sum(item.audit for item in items) == 12, "the audit keeps its share"
        apart = fw._store.state.step(2, "select")["apart"]
        asked = {item.interaction_id: item for item in items}
        assert len(apart["answers"]) == 12
        assert set(apart["answers"]) <= set(asked)
        for key, (old, new) in apart["answers"].items():
            assert old != new
            assert asked[key].propensity is None
            assert set(asked[key].suggestions[:2]) == {old, new}, "both answers, and not which is whose"
        answered = len(items) - 12
        assert apart["seen"] == 300 - answered
        assert 12 <= apart["differ"] <= apart["seen"]
        votes = [(new == grown[1][key]) - (old == grown[1][key]) for key, (old, new) in apart["answers"].items()]
        [check] = [check for check in spin.verdict.checks if check.name == "disagreements"]
        assert check.values["wins"] - check.values["losses"] == sum(votes)
        assert check.values["gain"] == pytest.approx(apart["differ"] / apart["seen"] * sum(votes) / 12)
        assert check.values["gain"] > 0.1, "two kinds were unknown to the champion"
        assert spin.verdict.decision == "promote"
        ids = {example.interaction_id for example in fw._store.state.examples()}
        assert set(apart["answers"]) <= ids, "the candidate learns them, too"


def test_people_are_asked_once_more_and_do_not_see_which_model_said_what(grown, tmp_path):
    with opened(grown, tmp_path) as fw:
        spin = fw.spin(budget=60, at=LATER)
        assert len(fw.review_queue()) == spin.waiting_for == 48
        first_is_old = []
        for turn in range(2):
            for item in fw.review_queue():
                if turn:
                    assert "two models" in item.why
                    old, _ = fw._store.state.step(2, "select")["apart"]["answers"][item.interaction_id]
                    first_is_old.append(item.suggestions[0] == old)
                    assert (item.shown, item.confidence, item.p_failure) == (None, None, None)
                    assert item.output == old, "kept, to tell whether it was a failure"
                fw.label(item.id, grown[1][item.interaction_id], by="ana", at=LATER)
            spin = fw.spin(at=LATER)
        assert spin.state == "done"
        assert len(first_is_old) == 12
        assert 0 < sum(first_is_old) < 12


def test_files_for_reviewers_do_not_tell_either(grown, tmp_path):
    with opened(grown, tmp_path / "fw") as fw:
        fw.spin(budget=60, at=LATER)
        for item in fw.review_queue():
            fw.label(item.id, grown[1][item.interaction_id], by="ana", at=LATER)
        fw.spin(at=LATER)
        assert len(fw.review_queue()) == 12
        queue = curate.ReviewQueue(fw._store.state)
        for kind in ("csv", "jsonl", "label-studio"):
            assert queue.export(tmp_path / kind, kind) == 12
    with (tmp_path / "csv").open(newline="") as file:
        assert [(row["output"], row["confidence"]) for row in csv.DictReader(file)] == [("", "")] * 12
    rows = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert [(row["output"], row["confidence"], len(row["suggestions"]) >= 2) for row in rows] == [
        (None, None, True)
    ] * 12
    tasks = json.loads((tmp_path / "label-studio").read_text())
    assert [(task["data"]["output"], task["predictions"]) for task in tasks] == [("", [])] * 12


@pytest.mark.slow
@pytest.mark.parametrize(("budget", "audit", "share"), [(10, 0.6, 0.5), (3, 0.5, 0.5), (30, 0.9, 0.15), (1, 0.2, 0.5)])
def test_a_large_audit_and_disagreements_stay_within_the_budget(grown, tmp_path, budget, audit, share):
    shutil.copytree(grown[0], tmp_path, dirs_exist_ok=True)
    settings = {"curate": {"audit_share": audit, "rounds": 3}, "gate": {"disagreements": share}}
    with flywheel.open(tmp_path, **settings) as fw:
        fw.spin(budget=budget, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
        assert len(fw._store.state.items(spin=2)) == budget


@pytest.mark.slow
def test_the_voting_model_knows_what_users_said_as_the_candidate_does(grown, tmp_path, monkeypatch):
    learnt = []
    build = rounds.curate.build_dataset
    monkeypatch.setattr(
        rounds.curate, "build_dataset", lambda pool, **more: learnt.append(list(pool)) or build(pool, **more)
    )
    with opened(grown, tmp_path) as fw:
        for key in [key for key, label in grown[1].items() if label == "k0"]:
            fw.feedback(key, label="k1", at=LATER - timedelta(hours=2))
        fw.spin(budget=60, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
        apart = fw._store.state.step(2, "select")["apart"]["answers"]
    voting, candidate = ({e.interaction_id for e in pool if e.origin == "user"} for pool in learnt[:2])
    assert candidate
    assert candidate == voting - set(apart), "what a reviewer was then asked about is the reviewer's"


@pytest.mark.slow
def test_labels_without_a_chance_do_not_hide_the_truth_that_came_for_everybody(grown, tmp_path):
    with opened(grown, tmp_path, 3) as fw:
        for key, label in grown[1].items():
            fw.feedback(key, label=label, source="system", at=LATER - timedelta(hours=2))
        spin = fw.spin(budget=60, at=LATER)
        assert spin.state == "done"
        items = fw._store.state.items(spin=2)
        told = fw._store.log.feedback_of([item.interaction_id for item in items])
        chances = {item.interaction_id: item.propensity for item in items}
        assert sum(chance is None for chance in chances.values()) == 36
        for key, chance in chances.items():
            said = [one.propensity for one in told if one.interaction_id == key]
            assert said == ([None] if chance is None else [None, chance]), "said once more only with a chance"


@pytest.mark.slow
def test_what_the_two_do_not_differ_on_is_spent_as_usual(tmp_path):
    """A window of what the champion knows: hardly anything differs, and no label is left over or wasted."""
    rng = np.random.default_rng(4)
    with flywheel.open(tmp_path, task="classification", gate={"disagreements": 0.2}, **SETTINGS) as fw:
        fw.seed(*draw(rng, 80, [0, 1]), at=AT)
        fw.spin(budget=0, at=AT)
        inputs, labels = draw(rng, 200, [0, 1])
        fw.predict(inputs, at=AT + timedelta(hours=1), ids=[f"i{row}" for row in range(200)])
        truth = {f"i{row}": label for row, label in enumerate(labels)}
        spin = fw.spin(budget=40, at=LATER, labeler=lambda item: truth[item.interaction_id])
        assert spin.labels == 40
        apart = fw._store.state.step(2, "select")["apart"]
        assert apart["differ"] == len(apart["answers"]) < 8
        [check] = [check for check in spin.verdict.checks if check.name == "disagreements"]
        assert check.outcome == "pass"


@pytest.mark.slow
def test_without_a_champion_there_is_nothing_to_differ_from(tmp_path):
    rng = np.random.default_rng(5)
    with flywheel.open(tmp_path, task="classification", gate={"disagreements": 0.2}, **SETTINGS) as fw:
        inputs, labels = draw(rng, 100, [0, 1])
        ids = [f"n{row}" for row in range(100)]
        fw.log_many({"id": i, "input": x, "output": "k0", "at": AT} for i, x in zip(ids, inputs, strict=True))
        truth = dict(zip(ids, labels, strict=True))
        spin = fw.spin(budget=40, at=LATER, labeler=lambda item: truth[item.interaction_id])
        assert (spin.state, spin.labels) == ("done", 40)
        assert "apart" not in fw._store.state.step(1, "select")


def test_two_models_are_asked_about_the_same_window(grown, tmp_path):
    with opened(grown, tmp_path) as fw:
        fw.spin(budget=60, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
        old, new = (fw._load_model(release) for release in sorted(fw.releases(), key=lambda r: r.version)[:2])
        said = differences(fw._store.tables.snapshot(), old, new)
        assert set(said) == set(grown[1])
        inputs = {seen.id: seen.input for seen in fw._store.tables.snapshot().fetch(list(said))}
        keys = sorted(said)
        assert [said[key][0] for key in keys] == list(old.predict([inputs[key] for key in keys]).outputs)
        assert [said[key][1] for key in keys] == list(new.predict([inputs[key] for key in keys]).outputs)


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_a_share_that_leaves_nothing_else_is_refused(tmp_path, share):
    with pytest.raises(InvalidConfig, match=r"gate\.disagreements"):
        flywheel.open(tmp_path, gate={"disagreements": share})
