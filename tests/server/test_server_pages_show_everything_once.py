"""Reading page by page: nothing twice, nothing left out, filters that hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from serving import served
from starlette.testclient import TestClient

from flywheel.records import Mode, Release, Spin

AT = datetime(2026, 3, 1, tzinfo=UTC)


def walk(client: TestClient, path: str, limit: int, **filters: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    after = None
    for _ in range(1000):
        asked = {"limit": limit, **filters, **({} if after is None else {"after": after})}
        page = client.get(path, params=asked).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        after = page["next"]
        if after is None:
            return found
    raise AssertionError("the pages do not end")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
def test_interactions_come_once_and_in_order(tmp_path: Path, limit: int) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        for n in range(20):
            said = {"model": f"v{n % 2}", "error": "x" if n % 5 == 0 else None, "confidence": n / 20}
            context = {"device": "ios" if n % 2 else "web", "hour": n % 3, "beta": n == 3}
            fw.log(id=f"i{n}", input=n, at=AT + timedelta(hours=n), context=context, **said)
            fw.feedback(f"i{n}", rating=1)

        def ids(**filters: str) -> list[str]:
            return [str(item["id"]) for item in walk(client, "/v1/interactions", limit, **filters)]

        assert ids() == [f"i{n}" for n in range(20)]
        assert ids(model="v1") == [f"i{n}" for n in range(1, 20, 2)]
        assert ids(error="true") == ["i0", "i5", "i10", "i15"]
        assert ids(since="2026-03-01T05:00:00Z", until="2026-03-01T07:00:00Z") == ["i5", "i6"]
        assert ids(below_confidence="0.1") == ["i0", "i1"]
        assert ids(**{"context.device": "ios", "context.hour": "1"}) == ["i1", "i7", "i13", "i19"]
        assert ids(**{"context.beta": "true"}) == ["i3"]
        assert ids(**{"context.nobody": "x"}) == []
        assert ids(**{"context.hour": "noon"}) == []


def test_a_page_has_at_most_a_thousand(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        fw.log_many([{"input": n} for n in range(1100)])
        assert len(client.get("/v1/interactions", params={"limit": 1000}).json()["items"]) == 1000
        assert client.get("/v1/interactions", params={"limit": 1001}).status_code == 422
        assert client.get("/v1/interactions", params={"device": "ios"}).status_code == 422
        assert client.get("/v1/interactions", params={"since": "2026-03-01T05:00:00"}).status_code == 422
        assert client.get("/v1/interactions", params={"until": "2183-12-25T05:38:08+14:01"}).status_code == 200
        assert client.get("/v1/interactions", params={"until": "9999-12-31T23:59:59-01:00"}).status_code == 422
        for name in ("user", "session", "model", "context.device"):
            refused = client.get("/v1/interactions", params={name: "×\x00C"})
            assert refused.status_code == 422
            assert "NUL" in refused.json()["error"]["message"]


def test_modes_spins_and_releases_by_page_and_filter(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        state = fw._store.state
        state.save_modes([Mode(id=f"m{n}", name=f"mode {n}", state="fixed" if n % 2 else "open") for n in range(5)])
        for n in range(4):
            state.save_spin(Spin(number=n + 1, state="done" if n else "waiting", step="measure", started_at=AT))
            state.save_release(
                Release(version=f"v{n}", role="champion" if n == 3 else "retired", folder=f"models/v{n}", at=AT)
            )
        assert len(walk(client, "/v1/modes", 2)) == 5
        assert {item["id"] for item in walk(client, "/v1/modes", 2, state="fixed")} == {"m1", "m3"}
        assert [item["number"] for item in walk(client, "/v1/spins", 3)] == [1, 2, 3, 4]
        assert [item["number"] for item in walk(client, "/v1/spins", 3, state="waiting")] == [1]
        assert [item["version"] for item in walk(client, "/v1/releases", 1)] == ["v0", "v1", "v2", "v3"]
        assert len(walk(client, "/v1/releases", 1, role="retired")) == 4  # the registry calls none of them champion
        assert client.get("/v1/modes/m1").json()["name"] == "mode 1"
        assert client.get("/v1/spins/2").json()["state"] == "done"
        for path in ("/v1/modes/none", "/v1/spins/99", "/v1/interactions/none"):
            assert client.get(path).status_code == 404
        assert client.get("/v1/failures").json() == {"items": [], "next": None}


def test_the_description_is_complete(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, _):
        described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            assert operation.get("description"), place
            assert operation["x-scope"], place
            assert operation["x-scope"] == "public" or operation["security"] == [{"key": []}], place
            assert any(code.startswith("2") for code in operation["responses"]), place
    names = described["components"]["schemas"]
    assert {"Interaction", "Failure", "Mode", "Spin", "Release"} <= set(names)
