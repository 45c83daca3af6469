"""The text streams of FlywheelBench: the same for the same seed, closed to the sealed test, as streams.md has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
crowd = pytest.importorskip("flywheelbench.streams.crowd")
intents = pytest.importorskip("flywheelbench.streams.intents")
noise = pytest.importorskip("flywheelbench.streams.noise")
texts = pytest.importorskip("flywheelbench.streams.text")
STREAMS = pytest.importorskip("flywheelbench.streams").STREAMS

needs_data = pytest.mark.skipif(
    not (Path(os.environ.get("FLYWHEEL_DATA", "/nowhere")) / "clinc150").exists(),
    reason="FLYWHEEL_DATA has no clinc150",
)
PLOTS = ("intents", "banking")


@pytest.fixture(scope="module")
def worlds():
    made = {}

    def get(name, seed=0):
        if (name, seed) not in made:
            made[name, seed] = STREAMS[name](seed)
        return made[name, seed]

    return get


def asked(world):
    return [request for requests in world.spins for request in requests]


def within(count, n, p, miss=1e-6):
    low, high = binom.ppf([miss, 1 - miss], n, p)
    return low <= count <= high


def test_every_stream_has_its_control():
    assert set(STREAMS) == {
        name + end for name in ("intents", "banking", "dialect", "images", "acs", "bank") for end in ("", "-null")
    }


# --- damage ---


def test_damage_is_the_same_for_the_same_chance_and_changes_a_text():
    text = "please tell me the balance of my account"
    one = [noise.damage(text, np.random.default_rng([7, n])) for n in range(200)]
    assert one == [noise.damage(text, np.random.default_rng([7, n])) for n in range(200)]
    assert np.mean([found != text for found, _ in one]) > 0.95


def test_damage_cuts_the_share_written_and_calls_hopeless_what_is_left_of_short_texts():
    rng = np.random.default_rng(1)
    text = "one two three four five six seven eight"
    cut = sum(len(noise.damage(text, rng)[0]) < 0.7 * len(text) for _ in range(4000))
    assert within(cut, 4000, noise.CUT)
    hopeless = [found for found, gone in (noise.damage("where are you", rng) for _ in range(4000)) if gone]
    assert within(len(hopeless), 4000, noise.CUT)
    assert all(len(found.split()) < noise.FEWEST_WORDS for found in hopeless)


@pytest.mark.parametrize("text", ["", "?", "a", "42", "ü", "ab"])
def test_damage_bears_texts_with_few_letters(text):
    rng = np.random.default_rng(0)
    for _ in range(50):
        found, _ = noise.damage(text, rng)
        assert isinstance(found, str)


def test_slips_are_one_to_three():
    rng = np.random.default_rng(2)
    text = "abcdefghijklmnopqrstuvwxyz"
    kept = [found for found, _ in (noise.damage(text, rng) for _ in range(500)) if len(found) > 20]
    assert max(abs(len(found) - len(text)) for found in kept) <= 3


# --- likeness of labels ---


def test_labels_with_the_same_words_are_confusable_and_others_are_not():
    said = {
        "a": ["my card is lost", "lost card"],
        "b": ["my card is lost now", "card lost"],
        "c": ["play some jazz"] * 2,
    }
    assert texts.alike(said) == {"a": ("b",), "b": ("a",)}


# --- the plot ---


@needs_data
@pytest.mark.parametrize("name", PLOTS)
def test_the_same_seed_gives_the_same_world_and_another_seed_another(name, worlds):
    one, same, other = worlds(name), STREAMS[name](0), worlds(name, 1)
    assert one.spins == same.spins
    assert one.sealed == same.sealed
    assert (one.seed_inputs, one.seed_labels, one.confusable) == (same.seed_inputs, same.seed_labels, same.confusable)
    assert all((a == b).all() for a, b in zip(one.weights, same.weights, strict=True))
    assert [r.input for r in asked(one)] != [r.input for r in asked(other)]
    assert set(one.seed_labels) != set(other.seed_labels)


@needs_data
@pytest.mark.parametrize("name", [*PLOTS, "intents-null", "banking-null"])
def test_nothing_sealed_is_ever_in_traffic_or_seed(name, worlds):
    world = worlds(name)
    data = texts.clinc150() if name.startswith("intents") else texts.banking77()
    official = {texts.plain(text) for text, _ in data.sealed} | {texts.plain(text) for text in data.sealed_beyond}
    seen = {texts.plain(text) for text in [*(r.input for r in asked(world)), *world.seed_inputs]}
    assert not seen & official
    assert not seen & {texts.plain(case.input) for case in world.sealed}


@needs_data
@pytest.mark.parametrize(("name", "first", "block"), [("intents", 105, 15), ("banking", 50, 9)])
def test_a_class_comes_at_its_spin_and_not_before(name, first, block, worlds):
    world = worlds(name)
    known = set(world.seed_labels)
    assert len(known) == first
    assert len(world.seed_labels) == 20 * first
    assert world.out_of_scope not in known
    for spin, requests in enumerate(world.spins):
        fresh = {r.truth for r in requests} - known - {world.out_of_scope}
        if spin in intents.ARRIVALS:
            assert block // 2 < len(fresh) <= block
        weighty = {case.truth for case, w in zip(world.sealed, world.weights[spin], strict=True) if w > 0}
        came = sum(spin >= arrival for arrival in intents.ARRIVALS)
        assert len(weighty - {world.out_of_scope}) == first + block * came
        assert {r.truth for r in requests} <= weighty
        known |= fresh


@needs_data
def test_out_of_scope_grows_as_written_and_weighs_as_much(worlds):
    world = worlds("intents")
    shares = np.linspace(0.10, 0.20, 12)
    beyond = np.array([case.truth == world.out_of_scope for case in world.sealed])
    for requests, weight, share in zip(world.spins, world.weights, shares, strict=True):
        assert within(sum(r.truth == world.out_of_scope for r in requests), len(requests), share)
        assert weight @ beyond == pytest.approx(share)
    assert worlds("banking").out_of_scope is None


@needs_data
@pytest.mark.parametrize("name", [*PLOTS, "intents-null", "banking-null"])
def test_weights_are_the_population_that_traffic_is_drawn_from(name, worlds):
    world = worlds(name)
    classes = {label: n for n, label in enumerate(world.labels)}
    for spin, weight in enumerate(world.weights):
        assert weight.shape == (len(world.sealed),)
        assert weight.sum() == pytest.approx(1.0)
        assert (weight >= 0).all()
        expected, seen = np.zeros(len(classes)), np.zeros(len(classes))
        for case, w in zip(world.sealed, weight, strict=True):
            expected[classes[case.truth]] += w
        for request in world.spins[spin]:
            seen[classes[request.truth]] += 1
        there = expected > 0
        assert not seen[~there].any()
        off = seen[there] - len(world.spins[spin]) * expected[there]
        chi = (off**2 / (len(world.spins[spin]) * expected[there])).sum()
        assert chi < there.sum() + 6 * np.sqrt(2 * there.sum())


@needs_data
def test_the_quiet_group_has_favourites_of_its_own_and_one_locale(worlds):
    world = worlds("intents")
    for request in asked(world):
        assert (request.group == "quiet") == (request.context["locale"] == "en-GB")
    assert len({r.user for r in asked(world) if r.group == "quiet"}) <= 75
    quiet = np.array(["group=quiet" in case.slices for case in world.sealed])
    mine = world.weights[0][quiet].sum()
    assert mine == pytest.approx(np.mean([r.group == "quiet" for r in asked(world)]), abs=0.02)
    assert 0.18 < mine < 0.32


@needs_data
@pytest.mark.parametrize("name", PLOTS)
def test_damage_falls_on_old_devices_in_the_evening(name, worlds):
    world = worlds(name)
    data = texts.clinc150() if name == "intents" else texts.banking77()
    clean = {t for part in (data.train, data.more) for said in part.values() for t in said} | set(data.beyond)
    bad = [r for r in asked(world) if r.input not in clean]
    assert 0.06 < len(bad) / 12_000 < 0.14
    there = [r.context["device"] == "old" and r.context["hour"] >= 18 for r in bad]
    assert np.mean(there) > 0.75
    assert all(r in bad and len(r.input.split()) < 3 for r in asked(world) if r.noise)


@needs_data
@pytest.mark.parametrize("name", PLOTS)
def test_requests_come_in_order_within_their_day_with_ids_of_their_own(name, worlds):
    world = worlds(name)
    assert len(world.spins) == 12
    for spin, requests in enumerate(world.spins):
        times = [r.at for r in requests]
        assert len(requests) == 1000
        assert times == sorted(times)
        assert {(at.date() - crowd.START.date()).days for at in times} == {spin}
        assert all(r.context["hour"] == r.at.hour for r in requests)
    assert len({r.id for r in asked(world)}) == 12_000


@needs_data
@pytest.mark.parametrize("name", ["intents-null", "banking-null"])
def test_the_control_changes_nothing(name, worlds):
    world = worlds(name)
    assert not world.gains
    assert world.out_of_scope is None
    assert {r.truth for r in asked(world)} == set(world.seed_labels) == set(world.labels)
    assert not any(r.noise for r in asked(world))
    assert all((weight == world.weights[0]).all() for weight in world.weights)
    assert {case.truth for case in world.sealed} == set(world.seed_labels)


@needs_data
def test_every_sealed_case_is_there_once_and_in_its_slices(worlds):
    world = worlds("intents")
    assert len(world.sealed) == 5500
    assert sum("out of scope" in case.slices for case in world.sealed) == 1000
    assert sum("new domain" in case.slices for case in world.sealed) == 45 * 30
    assert len(worlds("banking").sealed) == 3080
    untouched = {text for text, _ in texts.clinc150().sealed} | set(texts.clinc150().sealed_beyond)
    changed = [case for case in world.sealed if case.input not in untouched]
    assert 0.05 < len(changed) / 5500 < 0.15
    assert np.mean(["device=old" in c.slices and "hour=evening" in c.slices for c in changed]) > 0.75
