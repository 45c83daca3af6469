"""Access logs come in as interactions: each request once, however the files were rotated, and nobody in the clear."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import import_records, source_for
from flywheel.capture.sources.access_log import AccessLog, parsed
from flywheel.capture.sources.log_files import LONGEST_LINE
from flywheel.errors import InvalidConfig, NotFound
from flywheel.testing import check_source

COMMON = '198.51.100.7 - - [17/May/2026:10:05:03 +0200] "GET /a/b?q=x&p=2 HTTP/1.1" 200 203'
COMBINED = COMMON + ' "https://shop.example/start" "Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/124.0"'


def lines_of(count, *, start=0):
    return [
        f'198.51.100.{n % 250} - - [17/May/2026:10:{n // 60 % 60:02}:{n % 60:02} +0000] "GET /item/{n} HTTP/1.1" 200 9'
        for n in range(start, start + count)
    ]


def write(path: Path, lines):
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def interactions(store):
    ids = [row.id for row in store.log.read(0, limit=100_000) if row.kind == "interaction"]
    return list(store.log.interactions(ids).values())


def test_a_request_is_an_interaction():
    row = parsed(COMBINED)
    assert row == {
        "at": "2026-05-17T10:05:03+02:00",
        "input": {"method": "GET", "path": "/a/b", "query": "q=x&p=2"},
        "output": {"status": 200, "bytes": 203},
        "user": "198.51.100.7",
        "context.method": "GET",
        "context.status_class": "2xx",
        "context.protocol": "HTTP/1.1",
        "context.referrer_host": "shop.example",
        "context.agent": "Firefox",
    }
    assert parsed(COMMON.replace("- -", "- ana", 1))["user"] == "ana"


@pytest.mark.parametrize(
    ("behind", "milliseconds"),
    [
        (" 0.125", 125.0),  # nginx $request_time
        (' "0.125"', 125.0),
        (" rt=0.125 uct=0.001", 125.0),
        (" 125000", 125.0),  # Apache %D
        (' "203.0.113.9" 0.5', 500.0),  # behind the forwarded address
        (" 12ms", 12.0),
        ("", None),
        (' "-"', None),
    ],
)
def test_the_time_behind_a_request(behind, milliseconds):
    assert parsed(COMBINED + behind).get("latency_ms") == milliseconds


def test_a_unit_can_be_told(tmp_path):
    path = write(tmp_path / "access.log", [COMBINED + " 3"])
    (record,) = AccessLog().read(f"{path}?time=s")
    assert record["latency_ms"] == 3000.0
    with pytest.raises(InvalidConfig, match="hours"):
        list(AccessLog().read(f"{path}?time=hours"))
    with pytest.raises(InvalidConfig, match="Did you mean 'time'"):
        list(AccessLog().read(f"{path}?tme=s"))


def test_errors_odd_requests_and_virtual_hosts():
    assert parsed(COMMON.replace(" 200 ", " 503 "))["error"] == "HTTP 503"
    assert "error" not in parsed(COMMON.replace(" 200 ", " 404 "))
    assert parsed("shop.example:443 " + COMBINED)["context.host"] == "shop.example:443"
    greeting = COMMON.replace("GET /a/b?q=x&p=2 HTTP/1.1", r"\x16\x03\x01").replace(" 200 ", " 400 ")
    assert parsed(greeting)["input"] == {"method": None, "path": r"\x16\x03\x01", "query": ""}
    quoted = COMBINED.replace("/a/b", r"/\"a\"")
    assert parsed(quoted)["input"]["path"] == r"/\"a\""


def test_nginx_json():
    said = {
        "time_iso8601": "2026-05-17T10:05:03+00:00",
        "remote_addr": "198.51.100.7",
        "request": "POST /chat HTTP/2.0",
        "status": 502,
        "body_bytes_sent": "17",
        "request_time": "1.5",
        "http_user_agent": "curl/8.1",
        "request_id": "f00",
    }
    row = parsed(json.dumps(said))
    assert (row["input"]["path"], row["latency_ms"], row["error"], row["context.agent"]) == (
        "/chat",
        1500.0,
        "HTTP 502",
        "program",
    )
    assert row["extra.request_id"] == "f00"
    other = {"ts": 1747476303.5, "method": "GET", "uri": "/x", "args": "a=1", "status": "200"}
    assert parsed(json.dumps(other))["input"] == {"method": "GET", "path": "/x", "query": "a=1"}
    assert parsed("{") is None
    assert parsed('{"status": 200}') is None


def test_the_source_is_chosen_by_what_a_file_holds(tmp_path):
    request = {
        "time": "2026-05-17T10:05:03Z",
        "remote_addr": "198.51.100.7",
        "request": "GET / HTTP/1.1",
        "status": 200,
    }
    message = {"ts": "2026-05-17T10:05:03Z", "level": "info", "msg": "hello"}
    chat = {"ts": "2026-05-17T10:05:03Z", "prompt": "hello", "level": "info", "status": 200}
    for said, source in ((request, "access-log"), (message, "log"), (chat, "jsonl")):
        path = write(tmp_path / "some.log", [json.dumps(said)] * 3)
        assert source_for(str(path)) == source
    assert source_for(str(write(tmp_path / "some.log", [COMBINED]))) == "access-log"
    assert source_for(str(write(tmp_path / "some.log.1.gz", [COMBINED]))) == "access-log"
    assert source_for(str(write(tmp_path / "some.log", ["2026-05-17 10:00:00 INFO hello"]))) == "log"
    assert source_for(f"{tmp_path}/*log.*") == "access-log"


def test_nobody_is_stored_in_the_clear(tmp_path, recorder, store):
    path = write(tmp_path / "access.log", [COMBINED, COMMON.replace("- -", "- ana.kovac", 1)])
    assert import_records(recorder, AccessLog(), str(path)).stored == 2
    users = {seen.user for seen in interactions(store)}
    assert len(users) == 2
    assert not users & {"198.51.100.7", "ana.kovac"}
    store.close()
    for file in (tmp_path / "product").rglob("*"):
        if file.is_file():
            assert b"198.51.100.7" not in file.read_bytes()
            assert b"ana.kovac" not in file.read_bytes()


def test_rotated_and_packed_files_are_read_oldest_first_and_once(tmp_path, recorder, store):
    lines = lines_of(90)
    write(tmp_path / "access.log.2.gz", lines[:30])
    write(tmp_path / "access.log.1", lines[30:60])
    write(tmp_path / "access.log", lines[60:80])
    (tmp_path / ".hidden").write_text("no")
    source = AccessLog()
    records = list(source.read(f"access-log:{tmp_path}/*log*"))
    assert [record["input"]["path"] for record in records] == [f"/item/{n}" for n in range(80)]
    assert source.done == 1.0
    assert import_records(recorder, AccessLog(), str(tmp_path / "*log*")).stored == 80

    (tmp_path / "access.log.2.gz").rename(tmp_path / "access.log.3.gz")  # logrotate's turn, caught half-way
    write(tmp_path / "access.log.2.gz", lines[30:60])
    os.remove(tmp_path / "access.log.1")
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    write(tmp_path / "access.log.1.gz", lines[60:80])
    write(tmp_path / "access.log", lines[80:])
    again = import_records(recorder, AccessLog(), str(tmp_path / "*log*"))
    assert (again.read, again.stored, again.duplicates, again.conflicts) == (90, 10, 80, 0)


def test_equal_lines_are_as_many_requests(tmp_path):
    path = write(tmp_path / "access.log", [COMMON, COMMON, COMBINED, COMMON])
    ids = [record["id"] for record in AccessLog().read(str(path))]
    assert len(set(ids)) == 4
    write(path, [COMMON, COMMON, COMBINED, COMMON, COMMON])
    assert [record["id"] for record in AccessLog().read(str(path))][:4] == ids


@pytest.mark.parametrize("stop", [1, 2, 29, 30, 31, 32, 60, 100])
def test_reading_goes_on_where_it_stopped_though_files_were_rotated(stop, tmp_path):
    lines = lines_of(50) + lines_of(50)  # each twice, across the files
    write(tmp_path / "access.log.1.gz", lines[:30])
    write(tmp_path / "access.log", lines[30:])
    whole = [record["id"] for record in AccessLog().read(str(tmp_path))]
    assert len(set(whole)) == 100
    source = AccessLog()
    first = [record["id"] for record in islice(source.read(str(tmp_path)), stop)]
    cursor = source.cursor
    assert "/item" not in cursor
    (tmp_path / "access.log.1.gz").rename(tmp_path / "access.log.2.gz")
    write(tmp_path / "access.log.1.gz", lines[30:])
    write(tmp_path / "access.log", [COMMON])  # which is older than the rest, and new
    rest = [record["id"] for record in AccessLog().read(str(tmp_path), after=cursor)]
    assert len(first) + len(rest) == 101
    assert set(first) | set(rest) > set(whole)


def test_several_files_that_grow_are_each_read_on(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.log", lines_of(5, start=ord(name)))
    source = AccessLog()
    assert len(list(source.read(str(tmp_path)))) == 15
    write(tmp_path / "a.log", lines_of(7, start=ord("a")))
    write(tmp_path / "c.log", lines_of(6, start=ord("c")))
    later = AccessLog()
    found = [record["input"]["path"] for record in later.read(str(tmp_path), after=source.cursor)]
    assert sorted(found) == ["/item/102", "/item/103", "/item/104"]
    assert list(AccessLog().read(str(tmp_path), after=later.cursor)) == []


def test_a_cursor_of_a_file_that_is_gone_begins_anew(tmp_path):
    path = write(tmp_path / "access.log", lines_of(5))
    source = AccessLog()
    assert len(list(source.read(str(path)))) == 5
    write(path, lines_of(7, start=100))  # another file under the old name
    assert len(list(AccessLog().read(str(path), after=source.cursor))) == 7
    with pytest.raises(InvalidConfig, match="not a cursor"):
        list(AccessLog().read(str(path), after="[]"))


def test_another_file_that_begins_the_same_is_read_whole(tmp_path):
    path = write(tmp_path / "access.log", [*lines_of(5), *lines_of(5, start=100)])
    source = AccessLog()
    assert len(list(source.read(str(path)))) == 10
    write(path, [*lines_of(5), *lines_of(9, start=200)])
    rest = [record["input"]["path"] for record in AccessLog().read(str(path), after=source.cursor)]
    assert rest[5:] == [f"/item/{n}" for n in range(200, 209)]


def test_bad_lines_are_set_aside_and_the_rest_goes_in(tmp_path, recorder, store):
    lines = lines_of(4)
    path = tmp_path / "access.log"
    long = b"x" * (LONGEST_LINE + 10)
    path.write_bytes(
        b"\n".join([lines[0].encode(), b"what is this", b"\xff\xfe\x00", long, b"", lines[1].encode(), b'{"a":'])
    )
    sums = import_records(recorder, AccessLog(), str(path))
    assert (sums.read, sums.stored, sums.rejected) == (6, 2, 4)
    reasons = [letter["reason"] for letter in store.log.dead_letters()]
    assert any("65,536 bytes" in reason for reason in reasons)
    assert any("access.log line 2" in letter["source"] for letter in store.log.dead_letters())


def test_a_packed_file_that_breaks_off_is_told(tmp_path):
    whole = gzip.compress("\n".join(lines_of(2000)).encode())
    (tmp_path / "access.log.1.gz").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "access.log", lines_of(3, start=3000))
    records = list(AccessLog().read(str(tmp_path)))
    (bad,) = [record for record in records if record["kind"] == "unreadable"]
    assert "breaks off" in bad["problem"]
    assert [record["input"]["path"] for record in records[-3:]] == ["/item/3000", "/item/3001", "/item/3002"]


def test_other_logs_are_turned_away(tmp_path):
    write(
        tmp_path / "error.log", ["2026/05/17 10:00:00 [error] 1#1: *5 connect() failed", "2026/05/17 10:00:01 [warn] x"]
    )
    with pytest.raises(InvalidConfig, match="does not look like an access log"):
        list(AccessLog().read(str(tmp_path / "error.log")))
    write(tmp_path / "access.log", lines_of(2))
    records = list(AccessLog().read(str(tmp_path)))
    assert sorted(record["kind"] for record in records) == ["interaction", "interaction", "unreadable"]
    with pytest.raises(NotFound, match="nothing-here"):
        list(AccessLog().read(str(tmp_path / "nothing-here*")))


def test_the_source_keeps_its_contract(tmp_path):
    path = write(tmp_path / "access.log", lines_of(20))
    check_source(AccessLog(), str(path), expected=20)


@settings(max_examples=60)
@given(st.text(max_size=300))
def test_no_line_stops_the_parser(line):
    row = parsed(line)
    assert row is None or "input" in row


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*' "[]-\\{}:/?&=.0123', "GET ", "HTTP/1.1", COMMON[:60], COMBINED[60:], "[17/May"])).map(
        "".join
    )
)
def test_no_bent_line_stops_the_parser(line):
    for text in (line, COMBINED + line, line + COMBINED, COMBINED[:40] + line + COMBINED[40:]):
        row = parsed(text)
        assert row is None or row["at"]


@pytest.mark.slow
def test_a_real_web_log():
    folder = os.environ.get("FLYWHEEL_DATA")
    if not folder:
        pytest.skip("FLYWHEEL_DATA is not set: it names the folder with elastic_weblogs/apache_logs.log.gz")
    records = list(AccessLog().read(str(Path(folder) / "elastic_weblogs" / "apache_logs.log.gz")))
    assert [record["kind"] for record in records] == ["interaction"] * 10_000
    assert len({record["id"] for record in records}) == 10_000
    assert sum("error" in record for record in records) == sum(record["output"]["status"] >= 500 for record in records)
    assert all("198." not in json.dumps(record["context"]) for record in records)
