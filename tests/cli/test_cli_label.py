"""Labelling in the terminal: digits, text, skip, undo, quit; every answer stored before the next question."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from flywheel.cli.labels import Answers
from flywheel.records import ReviewItem


@pytest.fixture
def talk(run, product: Path, monkeypatch):
    """Answer the dialogue with these lines."""
    from flywheel.cli.screen import Screen

    monkeypatch.setattr(Screen, "interactive", property(lambda self: True))

    def say(*lines: str) -> str:
        return run("label", "--by", "ana", "-f", product, input="".join(f"{line}\n" for line in lines)).stdout

    return say


def labels(answer, product: Path) -> dict[str, object]:
    import flywheel

    with flywheel.open(product) as fw:
        return {item.id: item for item in fw._store.state.items() if item.status != "waiting"}


def test_a_digit_takes_a_suggestion_and_text_is_a_label(talk, answer, product: Path) -> None:
    first, second, *_ = answer("label", "-f", product)
    talk("1", "blocked pin", "q")
    given = labels(answer, product)
    assert given[first["id"]].label == first["suggestions"][0]
    assert given[first["id"]].by == "ana"
    assert given[second["id"]].label == "blocked pin"
    assert len(given) == 2


def test_undo_goes_back_and_the_last_answer_stands(talk, answer, product: Path) -> None:
    first, second, *_ = answer("label", "-f", product)
    talk("wrong", "u", "right thing", "other thing", "q")
    given = labels(answer, product)
    assert given[first["id"]].label == "right thing"
    assert given[second["id"]].label == "other thing"


def test_skip_leaves_an_item_for_good_and_undo_brings_it_back(talk, answer, product: Path) -> None:
    first, *_ = answer("label", "-f", product)
    talk("s", "q")
    assert labels(answer, product)[first["id"]].status == "skipped"
    assert first["id"] not in [item["id"] for item in answer("label", "-f", product)]
    second, *_ = answer("label", "-f", product)
    talk("s", "u", "=s", "q")
    assert labels(answer, product)[second["id"]].label == "s"


def test_quitting_loses_nothing_and_the_end_of_input_is_quitting(talk, answer, product: Path) -> None:
    before = len(answer("label", "-f", product))
    shown = talk("one label")
    assert "1 labels given" in shown
    assert len(answer("label", "-f", product)) == before - 1


def test_a_misspelt_label_is_asked_about(talk, answer, product: Path) -> None:
    first, second, third, *_ = answer("label", "-f", product)
    talk("blocked_pin", "blocked_pni", "", "blocked_pni", "n", "q")
    given = labels(answer, product)
    assert given[first["id"]].label == "blocked_pin"
    assert given[second["id"]].label == "blocked_pin"
    assert given[third["id"]].label == "blocked_pni"


def test_the_queue_goes_out_and_comes_back(run, answer, product: Path, tmp_path: Path) -> None:
    waiting = answer("label", "-f", product)
    file = tmp_path / "queue.csv"
    assert answer("label", "--export", file, "-f", product)["written"] == len(waiting)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows[:3]:
        row["label"] = "blocked_pin"
    rows[3]["item_id"], rows[3]["label"] = "nobody", "lost_card"
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[:4])
    report = answer("label", "--import", file, "--by", "ana", "-f", product)
    assert report["labelled"] == 3
    assert "nobody" in json.dumps(report["problems"])
    assert len(answer("label", "-f", product)) == len(waiting) - 3


def test_an_item_without_a_label_is_refused(run, answer, product: Path) -> None:
    first, *_ = answer("label", "-f", product)
    assert "no label" in run("label", first["id"], "-f", product, code=1).stderr
    assert run("label", "nobody", "x", "-f", product, code=1).stderr
    assert answer("label", first["id"], "--skip", "-f", product)["status"] == "skipped"


def item(output: object, *suggestions: object) -> ReviewItem:
    return ReviewItem(id="q", interaction_id="i", input="x", output=output, suggestions=suggestions)


@pytest.mark.parametrize(
    ("typed", "about", "label"),
    [
        ("3", item(4, 4, 9), 3),
        ("3.5", item(4.0), 3.5),
        ("three", item(4, 4), "three"),
        ("3", item("lost_card", "lost_card"), "3"),
        ("true", item(True), True),
        ("true", item("lost_card"), "true"),
        ('["b", "a"]', item(["a", "b"]), ["b", "a"]),
        ("[b", item("text"), "[b"),
        ("=q", item("text"), "q"),
        ("NaN", item(4.0), "NaN"),
        ("12", None, "12"),
    ],
)
def test_a_typed_line_gets_the_type_of_the_items_labels(typed: str, about: ReviewItem | None, label: object) -> None:
    read = Answers([]).read(typed, about)
    assert read == label
    assert type(read) is type(label)


def test_suggestions_have_letters_where_labels_are_digits() -> None:
    assert Answers([]).keys(item(3, 3, 8)) == {"a": 3, "b": 8}
    assert Answers([]).keys(item("x", "x", "y")) == {"1": "x", "2": "y"}
