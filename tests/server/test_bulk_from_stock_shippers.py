"""Elasticsearch's own client writes to a running server; what log shippers send and ask is understood."""

import json

import httpx
import pytest
from elasticsearch import BadRequestError, Elasticsearch, helpers
from otlp_server import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bot") / "bot", task="generation") as pair:
        yield pair


def stored(fw):
    rows = [row.id for row in fw._store.log.read(0) if row.kind == "interaction"]
    return fw._store.log.interactions(rows)


def post(url, lines, path="/_bulk", **more):
    body = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    return httpx.post(url + path, content=body, headers=headers, **more)


def test_the_official_client_bulk_stores_documents(served):
    fw, url = served
    client = Elasticsearch(url)
    assert client.info()["version"]["number"].startswith("8.")
    actions = [
        {"_index": "chat", "_id": f"es-{n}", "question": f"question {n}", "answer": f"answer {n}", "device": "ios"}
        for n in range(250)
    ]
    before = fw.books()
    assert helpers.bulk(client, actions, chunk_size=100) == (250, [])
    assert helpers.bulk(client, actions, chunk_size=100) == (250, [])
    after = fw.books()
    assert after["stored"] - before["stored"] == 250
    assert after["duplicates"] - before["duplicates"] == 250
    one = stored(fw)["es-7"]
    assert (one.input, one.output, one.context) == ("question 7", "answer 7", {"device": "ios"})


def test_the_official_client_hears_of_each_bad_document(served):
    fw, url = served
    client = Elasticsearch(url)
    actions = [
        {"_id": "good-1", "question": "a", "answer": "b"},
        {"_id": "bad-1", "question": "a", "confidence": 55},
        {"_op_type": "update", "_id": "good-1", "doc": {"answer": "c"}},
        {"_op_type": "delete", "_id": "good-1"},
        {"_op_type": "create", "_id": "good-1", "question": "a", "answer": "b"},
        {"_op_type": "index", "_id": "good-1", "question": "other", "answer": "b"},
    ]
    done, errors = helpers.bulk(client, actions, index="chat", raise_on_error=False)
    assert done == 1
    told = [(operation, one["status"], one["error"]["type"]) for error in errors for operation, one in error.items()]
    assert told == [
        ("index", 400, "mapper_parsing_exception"),
        ("update", 400, "illegal_argument_exception"),
        ("delete", 400, "illegal_argument_exception"),
        ("create", 409, "version_conflict_engine_exception"),
        ("index", 409, "version_conflict_engine_exception"),
    ]
    assert "from 0 to 1" in errors[0]["index"]["error"]["reason"]
    assert any("55" in str(letter["body"]) for letter in fw.dead_letters())


def test_a_malformed_body_is_refused_as_a_whole(served):
    fw, url = served
    client = Elasticsearch(url)
    before = fw.books()
    with pytest.raises(BadRequestError) as refused:
        client.bulk(body=[{"nonsense": {}}, {"question": "a"}])
    assert refused.value.body["error"]["type"] == "illegal_argument_exception"
    cut = httpx.post(f"{url}/_bulk", content=b'{"index":{}}\n{"question":"x"}', headers={"x": "y"})
    assert cut.status_code == 400
    assert "newline" in cut.json()["error"]["reason"]
    assert fw.books()["stored"] == before["stored"]
    assert fw.books()["dead_lettered"] == before["dead_lettered"] + 2


FILEBEAT = {
    "@timestamp": "2026-11-24T10:00:00.123Z",
    "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.17.0"},
    "message": "card payment failed",
    "log": {"offset": 812, "file": {"path": "/var/log/app.log"}, "level": "error"},
    "input": {"type": "filestream"},
    "host": {"name": "web-1", "os": {"kernel": "6.1"}},
    "agent": {"type": "filebeat", "version": "8.17.0"},
    "ecs": {"version": "8.0.0"},
    "service": {"name": "shop"},
    "user": {"id": "ana"},
    "error": {"type": "Timeout", "message": "no answer"},
    "event": {"duration": 250_000_000, "dataset": "app"},
    "trace": {"id": "4bf92f3577b34da6a3ce929d0e0e4736"},
}


def test_an_ecs_document_keeps_its_line_and_its_circumstances(served):
    fw, url = served
    answer = post(url, [{"create": {"_index": "filebeat-8.17.0"}}, FILEBEAT]).json()
    assert not answer["errors"]
    one = stored(fw)[answer["items"][0]["create"]["_id"]]
    assert one.input == "card payment failed"
    assert one.at.isoformat() == "2026-11-24T10:00:00.123000+00:00"
    assert one.context == {"host": "web-1", "service": "shop", "level": "error"}
    assert one.user.startswith("u_")
    assert one.error == "Timeout: no answer"
    assert one.latency_ms == 250.0
    assert one.extra["trace_id"] == FILEBEAT["trace"]["id"]


