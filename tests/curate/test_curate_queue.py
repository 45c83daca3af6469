"""The review queue: durable, idempotent, out to files and back."""

import contextlib
import csv
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.config import Config
from flywheel.curate import ReviewQueue
from flywheel.curate.exchange import label_studio_config
from flywheel.errors import InvalidConfig, InvalidRecord, NotFound
from flywheel.records import Example, Interaction, ReviewItem, Selection
from flywheel.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def state(tmp_path):
    store = Store.open(tmp_path / "wheel", Config())
    yield store.state
    store.close()


def filled(state, inputs=("hello", "bye", "=SUM(A1)"), output="greeting", **fields):
    queue = ReviewQueue(state)
    interactions = [
        Interaction(id=f"i{k}", at=AT, input=value, output=output, confidence=0.4, **fields)
        for k, value in enumerate(inputs)
    ]
    selections = [
        Selection(interaction_id=f"i{k}", propensity=0.1 * (k + 1), audit=k == 0, why="random audit", p_failure=0.6)
        for k in range(len(inputs))
    ]
    queue.fill(selections, interactions, spin=2)
    return queue


def test_filling_twice_is_filling_once_and_keeps_how_items_were_sampled(state):
    queue = filled(state)
    first = queue.waiting()
    assert [item.propensity for item in first] == pytest.approx([0.1, 0.2, 0.3])
    assert [item.audit for item in first] == [True, False, False]
    filled(state)
    assert queue.waiting() == first
    assert queue.fill([Selection(interaction_id="erased", propensity=1, audit=True, why="w")], [], 2) == 0


def test_label_skip_and_undo(state):
    queue = filled(state)
    one, two, three = queue.waiting()
    assert queue.label(one.id, "farewell", "ana", AT).status == "labelled"
    queue.skip(two.id, "ana", AT + timedelta(minutes=1))
    assert queue.waiting() == [three]
    assert queue.undo().id == two.id
    assert queue.undo(one.id) == one
    assert queue.waiting() == [one, two, three]
    with pytest.raises(NotFound, match="nothing has been answered"):
        queue.undo()
    with pytest.raises(NotFound, match="waiting"):
        queue.undo(one.id)


@pytest.mark.parametrize("label", [None, float("nan"), {1, 2}, object()])
def test_a_label_that_says_nothing_or_is_not_json_is_refused(state, label):
    queue = filled(state)
    with pytest.raises(InvalidRecord, match="label"):
        queue.label(queue.waiting()[0].id, label, "ana", AT)
    assert len(queue.waiting()) == 3


def test_unknown_items_naive_times_and_formats_are_refused(state, tmp_path):
    queue = filled(state)
    with pytest.raises(NotFound, match="q-none"):
        queue.label("q-none", "x", "ana", AT)
    with pytest.raises(InvalidRecord, match="time zone"):
        queue.label(queue.waiting()[0].id, "x", "ana", AT.replace(tzinfo=None))
    with pytest.raises(InvalidConfig, match="csv, jsonl, label-studio"):
        queue.export(tmp_path / "x", "excel")
    with pytest.raises(NotFound, match="no folder"):
        queue.export(tmp_path / "no" / "x.csv", "csv")
    with pytest.raises(NotFound, match="no file"):
        queue.import_(tmp_path / "x.csv", "csv", at=AT)


def test_suggestions_have_the_type_of_the_answer(state):
    queue = filled(state, inputs=([0.0, 1.0],), output=3, scores={"3": 0.5, "8": 0.3, "9": 0.1, "1": 0.01})
    assert queue.waiting()[0].suggestions == (3, 8, 9)


def test_a_second_opinion_keeps_the_audit_mark_and_propensity(state):
    queue = ReviewQueue(state)
    example = Example(id="e1", input="x", label="a", interaction_id="i1", audit=True, propensity=0.05)
    assert queue.ask_again([example], spin=3) == 1
    assert queue.ask_again([example], spin=3) == 0
    item = queue.waiting()[0]
    assert (item.relabel, item.audit, item.propensity, item.output) == (True, True, 0.05, "a")


