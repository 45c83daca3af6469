"""Cross-fitting: nothing is ever answered by a model that saw it, or its near-duplicate."""

import time
from dataclasses import replace

import numpy as np
import pytest

from flywheel.errors import NothingToLearn
from flywheel.ports import Predictions
from flywheel.prove import Answer, agreement, answers, compare_latency, crossfit, pairs, placebo
from flywheel.prove.folds import crossfit_fresh
from flywheel.prove.tasks import Classification
from flywheel.records import Dataset, Example

TASK = Classification()


class Parrot:
    """Knows by heart what it saw; of anything else it says 'never seen'. Remembers who taught it."""

    name = "parrot"

    def __init__(self):
        self.fits = []

    def fit(self, dataset, base=None, seed=0):
        self.fits.append((dataset, base, seed))
        return ParrotModel({str(e.input): e.label for e in dataset.examples} | (base.known if base else {}))


class ParrotModel:
    def __init__(self, known):
        self.known = known

    def predict(self, inputs):
        return Predictions([self.known.get(str(value), "never seen") for value in inputs])


def rows(n=20, **more):
    return [Example(id=f"e{i}", input=i, label=f"l{i}", group=f"g{i}", fold=i % 5, **more) for i in range(n)]


def data(examples):
    return Dataset(hash="d", examples=tuple(examples))


def test_no_example_is_answered_by_a_model_that_saw_it():
    trainer, seen = Parrot(), []
    found = crossfit(trainer, data(rows()), seed=7, progress=lambda step, share: seen.append((step, share)))
    assert {a.output for a in found.values()} == {"never seen"}
    assert list(found) == [f"e{i}" for i in range(20)]
    assert len(trainer.fits) == 5
    assert {seed for _, _, seed in trainer.fits} == {7}
    assert len({d.hash for d, _, _ in trainer.fits}) == 5
    assert seen[-1] == ("replay", 1.0)


def test_a_group_that_straddles_folds_is_still_kept_apart():
    twins = [
        Example(id="a", input="same", label="x", group="twins", fold=0),
        Example(id="b", input="same", label="x", group="twins", fold=1),
    ]
    found = crossfit(Parrot(), data(rows() + twins))
    assert found["a"].output == found["b"].output == "never seen"


def test_synthetic_examples_train_but_are_not_tested():
    made = [Example(id="s", input="s", label="s", origin="synthetic", group="s", fold=0)]
    trainer = Parrot()
    assert "s" not in crossfit(trainer, data(rows() + made))
    assert any(e.id == "s" for e in trainer.fits[1][0].examples)
    with pytest.raises(NothingToLearn, match="one fold"):
        crossfit(Parrot(), data([e for e in rows() if e.fold == 0]))


def test_what_the_base_saw_is_answered_without_it():
    base = ParrotModel({"0": "l0", "1": "l1", "2": "l2", "6": "l6"})
    found = crossfit(Parrot(), data(rows()), base=base, base_saw=["e0", "e1", "e2"])
    assert found["e1"].output == "never seen"
    assert found["e6"].output == "l6"  # the base may answer what nobody taught it from this dataset


def fresh_ones(*groups):
    """One fresh example a group, in folds 0, 1, 2, …"""
    return [Example(id=f"f{i}", input=f"f{i}", label="f", group=g, fold=i, spin=1) for i, g in enumerate(groups)]


def test_the_placebo_never_sees_a_fresh_label_and_knows_all_that_the_champion_knows():
    old, fresh = rows(20), fresh_ones("f", "g2")
    trainer = Parrot()
    assert placebo(trainer, data(old + fresh), fresh, seed=9) == {
        "f0": Answer("never seen"),
        "f1": Answer("never seen"),
    }
    ((taught, base, seed),) = trainer.fits
    assert base is None
    assert seed == 9
    assert {e.id for e in taught.examples} == {e.id for e in old}
    with pytest.raises(NothingToLearn, match="placebo"):
        placebo(trainer, data(fresh), fresh, seed=9)


def test_a_fresh_label_is_answered_without_its_fold_and_group_and_with_all_that_is_old():
    """f1 is a near-duplicate of the old e2, which the champion knows; f3 and f4 are near-duplicates of one another."""
    old, fresh = rows(20), fresh_ones("f", "g2", "h", "twins", "twins")
    fresh += [Example(id="s", input="s", label="f", group="f", fold=0, spin=1, origin="synthetic")]
    trainer = Parrot()
    found = crossfit_fresh(trainer, data(old + fresh), {e.id for e in fresh}, seed=7)
    assert list(found) == ["f0", "f1", "f2", "f3", "f4"]
    assert {a.output for a in found.values()} == {"never seen"}
    assert len({seed for _, _, seed in trainer.fits}) == 5, "no training's luck counts for all folds"
    everyone = {e.id for e in old + fresh}
    assert [everyone - {e.id for e in taught.examples} for taught, _, _ in trainer.fits] == [
        {"f0", "s"}, {"f1"}, {"f2"}, {"f3", "f4"}, {"f3", "f4"},
    ]  # fmt: skip
    assert len({taught.hash for taught, _, _ in trainer.fits}) == 5
    assert crossfit_fresh(trainer, data(old), set()) == {}


