"""The whole chain through the real store: from the log on disk to named modes with a cause."""

from datetime import UTC, datetime, timedelta

import pytest

from flywheel import diagnose
from flywheel.config import Config
from flywheel.diagnose.detectors import Repeated, Slow
from flywheel.diagnose.embed import choose_embedder
from flywheel.diagnose.evidence import context_shares
from flywheel.mine import edge_cases, novelty
from flywheel.observe import metrics, observe
from flywheel.plugins import create
from flywheel.records import Example, Feedback, Interaction
from flywheel.store import Store

START = datetime(2026, 1, 5, tzinfo=UTC)
CARD = ["where is my new card", "my card has not arrived", "card still not here", "when will my card come"]
POLITE = ["please", "now", "thanks", "again", "really"]
RATE = ["what is the exchange rate", "exchange rate for euro today", "is the rate good", "rate for dollars"]


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "bot", Config())
    yield store
    store.close()


def logged(n=120):
    records = []
    for k in range(n):
        wrong = k % 3 == 0
        text = f"{(CARD if wrong else RATE)[k % 4]} {POLITE[k % 5]}"
        at = START + timedelta(minutes=k)
        context = {"device": "ios" if k % 2 else "web", "beta": k % 2 == 0}
        records.append(
            Interaction(
                id=f"i{k:03}", at=at, input=text, output="exchange_rate", confidence=0.3 if wrong else 0.95,
                latency_ms=20.0, user=f"u{k}", context=context,
            )
        )  # fmt: skip
        if wrong:
            records.append(Feedback(id=f"r{k}", interaction_id=f"i{k:03}", at=at, kind="rating", value=-1))
        if k % 9 == 0:
            label = Feedback(
                id=f"l{k}", interaction_id=f"i{k:03}", at=at, kind="label", value="card_arrival", source="reviewer"
            )
            records.append(label)
    return records


def test_from_the_log_to_modes(store):
    store.log.append(logged())
    store.tables.sync(store.log)
    snapshot = store.tables.snapshot()
    window = snapshot.window(0, snapshot.seq)
    config = Config()
    signs = diagnose.signs(window, config.detect, [Repeated(), Slow()])
    detected = diagnose.detect(signs)
    found = diagnose.failures(window, detected, seed=1)
    assert {f.interaction_id for f in found} == {f"i{k:03}" for k in range(0, 120, 3)}
    assert {f.label for f in found} == {None, "card_arrival"}
    embedder = create("embedders", choose_embedder([f.input for f in found]))
    modes, assigned = diagnose.group(
        found, [], spin=1, total=40.0, window_size=window.count(), embedder=embedder, previous_inputs={},
        settings=config.diagnose, shares=context_shares(window),
    )  # fmt: skip
    assert modes
    assert all("card" in mode.name for mode in modes)
    by_mode = {mode.id: [f for f in found if assigned.get(f.interaction_id) == mode.id] for mode in modes}
    known = [Example(id=f"e{k}", input=RATE[k % 4], label="exchange_rate") for k in range(20)]
    judged = diagnose.causes(modes, by_mode, known, embedder=embedder, window=window)
    assert judged[0].cause.kind == "data scarcity"
    assert judged[0].risk is not None
    assert [m.state for m in diagnose.lifecycle([], judged, spin=1, window_size=120)] == ["open"] * len(modes)
    learned = diagnose.calibrate(signs, [diagnose.Judged(f"i{k:03}", k % 3 == 0, 0.5) for k in range(60)])
    assert learned.labels == pytest.approx(60)
    new = novelty([f.input for f in found], [e.input for e in known], embedder)
    scores = {f.interaction_id: float(score) for f, score in zip(found, new, strict=True)}
    cases = edge_cases(found, scores, {f.interaction_id: f.probability for f in found})
    assert {case.kind for case in cases} == {"novel"}


def test_observing_two_windows_of_the_store(store):
    store.log.append(logged())
    store.tables.sync(store.log)
    snapshot = store.tables.snapshot()
    half = snapshot.seq // 2
    seen = observe(snapshot.window(half, snapshot.seq), snapshot.window(0, half), None, Config().detect)
    assert {one.name for one in seen} >= {"volume", "error_rate", "negative_rate", "latency_p95", "confidence"}
    assert not any(one.alarm for one in seen)
    hours = metrics(snapshot, "hour")
    assert [row["volume"] for row in hours] == [60, 60]
    assert hours[0]["negative"] == pytest.approx(1 / 3)


def test_an_empty_store_is_no_fault(store):
    snapshot = store.tables.snapshot()
    signs = diagnose.signs(snapshot, Config().detect, [Repeated(), Slow()])
    assert diagnose.failures(snapshot, diagnose.detect(signs)) == []
    assert metrics(snapshot) == []
    assert observe(snapshot, None)[0].value == 0.0
