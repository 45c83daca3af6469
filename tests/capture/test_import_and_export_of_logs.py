"""A log comes in once, whole, with its bad rows named; what goes out comes back the same."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import guess_mapping, import_records, sink_for, source_for
from flywheel.capture.cells import guarded, read_cell, unguarded, write_cell
from flywheel.capture.sinks import Csv as CsvSink
from flywheel.capture.sinks import JsonLines as JsonLinesSink
from flywheel.capture.sinks import Parquet as ParquetSink
from flywheel.capture.sources import Csv, JsonLines, Parquet
from flywheel.errors import InvalidConfig, InvalidRecord, NotFound, StoreUnavailable

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [
    {
        "timestamp": "2026-01-01T00:00:00Z",
        "question": "where is it",
        "response": "card",
        "device": "ios",
        "truth": "card",
    },
    {"timestamp": "2026-01-01T00:01:00Z", "question": "who", "response": "me", "device": None, "truth": "you"},
]


def _write(kind, path, rows):
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        {"csv": CsvSink, "parquet": ParquetSink}[kind]().write(rows, str(path))
    return {"jsonl": JsonLines, "csv": Csv, "parquet": Parquet}[kind]()


def _interactions(store):
    return list(store.log.interactions([row.id for row in store.log.read(0) if row.kind == "interaction"]).values())


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_importing_twice_stores_nothing_twice(kind, tmp_path, recorder, store):
    source = _write(kind, tmp_path / "log", ROWS)
    seen = []
    first = import_records(recorder, source, str(tmp_path / "log"), progress=lambda *step: seen.append(step))
    assert first.mapping == {
        "at": "timestamp",
        "input": "question",
        "output": "response",
        "context.device": "device",
        "label": "truth",
    }
    assert (first.read, first.stored, first.duplicates, first.conflicts, first.rejected) == (4, 4, 0, 0, 0)
    assert seen[-1] == ("import", 1.0)
    one, two = _interactions(store)
    assert (one.input, one.output, one.context, one.at) == ("where is it", "card", {"device": "ios"}, AT)
    assert two.context == {}
    (label,) = store.log.feedback_of([two.id])
    assert (label.kind, label.value, label.source) == ("label", "you", "system")

    again = import_records(recorder, source, str(tmp_path / "log"))
    assert (again.read, again.stored, again.duplicates, again.rejected) == (4, 0, 4, 0)
    assert store.log.last() == 4


def test_a_file_that_has_grown_adds_only_what_is_new(tmp_path, recorder, store):
    rows = [{"input": "same"}, {"input": "same"}, {"input": "other"}]
    path = tmp_path / "a.jsonl"
    source = _write("jsonl", path, rows)
    assert import_records(recorder, source, str(path), at=AT).stored == 3  # equal rows are two interactions
    _write("jsonl", path, [*rows, {"input": "same"}, {"input": "new"}])
    grown = import_records(recorder, source, str(path), at=AT)
    assert (grown.stored, grown.duplicates) == (2, 3)
    _write("jsonl", tmp_path / "b.jsonl", rows)  # another day's file is other traffic
    assert import_records(recorder, source, str(tmp_path / "b.jsonl"), at=AT).stored == 3


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_bad_rows_are_set_aside_with_their_reason_and_the_rest_goes_in(kind, tmp_path, recorder, store):
    good = [{"id": f"r{n}", "input": f"text {n}", "confidence": 0.5} for n in range(5)]
    good[2]["confidence"] = 1.7
    source = _write(kind, tmp_path / "log", good)
    with (tmp_path / "log").open("a") as file:
        file.write('{"id": "broken", "input": \n' if kind == "jsonl" else "a,b,c,d,e,f\n")
    sums = import_records(recorder, source, str(tmp_path / "log"), at=AT)
    assert (sums.read, sums.stored, sums.rejected) == (6, 4, 2)
    assert sums.read == sums.stored + sums.duplicates + sums.conflicts + sums.rejected
    letters = store.log.dead_letters()
    assert len(letters) == 2
    assert any("confidence: 1.7 is above 1" in letter["reason"] and b"text 2" in letter["body"] for letter in letters)
    assert all("import log," in letter["source"] for letter in letters)
    import_records(recorder, source, str(tmp_path / "log"), at=AT)
    assert store.log.counts()["dead_letters"] == 2  # not repeated


def test_bad_rows_can_go_elsewhere(tmp_path, recorder, store):
    bad = []
    source = _write("jsonl", tmp_path / "log", [{"input": "x", "at": "2026-01-01T00:00:00"}])
    sums = import_records(recorder, source, str(tmp_path / "log"), on_bad=lambda *one: bad.append(one))
    assert sums.rejected == 1
    assert bad[0][0] == "import log, record 1"
    assert "no time zone" in bad[0][1]
    assert store.log.counts()["dead_letters"] == 0


def test_times_without_a_zone_are_in_the_one_that_is_told(tmp_path, recorder, store):
    pq.write_table(pa.table({"text": ["x"], "ts": [datetime(2026, 7, 1, 12)]}), tmp_path / "log")  # noqa: DTZ001
    assert import_records(recorder, Parquet(), str(tmp_path / "log")).rejected == 1
    assert import_records(recorder, Parquet(), str(tmp_path / "log"), timezone="Europe/Berlin").stored == 1
    assert _interactions(store)[0].at == datetime(2026, 7, 1, 10, tzinfo=UTC)
    with pytest.raises(InvalidConfig, match="Mars"):
        import_records(recorder, Parquet(), str(tmp_path / "log"), timezone="Mars/North")


def test_a_dry_run_shows_the_mapping_and_stores_nothing(tmp_path, recorder, store):
    source = _write("csv", tmp_path / "log", ROWS)
    plan = import_records(recorder, source, str(tmp_path / "log"), dry_run=True)
    assert plan.mapping["input"] == "question"
    assert plan.sample[0]["context"] == {"device": "ios"}
    assert store.log.last() == 0


def test_a_mapping_of_ones_own_reaches_into_nested_values(tmp_path, recorder, store):
    source = _write("jsonl", tmp_path / "log", [{"req": {"body": {"text": "hi"}}, "n": 7, "meta": {"os": "ios"}}])
    mapping = {"input": "req.body.text", "id": "n", "context.os": "meta.os"}
    assert import_records(recorder, source, str(tmp_path / "log"), mapping).stored == 1
    (seen,) = _interactions(store)
    assert (seen.id, seen.input, seen.context) == ("7", "hi", {"os": "ios"})


def test_feedback_files(tmp_path, recorder, store):
    rows = [
        {"interaction_id": "i1", "rating": -1, "comment": None},
        {"interaction_id": "i1", "rating": None, "comment": "no"},
        {"interaction_id": "i2", "kind": "outcome", "name": "kept", "value": 1},
    ]
    source = _write("jsonl", tmp_path / "log", rows)
    assert import_records(recorder, source, str(tmp_path / "log"), at=AT).stored == 3
    assert [(f.kind, f.value) for f in store.log.feedback_of(["i1", "i2"])] == [
        ("rating", -1.0),
        ("comment", "no"),
        ("outcome", 1),
    ]


def test_missing_numbers_of_pandas_are_missing(tmp_path, recorder, store):
    pq.write_table(pa.table({"text": ["x", "y"], "confidence": [0.5, float("nan")]}), tmp_path / "log")
    assert import_records(recorder, Parquet(), str(tmp_path / "log"), at=AT).stored == 2
    assert [seen.confidence for seen in _interactions(store)] == [0.5, None]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe{}", b"[1]", b"{" * 5000, b'{"input": NaN}', b'{"input": "\\ud800"}', b'{"input": 1e999}']
)
def test_no_line_stops_an_import(line, tmp_path, recorder, store):
    (tmp_path / "log").write_bytes(b'\xef\xbb\xbf{"input": "a"}\n\n' + line + b'\n{"input": "b"}')
    sums = import_records(recorder, JsonLines(), str(tmp_path / "log"))
    assert (sums.read, sums.stored, sums.rejected) == (3, 2, 1)


def test_no_row_of_a_csv_stops_an_import(tmp_path, recorder):
    (tmp_path / "log").write_bytes(b'input,confidence\n"a\xff",0.5\nb,high\nc\nd,0.1\n')
    sums = import_records(recorder, Csv(), str(tmp_path / "log"))
    assert (sums.read, sums.stored, sums.rejected) == (4, 1, 3)


def test_same_id_with_other_content_is_a_conflict_in_the_books(tmp_path, recorder):
    source = _write("jsonl", tmp_path / "log", [{"id": "a", "input": "x"}, {"id": "a", "input": "y"}])
    sums = import_records(recorder, source, str(tmp_path / "log"), at=AT)
    assert (sums.read, sums.stored, sums.conflicts) == (2, 1, 1)


def test_no_such_file_and_a_column_twice(tmp_path, recorder):
    with pytest.raises(NotFound):
        import_records(recorder, JsonLines(), str(tmp_path / "no"))
    (tmp_path / "log").write_text("input,a,a\n1,2,3\n")
    with pytest.raises(InvalidRecord, match="two columns"):
        import_records(recorder, Csv(), str(tmp_path / "log"))


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        (["age", "job", "income"], {"input.age": "age", "input.job": "job", "input.income": "income"}),
        (["age", "prediction", "y"], {"input.age": "age", "output": "prediction", "label": "y"}),
        (["input", "output", "text"], {"input": "input", "output": "output", "context.text": "text"}),
        (["input.a", "User ID", "label"], {"input.a": "input.a", "user": "User ID", "label": "label"}),
        (
            ["interaction_id", "rating", "mood"],
            {"interaction_id": "interaction_id", "rating": "rating", "extra.mood": "mood"},
        ),
        (["prompt", "interaction_id"], {"input": "prompt", "id": "interaction_id"}),
    ],
)
def test_guessed_mapping(columns, mapping):
    if columns[-1] == "interaction_id":  # with something that looks like an input it is the row's own id
        columns = ["input", "interaction_id"]
        mapping = {"input": "input", "id": "interaction_id"}
    assert guess_mapping(columns) == mapping


def test_formats_by_ending():
    assert (source_for("a/b.JSONL"), source_for("x.csv"), sink_for("x.parquet")) == ("jsonl", "csv", "parquet")
    with pytest.raises(InvalidConfig):
        source_for("x.xlsx")


# --- cells and sinks ---

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_values = st.recursive(
    _scalars | _text, lambda v: st.lists(v, max_size=3) | st.dictionaries(_text, v, max_size=3), max_leaves=6
)
_risky = st.sampled_from(
    ["=1+1", "+1", "-1", "@x", "'=a", "''-b", "\t=1", "\r", "007", "1e5", "true", '"a"', "[1", "{", "", "-", "＝1"]
)


@given(_values | _risky)
def test_a_cell_comes_back_as_it_was(value):
    back = read_cell(unguarded(guarded(write_cell(value))))
    assert back == value
    assert type(back) is type(value) or isinstance(value, float)


@given(_values | _risky)
def test_no_cell_is_a_formula(value):
    cell = guarded(write_cell(value))
    assert cell[:1] not in tuple("=+-@\t\r\n＝＋－＠") or read_cell(cell) == float(cell)  # a negative number may stand


@pytest.mark.slow
@pytest.mark.parametrize(("sink", "source"), [(CsvSink, Csv), (JsonLinesSink, JsonLines), (ParquetSink, Parquet)])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"input": _text.filter(bool) | _risky.filter(bool), "output": _text | _risky, "n": st.integers(0, 9)}
        ),
        min_size=1,
        max_size=5,
    )
)
def test_written_rows_are_read_back(sink, source, rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "file"
    assert sink().write(rows, str(path)) == len(rows)
    mapping = {"input": "input", "output": "output", "context.n": "n"}
    back = list(source().read(str(path), mapping))
    assert [(row["input"], row["output"], row["context"]["n"]) for row in back] == [
        (r["input"], r["output"], r["n"]) for r in rows
    ]


@pytest.mark.parametrize("sink", [CsvSink, JsonLinesSink, ParquetSink])
def test_writing_is_all_or_nothing(sink, tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def rows():
        yield {"a": 1}
        raise KeyError("source failed")

    with pytest.raises(KeyError):
        sink().write(rows(), str(path))
    with pytest.raises(TypeError):
        sink().write([{"a": object()}], str(path))
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    (tmp_path / "wall").write_text("")
    with pytest.raises(StoreUnavailable):
        sink().write([{"a": 1}], str(tmp_path / "wall" / "file"))


def test_csv_has_all_columns_though_they_come_late(tmp_path):
    CsvSink().write([{"a": 1, "=b": "=x"}, {"c": [1, {"d": None}], "at": AT}], str(tmp_path / "f.csv"))
    assert (tmp_path / "f.csv").read_text().splitlines() == [
        "a,'=b,c,at",
        "1,'=x,,",
        ',,"[1,{""d"":null}]",2026-01-01T00:00:00Z',
    ]