def test_a_candidate_that_learnt_nothing_answers_fresh_labels_as_its_champion_does():
    """Also where the champion knows a near-duplicate of what is asked: nobody is handicapped."""

    class Deaf(Parrot):
        def fit(self, dataset, base=None, seed=0):
            words = {e.group: e.label for e in dataset.examples if not e.spin}

            class Said:
                def predict(self, inputs):
                    return Predictions([words.get(str(value), "never seen") for value in inputs])

            return Said()

    old = rows(20)
    fresh = [replace(e, input=e.group) for e in fresh_ones("g1", "g2", "nobody's")]
    ids = {e.id for e in fresh}
    said = crossfit_fresh(Deaf(), data(old + fresh), ids)
    assert said == answers(Deaf().fit(data(old)), fresh) == placebo(Deaf(), data(old), fresh, seed=3)
    assert [a.output for a in said.values()] == ["l1", "l2", "never seen"]
    assert crossfit(Deaf(), data(old + fresh))["f0"].output == "never seen"


class Dice(Parrot):
    """Gives the label a probability that hangs on the seed, where there is chance; else always the same."""

    chance = True

    def fit(self, dataset, base=None, seed=0):
        super().fit(dataset, base, seed)
        share = 0.2 + 0.1 * (seed % 7) if self.chance else 0.5

        class Said:
            def predict(self, inputs):
                return Predictions(
                    ["f"] * len(inputs), np.full(len(inputs), share), ("f",), np.full((len(inputs), 1), share)
                )

        return Said()


def test_the_placebo_is_trained_by_other_seeds_until_it_says_the_same_twice():
    old, fresh = rows(20), [Example(id="f", input="f", label="f", group="f", fold=2, spin=1)]
    learner = Dice()
    answer = placebo(learner, data(old), fresh, seed=9)["f"]
    assert len({answer.likelihood, *answer.again}) > 1
    assert len(answer.again) == 3
    learner = Dice()
    learner.chance = False
    assert placebo(learner, data(old), fresh, seed=9)["f"].again == (0.5,)
    assert len(learner.fits) == 2


class Shortcut(Parrot):
    """Answers a turn without a fit: by heart, less what was left out."""

    def crossfit(self, dataset, turns, *, seed=0):
        self.turns = [(gone, [e.id for e in asked]) for gone, asked in turns]
        known = [{str(e.input): e.label for e in dataset.examples if e.id not in gone} for gone, _ in turns]
        return [ParrotModel(k).predict([e.input for e in asked]) for k, (_, asked) in zip(known, turns, strict=True)]


def test_a_trainer_that_can_answer_without_fits_is_asked_to_and_leaves_out_the_same():
    twins = [Example(id=i, input="same", label="x", group="twins", fold=f) for f, i in enumerate("ab")]
    plain, short = Parrot(), Shortcut()
    examples = data(rows() + twins)
    assert crossfit(short, examples) == crossfit(plain, examples)
    assert short.fits == []
    assert [gone for gone, _ in short.turns] == [
        frozenset({e.id for e in examples.examples} - {e.id for e in taught.examples}) for taught, _, _ in plain.fits
    ]
    fresh = fresh_ones("f", "g0", "g0")
    both, ids = data([*rows(20), *fresh]), {e.id for e in fresh}
    assert crossfit_fresh(short, both, ids) == crossfit_fresh(plain, both, ids)
    assert short.fits == []
    assert [gone for gone, _ in short.turns] == [{"f0"}, {"f1", "f2"}, {"f1", "f2"}]


def test_a_base_or_a_trainer_that_passes_means_fits():
    short = Shortcut()
    crossfit(short, data(rows()), base=ParrotModel({}))
    assert len(short.fits) == 5
    short.crossfit = lambda dataset, turns, *, seed=0: None
    assert {a.output for a in crossfit(short, data(rows())).values()} == {"never seen"}
    assert len(short.fits) == 10


def test_pairs_line_up_by_id():
    examples = [*rows(4), Example(id="s", input="s", label="s", origin="synthetic")]
    known = {e.id: Answer(e.label) for e in examples}
    wrong = {e.id: Answer("no", 0.3) for e in examples}
    lined = pairs(examples, task=TASK, fresh=["e1"], champion=wrong, candidate=known, placebo={"e1": Answer("l1")})
    assert [p.example.id for p in lined] == ["e0", "e1", "e2", "e3"]
    assert [p.fresh for p in lined] == [False, True, False, False]
    assert all(p.candidate_right and not p.champion_right for p in lined)
    assert [p.placebo_right for p in lined] == [None, True, None, None]
    assert pairs(examples, task=TASK, fresh=[], champion={}, candidate=known) == []


def test_agreement_finds_a_damaged_artefact():
    examples = rows(10)
    right = {e.id: Answer(e.label) for e in examples}
    sound, damaged = Parrot().fit(data(examples)), Parrot().fit(data(examples[:3]))
    assert agreement(sound, data(examples), right, TASK) == 1.0
    assert agreement(damaged, data(examples), right, TASK) == 0.3
    assert agreement(sound, data(examples), {"e0": Answer("wrong")}, TASK) is None
    assert answers(sound, examples[:1]) == {"e0": Answer("l0")}


@pytest.mark.slow
def test_ten_times_the_work_takes_about_ten_times_as_long():
    class Worker:
        def __init__(self, times):
            self.times = times

        def predict(self, inputs):
            total = 0
            for _ in range(2000 * self.times):
                total += 1
            return Predictions([total] * len(inputs))

    old, new = compare_latency(Worker(1), Worker(10), [1, 2, 3])
    assert new / old > 4
    old, new = compare_latency(Worker(4), Worker(4), [1, 2, 3])
    assert new / old < 2
    assert compare_latency(Worker(1), Worker(1), []) == (0.0, 0.0)
    start = time.perf_counter()
    compare_latency(Worker(1), Worker(300), [1])
    assert time.perf_counter() - start < 20
