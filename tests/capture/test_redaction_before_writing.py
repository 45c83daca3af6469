"""Personal data and secrets never reach the disk; what only looks like them is left alone."""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorder_fixtures import recorder, store  # noqa: F401

from flywheel.capture import import_records
from flywheel.capture.redact import Nothing, Patterns
from flywheel.capture.sources import Csv, JsonLines
from flywheel.errors import InvalidRecord

AWS = "AKIA" + "IOSFODNN7EXAMPLE"  # written apart: this file holds no secret
GITHUB = "ghp_" + "a1B2" * 9
OPENAI = "sk-proj-" + "Zz09" * 8
SLACK = "xoxb-" + "123456789012-abcdef"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\ndef\n-----END RSA PRIVATE KEY-----"

FOUND = [
    ("mail ana.b+c@mail.example.org now", "mail [email] now", "email"),
    ("jürgen@bücher.de", "[email]", "email"),
    ("card 4111 1111 1111 1111 ok", "card [card] ok", "card"),
    ("5500-0055-5555-5559", "[card]", "card"),
    ("amex 371449635398431.", "amex [card].", "card"),
    ("from 192.168.0.17:8080", "from [ip]:8080", "ip"),
    ("at 2001:db8::ff00:42:8329 today", "at [ip] today", "ip"),
    ("::ffff:10.0.0.1", "[ip]", "ip"),
    ("call +49 (30) 1234-5678 now", "call [phone] now", "phone"),
    ("call 0044 20 7946 0958", "call [phone]", "phone"),
    (f"key {AWS}", "key [secret]", "secret"),
    (f"token: {GITHUB}", "token: [secret]", "secret"),
    (f"use {OPENAI}!", "use [secret]!", "secret"),
    (f"{SLACK}", "[secret]", "secret"),
    (f"Authorization: Bearer {JWT}", "Authorization: Bearer [secret]", "secret"),
    (f"x {PEM} y", "x [secret] y", "secret"),
    ("password=hunter22", "password=[secret]", "secret"),
    ("postgres://ana:s3cret@db/x", "postgres://[url login]@db/x", "url login"),
    (4111111111111111, "[card]", "card"),
]

LEFT_ALONE = [
    "4111 1111 1111 1112",  # the check digit is wrong
    "1234567890123",
    "version 1.2.3.4.5 of 2026",
    "999.999.1.1",
    "at 12:30:45 and 7:15",
    "std::vector and a::b",
    "order 0012",
    "2026-01-31T12:00:00+00:00",
    "0.12345678901234567",
    "it costs +5 %",
    "meet @ana at 5",
    "the password is wrong",
    "019a20b9-0ef5-477c-8656-009c5cd8a50d",
    1_767_225_600_000,
    -4111111111111111,
    3.14,
    True,
    None,
]


@pytest.mark.parametrize(("given_", "expected", "kind"), FOUND, ids=[str(n) for n in range(len(FOUND))])
def test_found(given_, expected, kind):
    assert Patterns().redact(given_) == (expected, {kind: 1})


@pytest.mark.parametrize("value", LEFT_ALONE, ids=str)
def test_left_alone(value):
    assert Patterns().redact(value) == (value, {})


def test_searched_everywhere_and_counted_by_kind():
    value = {"a": ["x@y.org", {"b": "x@y.org and 10.0.0.1"}], "api_key": "plain words", "x@y.org": 1, "z@y.org": 2}
    cleaned, counts = Patterns().redact(value)
    assert cleaned == {
        "a": ["[email]", {"b": "[email] and [ip]"}],
        "api_key": "[secret]",
        "[email]": 1,
        "[email] 2": 2,
    }
    assert counts == {"email": 4, "ip": 1, "secret": 1}


def test_none_leaves_everything():
    assert Nothing().redact({"a": "x@y.org"}) == ({"a": "x@y.org"}, {})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
def test_redacting_twice_is_redacting_once(value):
    once, _ = Patterns().redact(value)
    assert Patterns().redact(once) == (once, {}) or "[secret]" in json.dumps(once)


@given(st.text(alphabet="abc @.:/+-0123456789", max_size=60), st.integers(0, 60))
def test_an_address_is_found_in_any_text(text, place):
    hidden = f"{text[:place]} canary@secret.example {text[place:]}"
    assert "canary@secret.example" not in str(Patterns().redact(hidden)[0])


def test_long_text_is_searched_in_linear_time():
    for part in ("a@", "1 ", "::", "+1", "x.", "a.b@c.", "0-", "://a:", "AKIA", "eyJ"):
        Patterns().redact(part * 20_000)


CANARY = "canary.7f3a@secret.example"


def test_a_canary_never_reaches_the_disk(recorder, store, tmp_path):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    key = recorder.log(
        input={"text": CANARY, CANARY: [CANARY]},
        output=CANARY,
        id=CANARY,
        scores={CANARY: 0.5},
        error=f"failed for {CANARY}",
        model=CANARY,
        user=CANARY,
        session=CANARY,
        context={"mail": CANARY, CANARY: 1},
        mood=CANARY,
        **{CANARY: CANARY},
        at=at,
    )
    recorder.feedback(
        CANARY,
        label=CANARY,
        comment=CANARY,
        outcome={CANARY: CANARY},
        report=CANARY,
        by=CANARY,
        id=CANARY,
        at=at,
    )
    with pytest.raises(InvalidRecord):
        recorder.log(input=CANARY, confidence=CANARY)
    recorder.watch(lambda text: {1: text})(CANARY)  # an output that is no JSON: a dead letter
    rows = [{"input": CANARY, "confidence": CANARY}, {"input": CANARY, "user": 3.5, "note": CANARY}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + CANARY + "\n")
    with (tmp_path / "in.csv").open("w") as file:
        csv.writer(file).writerows([["input", "confidence"], [CANARY, CANARY], [CANARY, "0.5"]])
    import_records(recorder, JsonLines(), str(tmp_path / "in.jsonl"))
    import_records(recorder, Csv(), str(tmp_path / "in.csv"))
    store.tables.sync(store.log)

    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert b"canary.7f3a" not in path.read_bytes(), path
    assert store.log.counts()["dead_letters"] == 5
    assert store.log.counts()["interactions"] == 2
    seen = store.log.interactions([key])[key]
    assert seen.extra["redacted"]["email"] > 5
    assert [fact.kind for fact in store.log.feedback_of([key])] == ["label", "comment", "report", "outcome"]
    assert recorder.redacted["email"] > 10


def test_a_redactor_that_fails_lets_nothing_through(store):
    from flywheel.capture import Recorder

    class Broken:
        name = "broken"

        def redact(self, value):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Recorder(store.log, redactor=Broken(), pseudonym_key=None, max_record_bytes=1000).log(input="x")
    assert store.log.last() == 0
