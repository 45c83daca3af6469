"""Documents of Elasticsearch and OpenSearch come in through the official clients: all, once, whatever the server does.

The server is `search_stand_in`, which says what it is.
"""

# ruff: noqa: F811  (fixtures are imported by name)

from __future__ import annotations

import gzip
import json
import os
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from recorder_fixtures import recorder, store  # noqa: F401
from search_stand_in import Search, StandIn, basic

pytest.importorskip("elasticsearch", reason="the client is missing: pip install 'dataflywheel[elastic]'")
pytest.importorskip("opensearchpy", reason="the client is missing: pip install 'dataflywheel[opensearch]'")

from flywheel.capture import import_records
from flywheel.capture.mapping import guess_mapping
from flywheel.capture.sources.elasticsearch import Elasticsearch, OpenSearch
from flywheel.errors import InvalidConfig, NotFound, StoreUnavailable
from flywheel.testing import check_source

BOTH = pytest.mark.parametrize("make", [Elasticsearch, OpenSearch], ids=["elasticsearch", "opensearch"])
MAPPING = {"input": "prompt", "at": "at"}


def chat(count, *, start=0, every=1):
    """Documents, `every` so many of them at the same second."""
    return [
        (
            f"id{n}",
            {"@timestamp": f"2026-05-17T10:{n // every // 60:02d}:{n // every % 60:02d}.000Z", "prompt": f"q {n}"},
        )
        for n in range(start, start + count)
    ]


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    for name in ("API_KEY", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"ELASTICSEARCH_{name}", raising=False)
        monkeypatch.delenv(f"OPENSEARCH_{name}", raising=False)


def reading(make, search, settings="", index="logs*", mapping=MAPPING, **more):
    """Read everything; the waits that the source wanted to make are returned too."""
    waits = []
    search.opensearch = make is OpenSearch
    with StandIn(search) as stand_in:
        source = make(sleep=waits.append)
        records = list(source.read(f"{make.name}:{stand_in.url}/{index}{settings}", mapping, **more))
    assert not search.pits  # every point in time was closed
    return source, records, waits


def inputs(records):
    return [record["input"] for record in records]


@BOTH
def test_every_document_of_every_index_once_and_in_order(make):
    search = Search({"logs-1": chat(130, every=7), "logs-2": chat(70, start=130, every=7), "other": chat(5)})
    source, records, _ = reading(make, search, "?size=50")
    assert sorted(inputs(records)) == sorted(f"q {n}" for n in range(200))
    moments = [record["at"] for record in records]
    assert moments == sorted(moments)
    assert (records[0]["id"], source.done) == ("logs-1/id0", 1.0)
    assert search.pages >= 5
    assert search.opened == 2  # with a time, and without one


@BOTH
def test_documents_without_a_time_come_too(make):
    bare = [(f"bare{n}", {"prompt": f"bare {n}"}) for n in range(30)]
    _, records, _ = reading(make, Search({"logs": bare[:15] + chat(20) + bare[15:]}), "?size=10")
    assert len(records) == len({record["id"] for record in records}) == 50
    _, records, _ = reading(make, Search({"logs": bare}), "?size=10")  # an index that has no time at all
    assert len({record["id"] for record in records}) == 30


@BOTH
@pytest.mark.parametrize("every", [1, 40])
def test_a_point_in_time_that_expires_is_opened_anew(make, every):
    search = Search({"logs": chat(100, every=every)})

    def on_page(number):
        if number in (3, 6):
            search.now += timedelta(hours=1)
            search.indices["logs"] = search.indices["logs"][::-1]  # merged meanwhile: other places on the shards

    search.on_page = on_page
    _, records, _ = reading(make, search, "?size=25&keep_alive=1m")
    assert sorted(inputs(records)) == sorted(f"q {n}" for n in range(100))
    assert search.opened == 4


def test_a_point_in_time_that_always_expires_is_told():
    search = Search({"logs": [(f"d{n}", {"prompt": f"q {n}"}) for n in range(100)]})

    def expire(number):
        if number % 2 == 0:
            search.now += timedelta(hours=1)

    search.on_page = expire
    with pytest.raises(InvalidConfig, match="keep_alive"):
        reading(Elasticsearch, search, "?size=10")


@BOTH
def test_a_busy_server_is_asked_again(make):
    search = Search({"logs": chat(100)})
    search.refuse = [429, 503, 429, 502, "partial", 0, "timed out"]
    _, records, waits = reading(make, search, "?size=30")
    assert len(records) == 100
    assert len(waits) == 7
    if make is Elasticsearch:
        assert waits[0] >= 7  # Retry-After
    assert all(0 < wait <= 30 for wait in waits)


