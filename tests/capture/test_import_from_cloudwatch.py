"""CloudWatch Logs come in over HTTP, page by page, though AWS says that it has had enough.

The service is moto's server on a loopback port: botocore sends the same requests, signed, as to AWS. Throttling, which
moto does not do, is answered by a hook that sits where botocore would read the answer from the network.
"""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from types import SimpleNamespace

import pytest
from recorder_fixtures import recorder, store  # noqa: F401

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'dataflywheel[cloudwatch]'")
threaded = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")

import botocore.awsrequest  # noqa: E402

from flywheel.capture import import_records  # noqa: E402
from flywheel.capture.sources import cloudwatch  # noqa: E402
from flywheel.capture.sources.cloudwatch import CloudWatch  # noqa: E402
from flywheel.errors import InvalidConfig, NotFound, StoreUnavailable  # noqa: E402
from flywheel.testing import check_source  # noqa: E402

pytestmark = pytest.mark.slow  # a service over real HTTP, and a client of it for every test

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=12)  # AWS takes none that is old
MAPPING = {"input": "input", "at": "at"}
SECRET = "wJalrXUtnFEMI-not-a-real-secret"


@pytest.fixture(scope="module")
def service():
    server = threaded.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def logs(service, monkeypatch, request):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", service)
    client = boto3.client("logs")
    group = f"/shop/{request.node.name[:60].replace('[', '-').replace(']', '')}"
    client.create_log_group(logGroupName=group)
    for stream in ("web-1", "web-2"):
        client.create_log_stream(logGroupName=group, logStreamName=stream)

    def put(messages, stream="web-1", start=START):
        events = [
            {"timestamp": int((start + timedelta(seconds=n)).timestamp() * 1000), "message": message}
            for n, message in enumerate(messages)
        ]
        client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    yield group, put
    client.delete_log_group(logGroupName=group)


class Refusing:
    """Answers an error (status 400, as AWS does) to the next so many requests, and keeps what was asked."""

    def __init__(self, monkeypatch, times, code="ThrottlingException"):
        self.left = times
        self.code = code
        self.asked = []
        self.waits = []
        connect = CloudWatch._connected

        def connected(source, place):
            client = connect(source, place)
            client.meta.events.register("before-send.cloudwatch-logs.FilterLogEvents", self.answer)
            return client

        monkeypatch.setattr(CloudWatch, "_connected", connected)
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=self.waits.append, time=time.time))
        monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)

    def answer(self, request, **_):
        self.asked.append(json.loads(request.body))
        if not self.left:
            return None
        self.left -= 1
        answer = botocore.awsrequest.AWSResponse(request.url, 400, {"x-amzn-RequestId": "r"}, None)
        answer._content = json.dumps({"__type": self.code, "message": "no"}).encode()
        return answer


def test_json_messages_become_fields(logs):
    group, put = logs
    put(
        [
            json.dumps(
                {
                    "level": "error",
                    "prompt": f"q {n}",
                    "answer": "a",
                    "user_id": f"u{n}",
                    "duration_ms": 12.5,
                    "shop": {"tier": "gold"},
                    "trace_id": "0af7651916cd43dd8448eb211c80319c",
                    "request_id": "one-for-many-lines",
                }
            )
            for n in range(3)
        ]
    )
    source = CloudWatch()
    records = list(source.read(f"cloudwatch:{group}"))
    assert source.format == "json"
    first = records[0]
    assert (first["input"], first["output"], first["user"], first["latency_ms"]) == ("q 0", "a", "u0", 12.5)
    assert first["context"] == {"level": "error", "shop.tier": "gold"}
    assert first["at"] == START.isoformat()
    assert first["extra"]["log_stream"] == "web-1"
    assert first["extra"]["request_id"] == "one-for-many-lines"
    assert len({record["id"] for record in records}) == 3


def test_other_messages_go_through_a_pattern(logs):
    group, put = logs
    lines = ["2026-05-17 10:00:00,000 - shop.pay - ERROR - no bank\nValueError: card", "just words"]
    put(lines)
    source = CloudWatch()
    one, two = source.read(f"cloudwatch:{group}")
    assert source.format == "python"
    assert (one["input"], one["error"]) == ("no bank\nValueError: card", "ValueError: card")
    assert (one["context"]["logger"], two["input"]) == ("shop.pay", "just words")
    own = f"cloudwatch:{group}?pattern=%{{WORD:first}} %{{GREEDYDATA:message}}"
    assert [record["input"] for record in CloudWatch().read(own)][1] == "words"


def test_many_pages_once(logs, recorder, store):
    group, put = logs
    for start in range(0, 250, 50):
        put([f"message {n}" for n in range(start, start + 50)], start=START + timedelta(minutes=start))
    location = f"cloudwatch:{group}?size=40"
    shares = []
    first = import_records(recorder, CloudWatch(), location, progress=lambda _, share: shares.append(share))
    assert (first.read, first.stored, first.rejected) == (250, 250, 0)
    again = import_records(recorder, CloudWatch(), location)
    assert (again.stored, again.duplicates) == (0, 250)


