"""Replay: a model's answers to every logged interaction of a window, computed inside the engine."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa

from flywheel.ports import Model

__all__ = ["differences", "replay"]

REPLAYED = 20_000
"""Two models are compared on so many interactions at most: a share is known to half a point on fewer."""

_COUNTER = itertools.count()
_STRUCT = dt.Struct({"output": dt.string, "confidence": dt.float64})
_ARROW = pa.struct([("output", pa.string()), ("confidence", pa.float64())])


def replay(
    window: Any, model: Model, *, columns: Sequence[str] = (), input_column: str = "input", as_text: bool = False
) -> Any:
    """Ask a model about every interaction of `window`: an Ibis table `(id, output, confidence, *columns)`.

    `window` is a `Snapshot`, or any Ibis table with `id` and the JSON text of the inputs in `input_column`. `output`
    is JSON text; `confidence` is null where the model has none. Nothing runs until the table is executed or cached;
    the engine then streams the rows through the model batch by batch, so memory does not grow with the window.
    `as_text` passes the answer through one JSON column instead of a struct, for engines whose functions return only
    plain types.
    """
    table = getattr(window, "interactions", window)
    answer = _function(model, as_text)(table[input_column])
    asked = table.select("id", *(name for name in columns if name != "id"), answer=answer)
    if as_text:
        parts = asked.answer.cast("json")
        output, confidence = parts["output"].cast("string"), parts["confidence"].cast("string").cast("float64")
    else:
        output, confidence = asked.answer["output"], asked.answer["confidence"]
    return asked.select("id", *(name for name in columns if name != "id"), output=output, confidence=confidence)


def differences(window: Any, one: Model, other: Model) -> dict[str, tuple[Any, Any]]:
    """What two models answer to a window, by interaction id; a random sample of 20,000 where it is larger.

    `window` is a `Snapshot`.
    """
    seen = window.interactions
    sample = seen.order_by(seen.rand).limit(REPLAYED).select("id", "input").cache()
    first, second = replay(sample, one), replay(sample, other)
    both = first.join(second.select("id", again=second.output), "id").select("id", "output", "again").to_pyarrow()
    rows = zip(*(both.column(name).to_pylist() for name in ("id", "output", "again")), strict=True)
    return {key: (json.loads(old), json.loads(new)) for key, old, new in rows}


def _function(model: Model, as_text: bool) -> Any:
    """The model as a vectorised function of the engine; each gets a name of its own, so that two fit in one query."""

    def answer(inputs: pa.Array | pa.ChunkedArray) -> pa.Array:
        values = [None if text is None else json.loads(text) for text in inputs.to_pylist()]
        outputs, sure = _ask(model, values)
        if as_text:
            rows = [_row(output, confidence) for output, confidence in zip(outputs, sure, strict=True)]
            return pa.array(rows, pa.string())
        texts = pa.array([json.dumps(o, ensure_ascii=False, separators=(",", ":")) for o in outputs], pa.string())
        return pa.StructArray.from_arrays([texts, pa.array(sure, pa.float64())], fields=list(_ARROW))

    kind = dt.string if as_text else _STRUCT
    return ibis.udf.scalar.pyarrow(answer, name=f"flywheel_answer_{next(_COUNTER)}", signature=((dt.string,), kind))


def _row(output: Any, confidence: float | None) -> str:
    """One answer as JSON; an absent confidence is left out, so that the engine reads null and not the word."""
    row = {"output": output} if confidence is None else {"output": output, "confidence": confidence}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _ask(model: Model, values: list[Any]) -> tuple[list[Any], list[float | None]]:
    if not values:
        return [], []
    said = model.predict(values)
    if said.confidence is None:
        return said.outputs, [None] * len(values)
    return said.outputs, [float(c) for c in said.confidence]
