"""Who signed in stays signed in when the server restarts, and not a moment longer than their key is good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel
from flywheel.errors import Unauthenticated

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
from starlette.testclient import TestClient

from flywheel.server import make_app

HTML = {"accept": "text/html"}
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"


@contextmanager
def served(folder: Path, **app: Any) -> Iterator[tuple[TestClient, Any]]:
    with (
        wheel.open(folder, task="classification") as fw,
        TestClient(
            make_app({"bot": fw}, **app), base_url="http://127.0.0.1", follow_redirects=False, client=("127.0.0.1", 5)
        ) as client,
    ):
        yield client, fw


def sign_in(client: TestClient, key: str) -> Any:
    answer = client.post("/sign-in", data={"key": key})
    assert answer.status_code == 303, answer.text
    return answer


def test_a_restart_of_the_server_keeps_people_signed_in(tmp_path: Path) -> None:
    with served(tmp_path) as (client, fw):
        text, _ = fw.keys.create("ana", ["read"])
        sign_in(client, text)
        cookies = dict(client.cookies)
    with served(tmp_path) as (client, _):
        client.cookies.update(cookies)
        assert client.get("/modes", headers=HTML).status_code == 200


def test_a_revoked_key_ends_its_sessions_at_once_and_no_others(tmp_path: Path) -> None:
    with served(tmp_path) as (client, fw):
        (ana, key), (ben, _) = (fw.keys.create(name, ["read"]) for name in ("ana", "ben"))
        sign_in(client, ben)
        bens = dict(client.cookies)
        sign_in(client, ana)
        assert client.get("/modes", headers=HTML).status_code == 200
        fw.keys.revoke(key.id)
        assert client.get("/modes", headers=HTML).status_code == 303
        assert client.get(SOCKET).status_code == 403
        client.cookies.clear()
        client.cookies.update(bens)
        assert client.get("/modes", headers=HTML).status_code == 200


def test_signing_out_ends_the_session_and_not_only_the_cookie(tmp_path: Path) -> None:
    with served(tmp_path) as (client, fw):
        sign_in(client, fw.keys.create("ana", ["read"])[0])
        kept = dict(client.cookies)
        client.post("/sign-out")
        client.cookies.update(kept)
        assert client.get("/modes", headers=HTML).status_code == 303
        assert fw.sessions.all() == []


def test_neither_tokens_nor_keys_are_written_down(tmp_path: Path) -> None:
    with served(tmp_path) as (client, fw):
        text, _ = fw.keys.create("ana", ["read"])
        sign_in(client, text)
        token, link = client.cookies["flywheel_session"], fw.sessions.link()
        stored = b"".join(file.read_bytes() for file in tmp_path.glob("flywheel.db*"))
    for secret in (token, link, text.rpartition("_")[2]):
        assert secret.encode() not in stored


def test_a_session_follows_its_keys_scopes_secret_and_time(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with wheel.open(tmp_path, server={"session_hours": 2.0}) as fw:
        text, key = fw.keys.create("ana", ["read"], expires_at=now + timedelta(hours=1))
        token = fw.sessions.begin(text, now=now)
        assert fw.sessions.find(token, now=now + timedelta(minutes=59)).who == key.id
        with pytest.raises(Unauthenticated):
            fw.sessions.find(token, now=now + timedelta(minutes=61))
        lasting, other = fw.keys.create("ben", ["read"])
        token, also = fw.sessions.begin(lasting, now=now), fw.sessions.begin(lasting, now=now)
        with pytest.raises(Unauthenticated):
            fw.sessions.find(also, now=now + timedelta(hours=2))
        fw.keys.rotate(other.id, grace=timedelta(minutes=30), now=now)
        assert fw.sessions.find(token, now=now + timedelta(minutes=29)).key == other.id
        with pytest.raises(Unauthenticated):
            fw.sessions.find(token, now=now + timedelta(minutes=31))


def test_the_link_of_this_machine_signs_in_once_and_soon(tmp_path: Path) -> None:
    with served(tmp_path, loopback=True) as (client, fw):
        fw.keys.create("ana", ["read"])
        path = f"/sign-in/link?token={fw.sessions.link()}"
        assert client.get("/modes", headers=HTML).status_code == 303
        assert client.head(path).status_code == 405
        assert client.get(path, headers={"host": "flywheel.example"}).status_code == 403
        assert (client.get(path).status_code, client.get("/modes", headers=HTML).status_code) == (303, 200)
        assert fw.sessions.all()[0].who == "this machine"
        client.cookies.clear()
        again = client.get(path)
        assert (again.status_code, "has been used" in again.text) == (401, True)
        assert client.get("/modes", headers=HTML).status_code == 303
        old = fw.sessions.link(now=datetime.now(UTC) - timedelta(minutes=11))
        assert client.get(f"/sign-in/link?token={old}").status_code == 401


def test_a_link_is_worth_nothing_where_others_reach_the_server(tmp_path: Path) -> None:
    with served(tmp_path, loopback=False) as (client, fw):
        fw.keys.create("ana", ["read"])
        assert client.get(f"/sign-in/link?token={fw.sessions.link()}").status_code == 403
        assert fw.sessions.all() == []


def test_a_links_secret_is_no_session_and_a_sessions_token_no_link(tmp_path: Path) -> None:
    with wheel.open(tmp_path) as fw:
        link = fw.sessions.link()
        with pytest.raises(Unauthenticated):
            fw.sessions.find(link)
        token = fw.sessions.redeem(link)
        with pytest.raises(Unauthenticated):
            fw.sessions.redeem(token)
        assert fw.sessions.revoke(fw.sessions.all()[0].id).way == "link"
        with pytest.raises(Unauthenticated):
            fw.sessions.find(token)


def test_an_open_page_hears_nothing_more_once_its_key_is_revoked(tmp_path: Path) -> None:
    from starlette.websockets import WebSocketDisconnect

    with served(tmp_path) as (client, fw):
        text, key = fw.keys.create("ana", ["read"])
        sign_in(client, text)
        cookie = f"flywheel_session={client.cookies['flywheel_session']}"
        headers = {"cookie": cookie, "host": "127.0.0.1", "upgrade": "websocket"}
        with client.websocket_connect("/_nicegui_ws/socket.io/?EIO=4&transport=websocket", headers=headers) as socket:
            assert socket.receive_text().startswith("0")
            fw.keys.revoke(key.id)
            socket.send_text("40")
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert closed.value.code == 4403
