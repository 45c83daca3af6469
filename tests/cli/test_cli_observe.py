"""`flywheel observe` and `flywheel slices`: what hurts comes first, and a quiet week is called quiet."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

import flywheel
from flywheel.cli.app import app

pytestmark = pytest.mark.slow
START = datetime(2026, 6, 1, tzinfo=UTC)


def logged(folder, worse):
    """Four weeks; in the last one ios on 3g fails far oftener where `worse`."""
    rng = random.Random(5)
    with flywheel.open(folder, task="classification") as fw:
        for n in range(3000):
            device, network = rng.choice(["ios", "android"]), rng.choice(["3g", "wifi"])
            at = START + timedelta(minutes=n * 13)
            bad = rng.random() < (0.7 if worse and n > 2250 and (device, network) == ("ios", "3g") else 0.05)
            i = fw.log(
                input=f"where is my {rng.choice(['card', 'loan', 'pin'])} {n % 50}",
                output="answer",
                confidence=0.9,
                at=at,
                user=f"u{n % 200}",
                context={"device": device, "network": network},
            )
            if bad:
                fw.feedback(i, rating=-1, at=at)


@pytest.fixture(scope="module")
def worse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worse")
    logged(folder, worse=True)
    return folder


def run(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_hurts_comes_first_and_says_so(worse):
    shown = run("observe", "--folder", worse, "--part", "levels")
    assert "1 finding that hurt" in shown
    assert "a rise that hurts" in " ".join(shown.split())


@pytest.mark.slow
def test_a_quiet_week_is_called_quiet(tmp_path):
    logged(tmp_path, worse=False)
    assert "Nothing that hurts" in run("observe", "--folder", tmp_path, "--part", "levels")


def test_findings_as_json_are_observations(worse):
    found = json.loads(run("observe", "--folder", worse, "--part", "levels", "--json"))
    assert found[0]["alarm"] is True
    assert {"kind", "line", "effect", "interval", "n", "query", "evidence"} <= set(found[0])


@pytest.mark.slow
def test_the_slice_that_fails_is_named(worse):
    (first, *_) = json.loads(run("slices", "--folder", worse, "--json"))
    assert {tuple(pair) for pair in first["where"]["conditions"]} == {("device", "ios"), ("network", "3g")}
    assert first["interval"]["low"] > 0
    assert "ios" in run("slices", "--folder", worse)


def test_the_page_stands_alone(worse, tmp_path):
    page = tmp_path / "findings.html"
    run("observe", "--folder", worse, "--part", "levels", "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "What hurts" in text
    assert "<script" not in text


def test_a_misspelt_part_is_named(worse):
    done = CliRunner().invoke(app, ["observe", "--folder", str(worse), "--part", "slice"])
    assert done.exit_code == 1
    assert "slices" in done.stderr


def test_a_time_that_is_none_is_refused(worse):
    done = CliRunner().invoke(app, ["observe", "--folder", str(worse), "--since", "last week"])
    assert done.exit_code == 1
    assert "7d" in done.stderr
