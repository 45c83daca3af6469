"""Sign-in through an identity provider: OpenID Connect's authorization code flow, with PKCE, state and nonce.

The provider's addresses come from its discovery document, the signature of its ID token is checked with the keys it
publishes, and a claim that the settings name becomes a role. Whatever is not as it must be is a refusal that says why.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from flywheel.errors import Unauthenticated

if TYPE_CHECKING:
    from flywheel.config import OidcSettings

__all__ = ["Met", "Refused", "SignIns"]

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that only the provider can make. `none` and those by a shared secret are not among them."""
ROLES = ("admin", "releaser", "labeler", "viewer")
"""Who belongs to several gets the first of them."""
_LASTS = 600.0
_MOST = 2_000
_FRESH = 3600.0
_PATIENCE = 10.0
_LEEWAY = 60
_MOST_BYTES = 1_000_000


class Refused(Unauthenticated):
    """Nobody is signed in; the message is for the person before the browser. `status` is HTTP's."""

    def __init__(self, words: str, status: int = 403) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Met:
    """Whom a provider vouches for, what they are here, and where they were going."""

    flywheel: str
    who: str
    subject: str
    role: str
    onward: str


@dataclass(frozen=True, slots=True)
class _Begun:
    """What has to be remembered while somebody is away at the provider."""

    until: float
    flywheel: str
    settings: OidcSettings
    redirect: str
    onward: str
    nonce: str
    verifier: str
    browser: str


