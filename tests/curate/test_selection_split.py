"""The split of the budget: chances that add up, samples that keep them, strategies that rise when their labels mend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.curate.space import surroundings
from flywheel.curate.split import draw_evenly, first_of, learn_split, mixture, ranks, shares_of
from flywheel.curate.strategies import STRATEGIES, chance, lifted


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 150), budget=st.integers(1, 160), seed=st.integers(0, 2**32 - 1))
def test_chances_sum_to_the_budget_and_a_sample_has_that_size(n, budget, seed):
    generator = np.random.default_rng(seed)
    worths = {name: generator.random(n) for name in STRATEGIES}
    shares = shares_of({name: float(generator.normal()) for name in STRATEGIES})
    chances, alone = mixture(worths, shares, budget)
    assert chances.sum() == pytest.approx(min(n, budget))
    assert chances.min() >= 0
    assert chances.max() <= 1
    assert set(alone) == set(STRATEGIES)
    drawn = draw_evenly(chances, generator)
    assert len(drawn) == len(set(drawn)) == min(n, budget)


def test_a_systematic_sample_keeps_every_chance():
    chances = np.array([1.0, 0.9, 0.5, 0.3, 0.2, 0.1])
    generator = np.random.default_rng(0)
    seen = np.zeros(6)
    for _ in range(4000):
        seen[draw_evenly(chances, generator)] += 1
    assert np.abs(seen / 4000 - chances).max() < 0.03


def test_a_strategy_alone_asks_its_first_for_certain_and_its_last_never():
    chances = first_of(ranks(np.arange(100.0)), 20)
    assert chances[-10:].min() > 0.99
    assert chances[:60].max() < 1e-3
    assert chances.sum() == pytest.approx(20, abs=0.1)


def labels_of(good, n=100, seed=0, gain=0.6):
    """Labels asked evenly; those that `good` wanted mend more often."""
    generator = np.random.default_rng(seed)
    names = list(STRATEGIES)
    whose = generator.integers(len(names), size=n)
    wanted = [{name: 0.9 if names[k] == name else 0.05 for name in names} for k in whose]
    mended = [float(generator.random() < (gain if names[k] == good else 0.2)) for k in whose]
    return wanted, [0.3] * n, mended


@pytest.mark.parametrize("good", list(STRATEGIES))
def test_the_strategy_whose_labels_mend_gets_the_larger_share(good):
    learnt: dict[str, float] = {}
    for spin in range(8):
        learnt = learn_split(learnt, *labels_of(good, seed=spin))
    shares = shares_of(learnt)
    assert max(shares, key=shares.get) == good
    assert shares[good] > 0.5
    assert min(shares.values()) >= 0.04
    assert sum(shares.values()) == pytest.approx(1)


def test_where_all_mend_alike_no_strategy_is_ousted():
    ends = []
    for run in range(40):
        learnt: dict[str, float] = {}
        for spin in range(6):
            learnt = learn_split(learnt, *labels_of("failing", seed=1000 * run + spin, gain=0.2))
        ends.append(shares_of(learnt)["failing"])
    assert np.mean(ends) == pytest.approx(STRATEGIES["failing"], abs=0.15)


def test_what_was_right_for_long_can_be_unlearnt():
    learnt: dict[str, float] = {}
    for spin in range(30):
        learnt = learn_split(learnt, *labels_of("told", seed=spin))
    for spin in range(8):
        learnt = learn_split(learnt, *labels_of("doubtful", seed=100 + spin))
    shares = shares_of(learnt)
    assert shares["doubtful"] > shares["told"]


def test_labels_that_no_strategy_wanted_teach_nothing():
    assert learn_split({}, [{}, {}], [0.1, 0.2], [1.0, 0.0]) == dict.fromkeys(STRATEGIES, 0.0)


def test_without_a_model_that_says_how_sure_it_is_the_signs_decide():
    doubt = np.array([np.nan, 0.5, 0.1])
    found = chance(doubt, np.zeros(3), np.array([0.7, 0.1, 0.1]))
    assert found[0] == 0.7
    assert found[1] == pytest.approx(0.5)
    assert found[2] == pytest.approx(0.1)


def test_groups_that_complain_more_are_not_lowered():
    doubt = np.full(100, 0.2)
    users = ["loud"] * 50 + ["quiet"] * 50
    told = np.array([2.0] * 10 + [0.0] * 90)
    chances = chance(doubt, told, doubt)
    fair = lifted(chances, doubt, users)
    assert (fair[:50] == chances[:50]).all()
    assert fair[50:].mean() > chances[50:].mean()
    assert (lifted(chances, doubt, ["all"] * 100) == chances).all()


@pytest.mark.parametrize(
    "inputs",
    [
        [[float(k % 3), 0.1 * k] for k in range(30)],
        [{"age": 30 + k % 2, "plan": "gold"} for k in range(30)],
        [f"order {k % 4} is late" for k in range(30)],
        [[{"role": "user", "content": f"order {k % 4} is late"}] for k in range(30)],
        [None, 3, "x", {"a": 1}, [1, "b"]] * 6,
    ],
)
def test_any_kind_of_input_has_surroundings(inputs):
    found = surroundings(inputs, np.ones(len(inputs)))
    assert found.shape == (30,)
    assert (found >= 0).all()
    assert (found <= 1 + 1e-9).all()
    assert found.max() > 0.3
