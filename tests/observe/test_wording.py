"""Words that go with people turning away are found on one half and confirmed on the other; chance shows none."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa
import pytest

from flywheel.observe.wording import phrasings

START = datetime(2026, 1, 5, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")
WORDS = [
    "account",
    "invoice",
    "balance",
    "address",
    "delivery",
    "order",
    "parcel",
    "refund",
    "date",
    "weather",
    "ticket",
]
ANSWERS = [
    "find",
    "that",
    "under",
    "the",
    "settings",
    "of",
    "your",
    "profile",
    "page",
    "where",
    "orders",
    "are",
    "listed",
]


def chats(rng, sessions, *, word="", effect=0.0, answer="", share=0.15, users=None, rated=0.0):
    """Sessions of one to four turns; a turn with the word in it, or the answer, is asked again so much more often."""
    at, rows, told = 0, [], []
    for k in range(sessions):
        user = f"u{k if users is None else rng.integers(users)}"
        for _ in range(rng.integers(1, 5)):
            asked = rng.choice(WORDS, 5, replace=False)
            text = " ".join(asked)
            said = " ".join(rng.permutation(ANSWERS)[:9])
            has = rng.random() < share
            again = " ".join(np.roll(asked, 1))  # the same words in another order
            if has:
                again = f"{again} {word}".strip()
                text, said = f"{text} {word}".strip(), f"{answer} {said}".strip()
            at += 300
            rows.append((at, f"s{k}", user, text, said))
            trouble = rng.random() < 0.1 + effect * has
            if trouble and rng.random() < rated:
                told.append((len(rows) - 1, -1.0))
            elif trouble:
                at += 20
                rows.append((at, f"s{k}", user, again, said))
        at += 100
    return window(rows, told, rng)


def window(rows, told, rng):
    n = len(rows)
    interactions = pa.table(
        {
            "seq": pa.array(range(1, n + 1), pa.int64()),
            "id": pa.array([f"i{k:06d}" for k in range(n)], pa.string()),
            "at": pa.array([START + timedelta(seconds=row[0]) for row in rows], STAMP),
            "input_text": pa.array([row[3] for row in rows], pa.string()),
            "output": pa.array([f'"{row[4]}"' for row in rows], pa.string()),
            "error": pa.array([None] * n, pa.string()),
            "session": pa.array([row[1] for row in rows], pa.string()),
            "user": pa.array([row[2] for row in rows], pa.string()),
            "rand": pa.array(rng.random(n)),
        }
    )
    feedback = pa.table(
        {
            "seq": pa.array(range(n + 1, n + 1 + len(told)), pa.int64()),
            "interaction_id": pa.array([f"i{row:06d}" for row, _ in told], pa.string()),
            "kind": pa.array(["rating"] * len(told), pa.string()),
            "number": pa.array([number for _, number in told], pa.float64()),
            "value": pa.array([str(number) for _, number in told], pa.string()),
            "name": pa.array([None] * len(told), pa.string()),
        }
    )
    return SimpleNamespace(interactions=ibis.memtable(interactions), feedback=ibis.memtable(feedback))


@pytest.mark.slow
def test_a_word_of_the_question_that_goes_with_trouble_is_found():
    seen = chats(np.random.default_rng(0), 800, word="gift voucher", effect=0.4)
    found = phrasings(seen)
    named = [one for one in found if "(trouble)" in one.name and "voucher" in one.name]
    assert named
    assert named[0].kind == "wording"
    assert named[0].interval.low < named[0].effect < named[0].interval.high
    assert named[0].effect == pytest.approx(0.3, abs=0.15)
    assert not any(one.alarm for one in found)
    assert all(one.interval.low > 0 for one in found)
    assert phrasings(seen) == found


@pytest.mark.slow
def test_a_phrase_of_the_answer_is_found_and_its_query_runs():
    seen = chats(np.random.default_rng(1), 800, answer="unfortunately I cannot", effect=0.4)
    found = [one for one in phrasings(seen) if one.name.startswith("answer: ") and "unfortunately" in one.name]
    assert found
    one = next(each for each in found if "(trouble)" in each.name)
    con = ibis.duckdb.connect()
    con.create_table("interactions", seen.interactions.to_pyarrow())
    con.create_table("feedback", seen.feedback.to_pyarrow())
    shares = {row["has"]: row["share"] for row in con.sql(one.query).to_pyarrow().to_pylist()}
    assert shares[True] - shares[False] == pytest.approx(one.effect, abs=0.1)


def test_what_few_users_share_is_not_shown():
    rng = np.random.default_rng(2)
    seen = chats(rng, 400, word="gift voucher", effect=0.5, users=6)
    assert phrasings(seen) == []


def test_small_windows_say_nothing():
    assert phrasings(chats(np.random.default_rng(3), 5)) == []


@pytest.mark.slow
def test_a_sample_is_enough():
    seen = chats(np.random.default_rng(4), 1500, word="gift voucher", effect=0.5)
    found = phrasings(seen, sample=1500)
    assert any("voucher" in one.name for one in found)
    assert max(one.n for one in found) < 400


@pytest.mark.slow
def test_chance_alone_shows_no_wording():
    """Sessions of users with habits of their own, of no consequence: 25 times."""
    said = sum(
        bool(phrasings(chats(np.random.default_rng(seed), 500, word="gift voucher", users=120, rated=0.3)))
        for seed in range(25)
    )
    assert said <= 3