@dataclass
class SignIns:
    """The sign-ins that are under way, each good once, for ten minutes, in the browser that began it."""

    _begun: dict[str, _Begun] = field(default_factory=dict)
    _providers: dict[str, _Provider] = field(default_factory=dict)

    async def begin(self, flywheel: str, settings: OidcSettings, address: str, onward: str) -> tuple[str, str]:
        """Where to send the browser, and the value of the cookie that ties the answer to it. Raises `Refused`."""
        provider = await self._provider(settings.issuer)
        now = time.monotonic()
        self._begun = {state: one for state, one in self._begun.items() if one.until > now}
        while len(self._begun) >= _MOST:
            self._begun.pop(next(iter(self._begun)))
        state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
        redirect = f"{address}/sign-in/oidc/callback"
        self._begun[state] = _Begun(
            now + _LASTS, flywheel, settings, redirect, onward, nonce, verifier, _digest(browser)
        )
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(dict.fromkeys(("openid", *settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        where = provider.place("authorization_endpoint")
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}", browser

    async def finish(self, told: Mapping[str, str], browser: str) -> Met:
        """Take the provider's answer: `told` is the query it came with. Raises `Refused`."""
        begun = self._begun.pop(told.get("state", ""), None)
        if begun is None or begun.until <= time.monotonic():
            raise Refused("This sign-in was used already, or took longer than ten minutes. Begin again.", 400)
        if not hmac.compare_digest(begun.browser, _digest(browser)):
            raise Refused("This sign-in was begun in another browser. Begin again in this one.", 400)
        settings = begun.settings
        if "error" in told:
            raise Refused(f"{_host(settings.issuer)} did not sign you in: {told['error'][:100]}.")
        if told.get("iss", settings.issuer) != settings.issuer:
            raise Refused("The answer came from another identity provider than the one that was asked.", 400)
        if not told.get("code"):
            raise Refused("The identity provider's answer holds no code. Begin again.", 400)
        provider = await self._provider(settings.issuer)
        tokens = await provider.exchange(settings, told["code"], begun.redirect, begun.verifier)
        claims = await provider.checked(settings, tokens["id_token"], begun.nonce)
        names = {settings.claim, settings.name_claim}
        if any(_claim(claims, name) is None for name in names):
            claims = {**await provider.user(tokens.get("access_token"), claims["sub"]), **claims}
        if str(claims.get("email_verified", "")).lower() == "false":
            claims = {name: value for name, value in claims.items() if name != "email"}  # anybody may have typed it
        who = _claim(claims, settings.name_claim)
        who = who if isinstance(who, str) and who.strip() else claims["sub"]
        role = role_for(settings, claims)
        if role is None:
            raise Refused(
                f"{_host(settings.issuer)} knows you as {who[:200]}, but you have no role here: your claim "
                f"{settings.claim!r} holds nothing that the settings [oidc] give a role to. Ask whoever runs this "
                "flywheel."
            )
        return Met(begun.flywheel, who[:200], claims["sub"], role, begun.onward)

    async def _provider(self, issuer: str) -> _Provider:
        known = self._providers.get(issuer)
        if known is None or known.until <= time.monotonic():
            known = self._providers[issuer] = await _Provider.found(issuer)
        return known


def role_for(settings: OidcSettings, claims: Mapping[str, Any]) -> str | None:
    """The highest role that somebody with these claims has; `*` in the settings stands for everybody.

    >>> from flywheel.config import OidcSettings
    >>> settings = OidcSettings(claim="realm.roles", viewer=("*",), admin=("leads",))
    >>> role_for(settings, {"realm": {"roles": ["leads"]}}), role_for(settings, {}), role_for(OidcSettings(), {})
    ('admin', 'viewer', None)
    """
    found = _claim(claims, settings.claim)
    has = {str(one) for one in (found if isinstance(found, list) else [found]) if isinstance(one, str | int)}
    for role in ROLES:
        wanted = set(getattr(settings, role))
        if wanted & has or "*" in wanted:
            return role
    return None


@dataclass
class _Provider:
    """What a provider says of itself, and its keys."""

    issuer: str
    about: dict[str, Any]
    until: float
    keys: KeySet | None = None
    keys_until: float = 0.0

    @classmethod
    async def found(cls, issuer: str) -> _Provider:
        """Read the discovery document, which must be the issuer's own."""
        about = await _asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", issuer)
        if about.get("issuer") != issuer:
            raise Refused(
                f"The discovery document at {_host(issuer)} is of another issuer, {str(about.get('issuer'))[:200]!r}. "
                "Whoever runs this flywheel should write [oidc] issuer exactly so, or not at all.", 502,
            )  # fmt: skip
        return cls(issuer, about, time.monotonic() + _FRESH)

    def place(self, name: str) -> str:
        """An address of the provider: over TLS, or on this machine."""
        where = self.about.get(name)
        parts = urlsplit(where) if isinstance(where, str) else urlsplit("")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
            raise Refused(f"{_host(self.issuer)} names no safe {name}: it must begin with https://.", 502)
        return str(where)

    async def exchange(self, settings: OidcSettings, code: str, redirect: str, verifier: str) -> dict[str, Any]:
        """Change the code for tokens, over the server's own connection."""
        secret = os.environ.get(settings.key_variable, "")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
            "client_id": settings.client_id,
        }
        ways = self.about.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        auth = None
        if secret and "client_secret_basic" in ways:
            auth = httpx.BasicAuth(settings.client_id, secret)
        elif secret:
            form["client_secret"] = secret
        tokens = await _asked("POST", self.place("token_endpoint"), self.issuer, form=form, auth=auth)
        if not isinstance(tokens.get("id_token"), str):
            raise Refused(f"{_host(self.issuer)} gave no ID token for the code.", 502)
        return tokens

    async def checked(self, settings: OidcSettings, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token whose signature, issuer, audience, times and nonce are as they must be."""
        told = self.about.get("id_token_signing_alg_values_supported") or ["RS256"]
        algorithms = [name for name in ALGORITHMS if name in told]
        try:
            read = await self._read(token, algorithms)
            claims = dict(read.claims)
            jwt.JWTClaimsRegistry(
                leeway=_LEEWAY,
                iss={"essential": True, "value": settings.issuer},
                aud={"essential": True, "value": settings.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            ).validate(claims)
        except ExpiredTokenError as problem:
            raise Refused("The identity provider's word for you has expired. Begin again.") from problem
        except (JoseError, ValueError) as problem:
            words = f"The identity provider's word for you does not hold: {_why(problem)}."
            raise Refused(words) from problem
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims.get("azp", settings.client_id) != settings.client_id or (len(audiences) > 1 and "azp" not in claims):
            raise Refused("The identity provider's word for you was given to another application.")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise Refused("The identity provider's word for you belongs to another sign-in. Begin again.")
        if not claims["sub"].strip():
            raise Refused("The identity provider does not say who you are.")
        return claims

    async def _read(self, token: str, algorithms: list[str]) -> jwt.Token:
        if self.keys is None or self.keys_until <= time.monotonic():
            await self._fetch_keys()
        try:
            return jwt.decode(token, self._keys(), algorithms=algorithms)
        except InvalidKeyIdError:  # a key that is newer than what we hold
            await self._fetch_keys()
            return jwt.decode(token, self._keys(), algorithms=algorithms)

    def _keys(self) -> KeySet:
        assert self.keys is not None
        return self.keys

    async def _fetch_keys(self) -> None:
        found = await _asked("GET", self.place("jwks_uri"), self.issuer)
        try:
            self.keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as problem:
            raise Refused(f"The keys that {_host(self.issuer)} publishes cannot be read.", 502) from problem
        self.keys_until = time.monotonic() + _FRESH

    async def user(self, access: Any, subject: str) -> dict[str, Any]:
        """What the provider says of the person beyond the token, where it has a place for that."""
        if not isinstance(access, str) or "userinfo_endpoint" not in self.about:
            return {}
        found = await _asked("GET", self.place("userinfo_endpoint"), self.issuer, bearer=access)
        if found.get("sub") != subject:
            raise Refused("The identity provider spoke of somebody else.")
        return found


async def _asked(
    method: str,
    where: str,
    issuer: str,
    *,
    form: Mapping[str, str] | None = None,
    auth: httpx.BasicAuth | None = None,
    bearer: str | None = None,
) -> dict[str, Any]:
    """One call to the provider and its JSON; nothing of what it says otherwise is shown to anybody."""
    headers = {"accept": "application/json"} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        async with (
            httpx.AsyncClient(timeout=_PATIENCE, follow_redirects=False) as client,
            client.stream(method, where, data=form, headers=headers, auth=auth) as answer,
        ):
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise Refused(f"{_host(issuer)} answered with more than a megabyte.", 502)
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise Refused(f"{_host(issuer)} cannot be reached. Try again, or sign in with a key.", 502) from problem
    if status != 200:
        refused = 400 <= status < 500 and method == "POST"
        words = "did not take the code" if refused else f"answered {status}"
        raise Refused(f"{_host(issuer)} {words}. Begin again, or sign in with a key.", 403 if refused else 502)
    try:
        found = httpx.Response(200, content=bytes(body)).json()
    except ValueError as problem:
        raise Refused(f"{_host(issuer)} answered something that is not JSON.", 502) from problem
    if not isinstance(found, dict):
        raise Refused(f"{_host(issuer)} answered something that is not a JSON object.", 502)
    return found


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path of names with dots between: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _why(problem: Exception) -> str:
    claim = getattr(problem, "claim", None)
    if claim:
        named = {"aud": "it is for another application", "iss": "it is from another issuer"}
        return named.get(claim, f"its {claim} is not as it must be")
    return "its signature is not the provider's"


def _host(issuer: str) -> str:
    return urlsplit(issuer).netloc


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
