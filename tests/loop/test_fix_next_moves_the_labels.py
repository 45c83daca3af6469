"""What somebody asks to fix next is what the next spin asks about: the same log with and without the wish."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import flywheel
from flywheel import curate
from flywheel.errors import InvalidRecord, NotFound
from flywheel.records import Mode

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Two planted failures, in equal numbers: kinds that the first model never saw, and of which users complain."""
    rng = np.random.default_rng(7)
    folder, centres = tmp_path_factory.mktemp("grown"), rng.normal(size=(4, 6)) * 3

    def draw(n, kinds):
        labels = rng.choice(kinds, size=n)
        return np.round(centres[labels] + rng.normal(size=(n, 6)), 3).tolist(), [f"k{k}" for k in labels]

    with flywheel.open(folder, task="classification", release={"registry": "folder"}, observe={"parts": ()},
                       diagnose={"min_users": 1}) as fw:  # fmt: skip
        fw.seed(*draw(80, [0, 1]), at=AT)
        fw.spin(budget=0, at=AT)
        for window in range(2):
            inputs, labels = draw(300, [0, 1, 2, 3])
            ids = [f"w{window}-{row}" for row in range(len(inputs))]  # what is drawn hangs on them
            said = fw.predict(inputs, at=AT + timedelta(days=window, hours=1), ids=ids)
            for one, label in zip(said, labels, strict=True):
                if one.output != label:
                    fw.feedback(one.id, rating=-1, at=AT + timedelta(days=window, hours=2))
            if not window:  # nobody knows the answers: the modes are found, and nothing is learnt of them
                waiting = fw.spin(budget=12, at=AT + timedelta(hours=3))
                for item in fw.review_queue():
                    fw.skip(item.id) if not item.audit else fw.label(item.id, item.output)
                assert fw.spin(at=AT + timedelta(hours=4)).number == waiting.number
    return folder


def asked(folder, wish):
    with flywheel.open(folder) as fw:
        if wish:
            fw.fix_next(wish, by="ana", at=AT + timedelta(hours=5))
        spin = fw.spin(budget=60, at=AT + timedelta(days=1, hours=3))
        items = fw._store.state.items(spin=spin.number)
        return items, fw.next_fix(), fw._store.state.step(spin.number, "select"), fw._store.state.trail()


@pytest.mark.slow
def test_the_next_spin_asks_about_the_mode_that_was_wished_for(grown, tmp_path):
    shutil.copytree(grown, tmp_path / "plain")
    plain, nothing, chosen, _ = asked(tmp_path / "plain", None)
    assert nothing is None
    assert chosen["preferred"] is None
    counts = {key: sum(item.mode == key for item in plain) for key in {item.mode for item in plain if item.mode}}
    least = min(counts, key=lambda key: (counts[key], key))
    shutil.copytree(grown, tmp_path / "wished")
    wished, standing, chosen, trail = asked(tmp_path / "wished", least)
    assert chosen["preferred"] == least
    assert sum(item.mode == least for item in wished) > 1.3 * counts[least]
    assert standing.mode == least  # the spin that follows it goes on
    assert standing.spin == wished[0].spin
    assert sum(item.audit for item in wished) >= 12
    assert all(0 < item.propensity <= 1 for item in wished)
    [line] = [line for line in trail if line["action"] == "fix next"]
    assert (line["subject"], line["by"]) == (least, "ana")


@pytest.mark.slow
def test_causes_move_the_labels_too_unless_that_is_turned_off(grown, tmp_path, monkeypatch):
    worths, select = {}, curate.select
    for follow in (True, False):
        shutil.copytree(grown, tmp_path / str(follow))
        with flywheel.open(tmp_path / str(follow), curate={"follow_causes": follow}) as fw:
            least = next(mode.id for mode in fw._store.state.modes() if mode.state != "fixed")
            fw.fix_next(least, by="ana", at=AT + timedelta(hours=5))

            def listen(*args, follow=follow, **kwargs):
                worths[follow] = kwargs["worth"]
                return select(*args, **kwargs)

            monkeypatch.setattr(curate, "select", listen)
            fw.spin(budget=60, at=AT + timedelta(days=1, hours=3))
    assert len(worths[True]) >= 2
    assert all(0.3 <= worth <= 20 for worth in worths[True].values())
    assert any(worth not in (1.0, 10.0) for worth in worths[True].values()), "causes weigh something"
    assert len(worths[False]) == 1, "the wish alone"
    assert set(worths[False].values()) == {10.0}


def test_a_wish_is_taken_back_and_refused_where_it_makes_no_sense(tmp_path):
    with flywheel.open(tmp_path, task="classification") as fw:
        fw._store.state.save_modes(
            [Mode(id="m1", name="late cards"), Mode(id="m2", name="old", state="fixed", fixed_in="v2")]
        )
        assert fw.fix_next("m1", by="ana").name == "late cards"
        assert fw.next_fix().mode == "m1"
        assert fw.mode("m1").next.by == "ana"
        assert [stage.waits for stage in fw.standing().stages if stage.name == "select"] == ["prefers late cards"]
        assert fw.fix_next(None) is None
        assert fw.next_fix() is None
        with pytest.raises(NotFound, match="'m9'"):
            fw.fix_next("m9")
        with pytest.raises(InvalidRecord, match="fixed in v2"):
            fw.fix_next("m2")
        fw.fix_next("m1")
        fw._store.state.save_modes([Mode(id="m1", name="late cards", state="fixed", fixed_in="v3")])
        assert fw.next_fix() is None  # what is fixed is wished for no longer
