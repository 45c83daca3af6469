"""What each circumstance adds, the others held alike: known answers, power, quiet, and what cannot be told apart."""

import numpy as np
import pytest
from slice_window import failing, phones, window

from flywheel.errors import InvalidConfig
from flywheel.observe.influences import influences
from flywheel.observe.influences.model import RIDGE, Design, fit, pairs_of_levels


def only_the_network(rng, columns, effect=0.12):
    slow = columns["context.network"] == "3g"
    return (rng.random(len(slow)) < 0.08 + effect * slow).astype(float)


def test_only_the_network_matters_though_old_devices_fail_more_too():
    rng, columns = phones(12000)
    loss = only_the_network(rng, columns)
    old = columns["context.device"] == "old"
    assert loss[old].mean() - loss[~old].mean() > 0.04
    (one,) = influences(window(columns), failing(loss))
    assert one.where.conditions == (("network", "3g"),)
    assert one.interval.low < 0.12 < one.interval.high
    assert one.interval.high - one.interval.low < 0.09
    assert one.line.startswith(f"network=3g adds {one.effect * 100:.1f} points of failures beside network=wifi")
    assert any("Held alike: network, device, locale" in line for line in one.evidence)
    assert one.chart["x"] == ["3g", "4g"]


def test_a_value_that_saves_failures_is_told():
    rng, columns = phones(12000)
    wifi = columns["context.network"] == "wifi"
    found = influences(window(columns), failing((rng.random(12000) < 0.08 + 0.12 * wifi).astype(float)))
    assert {one.name for one in found} == {"network=3g", "network=4g"}
    for one in found:
        assert "saves" in one.line
        assert one.interval.low < -0.12 < one.interval.high
        assert not one.alarm


def test_two_values_that_do_more_together_than_apart_are_a_pair():
    rng, columns = phones(16000)
    both = (columns["context.network"] == "4g") & (columns["context.device"] == "old")
    found = influences(window(columns), failing((rng.random(16000) < 0.08 + 0.2 * both).astype(float)))
    pair = [one for one in found if len(one.where.conditions) == 2]
    assert [set(one.where.conditions) for one in pair] == [{("network", "4g"), ("device", "old")}]
    assert pair[0].interval.low < 0.2 < pair[0].interval.high
    assert "together add" in pair[0].line


def test_what_only_the_earlier_part_shows_is_not_told():
    rng, columns = phones(12000)
    slow = (columns["context.network"] == "3g") & (np.arange(12000) < 7200)
    loss = (rng.random(12000) < 0.08 + 0.15 * slow).astype(float)
    assert influences(window(columns), failing(loss)) == []


def test_columns_that_say_the_same_are_told_once_with_both_names():
    rng, columns = phones(12000)
    twin = np.where(columns["context.network"] == "3g", "c", np.where(columns["context.network"] == "4g", "b", "a"))
    found = influences(window({**columns, "context.carrier": twin}), failing(only_the_network(rng, columns)))
    assert [str(one.where) for one in found] == ["network=3g"]
    assert "carrier goes with network and cannot be told from it" in found[0].evidence


def test_rows_of_one_user_are_not_so_many_witnesses():
    rng, columns = phones(9000)
    people = rng.integers(0, 30, 9000)
    columns["context.network"] = np.where(people < 8, "3g", "wifi")
    risk = rng.beta(0.5, 4.5, 30)[people]
    loss = (rng.random(9000) < risk).astype(float)
    names = [f"u{one}" for one in people]
    apart = influences(window(columns), failing(loss), columns=["context.network"], least=0.0)
    together = influences(window(columns, users=names), failing(loss), columns=["context.network"], least=0.0)
    assert together == []
    assert not apart or apart[0].interval.high - apart[0].interval.low < 0.2


def test_the_hour_of_the_day_is_an_influence_in_a_long_window():
    rng, columns = phones(12000)
    hours = (np.arange(12000) * 2 / 60) % 24
    loss = (rng.random(12000) < np.where((hours >= 16) & (hours < 20), 0.25, 0.08)).astype(float)
    found = influences(window(columns, minutes=2), failing(loss))
    assert "hour of day=16 to 20" in [one.name for one in found]
    assert all("hour of day" in one.name for one in found)


