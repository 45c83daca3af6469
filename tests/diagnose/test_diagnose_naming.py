"""Names say what sets a group apart, differ from one another, and hold nothing that too few users share."""

from datetime import UTC, datetime

import numpy as np
import pytest

from flywheel.config import DiagnoseSettings
from flywheel.diagnose import group
from flywheel.diagnose.embed import TextEmbedder
from flywheel.diagnose.naming import crowd, describe
from flywheel.records import Failure

AT = datetime(2026, 1, 1, tzinfo=UTC)


def failure(k, text, user=None, **more):
    return Failure(interaction_id=f"i{k:03}", at=AT, probability=0.9, input=text, user=user, **more)


WORDS = ["again", "still", "today", "sadly", "twice"]


def two_groups(secret_users):
    """Twenty failures about a late parcel, six of them with a surname, twenty about a password."""
    found = []
    for k in range(20):
        name = " mueller" if k < 6 else ""
        user = f"u{k % secret_users}" if k < 6 else f"u{k}"
        found.append(failure(k, f"parcel late {WORDS[k % 5]}{name}", user, output="other"))
    found += [failure(20 + k, "password reset fails", f"u{40 + k}", output="other") for k in range(20)]
    return found, [np.arange(20), np.arange(20, 40)]


def test_class_based_weights_put_what_is_the_groups_own_first():
    found, members = two_groups(6)
    first, second = describe(found, members)
    assert "parcel" in first.name
    assert "password" in second.name
    assert max(first.signature.values()) > 2 * first.signature["mueller"]
    assert "password" not in first.signature


@pytest.mark.parametrize(("users", "shown"), [(1, False), (2, False), (3, True)])
def test_a_word_enters_a_name_only_when_enough_users_share_it(users, shown):
    found, members = two_groups(users)
    described = describe(found, members, min_users=3)[0]
    told = any("mueller" in key for key in described.signature) or "mueller" in described.name
    assert told is shown


def test_without_users_nothing_is_held_back():
    found = [failure(k, f"parcel late again{' mueller' if k < 6 else ''}") for k in range(20)]
    found += [failure(20 + k, "password reset fails") for k in range(20)]
    described = describe(found, [np.arange(20), np.arange(20, 40)], min_users=3)[0]
    assert any("mueller" in key for key in described.signature)


def test_answers_labels_and_contexts_of_too_few_are_held_back():
    def some(users):
        found = [
            failure(k, [0.0], f"u{k % users}", output="secret", label="right", context={"office": "zug"})
            for k in range(10)
        ]
        return found + [failure(10 + k, [1.0], f"v{k}", output="usual", context={"office": "bern"}) for k in range(10)]

    members = [np.arange(10), np.arange(10, 20)]
    few, many = describe(some(2), members, min_users=3)[0], describe(some(4), members, min_users=3)[0]
    assert not {"secret", "right", "zug"} & set(few.name.replace("=", " ").split())
    assert not few.signature
    assert {"secret", "right"} <= set(many.name.split())
    assert "office=zug" in many.signature


def test_a_group_of_too_few_users_is_no_mode_and_exemplars_come_from_different_users():
    words = {"card": "card lost stolen block", "rate": "exchange rate euro dollar"}
    rng = np.random.default_rng(0)

    def window(card_users):
        return [
            failure(
                k,
                " ".join(rng.permutation(words[about].split())[:3]),
                f"{about}{k % (card_users if about == 'card' else 9)}",
                output="x",
            )
            for k, about in enumerate(["card", "rate"] * 30)
        ]

    def modes(card_users, **settings):
        found = window(card_users)
        made, assigned = group(
            found,
            [],
            spin=1,
            total=60.0,
            window_size=100,
            embedder=TextEmbedder(),
            previous_inputs={},
            settings=DiagnoseSettings(**settings),
        )
        return found, made, assigned

    found, made, assigned = modes(2)
    assert {f.interaction_id for f in found if f.user.startswith("card")}.isdisjoint(assigned)
    assert made
    assert all("card" not in mode.name for mode in made)
    assert any("card" in mode.name for mode in modes(2, min_users=1)[1])
    found, made, assigned = modes(9)
    assert any("card" in mode.name for mode in made)
    user_of = {f.interaction_id: f.user for f in found}
    for mode in made:
        users = {user_of[key] for key, held in assigned.items() if held == mode.id}
        assert len({user_of[key] for key in mode.exemplars}) == min(8, len(users))


def test_a_crowd_counts_those_without_a_user_as_one():
    assert crowd([failure(0, "a"), failure(1, "b")]) == float("inf")
    assert crowd([failure(0, "a", "u"), failure(1, "b"), failure(2, "c")]) == 2


def test_groups_that_read_the_same_are_told_apart_in_words():
    found = [failure(k, [0.0], output=1, confidence=0.9) for k in range(10)]
    found += [failure(10 + k, [1.0], output=1, confidence=0.3) for k in range(10)]
    found += [failure(20 + k, [2.0], output=1, label=7 if k < 3 else None) for k in range(10)]
    found += [failure(30 + k, [2.0], output=5) for k in range(40)]
    names = [d.name for d in describe(found, [np.arange(k, k + 10) for k in (0, 10, 20)])]
    assert len(set(names)) == 3
    assert names[0] == "reads 1"
    assert names[1] == "reads 1, unsurely"
    assert "7" in names[2]
    assert not any("(" in name for name in names)
