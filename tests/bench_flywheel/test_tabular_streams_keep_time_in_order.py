"""The survey and the bank's campaign: order of time, sealed rows apart, nulls that do not change."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
tabular = pytest.importorskip("flywheelbench.streams.tabular")
has_data = pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA names no data")
BANK_ROWS = 41_188


@pytest.fixture
def made_rows(monkeypatch):
    """Tables whose rows carry their own number: in `AGEP` for the survey, in `campaign` for the bank."""

    def survey(begin, n):
        rows = np.empty((n, len(tabular.FEATURES) + 1), dtype=object)
        rows[:] = "1"
        rows[:, 0] = np.arange(begin, begin + n)
        rows[:, -1] = np.arange(n) % 2
        return rows

    years = {year: survey(100_000 * k, 20_000) for k, year in enumerate(("2016", "2017", "2018"), start=1)}
    monkeypatch.setattr(tabular, "_acs", lambda: (survey(0, 20_000), years))
    names = ("age", "job", "contact", "campaign")
    rows = [[20 + i % 40, "admin.", "cellular", i, "yes" if i > 30_000 else "no"] for i in range(BANK_ROWS)]
    monkeypatch.setattr(tabular, "_bank", lambda: (names, rows))


def numbers(world, key):
    return (
        [x[key] for x in world.seed_inputs],
        [[r.input[key] for r in spin] for spin in world.spins],
        [c.input[key] for c in world.sealed],
    )


@pytest.mark.usefixtures("made_rows")
@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize(("make", "key"), [("make_acs", "AGEP"), ("make_bank", "campaign")])
def test_no_row_is_used_twice(make, key, null):
    seed, spins, sealed = numbers(getattr(tabular, make)(3, null), key)
    every = [*seed, *(n for spin in spins for n in spin), *sealed]
    assert len(set(every)) == len(every)
    assert len(seed) == 1000
    assert [len(spin) for spin in spins] == [1000] * 12


@pytest.mark.usefixtures("made_rows")
@pytest.mark.parametrize(("make", "key"), [("make_acs", "AGEP"), ("make_bank", "campaign")])
def test_seeds_differ(make, key):
    one, other = (numbers(getattr(tabular, make)(seed), key) for seed in (1, 2))
    assert set(one[0]) != set(other[0])
    assert one[1] != other[1]


@pytest.mark.usefixtures("made_rows")
def test_survey_years_come_in_order_and_weigh_their_own_spins():
    world = tabular.make_acs(4)
    seed, spins, sealed = numbers(world, "AGEP")
    assert {n // 100_000 for n in seed} == {0}
    assert [{n // 100_000 for n in spin} for spin in spins] == [{1}] * 4 + [{2}] * 4 + [{3}] * 4
    year = np.array(sealed) // 100_000
    for spin, weights in enumerate(world.weights):
        assert weights.sum() == pytest.approx(1)
        assert set(year[weights > 0]) == {1 + spin // 4}
    assert len(sealed) == 5000
    assert world.late
    assert not world.gains
    assert spins[0] != sorted(spins[0])  # shuffled within the year


@pytest.mark.usefixtures("made_rows")
def test_bank_periods_come_in_order_and_weigh_their_own_spins():
    world = tabular.make_bank(4)
    seed, spins, sealed = numbers(world, "campaign")
    assert max(seed) < tabular.BANK_START <= min(spins[0])
    flat = [n for spin in spins for n in spin]
    assert flat == sorted(flat)
    assert spins[-1][-1] > BANK_ROWS - 100
    held = np.array(sealed)
    for spin, weights in zip(spins, world.weights, strict=True):
        assert weights.sum() == pytest.approx(1)
        period = held[weights > 0]
        assert len(period) > 500
        assert abs(period.min() - spin[0]) < 50  # the same stretch of the file
        assert abs(period.max() - spin[-1]) < 50
    assert not world.late
    assert not world.gains


@pytest.mark.usefixtures("made_rows")
@pytest.mark.parametrize("make", ["make_acs", "make_bank"])
def test_nothing_changes_in_the_null_stream(make):
    world = getattr(tabular, make)(5, null=True)
    shares = [np.mean([r.truth == "yes" for r in spin]) for spin in world.spins]
    start = np.mean([label == "yes" for label in world.seed_labels])
    np.testing.assert_allclose(shares, start, atol=0.09)  # four standard errors
    for weights in world.weights:
        np.testing.assert_allclose(weights, 1 / len(world.sealed))


@has_data
@pytest.mark.parametrize("make", ["make_acs", "make_bank"])
def test_the_same_seed_draws_the_same_rows(make):
    one, again = (getattr(tabular, make)(1) for _ in range(2))
    assert one.spins == again.spins
    assert one.sealed == again.sealed
    assert one.seed_inputs == again.seed_inputs
    times = [r.at for spin in one.spins for r in spin]
    assert times == sorted(times)


@has_data
def test_real_survey_has_its_features_and_no_prediction():
    world = tabular.make_acs(0)
    assert all(set(r.input) <= set(tabular.FEATURES) for spin in world.spins for r in spin)
    assert {r.context["sex"] for r in world.spins[0]} == {"male", "female"}
    assert {"SEX=1", "SEX=2"} <= {s for c in world.sealed for s in c.slices}
    assert world.protected == ("sex",)
    truth = np.array([c.truth == "yes" for c in world.sealed])
    assert [w @ truth for w in world.weights] == pytest.approx([0.5] * 12, abs=0.04)


@has_data
def test_real_campaign_shifts_and_hides_the_length_of_the_call():
    world = tabular.make_bank(0)
    assert all("duration" not in r.input and "y" not in r.input for spin in world.spins for r in spin)
    truth = np.array([c.truth == "yes" for c in world.sealed])
    rates = [float(w @ truth) for w in world.weights]
    assert max(rates[:4]) < 0.08
    assert rates[-1] > 0.35
    quiet = np.mean([r.group == "quiet" for spin in world.spins for r in spin])
    assert 0.1 < quiet < 0.2
