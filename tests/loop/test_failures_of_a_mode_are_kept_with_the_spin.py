"""The failures of a mode are those the spin has found: the same as a diagnosis finds, with later labels, without whom
was erased."""

from __future__ import annotations

import pytest

import flywheel
from flywheel import loop

THINGS = ("card", "pin", "loan", "fee")


@pytest.fixture(scope="module")
def fw(tmp_path_factory):
    with flywheel.open(
        tmp_path_factory.mktemp("kept") / "wheel", task="classification", observe={"parts": ("levels",)}
    ) as opened:
        seeds = [(f"where is my {thing} {n}", thing) for thing in THINGS[:3] for n in range(12)]
        opened.seed([text for text, _ in seeds], [label for _, label in seeds])
        opened.log_many(
            {
                "input": f"the {thing} is {word} {n}",
                "output": "card" if thing == "fee" else thing,
                "confidence": 0.25 if thing == "fee" else 0.95,
                "user": f"person-{n}",
                "context": {"device": "ios" if thing == "fee" else "web"},
            }
            for n in range(40)
            for thing in THINGS
            for word in ("gone", "wrong")
        )
        opened.spin(budget=12, labeler=lambda item: str(item.input).split()[1])
        yield opened


def test_they_equal_what_a_diagnosis_of_the_window_finds(fw):
    mode = max(fw.modes(), key=lambda one: one.count)
    shown = fw.failures(limit=50, mode=mode.id)
    assigned = fw._store.state.step(1, "diagnose")["assignments"]
    found = {one.interaction_id: one for one in loop.recent_failures(fw._workshop([], None), limit=10_000, mode=None)}
    expected = [key for key in found if assigned.get(key) == mode.id]
    assert len(shown) == min(50, len(expected)) > 10
    assert {one.interaction_id for one in shown} <= set(expected)
    assert [one.probability for one in shown] == sorted((one.probability for one in shown), reverse=True)
    for one in shown:
        assert (one.input, one.output, one.context) == tuple(
            getattr(found[one.interaction_id], name) for name in ("input", "output", "context")
        )
        assert one.mode == mode.id
        assert one.evidence


def test_a_label_that_comes_later_is_shown_and_an_erased_user_is_not(fw):
    mode = max(fw.modes(), key=lambda one: one.count)
    first, second = fw.failures(limit=2, mode=mode.id)
    fw.feedback(first.interaction_id, label="later", source="reviewer")
    assert fw.failures(limit=1, mode=mode.id)[0].label == "later"
    fw.erase(second.user)
    assert second.interaction_id not in {one.interaction_id for one in fw.failures(limit=50, mode=mode.id)}


def test_a_spin_that_has_kept_none_is_diagnosed_again(fw):
    mode, state = max(fw.modes(), key=lambda one: one.count), fw._store.state
    kept = fw.failures(limit=50, mode=mode.id)
    told = state.step(1, "diagnose")
    state.save_step(1, "diagnose", {name: value for name, value in told.items() if name != "likeliest"})
    again = fw.failures(limit=50, mode=mode.id)
    state.save_step(1, "diagnose", told)
    assert again
    assert {one.mode for one in again} == {mode.id}
    assert {one.interaction_id for one in kept} & {one.interaction_id for one in again}
