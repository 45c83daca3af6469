"""Sentiment agrees with people, scores distinct texts once, and says so when a window's mood has fallen."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from flywheel import plugins
from flywheel.errors import InvalidConfig, UnknownPlugin
from flywheel.observe import sentiment as room
from flywheel.observe.contrast import average, contrast, holm
from flywheel.observe.sentiment import mood, mood_findings, sentiment
from flywheel.testing import check_sentiment

START = datetime(2026, 1, 5, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")
GOOD = ("great, thank you", "I love this", "perfect answer", "very helpful", "nice work")
BAD = ("this is terrible", "I hate it", "useless answer", "awful and wrong", "a horrible mess")


def said(texts, *, users=None, comments=(), hours=None):
    """User turns one an hour, and comments on (row, text)."""
    n = len(texts)
    hours = range(n) if hours is None else hours
    at = [START + timedelta(hours=float(h)) for h in hours]
    interactions = pa.table(
        {
            "seq": pa.array(range(1, n + 1), pa.int64()),
            "id": pa.array([f"i{k}" for k in range(n)], pa.string()),
            "at": pa.array(at, STAMP),
            "input_text": pa.array(list(texts), pa.string()),
            "user": pa.array([f"u{k}" for k in range(n)] if users is None else list(users), pa.string()),
            "session": pa.array([None] * n, pa.string()),
            "rand": pa.array(np.random.default_rng(0).random(n)),
        }
    )
    feedback = pa.table(
        {
            "seq": pa.array(range(n + 1, n + 1 + len(comments)), pa.int64()),
            "interaction_id": pa.array([f"i{row}" for row, _ in comments], pa.string()),
            "at": pa.array([at[row] for row, _ in comments], STAMP),
            "kind": pa.array(["comment"] * len(comments), pa.string()),
            "text": pa.array([text for _, text in comments], pa.string()),
        }
    )
    return SimpleNamespace(interactions=ibis.memtable(interactions), feedback=ibis.memtable(feedback))


def test_known_texts():
    scores = sentiment(["I love it", "I do not love it", "", None, "the lamp is on the table"])
    assert scores[0] > 0.5 > 0 > scores[1]
    assert np.isnan(scores[2:4]).all()
    assert scores[4] == 0
    assert sentiment([]).shape == (0,)
    assert np.isnan(sentiment([None])).all()


def test_distinct_texts_are_scored_once(monkeypatch):
    asked = []

    def score(self, texts):
        asked.extend(texts)
        return np.linspace(-3, 3, len(texts))

    monkeypatch.setattr(room.Vader, "score", score)
    scores = sentiment(["a", "b", "a", "a", "b"])
    assert asked == ["a", "b"]
    assert scores.tolist() == [-1, 1, -1, -1, 1]  # a plugin that goes beyond the scale is held to it


@pytest.mark.parametrize("name", ["vader", "lexicon"])
def test_the_raters_that_ship(name):
    check_sentiment(plugins.create("sentiments", name))


def test_a_lexicon_of_ones_own(tmp_path):
    path = tmp_path / "deutsch.tsv"
    path.write_text("gut\t2.5\nschlecht\t-2.5\tmehr\n\nfurchtbar\t-3\n", encoding="utf-8")
    scores = sentiment(["Das ist gut!", "schlecht, furchtbar", "egal"], by="lexicon", path=path)
    assert scores[0] == pytest.approx(2.5 / np.sqrt(2.5**2 + 15))
    assert scores[1] < -0.7
    assert scores[2] == 0
    check_sentiment(plugins.create("sentiments", "lexicon", path=path), good=["gut"], bad=["schlecht"])
    path.write_text("gut\tsehr\n", encoding="utf-8")
    with pytest.raises(InvalidConfig, match="line 1"):
        sentiment(["gut"], by="lexicon", path=path)
    with pytest.raises(InvalidConfig, match="cannot be read"):
        sentiment(["gut"], by="lexicon", path=tmp_path / "none.tsv")
    with pytest.raises(UnknownPlugin, match="oracle"):
        sentiment(["gut"], by="oracle")


def test_the_check_refuses_raters_that_break_the_contract():
    class Rater:
        name = "rater"

        def score(self, texts):
            return plugins.create("sentiments", "vader").score(texts)

    for score, reason in (
        (lambda self, texts: Rater().score(texts) * 3, "beyond -1 to 1"),
        (lambda self, texts: -Rater().score(texts), "scores a good text"),
        (lambda self, texts: Rater().score(texts)[:2], "gave shape"),
        (lambda self, texts: Rater().score(texts) * np.nan, "NaN"),
        (lambda self, texts: Rater().score(texts) / len(texts), "texts beside it"),
        (lambda self, texts: (Rater().score(texts) * 2).astype(int), "not floats"),
    ):
        with pytest.raises(AssertionError, match=reason):
            check_sentiment(type("Broken", (Rater,), {"score": score})())


def test_mood_by_day():
    window = said([*GOOD, *BAD], hours=[0, 1, 2, 3, 4, 24, 25, 26, 27, 28], comments=[(0, "I hate it"), (5, "  ")])
    first, second, third = mood(window, "day")
    assert (first["what"], first["n"], first["mean"]) == ("comments", 1, pytest.approx(sentiment(["I hate it"])[0]))
    assert (first["low"], first["high"]) == (-1.0, 1.0)  # one user says nothing about the others
    assert (second["what"], second["n"]) == ("turns", 5)
    assert second["low"] > 0.2
    assert third["at"] == START + timedelta(days=1)
    assert third["high"] < -0.2
    assert mood(said([None, ""])) == []
    with pytest.raises(InvalidConfig, match="fortnight"):
        mood(window, "fortnight")


def test_a_sample_speaks_for_all():
    texts = [(GOOD + BAD)[k % 10] for k in range(2000)]
    whole, part = mood(said(texts, hours=[0] * 2000)), mood(said(texts, hours=[0] * 2000), sample=500)
    assert 400 < part[0]["n"] < 600
    assert part[0]["low"] < whole[0]["mean"] < part[0]["high"]


def mixed(rng, n, bad):
    return [str(rng.choice(BAD if one else GOOD)) for one in rng.random(n) < bad]


def test_a_fall_of_the_mood_alarms_and_a_rise_does_not():
    rng = np.random.default_rng(0)
    before, after = said(mixed(rng, 400, 0.2)), said(mixed(rng, 400, 0.5))
    (fell,) = mood_findings(after, before)
    assert fell.alarm
    assert fell.kind == "wording"
    assert fell.interval.low < fell.effect < fell.interval.high < 0
    assert "a fall that hurts" in fell.line
    (rose,) = mood_findings(before, after)
    assert not rose.alarm
    assert rose.effect == pytest.approx(-fell.effect)
    (level,) = mood_findings(after, None)
    assert level.reference is None
    assert not level.alarm


def test_one_loud_user_raises_no_alarm():
    rng = np.random.default_rng(1)
    users = [*(f"u{k}" for k in range(100)), *(["loud"] * 300)]
    before = said(mixed(rng, 400, 0.2))
    after = said([*mixed(rng, 100, 0.2), *mixed(rng, 300, 1.0)], users=users)
    assert not any(one.alarm for one in mood_findings(after, before))


@pytest.mark.slow
def test_quiet_windows_raise_nothing():
    """Windows of one kind, users of 1 to 20 texts who are in good or bad spirits: 60 times."""
    covered = alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)

        def window(rng=rng):
            users = np.repeat(np.arange(60), rng.integers(1, 20, 60))
            spirits = rng.beta(1, 3, 60)
            texts = [str(rng.choice(BAD if rng.random() < spirits[u] else GOOD)) for u in users]
            return said(texts, users=[f"u{u}" for u in users])

        (found,) = mood_findings(window(), window())
        alarms += found.alarm
        covered += found.interval.low <= 0 <= found.interval.high
    assert alarms == 0
    assert covered >= 52


def test_contrast_is_welchs_where_every_row_is_a_cluster():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.3, 1, 200), rng.normal(0, 2, 300)
    found = contrast(np.append(one, other), np.arange(500) < 200, np.arange(500))
    assert found.interval.estimate == pytest.approx(one.mean() - other.mean())
    assert found.p == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue, rel=0.15)
    mean = average(one, np.arange(200))
    known = stats.t.interval(0.95, 199, one.mean(), stats.sem(one))
    assert (mean.low, mean.high) == pytest.approx(known, rel=1e-6)
    few = contrast(np.arange(8.0), np.arange(8) < 3, np.arange(8))
    assert few.p == 1.0
    assert few.interval.high == np.inf


def test_holm_is_in_any_order():
    assert holm([0.03, 0.01, 0.04]).tolist() == [0.06, 0.03, 0.06]
    assert holm([]).tolist() == []


@pytest.mark.skipif(not os.environ.get("FLYWHEEL_DATA"), reason="FLYWHEEL_DATA names no folder with vader")
def test_it_agrees_with_people():
    path = Path(os.environ["FLYWHEEL_DATA"]) / "vader" / "human_rated" / "tweets_GroundTruth.txt"
    rows = [line.split("\t", 2) for line in path.read_text(encoding="utf-8").splitlines() if line][:1000]
    scores = sentiment([row[2] for row in rows])
    assert np.corrcoef(scores, [float(row[1]) for row in rows])[0, 1] > 0.8
