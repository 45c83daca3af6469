"""Whatever is logged about whom: erasing one takes theirs, all of it, and not a byte of anybody else's."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.config import Config
from flywheel.records import Feedback, Interaction
from flywheel.store import Store
from flywheel.store.erase import ERASED
from flywheel.store.terms import Terms

AT = datetime(2026, 1, 1, tzinfo=UTC)
USERS = ["ana-one", "bea-two", "ana-one-2", None]
interactions = st.builds(
    lambda key, user, session: Interaction(id=f"order-{key}", at=AT, input="q", user=user, session=session),
    st.integers(0, 12),
    st.sampled_from(USERS),
    st.sampled_from([None, None, "s-1", "ana-one"]),
)
said = st.builds(
    lambda key, about, source, by: Feedback(
        id=f"said-{key}", interaction_id=f"order-{about}", at=AT, kind="rating", value=1, source=source, by=by
    ),
    st.integers(0, 12),
    st.integers(0, 14),
    st.sampled_from(["user", "reviewer"]),
    st.sampled_from(USERS),
)
letters = st.tuples(st.sampled_from(["ana-one", "bea-two", "order-3", "order-12"]), st.integers(0, 3))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(interactions, said), max_size=30), st.lists(letters, max_size=4))
def test_theirs_goes_and_others_stay(records, dead):
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder), Config())
        store.log.append(records)
        for word, number in dead:
            store.log.dead_letter("test", f"reason {number}", f'{{"about": "{word}"}}'.encode(), AT)
        before = {(row.kind, row.id): (row.seq, json.loads(row.body)) for row in store.log.read(0)}
        books, eraser = store.log.books(), store.eraser

        owned = eraser.owned(["ana-one"])
        theirs = {key for (kind, key), (_, body) in before.items() if kind == "interaction" and _is_hers(body)}
        told = {
            key
            for (kind, key), (_, body) in before.items()
            if kind == "feedback" and (body["interaction_id"] in theirs or (body.get("by") == "ana-one" and _own(body)))
        }
        assert (set(owned.interactions), set(owned.feedback)) == (theirs, told)
        letters_gone = eraser.letters_with(Terms(names=["ana-one"], ids=[*theirs, *told]))
        eraser.drop_conflicts(eraser.conflicts_of(["ana-one"], owned.interactions, owned.feedback))
        eraser.drop_letters(letters_gone)
        eraser.unsign(owned.signed)
        dropped = eraser.drop_facts(owned.interactions, owned.feedback)

        after = {(row.kind, row.id): (row.seq, json.loads(row.body)) for row in store.log.read(0)}
        gone = {("interaction", key) for key in theirs} | {("feedback", key) for key in told}
        assert set(after) == set(before) - gone
        for place, (seq, body) in after.items():
            if place[0] == "feedback" and place[1] in owned.signed:
                assert (seq, {**body, "by": "ana-one"}) == before[place]
                assert body["by"] == ERASED
            else:
                assert (seq, body) == before[place]
        assert dropped == {"interactions": len(theirs), "feedback": len(told)}
        assert not any(_is_hers(json.loads(kept["body"])) for kept in store.log.conflicting(1000))
        balanced = store.log.books()
        parts = ("stored", "duplicates", "rejected", "dead_lettered")
        assert balanced["received"] == sum(balanced[part] for part in parts)
        assert books["received"] - balanced["received"] == len(gone) + len(letters_gone) == balanced.get("erased", 0)
        # The second time there is nothing.
        again = eraser.owned(["ana-one"])
        assert not (again.interactions)
        assert not (again.feedback)
        assert not (again.signed)
        store.close()


def _is_hers(body):
    return "ana-one" in (body.get("user"), body.get("session"))


def _own(body):
    return body.get("source", "user") == "user"
