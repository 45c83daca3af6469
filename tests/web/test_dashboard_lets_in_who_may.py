"""Who gets past the door of the dashboard, and what every answer to a browser carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel
from flywheel.server.routes import undeclared

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
from sklearn.dummy import DummyClassifier
from starlette.testclient import TestClient

from flywheel.server import make_app

HTML = {"accept": "text/html"}


@pytest.fixture
def keyed(tmp_path: Path) -> Any:
    with wheel.open(tmp_path, task="classification", release={"registry": "folder"}) as fw:
        fw.log(input="a", output="b")
        keys = {scope: fw.keys.create(scope, [scope])[0] for scope in ("ingest", "read")}
        app = make_app({"bot": fw})
        assert undeclared(app) == []
        with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
            yield client, fw, keys


def test_without_a_key_a_page_leads_to_the_sign_in_and_a_key_to_the_page(keyed: Any) -> None:
    client, _, keys = keyed
    away = client.get("/modes?state=open", headers=HTML)
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=%2Fmodes%3Fstate%3Dopen")
    assert client.post("/sign-in", data={"key": keys["ingest"]}).status_code == 401
    assert client.post("/sign-in", data={"key": "fw_no"}).status_code == 401
    home = client.post("/sign-in?next=//evil.example", data={"key": keys["read"]})
    assert (home.status_code, home.headers["location"]) == (303, "/")
    cookie = home.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert keys["read"] not in home.headers["set-cookie"]
    assert client.get("/modes", headers=HTML).status_code == 200
    assert client.get("/v1/interactions").status_code == 401, "the cookie is no key for the API"
    client.post("/sign-out")
    assert client.get("/modes", headers=HTML).status_code == 303


def test_another_sites_page_is_turned_away(keyed: Any) -> None:
    client, _, keys = keyed
    evil = {"origin": "http://evil.example"}
    assert client.post("/sign-in", data={"key": keys["read"]}, headers=evil).status_code == 403
    assert client.get("/_nicegui_ws/socket.io/?EIO=4&transport=polling", headers=evil).status_code == 403
    assert client.get("/_nicegui_ws/socket.io/?EIO=4&transport=polling").status_code == 403


def test_scripts_run_only_with_the_answers_own_nonce(keyed: Any) -> None:
    client, _, keys = keyed
    page = client.get("/modes", headers={**HTML, "authorization": f"Bearer {keys['read']}"})
    policy = page.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    script = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe-inline" not in script
    assert page.text.count("<script") == page.text.count(f'<script nonce="{nonce}"') > 0
    assert "http" not in policy


def test_the_api_keeps_its_answers_beside_the_pages(keyed: Any) -> None:
    client, _, keys = keyed
    key = {"authorization": f"Bearer {keys['read']}"}
    assert client.get("/nowhere").json()["error"]["message"] == "Not Found"
    assert client.put("/v1/interactions", headers=key).status_code == 405
    assert (
        client.get("/", headers={"authorization": f"Bearer {keys['ingest']}"}).json()["tagline"]
        == "You Know, for Search"
    )


def test_only_a_releaser_is_offered_to_change_what_is_in_production(keyed: Any) -> None:
    client, fw, keys = keyed
    for answer in "ab":
        fw.adopt(DummyClassifier(strategy="constant", constant=answer).fit([["x"], ["y"]], [answer, answer]))
    keys |= {scope: fw.keys.create(scope, ["read", scope])[0] for scope in ("label", "release")}
    offered = {
        scope: client.get("/releases", headers={**HTML, "authorization": f"Bearer {keys[scope]}"}).text
        for scope in ("read", "label", "release")
    }
    assert "Change what is in production" in offered["release"]
    assert "Change what is in production" not in offered["read"] + offered["label"]


def test_a_prefix_chooses_the_flywheel_and_its_links_keep_it(keyed: Any) -> None:
    client, _, keys = keyed
    page = client.get("/flywheels/bot/modes", headers={**HTML, "authorization": f"Bearer {keys['read']}"})
    assert page.status_code == 200
    assert '"/flywheels/bot/spins"' in page.text
    away = client.get("/flywheels/bot/modes", headers=HTML)
    assert away.headers["location"] == "/flywheels/bot/sign-in?next=%2Fflywheels%2Fbot%2Fmodes"
    assert client.get("/flywheels/bot/sign-in", headers=HTML).status_code == 200
