"""Names and places go through the optional redactor `presidio`, beside all that the built-in rules find."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from flywheel import plugins
from flywheel.errors import InvalidConfig, MissingExtra
from flywheel.testing import check_redactor

needs_presidio = pytest.mark.skipif(
    find_spec("presidio_analyzer") is None,
    reason="the extra `presidio` is not installed: pip install 'dataflywheel[presidio]'",
)


@pytest.mark.skipif(find_spec("presidio_analyzer") is not None, reason="the extra `presidio` is installed")
def test_without_the_extra_it_says_what_to_install():
    with pytest.raises(MissingExtra, match=r"dataflywheel\[presidio\]"):
        plugins.create("redactors", "presidio")


def test_an_entity_it_does_not_know_is_refused():
    with pytest.raises(InvalidConfig, match="PERSON"):
        plugins.create("redactors", "presidio", entities=("PERSONN",))


@needs_presidio
def test_a_pipeline_without_a_model_runs_ones_own_recognizers():
    import spacy
    from presidio_analyzer import Pattern, PatternRecognizer

    names = PatternRecognizer(supported_entity="PERSON", deny_list=["Maria Schneider", "Ana"])
    badge = PatternRecognizer(supported_entity="BADGE", patterns=[Pattern("badge", r"\bB-\d{4}\b", 0.9)])
    redactor = plugins.create("redactors", "presidio", model=spacy.blank("en"), recognizers=[names, badge])
    value = {
        "text": "I am Maria Schneider, badge B-1234, ana@example.org",
        "Ana": ["Ana", 1, None, "ok"],
        "pair": ("x", 2),
    }
    cleaned, counts = redactor.redact(value)
    assert cleaned == {
        "text": "I am [name], badge [badge], [email]",
        "Ana": ["[name]", 1, None, "ok"],
        "pair": ("x", 2),
    }
    assert counts == {"badge": 1, "email": 1, "name": 2}
    assert redactor.redact(cleaned) == (cleaned, {})
    assert redactor.redact({"a": ["ok"]})[0] == {"a": ["ok"]}
    check_redactor(redactor, ["Maria Schneider", "ana@example.org", "B-1234"])


@needs_presidio
@pytest.mark.slow
def test_a_real_model_finds_names_and_places():
    from flywheel.capture.presidio import MODELS

    if not any(find_spec(name) for name in MODELS):
        pytest.skip(f"no spaCy model is installed; any of {', '.join(MODELS)} will do")
    redactor = plugins.create("redactors", "presidio")
    text = "My name is Maria Schneider and I live in Berlin, call me at 030 1234567."
    cleaned, counts = redactor.redact({"text": text})
    assert cleaned == {"text": "My name is [name] and I live in [place], call me at [phone]."}
    assert counts == {"name": 1, "phone": 1, "place": 1}
    assert redactor.redact(cleaned) == (cleaned, {})
    check_redactor(redactor, ["ana@example.org"])
    dated = plugins.create("redactors", "presidio", entities=("DATE_TIME",))
    assert "[date]" in dated.redact("We met on the 3rd of May 2019 in Berlin.")[0]