@BOTH
def test_a_server_that_stays_busy_is_told(make):
    search = Search({"logs": chat(10)})
    search.refuse = [429] * 100
    with pytest.raises(StoreUnavailable, match="refused 8 times"):
        reading(make, search)


def test_an_old_opensearch_is_paged_by_id():
    search = Search({"logs": chat(100, every=30)}, shard_doc=False)
    _, records, _ = reading(OpenSearch, search, "?size=20")
    assert len({record["id"] for record in records}) == 100


@BOTH
def test_what_is_asked_for_is_what_comes(make):
    docs = [(id, {**source, "shop": "ab"[n % 2]}) for n, (id, source) in enumerate(chat(60))]
    search = Search({"logs": docs})
    assert len(reading(make, search, "?query=shop:a")[1]) == 30
    assert len(reading(make, search, "?query=%7B%22term%22:%7B%22shop%22:%22b%22%7D%7D&size=7")[1]) == 30
    assert inputs(reading(make, search, "?since=2026-05-17T10:00:57Z&until=2026-05-17T12:00:59%2B02:00")[1]) == [
        "q 57",
        "q 58",
    ]
    search.now = search.now.replace(month=5, day=17, hour=10, minute=1)
    assert inputs(reading(make, search, "?since=now-2s")[1]) == ["q 58", "q 59"]
    with pytest.raises(InvalidConfig, match="not JSON"):
        reading(make, search, "?query={")
    with pytest.raises(InvalidConfig, match="unknown query"):
        reading(make, search, '?query={"fuzzy":{}}')
    with pytest.raises(InvalidConfig, match="time=FIELD"):
        reading(make, Search({"logs": [("a", {"prompt": "x"})]}), "?since=now-1d")


@BOTH
@pytest.mark.parametrize("stop", [1, 24, 25, 26, 99])
def test_reading_goes_on_where_it_stopped(make, stop):
    docs = [
        (f"id{n}", {"@timestamp": f"2026-05-17T{n // 60:02d}:{n % 60:02d}:00Z", "prompt": f"q {n}"}) for n in range(100)
    ]
    search = Search({"logs": docs}, opensearch=make is OpenSearch)
    with StandIn(search) as stand_in:
        location = f"{make.name}:{stand_in.url}/logs?size=25"
        source = make()
        reader = source.read(location, MAPPING)
        first = inputs(islice(reader, stop))
        reader.close()
        assert not search.pits  # closed though nobody read to the end
        again = make()
        rest = inputs(again.read(location, MAPPING, after=source.cursor))
        assert set(first) | set(rest) == {f"q {n}" for n in range(100)}
        assert len(rest) <= 100 - stop + 11  # ten minutes overlap
        search.indices["logs"].append(("new", {"@timestamp": "2026-05-17T05:00:00Z", "prompt": "new"}))
        assert "new" in inputs(make().read(location, MAPPING, after=again.cursor))
    assert "q " not in source.cursor


def test_importing_twice_stores_nothing_twice(recorder, store):
    search = Search({"logs": chat(50, every=10)})
    with StandIn(search) as stand_in:
        location = f"elasticsearch:{stand_in.url}/logs?size=20"
        assert import_records(recorder, Elasticsearch(), location).stored == 50
        search.indices["logs"] += chat(5, start=50)
        again = import_records(recorder, Elasticsearch(), location)
    assert (again.stored, again.duplicates, again.conflicts, again.rejected) == (5, 50, 0, 0)


