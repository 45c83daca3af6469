"""The OpenAI proxy: what the client gets is what the upstream sent, byte for byte, and the exchange is in the log.

The upstream is a loopback server that replays recorded exchanges with the real API.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml
from serving import balanced

import flywheel
from flywheel import wheel
from flywheel.server import make_app

DATA = os.environ.get("FLYWHEEL_DATA")
CASSETTES = sorted((Path(DATA) / "otel_genai_cassettes" / "openai-v2").glob("*.yaml")) if DATA else []


class Upstream:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], list[bytes]] = (200, {}, [b"{}"])
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                upstream.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, chunks = upstream.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for chunk in chunks:
                    if chunk == b"CUT":
                        self.close_connection = True
                        self.connection.close()
                        return
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self.server.socket.fileno() < 0:
            return
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def proxied(folder: Path, upstream: str, **sections: dict[str, Any]) -> Iterator[tuple[str, flywheel.Flywheel]]:
    """A real server on a free loopback port, in a thread of its own."""
    import socket

    import uvicorn

    with wheel.open(folder, proxy={"upstream": upstream, "timeout_seconds": 5.0}, **sections) as fw:
        server = uvicorn.Server(uvicorn.Config(make_app({"a": fw}), log_config=None, access_log=False))
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/openai/v1", fw
        finally:
            server.should_exit = True
            thread.join(20)
            listening.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


def logged(fw: flywheel.Flywheel, count: int = 1) -> list[flywheel.Interaction]:
    """What was logged, once it is: the log is written beside the answer."""
    for _ in range(500):
        found, _ = fw.interactions(limit=1000)
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{len(fw.interactions()[0])} of {count} were logged; {fw.dead_letters()}")


CHAT = {"model": "gpt-x", "messages": [{"role": "user", "content": "where is my card"}], "user": "ana"}
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1767225600, "model": "gpt-x-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "on its way"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}  # fmt: skip


def test_the_official_client_gets_its_answer_and_the_log_the_exchange(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answer = (200, {"Content-Type": "application/json", "x-request-id": "r1"}, [json.dumps(ANSWER).encode()])
    with proxied(tmp_path / "a", upstream.url) as (url, fw):
        client = openai.OpenAI(base_url=url, api_key="sk-upstream", max_retries=0)
        raw = client.chat.completions.with_raw_response.create(
            **CHAT, extra_headers={"X-Flywheel-Context": '{"device": "ios"}', "X-Flywheel-Session": "s1"}
        )
        assert raw.parse().choices[0].message.content == "on its way"
        (one,) = logged(fw)
        assert raw.headers["x-flywheel-interaction"] == one.id
        assert raw.headers["x-request-id"] == "r1"
        assert (one.input, one.output, one.model, one.session) == (CHAT["messages"], "on its way", "gpt-x-1", "s1")
        assert one.context["device"] == "ios"
        assert (one.context["tokens_in"], one.context["tokens_out"]) == (7, 3)
        assert one.user is not None
        assert one.user.startswith("u_")
        assert one.latency_ms is not None
        assert one.latency_ms > 0
        path, headers, body = upstream.asked[0]
        assert path == "/v1/chat/completions"
        assert json.loads(body) == CHAT
        assert headers["authorization"] == "Bearer sk-upstream"
        assert not any(name.startswith("x-flywheel") for name in headers)
        balanced(fw)


@pytest.mark.slow
def test_a_flywheel_key_is_never_passed_on(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-server")
    with proxied(tmp_path / "a", upstream.url) as (url, fw):
        key, _ = fw.keys.create("k", ["ingest"])
        time.sleep(2.1)  # until the server has noticed its first key
        for headers, expected in (
            ({"Authorization": f"Bearer {key}"}, "Bearer sk-from-the-server"),
            ({"X-Flywheel-Key": key, "Authorization": "Bearer sk-mine"}, "Bearer sk-mine"),
            ({"X-API-Key": key}, "Bearer sk-from-the-server"),
        ):
            assert httpx.post(f"{url}/chat/completions", json=CHAT, headers=headers).status_code == 200
            _, got, _ = upstream.asked[-1]
            assert got["authorization"] == expected
            assert key not in json.dumps(got)
        refused = httpx.post(f"{url}/chat/completions", json=CHAT, headers={"Authorization": "Bearer sk-mine"})
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"


@pytest.mark.slow
@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
@pytest.mark.skipif(not CASSETTES, reason="FLYWHEEL_DATA is not set: no recorded exchanges here")
def test_recorded_exchanges_pass_through_and_are_logged(tmp_path: Path, upstream: Upstream, path: Path) -> None:
    exchanges = [
        one
        for one in yaml.safe_load(path.read_text(encoding="utf-8"))["interactions"]
        if one["request"]["uri"].endswith(("/chat/completions", "/responses"))
    ]
    if not exchanges:
        pytest.skip("no chat in this cassette")
    with proxied(tmp_path / "a", upstream.url) as (url, fw):
        for number, one in enumerate(exchanges, 1):
            body, answer = one["request"]["body"], one["response"]["body"]["string"]
            answer = answer if isinstance(answer, bytes) else answer.encode()
            headers = {"Content-Type": dict(one["response"]["headers"])["Content-Type"][0]}
            upstream.answer = (
                one["response"]["status"]["code"],
                headers,
                [answer[i : i + 97] for i in range(0, len(answer), 97)],
            )
            target = one["request"]["uri"].rpartition("/v1")[2]
            got = httpx.post(
                url + target, content=body, headers={"Content-Type": "application/json", "Authorization": "Bearer x"}
            )
            assert (got.status_code, got.content) == (one["response"]["status"]["code"], answer)
            kept = {i.id: i for i in logged(fw, number)}[got.headers["x-flywheel-interaction"]]
            assert kept.input
            assert (
                (kept.error is None) == (got.status_code == 200)
                or "refusal" in str(kept.error)
                or "stream" in str(kept.error)
            )
            assert kept.output is not None or kept.error is not None
        assert fw.dead_letters() == []
        balanced(fw)


def test_a_stream_arrives_piece_by_piece(tmp_path: Path, upstream: Upstream) -> None:
    words = ["on ", "its ", "way"]
    chunks = [
        b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m",
                                "choices": [{"index": 0, "delta": {"content": word}}]}).encode() + b"\n\n"
        for word in words
    ]  # fmt: skip
    upstream.answer = (200, {"Content-Type": "text/event-stream"}, [*chunks, b"data: [DONE]\n\n"])
    with proxied(tmp_path / "a", upstream.url) as (url, fw):
        client = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == words
        (one,) = logged(fw)
        assert (one.output, one.error) == ("on its way", None)
        assert "first_byte_ms" in one.context


def test_errors_cuts_and_refusals_are_logged_as_such(tmp_path: Path, upstream: Upstream) -> None:
    said = {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
    with proxied(tmp_path / "a", upstream.url) as (url, fw):
        upstream.answer = (429, {"Content-Type": "application/json", "Retry-After": "7"}, [json.dumps(said).encode()])
        limited = httpx.post(f"{url}/chat/completions", json=CHAT)
        assert (limited.status_code, limited.headers["retry-after"], limited.json()) == (429, "7", said)
        assert "slow down" in str(logged(fw, 1)[0].error)
        upstream.answer = (200, {"Content-Type": "application/json"}, [b'{"id": "x", "cho', b"CUT"])
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{url}/chat/completions", json=CHAT)
        assert "broke off" in str(logged(fw, 2)[1].error)
        refusal = {**ANSWER, "choices": [{"index": 0, "message": {"role": "assistant", "refusal": "I cannot"}}]}
        upstream.answer = (200, {"Content-Type": "application/json"}, [json.dumps(refusal).encode()])
        assert httpx.post(f"{url}/chat/completions", json=CHAT).status_code == 200
        assert "refusal" in str(logged(fw, 3)[2].error)
        balanced(fw)


def test_an_absent_upstream_is_told_and_logged(tmp_path: Path, upstream: Upstream) -> None:
    upstream.close()
    with proxied(tmp_path / "a", upstream.url) as (url, fw):
        gone = httpx.post(f"{url}/chat/completions", json=CHAT)
        assert (gone.status_code, gone.json()["error"]["code"]) == (502, "upstream_unreachable")
        assert "upstream_unreachable" in str(logged(fw)[0].error)
        balanced(fw)


def test_the_product_is_answered_even_when_nothing_can_be_recorded(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answer = (200, {"Content-Type": "application/json"}, [json.dumps(ANSWER).encode()])
    with proxied(tmp_path / "a", upstream.url, server={"disk_share": 0.01}) as (url, fw):
        assert httpx.post(f"{url}/chat/completions", json=CHAT).json() == ANSWER
        page = ""
        for _ in range(200):
            page = httpx.get(url.replace("/openai/v1", "/metrics")).text
            if "flywheel_proxy_unrecorded_total" in page and 'reason="Overloaded"' in page:
                break
            time.sleep(0.01)
        assert 'flywheel_proxy_unrecorded_total{reason="Overloaded"} 1.0' in page
        assert fw.books()["received"] == 0


def test_without_an_upstream_there_is_no_proxy(tmp_path: Path) -> None:
    with proxied(tmp_path / "a", "") as (url, _):
        answer = httpx.post(f"{url}/chat/completions", json=CHAT)
        assert answer.status_code == 404
        assert "[proxy] upstream" in answer.json()["error"]["message"]
