"""Signs of trouble are found where they are, and only there."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import ibis
import pyarrow as pa
import pytest

from flywheel.observe.signals import SIGNALS, signals

START = datetime(2026, 1, 5, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")


def talk(turns, told=()):
    """Turns are (second, session, text, more); feedback is (row, kind, more). A stray turn comes an hour after all."""
    turns = [*turns, (20_000, "zz", "hello", {})]
    n = len(turns)
    more = [turn[3] if len(turn) > 3 else {} for turn in turns]

    def column(name, default, kind=None):
        return pa.array([one.get(name, default) for one in more], kind or pa.string())

    interactions = pa.table(
        {
            "seq": pa.array(range(1, n + 1), pa.int64()),
            "id": pa.array([f"i{k}" for k in range(n)], pa.string()),
            "at": pa.array([START + timedelta(seconds=turn[0]) for turn in turns], STAMP),
            "input_text": pa.array([turn[2] for turn in turns], pa.string()),
            "output": column("output", '"fine"'),
            "error": column("error", None),
            "session": pa.array([turn[1] for turn in turns], pa.string()),
            "user": column("user", None),
            "rand": pa.array([k / n for k in range(n)], pa.float64()),
        }
    )
    feedback = pa.table(
        {
            "seq": pa.array(range(n + 1, n + 1 + len(told)), pa.int64()),
            "interaction_id": pa.array([f"i{one[0]}" for one in told], pa.string()),
            "kind": pa.array([one[1] for one in told], pa.string()),
            "number": pa.array([one[2].get("number") for one in told], pa.float64()),
            "value": pa.array([one[2].get("value") for one in told], pa.string()),
            "name": pa.array([one[2].get("name") for one in told], pa.string()),
        }
    )
    return SimpleNamespace(interactions=ibis.memtable(interactions), feedback=ibis.memtable(feedback))


def marked(turns, told=()):
    """The signals of each turn, as a set of names, without the stray one."""
    rows = signals(talk(turns, told)).order_by("id").to_pyarrow().to_pylist()
    found = {row["id"]: {name for name in SIGNALS if row[name]} for row in rows}
    assert len(found) == len(rows) == len(turns) + 1
    return [found[f"i{k}"] for k in range(len(turns))]


def test_every_row_has_its_booleans():
    table = signals(talk([(0, "s", "hi")]))
    assert table.columns == ("id", *SIGNALS)
    rows = table.to_pyarrow().to_pylist()
    assert all(type(row[name]) is bool for row in rows for name in SIGNALS)


def test_a_rephrasing_comes_within_a_minute_in_other_words():
    ask, again = "how do I reset my password", "how can I reset my password please"
    assert marked([(0, "s", ask), (30, "s", again)])[0] == {"rephrased"}
    assert marked([(0, "s", ask), (90, "s", again)])[0] == set()
    assert marked([(0, "s", ask), (30, "t", again)])[0] == set()
    assert marked([(0, "s", ask), (30, "s", "what is the weather in Rome")])[0] == set()
    assert marked([(0, "s", "pasword"), (9, "s", "password")])[0] == {"rephrased"}  # a slip of the pen
    assert marked([(0, "s", "Zürich ändern"), (9, "s", "zürich, ändern!")])[0] == {"repeated"}


def test_turns_without_a_session_belong_to_their_user():
    ask, again = ("how do I reset my password", "how can I reset my password")
    mine, other = {"user": "u"}, {"user": "v"}
    assert marked([(0, None, ask, mine), (20, None, again, mine)])[0] == {"rephrased"}
    assert marked([(0, None, ask, mine), (20, None, again, other)])[0] == set()
    assert marked([(0, None, ask), (20, None, again)])[0] == set()  # strangers


def test_a_repetition_has_the_same_words():
    assert marked([(0, "s", "Reset it!"), (600, "s", "reset  IT")])[0] == {"repeated"}
    assert marked([(0, "s", "reset it"), (4000, "s", "reset it")])[0] == set()
    assert marked([(0, "s", None), (10, "s", None)])[0] == set()
    assert marked([(0, "s", "???"), (10, "s", "!")])[0] == set()


@pytest.mark.parametrize(
    ("text", "more", "told", "gone"),
    [
        ("that's not what I asked", {}, (), True),
        ("das funktioniert nicht", {}, (), True),
        ("forget it", {}, (), True),
        ("thanks, bye", {}, (), False),
        ("tell me more", {"error": "timeout"}, (), True),
        ("tell me more", {"output": None}, (), True),
        ("tell me more", {"output": '""'}, (), True),
        ("forget it", {}, [(1, "rating", {"number": 1.0})], False),
        ("forget it", {}, [(1, "outcome", {"number": 1.0, "name": "solved"})], False),
        ("forget it", {}, [(1, "rating", {"number": -1.0})], True),
    ],
)
def test_a_session_is_abandoned_when_it_ends_badly(text, more, told, gone):
    first, last = marked([(0, "s", "hello there"), (400, "s", text, more)], told)
    assert first == set()
    assert ("abandoned" in last) is gone


def test_a_last_attempt_that_asks_again_is_abandoned_and_one_still_going_on_is_not():
    ask, again = "how do I reset my password", "how can I reset my password"
    assert marked([(0, "s", ask), (30, "s", again)]) == [{"rephrased"}, {"abandoned"}]
    assert marked([(0, "s", ask), (30, "s", again), (99, "s", "ah, thank you")])[1:] == [set(), set()]
    assert marked([(19_900, "s", ask), (19_930, "s", again)])[1] == set()  # half an hour has not passed
    assert marked([(0, None, ask, {"user": "u"}), (30, None, again, {"user": "u"})])[1] == set()  # no session to leave


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("I want to talk to a human", True),
        ("please connect me to customer service, some agent", True),
        ("is there a real person?", True),
        ("agent!", True),
        ("Ich möchte mit einem Mitarbeiter sprechen", True),
        ("who was the first person on the moon", False),
        ("what does an estate agent cost", False),
        ("how do I talk so people listen", True),  # a false alarm that the words cannot tell apart
    ],
)
def test_asking_for_a_person_is_an_escalation(text, asks):
    assert ("escalated" in marked([(0, "s", text)])[0]) is asks


def test_an_outcome_tells_of_an_escalation():
    turn = [(0, "s", "hello"), (10, "s", "and then")]
    assert marked(turn, [(0, "outcome", {"name": "escalated", "value": "true"})]) == [{"escalated"}, set()]
    assert marked(turn, [(0, "outcome", {"name": "resolution", "value": '"handed off"'})])[0] == {"escalated"}
    assert marked(turn, [(0, "outcome", {"name": "escalated", "value": "false"})])[0] == set()
    assert marked(turn, [(0, "rating", {"name": "escalated", "number": -1.0})])[0] == set()


def test_an_empty_window_has_none():
    window = talk([])
    empty = SimpleNamespace(interactions=window.interactions.limit(0), feedback=window.feedback)
    assert signals(empty).to_pyarrow().num_rows == 0
