"""An answer is passed on only where everything agrees about the single member, and never enters an evaluation."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.config import Config, CurateSettings
from flywheel.curate import ReviewQueue, build_dataset, suspects
from flywheel.curate.groups import RULES, group_examples, spread
from flywheel.prove import Answer
from flywheel.records import Example, Group, Interaction, ReviewItem, Selection
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)
ALIKE = Group(id="g1", name="parking", members=("a", "b", "c", "d", "e"), size=5)
NEAR = {"c": ["park", "park"], "d": ["park", "pay"], "e": ["park", "park"]}
MODEL = {"c": "park", "d": "park", "e": "fine"}


@pytest.mark.parametrize(
    ("rule", "answers", "passed"),
    [
        ("group", {"a": "park"}, "bcde"),
        ("checks", {"a": "park"}, ""),
        ("checks", {"a": "park", "b": "park"}, "cde"),
        ("checks", {"a": "park", "b": "pay"}, ""),
        ("neighbours", {"a": "park", "b": "park"}, "ce"),
        ("all", {"a": "park", "b": "park"}, "c"),
        ("all", {}, ""),
    ],
)
def test_each_rule_asks_for_one_more_agreement(rule, answers, passed):
    found = spread(ALIKE, answers, nearest=NEAR, model=MODEL, rule=rule)
    assert found == dict.fromkeys(passed, "park")


@given(
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["park", "pay"])),
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from(["park", "pay"]), max_size=2)),
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["park", "pay"])),
)
def test_a_stricter_rule_never_passes_on_what_a_looser_one_does_not(answers, nearest, model):
    found = [spread(ALIKE, answers, nearest=nearest, model=model, rule=rule) for rule in RULES]
    for looser, stricter in pairwise(found):
        assert stricter.items() <= looser.items()
    assert all(not answers.keys() & one.keys() for one in found)


def item(key, label):
    return ReviewItem(
        id=f"q{key}", interaction_id=key, input=key, output="x", status="labelled", label=label, by="ana", at=AT, spin=2
    )


def test_passed_on_labels_say_where_they_come_from():
    made = group_examples([item("b", "park"), item("a", "park")], {"c": "park"}, {"c": "park here"}, ALIKE)
    assert [(one.input, one.label, one.origin, one.weight) for one in made] == [("park here", "park", "group", 0.5)]
    assert made[0].by == "group g1, item qa"
    assert not made[0].evidence
    assert group_examples([], {"c": "park"}, {"c": "park here"}, ALIKE) == []


def test_what_somebody_says_later_replaces_what_was_passed_on():
    passed = Example(id="group-c", input="c", label="park", origin="group", interaction_id="c", at=AT, weight=0.5)
    said = Example(id="eq1", input="c", label="pay", interaction_id="c", at=AT)
    other = Example(id="s", input="x", label="park", origin="seed")
    made = build_dataset([passed, said, other], spin=3, settings=CurateSettings(), seed=0, at=AT)
    assert {one.id for one in made.examples} == {"eq1", "s"}
    assert suspects([passed], {"group-c": Answer("pay", 0.99)}) == []


def test_items_of_one_group_come_together_and_an_audit_shows_none(tmp_path):
    store = Store.open(tmp_path / "wheel", Config())
    seen = [Interaction(id=key, at=AT, input=key, output="x") for key in "abcd"]
    chosen = [Selection(interaction_id=key, propensity=1.0, audit=key == "d", why="") for key in "abcd"]
    group = Group(id="g1", name="parking", members=("a", "c", "d", "x1", "x2", "x3"), size=6)
    queue = ReviewQueue(store.state)
    queue.fill(chosen, seen, 1, dict.fromkeys("acd", group))
    waiting = queue.waiting()
    assert [one.interaction_id for one in waiting] == ["a", "c", "b", "d"]
    assert waiting[0].group is not None
    assert waiting[0].group.members == ("a", "c", "d", "x1", "x2")
    assert waiting[3].group is None
    store.close()
