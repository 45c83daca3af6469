"""An import that was killed goes on where it was, ends the same, doubles nothing, and its books balance."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from recorder_fixtures import recorder, store  # noqa: F401

import flywheel
from flywheel.capture import import_books, import_records
from flywheel.capture.sources import Csv, JsonLines
from flywheel.capture.sources.langfuse import Langfuse
from flywheel.errors import InvalidConfig

# ruff: noqa: F811  (fixtures are imported by name)

AT = datetime(2026, 1, 1, tzinfo=UTC)
KILLED = Path(__file__).with_name("import_killed.py")
ROWS = 1200


def _rows(ids):
    for n in range(ROWS):
        row = {"input": f"text {n % 700}", "output": "yes", "at": "2026-01-01T00:00:00Z", "user": f"u{n % 9}"}
        if n % 50 == 0:
            row["confidence"] = 7  # cannot be stored
        if n % 3 == 0:
            row["label"] = "no"
        yield {"id": f"r{n}", **row} if ids else row


def _chats():
    for n in range(ROWS):
        yield {"messages": [{"role": "user", "content": f"q{n % 700}"}, {"role": "assistant", "content": "a"}]}


def _content(folder):
    with flywheel.open(folder) as fw:
        log = fw._store.log
        ids = [row.id for row in log.read(0, limit=100_000)]
        seen = sorted((fact.id, str(fact.input)) for fact in log.interactions(ids).values())
        return len(ids), seen, fw.books(), len(log.dead_letters(limit=100_000))


def _kill(folder, location, source, commits, moment):
    command = [sys.executable, str(KILLED), str(folder), str(location), source, str(commits), moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("jsonl", _rows(True)),
        pytest.param("jsonl", _rows(False), marks=pytest.mark.fault),
        pytest.param("openai-chat", _chats(), marks=pytest.mark.fault),
    ],
    ids=["with ids", "without ids", "chats"],
)
def test_a_killed_import_goes_on_and_ends_the_same(kind, rows, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with flywheel.open(tmp_path / "whole", task="generation") as fw:
        whole = fw.import_(path, source=kind)
    killed = tmp_path / "killed"
    _kill(killed, path, kind, 2, "after")  # the place of the second commit was never kept
    _kill(killed, path, kind, 2, "before")
    with flywheel.open(killed) as fw:
        rest = fw.import_(path, source=kind)
        assert 0 < rest.resumed < ROWS
        assert rest.read < whole.read
        again = fw.import_(path, source=kind)  # a finished one begins anew
        assert (again.resumed, again.stored, again.read) == (0, 0, whole.read)
        since = fw.import_(path, source=kind, since="last")
        assert (since.resumed, since.read) == (ROWS, 0)
    count, seen, books, letters = _content(killed)
    assert (count, seen) == _content(tmp_path / "whole")[:2]
    assert letters == _content(tmp_path / "whole")[3]
    assert books["received"] == books["stored"] + books["duplicates"] + books["rejected"] + books["dead_lettered"]
    assert books["stored"] == whole.stored


class _Broken(RuntimeError):
    pass


def _until(source, count):
    """The source, which breaks off after so many records."""
    read = source.read

    def broken(*given, **named):
        for number, record in enumerate(read(*given, **named)):
            if number == count:
                raise _Broken
            yield record

    source.read = broken
    return source


@pytest.fixture
def small(monkeypatch):
    """Ten facts a commit."""
    monkeypatch.setattr(import_books, "_BATCH", 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ids", [True, False])
def test_a_file_that_is_another_by_now_is_read_from_the_start(ids, tmp_path, recorder, store):
    path = tmp_path / "log.jsonl"

    def write(word):
        row = {"input": "x"}
        path.write_text(
            "".join(
                json.dumps(({"id": f"{word}{n}"} if ids else {}) | row | {"output": word}) + "\n" for n in range(50)
            )
        )

    write("a")
    with pytest.raises(_Broken):
        import_records(recorder, _until(JsonLines(), 25), str(path), at=AT, state=store.state)
    assert store.log.last() == 20
    write("b")
    done = import_records(recorder, JsonLines(), str(path), at=AT, state=store.state)
    assert (done.read, done.stored) == (50, 50)
    assert done.resumed == (20 if ids else 0) or done.read == 50


@pytest.mark.usefixtures("small")
def test_resume_can_be_refused_and_another_mapping_is_another_import(tmp_path, recorder, store):
    path = tmp_path / "log.csv"
    path.write_text("id,text,other\n" + "".join(f"r{n},a{n},b{n}\n" for n in range(50)))
    with pytest.raises(_Broken):
        import_records(recorder, _until(Csv(), 25), str(path), at=AT, state=store.state)
    anew = import_records(recorder, Csv(), str(path), at=AT, state=store.state, resume=False)
    assert (anew.resumed, anew.read, anew.stored, anew.duplicates) == (0, 50, 30, 20)
    with pytest.raises(_Broken):
        import_records(recorder, _until(Csv(), 25), str(path), at=AT, state=store.state)
    mapped = import_records(recorder, Csv(), str(path), {"input": "other"}, at=AT, state=store.state)
    assert (mapped.resumed, mapped.read) == (0, 50)
    first = import_records(recorder, Csv(), str(path), at=AT, state=store.state)
    assert (first.resumed, first.read) == (20, 30)


def test_a_grown_file_adds_its_end_with_since_last(tmp_path, recorder, store):
    path = tmp_path / "log.jsonl"
    path.write_text('{"input": "same"}\n{"input": "same"}\n')
    import_records(recorder, JsonLines(), str(path), at=AT, state=store.state)
    with path.open("a") as file:
        file.write('{"input": "same"}\n{"input": "new"}\n')
    grown = import_records(recorder, JsonLines(), str(path), at=AT, state=store.state, since="last")
    assert (grown.resumed, grown.read, grown.stored) == (2, 2, 2)
    assert store.log.last() == 4


def test_older_records_are_left_out(tmp_path, recorder, store):
    path = tmp_path / "log.jsonl"
    times = ["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", 1767225601, "bad", None]
    path.write_text("".join(json.dumps({"input": f"{at}", "at": at}) + "\n" for at in times))
    done = import_records(recorder, JsonLines(), str(path), state=store.state, since=AT)
    assert (done.older, done.stored, done.rejected) == (1, 3, 1)


def test_without_consent_only_the_count_stays(tmp_path, recorder, store):
    path = tmp_path / "log.jsonl"
    rows = [{"input": "a", "consent": False, "label": "x"}, {"input": "b", "consent": True}, {"input": "c"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = import_records(recorder, JsonLines(), str(path), at=AT)
    assert (done.read, done.stored, done.rejected) == (4, 2, 2)
    books = store.log.books()
    assert (books["received"], books["rejected"], books["no_consent"], books["dead_lettered"]) == (4, 2, 2, 0)


def test_a_source_that_knows_its_fields_takes_settings_and_no_columns(tmp_path, recorder, store):
    row = {"id": "s", "trace_id": "t", "type": "SPAN", "start_time": "2026-01-01 00:00:00", "input": "a", "output": "b"}
    path = tmp_path / "o.jsonl"
    path.write_text(json.dumps(row) + "\n")
    shown = import_records(recorder, Langfuse(), str(path), {"spans": "roots"}, dry_run=True)
    assert shown.mapping["input"] == "the observation's input"
    assert len(shown.sample) == 1
    nothing = import_records(recorder, Langfuse(), str(path))
    assert (nothing.read, nothing.passed, nothing.source) == (0, 1, "langfuse")
    assert import_records(recorder, Langfuse(), str(path), {"spans": "roots"}).stored == 1
    with pytest.raises(InvalidConfig, match="spans"):
        import_records(recorder, Langfuse(), str(path), {"input": "text"})
    with pytest.raises(InvalidConfig, match="calls, roots, all"):
        import_records(recorder, Langfuse(), str(path), {"spans": "few & far"})
