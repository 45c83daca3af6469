"""The byte search finds a name in every form that bytes of ours take, and nothing that only looks like it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
import zlib

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.config import Config
from flywheel.store import Store, traces
from flywheel.store.rewrite import rewrite
from flywheel.store.terms import Terms
from flywheel.store.traces import Traces

PSEUDONYM = "u_" + "0af3" * 8
TERMS = Terms(names=["ana.gruber", "Zoë", "12345", "bo"], pseudonyms=[PSEUDONYM], ids=["order-17", "7"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana.gruber", True),
        ('{"by":"ana.gruber"}', True),
        ("line\\nana.gruber said", True),  # as JSON writes a line end
        ("ana.grubers", False),
        ("xana.gruber", False),
        ("order-17", True),
        ("order-170", False),
        ("reorder-17", False),
        (f"x{PSEUDONYM}y", True),  # a page of a database puts no blanks between values
        (json.dumps({"user": "Zoë"}), True),
        (json.dumps({"user": "Zoë"}, ensure_ascii=False), True),
        ("12345", True),  # as a whole value
        ('{"latency": 12345}', False),
        ('{"user": "12345"}', True),
        ("bo", True),
        ("bo and", False),
        ('{"id": "7"}', True),
        ('{"label": "7"}', False),
    ],
)
def test_what_counts_as_found(text, found):
    assert TERMS.within(text) == found


PIECES = [b"ana.gruber", b"ana.grub", b" ", b"x", b"\\n", b"order-17", b"order-170", b'"', PSEUDONYM.encode(), b"zzzz"]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join), st.integers(1, 200))
def test_pieces_of_a_file_find_what_the_whole_does(data, piece):
    before, traces._PIECE = traces._PIECE, piece
    try:
        found = Traces(TERMS)
        found.stream(io.BytesIO(data), "file")
    finally:
        traces._PIECE = before
    assert {kind: count for (_, kind), count in found.left.items()} == dict(TERMS.count(data))


def _zip(inner: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", inner)
    return out.getvalue()


def _parquet(compression: str) -> bytes:
    out = io.BytesIO()
    rows = pa.table({"plain": ["x" * 3000, PSEUDONYM], "deep": [[{"k": "x" * 3000}], None]})
    pq.write_table(rows, out, compression=compression, use_dictionary=False, write_statistics=False)
    return out.getvalue()


def _arrow() -> bytes:
    out = io.BytesIO()
    feather.write_feather(pa.table({"a": ["x" * 3000, PSEUDONYM]}), out, compression="zstd")
    return out.getvalue()


def _nested() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"deep": [[{"k": PSEUDONYM}]]}), out, compression="zstd")
    return out.getvalue()


FILLED = b"the one " * 500 + PSEUDONYM.encode()
FORMS = {
    "plain": lambda: FILLED,
    "gzip": lambda: gzip.compress(FILLED),
    "zlib": lambda: zlib.compress(FILLED),
    "bzip2": lambda: bz2.compress(FILLED),
    "zip": lambda: _zip(FILLED),
    "gzip in a zip": lambda: _zip(gzip.compress(FILLED)),
    "zlib in gzip in a zip": lambda: _zip(gzip.compress(zlib.compress(FILLED))),
    "parquet, snappy": lambda: _parquet("snappy"),
    "parquet, zstd": lambda: _parquet("zstd"),
    "parquet, nested": _nested,
    "parquet in a zip": lambda: _zip(_parquet("zstd")),
    "arrow": _arrow,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_and_of_a_cell(form, tmp_path):
    data = FORMS[form]()
    (tmp_path / "file").write_bytes(data)
    found = Traces(TERMS)
    assert found.file(tmp_path / "file", "file")
    assert ("file", "pseudonym") in found.left
    cells = Traces(TERMS)
    cells._cell(data, "cell")
    assert ("cell", "pseudonym") in cells.left
    clean = Traces(Terms(pseudonyms=["u_" + "ffff" * 8]))
    assert not clean.file(tmp_path / "file", "file")


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x78\x9c", b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"ARROW1", b"BZh9"]),
)
def test_bytes_that_only_begin_like_something_do_no_harm(data, magic):
    found = Traces(TERMS)
    found.stream(io.BytesIO(magic + data + b" " + PSEUDONYM.encode()), "file")
    assert found.left["file", "pseudonym"] >= 1


def test_a_bomb_is_told_and_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "_MOST", 1_000_000)
    (tmp_path / "bomb").write_bytes(zlib.compress(b"\0" * 30_000_000))
    found = Traces(TERMS)

    def limited(self, file, place, most=traces._MOST):
        return original(self, file, place, 1_000_000)

    original = Traces._raw
    monkeypatch.setattr(Traces, "_raw", limited)
    found.file(tmp_path / "bomb", "bomb")
    assert found.unread
    assert "bomb" in found.unread[0]


def test_every_cell_of_every_table_is_searched(tmp_path, url):
    from datetime import UTC, datetime

    from flywheel.config import StoreSettings
    from flywheel.records import Dataset, Example, Interaction

    store = Store.open(tmp_path / "bot", Config(store=StoreSettings(url=url)))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    store.log.append([Interaction(id="a", at=at, input="x", user=PSEUDONYM)])
    store.log.dead_letter("test", "broken", gzip.compress(PSEUDONYM.encode()), at)
    examples = (Example(id="e", input=f"about {PSEUDONYM}", label="y"),)
    store.state.save_dataset(Dataset(hash="h", examples=examples))
    store.state.save_step(1, "mine", {"novelty": {"order-17": 1.0}})
    found = Traces(TERMS)
    found.database(store._database)
    store.close()
    assert set(found.left) == {
        ("database: facts.body", "pseudonym"),
        ("database: dead_letters.body", "pseudonym"),
        ("database: datasets.content", "pseudonym"),
        ("database: steps.doc", "id"),
    }


# --- files of rows ---

ROWS = [
    {"id": "order-17", "user": PSEUDONYM, "input": "theirs"},
    {"id": "order-18", "user": "u_other", "input": "others'"},
    {"id": "m-1", "name": "mode", "exemplars": ["order-17", "order-18"]},
]
KEPT = [ROWS[1], {**ROWS[2], "exemplars": ["order-18"]}]


def _mend(row):
    if isinstance(row, dict) and "exemplars" in row:
        return {**row, "exemplars": [key for key in row["exemplars"] if key != "order-17"]}
    return [key for key in row if key != "order-17"] if isinstance(row, list) else row


def _sink(name):
    from flywheel import plugins

    return plugins.create("sinks", name)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_files_of_rows_lose_theirs_and_keep_others(form, tmp_path):
    from flywheel import plugins

    path = tmp_path / f"rows.{form}"
    _sink(form).write(ROWS, str(path))
    path.chmod(0o640)
    assert rewrite(path, TERMS, _mend) == 2
    assert not Traces(TERMS).file(path)
    left = path.with_name("again.jsonl")
    if form == "jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == KEPT
    else:
        table = pq.read_table(path).to_pylist() if form == "parquet" else None
        text = json.dumps(table) if table else path.read_text()
        assert "order-18" in text
        assert "m-1" in text
        assert "theirs" not in text
    assert path.stat().st_mode & 0o777 == 0o640
    assert rewrite(path, TERMS, _mend) == 0
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert not left.exists()
    assert plugins.names("sinks")


def test_a_list_of_tasks_and_what_is_no_file_of_rows(tmp_path):
    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps([{"data": {"item_id": "order-17"}}, {"data": {"item_id": "order-18"}}]))
    assert rewrite(tasks, TERMS, _mend) == 1
    assert json.loads(tasks.read_text()) == [{"data": {"item_id": "order-18"}}]
    page = tmp_path / "page.html"
    page.write_text("order-17")
    assert rewrite(page, TERMS, _mend) is None
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 order-17")
    assert rewrite(broken, TERMS, _mend) is None
    assert broken.read_bytes() == b"PAR1 order-17"
