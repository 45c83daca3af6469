"""A spin in rounds: the answers of one say what the next asks; the budget is kept, and a kill repeats nothing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import flywheel
from flywheel import curate
from flywheel.errors import InvalidConfig, NothingToLearn
from flywheel.store import State

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


def opened(grown, to, rounds):
    shutil.copytree(grown[0], to, dirs_exist_ok=True)
    return flywheel.open(to, curate={"rounds": rounds})


def chosen(fw):
    return fw._store.state.step(2, "select")


def test_three_rounds_spend_the_budget_once_and_the_audit_comes_first(grown, tmp_path):
    with opened(grown, tmp_path, 3) as fw:
        spin = fw.spin(budget=60, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
        items = fw._store.state.items(spin=2)
        assert (spin.state, spin.labels) == ("done", 60)
        assert len({item.interaction_id for item in items}) == len(items) == 60
        assert (chosen(fw)["rounds"], chosen(fw)["round"], chosen(fw)["asked"]) == ([16, 16, 16], 3, 60)
        first = [item for item in items if item.propensity is not None]
        assert len(first) == 28
        assert sum(item.audit for item in first) == sum(item.audit for item in items) == 12
        assert all(0 < item.propensity <= 1 for item in first)
        examples = [example for example in fw._store.state.examples() if example.spin == 2]
        assert sum(example.propensity is None for example in examples) == 32
        facts = fw._store.log.feedback_of([item.interaction_id for item in items])
        assert sum(fact.propensity is None for fact in facts if fact.kind == "label") == 32
        assert set(chosen(fw)["wanted"]) == {item.interaction_id for item in items}
        assert spin.receipt.uplift.n == fw.uplift().n == 28, "later rounds speak for nobody else"


@pytest.mark.slow
def test_what_was_answered_is_less_doubtful_in_the_next_round(grown, tmp_path, monkeypatch):
    seen, select = [], curate.select

    def listen(*args, **kwargs):
        seen.append((kwargs["doubt"], kwargs["novelty"], kwargs["later"]))
        return select(*args, **kwargs)

    monkeypatch.setattr(curate, "select", listen)
    with opened(grown, tmp_path, 2) as fw:
        fw.spin(budget=60, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
    assert [later for _, _, later in seen] == [False, True]
    unknown = [key for key, label in grown[1].items() if label in ("k2", "k3") and key in seen[0][1]]
    before, after = (np.mean([doubt[key] for key in unknown]) for doubt, _, _ in seen)
    assert after < before / 2
    before, after = (np.mean([novelty[key] for key in unknown]) for _, novelty, _ in seen)
    assert after < before


def test_people_are_asked_round_by_round(grown, tmp_path):
    counts = []
    with opened(grown, tmp_path, 3) as fw:
        spin = fw.spin(budget=60, at=LATER)
        while spin.state == "waiting":
            waiting = fw.review_queue()
            counts.append((spin.waiting_for, len(waiting)))
            for item in waiting:
                fw.label(item.id, grown[1][item.interaction_id], by="ana", at=LATER)
            spin = fw.spin(at=LATER)
        assert counts == [(28, 28), (16, 16), (16, 16)]
        assert (spin.state, spin.labels) == ("done", 60)


DEATHS = {
    "before the choice is kept": ("save_step", lambda args: args[1] == "select" and "chosen" in args[2]),
    "before it is queued": ("add_items", lambda args: len(args[0]) == 16),
    "before it is crossed off": ("save_step", lambda args: args[1] == "select" and args[2]["round"] == 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", DEATHS)
@pytest.mark.parametrize("corrected", [False, True])
def test_a_kill_asks_nothing_twice_and_spends_no_more_than_the_budget(grown, tmp_path, monkeypatch, moment, corrected):
    def labeler(item):
        return grown[1][item.interaction_id]

    with opened(grown, tmp_path / "whole", 3) as fw:
        fw.spin(budget=60, at=LATER, labeler=labeler)
        whole = {item.id for item in fw._store.state.items(spin=2)}
    name, met = DEATHS[moment]
    done, deaths = getattr(State, name), []

    def dying(self, *args, **more):
        if met(args) and not deaths and not (moment == "before it is crossed off" and "chosen" in args[2]):
            deaths.append(moment)
            raise KeyboardInterrupt
        return done(self, *args, **more)

    monkeypatch.setattr(State, name, dying)
    with opened(grown, tmp_path / "killed", 3) as fw:
        with pytest.raises(KeyboardInterrupt):
            fw.spin(budget=60, at=LATER, labeler=labeler)
        assert deaths == [moment]
        for item in fw.review_queue()[:1]:  # somebody answers before the spin goes on
            fw.label(item.id, labeler(item), by="ana", at=LATER)
        if corrected:
            wrong = next(i for i in fw._store.state.items(spin=2) if i.status == "labelled" and i.label == "k2")
            fw.label(wrong.id, "k3", by="ana", at=LATER)
    with flywheel.open(tmp_path / "killed") as fw:
        assert fw.spin(at=LATER, labeler=labeler).state == "done"
        items = {item.id for item in fw._store.state.items(spin=2)}
        assert len(items) == chosen(fw)["asked"] == 60
        assert {item.interaction_id for item in fw._store.state.items(spin=2)} == set(chosen(fw)["wanted"])
        assert "chosen" not in chosen(fw)
        assert corrected or items == whole


@pytest.mark.slow
def test_a_spin_of_which_every_item_was_skipped_ends_and_the_next_may_ask_again(tmp_path):
    champion = LogisticRegression().fit(*draw(np.random.default_rng(3), 80, [0, 1]))
    settings = {"curate": {"rounds": 3}, "gate": {"disagreements": 0.2}}
    with flywheel.open(tmp_path / "adopted", task="classification", **settings, **SETTINGS) as fw:
        fw.adopt(champion)
        inputs, _ = draw(np.random.default_rng(5), 200, [0, 1])
        for number in (1, 2):
            fw.predict(inputs, at=AT, ids=[f"n{number}-{row}" for row in range(200)])
            assert fw.spin(budget=60, at=LATER).state == "waiting"
            for item in fw.review_queue():
                fw.skip(item.id, by="ana", at=LATER)
            with pytest.raises(NothingToLearn):
                fw.spin(at=LATER)
            assert [spin.state for spin in fw.spins()] == ["done"] * number


@pytest.mark.slow
def test_the_seconds_of_all_rounds_are_counted(grown, tmp_path):
    with opened(grown, tmp_path, 3) as fw:
        spin, before = fw.spin(budget=60, at=LATER), 0.0
        while spin.state != "done":
            assert spin.seconds["label"] > before
            before = spin.seconds["label"]
            for item in fw.review_queue():
                fw.label(item.id, grown[1][item.interaction_id], by="ana", at=LATER)
            spin = fw.spin(at=LATER)
        assert spin.seconds["label"] >= before > 0


@pytest.mark.slow
def test_few_labels_or_no_champion_make_one_round(grown, tmp_path):
    with opened(grown, tmp_path / "few", 3) as fw:
        fw.spin(budget=20, at=LATER, labeler=lambda item: grown[1][item.interaction_id])
        assert chosen(fw)["rounds"] == [16]
    with flywheel.open(tmp_path / "new", task="classification", curate={"rounds": 3}, **SETTINGS) as fw:
        inputs, labels = draw(np.random.default_rng(5), 200, [0, 1])
        ids = [f"n{row}" for row in range(200)]
        fw.log_many({"id": i, "input": x, "output": "k0", "at": AT} for i, x in zip(ids, inputs, strict=True))
        truth = dict(zip(ids, labels, strict=True))
        assert fw.spin(budget=100, at=LATER, labeler=lambda item: truth[item.interaction_id]).state == "done"
        assert fw._store.state.step(1, "select")["rounds"] == [80]


def test_a_number_of_rounds_that_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(InvalidConfig, match=r"curate\.rounds"):
        flywheel.open(tmp_path, curate={"rounds": 0})
