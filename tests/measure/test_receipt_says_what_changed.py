"""The receipt adds up, prices what it can, and claims nothing where nothing was released."""

from __future__ import annotations

import numpy as np
import pytest

from flywheel.config import ValueSettings
from flywheel.measure import Judgement, receipt
from flywheel.records import Receipt, from_dict, to_dict

PRICES = ValueSettings(per_failure=2.0, per_label=0.5, per_training_hour=36.0, currency="EUR")


def _judged(n=40, *, differs=True):
    rng = np.random.default_rng(0)
    made = []
    for place in range(n):
        before = bool(rng.random() < 0.6)
        after = before or bool(rng.random() < 0.8)
        made.append(Judgement(before, after, 0.05, place < n // 5, (before != after) if differs else None))
    return made


def test_a_promotion():
    made = receipt(
        _judged(),
        spin=3,
        decision="promote",
        population=800,
        disagreement=0.3,
        labels=40,
        audit_labels=8,
        seconds=100.0,
        per_year=1_000_000,
        settings=PRICES,
    )
    assert made.uplift.estimate > 0
    assert made.avoided_per_1000.estimate == pytest.approx(1000 * made.uplift.estimate)
    assert made.avoided_per_1000.low == pytest.approx(1000 * made.uplift.low)
    assert made.value == pytest.approx(made.uplift.estimate * 2_000_000)
    assert made.cost == pytest.approx(40 * 0.5 + 1.0)
    assert (made.labels, made.audit_labels, made.seconds, made.currency) == (40, 8, 100.0, "EUR")
    assert "Spin 3 avoids about" in made.line
    assert "40 labels (21.00 EUR)" in made.line
    assert made.before.estimate < made.after.estimate
    assert from_dict(Receipt, to_dict(made)) == made


@pytest.mark.parametrize(("decision", "released"), [("reject", None), ("need labels", None), ("promote", False)])
def test_nothing_released_changes_nothing(decision, released):
    made = receipt(_judged(), spin=1, decision=decision, released=released, population=800, disagreement=0.3, labels=1)
    assert (made.uplift.estimate, made.uplift.low, made.uplift.high) == (0, 0, 0)
    assert made.line.startswith("Spin 1 changed nothing in production, about ")
    assert made.line.endswith("it took 1 label.")


def test_a_first_model_has_nothing_to_be_compared_with():
    made = receipt([], spin=1, decision="promote", population=0, labels=20)
    assert (made.uplift.low, made.uplift.high, made.uplift.n) == (-1, 1, 0)
    assert "first model" in made.line
    assert made.value is None
    assert made.cost is None
    assert made.currency is None


def test_an_unsure_uplift_is_called_so_and_a_loss_a_loss():
    few = [Judgement(True, True, 0.01, True), Judgement(False, True, 0.01, True)]
    assert "so it may be none" in receipt(few, spin=1, decision="promote", population=200).line
    worse = [Judgement(True, False, 0.05, True) for _ in range(40)]
    assert "adds about" in receipt(worse, spin=1, decision="promote", population=800).line


def test_knowing_where_the_models_differ_narrows_the_receipt():
    wide = receipt(_judged(differs=False), spin=1, decision="promote", population=800, disagreement=0.3).uplift
    narrow = receipt(_judged(), spin=1, decision="promote", population=800, disagreement=0.3).uplift
    assert narrow.high - narrow.low < wide.high - wide.low
