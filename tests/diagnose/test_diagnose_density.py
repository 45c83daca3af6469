"""Points that lie densely together are one region, however few or many regions there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.diagnose.clusters import cluster
from flywheel.diagnose.density import neighbours, regions


def clumps(groups, each, seed=0, d=8, apart=9.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d))
    centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
    truth = np.arange(groups * each) % groups
    return rng.normal(size=(len(truth), d)) * 0.5 + centres[truth], truth


def purity(truth, found):
    return sum(np.bincount(truth[found == g]).max() for g in range(found.max() + 1)) / len(truth)


def test_the_graph_is_symmetric_without_loops_and_ties_the_nearest():
    points, _ = clumps(3, 20)
    graph = neighbours(points, k=4)
    assert abs(graph - graph.T).max() == 0
    assert graph.diagonal().sum() == 0
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    assert all(graph[row, nearest[row]] >= 0.5 for row in range(len(points)))
    assert set(graph.data.tolist()) <= {0.5, 1.0}


def test_modularity_is_what_its_definition_says():
    points, _ = clumps(3, 20, apart=2.0)
    graph = neighbours(points, k=4)
    labels, value = regions(graph, resolution=0.7)
    degree, total = np.asarray(graph.sum(axis=1)).ravel(), graph.sum()
    same = labels[:, None] == labels[None]
    by_hand = float(np.sum((graph.toarray() - 0.7 * np.outer(degree, degree) / total) * same) / total)
    assert value == pytest.approx(by_hand)


@pytest.mark.parametrize("groups", [2, 6, 30, 60])
def test_as_many_groups_are_found_as_there_are(groups):
    points, truth = clumps(groups, 24, d=32)
    found = cluster(points)
    assert groups <= found.max() + 1 <= max(groups + 1, 1.15 * groups)
    assert purity(truth, found) > 0.98


def test_there_are_never_more_groups_than_asked_for():
    points, truth = clumps(30, 20, d=32)
    for most in (1, 2, 7, 29):
        found = cluster(points, most=most)
        assert found.max() + 1 <= most
    # What is joined is joined whole.
    assert all(len(set(found[truth == g].tolist())) == 1 for g in range(30))


def test_many_points_are_grouped_as_few_are():
    points, truth = clumps(12, 180, d=16)
    found = cluster(points)
    assert 12 <= found.max() + 1 <= 14
    assert purity(truth, found) > 0.98


def test_a_higher_resolution_gives_more_regions():
    graph = neighbours(clumps(10, 30, apart=3.0)[0])
    counts = [int(regions(graph, r)[0].max()) + 1 for r in (0.25, 1.0, 8.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 60), d=st.integers(1, 5), seed=st.integers(0, 99), whole=st.booleans())
def test_any_points_get_a_number_each_the_first_point_zero(n, d, seed, whole):
    points = np.random.default_rng(seed).normal(size=(n, d))
    found = cluster(np.round(points) if whole else points, seed=seed)
    assert len(found) == n
    if n:
        assert found[0] == 0
        assert set(found.tolist()) == set(range(found.max() + 1))
