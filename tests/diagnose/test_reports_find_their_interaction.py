"""A report is joined to the interaction it is about where that is sure; figures count those that wait."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.diagnose.reports import SURE, Clues, brought_up, of_mode, propose, report_figures, shown_to_reporter
from flywheel.records import Interaction, Mode, Report

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
THINGS = ["card", "loan", "account", "transfer", "deposit", "mortgage", "statement", "branch", "pension", "voucher"]
DOINGS = ["blocked", "missing", "late", "stolen", "doubled", "refused", "expired", "closed", "lost", "wrong"]
SCHEMA = {
    "id": "string", "at": "timestamp('UTC')", "input": "string", "output": "string", "session": "string",
    "user": "string", "extra": "string",
}  # fmt: skip


def log(size: int = 5000, seed: int = 0) -> list[dict[str, object]]:
    """Two days of a bank's questions, the last one at noon; four in a session, users come back."""
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"i{n:05d}",
            "at": AT - timedelta(seconds=float((size - n) * 172_800 / size)),
            "input": f'"my {THINGS[rng.integers(10)]} is {DOINGS[rng.integers(10)]} since day {rng.integers(300)}"',
            "output": f'"about {THINGS[rng.integers(10)]}"',
            "session": f"s{n // 4}",
            "user": f"u{rng.integers(400)}",
            "extra": f'{{"trace_id":"{n:032x}"}}',
        }
        for n in range(size)
    ]


ROWS = log()


@pytest.fixture(scope="module")
def seen():
    return ibis.memtable(ROWS, schema=SCHEMA)


def test_a_trace_names_it(seen) -> None:
    (best, *_) = propose(seen, Clues(when=AT, trace=f"{4321:032x}"))
    assert (best.interaction_id, best.score >= SURE) == ("i04321", True)
    assert propose(seen, Clues(when=AT, trace="f" * 32)) == ()


def test_a_session_and_a_quotation_name_it(seen) -> None:
    row = ROWS[4001]
    quoted = str(row["input"]).strip('"')
    (best, *_) = propose(seen, Clues(when=row["at"] + timedelta(minutes=3), session=str(row["session"]), near=quoted))
    assert best.interaction_id == row["id"]
    assert best.score >= SURE
    assert "the same session" in best.why
    assert quoted.split()[1] not in best.why


def test_without_a_clue_nothing_is_sure(seen) -> None:
    found = propose(seen, Clues(when=AT, what="it did not work at all"))
    assert all(one.score < SURE for one in found)
    assert sum(one.score for one in found) <= 1.0 + 1e-9
    assert propose(seen, Clues(when=AT - timedelta(days=400), what="x")) == ()


@pytest.mark.slow
def test_what_was_never_logged_is_not_found(seen) -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(25):
        words = " ".join(f"xq{rng.integers(10**6)}" for _ in range(6))
        found = propose(seen, Clues(when=AT, near=words, session="s-none"))
        wrong += bool(found and found[0].score >= SURE)
    assert wrong == 0


def test_that_something_was_logged_just_before_is_not_enough() -> None:
    hourly = ibis.memtable([{**ROWS[n], "at": AT - timedelta(hours=n)} for n in range(48)], schema=SCHEMA)
    (best, *_) = propose(hourly, Clues(when=AT + timedelta(minutes=2), what="it went wrong"))
    assert best.interaction_id == "i00000"  # the only one near: likely, as long as nothing speaks against it
    found = propose(hourly, Clues(when=AT + timedelta(minutes=2), near="umbrella weather sunshine picnic lake swan"))
    assert all(one.score < SURE for one in found)
    found = propose(hourly, Clues(when=AT + timedelta(minutes=2), session="s-none", user="u-none"))
    assert all(one.score < SURE for one in found)


@pytest.mark.slow
def test_what_is_said_to_be_sure_is_right(seen) -> None:
    """Reports half an hour later on average, quoting half of the words, some with the user: sure ones are right."""
    rng = np.random.default_rng(11)
    sure = right = first = 0
    trials = 150
    for _ in range(trials):
        row = ROWS[rng.integers(len(ROWS))]
        words = str(row["input"]).strip('"').split()
        near = " ".join(word for word in words if rng.random() < 0.6)
        user = str(row["user"]) if rng.random() < 0.5 else None
        late = timedelta(seconds=float(rng.exponential(1800)))
        found = propose(seen, Clues(when=row["at"] + late, near=near, user=user))
        hit = bool(found) and found[0].interaction_id == row["id"]
        first += hit
        if found and found[0].score >= SURE:
            sure += 1
            right += hit
    assert sure >= 0.3 * trials
    assert right >= 0.9 * sure
    assert first >= 0.6 * trials


