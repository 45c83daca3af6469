"""A copy that somebody downloaded cannot be reached again: who has it is on record, and an erasure says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from flywheel import wheel
from flywheel.errors import InvalidConfig, NotFound
from flywheel.server import make_app

pytestmark = pytest.mark.slow

SAYS = {"card": "my card is lost", "money": "send money abroad", "fees": "why this fee"}
NAMES = list(SAYS)
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def fw(tmp_path: Any) -> Iterator[Any]:
    """Two people's interactions, labelled, in one dataset; a second dataset holds the seed alone."""
    with wheel.open(tmp_path / "bot", task="classification") as fw:
        fw.seed([f"{SAYS[NAMES[n % 3]]} {n}" for n in range(45)], [NAMES[n % 3] for n in range(45)])
        fw.spin(budget=0)
        for n in range(40):
            fw.log(input=f"{SAYS[NAMES[n % 3]]} now {n}", output="card", user=f"user-{n % 2}", id=f"i{n}")
        fw.spin(budget=30, labeler=lambda item: NAMES[int(item.interaction_id[1:]) % 3])
        yield fw


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_a_copy_holds_the_dataset_and_leaves_nothing_behind(fw: Any, format: str) -> None:
    dataset = fw.dataset(fw.datasets()[-1].hash)
    copy = fw.download(dataset.hash[:12], format, by="ana")
    body = b"".join(copy.pieces())
    assert (copy.rows, copy.size) == (len(dataset.examples), len(body))
    assert copy.name == f"dataset-{dataset.hash[:12]}.{format}"
    assert copy.file.closed
    assert list((fw.folder / "outgoing").iterdir()) == []
    if format == "jsonl":
        assert [json.loads(line)["id"] for line in body.splitlines()] == [one.id for one in dataset.examples]
    elif format == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert pq.read_table(pa.BufferReader(body)).column("id").to_pylist() == [one.id for one in dataset.examples]
    else:
        assert body.count(b"\r\n") == len(dataset.examples) + 1


def test_who_took_it_is_on_record_and_in_the_trail(fw: Any) -> None:
    hash = fw.datasets()[-1].hash
    for by, at in (("ana", AT), ("ben", AT), ("ana", AT.replace(hour=9))):
        fw.download(hash, "csv", by=by, at=at).file.close()
    [ben, ana] = fw.provenance(hash).copies
    assert (ana["by"], ana["times"], ana["first_at"], ana["at"]) == (
        "ana", 2, "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z"
    )  # fmt: skip
    assert ben["times"] == 1
    lines = [line for line in fw.trail() if line["action"] == "download"]
    assert [(line["by"], line["subject"]) for line in lines] == [
        (by, f"dataset {hash}") for by in ("ana", "ben", "ana")
    ]
    fw.verify_trail()


def test_a_receipt_names_every_download_of_a_dataset_with_the_erased_person(fw: Any) -> None:
    first, last = fw.datasets()[0].hash, fw.datasets()[-1].hash
    fw.download(last, "csv", by="ana", at=AT).file.close()
    fw.download(first, "jsonl", by="ben", at=AT).file.close()
    left = fw.folder / "outgoing" / ("0" * 16)
    left.mkdir(parents=True)
    (left / "half.csv").write_text("user-1 wrote this")
    receipt = fw.erase("user-1")
    named = {name: said for name, said in receipt["files"].items() if "downloaded" in name}
    assert list(named) == [f"dataset {last[:12]}, downloaded as csv by ana"]
    assert "out of reach: downloaded 1 times, last at 2026-03-01T08:00:00Z" in next(iter(named.values()))
    assert not left.exists()
    assert receipt["clean"]
    later = fw.erase("user-0")  # the download holds them as well, though its dataset was made anew meanwhile
    assert f"dataset {last[:12]}, downloaded as csv by ana" in later["files"]
    with pytest.raises(NotFound, match="emptied by an erasure"):
        fw.download(last, "csv", by="ana")


def test_what_is_no_format_is_refused_and_not_on_record(fw: Any) -> None:
    hash = fw.datasets()[-1].hash
    with pytest.raises(InvalidConfig, match="jsonl, parquet, csv"):
        fw.download(hash, "xlsx", by="ana")
    with pytest.raises(NotFound):
        fw.download("0" * 64, "csv", by="ana")
    assert fw.provenance(hash).copies == ()


def test_over_http_the_key_goes_on_record(fw: Any) -> None:
    hash = fw.datasets()[-1].hash
    text, key = fw.keys.create("reader", ["read"])
    with TestClient(make_app({"bot": fw}, dashboard=False), headers={"authorization": f"Bearer {text}"}) as client:
        answer = client.get(f"/v1/datasets/{hash}/export?format=csv")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="dataset-{hash[:12]}.csv"'
        assert answer.text.startswith("id,input,label")
        assert client.get(f"/v1/datasets/{hash}/export?format=xlsx").status_code == 422
        assert client.get("/v1/datasets/none/export").status_code == 404
        told = client.get(f"/v1/datasets/{hash}/provenance").json()
        assert [one["by"] for one in told["copies"]] == [f"key {key.id}"]
        assert [one["hash"] for one in client.get("/v1/datasets").json()["items"]][-1] == hash
        assert client.get(f"/v1/lineage/{hash}").json()["candidates"] == ["v2"]
        assert client.get("/v1/interactions/i1/belief").json()["interaction_id"] == "i1"
        assert client.get("/v1/interactions/i1/neighbours?limit=3").json()["among"] == 39
        assert client.get("/v1/interactions/i1/datasets").json()["older"] == 0
        assert client.get("/v1/interactions/i1/replays").json()["items"][0]["role"] == "champion now"
