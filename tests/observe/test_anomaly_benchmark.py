"""NAB's scorer, on a series worked out by hand; and the published scores, where the data is there."""

from __future__ import annotations

import json
import math
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
nab = pytest.importorskip("nab")
COSTS = {"tpWeight": 1.0, "fnWeight": 1.0, "fpWeight": 0.11}


def made(windows, n=100, name="made/up.csv"):
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    return nab.Series(name, [begin + timedelta(minutes=5 * step) for step in range(n)], [0.0] * n, windows)


def scores(alarms, n=100):
    out = np.zeros(n)
    out[list(alarms)] = 1.0
    return out


def fall(position):
    return 2 / (1 + math.exp(5 * position)) - 1


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [
        ([], -1.0),
        ([40], 1.0),  # the first place of the window
        ([40, 45, 49], 1.0),  # only the best counts
        ([45], fall(-0.5) / fall(-1)),
        ([49], fall(-0.1) / fall(-1)),
        ([20], -1.0 - 0.11),  # before every window: the full price
        ([5], -1.0),  # while learning: nothing
        ([50], -1.0 + 0.11 * fall(1 / 9)),  # just after: cheap
        ([70], -1.0 + 0.11 * fall(21 / 9)),
        ([77], -1.0 - 0.11),  # three widths after: the full price
        ([40, 20, 30], 1.0 - 0.22),
    ],
    ids=["silent", "first", "several", "middle", "last", "before", "learning", "after", "later", "long-after", "mixed"],
)
def test_one_window_by_hand(alarms, expected):
    corpus = nab.Corpus([made([(40, 49)])])
    (got,) = corpus.at(scores(alarms), 0.5, COSTS)
    assert got["score"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("enough", [1, 20, 20_000])
def test_the_best_threshold_is_the_best_of_all(enough, monkeypatch):
    monkeypatch.setattr(nab, "ENOUGH", enough)
    rng = np.random.default_rng(0)
    corpus = nab.Corpus([made([(40, 49), (70, 79)]), made([(30, 45)], name="made/down.csv"), made([])])
    for _ in range(30):
        values = rng.integers(0, 12, 300).astype(float)
        raw, threshold = corpus.best(values, COSTS)
        every = {
            level: sum(one["score"] for one in corpus.at(values, level, COSTS)) for level in [*range(13), math.inf]
        }
        assert raw == pytest.approx(max(every.values()), abs=1e-12)
        assert raw == pytest.approx(sum(one["score"] for one in corpus.at(values, threshold, COSTS)), abs=1e-12)


def test_silence_is_0_and_perfection_100():
    corpus = nab.Corpus([made([(40, 49), (70, 79)])])
    assert corpus.scaled(-2.0, COSTS) == 0
    assert corpus.scaled(sum(one["score"] for one in corpus.at(scores([40, 70]), 0.5, COSTS)), COSTS) == 100


def test_the_joined_views_are_what_the_detector_gives():
    rng = np.random.default_rng(1)
    one = made([], n=900)
    one = nab.Series(one.name, one.times, rng.normal(size=900).tolist(), [])
    strengths, surprises = nab.Watched().run(one)
    (again,) = nab.joined([surprises], nab.CONFIGURATION)
    assert np.abs(strengths - again).max() < 1e-9
    (upper,) = nab.joined([surprises], nab.CONFIGURATION, least=0.9)
    top = np.quantile(strengths, 0.97)
    assert np.array_equal(again >= top, upper >= top)


@pytest.mark.slow
def test_published_scores_are_met():
    folder = Path(os.environ.get("FLYWHEEL_DATA", "")) / "nab"
    if not (folder / "nab_data.tar.gz").is_file():
        pytest.skip("FLYWHEEL_DATA names no folder with nab in it")
    profiles = {
        name: one["CostMatrix"] for name, one in json.loads((folder / "profiles.json").read_text("utf-8")).items()
    }
    corpus = nab.Corpus(nab.load(folder))
    got = nab.check(corpus, folder, profiles)
    assert corpus.windows == 116
    assert got["files_with_equal_alarm_counts"] == got["null_files_equal"] == 58
    assert got["largest_gap"] < 1e-7
    for one in got["windowed_gaussian_optimised"].values():
        assert one["ours"] == pytest.approx(one["published"], abs=1e-6)
