"""Application logs come in by their messages: the form guessed, stack traces kept together, nothing twice."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import import_records
from flywheel.capture.sources.patterns import NAMED, compiled, guessed, named
from flywheel.capture.sources.plain_log import Lines, PlainLog
from flywheel.capture.sources.times import time_of
from flywheel.errors import InvalidConfig
from flywheel.testing import check_source

NEAR = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write(path: Path, *lines):
    path.write_text("".join(line + "\n" for line in lines))
    os.utime(path, (NEAR.timestamp(), NEAR.timestamp()))
    return str(path)


def read(location, mapping=None, **more):
    source = PlainLog()
    return source, list(source.read(location, mapping, **more))


SHAPES = {
    "log4j": ("2026-02-27 10:00:01,123 ERROR com.shop.Pay - card refused", "ERROR", "com.shop.Pay", "card refused"),
    "logback": ("10:00:01.123 [main] WARN  com.shop.Pay - slow answer", "WARN", "com.shop.Pay", "slow answer"),
    "spring": (
        "2026-02-27T10:00:01.123Z  INFO 71 --- [shop] [nio-80-exec-1] c.shop.Pay   : paid",
        "INFO",
        "c.shop.Pay",
        "paid",
    ),
    "python": ("2026-02-27 10:00:01,123 - shop.pay - CRITICAL - no bank", "CRITICAL", "shop.pay", "no bank"),
    "python-basic": ("WARNING:shop.pay:slow answer", "WARNING", "shop.pay", "slow answer"),
    "syslog": ("Feb 27 10:00:01 host7 shopd[231]: started", None, None, "started"),
    "syslog5424": (
        '<11>1 2026-02-27T10:00:01.5Z host7 shopd 231 ID47 [a@1 b="c"] no bank',
        "ERROR",
        None,
        "no bank",
    ),
    "glog": ("E0227 10:00:01.123456  4711 pay.cc:42] no bank", "ERROR", "pay.cc", "no bank"),
    "uvicorn": ("INFO:     Application startup complete.", "INFO", None, "Application startup complete."),
    "nginx-error": ("2026/02/27 10:00:01 [error] 12#0: *7 connect() failed", "ERROR", None, "connect() failed"),
    "apache-error": (
        "[Fri Feb 27 10:00:01.000001 2026] [core:error] [pid 9:tid 8] [client 192.0.2.1:99] no file",
        "ERROR",
        "core",
        "no file",
    ),
    "logcat": ("02-27 10:00:01.123  1702  2395 W PayView: slow", "WARNING", "PayView", "slow"),
    "spark": ("26/02/27 10:00:01 INFO exec.Backend: Registered", "INFO", "exec.Backend", "Registered"),
    "iso-level": ("[2026-02-27T10:00:01+00:00] [error] no bank", "ERROR", None, "no bank"),
    "iso": ("2026-02-27T10:00:01Z hello there", None, None, "hello there"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_usual_forms_are_known(name, tmp_path):
    line, level, logger, message = SHAPES[name]
    source, (record,) = read(write(tmp_path / "app.log", line) + "?zone=UTC")
    assert source.format == name
    assert record["input"] == message
    context = record.get("context", {})
    assert (context.get("level"), context.get("logger")) == (level, logger)
    assert ("error" in record) == (level in ("ERROR", "CRITICAL"))
    if name not in ("python-basic", "uvicorn"):
        moment = datetime.fromisoformat(record["at"])
        assert moment.replace(microsecond=0) in (
            datetime(2026, 2, 27, 10, 0, 1, tzinfo=UTC),
            datetime(2026, 3, 1, 10, 0, 1, tzinfo=UTC),  # logback's default has no date
        )


def test_a_stack_trace_belongs_to_its_message(tmp_path):
    location = write(
        tmp_path / "app.log",
        "2026-02-27 10:00:01,123 - shop - ERROR - it failed",
        "Traceback (most recent call last):",
        '  File "pay.py", line 3, in pay',
        "ValueError: no such card",
        "2026-02-27 10:00:02,123 - shop - INFO - next trace_id=0af7651916cd43dd8448eb211c80319c",
        "2026-02-27 10:00:03,000 - shop - ERROR - java too",
        "java.lang.IllegalStateException: outer",
        "\tat com.shop.Pay.go(Pay.java:3)",
        "Caused by: java.io.IOException: disk is away",
        "\t... 3 more",
    )
    _, (first, second, third) = read(location + "?zone=Europe/Berlin")
    assert first["input"].splitlines()[-1] == "ValueError: no such card"
    assert first["error"] == "ValueError: no such card"
    assert first["at"] == "2026-02-27T10:00:01.123000+01:00"
    assert "error" not in second
    assert second["extra"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert third["error"] == "IOException: disk is away"


def test_lines_before_the_first_record_and_endless_records(tmp_path):
    location = write(
        tmp_path / "app.log",
        "banner of the program",
        *["2026-02-27 10:00:00 INFO shop - hello"] * 30,
        *["  and more " + "x" * 1000] * 100,
    )
    _, records = read(location + "?zone=UTC")
    assert (records[0]["kind"], records[0]["place"]) == ("unreadable", "app.log line 1")
    assert len(records[-1]["input"]) < 66_000
    assert records[-1]["extra"]["lines_cut"] > 30
    assert len({record["id"] for record in records[1:]}) == 30


def test_a_log_in_two_forms_and_one_of_json(tmp_path):
    lines = []
    for n in range(30):
        lines.append(f"2026-02-27 10:00:{n:02d},000 - shop - INFO - number {n}")
        lines.append(f'INFO:     127.0.0.1:{5000 + n} - "GET /items/{n}?a=1 HTTP/1.1" 503 Service Unavailable')
    source, records = read(write(tmp_path / "app.log", *lines) + "?zone=UTC")
    assert set(source.format.split(", ")) == {"python", "uvicorn"}
    assert len(records) == 60
    assert records[1]["input"] == {"method": "GET", "path": "/items/0", "query": "a=1"}
    assert (records[1]["output"], records[1]["error"], records[1]["user"]) == ({"status": 503}, "HTTP 503", "127.0.0.1")
    assert records[1]["at"] == records[0]["at"]  # a message without a time has that of the one before

    said = [{"ts": "2026-02-27T10:00:00Z", "level": "error", "msg": "no bank", "user": "ana", "shop": {"id": 7}}] * 3
    source, records = read(write(tmp_path / "json.log", *map(json.dumps, said)))
    assert source.format == "json"
    assert records[0]["at"] == "2026-02-27T10:00:00+00:00"
    assert (records[0]["error"], records[0]["user"]) == ("error: no bank", "ana")


def test_a_pattern_of_ones_own(tmp_path, recorder, store):
    location = write(
        tmp_path / "shop.log", "27.02.2026|7|ask ana|why is it late|0.25", "broken", "27.02.2026|8|x|y|0.5"
    )
    grok = "%{NOTSPACE:day}\\|%{INT:number:int}\\|(?P<user>[^|]+)\\|%{DATA:msg}\\|%{NUMBER:confidence:float}$"
    source, records = read(location, {"pattern": grok, "input": "input", "user": "user", "confidence": "confidence"})
    assert source.format == "your pattern"
    assert [record["confidence"] for record in records] == [0.25, 0.5]
    assert records[0]["input"] == "why is it late\nbroken"
    assert records[0]["user"] == "ask ana"
    assert read(f"{location}?pattern={grok}")[1][0]["context"]["day"] == "27.02.2026"
    assert PlainLog().columns(f"{location}?pattern={grok}") == PlainLog().columns(location, {"pattern": grok})


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("%{NOSUCH:x}", "NOSUCH"),
        ("plain words", "names no field"),
        ("(?P<a>x)(?P<a>y)", "twice"),
        ("(?P<a>x", "cannot be used"),
        ("(a)(?P<b>b)", "group without a name"),
        (r"(?P<a>.)\1", "RE2"),
        ("(?P<a>(?=x))", "RE2"),
        ("x" * 5000, "4,000"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(pattern, says):
    with pytest.raises(InvalidConfig, match=says):
        compiled(pattern)


def test_a_pattern_made_to_take_forever_does_not():
    pattern = compiled("(?P<a>(?:a+)+)b %{DATA:x} %{DATA:y} %{DATA:z} %{DATA:q}!$")
    assert pattern.of(["a" * 60_000, "ab " + "x " * 30_000]) == [None, None]


def test_importing_twice_and_after_growth(tmp_path, recorder, store):
    lines = [f"2026-02-27 10:00:{n:02d},000 - shop - INFO - number {n}" for n in range(20)]
    lines += [lines[-1]] * 2  # the same words in the same millisecond: three messages
    location = write(tmp_path / "app.log", *lines[:15])
    source = PlainLog()
    assert import_records(recorder, source, f"log:{location}?zone=UTC").stored == 15
    write(tmp_path / "app.log", *lines)
    again = import_records(recorder, PlainLog(), f"log:{location}?zone=UTC")
    assert (again.stored, again.duplicates, again.conflicts, again.rejected) == (7, 15, 0, 0)
    os.rename(location, f"{location}.1")
    write(tmp_path / "app.log", "2026-02-27 11:00:00,000 - shop - INFO - new file")
    rotated = import_records(recorder, PlainLog(), f"{tmp_path}/app.log*?zone=UTC")
    assert (rotated.stored, rotated.duplicates) == (1, 22)


@pytest.mark.parametrize("stop", [1, 9, 10, 19])
def test_reading_goes_on_where_it_stopped(stop, tmp_path):
    lines = [f"2026-02-27 10:00:{n:02d},000 - shop - INFO - number {n}\n  more of {n}" for n in range(20)]
    location = write(tmp_path / "app.log", *lines) + "?zone=UTC"
    whole = read(location)[1]
    source = PlainLog()
    records = source.read(location)
    first = [next(records) for _ in range(stop)]
    assert first + read(location, after=source.cursor)[1] == whole


def test_a_message_that_was_being_written_comes_again_whole(tmp_path):
    lines = ["2026-02-27 10:00:00,000 - shop - ERROR - it failed", "Traceback (most recent call last):"]
    location = write(tmp_path / "app.log", *lines) + "?zone=UTC"
    source = PlainLog()
    (early,) = source.read(location)
    write(tmp_path / "app.log", *lines, "ValueError: no card", "2026-02-27 10:00:01,000 - shop - INFO - on")
    whole, later = read(location, after=source.cursor)[1]
    assert (whole["id"], whole["error"]) == (early["id"], "ValueError: no card")
    assert later["input"] == "on"


def test_times_without_a_zone_are_told_by_the_import(tmp_path, recorder, store):
    location = write(tmp_path / "app.log", "2026-07-27 10:00:01,123 - shop - INFO - hello")
    assert import_records(recorder, PlainLog(), location).rejected == 1
    assert import_records(recorder, PlainLog(), location, timezone="Europe/Berlin").stored == 1
    with pytest.raises(InvalidConfig, match="Mars"):
        read(location + "?zone=Mars/North")


def test_the_source_keeps_its_contract(tmp_path):
    location = write(tmp_path / "app.log", *["2026-02-27 10:00:01,123 - shop - INFO - hello"] * 5)
    check_source(PlainLog(), location, expected=5)


def test_a_log_in_no_known_form_is_a_message_a_line(tmp_path):
    source, records = read(write(tmp_path / "app.log", "one", "  and its second line", "two"))
    assert source.format == "one message a line"
    assert [record["input"] for record in records] == ["one\n  and its second line", "two"]
    assert guessed([]) == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Dec 31 23:59:59", "2025-12-31T23:59:59+00:00"),  # the last one, seen from March
        ("Mar  2 01:00:00", "2026-03-02T01:00:00+00:00"),  # a clock may be a day ahead
        ("Feb 29 01:00:00", "2024-02-29T01:00:00+00:00"),
        ("23:00:00", "2026-02-28T23:00:00+00:00"),
        ("1772193601", "2026-02-27T12:00:01+00:00"),
        ("1772193601500", "2026-02-27T12:00:01.500000+00:00"),
        ("27/Feb/2026:10:00:01 -0330", "2026-02-27T10:00:01-03:30"),
        ("2026-13-01 00:00:00", None),
        ("2026-02-27 25:00:00", None),
        ("yesterday", None),
    ],
)
def test_times(text, moment):
    assert time_of(text, NEAR, UTC) == moment


_shards = st.sampled_from(
    [shape[0][:n] for shape in SHAPES.values() for n in (10, 24, 200)] + ["{", '{"a": 1', "\\", "]"]
)


_readers = Lines([named(name) for name in NAMED])


@settings(max_examples=60)
@given(st.lists(_shards | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)).map("".join))
def test_no_line_stops_the_readers(line):
    for head in _readers.heads([line]):
        if head is not None:
            assert _readers.row(head, [line, line], NEAR)
    time_of(line, NEAR)


SYSTEMS = ("HDFS", "Spark", "Zookeeper", "Apache", "OpenSSH", "HPC", "Android", "BGL")


@pytest.mark.parametrize("system", SYSTEMS)
def test_real_logs_of_eight_systems(system, tmp_path):
    folder = os.environ.get("FLYWHEEL_DATA")
    if not folder:
        pytest.skip("FLYWHEEL_DATA is not set: it names the folder with loghub_2k/loghub_2k.tar.gz")
    with tarfile.open(Path(folder) / "loghub_2k" / "loghub_2k.tar.gz") as packed:
        member = next(one for one in packed.getmembers() if one.name.endswith(f"{system}_2k.log"))
        file = packed.extractfile(member)
        assert file is not None
        (tmp_path / "system.log").write_bytes(file.read())
    _, records = read(f"{tmp_path}/system.log?zone=UTC&year=2017")
    assert len(records) == 2000  # every line is a record of its own
    assert all(record["kind"] == "interaction" for record in records)
    parsed = sum("at" in record and isinstance(record["input"], str) and bool(record["context"]) for record in records)
    assert parsed == 2000
