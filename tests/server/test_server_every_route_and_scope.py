"""Deny by default: every route is tried with every scope, with no key, and with keys that are not good."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from serving import served
from starlette.testclient import TestClient

from flywheel.errors import InvalidConfig
from flywheel.govern import SCOPES
from flywheel.server import Routes, make_app
from flywheel.server.groups import all_routes
from flywheel.server.serve import serve

DECLARED = [
    (method, route.path, route.openapi_extra["x-scope"])
    for group in all_routes()
    for route in group.router.routes
    for method in sorted(route.methods)
]
PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/report-form", "/v1/reports/{token}"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    here, there = tmp_path_factory.mktemp("one") / "a", tmp_path_factory.mktemp("two") / "b"
    with served(here, there, server={"records_per_second": 0.0}) as (client, (fw, _)):
        keys = {scope: fw.keys.create(scope, [scope])[0] for scope in SCOPES}
        yield client, keys


def call(client: TestClient, method: str, path: str, headers: dict[str, str]) -> int:
    filled = re.sub(r"\{number\}", "1", re.sub(r"\{\w+\}", "x", path))
    return client.request(method, filled, headers=headers).status_code


@pytest.mark.parametrize(("method", "path", "scope"), DECLARED, ids=lambda value: str(value))
def test_a_route_lets_in_its_own_scope_and_admin_alone(
    house: tuple[TestClient, dict[str, str]], method: str, path: str, scope: str
) -> None:
    client, keys = house
    for held, key in keys.items():
        status = call(client, method, path, {"Authorization": f"Bearer {key}"})
        allowed = scope == "public" or held in (scope, "admin")
        assert (status == 403) != allowed, f"{held} on {method} {path}: {status}"
        assert status != 401
    without = call(client, method, path, {})
    assert (without == 401) == (scope != "public"), without
    wrong = call(client, method, path, {"X-API-Key": "fw_000000000000_" + "A" * 43})
    assert (wrong == 401) == (scope != "public")


def test_only_these_routes_are_public() -> None:
    assert {path for _, path, scope in DECLARED if scope == "public"} <= PUBLIC


def test_ingest_reads_nothing(house: tuple[TestClient, dict[str, str]]) -> None:
    client, keys = house
    reading = [(method, path) for method, path, scope in DECLARED if method == "GET" and scope == "ingest"]
    for method, path in reading:  # what shippers ask before they write tells nothing that was logged
        client.post("/v1/interactions", json=[{"input": "marker-66"}], headers={"X-API-Key": keys["ingest"]})
        assert "marker-66" not in client.request(method, path, headers={"X-API-Key": keys["ingest"]}).text


def test_a_route_without_a_scope_cannot_be_registered(tmp_path: Path) -> None:
    routes = Routes()
    with pytest.raises(TypeError, match="scope"):
        routes.get("/open")  # type: ignore[call-arg]
    with pytest.raises(InvalidConfig, match="'everyone'"):
        routes.get("/open", scope="everyone")(lambda request: None)  # type: ignore[arg-type, return-value]


def test_an_application_with_an_undeclared_route_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi import APIRouter

    from flywheel.server import groups

    sneaky = Routes()
    sneaky.router = APIRouter()
    sneaky.router.add_api_route("/open", lambda: "hello")
    monkeypatch.setattr(groups, "all_routes", lambda: (sneaky,))
    with pytest.raises(InvalidConfig, match="/open"), served(tmp_path / "a"):
        pass


def test_keys_that_are_not_good_any_more(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, (fw,)):
        past = datetime.now(UTC) - timedelta(hours=1)
        expired, _ = fw.keys.create("old", ["ingest"], expires_at=past, now=past - timedelta(days=1))
        revoked, key = fw.keys.create("gone", ["ingest"])
        good, kept = fw.keys.create("good", ["ingest"])
        fw.keys.revoke(key.id)
        for text in (expired, revoked, good[:-1], good + "A", "", "fw_", good.replace(kept.id, key.id)):
            answer = client.post("/v1/interactions", json=[{"input": 1}], headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code == 401, text
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert good.rpartition("_")[2] not in answer.text
        basic = base64.b64encode(f"elastic:{good}".encode()).decode()
        pair = base64.b64encode(f"{kept.id}:{good}".encode()).decode()
        for headers in (
            {"Authorization": f"Bearer {good}"}, {"X-API-Key": good}, {"X-Flywheel-Key": good},
            {"Authorization": f"Basic {basic}"}, {"Authorization": f"ApiKey {pair}"},
        ):  # fmt: skip
            assert client.post("/v1/interactions", json=[{"input": 1}], headers=headers).status_code == 200


def test_a_rotated_key_goes_on_for_its_grace(tmp_path: Path) -> None:
    import flywheel

    with flywheel.open(tmp_path / "a") as fw:
        now = datetime.now(UTC)
        old, key = fw.keys.create("k", ["ingest"], now=now)
        new, _ = fw.keys.rotate(key.id, grace=timedelta(hours=1), now=now)
        assert fw.keys.find(old, now=now + timedelta(minutes=59)).id == fw.keys.find(new, now=now).id == key.id
        for text in (old, "fw_x_y"):
            with pytest.raises(flywheel.Permanent):
                fw.keys.find(text, now=now + timedelta(hours=2))
        assert fw.keys.all()[0].last_used is not None
        stored = (tmp_path / "a" / "flywheel.db").read_bytes() + (tmp_path / "a" / "flywheel.db-wal").read_bytes()
        assert not any(text.rpartition("_")[2].encode() in stored for text in (old, new))


def test_without_keys_only_this_machine_is_answered(tmp_path: Path) -> None:
    with served(tmp_path / "a") as (client, _):
        for host, origin, status in (
            ("127.0.0.1:8377", None, 200), ("localhost", "http://localhost:3000", 200), ("[::1]:80", None, 200),
            ("evil.example", None, 403), ("127.0.0.1", "https://evil.example", 403), ("127.0.0.1", "null", 403),
            ("127.0.0.1.evil.example", None, 403),
        ):  # fmt: skip
            headers = {"Host": host} | ({"Origin": origin} if origin else {})
            assert client.post("/v1/interactions", json=[{"input": 1}], headers=headers).status_code == status, host


def test_a_public_address_is_refused_without_keys(tmp_path: Path) -> None:
    import flywheel

    flywheel.open(tmp_path / "a").close()
    with pytest.raises(InvalidConfig, match="flywheel keys create"):
        serve([tmp_path / "a"], host="0.0.0.0", port=0)


def test_no_flywheel_no_server() -> None:
    with pytest.raises(InvalidConfig, match="Name a folder"):
        make_app({})
