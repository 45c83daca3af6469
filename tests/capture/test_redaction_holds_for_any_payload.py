"""Whatever the payload: a planted entity goes, twice is once, JSON stays JSON, and time stays linear."""

from __future__ import annotations

import json
import re
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.redact import Patterns

PATTERNS = Patterns()
CANARIES = {
    "ana.maria@example.org": "email",
    "4111111111111111": "card",
    "5500-0055-5555-5559": "card",
    "GB59IFUE40226315499137": "iban",
    "+49 30 1234567": "phone",
    "123-45-6789": "national id",
    "RSSMRA85T10A562S": "national id",
    "192.168.17.34": "ip",
    "2001:db8::ff00:42:8329": "ip",
    "ghp_" + "a1B2" * 9: "secret",
    "AKIA" + "IOSFODNN7EXAMPLE": "secret",
    "sk-proj-" + "Zz09" * 8: "secret",
}
_any_text = st.text(alphabet=st.sampled_from("ab Z.,:;@/+-_=%?&#()[]{}\"'\\\n\0éж0123456789"), max_size=50)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_any_text, inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@given(_json)
@settings(max_examples=300)
def test_redacting_twice_is_redacting_once(value):
    once, _ = PATTERNS.redact(value)
    assert PATTERNS.redact(once) == (once, {})
    assert json.loads(json.dumps(once)) == once


@pytest.mark.slow
@given(st.sampled_from(sorted(CANARIES)), st.text(alphabet="ab ,;\n\0éж!", max_size=40), _any_text, st.booleans())
@settings(max_examples=300)
def test_a_planted_entity_goes_from_wherever_it_stands(canary, before, other, as_key):
    text = f"{before} {canary} {before}"
    payload = {"a": [other, {"b": text}], "c": (other, text), text if as_key else "d": 1}
    cleaned, counts = PATTERNS.redact(payload)
    assert canary not in json.dumps(cleaned, ensure_ascii=False)
    assert counts[CANARIES[canary]] >= 1
    assert all(isinstance(kind, str) and isinstance(n, int) for kind, n in counts.items())
    assert canary not in repr(counts)


@given(st.lists(st.sampled_from(sorted(CANARIES)), min_size=2, max_size=5), st.sampled_from([" ", "; ", "\n", " and "]))
def test_several_in_one_text_all_go(canaries, between):
    cleaned, counts = PATTERNS.redact(between.join(canaries))
    assert not [canary for canary in canaries if canary in cleaned]
    assert sum(counts.values()) == len(canaries)


@given(st.text(alphabet="0123456789 -./()+", max_size=60))
@settings(max_examples=400)
def test_rows_of_digits_are_stable(text):
    once, _ = PATTERNS.redact(text)
    assert PATTERNS.redact(once) == (once, {})


def test_texts_of_a_record_do_not_run_into_each_other():
    value = [
        "-----BEGIN PRIVATE KEY-----",
        "plain",
        'password="x',
        "open end",
        "https://",
        "user:word@host",
        "call",
        "1234567",
    ]
    cleaned, _ = PATTERNS.redact(value)
    assert cleaned[1::2] == ["plain", "open end", "user:word@host", "1234567"]
    assert cleaned[0] == "[secret]"


ADVERSARIAL = (
    *("a@", "@a.", "a.b@c.", "1 ", "1-", "12 ", "4111 ", "0-", "1.1.", "::", "a:", "1:", "://", "://a:", "://a@"),
    *("eyJ", "eyJ-", "eyJa.", "sk-a-", "sk-", "ghp_", "-----BEGIN PRIVATE KEY-----", "token=", "password:'", 'key="a'),
    *("bearer ", "GB12", "AB12 ", "+1", "(", "+1 (", "x1", "%40", "a%40b.", "[phone] ", "phone 123 ", "SG.", "1:a"),
    *("٤", "é1 ", "passport ", "01 84 17 61 18, ", "call 1234567 "),
)


@pytest.mark.parametrize("part", ADVERSARIAL)
def test_adversarial_text_is_done_with(part):
    # A rule that were quadratic would take minutes here, and the run would be stopped.
    PATTERNS.redact(part * (100_000 // len(part)))


@pytest.mark.slow
@pytest.mark.parametrize("part", ADVERSARIAL)
def test_adversarial_text_of_a_megabyte_is_done_with(part):
    PATTERNS.redact(part * (1_000_000 // len(part)))


def test_no_expression_repeats_a_repetition():
    """The classic of catastrophic backtracking, `(a+)+` without a bound, in any of the rules."""
    from flywheel.capture.redaction import credentials, ids, network, numbers, shapes, text, words

    seen = 0
    for module in (credentials, ids, network, numbers, shapes, text, words):
        for rule in vars(module).values():
            if isinstance(rule, re.Pattern):
                seen += 1
                free = re.sub(r"\(\?>\(\?:.*?\)\*\)", "", rule.pattern)  # an atomic group never goes back
                assert not re.search(r"[+*]\)(?:[+*]|\{\d+,\})(?!\+)", free), rule.pattern
    assert seen > 15


def test_threads_share_one_redactor():
    payload = {"text": "ana@example.org, 4111 1111 1111 1111, 030 1234567", "session": "x"}
    expected = PATTERNS.redact(payload)
    wrong: list[object] = []

    def work() -> None:
        for turn in range(200):
            if PATTERNS.redact({**payload, f"key{turn % 50}": turn})[1] != expected[1]:
                wrong.append(turn)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_keys_remembered_are_bounded():
    redactor = Patterns()
    for turn in range(20_000):
        redactor.redact({f"key {turn}": 1})
    assert len(redactor.keys) <= 8192
    assert redactor.redact({"key 19999": "ana@example.org"}) == ({"key 19999": "[email]"}, {"email": 1})