def test_a_line_that_is_json_is_the_record_itself(served):
    fw, url = served
    inner = {
        "question": "Refund?",
        "answer": "Yes.",
        "user_id": 42,
        "ts": "2026-11-24T09:00:00",
        "request_id": "line-1",
    }
    documents = {
        "logstash": {"@timestamp": "2026-11-24T10:00:00Z", "@version": "1", "message": json.dumps(inner)},
        "fluent-bit": {"@timestamp": "2026-11-24T10:00:00.000Z", "log": json.dumps({**inner, "request_id": "line-2"})},
        "vector": {
            "timestamp": "2026-11-24T10:00:00Z",
            "source_type": "file",
            "file": "/var/log/app.log",
            "message": json.dumps({**inner, "request_id": "line-3"}),
        },
    }
    for document in documents.values():
        assert not post(url, [{"index": {"_index": "x"}}, document]).json()["errors"]
    found = stored(fw)
    for id in ("line-1", "line-2", "line-3"):
        assert (found[id].input, found[id].output) == ("Refund?", "Yes.")
        assert found[id].at.isoformat() == "2026-11-24T09:00:00+00:00"
        assert found[id].user.startswith("u_")
    assert found["line-3"].context["file"] == "/var/log/app.log"


def test_plain_lines_of_every_shipper_are_kept(served):
    fw, url = served
    documents = [
        {"@timestamp": "2026-11-24T10:00:00.000Z", "log": "from fluent bit"},
        {"timestamp": "2026-11-24T10:00:00Z", "message": "from vector", "source_type": "stdin", "host": "web-1"},
        {"message": "from rsyslog", "fromhost": "web-1", "facility": "user", "priority": "info",
         "timereported": "2026-11-24T10:00:00+00:00", "timegenerated": "2026-11-24T10:00:00+00:00"},
    ]  # fmt: skip
    lines = [line for document in documents for line in ({"index": {"_index": "system", "_type": "events"}}, document)]
    answer = post(url, lines).json()
    assert [item["index"]["status"] for item in answer["items"]] == [201, 201, 201]
    found = stored(fw)
    assert [found[item["index"]["_id"]].input for item in answer["items"]] == [
        "from fluent bit",
        "from vector",
        "from rsyslog",
    ]


def test_feedback_and_gen_ai_fields_are_understood(served):
    fw, url = served
    gen_ai = {
        "@timestamp": "2026-11-24T10:00:00Z",
        "gen_ai": {"operation": {"name": "chat"}, "prompt": "Hi", "completion": "Hello", "request": {"model": "m"}},
    }
    lines = [
        {"index": {"_id": "asked-1"}}, {"question": "a", "answer": "b"},
        {"index": {"_id": "said-1"}}, {"interaction_id": "asked-1", "rating": -1},
        {"index": {"_id": "ecs-1"}}, gen_ai,
    ]  # fmt: skip
    assert not post(url, lines).json()["errors"]
    assert [fact.value for fact in fw._store.log.feedback_of(["asked-1"])] == [-1.0]
    one = stored(fw)["ecs-1"]
    assert (one.input, one.output, one.model) == ("Hi", "Hello", "m")


def test_the_same_document_without_an_id_is_stored_once(served):
    _, url = served
    lines = [{"index": {}}, {"question": "twice?", "answer": "once"}]
    first, second = (post(url, lines, "/chat/_bulk").json()["items"][0]["index"] for _ in range(2))
    assert (first["status"], first["result"], first["_index"]) == (201, "created", "chat")
    assert (second["status"], second["result"]) == (200, "noop")
    assert first["_id"] == second["_id"]


def test_feedback_sent_again_is_stored_once(served):
    _, url = served
    lines = [{"index": {"_id": "said-2"}}, {"interaction_id": "asked-2", "rating": 1, "comment": "thanks"}]
    first, second = (post(url, lines).json()["items"][0]["index"]["result"] for _ in range(2))
    assert (first, second) == ("created", "noop")


def test_filter_path_and_gzip_as_logstash_and_beats_use_them(served):
    import gzip

    _, url = served
    body = gzip.compress(b'{"create":{}}\n{"question":"q"}\n{"create":{}}\n{"confidence":3,"question":"q"}\n')
    answer = httpx.post(
        f"{url}/_bulk?filter_path=errors,items.*.error,items.*.status",
        content=body,
        headers={"content-encoding": "gzip", "content-type": "application/vnd.elasticsearch+json; compatible-with=8",
                 "accept": "application/vnd.elasticsearch+json; compatible-with=8"},
    )  # fmt: skip
    assert answer.headers["content-type"] == "application/vnd.elasticsearch+json;compatible-with=8"
    told = answer.json()
    assert set(told) == {"errors", "items"}
    assert told["items"][0] == {"create": {"status": 201}}
    assert set(told["items"][1]["create"]) == {"status", "error"}


@pytest.mark.parametrize(
    "path", ["/", "/_license", "/_xpack", "/_cat/health", "/_cluster/health", "/_index_template/ecs-logstash"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_shippers_ask_on_start_is_answered(served, method, path):
    answer = httpx.request(method, served[1] + path)
    assert answer.status_code == 200
    assert answer.headers["x-elastic-product"] == "Elasticsearch"


def test_there_are_no_life_cycles(served):
    assert httpx.get(f"{served[1]}/_xpack").json()["features"]["ilm"] == {"available": False, "enabled": False}
    assert httpx.get(f"{served[1]}/_ilm/policy/filebeat").status_code == 404
