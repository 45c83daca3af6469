"""Logged text never gives orders to the terminal, and never becomes markup."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

import flywheel
from hostile import FAMILIES

NAUGHTY = "[red]boo[/red] \x1b[31mescape\x1b]0;title\x07 \x9b2J \u202etxt.exe [link=file:///etc/passwd]x[/link] :boom:"


@pytest.fixture
def hostile(run, answer, product: Path) -> Path:
    """A product whose every text is an attack: input, output, context, model, error, label, name, comment."""
    arguments = ["-o", NAUGHTY, "-c", f"device={NAUGHTY}", "--model", "[red]m[/red]", "--error", NAUGHTY, "-f", product]
    (made,) = answer("log", NAUGHTY, "--confidence", "0.01", *arguments)["ids"]
    answer("feedback", made, "--rating", "-1", "--comment", NAUGHTY, "--report", NAUGHTY, "-f", product)
    for item in answer("label", "-f", product)[:2]:
        answer("label", item["id"], NAUGHTY, "--by", NAUGHTY, "-f", product)
    return product


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["status"], ["failures", "-n", "60"], ["modes"], ["label"], ["spins"], ["datasets"], ["releases"], ["doctor"]],
    ids=lambda command: command[0],
)
def test_nothing_on_the_screen_is_an_order(run, hostile: Path, command: list[str]) -> None:
    for columns in (60, 200, 2000):
        shown = run(*command, "-f", hostile, columns=columns).stdout
        assert not set(shown) & set("\x1b\x07\x9b\x7f\x08\u202e"), command


@pytest.mark.slow
def test_markup_and_emoji_codes_stay_as_they_were_written(run, hostile: Path) -> None:
    shown = run("failures", "-n", "60", "-f", hostile, columns=2000).stdout
    assert "[red]boo[/red]" in shown
    assert "[link=file:///etc/passwd]x[/link]" in shown
    assert ":boom:" in shown
    assert "␛[31mescape" in shown


def test_hostile_text_comes_through_json_unchanged_and_harmless(run, hostile: Path) -> None:
    text = run("failures", "-n", "100", "--json", "-f", hostile).stdout
    assert not set(text) & set("\x1b\x07\x9b\u202e")
    assert NAUGHTY in [failure["input"] for failure in json.loads(text)]


def test_errors_are_harmless_too(run, hostile: Path) -> None:
    refused = run("modes", NAUGHTY, "-f", hostile, code=1)
    assert "[red]boo[/red]" in refused.stderr.replace("\n", " ")
    assert not set(refused.stderr) & set("\x07\x9b\u202e")


def test_a_defect_is_owned_up_to_without_obeying_what_is_in_it(run, answer, made: Path, monkeypatch) -> None:
    from flywheel.wheel import Flywheel

    def broken(self: Flywheel) -> None:
        raise ValueError(f"unforeseen {NAUGHTY}")

    monkeypatch.setattr(Flywheel, "status", broken)
    refused = run("status", "-f", made, code=70)
    assert "defect" in refused.stderr
    assert "[red]boo[/red]" in refused.stderr.replace("\n", " ")
    assert not set(refused.stderr) & set("\x1b\x07\x9b\u202e")
    assert answer("status", "-f", made, code=70)["error"]["type"] == "Defect"


@pytest.mark.slow
def test_a_mode_a_why_and_a_slice_may_be_called_anything(run, product: Path) -> None:
    with flywheel.open(product) as fw:
        first = fw.modes()[0]
    for family, texts in FAMILIES.items():
        words = " ".join(texts)[:3000]
        with flywheel.open(product) as fw:
            fw._store.state.save_modes([replace(first, name=words, whys=(words,))])
            fw.answer_why(first.id, 1, words[:1500], by="ana")
        for command in (["modes"], ["modes", first.id], ["why", first.id], ["slices", f"device={words[:300]}"]):
            shown = run(*command, "-f", product).stdout
            orders = {letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cs")} - {"\n"}
            orders |= set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u2029")
            assert not orders, (family, command)