def fill_csv(path, labels):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, label in zip(rows, labels, strict=True):
        row["label"] = label
        row["by"] = "ben"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_csv_goes_out_and_comes_back_and_a_bad_line_stops_nothing(state, tmp_path):
    queue = filled(state)
    path = tmp_path / "labels.csv"
    assert queue.export(path, "csv") == 3
    rows = fill_csv(path, ["greeting", "", "formula"])
    assert rows[2]["input"] == "'=SUM(A1)"  # a spreadsheet must not run it
    assert "propensity" not in rows[0]
    path.write_text(path.read_text("utf-8-sig") + "q000000000000,,,,,,,,wrong,eve\r\n", "utf-8")
    read = queue.import_(path, "csv", by="import", at=AT)
    assert (read.labelled, read.skipped, read.unchanged) == (2, 0, 0)
    assert [problem.line for problem in read.problems] == [3, 5]
    assert "empty" in str(read.problems[0])
    assert "q000000000000" in read.problems[1].reason
    assert "wrong" in read.problems[1].body
    assert [(i.label, i.by) for i in state.items("labelled")] == [("greeting", "ben"), ("formula", "ben")]
    assert len(queue.waiting()) == 1
    again = queue.import_(path, "csv", at=AT)
    assert (again.labelled, again.unchanged) == (0, 2)


def test_csv_labels_take_the_type_of_the_answer_and_semicolons_are_read(state, tmp_path):
    queue = filled(state, inputs=([1, 2], [3, 4]), output=7)
    ids = [item.id for item in queue.waiting()]
    path = tmp_path / "labels.csv"
    path.write_text(f"item_id;label\n{ids[0]};8\n{ids[1]};illegible\n", "utf-8")
    assert queue.import_(path, "csv", at=AT).labelled == 2
    assert [item.label for item in state.items("labelled")] == [8, "illegible"]
    path.write_text("id,answer\n", "utf-8")
    with pytest.raises(InvalidRecord, match="item_id or label"):
        queue.import_(path, "csv", at=AT)


def test_a_csv_label_copied_from_a_guarded_cell_is_itself(state, tmp_path):
    queue = filled(state, inputs=("x",), output="-dash")
    path = tmp_path / "labels.csv"
    queue.export(path, "csv")
    fill_csv(path, ["'-dash"])
    queue.import_(path, "csv", at=AT)
    assert state.items("labelled")[0].label == "-dash"


