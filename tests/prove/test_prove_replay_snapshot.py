"""Replay over the real tables of a folder."""

import json
from datetime import UTC, datetime

from flywheel.config import Config
from flywheel.ports import Predictions
from flywheel.prove import replay
from flywheel.records import Interaction
from flywheel.store import Store


class Length:
    def predict(self, inputs):
        return Predictions([len(value) for value in inputs])


def test_a_snapshot_is_replayed(tmp_path):
    store = Store.open(tmp_path, Config())
    try:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        store.log.append([Interaction(id=f"i{k}", at=at, input="x" * k, output=0) for k in range(1, 30)], at)
        store.tables.sync(store.log)
        found = replay(store.tables.snapshot(), Length(), columns=["seq"]).order_by("seq").execute()
    finally:
        store.close()
    assert [json.loads(text) for text in found.output] == list(range(1, 30))
    assert found.id.tolist() == [f"i{k}" for k in range(1, 30)]
