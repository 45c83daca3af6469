"""Synthetic examples in a dataset: capped, with their parents or not at all, and only where a trial admitted them."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from flywheel import curate
from flywheel.config import Config, CurateSettings, MineSettings
from flywheel.curate.erased import remade
from flywheel.errors import InvalidConfig
from flywheel.loop.synthesise import augmented
from flywheel.mine.augment import Operation, synthesise
from flywheel.ports import Predictions
from flywheel.prove.tasks import Classification
from flywheel.records import Example

AT = datetime(2026, 1, 1, tzinfo=UTC)
UPPER = Operation(name="upper", kind="text")
build = partial(curate.build_dataset, spin=1, settings=CurateSettings(), seed=0, at=AT)


def pool(n, **more):
    return [
        Example(id=f"e{i}", input=f"where is parcel {i}", label=f"l{i % 3}", interaction_id=f"x{i}", group=f"g{i}",
                fold=i % 5, spin=1, **more)
        for i in range(n)
    ]  # fmt: skip


def test_synthetic_examples_do_not_supersede_their_parents_and_are_capped():
    real = pool(40)
    dataset = build([*real, *synthesise([UPPER], real, most=40)])
    synthetic = [e for e in dataset.examples if e.origin == "synthetic"]
    assert len(dataset.examples) == 80
    assert sum(e.weight for e in synthetic) == pytest.approx(0.25 * sum(e.weight for e in dataset.examples))


def test_the_cap_counts_real_examples_and_children_go_with_their_parents():
    real = pool(40)
    dataset = build([*real, *synthesise([UPPER], real, most=40)], cap=10)
    kept = {e.id for e in dataset.examples if e.origin != "synthetic"}
    assert len(kept) == 10
    assert {e.made["of"][0] for e in dataset.examples if e.origin == "synthetic"} == kept


def test_what_was_made_of_an_erased_example_is_erased_too():
    real = pool(10)
    made = synthesise([UPPER], real, most=10)
    both = replace(made[0], id="between", interaction_id="x9", made={"of": ["e9", "e3"]})
    dataset = build([*real, *made, both])
    successor, _ = remade(dataset, ["e3"], AT, "asked to")
    assert successor is not None
    left = {e.id for e in successor.examples}
    assert "between" not in left
    assert not [e for e in successor.examples if "e3" in e.made.get("of", ())]
    assert len(left) == len(dataset.examples) - 3


def test_labels_can_weigh_by_clipped_inverse_propensity():
    real = [replace(e, propensity=p) for e, p in zip(pool(4), (0.9, 0.1, 0.1, 0.01), strict=True)]
    weigh = CurateSettings(propensity_clip=2.0)
    weights = {e.id: e.weight for e in curate.build_dataset(real, spin=1, settings=weigh, seed=0, at=AT).examples}
    assert weights == {"e0": 0.5, "e1": 1.0, "e2": 1.0, "e3": 2.0}
    assert {e.weight for e in build(real).examples} == {1.0}


def test_a_clip_below_one_is_refused(tmp_path):
    from flywheel.config import load

    with pytest.raises(InvalidConfig, match=r"propensity_clip is 0\.5"):
        load(tmp_path, curate={"propensity_clip": 0.5})


class Learner:
    """Right about everything, and about shouting only as `shouts` says for datasets with and without synthetic ones."""

    name = "learner"

    def __init__(self, shouts):
        self.shouts, self.fits = shouts, 0

    def fit(self, dataset, base=None, seed=0):
        self.fits += 1
        right = self.shouts[any(e.origin == "synthetic" for e in dataset.examples)]

        def predict(inputs):
            return Predictions([
                f"l{int(one.split()[-1]) % 3}" if one.islower() or right else "?" for one in inputs
            ])  # fmt: skip

        return SimpleNamespace(predict=predict)


def turn(number, learner, past, **mine):
    failed = [
        SimpleNamespace(interaction_id=f"x{i}", input=f"WHERE IS PARCEL {i}", probability=0.9) for i in range(40, 80)
    ]
    state = SimpleNamespace(step=lambda spin, _: past.get(spin))
    shop = SimpleNamespace(
        config=Config(mine=MineSettings(**mine)), trainer_for=lambda _: learner, task=Classification(),
        store=SimpleNamespace(state=state),
    )  # fmt: skip
    docs = {"sync": {"interactions": 40}, "diagnose": {"modes": [], "assignments": {}}}
    return SimpleNamespace(
        shop=shop, spin=SimpleNamespace(number=number, seed=0), pool=failed, docs=docs, answered={}, trials=0.0
    )  # fmt: skip


def spin(number, learner, past, **mine):
    shouting = [
        Example(id=f"f{i}", input=f"WHERE IS PARCEL {i}", label=f"l{i % 3}", interaction_id=f"x{i}", group=f"h{i}",
                fold=i % 5, failure=True, spin=1)
        for i in range(40, 65)
    ]  # fmt: skip
    real = [*pool(60, origin="seed"), *shouting]
    work = turn(number, learner, past, **mine)
    return augmented(work, build(real), lambda more: build([*real, *more])), work


def test_what_helps_is_admitted_remembered_and_left_out_when_it_harms():
    (dataset, doc), work = spin(1, Learner({False: False, True: True}), {})
    assert doc["operations"]["upper"]["admitted"], doc
    made = [e for e in dataset.examples if e.origin == "synthetic"]
    assert made
    assert all(e.made["operation"] == "upper" for e in made)
    assert work.shop.trainer_for(()).fits <= 5 + 3
    past = {1: {"augment": doc}}
    (again, kept), _ = spin(2, Learner({False: False, True: True}), past)
    assert kept["operations"]["upper"]["looks"] == 2
    assert [e for e in again.examples if e.origin == "synthetic"]
    (without, left), _ = spin(2, Learner({False: True, True: False}), past)
    assert not left["operations"]["upper"]["admitted"]
    assert not [e for e in without.examples if e.origin == "synthetic"]


def test_what_changes_nothing_stays_out_and_the_training_step_need_not_ask_again():
    (dataset, doc), work = spin(1, Learner({False: False, True: False}), {})
    assert doc["tried"] == "upper"
    assert not doc["operations"]["upper"]["admitted"]
    assert not [e for e in dataset.examples if e.origin == "synthetic"]
    assert set(work.answered[dataset.hash]) == {e.id for e in dataset.examples}


def test_it_can_be_turned_off():
    learner = Learner({False: False, True: True})
    (dataset, doc), _ = spin(1, learner, {}, augment=False)
    assert not [e for e in dataset.examples if e.origin == "synthetic"]
    assert doc == {"operations": {}}
    assert learner.fits == 0


def test_the_order_of_the_answers_does_not_matter():
    (one, _), _ = spin(1, Learner({False: False, True: True}), {})
    (two, _), _ = spin(1, Learner({False: False, True: True}), {})
    assert one.hash == two.hash
    assert np.isclose(sum(e.weight for e in one.examples), sum(e.weight for e in two.examples))
