"""FastAPI, Starlette and Flask: chosen routes are logged with their bodies, bounded, and nothing passes differently."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from told import Told

from flywheel.capture.integrations import AsgiMiddleware, WsgiMiddleware

fastapi = pytest.importorskip("fastapi")
flask = pytest.importorskip("flask")
from fastapi.testclient import TestClient  # noqa: E402
from starlette.responses import StreamingResponse  # noqa: E402


@pytest.fixture
def told():
    return Told()


def fastapi_app(told=None, **options):
    app = fastapi.FastAPI()

    @app.post("/chat")
    async def chat(request: fastapi.Request):
        body = await request.json()
        return {"answer": body["text"].upper(), "id": getattr(request.state, "flywheel_id", None)}

    @app.post("/stream")
    async def stream():
        async def pieces():
            for word in ("one ", "two ", "three"):
                yield word
                await asyncio.sleep(0)

        return StreamingResponse(pieces(), media_type="text/plain")

    @app.post("/broken")
    async def broken():
        raise ValueError("bad wires")

    @app.post("/form")
    async def form(request: fastapi.Request):
        return fastapi.Response(b"\0\1" * 10, media_type="image/png", headers={"x": (await request.body()).decode()})

    @app.get("/search")
    async def search(q: str):
        return [q]

    if told is not None:
        app.add_middleware(AsgiMiddleware, to=told, **options)
    return app


def flask_app(told=None, **options):
    app = flask.Flask("shop")
    app.testing = False

    @app.post("/chat")
    def chat():
        return {"answer": flask.request.get_json()["text"].upper(), "id": flask.request.environ.get("flywheel.id")}

    @app.post("/stream")
    def stream():
        return flask.Response((word for word in ("one ", "two ", "three")), mimetype="text/plain")

    @app.post("/broken")
    def broken():
        raise ValueError("bad wires")

    @app.post("/form")
    def form():
        return flask.Response(b"\0\1" * 10, mimetype="image/png", headers={"x": flask.request.get_data(as_text=True)})

    @app.get("/search")
    def search():
        return flask.jsonify([flask.request.args["q"]])

    if told is not None:
        app.wsgi_app = WsgiMiddleware(app.wsgi_app, to=told, **options)
    return app


class Asgi:
    def __init__(self, told=None, **options):
        self.client = TestClient(fastapi_app(told, **options), raise_server_exceptions=False)

    def ask(self, method, path, **given):
        answer = self.client.request(method, path, **given)
        return answer.status_code, answer.content


class Wsgi:
    def __init__(self, told=None, **options):
        self.client = flask_app(told, **options).test_client()

    def ask(self, method, path, content=None, **given):
        answer = self.client.open(path, method=method, data=content, **given)
        return answer.status_code, answer.data


both = pytest.mark.parametrize("kind", [Asgi, Wsgi])


@both
def test_a_json_exchange(kind, told):
    status, body = kind(told, routes=["/chat"]).ask(
        "POST", "/chat?x=1", content=b'{"text": "hi"}', headers={"Content-Type": "application/json"}
    )
    answer = json.loads(body)
    (seen,) = told.seen
    assert status == 200
    assert answer == {"answer": "HI", "id": seen["id"]}  # known to the route, for feedback later
    assert (seen["input"], seen["output"]) == ({"text": "hi"}, answer)
    assert seen["context"] == {"method": "POST", "path": "/chat", "status": 200}
    assert seen["latency_ms"] > 0
    assert seen["error"] is None


@both
def test_other_routes_and_methods_are_not_looked_at(kind, told):
    app = kind(told, routes=["/cha", "/v1/*"], methods=["POST"])
    assert app.ask("POST", "/chat", content=b'{"text": "hi"}', headers={"Content-Type": "application/json"})[0] == 200
    assert app.ask("GET", "/search?q=x")[0] == 200
    assert told.seen == []


@both
def test_a_stream_is_logged_whole(kind, told):
    assert kind(told, routes=["/str*"]).ask("POST", "/stream") == (200, b"one two three")
    assert told.seen[0]["output"] == "one two three"


@both
def test_an_exception_is_the_error(kind, told):
    assert kind(told, routes=["/broken"]).ask("POST", "/broken")[0] == 500
    (seen,) = told.seen
    assert seen["error"].startswith(("ValueError: bad wires", "http 500"))


@both
def test_forms_are_read_and_what_is_no_text_is_described(kind, told):
    kind(told, routes=["/form"]).ask(
        "POST", "/form", content=b"a=1&b=2&b=3", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    (seen,) = told.seen
    assert seen["input"] in ({"a": "1", "b": ["2", "3"]}, {})
    assert seen["output"] == {"content_type": "image/png", "bytes": 20}


@both
def test_a_request_without_a_body_is_its_query(kind, told):
    kind(told, routes=["/search"], methods=["get"]).ask("GET", "/search?q=card")
    assert told.seen[0]["input"] == {"q": "card"}
    assert told.seen[0]["output"] == ["card"]


@both
def test_bodies_are_kept_up_to_a_bound(kind, told):
    text = json.dumps({"text": "x" * 5000}).encode()
    status, body = kind(told, routes=["/chat"], most_bytes=100).ask(
        "POST", "/chat", content=text, headers={"Content-Type": "application/json"}
    )
    (seen,) = told.seen
    assert status == 200
    assert len(body) > 5000
    assert seen["input"] == text[:100].decode()
    assert seen["extra"] == {"request_bytes": len(text), "response_bytes": len(body)}


@both
def test_more_fields_from_the_exchange(kind, told):
    def fields(exchange):
        return {"user": exchange.headers["x-user"], "context": {"device": "ios"}, "input": exchange.input["text"]}

    kind(told, routes=["/chat"], fields=fields).ask(
        "POST", "/chat", content=b'{"text": "hi"}', headers={"Content-Type": "application/json", "X-User": "ana"}
    )
    (seen,) = told.seen
    assert (seen["user"], seen["input"]) == ("ana", "hi")
    assert seen["context"]["device"] == "ios"
    assert seen["context"]["status"] == 200


@both
@pytest.mark.parametrize("path", ["/chat", "/stream", "/broken", "/form", "/nowhere"])
def test_the_answer_is_the_same_as_without(kind, path):
    given = {"content": b'{"text": "hi"}', "headers": {"Content-Type": "application/json"}}
    with_it = kind(Told(OSError("no disk")), routes=["*"]).ask("POST", path, **given)
    without = kind().ask("POST", path, **given)
    assert with_it[0] == without[0]
    if path != "/chat":  # which says the id
        assert with_it[1] == without[1]


def test_asgi_messages_pass_at_once_and_as_they_are(told):
    """A chunk is with the server before the application makes the next one."""
    passed = []

    async def app(scope, receive, send):
        assert (await receive())["body"] == b"ask"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for chunk in (b"a", b"b"):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            assert passed[-1]["body"] == chunk
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def run():
        request = {"type": "http.request", "body": b"ask", "more_body": False}

        async def receive():
            return request

        async def send(message):
            passed.append(message)

        scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
        await AsgiMiddleware(app, to=told, routes=["/x"])(scope, receive, send)
        await AsgiMiddleware(_lifespan, to=told, routes=["*"])({"type": "lifespan"}, receive, send)

    async def _lifespan(scope, receive, send):
        await send({"type": "lifespan.startup.complete"})

    asyncio.run(run())
    assert [message["type"].split(".")[-1] for message in passed] == ["start", "body", "body", "body", "complete"]
    assert (told.seen[0]["input"], told.seen[0]["output"]) == ("ask", "ab")


def test_a_client_that_goes_away_is_told(told):
    async def app(scope, receive, send):
        raise asyncio.CancelledError

    async def run():
        scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
        await AsgiMiddleware(app, to=told, routes=["/x"])(scope, None, None)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert told.seen[0]["error"] == "CancelledError"


def wsgi_run(app, told, body=b"ask"):
    started = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/x",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": "text/plain",
    }
    result = WsgiMiddleware(app, to=told, routes=["/x"])(
        environ, lambda *given: started.append(given) or started.append
    )
    return result, started


def test_a_wsgi_list_stays_that_list_and_a_closing_body_is_closed(told):
    answer = [b"one", b"two"]

    def listed(environ, start):
        assert environ["wsgi.input"].readline() == b"ask"
        start("200 OK", [("Content-Type", "text/plain")])
        return answer

    result, _ = wsgi_run(listed, told)
    assert result is answer

    closed = []

    class Body:
        def __iter__(self):
            return iter([b"a", b"b"])

        def close(self):
            closed.append(True)

    def streamed(environ, start):
        start("200 OK", [("Content-Type", "text/plain")])
        return Body()

    result, _ = wsgi_run(streamed, told)
    assert next(iter(result)) == b"a"
    result.close()
    result.close()
    assert closed
    assert [seen["output"] for seen in told.seen] == ["onetwo", "a"]


def test_a_body_that_breaks_while_it_is_made(told):
    def broken(environ, start):
        start("200 OK", [("Content-Type", "text/plain")])

        def pieces():
            yield b"a"
            raise ValueError("bad wires")

        return pieces()

    result, _ = wsgi_run(broken, told)
    with pytest.raises(ValueError, match="bad wires"):
        list(result)
    result.close()
    assert (told.seen[0]["output"], told.seen[0]["error"]) == ("a", "ValueError: bad wires")


def test_routes_are_a_list():
    with pytest.raises(TypeError, match="list"):
        AsgiMiddleware(None, to=Told(), routes="/chat")
