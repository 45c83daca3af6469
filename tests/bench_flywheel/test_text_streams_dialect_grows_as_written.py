"""The dialect stream of FlywheelBench: German first, dialect growing to 40 %, sentences held out in all varieties."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
dialect = pytest.importorskip("flywheelbench.streams.dialect")
texts = pytest.importorskip("flywheelbench.streams.text")

pytestmark = pytest.mark.skipif(
    not (Path(os.environ.get("FLYWHEEL_DATA", "/nowhere")) / "xsid").exists(), reason="FLYWHEEL_DATA has no xsid"
)
DIALECTS = ("de-CH", "de-IT")


@pytest.fixture(scope="module")
def world():
    return dialect.make(3)


@pytest.fixture(scope="module")
def control():
    return dialect.make(3, null=True)


def asked(world):
    return [request for requests in world.spins for request in requests]


def within(count, n, p, miss=1e-6):
    low, high = binom.ppf([miss, 1 - miss], n, p)
    return low <= count <= high


def test_the_same_seed_gives_the_same_world_and_another_seed_another(world):
    same, other = dialect.make(3), dialect.make(4)
    assert (world.spins, world.sealed, world.seed_inputs) == (same.spins, same.sealed, same.seed_inputs)
    assert all((a == b).all() for a, b in zip(world.weights, same.weights, strict=True))
    assert [r.input for r in asked(world)] != [r.input for r in asked(other)]


def test_dialects_grow_by_the_same_step_to_forty_percent_and_weigh_as_much(world):
    assert len(world.seed_inputs) == 300
    for spin, (requests, weight) in enumerate(zip(world.spins, world.weights, strict=True)):
        assert len(requests) == 400
        assert weight.sum() == pytest.approx(1.0)
        for variety, locale in dialect.LOCALES.items():
            share = 0.2 * spin / 11 if variety != "de" else 1 - 0.4 * spin / 11
            mine = np.array([f"variety={variety}" in case.slices for case in world.sealed])
            assert weight @ mine == pytest.approx(share)
            assert within(sum(r.context["locale"] == locale for r in requests), 400, share)


def test_nothing_sealed_is_ever_in_traffic_or_seed_in_any_variety(world, control):
    for made in (world, control):
        seen = {texts.plain(text) for text in [*(r.input for r in asked(made)), *made.seed_inputs]}
        sealed = {texts.plain(case.input) for case in made.sealed}
        assert not seen & sealed
        data = texts.xsid()
        varieties = dialect.LOCALES if made is world else ("de",)
        rows = [
            row
            for row in range(500)
            if all(texts.plain(data[f"{variety}.test"][row][0]) in sealed for variety in varieties)
        ]
        assert len(rows) >= len(made.sealed) // len(varieties)
        for variety in varieties:
            assert not seen & {texts.plain(data[f"{variety}.test"][row][0]) for row in rows}


def test_half_of_the_dialect_speakers_are_quiet_and_nobody_else(world):
    for request in asked(world):
        speaks = request.context["locale"] in DIALECTS
        assert (request.group == "quiet") == (speaks and request.context["device"] == "speaker")
    people = {r.user: r.group for r in asked(world) if r.context["locale"] in DIALECTS}
    assert 0.4 < np.mean([group == "quiet" for group in people.values()]) < 0.6
    last = world.weights[-1]
    quiet = np.array(["group=quiet" in case.slices for case in world.sealed])
    assert 0.13 < last @ quiet < 0.27


def test_every_truth_is_a_label_and_time_goes_on(world):
    assert {r.truth for r in asked(world)} <= set(world.labels)
    assert {case.truth for case in world.sealed} <= set(world.labels)
    times = [r.at for r in asked(world)]
    assert times == sorted(times)
    assert len({r.id for r in asked(world)}) == 4800


def test_the_control_stays_german_and_asks_what_the_seed_asks(control):
    assert not control.gains
    assert {r.context["locale"] for r in asked(control)} == {"de-DE"}
    assert {r.truth for r in asked(control)} <= set(control.seed_labels)
    assert all((weight == control.weights[0]).all() for weight in control.weights)
    there = {r.truth for r in asked(control)}
    seed = [label for label in control.seed_labels if label in there]
    for label in there:
        count = sum(r.truth == label for r in asked(control))
        assert within(count, 4800, seed.count(label) / len(seed))
