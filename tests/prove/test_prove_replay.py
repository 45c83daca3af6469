"""Replay runs a model inside the engine: every row once, in batches, the same as asking it directly."""

import json

import ibis
import pyarrow as pa
import pytest

from flywheel.ports import Predictions
from flywheel.prove import replay


class Doubler:
    """Doubles numbers, wraps anything else; counts what it is asked."""

    def __init__(self, sure=True):
        self.sure, self.asked, self.largest = sure, 0, 0

    def predict(self, inputs):
        self.asked += len(inputs)
        self.largest = max(self.largest, len(inputs))
        said = [2 * value if isinstance(value, int) else {"got": value} for value in inputs]
        import numpy as np

        return Predictions(said, np.full(len(inputs), 0.75) if self.sure else None)


def table(inputs):
    n = len(inputs)
    return ibis.memtable(
        pa.table({"id": [f"i{k}" for k in range(n)], "seq": list(range(n)), "input": [json.dumps(v) for v in inputs]})
    )


@pytest.mark.parametrize("as_text", [False, True], ids=["struct", "text"])
def test_every_row_is_asked_once_and_answered_in_json(as_text):
    inputs = [1, "ä 'quoted' \"text\"", None, [1, 2], {"a": None}, 21] * 1000
    model = Doubler()
    found = replay(table(inputs), model, columns=["seq"], as_text=as_text).order_by("seq").execute()
    assert [json.loads(text) for text in found.output] == Doubler().predict(inputs).outputs
    assert list(found.columns) == ["id", "seq", "output", "confidence"]
    assert set(found.confidence) == {0.75}
    assert model.asked == len(inputs)
    assert model.largest < len(inputs)  # batches: memory does not grow with the window


@pytest.mark.parametrize("as_text", [False, True], ids=["struct", "text"])
def test_no_confidence_is_null(as_text):
    found = replay(table([1, 2]), Doubler(sure=False), as_text=as_text)
    assert found.confidence.isnull().all().execute()
    assert found.schema()["confidence"].is_float64()


def test_two_models_in_one_query():
    rows = table(list(range(50)))

    class Same:
        def predict(self, inputs):
            return Predictions(list(inputs))

    one, other = replay(rows, Doubler()), replay(rows, Same())
    both = one.join(other, "id").filter(lambda t: t.output != t.output_right)
    assert both.count().execute() == 49


def test_a_snapshot_is_taken_by_its_interactions():
    class Snapshot:
        interactions = table([4])

    assert replay(Snapshot(), Doubler()).output.execute().tolist() == ["8"]
