"""Metrics by slice and from labels: weighted failure rates, late records, and what a name means."""

from types import SimpleNamespace

import ibis
import numpy as np
import pytest
from labelled_window import labelled

from flywheel.errors import InvalidConfig
from flywheel.observe import metrics


def test_labels_asked_for_more_often_count_less():
    # 2 of 4 suspects are wrong, asked with certainty; 1 of 4 others, asked for one in ten.
    window = labelled([1, 1, 0, 0, 1, 0, 0, 0], propensity=[1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    (row,) = metrics(window, "hour")
    assert row["labels"] == 8
    assert row["failures"] == pytest.approx((2 + 10) / (4 + 40))
    assert row["failures_low"] < row["failures"] < row["failures_high"]


def test_without_labels_there_is_no_failure_rate():
    (row,) = metrics(labelled([1, 0], told=[False, False]), "hour")
    assert row["failures"] is None
    assert row["labels"] == 0


@pytest.mark.slow
def test_the_interval_covers_the_truth():
    rng, inside = np.random.default_rng(5), 0
    for trial in range(60):
        suspect = rng.random(400) < 0.2
        wrong = rng.random(400) < np.where(suspect, 0.5, 0.05)
        chance = np.where(suspect, 0.8, 0.3)
        row = metrics(labelled(wrong, told=rng.random(400) < chance, propensity=chance, seed=trial), "day")[0]
        inside += row["failures_low"] <= 0.14 <= row["failures_high"]
    assert inside >= 52


def test_where_and_by_cut_the_same_way():
    rng = np.random.default_rng(1)
    device = rng.choice(["ios", "web"], 300)
    window = labelled(rng.random(300) < 0.3, device=device, network=rng.choice(["3g", "wifi"], 300), source="system")
    both = metrics(window, "day", by="device")
    assert [row["device"] for row in both] == ["ios", "web"]
    for row in both:
        (alone,) = metrics(window, "day", where={"context.device": row["device"]})
        assert {k: v for k, v in row.items() if k != "device"} == alone
    assert sum(row["volume"] for row in both) == 300
    (narrow,) = metrics(window, "day", where={"device": "ios", "network": "3g"})
    assert 0 < narrow["volume"] < both[0]["volume"]


def test_an_unknown_column_is_named_with_those_there_are():
    with pytest.raises(InvalidConfig, match=r"'devise'.*context\.device"):
        metrics(labelled([0], device=["ios"]), where={"devise": "ios"})


def test_what_comes_late_reopens_its_window():
    early = labelled([0, 0, 1, 0], minutes=[1, 2, 61, 62], confidence=[0.9, 0.9, 0.8, 0.8])
    late = labelled([1, 1], minutes=[3, 4], confidence=[0.1, 0.1], first=10)
    before = metrics(early, "hour")
    after = metrics(
        SimpleNamespace(
            interactions=ibis.union(early.interactions, late.interactions),
            feedback=ibis.union(early.feedback, late.feedback),
        ),
        "hour",
    )
    assert (before[0]["volume"], after[0]["volume"]) == (2, 4)
    assert after[0]["confidence"] == pytest.approx(0.5)
    assert before[1] == after[1]


def test_sentiment_of_comments_counts_where_the_interaction_happened():
    window = labelled([0, 0, 0], minutes=[1, 2, 61], told=[False, False, False])
    comments = {
        "interaction_id": ["i0", "i1", "i1"],
        "kind": ["comment"] * 3,
        "text": ["I love it, great!", "I love it, great!", "this is awful, I hate it"],
        "seq": [10, 11, 12],
    }
    rest = {name: [None] * 3 for name in ("value", "source", "propensity", "number")}
    told = ibis.memtable(comments | rest, schema=window.feedback.schema())
    first, second = metrics(SimpleNamespace(interactions=window.interactions, feedback=told), "hour")
    assert 0 < first["sentiment"] < 0.6
    assert second["sentiment"] is None
