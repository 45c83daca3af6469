"""What a location holds is seen in its content, and the choice is explained."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flywheel import plugins
from flywheel.capture import source_for
from flywheel.capture.sources import choose
from flywheel.errors import InvalidConfig, NotFound

SPAN = {"context.span_id": "s", "context.trace_id": "t", "span_kind": "LLM", "start_time": "2026-01-01"}
REQUEST = '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET /a HTTP/1.1" 200 23\n'


def _lines(row):
    return json.dumps(row) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "source", "why"),
    [
        ("a.jsonl", _lines({"question": "x", "answer": "y"}), "jsonl", "its name ends so"),
        ("a.json", json.dumps([{"input": "x"}]), "jsonl", "its name ends so"),
        ("a.csv", "input,output\nx,y\n", "csv", "its name ends so"),
        ("a.export", _lines({"input": "x"}), "jsonl", "JSON objects"),
        ("a.csv", "context.span_id,context.trace_id,span_kind\ns,t,LLM\n", "phoenix", "spans of Phoenix"),
        ("a.json", json.dumps([SPAN]), "phoenix", "spans of Phoenix"),
        (
            "a.csv",
            'id,messages\n1,"[{""role"": ""user"", ""content"": ""hi""}]"\n',
            "openai-chat",
            "messages with roles",
        ),
        ("access.log", REQUEST * 3, "access-log", "requests of a web server"),
        ("access", REQUEST * 3, "access-log", "requests of a web server"),
        ("app.log", "2026-01-01 00:00:00 ERROR it broke\n", "log", "a message a line"),
        ("a.jsonl", _lines({"messages": [{"text": "no role"}]}), "jsonl", "its name ends so"),
        ("a.jsonl", _lines({"input": "x", "value": 1, "name": "n", "id": 1}), "jsonl", "its name ends so"),
        ("a.jsonl", "{broken\n", "jsonl", "its name ends so"),
        ("a.csv", "", "csv", "its name ends so"),
    ],
)
def test_what_a_file_holds_is_seen(name, text, source, why, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    chosen = choose(str(path))
    assert chosen.source == source
    assert why in chosen.why


def test_a_prefix_says_it(tmp_path):
    assert choose("mlflow:sqlite:///x.db?experiment=a").source == "mlflow"
    assert choose("elasticsearch:https://host:9200/logs-*").source == "elasticsearch"
    assert choose("table:duckdb:///x.db?table=t").source == "table"
    (tmp_path / "a.jsonl").write_text(_lines({"input": "x"}))
    assert choose(f"langfuse:{tmp_path / 'a.jsonl'}").source == "langfuse"


def test_folders_and_patterns(tmp_path):
    folder = tmp_path / "spans"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([SPAN]), folder / "a.parquet")
    assert choose(str(folder)).source == "phoenix"
    assert choose(str(folder / "*.parquet")).source == "phoenix"
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "access.log.1").write_text(REQUEST)
    assert choose(str(logs)).source == "access-log"
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.csv").write_text("input\nx\n")
    with pytest.raises(InvalidConfig, match="one by one"):
        choose(str(other))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFound):
        choose(str(empty))


def test_what_is_not_there_is_named_by_its_ending_or_refused(tmp_path):
    assert source_for(str(tmp_path / "later.csv.gz")) == "csv"
    with pytest.raises(InvalidConfig, match="xlsx"):
        source_for("x.xlsx")
    with pytest.raises(NotFound):
        source_for(str(tmp_path / "nothing"))


def test_every_source_tells_what_it_is_and_how_far_it_is():
    for name in plugins.names("sources"):
        source = plugins.create("sources", name)
        assert source.name == name
        assert hasattr(source, "done")
        assert source.cursor is None
        assert hasattr(source, "maps") or hasattr(source, "columns")
