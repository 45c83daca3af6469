"""Tables of a database come in row by row, in the order of a key, and never all at once."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import import_records
from flywheel.capture.sources.table import Table
from flywheel.errors import InvalidConfig, MissingExtra, NotFound, StoreBusy, StoreUnavailable
from flywheel.testing import check_source

START = datetime(2026, 5, 17, 10, tzinfo=UTC)
KINDS = ("duckdb", "sqlite", "postgresql", "parquet", "delta")


def rows_of(count):
    """Chats, four to a minute."""
    return [
        {
            "id": n,
            "question": f"q {n}",
            "answer": f"a {n % 3}",
            "ts": START + timedelta(minutes=n // 4),
            "shop": None if n % 11 == 0 else f"s{n % 5}",
        }
        for n in range(count)
    ]


@pytest.fixture
def make(tmp_path, request):
    """Write rows into a table of a kind, and return where it is."""

    def write(kind, rows):
        table = pa.Table.from_pylist(rows)
        if kind == "parquet":
            (tmp_path / "parts").mkdir(exist_ok=True)
            for number in range(0, len(rows), 40):
                pq.write_table(table.slice(number, 40), tmp_path / "parts" / f"part-{number:04d}.parquet")
            return f"table:parquet:{tmp_path}/parts/*.parquet"
        if kind == "delta":
            write_deltalake(str(tmp_path / "delta"), table.slice(0, 50))
            write_deltalake(str(tmp_path / "delta"), table.slice(50), mode="append")
            return f"table:delta:{tmp_path}/delta"
        if kind == "duckdb":
            with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
                connection.register("given", table)
                connection.execute("create table chats as select * from given")
            return f"table:duckdb://{tmp_path}/shop.duckdb?table=chats"
        columns = list(rows[0])
        if kind == "sqlite":
            connection = sqlite3.connect(tmp_path / "shop.sqlite")
            connection.execute("create table chats (id integer, question text, answer text, ts timestamp, shop text)")
            marks = [
                [row["ts"].replace(tzinfo=None).isoformat(sep=" ") if c == "ts" else row[c] for c in columns]
                for row in rows
            ]
            connection.executemany("insert into chats values (?, ?, ?, ?, ?)", marks)
            connection.commit()
            connection.close()
            return f"table:sqlite://{tmp_path}/shop.sqlite?table=chats"
        psycopg = pytest.importorskip("psycopg")
        url = request.getfixturevalue("new_url")("postgresql").replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create table chats (id bigint, question text, answer text, ts timestamptz, shop text)")
            with connection.cursor() as cursor:
                cursor.executemany(
                    "insert into chats values (%(id)s, %(question)s, %(answer)s, %(ts)s, %(shop)s)", rows
                )
        return f"table:{url}?table=chats"

    return write


def inputs(records):
    return [record["input"] for record in records]


def with_setting(location, setting):
    return f"{location}{'&' if '?' in location else '?'}{setting}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_once_and_again_nothing(kind, make, recorder, store):
    location = make(kind, rows_of(90))
    source = Table()
    records = list(source.read(with_setting(location, "size=20")))
    assert inputs(records) == [f"q {n}" for n in range(90)]
    assert source.done == 1.0
    first = import_records(recorder, Table(), location, timezone="UTC")
    assert (first.read, first.stored, first.rejected) == (90, 90, 0)
    assert import_records(recorder, Table(), location, timezone="UTC").duplicates == 90
    seen = store.log.interactions(["7"])["7"]
    assert (seen.input, seen.output, seen.context, seen.at) == (
        "q 7",
        "a 1",
        {"shop": "s2"},
        START + timedelta(minutes=1),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "key", ["id", *(pytest.param(key, marks=pytest.mark.slow) for key in ("ts", "shop", "answer"))]
)
def test_reading_goes_on_where_it_stopped(kind, key, make):
    location = with_setting(make(kind, rows_of(90)), f"size=17&key={key}")
    whole = sorted(inputs(Table().read(location)))
    assert whole == sorted(f"q {n}" for n in range(90))
    for stop in (1, 17, 44):
        source = Table()
        reader = source.read(location)
        first = inputs(islice(reader, stop))
        reader.close()
        rest = inputs(Table().read(location, after=source.cursor))
        assert sorted({*first, *rest}) == whole
        if key == "id":
            assert len(rest) == 90 - stop + 1  # the last one again, and no other


@pytest.mark.parametrize("form", ["2026-05-17T10:00:0{}.500", "2026-05-17 10:00:0{}.5", "2026-05-17 10:00:0{}"])
def test_times_that_are_texts_lose_no_row(form, tmp_path):
    connection = sqlite3.connect(tmp_path / "shop.sqlite")
    connection.execute("create table chats (ts timestamp, question text)")
    connection.executemany("insert into chats values (?, ?)", [(form.format(n // 5), f"q {n}") for n in range(30)])
    connection.commit()
    connection.close()
    location = f"table:sqlite://{tmp_path}/shop.sqlite?table=chats&key=ts&size=4"
    source = Table()
    reader = source.read(location)
    first = inputs(islice(reader, 12))
    reader.close()
    assert len({*first, *inputs(Table().read(location, after=source.cursor))}) == 30


def test_rows_come_as_they_are_read(make, monkeypatch):
    location = make("duckdb", [{"id": n, "question": "x" * 100} for n in range(20_000)])
    reader = Table().read(with_setting(location, "size=100"))
    next(reader)
    before = pa.total_allocated_bytes()
    for _ in islice(reader, 15_000):
        assert pa.total_allocated_bytes() < before + 2_000_000
    reader.close()


def test_values_that_json_does_not_have(make):
    row = {
        "id": uuid.UUID(int=7).bytes,
        "prompt": "x",
        "price": Decimal("1.25"),
        "day": date(2026, 5, 17),
        "share": float("nan"),
        "tags": ["a"],
        "place": {"lat": 1.5},
        "raw": b"\x00\xff",
        "wait": timedelta(seconds=2),
    }
    (record,) = Table().read(make("duckdb", [row]))
    assert record["context"] == {"price": 1.25, "day": "2026-05-17", "raw": "00ff", "wait": 2.0}
    assert record["extra"] == {"tags": ["a"], "place": {"lat": 1.5}}
    assert record["id"] == uuid.UUID(int=7).bytes.hex()
    json.dumps(record)


def test_rows_that_cannot_be_stored_are_set_aside(make, recorder, store):
    rows = [{"id": n, "prompt": f"q {n}", "confidence": 0.5 if n else 7.0} for n in range(5)]
    sums = import_records(recorder, Table(), make("duckdb", rows))
    assert (sums.read, sums.stored, sums.rejected) == (5, 4, 1)


def test_a_folder_that_is_a_delta_table_need_not_say_so(make, tmp_path):
    make("delta", rows_of(60))
    assert len(list(Table().read(str(tmp_path / "delta")))) == 60
    pq.write_table(pa.Table.from_pylist(rows_of(3)), tmp_path / "one.parquet")
    assert len(list(Table().read(str(tmp_path / "one.parquet")))) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_keeps_its_contract(kind, make):
    check_source(Table(), make(kind, rows_of(30)), expected=30)


def test_reading_changes_nothing(make, tmp_path):
    for kind in ("sqlite", "duckdb"):
        location = make(kind, rows_of(3))
        before = (tmp_path / f"shop.{kind}").read_bytes()
        assert len(list(Table().read(location))) == 3
        assert (tmp_path / f"shop.{kind}").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} >= {"shop.sqlite", "shop.duckdb"}
    with pytest.raises(NotFound, match="nowhere"):
        list(Table().read(f"table:sqlite:///{tmp_path}/nowhere.sqlite?table=t"))
    assert not (tmp_path / "nowhere.sqlite").exists()


def test_errors_say_what_to_do_and_not_the_password(make):
    location = make("sqlite", rows_of(3))
    cases = [
        (location.replace("table=chats", "table=chat"), NotFound, "There are: chats"),
        (with_setting(location, "key=no"), InvalidConfig, "'no'"),
        (location.partition("?")[0], InvalidConfig, "TABLE|table=NAME"),
        ("table:nothing", InvalidConfig, "not the URL of a table"),
        ("table:parquet:/no/such/*.parquet", NotFound, "no Parquet file"),
        ("table:delta:/no/such", NotFound, "no Delta table"),
        ("table:postgresql://ana:se%40cret@127.0.0.1:1/db?table=t", StoreUnavailable, "did not answer"),
        ("table:nosuchdb://ana:se%40cret@host/db?table=t", InvalidConfig, "nosuchdb"),
        ("table:mysql://ana:se%40cret@127.0.0.1:1/db?table=t", (MissingExtra, StoreUnavailable), "mysql"),
    ]
    for bad, kind, says in cases:
        with pytest.raises(kind, match=says) as problem:
            list(Table().read(bad))
        for secret in ("se%40cret", "se@cret", "ana:"):
            assert secret not in str(problem.value)
        assert problem.value.__cause__ is None or "cret" not in str(problem.value.__cause__)
    with pytest.raises(InvalidConfig, match="not a cursor"):
        list(Table().read(location, after="{}"))


def test_a_database_that_another_process_holds(make, tmp_path):
    import subprocess
    import sys

    location = make("duckdb", rows_of(3))
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "shop.duckdb")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusy, match="another process"):
            list(Table().read(location))
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()


def test_passwords_of_postgresql_are_in_no_cursor_or_letter(make, recorder, store):
    rows = rows_of(4)
    location = make("postgresql", rows).replace("//flywheel@", "//flywheel:se%40cret@")
    source = Table()
    assert len(list(source.read(location))) == 4
    told = str(source.cursor)
    import_records(recorder, Table(), location, {"confidence": "id"})  # 2 and 3 are no confidence
    letters = store.log.dead_letters()
    assert letters
    told += "".join(f"{letter['source']}{letter['reason']}{letter['body']}" for letter in letters)
    assert "cret" not in told
