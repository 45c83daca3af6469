"""Every call is answered by the present champion and logged, whoever promoted it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from flywheel.config import Config
from flywheel.errors import InvalidRecord, NothingToLearn
from flywheel.ports import Predictions
from flywheel.records import Candidate
from flywheel.release import FolderRegistry, Predictor, Releases
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Named:
    """Answers with its own version."""

    def __init__(self, version):
        self.version = version

    def predict(self, inputs):
        if "bad" in inputs:
            raise ArithmeticError("does not compute")
        scores = np.tile(np.array([0.1, 0.3, 0.05, 0.25, 0.1, 0.2]), (len(inputs), 1))
        return Predictions(
            [f"{self.version}:{one}" for one in inputs], scores.max(axis=1), labels=tuple("abcdef"), scores=scores
        )


class Shelf:
    """Takes what is logged, and notes what is loaded."""

    def __init__(self):
        self.rows, self.loaded = [], []

    def load(self, release):
        self.loaded.append(release.version)
        return Named(release.version)

    def log_many(self, rows):
        self.rows += [dict(row) for row in rows]
        return [row["id"] or f"i{len(self.rows)}" for row in rows]


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path, Config())
    yield opened
    opened.close()


@pytest.fixture
def releases(store):
    return Releases(store.state, FolderRegistry(store.folder))


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def predictor(releases, shelf):
    return Predictor(releases, shelf.load, shelf.log_many)


def _promote(releases, version):
    releases.promote(Candidate(version=version, dataset="d", trainer="t", folder="m"), AT)


def test_no_champion_yet(predictor):
    with pytest.raises(NothingToLearn, match="no champion"):
        predictor.predict(["x"])


def test_answers_are_logged(predictor, releases, shelf):
    _promote(releases, "v1")
    one, two = predictor.predict(["x", "y"], users=["u", None], contexts=[{"os": "ios"}, None], at=AT, ids=["a", "b"])
    assert (one.id, one.output, one.confidence, one.version) == ("a", "v1:x", 0.3, "v1")
    assert two.id == "b"
    row = shelf.rows[0]
    assert row.pop("latency_ms") >= 0
    assert row == {
        "id": "a",
        "input": "x",
        "output": "v1:x",
        "confidence": 0.3,
        "scores": {"b": 0.3, "d": 0.25, "f": 0.2, "a": 0.1, "e": 0.1},
        "model": "v1",
        "user": "u",
        "context": {"os": "ios"},
        "at": AT,
    }


def test_only_asking(predictor, releases, shelf):
    _promote(releases, "v1")
    assert predictor.predict(["x"], log=False)[0].id is None
    assert predictor.predict([]) == []
    assert shelf.rows == []


def test_what_is_logged_passes_the_recorder(releases, shelf, store):
    from flywheel.capture import Recorder
    from flywheel.capture.redact import Patterns

    recorder = Recorder(store.log, redactor=Patterns(), pseudonym_key=bytes(32), max_record_bytes=10_000)
    _promote(releases, "v1")
    (answer,) = Predictor(releases, shelf.load, recorder.log_many).predict(["x"], users=["ana"])
    seen = store.log.interactions([answer.id])[answer.id]
    assert (seen.output, seen.model, seen.confidence) == ("v1:x", "v1", 0.3)
    assert seen.user.startswith("u_")


def test_a_failing_model_is_logged_and_its_error_raised(predictor, releases, shelf):
    _promote(releases, "v1")
    with pytest.raises(ArithmeticError, match="does not compute"):
        predictor.predict(["x", "bad"])
    assert [row["error"] for row in shelf.rows] == ["ArithmeticError: does not compute"] * 2
    with pytest.raises(ArithmeticError):
        predictor.predict(["bad"], log=False)
    assert len(shelf.rows) == 2


def test_lists_of_another_length(predictor, releases):
    _promote(releases, "v1")
    with pytest.raises(InvalidRecord, match="users: there are 1 for 2"):
        predictor.predict(["x", "y"], users=["u"])


def test_the_model_is_loaded_once_and_swapped_after_promotion_and_rollback(predictor, releases, shelf):
    _promote(releases, "v1")
    predictor.predict(["x"])
    predictor.predict(["x"])
    _promote(releases, "v2")
    assert predictor.predict(["x"])[0].output == "v2:x"
    releases.rollback(AT, "ana")
    assert predictor.predict(["x"])[0].version == "v1"
    assert shelf.loaded == ["v1", "v2", "v1"]


@pytest.mark.fault
def test_a_promotion_by_another_process_takes_effect(predictor, releases, store):
    _promote(releases, "v1")
    assert predictor.predict(["x"])[0].version == "v1"
    program = (
        "import pathlib, datetime\n"
        "from flywheel.config import Config\nfrom flywheel.records import Candidate\nfrom flywheel.store import Store\n"
        "from flywheel.release import FolderRegistry, Releases\n"
        f"store = Store.open(pathlib.Path({str(store.folder)!r}), Config())\n"
        "Releases(store.state, FolderRegistry(store.folder)).promote("
        "Candidate(version='v2', dataset='d', trainer='t', folder='m'), datetime.datetime.now(datetime.UTC))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert predictor.predict(["x"])[0].version == "v2"
