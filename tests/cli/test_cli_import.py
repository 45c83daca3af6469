"""`flywheel import` says what it reads, how, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import flywheel


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A flywheel in which nothing is known."""
    with flywheel.open(tmp_path / "fw", task="generation"):
        pass
    return tmp_path / "fw"


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _chat(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}], "thumbs": -1}


def test_the_choice_and_the_mapping_are_shown_before_anything_is_stored(run, answer, empty, tmp_path) -> None:
    file = _write(tmp_path / "chats.jsonl", [_chat("one"), _chat("two")])
    shown = run("import", file, "--dry-run", "-f", empty).output
    assert "Read as openai-chat: its rows hold a list of messages with roles" in shown
    assert "messages before the answer" in shown
    assert "Nothing was stored" in shown
    told = answer("import", file, "--dry-run", "-f", empty)
    assert (told["source"], told["stored"], len(told["sample"])) == ("openai-chat", 0, 2)
    assert told["sample"][0]["rating"] == -1
    done = answer("import", file, "-f", empty)
    assert (done["read"], done["stored"]) == (4, 4)
    assert answer("import", file, "-f", empty)["duplicates"] == 4


def test_the_source_can_be_named_and_told(run, answer, empty, tmp_path) -> None:
    row = {"id": "s", "trace_id": "t", "type": "SPAN", "start_time": "2026-01-01 00:00:00", "input": "a", "output": "b"}
    file = _write(tmp_path / "o.jsonl", [row])
    shown = run("import", file, "-f", empty, code=1).output
    assert "1 rows are no interaction and no feedback" in shown
    assert answer("import", file, "--map", "spans=roots", "-f", empty)["stored"] == 1
    named = answer("import", file, "--source", "jsonl", "--dry-run", "-f", empty)
    assert (named["source"], named["why"], named["mapping"]["input"]) == ("jsonl", "it was named", "input")


def test_time_options(answer, run, empty, tmp_path) -> None:
    rows = [{"input": "old", "at": "2025-01-01 00:00:00"}, {"input": "new", "at": "2026-06-01 00:00:00"}]
    file = _write(tmp_path / "log.jsonl", rows)
    zone = ("--timezone", "Europe/Berlin")
    done = answer("import", file, *zone, "--since", "2026-01-01T00:00:00Z", "-f", empty)
    assert (done["stored"], done["older"]) == (1, 1)
    assert answer("import", file, *zone, "--since", "last", "-f", empty)["resumed"] == 2
    assert answer("import", file, *zone, "--no-resume", "-f", empty)["stored"] == 1
    assert "not a time" in run("import", file, "--since", "yesterday", "-f", empty, code=1).output
