"""Label sources, balance and lineage of a log whose answers are known."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel
from flywheel.curate.provenance import balance, fields_of, label_sources
from flywheel.records import Dataset, Example, Feedback

AT = datetime(2026, 1, 1, tzinfo=UTC)


def example(n: int, **fields: Any) -> Example:
    return Example(**{"id": f"e{n}", "input": n, "label": "a", "interaction_id": f"i{n}", "by": "ana", **fields})


def said(n: int, value: str, by: str | None, source: str = "reviewer", id: str = "") -> Feedback:
    return Feedback(
        id=id or f"f{n}{by}{source}{value}",
        interaction_id=f"i{n}",
        at=AT,
        kind="label",
        value=value,
        source=source,
        by=by,
    )


def equal(one: Any, other: Any) -> bool:
    return bool(one == other)


def test_sources_are_counted_and_held_against_what_others_said() -> None:
    made = Dataset(
        hash="h",
        examples=(
            *(example(n, failure=n < 2) for n in range(6)),
            example(6, by="ben"),
            example(7, origin="seed", interaction_id=None, by="seed"),
            example(8, origin="user", by=None),
        ),
    )
    told = [said(n, "a", "ana") for n in range(6)]  # her own labels are no second opinion
    told += [said(0, "a", "ben"), said(1, "b", "ben"), said(2, "a", None, "system"), said(3, "b", None, "user")]
    found = {(one.origin, one.by): one for one in label_sources(made, told, correct=equal)}
    ana = found["review", "ana"]
    assert (ana.examples, ana.failures, ana.share) == (6, 2, 6 / 9)
    assert ana.agrees is not None
    assert (ana.agrees.estimate, ana.agrees.n) == (2 / 3, 3)
    assert ana.agrees.low < 2 / 3 < ana.agrees.high
    assert found["review", "ben"].agrees is None
    assert found["seed", "seed"].agrees is None
    user = found["user", None].agrees
    assert user is not None
    assert (user.estimate, user.n) == (0.0, 1)
    assert sum(one.share for one in found.values()) == pytest.approx(1)


def test_second_looks_and_withdrawn_labels_do_not_count() -> None:
    made = Dataset(hash="h", examples=(example(0),))
    told = [said(0, "b", "ben", id="label:q1:x")]
    assert label_sources(made, told, correct=equal)[0].agrees is not None
    assert label_sources(made, told, correct=equal, unasked={"label:q1:x"})[0].agrees is None


def test_balance_holds_shares_beside_the_traffic() -> None:
    made = Dataset(
        hash="h",
        examples=(
            *(example(n, context={"device": "ios"}, failure=n == 0) for n in range(3)),
            example(3, context={"device": "web", "beta": True}),
            example(4),
        ),
    )
    found = balance(made, "device", {"web": 60, "ios": 30, "tv": 10}, protected=("device",))
    assert (found.kind, found.examples, found.traffic) == ("group", 4, 100)
    assert [(one.value, one.examples, one.share, one.traffic_share, one.failures) for one in found.parts] == [
        ("web", 1, 0.25, 0.6, 0), ("ios", 3, 0.75, 0.3, 1), ("tv", 0, 0.0, 0.1, 0),
    ]  # fmt: skip
    assert balance(made, "beta", {}).parts[0].value == "true"
    labels = balance(made, None, {'"a"': 1, '"b"': 1})
    assert (labels.kind, labels.examples) == ("label", 5)
    assert fields_of(made, ("locale",)) == ["locale", "beta", "device"]


def test_many_values_are_added_up_and_none_is_lost() -> None:
    made = Dataset(hash="h", examples=tuple(example(n, context={"city": n}) for n in range(40)))
    found = balance(made, "city", {str(n): 1 for n in range(20, 60)})
    assert found.parts[-1].value == "others"
    assert found.others == 60 - 12
    assert sum(one.examples for one in found.parts) == 40
    assert sum(one.traffic for one in found.parts) == 40
    wide = Dataset(hash="h", examples=tuple(example(n, context={"id": n}) for n in range(60)))
    assert fields_of(wide, ()) == []


def test_lineage_leads_both_ways_from_everything(tmp_path: Path) -> None:
    says = ["my card is lost", "send money abroad", "why this fee"]
    with wheel.open(tmp_path, task="classification", product={"protected": ["device"]}) as fw:
        fw.seed([f"{says[n % 3]} {n}" for n in range(45)], [says[n % 3] for n in range(45)])
        fw.spin(budget=0)
        for n in range(40):
            fw.log(
                input=f"{says[n % 3]} now {n}",
                output=says[0],
                id=f"i{n}",
                context={"device": "ios" if n % 4 else "web"},
            )
        fw.spin(budget=20, labeler=lambda item: says[int(item.interaction_id[1:]) % 3])
        first, second = (one.hash for one in fw.datasets())
        assert fw.lineage(first)["children"] == [second]
        assert fw.lineage(second)["candidates"] == ["v2"]
        back = fw.lineage("v2")
        assert back["datasets"] == [second, first]
        assert back["spin"] == 2
        some = back["interactions"][0]
        assert second in fw.lineage(some)["datasets"]
        told = fw.provenance(second)
        device = next(one for one in told.balance if one.field == "device")
        assert device.kind == "group"
        assert {one.value: one.traffic for one in device.parts} == {"ios": 30, "web": 10}
        assert told.traffic == 40
        assert device.examples == sum(one.interaction_id is not None for one in fw.dataset(second).examples)
        answers = next(one for one in told.balance if one.kind == "label")
        assert answers.traffic == 40
        assert {one.value: one.traffic for one in answers.parts}[f'"{says[0]}"'] == 40
