"""The tests behind a verdict: known answers, level under the null, power."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flywheel.prove.exact import (
    labels_needed,
    loss_interval,
    pairs_needed,
    proportion,
    shared_luck_test,
    sign_flip_test,
    sign_test,
    smallest_loss_seen,
    spent_alpha,
)
from flywheel.prove.history import allowed_no_gain, no_gain


@pytest.mark.parametrize(("wins", "losses"), [(9, 1), (5, 0), (0, 5), (31, 2), (10, 10), (0, 0)])
def test_sign_test_is_the_binomial_tail(wins, losses):
    n = wins + losses
    assert sign_test(wins, losses) == pytest.approx(sum(comb(n, k) for k in range(wins, n + 1)) / 2**n)


def test_sign_test_keeps_its_level_and_finds_a_lead():
    rng = np.random.default_rng(0)
    differ = rng.binomial(40, 0.4, 4000)
    for chance, least, most in ((0.5, 0.0, 0.05), (0.85, 0.8, 1.0)):
        wins = rng.binomial(differ, chance)
        share = np.mean([sign_test(int(w), int(d - w)) <= 0.05 for w, d in zip(wins, differ, strict=True)])
        assert least <= share <= most + 0.007


@pytest.mark.parametrize(("k", "n"), [(0, 10), (8, 10), (10, 10), (2, 900), (31, 40)])
def test_proportion_is_clopper_pearson(k, n):
    wanted = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert proportion(k, n, 0.025) == pytest.approx((wanted.low, wanted.high))


def _brute_upper(losses, wins, n, alpha):
    """Tango's limit from its definition: maximise the trinomial likelihood under each difference, by search."""
    z = stats.norm.isf(alpha)
    for delta in np.linspace((losses - wins) / n, 0.5, 4000)[1:]:
        q = np.linspace(max(0, -delta), (1 - delta) / 2, 4001)[1:-1]  # the chance of a win; of a loss it is q + delta
        loglik = losses * np.log(q + delta) + wins * np.log(q) + (n - losses - wins) * np.log(1 - 2 * q - delta)
        best = q[np.argmax(loglik)]
        if (losses - wins - n * delta) / np.sqrt(n * (2 * best + delta * (1 - delta))) <= -z:
            return delta
    return 0.5


@pytest.mark.parametrize(("losses", "wins", "n"), [(1, 0, 44), (4, 3, 158), (10, 4, 120), (2, 8, 60)])
def test_loss_interval_is_tangos(losses, wins, n):
    assert loss_interval(losses, wins, n)[1] == pytest.approx(_brute_upper(losses, wins, n, 0.05), abs=2e-3)


def test_loss_interval_without_any_difference_has_a_closed_form():
    z2 = stats.norm.isf(0.05) ** 2
    assert loss_interval(0, 0, 200)[1] == pytest.approx(z2 / (200 + z2), rel=1e-6)
    assert loss_interval(0, 0, 0) == (-1.0, 1.0)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400))
def test_loss_interval_holds_the_estimate_and_mirrors(losses, wins, same):
    n = losses + wins + same
    if n == 0:
        return
    low, high = loss_interval(losses, wins, n)
    assert -1 <= low <= (losses - wins) / n + 1e-9
    assert (losses - wins) / n - 1e-9 <= high <= 1
    mirrored = loss_interval(wins, losses, n)
    assert mirrored == pytest.approx((-high, -low), abs=1e-6)


def test_non_inferiority_by_the_interval_keeps_its_level():
    """Candidates that lose the margin (2 %) are called non-inferior in about 5 % of suites; equal ones far more."""
    rng = np.random.default_rng(1)
    n, margin = 600, 0.02
    for lose, win, least, most in ((0.035, 0.015, 0.02, 0.07), (0.01, 0.01, 0.85, 1.0)):
        draws = rng.multinomial(n, [lose, win, 1 - lose - win], 1500)
        share = np.mean([loss_interval(int(a), int(b), n)[1] <= margin for a, b, _ in draws])
        assert least <= share <= most