def test_words_of_the_elastic_common_schema():
    document = {
        "@timestamp": "2026-05-17T10:00:00.000Z",
        "message": "GET /pay failed",
        "event": {"duration": 1_500_000, "original": "raw"},
        "user": {"name": "ana"},
        "client": {"ip": "198.51.100.7"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 502, "body": {"bytes": 7}}},
        "url": {"path": "/pay", "query": "a=1"},
        "log": {"level": "error"},
        "trace": {"id": "0af7651916cd43dd8448eb211c80319c"},
        "error": {"type": "Timeout", "message": "no bank"},
        "labels": {"tier": "gold"},
        "tags": ["a", "b"],
    }
    anonymous = {"@timestamp": "2026-05-17T10:00:01.000Z", "message": "hello", "client.ip": "198.51.100.7", "late": 1}
    _, (web, hello), _ = reading(Elasticsearch, Search({"logs": [("1", document), ("2", anonymous)]}), mapping=None)
    assert web["input"] == {"method": "GET", "path": "/pay", "query": "a=1"}
    assert web["output"] == {"status": 502, "bytes": 7}
    assert (web["latency_ms"], web["user"], web["error"]) == (1.5, "ana", "Timeout: no bank")
    assert (web["context"]["level"], web["context"]["labels.tier"]) == ("error", "gold")
    assert web["extra"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert hello["user"] == "198.51.100.7"
    assert "198.51.100.7" not in json.dumps([web, hello["context"]])


def test_fields_that_come_late_are_kept_and_a_document_without_source_is_told():
    docs = [*chat(3), ("none", None)]
    search = Search({"logs": docs}, dates=())
    search.fits = lambda query, source: True
    _, records, _ = reading(Elasticsearch, search)
    assert records[-1]["kind"] == "unreadable"
    assert records[-1]["place"] == "logs/none"
    late = [*chat(1), ("late", {"@timestamp": "2026-05-18T00:00:00Z", "prompt": "x", "new": {"field": 7}})]
    _, records, _ = reading(Elasticsearch, Search({"logs": late}))
    assert records[-1]["extra"] == {"new.field": 7}


KEY = "c2VjcmV0LWtleQ=="
PASSWORD = "p@ss/wörd?#1"


@pytest.mark.parametrize("how", ["key", "environment", "url"])
def test_credentials_are_sent_and_never_told(how, monkeypatch):
    search = Search({"logs": chat(3)}, key=f"ApiKey {KEY}" if how == "key" else basic("ana", PASSWORD))
    userinfo = ""
    if how == "key":
        monkeypatch.setenv("ELASTICSEARCH_API_KEY", KEY)
    elif how == "environment":
        monkeypatch.setenv("ELASTICSEARCH_USERNAME", "ana")
        monkeypatch.setenv("ELASTICSEARCH_PASSWORD", PASSWORD)
    else:
        userinfo = "ana:p%40ss%2Fw%C3%B6rd%3F%231@"
    with StandIn(search) as stand_in:
        location = f"elasticsearch:{stand_in.url.replace('//', f'//{userinfo}')}/logs"
        source = Elasticsearch(sleep=lambda _: None)
        records = list(source.read(location))
        assert len(records) == 3
        told = json.dumps([records, source.cursor])
        for key, refuse in (("other", []), (search.key, [404]), (search.key, [400]), (search.key, [503] * 9)):
            search.key, search.refuse = key, refuse
            with pytest.raises((InvalidConfig, NotFound, StoreUnavailable)) as problem:
                list(source.read(location))
            told += str(problem.value) + repr(problem.value.__cause__)
    for secret in (KEY, "p%40ss", PASSWORD, "ana:"):
        assert secret not in told


def test_no_server_no_index_and_another_product():
    with StandIn(Search({"logs": chat(1)})) as stand_in:
        with pytest.raises(NotFound, match="no such index"):
            list(Elasticsearch().read(f"elasticsearch:{stand_in.url}/none"))
        for location in (
            f"elasticsearch:{stand_in.url}",
            "elasticsearch:/etc/passwd",
            "elasticsearch:ftp://host/logs",
            "elasticsearch:https://host:x/logs",
        ):
            with pytest.raises(InvalidConfig, match="not the URL of an index"):
                list(Elasticsearch().read(location))
        url = stand_in.url
    with pytest.raises(StoreUnavailable):
        list(Elasticsearch(sleep=lambda _: None).read(f"elasticsearch:{url}/logs"))
    search = Search({"logs": chat(1)}, opensearch=True)
    with StandIn(search) as stand_in, pytest.raises(InvalidConfig, match="opensearch:"):
        list(Elasticsearch().read(f"elasticsearch:{stand_in.url}/logs"))


@BOTH
def test_the_source_keeps_its_contract(make):
    with StandIn(Search({"logs": chat(30)}, opensearch=make is OpenSearch)) as stand_in:
        check_source(make(), f"{make.name}:{stand_in.url}/logs", expected=30)


def test_flights_of_kibana(recorder, store):
    folder = os.environ.get("FLYWHEEL_DATA")
    if not folder:
        pytest.skip("FLYWHEEL_DATA is not set: it names the folder with kibana_sample/flights_small.json.gz")
    with gzip.open(Path(folder) / "kibana_sample" / "flights_small.json.gz", "rt") as file:
        flights = [(f"f{n}", json.loads(line)) for n, line in enumerate(file)]
    with StandIn(Search({"flights": flights})) as stand_in:
        location = f"elasticsearch:{stand_in.url}/flights?size=10"
        columns = Elasticsearch().columns(location)
        assert "DestLocation.lat" in columns
        mapping = guess_mapping(columns, {"output": "FlightDelayType"})
        assert mapping["at"] == "timestamp"
        sums = import_records(recorder, Elasticsearch(), location, {"output": "FlightDelayType"})
    assert (sums.read, sums.stored, sums.rejected) == (len(flights), len(flights), 0)
    ids = [row.id for row in store.log.read(0)]
    first = store.log.interactions(ids)["flights/f0"]
    assert first.input["OriginCityName"] == flights[0][1]["OriginCityName"]
    assert first.at.isoformat().startswith(flights[0][1]["timestamp"][:19])