# --- what became of it ---

MODE = Mode(id="m1", name="n", state="open", exemplars=("e1",))
FILED = Report(id="r1", at=AT, what="w", state="joined", interaction_id="i1", joined_at=AT)
HOUR = timedelta(hours=1)


def up(report: Report, mode: Mode, hours: int, *, assigned: bool = True) -> Report:
    put = {"i1": ("m1", AT + HOUR)} if assigned else {}
    released = {"v2": AT + 5 * HOUR, "v3": AT + 20 * HOUR}
    return brought_up(report, assigned=put, modes={"m1": mode}, released=released, at=AT + hours * HOUR)


def test_a_report_goes_with_its_mode_until_it_is_fixed_and_back_when_it_returns() -> None:
    from dataclasses import replace

    assert up(FILED, MODE, 2, assigned=False) == FILED
    seen = up(FILED, MODE, 2)
    assert (seen.state, seen.mode, seen.acknowledged_at) == ("acknowledged", "m1", AT + HOUR)
    fixed = up(seen, replace(MODE, state="fixed", fixed_in="v2"), 6, assigned=False)
    assert (fixed.state, fixed.fixed_in, fixed.fixed_at) == ("fixed", "v2", AT + 5 * HOUR)
    told = replace(fixed, told_at=AT + 6 * HOUR, told_how="page")
    assert up(told, replace(MODE, state="fixed", fixed_in="v2"), 7) == told
    back = up(told, replace(MODE, state="reopened", fixed_in="v2"), 8)
    assert (back.state, back.fixed_in, back.told_at, back.reopened) == ("acknowledged", None, None, 1)
    assert "come back" in shown_to_reporter(back)["line"]
    again = up(back, replace(MODE, state="fixed", fixed_in="v3"), 21)
    assert (again.state, again.fixed_at, again.told_at) == ("fixed", AT + 20 * HOUR, None)
    closed = replace(seen, state="closed", closed_at=AT)
    assert up(closed, replace(MODE, state="fixed", fixed_in="v2"), 6) == closed


def test_a_report_that_came_late_finds_the_mode_of_its_like() -> None:
    def ask(key: str, text: object, output: str = "card") -> Interaction:
        return Interaction(id=key, at=AT, input=text, output=output)

    known = {"e1": ask("e1", "my pin is blocked again")}
    assert of_mode(ask("x", "my pin is blocked"), [MODE], known) == "m1"
    assert of_mode(ask("x", "my pin is blocked", "rate"), [MODE], known) is None
    assert of_mode(ask("x", "rate of the dollar"), [MODE], known) is None
    assert of_mode(None, [MODE], known) is None


def test_a_reporter_sees_no_text_and_nothing_of_the_log() -> None:
    report = Report(
        id="r1", at=AT, what="secret-text", expected="e-text", by="u_x", interaction_id="i-9", state="joined"
    )
    shown = shown_to_reporter(report)
    assert shown["state"] == "received"
    assert not any(part in str(shown) for part in ("secret-text", "e-text", "u_x", "i-9"))


# --- figures ---


def reports(ended: list[float], waiting: list[float]) -> list[Report]:
    """Reports of which some were fixed after so many hours, and others have waited for so many."""
    now = AT + timedelta(days=100)
    return [
        *(Report(id=f"e{n}", at=AT, what="", fixed_at=AT + timedelta(hours=t)) for n, t in enumerate(ended)),
        *(Report(id=f"w{n}", at=now - timedelta(hours=t), what="") for n, t in enumerate(waiting)),
    ]


