"""The OpenAI client, watched: each call is logged with its answer, and the product gets what it would get without.

The client is the real one; a loopback server plays the API. With FLYWHEEL_DATA set, it replays exchanges recorded from
the live service; a few made-up ones are always tried.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from told import Told

from flywheel.capture.integrations import watch_openai

openai = pytest.importorskip("openai")

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1731368639,
    "model": "gpt-4o-2024",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
PIECES = [
    {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}
    for choice in (
        {"index": 0, "delta": {"role": "assistant", "content": "H"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "i"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    )
]
SSE = "".join(f"data: {json.dumps(piece)}\n\n" for piece in PIECES) + "data: [DONE]\n\n"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


class Api(ThreadingHTTPServer):
    daemon_threads = True
    status, body, kind = 200, "", "application/json"

    def plays(self, body, status=200, kind="application/json"):
        self.body, self.status, self.kind = body, status, kind


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = self.server.body.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def api():
    server = Api(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server.plays(json.dumps(CHAT))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def told():
    return Told()


def client_of(api, kind=None):
    make = kind or openai.OpenAI
    return make(api_key="k", base_url=f"http://127.0.0.1:{api.server_port}/v1", max_retries=0)


def test_a_chat_completion(api, told):
    client = client_of(api)
    assert watch_openai(client, told) is client
    answer = client.chat.completions.create(**ASK, temperature=0.5, user="ana", metadata={"session_id": "s1"})
    assert answer.choices[0].message.content == "Hi"
    (seen,) = told.seen
    assert (seen["id"], seen["input"], seen["output"]) == ("chatcmpl-1", ASK["messages"], "Hi")
    assert (seen["model"], seen["user"], seen["session"]) == ("gpt-4o-2024", "ana", "s1")
    context = seen["context"]
    assert (context["tokens_in"], context["tokens_out"], context["temperature"]) == (5, 2, 0.5)
    assert (context["finish_reason"], context["operation"]) == ("stop", "chat")
    assert seen["latency_ms"] > 0


def test_a_stream_is_the_same_object_with_the_same_chunks(api, told):
    api.plays(SSE, kind="text/event-stream")
    plain = [chunk.model_dump() for chunk in client_of(api).chat.completions.create(**ASK, stream=True)]
    stream = watch_openai(client_of(api), told).chat.completions.create(**ASK, stream=True)
    assert isinstance(stream, openai.Stream)
    first = next(stream)
    assert told.seen == []  # it is not over
    assert [chunk.model_dump() for chunk in (first, *stream)] == plain
    (seen,) = told.seen
    assert (seen["id"], seen["output"], seen["context"]["finish_reason"]) == ("chatcmpl-2", "Hi", "stop")
    assert 0 < seen["context"]["first_chunk_ms"] <= seen["latency_ms"]


def test_a_stream_that_nobody_reads_on_is_logged_when_it_is_closed(api, told):
    api.plays(SSE, kind="text/event-stream")
    with watch_openai(client_of(api), told).chat.completions.create(**ASK, stream=True) as stream:
        next(stream)
    (seen,) = told.seen
    assert (seen["output"], seen["extra"]["stopped_early"]) == ("H", True)
    assert "error" not in seen


def test_a_stream_that_breaks_raises_as_before(api, told):
    api.plays(
        f'data: {json.dumps(PIECES[0])}\n\ndata: {{"error": {{"type": "server_error", "message": "no more"}}}}\n\n',
        kind="text/event-stream",
    )
    with pytest.raises(openai.APIError, match="no more"):
        list(watch_openai(client_of(api), told).chat.completions.create(**ASK, stream=True))
    (seen,) = told.seen
    assert seen["output"] == "H"
    assert "server_error: no more" in seen["error"]


def test_errors_of_the_api_are_logged_and_raised(api, told):
    api.plays(json.dumps({"error": {"type": "invalid_request_error", "message": "no such model"}}), status=404)
    with pytest.raises(openai.NotFoundError):
        watch_openai(client_of(api), told).chat.completions.create(**ASK)
    (seen,) = told.seen
    assert seen["error"] == "NotFoundError: invalid_request_error: no such model"
    assert seen["output"] is None
    assert seen["input"] == ASK["messages"]


def test_asynchronous_calls_and_streams(api, told):
    async def run():
        client = watch_openai(client_of(api, openai.AsyncOpenAI), told)
        answer = await client.chat.completions.create(**ASK)
        api.plays(SSE, kind="text/event-stream")
        stream = await client.chat.completions.create(**ASK, stream=True)
        chunks = [chunk async for chunk in stream]
        stopped = await client.chat.completions.create(**ASK, stream=True)
        await anext(stopped)
        await stopped.close()
        api.plays("{}", status=500)
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**ASK)
        await client.close()
        return answer, chunks

    answer, chunks = asyncio.run(run())
    assert answer.id == "chatcmpl-1"
    assert len(chunks) == 3
    assert [seen["output"] for seen in told.seen] == ["Hi", "Hi", "H", None]
    assert told.seen[3]["error"].startswith("InternalServerError")


def test_answers_with_their_headers(api, told):
    client = watch_openai(client_of(api), told)
    raw = client.chat.completions.with_raw_response.create(**ASK)
    assert raw.parse().id == "chatcmpl-1"
    api.plays(SSE, kind="text/event-stream")
    raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
    assert len(list(raw.parse())) == 3
    assert [seen["output"] for seen in told.seen] == ["Hi", "Hi"]


def test_an_answer_handed_back_as_a_message(api, told):
    client = watch_openai(client_of(api), told)
    answer = client.chat.completions.create(**ASK)
    client.chat.completions.create(model="gpt-4o", messages=[*ASK["messages"], answer.choices[0].message])
    assert told.seen[1]["input"] == [*ASK["messages"], {"role": "assistant", "content": "Hi"}]


def test_more_fields_and_trouble_inside(api):
    told = Told()
    client = watch_openai(client_of(api), told, fields=lambda request: {"user": "bo", "context": {"app": "x"}})
    client.chat.completions.create(**ASK)
    assert (told.seen[0]["user"], told.seen[0]["context"]["app"]) == ("bo", "x")
    broken = watch_openai(client_of(api), told, fields=lambda request: request["nothing"])
    assert broken.chat.completions.create(**ASK).id == "chatcmpl-1"
    assert watch_openai(client_of(api), Told(OSError())).chat.completions.create(**ASK).id == "chatcmpl-1"


def test_watching_twice_logs_once(api, told):
    client = watch_openai(watch_openai(client_of(api), told), told)
    client.chat.completions.create(**ASK)
    assert len(told.seen) == 1


RECORDED = Path(os.environ.get("FLYWHEEL_DATA", "")) / "otel_genai_cassettes" / "openai-v2"


def cassettes():
    if not os.environ.get("FLYWHEEL_DATA") or not RECORDED.is_dir():
        skip = pytest.mark.skip(reason="FLYWHEEL_DATA does not name the folder with otel_genai_cassettes")
        return [pytest.param("", marks=skip)]
    names = sorted(path.name for path in RECORDED.glob("*.yaml"))
    return [name for name in names if "embeddings" not in name]


@pytest.mark.parametrize("name", cassettes())
def test_what_the_live_service_answered_passes_and_is_logged(name, api):
    yaml = pytest.importorskip("yaml")
    exchange = yaml.safe_load((RECORDED / name).read_text("utf-8"))["interactions"][0]
    request = json.loads(exchange["request"]["body"])
    kind = {key.lower(): value[0] for key, value in exchange["response"]["headers"].items()}.get("content-type", "")
    api.plays(exchange["response"]["body"]["string"], exchange["response"]["status"]["code"], kind)
    told = Told()

    def ask(client):
        create = (
            client.responses.create if "/responses" in exchange["request"]["uri"] else client.chat.completions.create
        )
        try:
            answer = create(**request)
            return [one.model_dump() for one in answer] if request.get("stream") else answer.model_dump()
        except openai.APIError as problem:
            return type(problem), problem.message

    assert ask(watch_openai(client_of(api), told)) == ask(client_of(api))
    (seen,) = told.seen
    assert seen["input"]
    said = json.dumps(seen["output"], ensure_ascii=False)
    if api.status >= 400:
        assert seen["error"]
    else:
        assert seen["output"] is not None or seen.get("error"), said
        assert "tokens_out" in seen["context"] or request.get("stream")
    if "tool" in name and api.status == 200 and "response" not in name:
        assert "tool_calls" in said or isinstance(seen["output"], str)


@pytest.mark.parametrize("name", [name for name in cassettes() if isinstance(name, str) and "streaming" in name])
def test_what_the_live_service_streamed_passes_asynchronously(name, api):
    yaml = pytest.importorskip("yaml")
    exchange = yaml.safe_load((RECORDED / name).read_text("utf-8"))["interactions"][0]
    request = json.loads(exchange["request"]["body"])
    api.plays(exchange["response"]["body"]["string"], exchange["response"]["status"]["code"], "text/event-stream")
    told = Told()

    async def ask(client):
        responses = "/responses" in exchange["request"]["uri"]
        create = client.responses.create if responses else client.chat.completions.create
        try:
            return [one.model_dump() async for one in await create(**request)]
        except openai.APIError as problem:
            return type(problem)

    watched = asyncio.run(ask(watch_openai(client_of(api, openai.AsyncOpenAI), told)))
    assert watched == asyncio.run(ask(client_of(api, openai.AsyncOpenAI)))
    assert len(told.seen) == 1
