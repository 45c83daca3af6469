"""Retention removes what is too old, nothing else, counts it, and leaves an erasure able to find the rest."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

import flywheel
from flywheel.records import Example, ReviewItem

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OPTIONS = {"task": "classification", "release": {"registry": "folder"}}


def _open(folder, **days):
    return flywheel.open(folder, **OPTIONS, retention={f"{kind}_days": float(count) for kind, count in days.items()})


def _fill(fw):
    """Ten interactions, one every ten days, the last one today; each with feedback a day later."""
    for n in range(10):
        at = NOW - timedelta(days=10 * (9 - n))
        fw.log(id=f"order-{n:04d}", input=f"question {n}", output="a", user=f"user-name-{n}", at=at)
        fw.feedback(f"order-{n:04d}", rating=-1, at=at + timedelta(days=1))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "bot"


def test_what_is_due_is_shown_and_removed_once(folder):
    with _open(folder, interactions=45) as fw:
        _fill(fw)
        due = {row["kind"]: row for row in fw.retention(NOW)}
        assert (due["interactions"]["due"], due["feedback"]["due"]) == (5, 5)
        assert due["dead_letters"] == {"kind": "dead_letters", "days": 90.0, "due": 0}
        assert fw.status()["interactions"] == 10  # looking removes nothing
        removed = fw.apply_retention(at=NOW, by="ops")
        assert removed == {"interactions": 5, "feedback": 5, "dead_letters": 0, "queue": 0, "exports": 0, "reports": 0}
        assert fw.status()["interactions"] == 5
        assert fw._store.tables.snapshot().count() == 5
        assert [row.id for row in fw._store.log.read(0) if row.kind == "interaction"] == [
            f"order-{n:04d}" for n in range(5, 10)
        ]
        (line,) = fw.trail()
        assert (line["action"], line["by"], line["detail"]) == ("retention", "ops", {"interactions": 5, "feedback": 5})
        assert not any(fw.apply_retention(at=NOW).values())
        assert len(fw.trail()) == 1
        books = fw.books()
        assert books["received"] == books["stored"] == 10


def test_feedback_alone(folder):
    with _open(folder, feedback=45) as fw:
        _fill(fw)
        assert fw.apply_retention(at=NOW)["feedback"] == 5
        assert fw.status()["interactions"] == 10
        assert fw.status()["feedback"] == 5


def test_without_settings_nothing_goes_but_old_dead_letters(folder):
    with _open(folder) as fw:
        _fill(fw)
        for age in (89, 91):
            at = NOW - timedelta(days=age)
            fw.intake.take([{"kind": "interaction", "confidence": 7, "input": age}], source="test", at=at)
        assert {kind for kind, count in fw.apply_retention(at=NOW).items() if count} == {"dead_letters"}
        assert fw.status()["interactions"] == 10
        assert len(fw.dead_letters()) == 1


def test_answered_items_and_files_of_the_folder(folder, tmp_path):
    with _open(folder, queue=30, exports=30) as fw:
        old, new = NOW - timedelta(days=40), NOW - timedelta(days=20)
        fw._store.state.add_items(
            ReviewItem(id=f"q{n}", interaction_id="", input="x", output="y", spin=1, status=status, at=at)
            for n, (status, at) in enumerate(
                [("labelled", old), ("labelled", new), ("waiting", None), ("skipped", old)]
            )
        )
        inside, outside = folder / "exports" / "log.jsonl", tmp_path / "log.jsonl"
        _fill(fw)
        fw.export("interactions", inside)
        fw.export("interactions", outside)
        fw._store.state.set("exports", [{**e, "at": old.isoformat()} for e in fw._store.state.get("exports")])
        (folder / "reports").mkdir()
        for name, at in (("old.html", old), ("new.html", new)):
            (folder / "reports" / name).write_text("report")
            os.utime(folder / "reports" / name, (at.timestamp(), at.timestamp()))
        removed = fw.apply_retention(at=NOW)
        assert (removed["queue"], removed["exports"]) == (2, 2)
        assert [item.id for item in fw._store.state.items()] == ["q1", "q2"]
        assert not inside.exists()
        assert outside.exists()
        assert [path.name for path in (folder / "reports").iterdir()] == ["new.html"]


def test_an_erasure_still_finds_examples_whose_interactions_are_gone(folder):
    with _open(folder, interactions=45) as fw:
        _fill(fw)
        fw._store.state.add_examples(
            [Example(id=f"e{n}", input=f"question {n}", label="a", interaction_id=f"order-{n:04d}") for n in (0, 1, 9)]
        )
        fw.apply_retention(at=NOW)
        assert len(fw._store.state.examples()) == 3
        receipt = fw.erase("user-name-0")
        assert receipt["clean"]
        assert receipt["erased"]["examples"] == 1
        assert [example.id for example in fw._store.state.examples()] == ["e1", "e9"]
        assert list(fw._store.state.get("owners")) == ["order-0001"]


@pytest.mark.slow
def test_a_new_spin_begins_with_it_and_one_under_way_is_left_alone(folder):
    with _open(folder, interactions=45) as fw:
        _fill(fw)
        fw.seed([f"{a} {b}" for a in "abc" for b in "defghij"], [a for a in "abc" for _ in range(7)], at=NOW)
        assert fw.spin(budget=3, at=NOW).state == "waiting"
        assert fw.status()["interactions"] == 5
        fw.spin(budget=3, at=NOW + timedelta(days=30))  # goes on with the one that waits
        assert fw.status()["interactions"] == 5
