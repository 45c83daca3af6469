"""Groups are found where there are some, and none where there is only noise."""

import numpy as np
import pytest

from flywheel.diagnose.clusters import cluster

SIZES = [(60, 64), (150, 20), (400, 64), (1000, 10)]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_noise_is_one_group(n, d):
    counts = [cluster(np.random.default_rng(seed).normal(size=(n, d))).max() + 1 for seed in range(10)]
    assert counts.count(1) >= 9


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("groups", [2, 3, 5])
def test_groups_are_found(n, d, groups):
    truth = np.arange(n) % groups
    for seed in range(3):
        points = np.random.default_rng(seed).normal(size=(n, d)) + np.eye(d)[truth] * 7
        found = cluster(points)
        purity = sum(np.bincount(truth[found == g]).max() for g in range(found.max() + 1)) / n
        assert groups <= found.max() + 1 <= groups + 1
        assert purity > 0.98


def test_a_stretched_cloud_is_still_one_group():
    rng = np.random.default_rng(0)
    assert cluster(rng.normal(size=(300, 10)) * np.array([20, 5] + [1] * 8)).max() == 0


def test_the_same_points_give_the_same_groups():
    points = np.random.default_rng(1).normal(size=(700, 12)) + np.repeat(np.eye(12)[:7] * 4, 100, axis=0)
    assert np.array_equal(cluster(points, seed=3), cluster(points.copy(), seed=3))


def test_few_or_equal_points_are_one_group():
    assert cluster(np.zeros((3, 2))).tolist() == [0, 0, 0]
    assert set(cluster(np.ones((50, 2))).tolist()) == {0}
    assert cluster(np.zeros((0, 4))).tolist() == []
