"""What the server answers: the books of each batch, and a reason for whatever was not stored."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zlib
from pathlib import Path

import pytest
from serving import balanced, served

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}


def on_disk(folder: Path) -> list[str]:
    """The ids another process would find in the file now."""
    with sqlite3.connect(f"file:{folder / 'flywheel.db'}?mode=ro", uri=True) as raw:
        return [row[0] for row in raw.execute("SELECT id FROM facts ORDER BY seq")]


def test_accepted_is_on_disk_before_the_answer(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        batch = [{"id": f"r{n}", "input": "where is my card", "confidence": 0.5} for n in range(3)]
        answer = client.post("/v1/interactions", json=batch)
        assert answer.status_code == 200
        assert answer.json() == {
            "received": 3, "accepted": 3, "duplicate": 0, "rejected": 0, "dead_lettered": 0, "errors": []
        }  # fmt: skip
        assert on_disk(tmp_path / "a") == ["r0", "r1", "r2"]
        again = client.post("/v1/interactions", json=[*batch, {"id": "r0", "input": "other"}]).json()
        assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, 3, 1)
        assert again["errors"] == [{"index": 3, "reason": "the id is known with other content; the first one stands"}]
        balanced(fw)


@pytest.mark.parametrize(
    ("headers", "packed"),
    [
        (LINES, lambda body: body),
        ({**LINES, "Content-Encoding": "gzip"}, gzip.compress),
        ({**LINES, "Content-Encoding": "gzip"}, lambda body: gzip.compress(body[:30]) + gzip.compress(body[30:])),
        ({**LINES, "Content-Encoding": "deflate"}, zlib.compress),
        ({**LINES, "Content-Encoding": "deflate"}, lambda body: zlib.compress(body)[2:-4]),
    ],
    ids=["plain", "gzip", "gzip in two members", "deflate", "raw deflate"],
)
def test_lines_and_compressions(tmp_path: Path, headers: dict[str, str], packed: object) -> None:
    lines = b'{"id": "a", "input": 1}\n\n{"id": "b", "input": }\r\n{"id": "c", "input": 2, "mood": "glad"}'
    with served(tmp_path / "a") as (client, (fw,)):
        answer = client.post("/v1/interactions", content=packed(lines), headers=headers).json()  # type: ignore[operator]
        assert (answer["accepted"], answer["dead_lettered"]) == (2, 1)
        assert answer["errors"][0]["index"] == 1
        assert on_disk(tmp_path / "a") == ["a", "c"]
        assert fw.interaction("c")[0].extra == {"mood": "glad"}


def test_feedback_is_stored_however_it_is_spoken(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        client.post("/v1/interactions", json={"id": "i", "input": 1})
        said = [
            {"interaction_id": "i", "rating": -1, "comment": "wrong"},
            {"interaction_id": "i", "kind": "label", "value": "card", "source": "reviewer"},
            {"interaction_id": "i", "outcome": {"retained": 1}, "id": "o"},
            {"interaction_id": "i"},
        ]
        answer = client.post("/v1/feedback", json=said).json()
        assert (answer["received"], answer["accepted"], answer["dead_lettered"]) == (5, 4, 1)
        _, feedback = fw.interaction("i")
        assert sorted(f.kind for f in feedback) == ["comment", "label", "outcome", "rating"]
        balanced(fw)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"[{", JSON, 400),
        (b"nonsense", JSON, 400),
        (b"", JSON, 400),
        (b"\x1f\x8bnot gzip", {**JSON, "Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"[1]")[:-3], {**JSON, "Content-Encoding": "gzip"}, 400),
        (b"[]", {"Content-Type": "text/plain"}, 415),
        (b"[]", {}, 415),
        (b"[]", {**JSON, "Content-Encoding": "br"}, 415),
        (b'[{"inptu": 1}]', JSON, 422),
        (b"[1, 2]", JSON, 422),
    ],
    ids=[
        *("an open bracket", "no JSON", "nothing", "no gzip", "gzip cut short", "plain text", "no content type"),
        *("an unknown encoding", "a misspelt field", "numbers"),
    ],
)
def test_what_cannot_be_decoded_is_told_and_never_stored(
    tmp_path: Path, body: bytes, headers: dict[str, str], status: int
) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        answer = client.post("/v1/interactions", content=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert client.post("/v1/interactions", json=[{"id": "good", "input": 1}]).status_code == 200
        assert on_disk(tmp_path / "a") == ["good"]
        balanced(fw)


def test_undecodable_bodies_become_dead_letters_without_personal_data(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        client.post("/v1/interactions", content=b'[{"input": "ana@example.org"', headers=JSON)
        client.post("/v1/interactions", json=[{"output": "call ana@example.org", "user": "ana"}])
        letters = fw.dead_letters()
        assert len(letters) == 2
        assert all(letter["reason"] for letter in letters)
        assert "ana" not in json.dumps(letters, default=str)
        assert {letter["source"] for letter in letters} == {"http /v1/interactions"}
        balanced(fw)


def test_a_mended_letter_is_stored_under_the_same_pseudonym(tmp_path: Path) -> None:
    with served(tmp_path / "a", store={"max_record_bytes": 400}) as (_, (fw,)):
        fw._recorder.refuse("test", "too early", {"kind": "interaction", "id": "x", "input": 1, "user": "ana"}, _now())
        fw.log(id="y", input=1, user="ana")
        assert fw.retry_dead_letters() == {"stored": 1, "duplicates": 0, "still": []}
        assert fw.interaction("x")[0].user == fw.interaction("y")[0].user
        assert fw.dead_letters() == []
        balanced(fw)


def test_large_bodies_and_records_are_refused_and_their_neighbours_are_not(tmp_path: Path) -> None:
    with served(tmp_path / "a", server={"max_body_bytes": 100_000}, store={"max_record_bytes": 2000}) as (
        client,
        (fw,),
    ):
        assert client.post("/v1/interactions", content=b" " * 100_001, headers=JSON).status_code == 413
        bomb = gzip.compress(b" " * 10_000_000)
        packed = client.post("/v1/interactions", content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
        assert packed.status_code == 413
        assert "100,000" in packed.json()["error"]["message"]
        mixed = client.post("/v1/interactions", json=[{"input": "x" * 3000}, {"id": "n", "input": 1}]).json()
        assert (mixed["accepted"], mixed["rejected"]) == (1, 1)
        assert fw.dead_letters() == []
        balanced(fw)


def test_a_full_queue_and_a_full_disk_say_when_to_come_back(tmp_path: Path) -> None:
    with served(tmp_path / "a", server={"queue_bytes": 2000}) as (client, (fw,)):
        full = client.post("/v1/interactions", json=[{"input": "x" * 1700}])
        assert full.status_code == 503
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["error"]["retryable"] is True
        assert client.post("/v1/interactions", json=[{"input": "x"}]).status_code == 200  # its room was given back
        assert balanced(fw)["stored"] == 1
    with served(tmp_path / "b", server={"disk_share": 0.01}) as (client, (fw,)):
        full = client.post("/v1/interactions", json=[{"input": "x"}])
        assert (full.status_code, "disk" in full.json()["error"]["message"]) == (503, True)
        assert client.get("/readyz").json() == {"ready": False, "problems": ["disk"]}
        assert fw.books()["received"] == 0


def test_a_key_that_sends_too_much_is_held_back_alone(tmp_path: Path) -> None:
    with served(tmp_path / "a", server={"records_per_second": 0.5}) as (client, (fw,)):
        greedy, modest = (fw.keys.create(name, ["ingest"])[0] for name in ("greedy", "modest"))
        batch = [{"input": n} for n in range(8)]
        assert client.post("/v1/interactions", json=batch, headers={"X-API-Key": greedy}).status_code == 200
        held = client.post("/v1/interactions", json=batch, headers={"X-API-Key": greedy})
        assert held.status_code == 429
        assert int(held.headers["retry-after"]) >= 1
        assert client.post("/v1/interactions", json=batch, headers={"X-API-Key": modest}).status_code == 200


def test_without_consent_nothing_is_kept_but_a_count(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        said = [
            {"id": "no", "input": "marker-77", "consent": False},
            {"id": "yes", "input": 1, "consent": True},
            {"input": 2},
        ]
        answer = client.post("/v1/interactions", json=said).json()
        assert (answer["accepted"], answer["rejected"]) == (2, 1)
        fw.log(input="marker-77", consent=False)
        fw.log_many([{"input": "marker-77", "consent": False}])
        assert balanced(fw)["no_consent"] == 3
    with served(tmp_path / "b", privacy={"consent": "required"}) as (client, (fw,)):
        assert client.post("/v1/interactions", json=said).json()["accepted"] == 1
        balanced(fw)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"marker-77" not in path.read_bytes(), path


def test_what_a_recorder_dropped_stands_beside_the_books(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        for header in ('{"queue full": 12, "too large": 3}', "nonsense", '{"x": -4}', "[1]"):
            client.post("/v1/interactions", json=[{"input": 1}], headers={"X-Flywheel-Dropped": header})
        assert balanced(fw)["client_dropped"] == 15


def test_drops_that_a_recorder_tells_twice_count_once(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        for recorder, so_far in (("recorder-1", 4), ("recorder-1", 4), ("recorder-2", 10), ("recorder-1", 6)):
            headers = {"X-Flywheel-Dropped": f'{{"queue full": {so_far}}}', "X-Flywheel-Recorder": recorder}
            client.post("/v1/interactions", json=[{"input": 1}], headers=headers)
        assert balanced(fw)["client_dropped"] == 16
        assert not [name for name in fw.books() if ":" in name]


def test_figures_and_logs_hold_no_payload(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "flywheel.server"), served(tmp_path / "a") as (client, _):
        client.post("/v1/interactions", json=[{"input": "marker-88", "id": "m"}])
        client.get("/v1/interactions/marker-99")
        page = client.get("/metrics").text
    assert 'flywheel_records_total{flywheel="a",outcome="stored"} 1.0' in page
    assert 'flywheel_books{entry="received",flywheel="a"} 1.0' in page
    assert 'route="/v1/interactions/{id}"' in page
    lines = [record.line for record in caplog.records if hasattr(record, "line")]
    assert lines[0]["stored"] == 1
    assert "marker" not in json.dumps(lines) + page + caplog.text


def test_what_the_store_says_is_for_the_operator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flywheel.errors import CorruptStore, StoreUnavailable

    with served(tmp_path / "a") as (client, (fw,)):
        for failure, status in (
            (StoreUnavailable("no space under /secret"), 503),
            (CorruptStore("/secret is bad"), 500),
        ):

            def fails(*_: object, failure: Exception = failure, **__: object) -> None:
                raise failure

            monkeypatch.setattr(fw._store.log, "commit", fails)
            answer = client.post("/v1/interactions", json=[{"input": 1}])
            assert (answer.status_code, "secret" in answer.text) == (status, False)
    assert "secret" in json.dumps([record.line for record in caplog.records if hasattr(record, "line")])


def _now() -> object:
    from datetime import UTC, datetime

    return datetime.now(UTC)
