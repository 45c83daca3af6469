"""The same tables read by DuckDB and by Spark: the same columns, rows and answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flywheel.records import Feedback, Interaction
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


def rows(store: Store) -> list[dict[str, Any]]:
    table = store.tables.snapshot().interactions.order_by("seq")
    # Spark gives times without their zone (they are UTC in both): compare them as text of the same length.
    found: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return [
        {name: str(value)[:19] if isinstance(value, datetime) else value for name, value in row.items()}
        for row in found
    ]


@pytest.mark.slow
def test_both_engines_agree(opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed (extra spark)")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    duck, spark = opened(), opened(engine="spark")
    assert spark.tables.snapshot().count() == 0
    for start in range(3):
        facts: list[Interaction | Feedback] = [
            Interaction(
                id=f"{start}-{number}",
                at=AT,
                input={"v": number, "t": "x"} if number % 2 else [1, 2, number],
                context={f"k{start}": number, "device": "ios", "age": number if start else "old"},
            )
            for number in range(20)
        ]
        facts.append(Feedback(id=f"f{start}", interaction_id=f"{start}-0", at=AT, kind="rating", value=-1))
        duck.log.append(facts)
        duck.tables.sync(duck.log)
    assert rows(spark) == rows(duck)
    assert spark.tables.conflicts() == duck.tables.conflicts() == {"context.age": 40}
    windows = [store.tables.snapshot().window(10, 30) for store in (duck, spark)]
    assert windows[0].count() == windows[1].count() == 19
    assert {int(window.feedback.number.sum().execute()) for window in windows} == {-3}
