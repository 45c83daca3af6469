"""The stream of scanned digits: what changes, when, and what is never mixed."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
images = pytest.importorskip("flywheelbench.streams.images")
has_data = pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA names no data")


@pytest.fixture
def made_digits(monkeypatch):
    """5,000 made-up images, and scans that show nothing but the number of their image and what was done to it."""
    digits = np.repeat(np.arange(10), 500)
    monkeypatch.setattr(images, "_mnist", lambda: (np.zeros((5000, 28, 28), dtype=np.float32), digits))
    monkeypatch.setattr(images, "_scans", lambda rng, pixels, cases: [[c.image, c.garbage] for c in cases])


def image_of(case):
    return case.input[0]


@pytest.mark.usefixtures("made_digits")
@pytest.mark.parametrize("null", [False, True])
def test_seed_traffic_and_sealed_share_no_image(null):
    world = images.make_images(3, null)
    traffic = {image_of(r) for spin in world.spins for r in spin}
    seed = {i for i, _ in world.seed_inputs}
    sealed = [image_of(c) for c in world.sealed]
    assert len(set(sealed)) == len(sealed) == 1500
    assert not traffic & set(sealed)
    assert not traffic & seed
    assert not seed & set(sealed)
    assert max(Counter(image_of(r) for spin in world.spins for r in spin).values()) <= 3


@pytest.mark.usefixtures("made_digits")
def test_seeds_differ():
    one, other = images.make_images(1), images.make_images(2)
    assert one.spins[0] != other.spins[0]
    assert one.seed_inputs != other.seed_inputs


@pytest.mark.usefixtures("made_digits")
def test_digits_and_scanners_come_when_they_should():
    world = images.make_images(4)
    seen = [{r.truth for r in spin} for spin in world.spins]
    assert [len(s) for s in seen] == [8] * 3 + [9] * 4 + [10] * 5
    assert set(world.seed_labels) == seen[0]
    assert set(Counter(world.seed_labels).values()) == {15}
    assert set(world.labels) == seen[-1]
    second = [np.mean([r.context["scanner"] == "B" for r in spin]) for spin in world.spins]
    assert second[:4] == [0] * 4
    expected = [images.scanner_share(s) for s in range(4, 12)]
    assert (expected[0], expected[-1]) == (0.1, 0.4)
    np.testing.assert_allclose(second[4:], expected, atol=0.08)
    assert np.mean([r.noise for spin in world.spins for r in spin]) == pytest.approx(0.03, abs=0.008)
    assert all(r.noise == r.input[1] for spin in world.spins for r in spin)
    assert [len(spin) for spin in world.spins] == [500] * 12


@pytest.mark.usefixtures("made_digits")
def test_quiet_offices_are_a_quarter_and_get_more_of_the_new_scanner():
    world = images.make_images(5)
    traffic = [r for spin in world.spins[4:] for r in spin]
    quiet = [r for r in traffic if r.group == "quiet"]
    assert len(quiet) / len(traffic) == pytest.approx(0.25, abs=0.03)
    assert len({r.context["office"] for r in quiet}) == 2
    assert not {r.user for r in quiet} & {r.user for r in traffic if r.group != "quiet"}
    shares = [np.mean([r.context["scanner"] == "B" for r in part if r.group == g]) for part in (traffic,) for g in
              ("quiet", "usual")]  # fmt: skip
    assert shares[0] / shares[1] == pytest.approx(2, rel=0.25)


@pytest.mark.usefixtures("made_digits")
def test_weights_are_the_population_of_each_spin():
    world = images.make_images(6)
    truths = np.array([c.truth for c in world.sealed])
    second = np.array(["scanner=B" in c.slices for c in world.sealed])
    quiet = np.array(["group=quiet" in c.slices for c in world.sealed])
    for spin, (weights, traffic) in enumerate(zip(world.weights, world.spins, strict=True)):
        assert weights.sum() == pytest.approx(1)
        present = {r.truth for r in traffic}
        assert set(truths[weights > 0]) == present
        for digit in present:
            assert weights[truths == digit].sum() == pytest.approx(1 / len(present))
        assert weights[second].sum() == pytest.approx(images.scanner_share(spin), abs=1e-9)
        assert weights[quiet].sum() == pytest.approx(0.25)
    late = [c for c in world.sealed if "late digit" in c.slices]
    assert {c.truth for c in late} == set(world.labels) - {r.truth for r in world.spins[0]}
    assert np.mean([c.input[1] for c in world.sealed]) == pytest.approx(0.03)


@pytest.mark.usefixtures("made_digits")
def test_nothing_changes_in_the_null_stream():
    world = images.make_images(7, null=True)
    assert {r.truth for spin in world.spins for r in spin} == set(world.seed_labels) == set(world.labels)
    assert {r.context["scanner"] for spin in world.spins for r in spin} == {"A"}
    assert {c.truth for c in world.sealed} == set(world.labels)
    assert not any(r.noise for spin in world.spins for r in spin)
    assert not world.gains
    for weights in world.weights:
        np.testing.assert_array_equal(weights, world.weights[0])


@pytest.mark.usefixtures("made_digits")
def test_time_and_luck_are_in_order():
    world = images.make_images(8)
    times = [r.at for spin in world.spins for r in spin]
    assert times == sorted(times)
    ids = [r.id for spin in world.spins for r in spin]
    assert len(set(ids)) == len(ids)
    delays = np.array([r.luck.delay_days for spin in world.spins for r in spin])
    assert np.median(delays) == pytest.approx(1, abs=0.08)
    assert np.mean(delays < 7) == pytest.approx(0.95, abs=0.01)
    uniform = np.array([[r.luck.report, r.luck.label, r.luck.retry] for spin in world.spins for r in spin])
    assert uniform.min() >= 0
    assert uniform.max() < 1
    np.testing.assert_allclose(uniform.mean(axis=0), 0.5, atol=0.02)


@has_data
def test_the_same_seed_draws_the_same_scans():
    one, again = images.make_images(1), images.make_images(1)
    assert one.spins[11] == again.spins[11]
    assert one.sealed == again.sealed
    assert one.seed_inputs == again.seed_inputs
    inputs = np.array([r.input for r in one.spins[11]])
    assert inputs.shape == (500, 196)
    assert inputs.min() >= 0
    assert inputs.max() <= 255
    second = np.array([r.context["scanner"] == "B" for r in one.spins[11]])
    garbage = np.array([r.noise for r in one.spins[11]])
    assert inputs[second & ~garbage].std(axis=1).mean() < 0.6 * inputs[~second & ~garbage].std(axis=1).mean()
