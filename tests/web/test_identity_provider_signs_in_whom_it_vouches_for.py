"""Sign-in by OpenID Connect, against real providers on loopback: those who keep to the letter, and those who do not."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel import wheel
from flywheel.errors import InvalidConfig

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
import httpx
from identity_provider import CLIENT, SECRET, Provider, provider
from joserfc.jwk import RSAKey
from starlette.testclient import TestClient

from flywheel.server import make_app

HTML = {"accept": "text/html"}
HERE = "http://127.0.0.1"


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def house(tmp_path: Path, idp: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TestClient, Any]]:
    monkeypatch.setenv("OIDC_CLIENT_SECRET", SECRET)
    settings = {"issuer": idp.issuer, "client_id": CLIENT, "viewer": ("staff",), "labeler": ("support",)}
    with (
        wheel.open(tmp_path, task="classification", oidc={**settings, "admin": ("leads",)}) as fw,
        TestClient(make_app({"bot": fw}), base_url=HERE, follow_redirects=False) as client,
    ):
        yield client, fw


def away(client: TestClient, onward: str = "/modes") -> str:
    """Begin, and go where the provider sends the browser: back here, with a code."""
    begun = client.get("/sign-in/oidc", params={"next": onward})
    assert begun.status_code == 303, begun.text
    sent = httpx.get(begun.headers["location"], follow_redirects=False)
    assert sent.status_code == 302, sent.text
    return sent.headers["location"].removeprefix(HERE)


def words(answer: Any) -> str:
    assert "flywheel_session" not in answer.headers.get("set-cookie", ""), "somebody was signed in"
    return html.unescape(re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", answer.text))


def test_whom_the_provider_vouches_for_is_in_with_the_role_of_their_claim(house: Any, idp: Provider) -> None:
    client, fw = house
    idp.user |= {"groups": ["staff", "support"]}
    assert "Sign in with 127.0.0.1" in client.get("/sign-in").text
    home = client.get(away(client, "/modes?state=open"))
    assert (home.status_code, home.headers["location"]) == (303, "/modes?state=open")
    assert client.get("/modes", headers=HTML).status_code == 200
    (session,) = fw.sessions.all()
    assert (session.who, session.way, session.scopes) == ("ana@example.org", "oidc", ("read", "label"))
    line = fw.trail()[-1]
    assert (line["action"], line["by"], line["detail"]["role"]) == ("sign in", "ana@example.org", "labeler")
    assert client.get("/v1/interactions").status_code == 401, "the API takes keys only"
    first, second = idp.asked[0], (away(client), idp.asked[-1])[1]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]


def test_the_highest_role_counts_and_a_claim_may_stand_in_the_user_information(house: Any, idp: Provider) -> None:
    client, fw = house
    idp.more = {"groups": ["staff", "leads"]}
    assert client.get(away(client)).status_code == 303
    assert fw.sessions.all()[0].scopes == ("admin",)


def test_who_has_no_role_is_told_so(house: Any, idp: Provider) -> None:
    client, fw = house
    for groups in (None, ["guests"], "guests", [{"a": 1}], []):
        idp.user["groups"] = groups
        refused = client.get(away(client))
        assert refused.status_code == 403
        assert "knows you as ana@example.org, but you have no role here" in words(refused)
    assert fw.sessions.all() == []


def test_an_address_that_nobody_has_verified_is_no_name(house: Any, idp: Provider) -> None:
    client, fw = house
    idp.user |= {"groups": "staff", "email": "boss@example.org", "email_verified": False}
    assert client.get(away(client)).status_code == 303
    assert fw.sessions.all()[0].who == "ana-1"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"nonce": "another"}, "belongs to another sign-in"),
        ({"nonce": None}, "belongs to another sign-in"),
        ({"aud": "another-app"}, "for another application"),
        ({"aud": [CLIENT, "another-app"]}, "given to another application"),
        ({"aud": [CLIENT, "another-app"], "azp": "another-app"}, "given to another application"),
        ({"aud": None}, "does not hold"),
        ({"iss": "https://evil.example"}, "from another issuer"),
        ({"exp": -3600}, "expired"),
        ({"exp": None}, "does not hold"),
        ({"iat": 3600}, "does not hold"),
        ({"nbf": 3600}, "does not hold"),
        ({"sub": " "}, "does not say who you are"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_token_with_a_wrong_claim_signs_nobody_in(house: Any, idp: Provider, broken: dict, says: str) -> None:
    # Numbers are seconds from now: a moment in the name of a test would differ between the workers that collect it.
    broken = {claim: int(time.time()) + value if isinstance(value, int) else value for claim, value in broken.items()}
    client, fw = house
    idp.user["groups"] = "leads"
    idp.broken = broken
    refused = client.get(away(client))
    assert refused.status_code == 403
    assert says in words(refused)
    assert fw.sessions.all() == []


def test_a_token_that_another_key_signed_signs_nobody_in(house: Any, idp: Provider) -> None:
    client, fw = house
    idp.user["groups"] = "leads"
    idp.published = [idp.key]
    idp.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    for algorithm in ("RS256", "HS256", "none"):
        idp.algorithm = algorithm
        refused = client.get(away(client))
        assert refused.status_code == 403
        assert "signature is not the provider's" in words(refused), algorithm
    assert fw.sessions.all() == []


def test_a_provider_may_change_its_key(house: Any, idp: Provider) -> None:
    client, _ = house
    idp.user["groups"] = "staff"
    assert client.get(away(client)).status_code == 303
    idp.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    assert client.get(away(client)).status_code == 303


def test_an_answer_is_good_once_in_its_own_browser_and_with_its_own_state(house: Any, idp: Provider) -> None:
    client, fw = house
    idp.user["groups"] = "staff"
    back = away(client)
    assert client.get(back).status_code == 303
    replayed = client.get(back)
    assert replayed.status_code == 400
    assert "used already" in words(replayed)
    assert "used already" in words(client.get("/sign-in/oidc/callback?code=x&state=made-up"))
    assert "used already" in words(client.get("/sign-in/oidc/callback"))
    stolen = away(client)
    client.cookies.clear()
    assert "another browser" in words(client.get(stolen))
    assert len(fw.sessions.all()) == 1


def test_what_the_provider_refuses_is_refused_and_its_words_are_no_markup(house: Any, idp: Provider) -> None:
    client, _ = house
    state = away(client).partition("state=")[2]
    refused = client.get("/sign-in/oidc/callback", params={"state": state, "error": "<script>x</script>"})
    assert refused.status_code == 403
    assert "did not sign you in" in words(refused)
    assert "<script" not in refused.text
    forged = away(client).replace("code=", "code=x")
    assert "did not take the code" in words(client.get(forged))
    other = away(client) + "&iss=https%3A%2F%2Fevil.example"
    assert "another identity provider" in words(client.get(other))


def test_a_provider_that_cannot_be_trusted_or_reached_is_said_to_be_so(house: Any, idp: Provider) -> None:
    client, fw = house
    idp.discovered = {"issuer": "https://evil.example"}
    assert "of another issuer" in words(client.get("/sign-in/oidc"))
    idp.discovered = {"authorization_endpoint": "http://evil.example/authorize"}
    assert "no safe authorization_endpoint" in words(client.get("/sign-in/oidc"))
    object.__setattr__(fw.config.oidc, "issuer", "http://127.0.0.1:9")
    gone = client.get("/sign-in/oidc")
    assert gone.status_code == 502
    assert "cannot be reached" in words(gone)


def test_with_a_provider_nothing_is_open_and_only_this_server_is_gone_on_to(house: Any, idp: Provider) -> None:
    client, _ = house
    idp.user["groups"] = "staff"
    assert client.get("/modes", headers=HTML).status_code == 303
    assert client.get("/v1/interactions").status_code == 401
    for evil in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"):
        assert client.get(away(client, evil)).headers["location"] == "/"


def test_settings_that_would_let_nobody_or_anybody_in_are_refused(tmp_path: Path) -> None:
    good = {"issuer": "https://a.example", "client_id": "x", "viewer": ("*",)}
    wheel.open(tmp_path, oidc=good).close()
    for wrong in ({"issuer": "http://a.example"}, {"client_id": ""}, {"viewer": ()}, {"address": "http://b.example"}):
        with pytest.raises(InvalidConfig, match="oidc"):
            wheel.open(tmp_path, oidc={**good, **wrong})


def test_a_provider_that_others_wrote_signs_in_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mock = pytest.importorskip("oidc_provider_mock", reason="needs oidc-provider-mock, which is in the extra `dev`")
    monkeypatch.setenv("OIDC_CLIENT_SECRET", "any")
    user = mock.User(sub="ben-7", claims={"email": "ben@example.org", "groups": ["staff"]})
    with mock.run_server_in_thread(user_claims=[user]) as server:
        issuer = f"http://localhost:{server.server_port}"
        settings = {"issuer": issuer, "client_id": "x", "releaser": ("staff",)}
        with (
            wheel.open(tmp_path, oidc=settings) as fw,
            TestClient(make_app({"bot": fw}), base_url=HERE, follow_redirects=False) as client,
        ):
            form = client.get("/sign-in/oidc").headers["location"]
            sent = httpx.post(form, data={"sub": "ben-7"}, follow_redirects=False)
            assert sent.status_code == 302, sent.text
            assert client.get(sent.headers["location"].removeprefix(HERE)).status_code == 303
            (session,) = fw.sessions.all()
            assert (session.who, session.scopes) == ("ben@example.org", ("read", "release"))
