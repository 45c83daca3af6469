"""Examples, groups, datasets, suspects, lineage, labelers."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from flywheel import plugins
from flywheel.config import Config, CurateSettings
from flywheel.curate import assign_groups, build_dataset, examples_of, made_from, suspects, used_in
from flywheel.errors import InvalidConfig, NotFound, NothingToLearn
from flywheel.records import Example, Feedback, Release, ReviewItem
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = CurateSettings()


def example(k, label="a", **fields):
    fields.setdefault("input", f"input number {k} {chr(97 + k % 26) * 12}")
    fields.setdefault("interaction_id", f"i{k}")
    fields.setdefault("group", f"g{k}")
    return Example(id=f"e{k}", label=label, **fields)


def build(pool, **kw):
    kw.setdefault("settings", SETTINGS)
    return build_dataset(pool, spin=kw.pop("spin", 1), seed=kw.pop("seed", 0), at=kw.pop("at", AT), **kw)


# --- examples and groups ---


def test_labelled_items_become_examples_with_their_propensity():
    items = [
        ReviewItem(
            id="q1",
            interaction_id="i1",
            input="x",
            output="a",
            label="b",
            status="labelled",
            propensity=0.2,
            audit=True,
        ),
        ReviewItem(id="q2", interaction_id="i2", input="x", output="a", label="a", status="labelled"),
        ReviewItem(id="q3", interaction_id="i3", input="x", output="a", status="skipped"),
        ReviewItem(id="q4", interaction_id="i4", input="x", output="a"),
    ]
    first, second = examples_of(items)
    assert (first.propensity, first.audit, first.failure, first.interaction_id) == (0.2, True, True, "i1")
    assert not second.failure
    assert not examples_of(items[:1], correct=lambda output, truth: True)[0].failure


def test_near_duplicates_share_group_and_fold_and_join_known_groups():
    text = "where is the card that I ordered last week"
    known = assign_groups([example(0, input=text, group="")], [], SETTINGS)
    new = [example(1, input=text + "?", group=""), example(2, input="cancel my account at once please", group="")]
    one, two = assign_groups(new, known, SETTINGS)
    assert (one.group, one.fold) == (known[0].group, known[0].fold)
    assert two.group != one.group
    assert 0 <= two.fold < SETTINGS.folds


@pytest.mark.slow
@given(st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_order(shuffler: random.Random):
    pool = [example(k, input=f"{'abcdefgh'[k // 4] * 30} please help me {k % 4}", group="") for k in range(24)]
    expected = {e.id: (e.group, e.fold) for e in assign_groups(pool, [], SETTINGS)}
    shuffler.shuffle(pool)
    assert {e.id: (e.group, e.fold) for e in assign_groups(pool, [], SETTINGS)} == expected


def test_a_known_example_never_changes_its_group():
    text = "the very same words are here again"
    known = [example(0, input=text, group="old-a"), example(1, input=text, group="old-b")]
    assert [e.group for e in assign_groups(known, known, SETTINGS)] == ["old-a", "old-b"]
    assert assign_groups([example(2, input=text, group="")], known, SETTINGS)[0].group == "old-a"


def test_the_same_input_never_lies_in_two_groups_where_another_bridges_them():
    """ "a…" and "c…" are no near-duplicates, "b…" is one of both: whoever asks "c…" again belongs to the first "c…"."""
    words = ["please", "tell", "me", "where", "the", "card", "that", "I", "ordered", "last", "week", "might", "be"]
    a, b, c = (" ".join([*words, *more]) for more in (["right", "now"], ["right", "now", "sir"], ["now", "sir", "ok"]))
    near = CurateSettings(near_duplicate=0.8)
    known = [replace(one, group=g) for one, g in zip([example(0, input=a), example(1, input=c)], "AC", strict=True)]
    bridge, again = assign_groups([example(2, input=b, group=""), example(3, input=c, group="")], known, near)
    assert bridge.group in ("A", "C")
    assert again.group == "C"


# --- datasets ---


@given(st.randoms(use_true_random=False))
def test_the_hash_is_over_content_not_order_or_time(shuffler: random.Random):
    pool = [example(k, label="ab"[k % 2], at=AT + timedelta(hours=k), failure=k % 3 == 0) for k in range(20)]
    expected = build(pool)
    shuffled = pool[:]
    shuffler.shuffle(shuffled)
    later = [replace(e, at=e.at + timedelta(days=9), by="somebody") for e in shuffled]
    again = build(later, at=AT + timedelta(days=10))
    assert again.hash == expected.hash
    assert [e.id for e in again.examples] == [e.id for e in expected.examples]
    changed = [replace(pool[0], label="zzz"), *pool[1:]]
    assert build(changed).hash != expected.hash


def test_the_latest_reviewer_wins_a_conflict_and_it_is_noted():
    text = "wake me at six"
    pool = [
        example(1, "seeded", origin="seed", at=AT + timedelta(days=9), interaction_id=None, group="g", input=text),
        example(2, "old", at=AT, by="ana", group="g", input="Wake me  at six"),
        example(3, "new", at=AT + timedelta(days=1), by="ben", group="g", input=text),
        example(4, "new", at=AT, by="cleo", group="g", input=text),
        example(5, "other", group="h"),
    ]
    made = build(pool)
    assert {e.id for e in made.examples} == {"e3", "e4", "e5"}
    conflict = made.notes["conflict_list"][0]
    assert made.notes["conflicts"] == 1
    assert (conflict["believed"], conflict["by"]) == ("new", "ben")
    assert [loser["id"] for loser in conflict["left_out"]] == ["e1", "e2"]
    numbers = [replace(e, label=float(k)) for k, e in enumerate(pool)]
    assert len(build(numbers, regression=True).examples) == 5
    assert len(build(numbers).examples) == 5
    assert len(build(numbers, regression=False).examples) < 5


def test_one_word_may_set_two_near_duplicates_apart():
    asked = [
        example(1, "set", origin="seed", interaction_id=None, group="g", input="set the alarm for nine tomorrow"),
        example(2, "cancel", at=AT, by="ana", group="g", input="cut the alarm for nine tomorrow"),
    ]
    made = build(asked)
    assert [e.label for e in made.examples] == ["set", "cancel"]
    assert made.notes["conflicts"] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [("Wake me  at SIX", "wake me at six"), ([1] * 64, [1.0] * 64),
     ({"messages": [{"role": "user", "content": "Wake me"}]}, {"messages": [{"role": "user", "content": "wake  me"}]})],
    ids=["text", "picture", "chat"],
)  # fmt: skip
def test_the_same_input_is_settled_whatever_its_group(one, other):
    pool = [
        example(1, "a", input=one, group="g1", at=AT, by="ana"),
        example(2, "b", input=other, group="g2", at=AT + timedelta(days=1), by="ben"),
    ]
    made = build(pool)
    assert [e.label for e in made.examples] == ["b"]
    assert made.notes["conflict_list"] == [
        {"group": "g2", "believed": "b", "by": "ben", "left_out": [{"id": "e1", "label": "a"}]}
    ]


@pytest.mark.parametrize(
    ("value", "kept"),
    [({"age": 31, "job": "cook"}, 2), ([31.0, 2.0], 2), ("where is my card", 1), ([0.5] * 64, 1)],
    ids=["fields", "few numbers", "text", "picture"],
)
def test_alike_people_may_differ_and_alike_texts_may_not(value, kept):
    pool = [example(1, "yes", input=value, group="g"), example(2, "no", input=value, group="g", at=AT)]
    assert len(build(pool).examples) == kept


def test_a_second_opinion_replaces_the_first_label_and_keeps_that_it_was_a_failure():
    first = example(1, "a", at=AT, failure=True, audit=True)
    second = replace(first, id="e9", label="b", at=AT + timedelta(days=1), failure=False)
    made = build([second, first])
    assert [(e.id, e.label, e.failure) for e in made.examples] == [("e9", "b", True)]
    assert made.notes["superseded"] == 1
    seeded = example(2, "a", origin="seed", interaction_id=None, input="seed text")
    opinion = replace(seeded, id="e8", origin="review", label="b", at=AT)
    assert [e.id for e in build([seeded, opinion]).examples] == ["e8"]
    twice = replace(seeded, id="e7")
    assert len(build([seeded, twice]).examples) == 2


@given(failing=st.integers(0, 40), fine=st.integers(1, 40), made_up=st.integers(0, 60), share=st.floats(0.05, 1.0))
def test_failure_and_synthetic_shares_are_capped_by_weight(failing, fine, made_up, share):
    pool = [example(k, failure=k < failing) for k in range(failing + fine)]
    pool += [example(1000 + k, origin="synthetic", interaction_id=None) for k in range(made_up)]
    made = build(pool, settings=CurateSettings(failure_share=share), synthetic_share=0.2)
    total = sum(e.weight for e in made.examples)
    assert sum(e.weight for e in made.examples if e.failure) <= share * total + 1e-9
    real = [e for e in made.examples if e.origin != "synthetic"]
    before = failing + fine
    assert sum(e.weight for e in made.examples if e.origin == "synthetic") <= 0.25 * before + 1e-9
    assert len(made.examples) == len(pool)
    assert len(real) == before


def test_the_replay_buffer_keeps_this_spin_and_every_label():
    old = [example(k, label="common" if k >= 20 else "rare", spin=1) for k in range(500)]
    new = [example(1000 + k, label="common", spin=2) for k in range(30)]
    made = build(old + new, spin=2, cap=100)
    assert len(made.examples) == 100
    assert sum(e.spin == 2 for e in made.examples) == 30
    assert made.notes["by_label"] == {'"common"': 80, '"rare"': 20}
    assert made.notes["left_out"] == 430
    assert made.notes["left_out_by_label"]['"common"'] == pytest.approx(1 - 80 / 510, abs=1e-6)
    assert len(build(new, spin=2, cap=10).examples) == 10
    numbers = [example(k, label=k / 7, spin=1) for k in range(500)]
    kept = sorted(e.label for e in build(numbers, spin=2, cap=50, regression=True).examples)
    assert [sum(k * 500 / 7 / 10 <= x < (k + 1) * 500 / 7 / 10 for x in kept) for k in range(10)] == [5] * 10


def test_rare_propensities_weigh_more_within_the_clip():
    pool = [example(k, propensity=p) for k, p in enumerate([1.0, 0.5, 0.5, 0.001])]
    assert [e.weight for e in build(pool, clip=3).examples] == pytest.approx([0.5, 1, 1, 3])


def test_nothing_and_nonsense_are_refused():
    with pytest.raises(NothingToLearn, match="seed"):
        build([])
    with pytest.raises(InvalidConfig, match="cap=0"):
        build([example(1)], cap=0)


# --- suspects ---


@dataclass
class Answer:
    output: Any
    confidence: float | None = None


@pytest.mark.slow
def test_flipped_labels_are_found_and_clean_ones_mostly_left_alone():
    data, truth = load_digits(return_X_y=True)
    data, truth = data[:700], truth[:700]
    flipped = np.random.default_rng(0).choice(700, 35, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + 3) % 10
    chances = cross_val_predict(LogisticRegression(C=0.01, max_iter=200), data, labels, cv=5, method="predict_proba")
    oof = {f"e{k}": Answer(int(row.argmax()), float(row.max())) for k, row in enumerate(chances)}
    pool = [example(k, label=int(labels[k])) for k in range(700)]
    worst = suspects(pool, oof, limit=20)
    wrong = {f"e{k}" for k in flipped}
    assert len(worst) == 20
    assert len(set(worst) & wrong) >= 18
    assert len(suspects(pool, oof)) == 3
    assert not set(suspects(pool, oof, exclude=worst)) & set(worst)
    clean = [example(k, label=int(truth[k])) for k in range(700)]
    chances = cross_val_predict(LogisticRegression(C=0.01, max_iter=200), data, truth, cv=5, method="predict_proba")
    oof = {f"e{k}": Answer(int(row.argmax()), float(row.max())) for k, row in enumerate(chances)}
    assert len(suspects(clean, oof, limit=100)) <= 14  # 2 % of 700
    assert suspects(clean[:10], oof) == []
    assert suspects([replace(e, origin="synthetic") for e in clean], oof) == []
    assert suspects([replace(e, label=1) for e in clean], oof) == []


def test_regression_labels_far_out_are_found():
    generator = np.random.default_rng(1)
    values = generator.normal(size=300)
    oof = {f"e{k}": Answer(float(v + generator.normal(0, 0.1))) for k, v in enumerate(values)}
    pool = [example(k, label=float(v) + (4 if k == 17 else 0)) for k, v in enumerate(values)]
    assert suspects(pool, oof, regression=True) == ["e17"]


# --- lineage ---


def test_lineage_runs_both_ways(tmp_path):
    store = Store.open(tmp_path, Config())
    try:
        state = store.state
        pool = [example(1), example(2, origin="seed", interaction_id=None)]
        first = build(pool[:1])
        second = build(pool, parent=first.hash, spin=2)
        state.add_examples(pool)
        state.add_items([ReviewItem(id="q1", interaction_id="i1", input="x", output="a")])
        state.save_dataset(first)
        state.save_dataset(second)
        state.save_release(Release(version="v2", role="champion", folder="f", at=AT, dataset=second.hash))
        forward = used_in(state, "i1")
        assert forward["datasets"] == [first.hash, second.hash]
        assert (forward["items"], forward["examples"], forward["releases"]) == (["q1"], ["e1"], ["v2"])
        back = made_from(state, second.hash)
        assert back["ancestors"] == [first.hash]
        assert back["interactions"] == ["i1"]
        assert back["examples"] == {"review": ["e1"], "seed": ["e2"]}
        assert back["releases"] == ["v2"]
        assert used_in(state, "nobody")["datasets"] == []
        with pytest.raises(NotFound, match="no dataset"):
            made_from(state, "0" * 64)
        assert state.dataset(second.hash).examples == second.examples
    finally:
        store.close()


# --- labelers ---


def test_delayed_truth_believes_its_sources_and_the_latest_word():
    def fact(k, value, source="system", at=AT, kind="label"):
        return Feedback(id=f"f{k}", interaction_id="i1", at=at, kind=kind, value=value, source=source)

    facts = [
        fact(1, "late", at=AT + timedelta(days=2)),
        fact(2, "early"),
        fact(3, "rumour", "user", AT + timedelta(days=9)),
    ]
    facts.append(fact(4, -1, kind="rating", at=AT + timedelta(days=9)))
    items = [ReviewItem(id=f"q{k}", interaction_id=f"i{k}", input="x", output="a") for k in (1, 2)]
    labeler = plugins.create("labelers", "truth", feedback_of=lambda ids: [f for f in facts if f.interaction_id in ids])
    assert list(labeler.label(items)) == [("q1", "late", "truth")]
    assert list(labeler.label([])) == []


def test_a_function_answers_what_it_knows():
    labeler = plugins.create("labelers", "function", function=lambda item: {"x": 0}.get(item.input), by="rule")
    items = [ReviewItem(id=f"q{k}", interaction_id="i", input=value, output="a") for k, value in enumerate("xy")]
    assert list(labeler.label(items)) == [("q0", 0, "rule")]
