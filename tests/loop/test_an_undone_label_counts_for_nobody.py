"""A label that was taken back is read by nobody: as if it had never been given, in every reader of the log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import flywheel
from flywheel.curate import ReviewQueue
from flywheel.records import Selection, Spin

AT = datetime(2026, 1, 1, 9, tzinfo=UTC)
N = 40


def made(folder: Path) -> Any:
    """Forty interactions, half of them with a label that says the answer was wrong, and one item to be undone."""
    fw = flywheel.open(folder, task="classification")
    for k in range(N):
        fw.log(id=f"i{k:02}", at=AT + timedelta(minutes=k), input=f"text {k}", output="a", confidence=0.9)
    seen = [fw.interaction(f"i{k:02}")[0] for k in range(N)]
    chosen = [Selection(interaction_id=one.id, propensity=0.5, audit=True, why="audit") for one in seen]
    ReviewQueue(fw._store.state).fill(chosen, seen, 1)
    fw._store.state.save_spin(Spin(number=1, state="waiting", step="label", budget=N, waiting_for=N))
    for item in fw.review_queue()[:20]:
        fw.label(item.id, "a", by="ben", at=AT + timedelta(hours=2))
    return fw


def item_of(fw: Any, interaction: str) -> str:
    return next(item.id for item in fw._store.state.items() if item.interaction_id == interaction)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One flywheel in which a wrong answer was named and taken back, and one in which nobody ever did."""
    root = tmp_path_factory.mktemp("pair")
    with made(root / "never"):
        pass
    with made(root / "undone") as undone:
        item = item_of(undone, "i30")
        undone.metrics("hour")  # cells are kept from before and after the label, so that they have to be mended
        undone.label(item, "b", by="ana", at=AT + timedelta(hours=3))
        assert undone.metrics("hour")[0]["labels"] == 21
        undone.undo(item, by="ana", at=AT + timedelta(hours=4))
    return root / "undone", root / "never"


