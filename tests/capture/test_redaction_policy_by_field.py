"""The operator's word on single fields comes before any rule; a policy that cannot be meant is refused."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.capture.policy import Policy
from flywheel.capture.redact import Patterns
from flywheel.config import PrivacySettings
from flywheel.errors import InvalidConfig

KEY = bytes(range(32))
RECORD = {
    "input": [{"role": "user", "content": "I am ana@example.org"}, {"role": "assistant", "content": "Hi"}],
    "output": {"text": "call 030 1234567", "order": "4111111111111111"},
    "scores": {"yes": 0.9},
    "error": None,
    "context": {"ip": "10.0.0.1", "ip_class": "b", "os": "ios", "gen_ai.system": "x@y.org"},
    "extra": {"raw": {"a": 1}, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
    "session": "s-1",
    "user": "ana",
}


def test_no_policy_costs_nothing():
    policy = Policy.from_config(PrivacySettings(), KEY)
    assert not policy.active
    assert policy.apply(RECORD) == (RECORD, {})
    assert policy.apply(RECORD)[0] is RECORD


def test_each_action_and_its_count():
    policy = Policy(
        redact=["input.content", "output.text"],
        hash=["user", "context.os", "extra.raw"],
        drop=["context.ip*", "session"],
        key=KEY,
    )
    done, counts = policy.apply(RECORD)
    assert [message["content"] for message in done["input"]] == ["[redacted]", "[redacted]"]
    assert [message["role"] for message in done["input"]] == ["user", "assistant"]
    assert done["output"] == {"text": "[redacted]", "order": "4111111111111111"}
    assert set(done["context"]) == {"os", "gen_ai.system"}
    assert done["session"] is None
    for value in (done["user"], done["context"]["os"], done["extra"]["raw"]):
        assert re.fullmatch(r"h_[0-9a-f]{32}", value)
    assert counts == {"redacted": 3, "hashed": 3, "dropped": 3}
    assert RECORD["session"] == "s-1"
    assert RECORD["context"]["ip"] == "10.0.0.1"


def test_a_digest_is_the_same_for_the_same_value_and_key_only():
    def digest(value: object, key: bytes) -> object:
        return Policy(hash=["user"], key=key).apply({"user": value})[0]["user"]

    assert digest("ana", KEY) == digest("ana", KEY)
    assert digest("ana", KEY) != digest("bob", KEY)
    assert digest("ana", KEY) != digest("ana", bytes(32))
    assert digest({"a": 1, "b": 2}, KEY) == digest({"b": 2, "a": 1}, KEY)


def test_a_dropped_field_is_null_and_mappings_stay_mappings():
    done, counts = Policy(drop=["input", "context", "scores", "extra.raw"]).apply(RECORD)
    assert done["input"] is None
    assert done["context"] == {}
    assert done["scores"] == {}
    assert done["extra"] == {"trace_id": RECORD["extra"]["trace_id"]}
    assert counts == {"dropped": 4}
    done, counts = Policy(redact=["context"]).apply(RECORD)
    assert done["context"] == dict.fromkeys(RECORD["context"], "[redacted]")
    assert counts == {"redacted": 4}


def test_the_longest_path_counts():
    policy = Policy(redact=["context.*"], keep=["context.os", "context.ip_*"], drop=["context.ip"])
    done, _ = policy.apply(RECORD)
    assert done["context"] == {"ip_class": "b", "os": "ios", "gen_ai.system": "[redacted]"}


def test_names_with_dots_are_found():
    assert Policy(drop=["context.gen_ai.system"]).apply(RECORD)[0]["context"].keys() == {"ip", "ip_class", "os"}


def test_keep_exempts_from_the_rules_and_only_that():
    policy = Policy(keep=["output.order", "context.ip", "context.gen_ai*"])
    cleaned, counts = policy.clean(RECORD, Patterns())
    assert cleaned["output"] == {"text": "call [phone]", "order": "4111111111111111"}
    assert cleaned["context"] == RECORD["context"]
    assert cleaned["input"][0]["content"] == "I am [email]"
    assert counts == {"email": 1, "phone": 1}


def test_keep_of_a_whole_field_with_a_part_that_is_not():
    policy = Policy(keep=["output", "input"], redact=["output.text"])
    cleaned, counts = policy.clean(RECORD, Patterns())
    assert cleaned["output"] == {"text": "[redacted]", "order": "4111111111111111"}
    assert cleaned["input"] == RECORD["input"]
    assert counts == {"email": 1, "ip": 1, "redacted": 1}


def test_without_keep_the_record_comes_back_itself_when_it_is_clean():
    record = {"input": "hello", "context": {"os": "ios"}}
    assert Policy(drop=["session"]).clean(record, Patterns())[0] is record


def test_keys_that_are_redacted_do_not_confuse_what_is_kept():
    record = {"input": {"a@b.org": "x@y.org", "keep": "x@y.org"}}
    cleaned, _ = Policy(keep=["input.keep"]).clean(record, Patterns())
    assert cleaned == {"input": {"[email]": "[email]", "keep": "x@y.org"}}


def test_feedback_goes_by_its_kind():
    feedback = {"kind": "comment", "value": "x", "name": None, "by": "ana"}
    assert Policy(drop=["comment"]).apply(feedback)[0]["value"] is None
    assert Policy(drop=["value"]).apply(feedback)[0]["value"] is None
    assert Policy(drop=["label"]).apply(feedback)[0]["value"] == "x"
    outcome = {"kind": "outcome", "value": {"mail": "x", "n": 1}}
    assert Policy(redact=["outcome.mail"]).apply(outcome)[0]["value"] == {"mail": "[redacted]", "n": 1}


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"keep": ["contxt.ip"]}, "Did you mean 'context.ip'"),
        ({"drop": ["inptu"]}, "Did you mean 'input'"),
        ({"drop": ["quux"]}, "There are: input, output"),
        ({"drop": ["id"]}, "keeps records together"),
        ({"redact": ["scores"]}, "holds numbers"),
        ({"hash": ["latency_ms"]}, "holds numbers"),
        ({"drop": ["input.*.x"]}, "at most at the end"),
        ({"drop": [""]}, "names with dots"),
        ({"drop": ["input..x"]}, "names with dots"),
        ({"drop": ["input.x"], "keep": ["input.x"]}, "stands in privacy.keep and in privacy.drop"),
        ({"drop": ["context.ip*"], "redact": ["context.ip*"]}, "stands in"),
        ({"redact": ["input"], "keep": ["input.order"]}, re.escape("Write 'input.*' in privacy.redact")),
        ({"drop": ["context"], "hash": ["context.a*"]}, "as a whole"),
        ({"hash": ["user"], "key": None}, "needs the key"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(policy, says):
    with pytest.raises(InvalidConfig, match=says):
        Policy(**{"key": KEY, **policy})


_json = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
_paths = st.lists(st.sampled_from(["input", "input.a", "input.a.b", "input.b*", "input.*", "output.c"]), unique=True)


@given(_json, _json, _paths, _paths)
@settings(max_examples=200)
def test_any_policy_leaves_json_and_is_stable(input, output, drop, redact):
    try:
        policy = Policy(drop=drop, redact=redact)
    except InvalidConfig:
        return
    record = {"input": input, "output": output}
    before = json.dumps(record)
    done, counts = policy.apply(record)
    assert json.dumps(record) == before
    assert json.loads(json.dumps(done)) == done
    assert policy.apply(done)[0] == done
    assert (done == record) or counts
