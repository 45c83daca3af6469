"""`flywheel fixes` on a real product: the history, one mode's story, and the wish for the next spin."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def tell(product, run):
    """Run a command on the product."""
    return lambda *arguments, **options: run(*arguments, "--folder", product, **options)


def test_fixes_tell_the_history_and_one_mode(tell):
    told = json.loads(tell("fixes", "--json").stdout)
    assert [one["spin"] for one in told["spins"]] == [1, 2]
    assert set(told["time_to_fix"]) >= {"median", "low", "high", "n", "unfixed"}
    modes = json.loads(tell("modes", "--json").stdout)
    assert modes, "the product of these tests has no failure mode any more"
    key = modes[0]["id"]
    story = json.loads(tell("fixes", key, "--json").stdout)
    assert story["mode"]["id"] == key
    assert story["days"]
    shown = tell("fixes", key).stdout
    assert "By day" in shown
    assert "\x1b]" not in shown


def test_the_next_fix_is_asked_for_and_taken_back(tell):
    key = json.loads(tell("modes", "--json").stdout)[0]["id"]
    tell("fixes", key, "--next", "--by", "ana")
    assert json.loads(tell("status", "--json").stdout)["standing"]["next"]["mode"] == key
    assert "asks about" in tell("fixes").stdout
    tell("fixes", "--undo")
    assert json.loads(tell("status", "--json").stdout)["standing"]["next"] is None


@pytest.mark.parametrize("arguments", [("fixes", "--next"), ("fixes", "m-none")])
def test_what_cannot_be_is_said(tell, arguments):
    assert tell(*arguments, code=1).exit_code == 1