def test_a_larger_suite_sees_smaller_losses():
    seen = [smallest_loss_seen(n // 25, n) for n in (50, 200, 1000, 5000)]
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 0.01
    assert smallest_loss_seen(0, 0) == 1.0


def test_all_looks_together_spend_alpha():
    levels = [spent_alpha(0.05, look) for look in range(1, 100_000)]
    assert levels == sorted(levels, reverse=True)
    assert 0.0499 < sum(levels) < 0.05


def test_sign_flips_keep_their_level_and_find_what_is_there():
    rng = np.random.default_rng(1)
    assert sign_flip_test(np.array([0.1, 0.2, -0.05])) == 2 / 8
    assert sign_flip_test(np.zeros(30)) == 1.0
    quiet = [sign_flip_test(rng.standard_t(2, 60), draws=999) for _ in range(600)]
    assert np.mean(np.array(quiet) <= 0.05) < 0.075
    assert np.mean([sign_flip_test(rng.normal(0.4, 1, 60), draws=999) <= 0.05 for _ in range(200)]) > 0.85


def test_a_test_that_allows_for_shared_luck_keeps_its_level_and_the_other_does_not():
    rng = np.random.default_rng(3)

    def once(gain):
        luck, cases = rng.normal(0, 0.03, 5), rng.normal(0, 0.2, (5, 60))
        said = luck[:, None] + cases
        gaps = said[0] + gain - said[1:].mean(axis=0)
        return shared_luck_test(gaps, said[1:].mean(axis=1)), sign_flip_test(gaps, draws=499)

    quiet = np.array([once(0.0) for _ in range(1500)])
    assert (quiet[:, 0] <= 0.1).mean() < 0.12
    assert (quiet[:, 1] <= 0.1).mean() > 0.18
    assert np.mean([once(0.15)[0] <= 0.1 for _ in range(300)]) > 0.9
    assert shared_luck_test(np.zeros(9), np.zeros(3)) == 1.0


def test_history_calls_nothing_a_gain_seldom_and_finds_a_steady_one():
    rng = np.random.default_rng(4)

    def passes(gain, spins=12):
        told, passed = [], []
        for _ in range(spins):
            seen = rng.normal(gain, 0.02)
            passed.append(seen > 0 and no_gain(seen, 0.02, told) <= 0.1)
            told.append((seen, 0.02))
        return np.mean(passed[1:])

    assert np.mean([passes(0.0) for _ in range(200)]) < 0.06
    assert np.mean([passes(0.03) for _ in range(100)]) > 0.8
    assert no_gain(0.0, 0.02) == pytest.approx(0.5, abs=0.01)
    assert no_gain(0.5, 0.001) < 1e-9


def _released(rng, spread, mean=0.015, spins=12, error=0.02):
    """Of the releases of a product whose spins truly gain so much on average: how many, and how many gained nothing."""
    told, chances, good, idle = [], [], 0, 0
    for gain in rng.normal(mean, spread, spins):
        seen = rng.normal(gain, error)
        none = no_gain(seen, error, told)
        if told and seen > 0 and none <= allowed_no_gain(0.1, chances):
            chances.append(none)
            good, idle = good + (gain > 0), idle + (gain <= 0)
        told.append((seen, error))
    return good, idle


def test_of_all_that_is_released_no_more_gained_nothing_than_is_allowed():
    rng = np.random.default_rng(8)
    for spread in (0.005, 0.02):
        good, idle = np.sum([_released(rng, spread) for _ in range(300)], axis=0)
        assert idle / (good + idle) < 0.12
    found = np.array([_released(rng, 0.01, mean=0.03) for _ in range(100)])
    assert found[:, 0].mean() > 9, "of eleven"
    nothing = np.array([_released(rng, 0.0, mean=0.0) for _ in range(200)])
    assert nothing.sum() / (200 * 11) < 0.1, "where no spin gains, seldom is any released"


def test_room_for_a_doubtful_release_is_earned_by_certain_ones():
    assert allowed_no_gain(0.1) == 0.1
    assert allowed_no_gain(0.1, [0.05]) == pytest.approx(0.15)
    assert allowed_no_gain(0.1, [0.4] * 9 + [0.0] * 4) == 0.5, "only the last four count, up to one half"
    assert allowed_no_gain(0.1, [0.4, 0.3]) == 0.0


def test_pairs_needed_bring_the_power_they_promise():
    rng = np.random.default_rng(2)
    n = pairs_needed(np.array([0.4, -0.2, 0.5, 0.1, -0.1, 0.4] * 5), alpha=0.03)
    sample = np.array([0.4, -0.2, 0.5, 0.1, -0.1, 0.4])
    power = np.mean([sign_flip_test(rng.choice(sample, n), draws=999) <= 0.03 for _ in range(300)])
    assert power > 0.72


def test_labels_needed_bring_the_power_they_promise():
    n = labels_needed(10, 2, 40, alpha=0.03)
    rng = np.random.default_rng(2)
    draws = rng.multinomial(n, [10.5 / 41, 2.5 / 41, 28 / 41], 3000)
    power = np.mean([sign_test(int(w), int(lost)) <= 0.03 for w, lost, _ in draws])
    assert 0.68 <= power <= 0.92
    assert labels_needed(0, 5, 40, 0.03) <= 2000
    assert labels_needed(20, 0, 40, 0.03) < labels_needed(8, 4, 40, 0.03)
