"""`flywheel audit`: one page on the screen, one document as JSON, one file as HTML, and no folder anywhere."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
HOSTILE = "[red]boo[/red] \x1b[31mescape\x1b]0;title\x07 \x9b2J \u202etxt.exe [link=file:///etc/passwd]x[/link] :boom:"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    lines = [
        {
            "request_id": f"r{n}",
            "timestamp": f"2026-03-{1 + n // 24:02}T{n % 24:02}:00:00Z",
            "question": f"where is my card {n}",
            "answer": "card_arrival" if n % 3 else "lost_card",
            "device": ("ios", "android")[n % 2],
        }
        for n in range(120)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{broken\n", encoding="utf-8")
    return path


def test_the_page_says_what_is_there_and_what_to_do(run: Run, log: Path) -> None:
    said = run("audit", log).stdout
    assert "120 interactions" in said
    assert "1 unreadable" in said
    assert "What to fix first" in said
    assert "Nothing ever comes back about an answer" in said
    assert "requirements met" in said
    assert "lost_card" in said
    assert len(said.splitlines()) < 75


def test_the_page_fits_a_narrow_terminal(run: Run, log: Path) -> None:
    assert all(len(line) <= 80 for line in run("audit", log, columns=80).stdout.splitlines())


def test_it_leaves_nothing_behind(run: Run, log: Path) -> None:
    run("audit", log)
    assert sorted(path.name for path in log.parent.iterdir()) == [log.name]


def test_json_holds_everything(answer: Callable[..., Any], log: Path) -> None:
    found = answer("audit", log)
    assert (found["records"], found["interactions"], found["unreadable"]) == (121, 120, 1)
    assert found["mapping"]["input"] == "question"
    assert [stage["name"] for stage in found["stages"]] == [
        "observe", "diagnose", "label", "train", "replay", "gate", "measure",
    ]  # fmt: skip
    assert found["findings"][0]["do"]


def test_a_mapping_and_a_source_are_taken_like_an_import_takes_them(answer: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c"])
        writer.writerows([f"text {n}", n % 2, "x"] for n in range(30))
    found = answer("audit", path, "--source", "csv", "--map", "input=a", "--map", "label=b")
    assert found["mapping"] == {"input": "a", "label": "b", "context.c": "c"}
    assert found["feedback_found"]["kinds"] == {"label": 30}


def test_the_report_is_written_whole_or_not_at_all(run: Run, log: Path, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    assert str(page) in run("audit", log, "--html", page, columns=400).stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "there is no folder" in run("audit", log, "--html", tmp_path / "no" / "a.html", code=1).stderr
    assert "is a folder" in run("audit", log, "--html", tmp_path, code=1).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.html", "calls.jsonl"]


def test_samples_and_expected_slices(answer: Callable[..., Any], run: Run, log: Path) -> None:
    found = answer("audit", log, "--sample", 50, "--expect", "device=ios,tv")
    assert (found["profiled"], found["sampled"]) == (50, True)
    assert found["slices"]["expected_missing"] == ["device=tv"]
    assert "is not of the form" in run("audit", log, "--expect", "device", code=1).stderr
    assert run("audit", log, "--sample", 0, code=2)


def test_a_file_that_is_no_log_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("dear diary\n", encoding="utf-8")
    assert "Nothing here could be read as a log" in run("audit", path, code=1).stdout
    assert "there is no file" in run("audit", tmp_path / "absent.jsonl", code=1).stderr


def test_logged_text_is_no_instruction_to_the_terminal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "hostile.jsonl"
    line = {"input": HOSTILE, "output": HOSTILE, "error": HOSTILE, "context": {HOSTILE: "x", "device": HOSTILE}}
    path.write_text("".join(json.dumps({**line, "id": f"i{n}"}) + "\n" for n in range(30)), encoding="utf-8")
    said = run("audit", path)
    for text in (said.stdout, said.stderr):
        assert "\x1b[31m" not in text
        assert "\x9b" not in text
        assert "\u202e" not in text


def test_it_starts_without_the_store_and_the_engine(log: Path) -> None:
    code = f"import flywheel, sys; flywheel.audit({str(log)!r}); sys.stderr.write(' '.join(sys.modules))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSTARTUP"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = set(done.stderr.split())
    assert "flywheel.auditing" in loaded
    assert not loaded & {"flywheel.wheel", "flywheel.store", "sqlalchemy", "pyarrow", "ibis", "numpy", "duckdb"}