def test_json_lines_keep_types_and_report_bad_lines(state, tmp_path):
    queue = filled(state, inputs=({"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}))
    path = tmp_path / "labels.jsonl"
    queue.export(path, "jsonl")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows[0].update(label={"intent": "x"}, by="ana", at="2026-02-01T00:00:00Z")
    rows[1].update(skip=True)
    rows[2].update(label=0)
    lines = [json.dumps(row) for row in rows] + ["{broken", '{"label": 1}', '{"item_id": "q1", "label": NaN}', ""]
    path.write_text("\n".join(lines), "utf-8")
    read = queue.import_(path, "jsonl", by="batch", at=AT)
    assert (read.labelled, read.skipped) == (2, 1)
    assert [problem.line for problem in read.problems] == [4, 5, 6, 7]
    answered = state.items("labelled")
    assert [item.label for item in answered] == [{"intent": "x"}, 0]
    assert (answered[0].at, answered[0].by) == (datetime(2026, 2, 1, tzinfo=UTC), "ana")
    assert (answered[1].at, answered[1].by) == (AT, "batch")


def annotation(result, at="2026-02-01T00:00:00Z", **fields):
    return {"id": 1, "completed_by": {"id": 3, "email": "a@x.org"}, "result": result, "updated_at": at, **fields}


def choice(*labels):
    return [{"from_name": "label", "to_name": "input", "type": "choices", "value": {"choices": list(labels)}}]


def test_label_studio_there_and_back(state, tmp_path):
    queue = filled(state, inputs=("a", "b", "c", "d", "e", "f", "g"), output=3, context={"device": "ios"})
    path = tmp_path / "tasks.json"
    assert queue.export(path, "label-studio") == 7
    tasks = json.loads(path.read_text("utf-8"))
    assert tasks[0]["predictions"][0]["result"] == choice("3")
    assert tasks[0]["predictions"][0]["score"] == 0.4
    assert tasks[0]["data"]["context_device"] == "ios"
    assert "propensity" not in json.dumps(tasks)
    area = [{"type": "textarea", "from_name": "label", "to_name": "input", "value": {"text": ["two", "lines"]}}]
    number = [{"type": "number", "from_name": "label", "to_name": "input", "value": {"number": 2.5}}]
    tasks[0]["annotations"] = [
        annotation(choice("5")),
        annotation(choice("8"), "2026-02-03T00:00:00Z"),
        annotation(choice("6"), "2026-02-02T10:00:00+02:00"),
    ]
    tasks[1]["annotations"] = [annotation(area)]
    tasks[2]["annotations"] = [annotation([], was_cancelled=True)]
    tasks[3]["annotations"] = [annotation(choice("1")), annotation([], "2026-03-01T00:00:00Z", was_cancelled=True)]
    tasks[4]["annotations"] = []
    tasks[5]["annotations"] = [annotation(number)]
    tasks[6]["annotations"] = [annotation([])]
    tasks.append({"data": {"text": "a stranger"}, "annotations": [annotation(choice("1"))]})
    tasks.append({"data": {}, "meta": {"item_id": "qnone"}, "annotations": [annotation(choice("1"))]})
    tasks.append("not a task")
    path.write_text(json.dumps(tasks), "utf-8")
    read = queue.import_(path, "label-studio", at=AT)
    assert (read.labelled, read.skipped) == (4, 1)
    items = {item.input: item for item in state.items()}
    assert [items[k].label for k in "abdf"] == [8, "two\nlines", 1, 2.5]
    assert items["a"].by == "label-studio:a@x.org"
    assert items["a"].at == datetime(2026, 2, 3, tzinfo=UTC)
    assert items["c"].status == "skipped"
    assert items["e"].status == items["g"].status == "waiting"
    assert [problem.line for problem in read.problems] == [7, 8, 9, 10]
    path.write_text("{}", "utf-8")
    with pytest.raises(InvalidRecord, match="not a list"):
        queue.import_(path, "label-studio", at=AT)


def test_the_labelling_interface_escapes_what_was_logged():
    items = [ReviewItem(id="q", interaction_id="i", input="x", output="<b>&</b>", suggestions=("other",))]
    config = label_studio_config(items)
    assert "&lt;b&gt;" in config
    assert "<b>" not in config
    assert "TextArea" in label_studio_config([ReviewItem(id="q", interaction_id="i", input="x", output="long " * 30)])


TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=30)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(st.none() | TEXT | st.integers() | st.booleans(), min_size=3, max_size=3))
def test_any_label_survives_json_lines(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("lines")
    store = Store.open(folder / "wheel", Config())
    try:
        queue = filled(store.state)
        rows = [{"item_id": item.id, "label": label} for item, label in zip(queue.waiting(), labels, strict=True)]
        (folder / "l.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
        read = queue.import_(folder / "l.jsonl", "jsonl", at=AT)
        given_labels = [x for x in labels if x is not None and (not isinstance(x, str) or x.strip())]
        assert read.labelled == len(given_labels)
        assert [item.label for item in store.state.items("labelled")] == given_labels
        assert len(read.problems) == 3 - len(given_labels)
    finally:
        store.close()


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text):
    from flywheel.curate.exchange import _read_csv, _read_jsonl, _read_tasks

    for reader in (_read_csv, _read_jsonl, _read_tasks):
        with contextlib.suppress(InvalidRecord):
            list(reader(text))