def test_what_is_asked_for_is_what_comes(logs, monkeypatch):
    group, put = logs
    put([f"a {n}" for n in range(10)])

    def texts(settings):
        return sorted(record["input"] for record in CloudWatch().read(f"cloudwatch:{group}?{settings}", MAPPING))

    hook = Refusing(monkeypatch, times=0)  # moto pays no heed to prefixes
    assert texts("prefix=web-1&filter=%22a 3%22") == ["a 3"]
    assert (hook.asked[-1]["logStreamNamePrefix"], hook.asked[-1]["filterPattern"]) == ("web-1", '"a 3"')
    moment = (START + timedelta(seconds=8)).isoformat()
    assert texts(f"prefix=web-1&since={moment}") == ["a 8", "a 9"]
    early = (START + timedelta(seconds=1)).astimezone(timezone(timedelta(hours=2))).isoformat().replace("+", "%2B")
    assert texts(f"prefix=web-1&until={early}&size=1") == ["a 0", "a 1"]
    with pytest.raises(InvalidConfig, match="Did you mean 'prefix'"):
        texts("prefx=web")
    with pytest.raises(InvalidConfig, match="yesterday"):
        texts("since=yesterday")


@pytest.mark.parametrize(
    "stop", [40, pytest.param(1, marks=pytest.mark.slow), pytest.param(99, marks=pytest.mark.slow)]
)
def test_reading_goes_on_where_it_stopped(stop, logs):
    group, put = logs
    put([f"message {n}" for n in range(100)])
    location = f"cloudwatch:{group}?size=40"
    whole = [record["id"] for record in CloudWatch().read(location, MAPPING)]
    source = CloudWatch()
    first = [record["id"] for record in islice(source.read(location, MAPPING), stop)]
    rest = [record["id"] for record in CloudWatch().read(location, MAPPING, after=source.cursor)]
    assert set(first) | set(rest) == set(whole)
    assert len(rest) <= 100 - stop // 40 * 40  # pages that were done are not asked for again


def test_a_finished_reading_goes_on_a_little_before_its_end(logs):
    group, put = logs
    put(["old"])
    put(["last"], start=START + timedelta(hours=5))
    source = CloudWatch()
    assert len(list(source.read(f"cloudwatch:{group}", MAPPING))) == 2
    put(["late"], stream="web-2", start=START + timedelta(hours=4, minutes=30))
    later = [record["input"] for record in CloudWatch().read(f"cloudwatch:{group}", MAPPING, after=source.cursor)]
    assert sorted(later) == ["last", "late"]
    with pytest.raises(InvalidConfig, match="not a cursor"):
        list(CloudWatch().read(f"cloudwatch:{group}", MAPPING, after="{}"))


def test_a_page_token_that_has_expired_means_the_beginning(logs, monkeypatch):
    group, put = logs
    put([f"message {n}" for n in range(5)])
    Refusing(monkeypatch, times=1, code="InvalidParameterException")
    stale = json.dumps({"start": 0, "token": "a-token-of-last-week", "latest": 0})
    assert len(list(CloudWatch().read(f"cloudwatch:{group}", MAPPING, after=stale))) == 5


def test_throttled_requests_are_asked_again(logs, monkeypatch):
    group, put = logs
    put([f"message {n}" for n in range(100)])
    throttle = Refusing(monkeypatch, times=11)
    waits = []
    records = list(CloudWatch(sleep=waits.append).read(f"cloudwatch:{group}?size=40"))
    assert len(records) == 100
    assert throttle.left == 0
    assert waits  # botocore gave up more than once, and we waited on
    assert all(wait <= 30 for wait in waits)


def test_a_service_that_never_answers_is_told(logs, monkeypatch):
    group, put = logs
    put(["message"])
    Refusing(monkeypatch, times=10_000)
    with pytest.raises(StoreUnavailable, match="refused 8 times"):
        list(CloudWatch(sleep=lambda _: None).read(f"cloudwatch:{group}"))
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    closed = f"cloudwatch:{group}?region=eu-central-1&endpoint=http://127.0.0.1:9"
    with pytest.raises(StoreUnavailable) as problem:
        list(CloudWatch(sleep=lambda _: None).read(closed))
    assert SECRET not in str(problem.value)


def test_errors_say_what_to_do(logs, monkeypatch):
    group, _ = logs
    with pytest.raises(NotFound, match="/no/such"):
        list(CloudWatch().read("cloudwatch:/no/such"))
    with pytest.raises(InvalidConfig, match="names no log group"):
        list(CloudWatch().read("cloudwatch:"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(InvalidConfig, match="region="):
        list(CloudWatch().read(f"cloudwatch:{group}"))


def test_the_source_keeps_its_contract(logs):
    group, put = logs
    put([f"message {n}" for n in range(20)])
    check_source(CloudWatch(), f"cloudwatch:{group}", expected=20, mapping=MAPPING)
    assert cloudwatch.CloudWatch.name == "cloudwatch"
