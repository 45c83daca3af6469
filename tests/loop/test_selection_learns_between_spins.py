"""Selection sees the present model and what users said, and keeps from spin to spin which strategies paid."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

import flywheel
from flywheel.curate.strategies import STRATEGIES
from flywheel.loop.wanted import doubts, heard
from flywheel.ports import Predictions
from flywheel.records import Failure

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def work_of(said, task="classification", calibration=None):
    model = SimpleNamespace(predict=lambda inputs: said) if said else None
    config = SimpleNamespace(product=SimpleNamespace(task=task))
    return SimpleNamespace(incumbent_model=model, shop=SimpleNamespace(config=config), calibration=calibration)


def failing(key, probability=0.1, confidence=0.9):
    return Failure(interaction_id=key, at=AT, probability=probability, input=key, confidence=confidence)


def asked(work, pool):
    return doubts(work, pool, work.incumbent_model)


def test_doubt_is_the_margin_of_the_present_model_else_what_was_logged():
    pool = [failing("a"), failing("b", confidence=None)]
    scores = np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]])
    said = Predictions(["x", "x"], scores.max(axis=1), ("x", "y", "z"), scores)
    found = asked(work_of(said), pool)
    assert found == {"a": pytest.approx(0.45), "b": pytest.approx(0.075)}
    for other in (Predictions(["x", "x"]), Predictions(["x", "x"], None, ("x", "y", "z"), scores * 7 - 2)):
        assert asked(work_of(other), pool) == {"a": pytest.approx(0.05)}
    assert asked(work_of(said, task="regression"), pool) == {"a": pytest.approx(0.05)}
    assert asked(work_of(None), pool) == {"a": pytest.approx(0.05)}


def test_what_was_told_is_what_doubt_does_not_explain():
    silent = failing("a", probability=0.1, confidence=0.9)
    doubtful = failing("b", probability=0.5, confidence=0.5)
    reported = failing("c", probability=0.69, confidence=0.9)
    found = heard(work_of(None), [silent, doubtful, reported])
    assert found["a"] == pytest.approx(0, abs=1e-9)
    assert found["b"] == pytest.approx(0, abs=1e-9)
    assert found["c"] == pytest.approx(3.0, abs=0.02)


@pytest.mark.slow
def test_the_split_is_kept_with_the_spin(tmp_path):
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(4, 6)) * 2

    def draw(n, kinds):
        labels = rng.integers(kinds, size=n)
        return np.round(centres[labels] + rng.normal(size=(n, 6)), 3).tolist(), [f"k{k}" for k in labels]

    with flywheel.open(tmp_path, release={"registry": "folder"}, observe={"parts": ()}) as fw:
        fw.seed(*draw(60, 2), at=AT)
        fw.spin(budget=0, at=AT)
        inputs, labels = draw(240, 4)
        truth = {repr(x): y for x, y in zip(inputs, labels, strict=True)}
        fw.predict(inputs, at=AT + timedelta(hours=1))
        fw.spin(budget=60, at=AT + timedelta(hours=5), labeler=lambda item: truth[repr(item.input)])
        chosen, measured = (fw._store.state.step(2, step) for step in ("select", "measure"))
    assert chosen["shares"] == pytest.approx(STRATEGIES)
    assert len(chosen["wanted"]) == 60
    assert all(0 < propensity <= 1 for propensity, _ in chosen["wanted"].values())
    assert any(wanted for _, wanted in chosen["wanted"].values())
    assert set(measured["split"]) == set(STRATEGIES)
