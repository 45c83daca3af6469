"""A small OpenID provider on loopback that keeps to the letter, unless a test tells it which one to break."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "flywheel", "s3cret"


@dataclass
class Provider:
    """Signs in whoever comes, as `user`. Codes are good once, with the right verifier, secret and redirect."""

    issuer: str = ""
    user: dict[str, Any] = field(default_factory=lambda: {"sub": "ana-1", "email": "ana@example.org"})
    """What is said of them in the ID token."""
    more: dict[str, Any] = field(default_factory=dict)
    """What only the user information says."""
    broken: dict[str, Any] = field(default_factory=dict)
    """Claims that are put over the right ones; None leaves one out."""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    published: list[RSAKey] = field(default_factory=list)
    algorithm: str = "RS256"
    discovered: dict[str, Any] = field(default_factory=dict)
    """What the discovery document says otherwise."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> Starlette:
        routes = [
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/authorize", self.authorize),
            Route("/token", self.token, methods=["POST"]),
            Route("/keys", self.keys),
            Route("/me", self.me),
        ]
        return Starlette(routes=routes)

    async def discovery(self, _request: Request) -> Response:
        places = {"authorization": "authorize", "token": "token", "userinfo": "me"}
        about = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in places.items()}
        about |= {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        return JSONResponse({**about, "id_token_signing_alg_values_supported": ["RS256", "HS256"], **self.discovered})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form.get("code", ""), None)
        given = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if (
            asked is None
            or base64.urlsafe_b64encode(given).rstrip(b"=").decode() != asked["code_challenge"]
            or form.get("redirect_uri") != asked["redirect_uri"]
            or request.headers.get("authorization") != basic
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {**claims, **self.user, **self.broken}
        claims = {name: value for name, value in claims.items() if value is not None}
        signed = jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)
        if self.algorithm != "RS256":
            signed = _forged(self.algorithm, claims, (self.published or [self.key])[0])
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "id_token": signed})

    async def keys(self, _request: Request) -> Response:
        return JSONResponse(KeySet(self.published or [self.key]).as_dict(private=False))

    async def me(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer at"
        return JSONResponse({"sub": self.user["sub"], **self.more})


def _forged(algorithm: str, claims: dict[str, Any], key: RSAKey) -> str:
    """The old tricks: no signature at all, or one whose secret is the public key."""
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "kid": key.kid}, claims)]
    said = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    made = b"" if algorithm == "none" else hmac.new(key.as_pem(private=False), said, "sha256").digest()
    return (said + b"." + base64.urlsafe_b64encode(made).rstrip(b"=")).decode()


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that listens on a free port."""
    made = Provider()
    server = uvicorn.Server(uvicorn.Config(made.app(), port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    made.issuer = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.should_exit = True
        thread.join(10)
