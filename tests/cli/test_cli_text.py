"""What is shown is only ever text."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.cli.text import ago, bar, clean, json_text, percent, picture, short, spark

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def controls(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]


@given(st.text(alphabet=st.characters(codec=None)) | st.text(alphabet="\x00\x07\x1b\x7f\x9b\u202e\ud800ab[]"))
def test_clean_text_holds_no_control_character(text: str) -> None:
    assert not controls(clean(text))
    assert not any(mark in clean(text) for mark in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    assert clean(clean(text)) == clean(text)


def test_harmless_text_stays_as_it_is() -> None:
    assert clean("Grüße, 你好 [b]not markup[/b] 🙂 :smile:") == "Grüße, 你好 [b]not markup[/b] 🙂 :smile:"


@given(anything, st.integers(8, 80))
def test_short_values_fit_on_one_line(value: object, width: int) -> None:
    text = short(value, width)
    assert len(text) <= width
    assert "\n" not in text
    assert not controls(text)


@given(anything)
def test_json_is_ascii_and_comes_back(value: object) -> None:
    text = json_text(value)
    assert all(c == "\n" or " " <= c <= "~" for c in text)
    assert json_text(json.loads(text)) == text


@pytest.mark.parametrize(("share", "full"), [(-1.0, 0), (0.0, 0), (0.5, 6), (1.0, 12), (7.0, 12)])
def test_bars_never_leave_their_width(share: float, full: int) -> None:
    assert bar(share).count("█") == full
    assert len(bar(share)) == 12


def test_sparks_survive_gaps_and_flat_lines() -> None:
    assert spark([]) == ""
    assert spark([None, float("nan")]) == ""
    assert spark([3.0, 3.0]) == "▁▁"
    assert spark([0.0, None, 1.0]) == "▁ █"


def test_pictures_are_only_drawn_of_pictures() -> None:
    drawn = picture([0.0] * 32 + [16.0] * 32)
    assert drawn is not None
    assert drawn.splitlines()[0] == ""
    assert drawn.splitlines()[7] == "█" * 16
    assert picture([1.0, 2.0, 3.0]) is None
    assert picture("a text") is None
    assert picture([["a"] * 4] * 4) is None
    assert picture([[1] * 4, [1] * 3, [1] * 4, [1] * 4]) is None


def test_times_and_shares_read_naturally() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert ago(now - timedelta(seconds=5), now) == "just now"
    assert ago(now - timedelta(minutes=1), now) == "1 minute ago"
    assert ago(None) == "–"
    assert percent(float("nan")) == "–"
    assert percent(0.5, 0) == "50 %"