@pytest.fixture
def pair(folders: tuple[Path, Path], tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    for folder in folders:
        shutil.copytree(folder, tmp_path / folder.name)
    with flywheel.open(tmp_path / "undone") as undone, flywheel.open(tmp_path / "never") as never:
        yield undone, never


def plain(rows: Any) -> Any:
    return [{k: round(v, 9) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("every", ["minute", "hour", "day"])
def test_metrics(pair: Any, every: str) -> None:
    undone, never = pair
    assert plain(undone.metrics(every)) == plain(never.metrics(every))
    assert sum(row["labels"] for row in undone.metrics(every)) == 20


def test_the_home_page_and_tables_rebuilt_from_the_log(pair: Any) -> None:
    undone, never = pair
    assert plain(undone.status()["metrics"]) == plain(never.status()["metrics"])
    undone.rebuild()
    assert plain(undone.metrics("hour")) == plain(never.metrics("hour"))


def test_live(pair: Any) -> None:
    undone, _ = pair
    told = [[(one.interaction.id, one.feedback, one.signs) for one in fw.arrivals()[0]] for fw in pair]
    assert told[0] == told[1]
    assert not [one for one in told[0] if one[0] == "i30" and one[1]]
    _, last = undone.arrivals()
    assert last == undone._store.log.last(), "what is passed over is not asked for again"


def test_diagnose(pair: Any) -> None:
    undone, _ = pair
    told = [[(one.interaction_id, round(one.probability, 9)) for one in fw.failures(limit=N)] for fw in pair]
    assert told[0] == told[1]
    item = item_of(undone, "i30")
    undone.label(item, "b", by="ana", at=AT + timedelta(hours=5))
    again = [(one.interaction_id, round(one.probability, 9)) for one in undone.failures(limit=N)]
    assert again != told[1], "a label that stands is read"


def test_what_is_observed_and_the_tables_that_are_asked(pair: Any) -> None:
    assert [fw.query("SELECT count(*) AS n FROM feedback")[0]["n"] for fw in pair] == [20, 20]
    told = [[(one.kind, one.name, one.alarm) for one in fw.observe(parts=["levels", "monitor"])] for fw in pair]
    assert told[0] == told[1]


def test_an_interaction_and_who_does_not_agree(pair: Any) -> None:
    undone, _ = pair
    assert undone.interaction("i30")[1] == []
    undone.label(item_of(undone, "i30"), "a", by="ben", at=AT + timedelta(hours=5))
    assert undone.disagreements() == []


def test_what_is_learnt_from(pair: Any) -> None:
    undone, _ = pair
    labels = [sorted((item.interaction_id, item.label) for item in fw._store.state.items("labelled")) for fw in pair]
    assert labels[0] == labels[1]
    assert undone.known_labels() == ["a"]


def test_the_log_keeps_what_was_said_and_that_it_was_taken_back(pair: Any, tmp_path: Path) -> None:
    undone, _ = pair
    label, withdrawal = undone._store.log.feedback_of(["i30"], withdrawn=True)
    assert (label.kind, label.value, withdrawal.kind, withdrawal.value) == ("label", "b", "withdrawal", label.id)
    assert (withdrawal.by, withdrawal.at) == ("ana", AT + timedelta(hours=4))
    assert undone.trail()[-1]["action"] == "label undo"


def test_the_same_answer_given_again_counts_again(pair: Any) -> None:
    undone, _ = pair
    item, when = item_of(undone, "i30"), AT + timedelta(hours=3)
    for _ in range(3):
        undone.label(item, "b", by="ana", at=when)
        undone.label(item, "b", by="ana", at=when)
        assert [one.value for one in undone.interaction("i30")[1]] == ["b"]
        assert sum(row["labels"] for row in undone.metrics("hour")) == 21
        undone.undo(item, by="ana", at=when)
        assert undone.interaction("i30")[1] == []
        assert sum(row["labels"] for row in undone.metrics("hour")) == 20


def test_an_undo_takes_back_ones_own_answers_and_nobody_elses(pair: Any) -> None:
    undone, _ = pair
    item = item_of(undone, "i31")
    undone.label(item, "x", by="ana", at=AT + timedelta(hours=3))
    undone.label(item, "y", by="ben", at=AT + timedelta(hours=4))
    undone.label(item, "z", by="ben", at=AT + timedelta(hours=5))
    undone.undo(item, by="cleo")
    assert [(one.by, one.value) for one in undone.interaction("i31")[1]] == [("ana", "x")]


def test_a_skip_takes_a_label_back_too(pair: Any) -> None:
    undone, _ = pair
    item = item_of(undone, "i32")
    undone.label(item, "x", by="ana")
    undone.skip(item, by="ana")
    assert undone.interaction("i32")[1] == []


def test_feedback_that_is_exported_and_imported_means_the_same(pair: Any, tmp_path: Path) -> None:
    undone, never = pair
    for what in ("interactions", "feedback"):
        undone.export(what, tmp_path / f"{what}.jsonl")
    with flywheel.open(tmp_path / "copy", task="classification") as copy:
        for what in ("interactions", "feedback"):
            done = copy.import_(tmp_path / f"{what}.jsonl")
            assert done.rejected == 0, done
        assert copy.interaction("i30")[1] == []
        assert plain(copy.metrics("hour")) == plain(never.metrics("hour"))


def test_retention_and_erasure_reach_withdrawals(tmp_path: Path) -> None:
    with flywheel.open(tmp_path, task="classification", retention={"feedback_days": 1.0}) as fw:
        key = fw.log(input="x", output="a", user="ana@example.org")
        seen, _ = fw.interaction(key)
        ReviewQueue(fw._store.state).fill(
            [Selection(interaction_id=key, propensity=1.0, audit=False, why="x")], [seen], 1
        )
        (item,) = fw.review_queue()
        fw.label(item.id, "b", by="ben", at=AT)
        fw.undo(item.id, by="ben", at=AT)
        assert fw.apply_retention()["feedback"] == 2
        assert fw._store.log.feedback_of([key], withdrawn=True) == []
        fw.label(item.id, "c", by="ben", at=AT)
        fw.undo(item.id, by="ben", at=AT)
        assert fw.erase("ana@example.org")["clean"]
        assert fw._store.log.feedback_of([key], withdrawn=True) == []
