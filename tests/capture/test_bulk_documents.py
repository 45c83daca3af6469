"""Elasticsearch's bulk bodies: anything may come, and only what cannot be a bulk request is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.capture.bulk import Bulk, draft_of, filtered
from flywheel.errors import TooLarge, Undecodable

LIMIT = 1_048_576


def read(body):
    bulk = Bulk()
    return list(bulk.drafts(body, "", LIMIT)), bulk.items


@given(st.binary(max_size=120) | st.text(alphabet='{}[]":,\n index_id0', max_size=80).map(str.encode))
def test_no_bytes_break_the_reader(body):
    with suppress(Undecodable, TooLarge):
        read(body)


NAMES = [
    "message",
    "log",
    "@timestamp",
    "host",
    "input",
    "agent",
    "event",
    "error",
    "user",
    "trace",
    "labels",
    "gen_ai",
]
NAMES += ["question", "output", "id", "interaction_id", "rating", "kind", "context", "context.a", "service", "extra"]
KEYS = st.sampled_from(NAMES) | st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES | VALUES.map(json.dumps), max_size=6))
def test_every_document_becomes_a_draft(document):
    before = json.dumps(document)
    drafts, items = read(b'{"index":{}}\n' + before.encode() + b"\n")
    assert len(drafts) == len(items) == 1
    assert drafts[0]["kind"] in ("interaction", "feedback", "unreadable")
    assert json.dumps(document) == before


@pytest.mark.parametrize(
    "body",
    [
        b'{"index":{}}\n{"a":1}',
        b'{"index":{}}\n',
        b'{"index":1}\n{}\n',
        b'{"index":{},"create":{}}\n{}\n',
        b'{"drop":{}}\n{}\n',
        b"[]\n",
        b'{"a":1}\n{"a":2}\n',
    ],
)
def test_what_is_no_bulk_request_is_undecodable(body):
    with pytest.raises(Undecodable):
        read(body)


def test_bad_documents_do_not_stop_their_neighbours():
    bad = [b"nonsense", b"[1]", b"[" * 100_000, b'{"a":[' + b"1," * 200_000 + b"1]}", b'{"a":"' + b"x" * LIMIT + b'"}']
    lines = b"".join(
        b'{"index":{}}\n' + document + b"\n" for document in [b'{"question":"a"}', *bad, b'{"question":"b"}']
    )
    drafts, _ = read(lines)
    assert [draft["kind"] for draft in drafts] == ["interaction", *["unreadable"] * 5, "interaction"]


def test_commas_in_a_text_are_no_values():
    (draft,), _ = read(b'{"index":{}}\n{"question":"' + b"a,[{" * 100_000 + b'"}\n')
    assert draft["kind"] == "interaction"


def test_a_million_documents_are_too_many():
    with pytest.raises(TooLarge):
        read(b'{"index":{}}\n{}\n' * 1_000_000)


def test_a_time_without_a_zone_is_read_as_elasticsearch_reads_it():
    for written in ("2026-11-24T10:00:00", "2026-11-24 10:00:00", "2026-11-24T10:00:00,000"):
        assert draft_of({"@timestamp": written, "message": "a"})["at"].endswith("+00:00")
    assert draft_of({"@timestamp": "2026-11-24T10:00:00+02:00", "message": "a"})["at"].endswith("+02:00")


def test_filter_paths():
    body = {"took": 1, "errors": False, "items": [{"index": {"status": 201, "_id": "a"}}, {"create": {"status": 400}}]}
    assert filtered(body, "") == body
    assert filtered(body, "errors") == {"errors": False}
    assert filtered(body, "items.*.status") == {"items": [{"index": {"status": 201}}, {"create": {"status": 400}}]}
    assert filtered(body, "items.index._id,took") == {"took": 1, "items": [{"index": {"_id": "a"}}]}
    assert filtered(body, "**.st*s") == {"items": [{"index": {"status": 201}}, {"create": {"status": 400}}]}
    assert filtered(body, "nothing") == {}