def test_the_median_and_its_interval_are_those_of_a_published_trial() -> None:
    # Freireich et al. (1963), remission of leukaemia in weeks, as given by R's survfit(conf.type = "log-log")
    drug = reports([6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
    found = report_figures(drug, AT + timedelta(days=100))["to_fix"]
    assert found == {"median_hours": 23.0, "low": 13.0, "high": None, "done": 9, "waiting": 12}
    placebo = reports([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], [])
    found = report_figures(placebo, AT + timedelta(days=100))["to_fix"]
    assert (found["median_hours"], found["low"], found["high"]) == (8.0, 4.0, 11.0)


@pytest.mark.slow
def test_the_interval_of_the_median_holds_the_truth_though_many_wait() -> None:
    rng = np.random.default_rng(2)
    held = shown = 0
    for _ in range(200):
        times, limits = rng.exponential(10.0, 60), rng.uniform(2.0, 30.0, 60)
        some = reports(list(times[times <= limits]), list(limits[times > limits]))
        found = report_figures(some, AT + timedelta(days=100))["to_fix"]
        shown += found["median_hours"] is not None
        low, high = found["low"] or 0.0, found["high"] or np.inf
        held += low <= 10.0 * np.log(2) <= high
    assert shown == 200
    assert held / 200 >= 0.91


def test_weeks_shares_and_modes_are_counted() -> None:
    some = [
        Report(id="a", at=AT - timedelta(days=15), what="", mode="m1", interaction_id="i", by="u", fixed_at=AT,
               told_at=AT),
        Report(id="b", at=AT - timedelta(days=1), what="", mode="m1"),
        Report(id="c", at=AT, what="", interaction_id="j"),
        Report(id="later", at=AT + timedelta(days=1), what=""),
    ]  # fmt: skip
    found = report_figures(some, AT)
    assert [(week["week"], week["reports"]) for week in found["weeks"]] == [
        ("2026-04-13", 1), ("2026-04-20", 0), ("2026-04-27", 1), ("2026-05-04", 1),
    ]  # fmt: skip
    assert (found["reports"], found["joined"], found["anonymous"], found["told"]) == (3, 0.6667, 0.6667, 1.0)
    assert [(one["mode"], one["reports"], one["fixed"]) for one in found["by_mode"]] == [("m1", 2, 1)]
    nothing = report_figures([], AT)
    assert (nothing["reports"], nothing["joined"], nothing["to_fix"]["median_hours"]) == (0, None, None)


@given(st.lists(st.floats(0, 1000), max_size=20), st.lists(st.floats(0, 1000), max_size=20))
def test_the_median_lies_in_its_interval(ended: list[float], waiting: list[float]) -> None:
    found = report_figures(reports(ended, waiting), AT + timedelta(days=100))["to_fix"]
    median, low, high = found["median_hours"], found["low"], found["high"]
    if median is not None:
        assert low is None or low <= median
        assert high is None or median <= high


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FLYWHEEL_DATA"), reason="FLYWHEEL_DATA names no folder with banking77")
def test_what_is_said_to_be_sure_is_right_on_real_questions() -> None:
    """A bank's 13,083 questions in two days; reports quote 6 words in 10, some misspelt, half an hour late."""
    folder = Path(os.environ["FLYWHEEL_DATA"]) / "banking77"
    questions = [row for part in ("train", "test") for row in csv.DictReader((folder / f"{part}.csv").open())]
    rng = np.random.default_rng(0)
    rng.shuffle(questions)  # type: ignore[arg-type]
    size = len(questions)
    rows = [
        {
            "id": f"i{n:05d}",
            "at": AT - timedelta(seconds=(size - n) * 172_800 / size),
            "input": json.dumps(row["text"]),
            "output": json.dumps(row["category"]),
            "session": f"s{n // 3}",
            "user": f"u{rng.integers(2000)}",
            "extra": "",
        }
        for n, row in enumerate(questions)
    ]
    seen = ibis.duckdb.connect().create_table("seen", ibis.memtable(rows, schema=SCHEMA))
    for user, least in ((False, 0.3), (True, 0.8)):
        sure = right = 0
        for _ in range(60):
            row = rows[rng.integers(size // 2, size)]
            near = " ".join(_misspelt(word, rng) for word in json.loads(row["input"]).split() if rng.random() < 0.6)
            when = row["at"] + timedelta(seconds=float(rng.exponential(1800)))
            who = row["user"] if user else None
            found = propose(seen, Clues(when=when, what="the assistant gave me a wrong answer", near=near, user=who))
            if found and found[0].score >= SURE:
                sure, right = sure + 1, right + (found[0].interaction_id == row["id"])
        assert sure >= least * 60
        assert right >= 0.95 * sure


def _misspelt(word: str, rng: np.random.Generator) -> str:
    """One word in seven loses a letter."""
    if len(word) < 4 or rng.random() > 0.15:
        return word
    place = rng.integers(1, len(word) - 1)
    return word[:place] + word[place + 1 :]