def test_the_fit_is_where_its_gradient_vanishes():
    rng = np.random.default_rng(0)
    codes = np.array([rng.integers(0, 3, 400), rng.integers(0, 2, 400)])
    design = Design((3, 2), (0, 1), ((0, 2, 1, 0),))
    loss = (rng.random(400) < 0.1 + 0.3 * (codes[0] == 2)).astype(float)
    model = fit(design, codes, np.ones(400), loss)
    matrix = design.matrix(codes).toarray()
    assert matrix.shape == (400, 5)
    assert (matrix[:, 4] == (codes[0] == 2) * (codes[1] == 0)).all()
    gradient = matrix.T @ (loss - model.expected(codes)) - np.array([1e-6, *[RIDGE] * 4]) * model.beta
    assert np.abs(gradient).max() < 1e-4


def test_an_effect_is_the_mean_difference_of_two_whole_worlds():
    rng = np.random.default_rng(1)
    codes = np.array([rng.integers(0, 3, 500), rng.integers(0, 2, 500)])
    loss = (rng.random(500) < 0.1 + 0.3 * (codes[0] == 2)).astype(float)
    model = fit(Design((3, 2), (0, 0)), codes, np.ones(500), loss)
    effect = model.effect(((1.0, ((0, 2),)), (-1.0, ((0, 0),))))
    worlds = [np.where([[True], [False]], level, codes) for level in (2, 0)]
    high, low = (model.expected(world).mean() for world in worlds)
    assert effect.size == pytest.approx(high - low)
    assert (effect.risk, effect.beside) == (pytest.approx(high), pytest.approx(low))


def test_pairs_are_chosen_only_where_two_levels_explain_too_little():
    rng = np.random.default_rng(2)
    codes = np.array([rng.integers(0, 3, 8000), rng.integers(0, 3, 8000)])
    apart = 0.1 + 0.1 * (codes[0] == 1) + 0.1 * (codes[1] == 2)
    design = Design((3, 3), (0, 0))
    assert pairs_of_levels(design, codes, np.ones(8000), (rng.random(8000) < apart).astype(float)) == ()
    joint = apart + 0.3 * ((codes[0] == 1) & (codes[1] == 2))
    assert (0, 1, 1, 2) in pairs_of_levels(design, codes, np.ones(8000), (rng.random(8000) < joint).astype(float))


def test_nothing_to_say_about_nothing():
    _, columns = phones(400)
    seen = window(columns)
    assert influences(seen, failing([0.0] * 400)) == []
    assert influences(seen, failing([1.0] * 10)) == []
    with pytest.raises(InvalidConfig, match="sample is 0"):
        influences(seen, failing([0.0] * 400), sample=0)


@pytest.mark.slow
def test_quiet_windows_have_no_influences():
    """False alarms: 40 windows, in half of which failures come in bursts of time."""
    told = 0
    for seed in range(40):
        rng, columns = phones(6000, seed)
        risk = np.full(6000, 0.08)
        if seed % 2:
            for start in rng.integers(0, 5700, 4):
                risk[start : start + 300] = 0.4
        told += bool(influences(window(columns, seed=seed, minutes=4), failing(rng.random(6000) < risk), seed=seed))
    assert told <= 4


@pytest.mark.slow
def test_intervals_hold_what_is_true_and_influences_are_found():
    """Power and coverage: 40 windows of 8,000 in which 3g adds 10 points."""
    hits = covered = 0
    for seed in range(40):
        rng, columns = phones(8000, seed)
        loss = only_the_network(rng, columns, 0.10)
        found = [one for one in influences(window(columns, seed=seed), failing(loss)) if one.name == "network=3g"]
        hits += len(found)
        covered += sum(one.interval.low <= 0.10 <= one.interval.high for one in found)
    assert hits >= 36
    assert covered >= 34
