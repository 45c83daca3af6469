"""A class that nobody has named is found as a group of alike inputs, and in quiet traffic few groups are called new."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.mine import discover

KNOWN = {
    "lost_card": [
        "i lost my card",
        "my card is gone",
        "somebody stole my card",
        "cannot find my bank card",
        "card lost",
    ],
    "balance": ["what is my balance", "how much money do i have", "show the balance", "money left on my account"],
    "transfer": ["send money to anna", "transfer fifty to bob", "wire money abroad", "make a transfer to ines"],
    "rate": ["exchange rate of the euro", "how many dollars for a pound", "what is the rate today", "euro to yen"],
}
NEW = ["where can i park", "pay for parking", "is the parking garage open", "parking fee downtown", "extend my parking"]
SAYS = ["please", "hello", "quickly", "now", "thanks", "today", "again", "kindly", "sorry", "urgent", "right away"]


def said(texts, n, seed):
    """So many variants of these texts, each with a word or two of courtesy."""
    rng = np.random.default_rng([seed, n])
    return [f"{rng.choice(SAYS)} {texts[int(rng.integers(len(texts)))]} {rng.choice(SAYS)}" for _ in range(n)]


def examples(each=12):
    inputs = [text for label, texts in KNOWN.items() for text in said(texts, each, len(label))]
    return inputs, [label for label in KNOWN for _ in range(each)]


def window(new, seed=1):
    inputs = [text for label, texts in KNOWN.items() for text in said(texts, 50, seed + len(label))]
    inputs += said(NEW, new, seed)
    return [f"i{n:03}" for n in range(len(inputs))], inputs


def found(new, **more):
    ids, inputs = window(new)
    known, labels = examples()
    return discover(ids, inputs, known, labels, **more), set(ids[200:])


def test_a_new_class_is_the_first_group_and_is_named_by_its_words():
    groups, hidden = found(12, limit=5)
    assert set(groups[0].members) <= hidden
    assert "parking" in groups[0].name
    assert groups[0].p_new > 0.5
    assert groups[0].size == len(groups[0].members) >= 3


def test_few_groups_are_called_new_where_nothing_is():
    groups, _ = found(0, limit=20)
    assert sum(group.p_new >= 0.5 and group.size >= 2 for group in groups) <= 1


def test_groups_share_no_member_and_come_by_what_they_add():
    groups, _ = found(12)
    members = [key for group in groups for key in group.members]
    assert len(members) == len(set(members))
    assert [group.score for group in groups] == sorted((group.score for group in groups), reverse=True)
    fewer, _ = found(12, limit=4)
    assert [group.members[0] for group in fewer] == [group.members[0] for group in groups[:4]]


def test_what_the_model_gets_right_makes_no_group():
    ids, inputs = window(12)
    known, labels = examples()
    sure = [0.9] * 200 + [0.0] * 12
    groups = discover(ids, inputs, known, labels, p_failure=sure, limit=3)
    assert not {group.members[0] for group in groups} & set(ids[200:])


def test_inputs_of_earlier_windows_make_a_group_denser_and_never_join_it():
    ids, inputs = window(2)
    known, labels = examples()
    once = discover(ids, inputs, known, labels, limit=1)[0]
    again = discover(ids, inputs, known, labels, recent=said(NEW, 10, 9), limit=1)[0]
    assert again.score > once.score
    assert set(again.members) <= set(ids)


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_inputs_changes_nothing(random):
    ids, inputs = window(6)
    known, labels = examples()
    rows = list(range(len(ids)))
    random.shuffle(rows)
    mixed = discover([ids[row] for row in rows], [inputs[row] for row in rows], known, labels, limit=8)
    assert mixed == discover(ids, inputs, known, labels, limit=8)


def test_no_word_that_too_few_users_say_enters_a_name():
    ids, inputs = window(12)
    known, labels = examples()
    alone = ["anna"] * len(ids)
    many = [f"u{n}" for n in range(len(ids))]
    assert discover(ids, inputs, known, labels, users=alone, min_users=3, limit=1)[0].name == ""
    assert "parking" in discover(ids, inputs, known, labels, users=many, min_users=3, limit=1)[0].name


def test_hidden_digits_are_met_sooner_than_by_chance():
    from sklearn.datasets import load_digits

    from flywheel.diagnose.embed import FeatureEmbedder

    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))
    seen = [int(row) for row in rows[:500] if data.target[row] < 8]
    rest = [int(row) for row in rows[500:1100]]
    groups = discover(
        [f"d{row:04}" for row in rest],
        data.data[rest].tolist(),
        data.data[seen].tolist(),
        data.target[seen].tolist(),
        embedder=FeatureEmbedder(),
        limit=10,
    )
    new = np.mean([data.target[int(group.members[0][1:])] >= 8 for group in groups])
    assert new >= 0.6  # two in ten of the window are


@pytest.mark.parametrize("known", [[], ["only one"], ["one", "two"]])
def test_without_examples_what_is_commonest_comes_first(known):
    asked = ["reset my password", "reset the password", "password reset", "nice weather"]
    groups = discover(["a", "b", "c", "d"], asked, known, ["x"] * len(known), limit=2)
    assert groups[0].members[0] in {"a", "b", "c"}


def test_nothing_to_look_at_gives_nothing():
    known, labels = examples()
    assert discover([], [], known, labels) == []
    assert discover(["a"], ["where"], known, labels, limit=0) == []
    assert len(discover(["a", "b"], ["", ""], known, labels)) <= 2
