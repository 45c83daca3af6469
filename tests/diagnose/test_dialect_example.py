"""The story of the dialect example holds: whom it concerns is named, their labels are asked for, and one spin helps."""

import importlib.util
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "examples" / "dialect" / "dialect.py"


def story():
    spec = importlib.util.spec_from_file_location("dialect_story", HERE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sentences_are_read_with_their_intents():
    conll = "# id = 1\n# text-en = x\n# text = Du mer au\n# intent = a/b\n1\tDu\ta/b\tO\n\n# text = Ja\n# intent = c\n"
    assert story().sentences(conll) == [("Du mer au", "a/b"), ("Ja", "c")]
    assert story().sentences("") == []


def test_intervals_hold_the_mean():
    import numpy as np

    low, high = story().interval(np.array([1.0] * 30 + [0.0] * 70), np.random.default_rng(0))
    assert 0.2 < low < 0.3 < high < 0.4


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("FLYWHEEL_DATA", "/nowhere")) / "xsid").exists(), reason="FLYWHEEL_DATA holds no xsid"
)
def test_the_story_runs_to_its_end(tmp_path, capsys):
    figures = story().main(["--folder", str(tmp_path), "--budget", "80"])
    told = capsys.readouterr().out
    assert "locale=de-CH" in told
    assert "It asks for 80 labels" in told
    assert "promote" in told
    assert figures["after"] > figures["before"] + 0.03
    assert figures["low"] > 0
    assert figures["german_after"] > figures["german_before"] - 0.03
