"""Labeling together: unsure, undo on the trail, whole groups, progress, and who does not agree."""

from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.curate import ReviewQueue
from flywheel.errors import InvalidRecord, NotFound
from flywheel.records import Group, Selection, Spin

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def wheel(tmp_path):
    with flywheel.open(tmp_path / "wheel", task="classification") as fw:
        for k in range(6):
            fw.log(id=f"i{k}", at=AT, input=f"text {k}", output="a", confidence=0.4)
        seen = [fw.interaction(f"i{k}")[0] for k in range(6)]
        chosen = [Selection(interaction_id=one.id, propensity=1.0, audit=one.id == "i5", why="doubt") for one in seen]
        alike = Group(id="g1", name="parking", members=("i0", "i1", "i2"), size=3)
        ReviewQueue(fw._store.state).fill(chosen, seen, 1, dict.fromkeys(("i0", "i1", "i2"), alike))
        fw._store.state.save_spin(Spin(number=1, state="waiting", step="label", budget=10, waiting_for=6))
        yield fw


def actions(wheel):
    return [line["action"] for line in wheel.trail()]


def test_unsure_sends_an_item_behind_the_others_once(wheel):
    first = wheel.review_queue()[0]
    assert wheel.unsure(first.id, by="ana", at=AT).unsure == ("ana",)
    assert wheel.unsure(first.id, by="ana", at=AT).unsure == ("ana",)
    assert wheel.review_queue()[-1].id == first.id
    assert actions(wheel) == ["label unsure"]
    assert wheel.undo(first.id, by="ana").unsure == ()
    assert wheel.review_queue()[0].id == first.id
    wheel.undo(first.id, by="ana")
    assert actions(wheel) == ["label unsure", "label undo"]
    wheel.label(first.id, "b", by="ben", at=AT)
    assert wheel.unsure(first.id, by="ana").status == "labelled"
    wheel.verify_trail()


def test_an_undone_answer_waits_again_in_its_place_and_twice_is_once(wheel):
    first = wheel.review_queue()[0]
    wheel.label(first.id, "b", by="ana", at=AT)
    assert wheel.undo(first.id, by="ana", at=AT) == first
    assert wheel.undo(first.id, by="ana", at=AT) == first
    wheel.skip(first.id, by="ana")
    assert wheel.undo(first.id, by="ben").status == "waiting"
    assert [line["detail"]["was"] for line in wheel.trail()] == ["labelled", "skipped"]
    with pytest.raises(NotFound, match="q-none"):
        wheel.undo("q-none")


def test_what_a_finished_spin_has_learnt_from_is_not_undone(wheel):
    first = wheel.review_queue()[0]
    wheel.label(first.id, "b", by="ana", at=AT)
    wheel._store.state.save_spin(Spin(number=1, state="done", step="measure"))
    with pytest.raises(InvalidRecord, match="gone on"):
        wheel.undo(first.id)
    assert wheel._store.state.item(first.id).status == "labelled"


def test_a_group_is_answered_together_and_nobody_else(wheel):
    queue = wheel.review_queue()
    wheel.label(queue[1].id, "z", by="ben", at=AT)
    answered = wheel.label_group(queue[0].id, "park", by="ana", at=AT)
    assert [one.interaction_id for one in answered] == ["i0", "i2"]
    assert wheel._store.state.item(queue[1].id).label == "z"
    assert [one.label for one in wheel.label_group(queue[3].id, "c", by="ana", at=AT)] == ["c"]
    assert wheel.known_labels()[0] == "park"


def test_progress_counts_against_the_budget(wheel):
    queue = wheel.review_queue()
    for k, item in enumerate(queue[:3]):
        wheel.label(item.id, "a", by="ana", at=AT + timedelta(seconds=36 * k))
    wheel.unsure(queue[3].id, by="ana")
    told = wheel.review_progress(at=AT + timedelta(minutes=2))
    assert (told["budget"], told["asked"], told["labelled"], told["waiting"], told["unsure"]) == (10, 6, 3, 3, 1)
    assert told["by"] == {"ana": 3}
    assert told["per_hour"] == 100


def test_two_people_who_say_different_things_are_shown_until_one_takes_it_back(wheel):
    first, second = wheel.review_queue()[:2]
    wheel.label(first.id, "park", by="ana", at=AT)
    wheel.label(first.id, "pay", by="ben", at=AT + timedelta(seconds=1))
    wheel.label(second.id, "pay", by="ana", at=AT)
    wheel.label(second.id, "pay", by="ben", at=AT)
    [found] = wheel.disagreements()
    assert found["item"].id == first.id
    assert [(word["by"], word["label"]) for word in found["said"]] == [("ana", "park"), ("ben", "pay")]
    assert found["stands"] == "pay"
    wheel.undo(first.id, by="ben")
    assert wheel.disagreements() == []


def test_a_disagreement_is_settled_until_somebody_says_something_else_again(wheel):
    first = wheel.review_queue()[0]
    for second, (who, label) in enumerate((("ana", "park"), ("ben", "pay"))):
        wheel.label(first.id, label, by=who, at=AT + timedelta(seconds=second))
    settled = wheel.resolve(first.id, "park", by="cy", at=AT + timedelta(seconds=2))
    assert (settled.label, settled.by) == ("park", "cy")
    assert wheel.disagreements() == []
    assert [(line["action"], line["by"]) for line in wheel.trail()] == [("label resolve", "cy")]
    wheel.label(first.id, "fine", by="ben", at=AT + timedelta(seconds=3))
    assert {word["by"] for word in wheel.disagreements()[0]["said"]} == {"ana", "ben", "cy"}
    with pytest.raises(NotFound, match="q-none"):
        wheel.resolve("q-none", "park")


def test_what_is_settled_after_the_spin_is_feedback_about_the_interaction(wheel):
    first = wheel.review_queue()[0]
    for who, label in (("ana", "park"), ("ben", "pay")):
        wheel.label(first.id, label, by=who, at=AT)
    wheel._store.state.save_spin(Spin(number=1, state="done", step="measure", budget=10))
    wheel.resolve(first.id, "pay", by="cy", at=AT + timedelta(seconds=2))
    assert wheel.disagreements() == []
    told = wheel.interaction(first.interaction_id)[1]
    assert ("cy", "pay", "reviewer") in [(fact.by, fact.value, fact.source) for fact in told]
