"""Times, ids, versions, amounts, vectors and code are not personal data, and clean payloads are not even copied."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.redact import Patterns

PATTERNS = Patterns()

ORDINARY = [
    "2026-01-31 12:00:00.123456",
    "2026-01-31T12:00:00.123456789Z",
    "31.12.2026 14:00, 12/31/2026 and 2026/01/31 2026/02/01",
    "550e8400-4466-5544-0000-123456789012",
    "see 01234567-8901-4234-8567-890123456789 for more",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bd822cd15d6c15b0f00a0",
    "ISBN 978-3-16-148410-0",
    "1995-2005, 1 234 567, 12.345.678",
    "1,234,567.89 and 1.234.567,89",
    "0.123456 0.654321 12.3456789",
    "52.5200 13.4050",
    "[0.12, -3.4567891, 1e-07, 12345678.9]",
    "0 1 1 0 4 5 3 9 1 4 8 8 0 3 4 3 6 4 6 7",
    "302-1234567-1234567",
    "version 1.2.3.4 of v1.2.3.4",
    "python 3.11.7, torch 2.13.0+cpu",
    "for i in range(10): x[i] = a::b if c else d::e",
    "std::vector<a::b> x; key: value; a=b; f(x=1, token=tok)",
    "12:30:45:123 and 00:1B:44:11:3A:B7",
    "tracking 1Z999AA10123456784, order 12345678, invoice 2026-000123",
    "session=1767225600000",
    "arXiv:2301.12345 doi 10.1000/182",
    "+5 points, +1234567 views, -20 %",
    "call() takes 2 arguments, 1234567 given",
    "SELECT * FROM t WHERE id = 1234567 AND n > 10000000",
    "The population is 8 336 817 and grew by 1 500 000 people",
    "03-17 16:14:00.349  1702  1702 D PowerManagerService: ready=true",
    'GET /presentations/kibana.png HTTP/1.1" 200 203023 "-"',
    "AppleWebKit/537.31 (KHTML, like Gecko) Chrome/26.0.1410.58 Mobile Safari/537.31",
    "081109 203615 148 INFO dfs.DataNode: block blk_-1608999687919862906 and blk_4170936278386288557",
    "Connecting to driver: spark://CoarseGrainedScheduler@mesos:48069",
    "Bad activity token: android.os.BinderProxy@2bd79ce",
    "27\t0.042105263\t0.85736\t[0, 0, 1, 0]",
    "HTTP/1.1 200 5316 0.002 Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_and_is_the_same_object(text):
    cleaned, counts = PATTERNS.redact(text)
    assert cleaned is text
    assert counts == {}


def test_nothing_found_is_nothing_copied():
    value = {
        "input": [{"role": "user", "content": "What is the weather in Paris?"}, {"n": 1, "f": 0.5, "no": None}],
        "context": {"device": "ios", "app": "4.12.0", "at": "2026-01-31T12:00:00+00:00", "yes": True},
        "vector": [0.1, 0.2, -3.0],
        "pair": ("a", 2),
        "session": str(uuid.UUID(int=12345678901234567890)),
    }
    cleaned, counts = PATTERNS.redact(value)
    assert cleaned is value
    assert counts == {}


def test_only_what_changed_is_copied():
    inner = {"keep": ["a", 1]}
    value = {"a": inner, "b": "ana@example.org", "pair": ("x", "10.0.0.1")}
    cleaned, _ = PATTERNS.redact(value)
    assert value["b"] == "ana@example.org"
    assert cleaned == {"a": inner, "b": "[email]", "pair": ("x", "[ip]")}
    assert list(cleaned) == list(value)


def test_machine_made_ids_and_times_stay():
    draw = random.Random(5)
    for _ in range(3000):
        made = uuid.UUID(int=draw.getrandbits(128), version=4)
        digits = "".join(draw.choice("0123456789") for _ in range(12))
        for text in (str(made), f"id {made} done", f"{str(made)[:24]}{digits}", made.hex, f"{made.hex[:16]}"):
            if not text.isdigit():
                assert PATTERNS.redact(text) == (text, {}), text
        moment = f"20{draw.randrange(10, 40)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
        for text in (f"{moment} {draw.randrange(24):02}:{draw.randrange(60):02}", f"from {moment} to {moment}", moment):
            assert PATTERNS.redact(text) == (text, {}), text


_words = st.text(alphabet="abcdefghijklmnopqrstuvwxyzäéßж ,.!?'\n", max_size=80)


_plain = st.recursive(
    _words | st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4),
)


@pytest.mark.slow
@given(_plain)
@settings(max_examples=150)
def test_words_and_small_numbers_are_never_touched(value):
    def said(of: object) -> bool:  # a key of a secret is one even among random words
        if isinstance(of, dict):
            return any(PATTERNS.meaning(key) for key in of) or any(said(item) for item in of.values())
        return isinstance(of, list) and any(said(item) for item in of)

    if not said(value):
        cleaned, counts = PATTERNS.redact(value)
        assert cleaned is value
        assert counts == {}
