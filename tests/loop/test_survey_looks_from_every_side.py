"""The look at a window takes every side, says what was planted, and gives queries that give the numbers again."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import flywheel
from flywheel.errors import InvalidRecord, NotFound
from flywheel.loop.survey import PARTS

START = datetime(2026, 6, 1, tzinfo=UTC)
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "observe.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Three weeks of hourly traffic; in the last one questions about loans from ios fail, and are complained about."""
    rng = random.Random(3)
    words = {
        "card": ["where is my {} card", "my {} card is lost", "block my {} card"],
        "loan": ["a loan of {} please", "raise my loan by {}", "pay my loan of {} back"],
    }
    with flywheel.open(tmp_path_factory.mktemp("survey"), task="classification") as fw:
        for n in range(3600):
            at = START + timedelta(minutes=8.4 * n)
            topic, device = rng.choice(list(words)), rng.choice(["ios", "android"])
            bad = rng.random() < (0.6 if n > 2500 and topic == "loan" and device == "ios" else 0.04)
            text = rng.choice(words[topic]).format(rng.randrange(10, 90))
            i = fw.log(
                input=text, output=topic, confidence=0.6 if bad else 0.95, latency_ms=rng.lognormvariate(5, 0.3),
                at=at, user=f"u{rng.randrange(150)}", session=f"s{n // 2}", context={"device": device},
            )  # fmt: skip
            if bad and rng.random() < 0.8:
                fw.feedback(i, rating=-1, at=at + timedelta(minutes=1))
        yield fw


def test_the_guide_names_every_part():
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", GUIDE.read_text("utf-8"), re.MULTILINE))))
    assert set(PARTS) <= named


@pytest.mark.slow
def test_what_was_planted_is_told_and_hurts_first(wheel):
    found = wheel.observe(since=START + timedelta(minutes=8.4 * 2500))
    alarms = [seen for seen in found if seen.alarm]
    assert alarms == found[: len(alarms)]
    assert any("negative" in seen.name for seen in alarms)
    places = [str(seen.where) for seen in found if seen.kind == "slice"]
    assert any("ios" in place for place in places), places
    assert any("loan" in place for place in places), places
    assert any(seen.kind == "influence" and "ios" in seen.line for seen in found)


@pytest.mark.slow
def test_queries_run_again(wheel):
    found = wheel.observe(
        since=START + timedelta(minutes=8.4 * 2500), parts=["slices", "influences", "drift", "breaks"]
    )
    asked = [seen for seen in found if seen.query]
    assert asked
    for seen in asked:
        assert wheel.query(seen.query), seen.line


@pytest.mark.slow
def test_the_same_look_says_the_same(wheel):
    looks = [wheel.observe(since=START + timedelta(days=14), seed=4) for _ in range(2)]
    assert [seen.line for seen in looks[0]] == [seen.line for seen in looks[1]]


@pytest.mark.slow
def test_a_log_of_the_application_is_tied_to_the_failures(wheel, tmp_path):
    rows = wheel.query('SELECT "at" FROM interactions ORDER BY "at"')
    log = tmp_path / "app.log"
    with log.open("w", encoding="utf-8") as file:
        for n, row in enumerate(rows):
            at = row["at"].astimezone(UTC)
            file.write(f"{at:%Y-%m-%d %H:%M:%S} INFO request {n} served in {n % 7} ms\n")
            if n > 2500 and n % 9 == 0:
                file.write(f"{at:%Y-%m-%d %H:%M:%S} WARN model cache miss for shard {n % 5}\n")
    found = wheel.observe(since=START + timedelta(minutes=8.4 * 2500), parts=["logs"], logs=[log])
    assert any("cache miss" in seen.line for seen in found), [seen.line for seen in found]
    with pytest.raises(NotFound, match=r"nowhere\.log"):
        wheel.observe(parts=["logs"], logs=[tmp_path / "nowhere.log"])


def test_sql_that_cannot_be_run_says_why(wheel):
    with pytest.raises(InvalidRecord, match="cannot be run"):
        wheel.query("SELECT nothing FROM nowhere")
    with pytest.raises(InvalidRecord, match="cannot be run"):
        wheel.query("SELEC 1")
