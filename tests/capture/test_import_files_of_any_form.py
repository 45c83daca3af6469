"""Files come in whatever their form: delimiters, packing, arrays, and reading goes on from a cursor."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flywheel.capture import sink_for
from flywheel.capture.sources import Csv, JsonLines, Parquet, choose
from flywheel.errors import InvalidConfig
from flywheel.testing import check_source

ROWS = [{"id": f"r{n}", "input": f"text {n}", "n": n} for n in range(25)]


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("a.csv", "input,output\na;b,c\nd,e\n", ["input", "output"]),
        ("a.csv", 'input;output;note\n"a;x";b,c;1,5\nd;e,f;2,5\n', ["input", "output", "note"]),
        ("a.csv", "input\toutput\na, b\tc\nd\te\n", ["input", "output"]),
        ("a.tsv", "input\toutput\na,b\tc,d\n", ["input", "output"]),
        ("a.csv", "input|output\na|b\n", ["input", "output"]),
        ("a.csv", 'input\n"where, please; is it|"\nhere\n', ["input"]),
        ("a.csv", 'input,output\n"one\ntwo; three; four; five",x\n', ["input", "output"]),
        ("a.csv", "input;output\r\na;b\r\n", ["input", "output"]),
        ("a.csv", "input;output\ra;b\r", ["input", "output"]),
    ],
)
def test_what_is_between_the_cells_is_seen_in_the_first_rows(name, text, columns, tmp_path):
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert Csv().columns(str(path)) == columns
    assert all(row["kind"] == "interaction" for row in Csv().read(str(path)))


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
@pytest.mark.parametrize(("kind", "source"), [("jsonl", JsonLines), ("csv", Csv)])
def test_packed_files_are_read_as_they_are(ending, pack, kind, source, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    if kind == "csv":
        text = "id,input,n\n" + "".join(f"{row['id']},{row['input']},{row['n']}\n" for row in ROWS)
    plain, packed = tmp_path / f"plain.{kind}", tmp_path / f"log.{kind}.{ending}"
    plain.write_text(text)
    packed.write_bytes(pack(text.encode()))
    assert choose(str(packed)).source == kind
    assert list(source().read(str(packed))) == list(source().read(str(plain)))
    check_source(source(), str(packed), expected=25)


def test_a_packed_file_that_breaks_off_gives_what_can_be_read(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS * 400).encode())[:-2000])
    rows = list(JsonLines().read(str(path)))
    assert len(rows) > 100
    assert rows[-1]["kind"] == "unreadable"
    assert all(row["kind"] == "interaction" for row in rows[:-1])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        json.dumps({"data": ROWS, "meta": {"page": 1}}),
        json.dumps({"data": ROWS, "next_cursor": None}, indent=1),
        "\ufeff" + "\n".join(map(json.dumps, ROWS)),
    ],
)
def test_arrays_and_the_answers_of_an_api_are_rows_too(text, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    assert [row["id"] for row in JsonLines().read(str(path))] == [row["id"] for row in ROWS]


def test_an_array_longer_than_a_chunk_is_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("flywheel.capture.sources.jsonl._CHUNK", 7)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"input": "é" * n} for n in range(30)], ensure_ascii=False), encoding="utf-8")
    assert [len(row["input"]) for row in JsonLines().read(str(path))] == list(range(30))
    path.write_text('[{"input": "a"}, {"input": ')
    assert [row["kind"] for row in JsonLines().read(str(path))] == ["interaction", "unreadable"]


def _write(kind, path, rows):
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10)
    elif kind == "csv":
        path.write_text("id,input,n\n" + "".join(f'{row["id"]},"{row["input"]}\nx",{row["n"]}\n' for row in rows))
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if kind == "packed" else text.encode())
    return {"parquet": Parquet, "csv": Csv}.get(kind, JsonLines)


@pytest.mark.parametrize("kind", ["jsonl", "packed", "json", "csv", "parquet"])
def test_reading_goes_on_from_any_cursor(kind, tmp_path):
    path = tmp_path / "log"
    source = _write(kind, path, ROWS)
    whole = list(source().read(str(path)))
    for count in (1, 9, 10, 11, 24, 25):
        begun = source()
        head = list(itertools.islice(begun.read(str(path)), count))
        assert head == whole[:count]
        assert "text" not in begun.cursor
        rest = source()
        assert list(rest.read(str(path), after=begun.cursor)) == whole[count:]
        assert rest.done == 1.0


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_cursor_goes_on_in_a_file_that_has_grown_and_says_nothing_of_another(kind, tmp_path):
    path = tmp_path / "log"
    source = _write(kind, path, ROWS[:10])
    begun = source()
    list(begun.read(str(path)))
    _write(kind, path, ROWS)
    assert [row["id"] for row in source().read(str(path), after=begun.cursor)] == [row["id"] for row in ROWS[10:]]
    _write(kind, path, [{**row, "input": "other"} for row in ROWS])
    assert len(list(source().read(str(path), after=begun.cursor))) == 25
    with pytest.raises(InvalidConfig, match="cursor"):
        list(source().read(str(path), after="{"))


def test_utf_16_and_packed_exports_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "a.csv").write_bytes("input,output\na,b\n".encode("utf-16"))
    with pytest.raises(InvalidConfig, match="UTF-16"):
        Csv().columns(str(tmp_path / "a.csv"))
    for name in ("a.csv.gz", "a.tsv"):
        with pytest.raises(InvalidConfig, match="parquet"):
            sink_for(name)


@given(content=st.binary(max_size=300))
@example(content=b"\x28\xb5\x2f\xfd")  # the mark of a packer that is not read
@example(content=b"\r\x00\n")  # a header that is no row
def test_no_bytes_break_a_reader(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / "f.jsonl"
    path.write_bytes(content)
    for reader in (JsonLines(), Csv()):
        try:
            rows = list(reader.read(str(path)))
        except Exception as problem:
            assert type(problem).__module__ == "flywheel.errors", repr(problem)  # noqa: PT017
        else:
            assert all(row["kind"] in ("interaction", "feedback", "unreadable") for row in rows)


def test_what_is_nested_in_metadata_is_kept_beside_the_context(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"input": "x", "metadata": {"tier": "gold", "deep": {"a": [1]}}}) + "\n")
    (record,) = JsonLines().read(str(path))
    assert (record["context"], record["extra"]) == ({"tier": "gold"}, {"deep": {"a": [1]}})
