"""Who is signed in: sessions of people in a browser, kept beside the keys so that a restart signs nobody out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flywheel.errors import NotFound, Unauthenticated
from flywheel.govern.keys import Key, Keys, secret_of
from flywheel.records import from_dict, to_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flywheel.store import State

__all__ = ["Session", "Sessions"]

_LINK = "link"
_LINK_LASTS = timedelta(minutes=10)
_OVER = "this session is over. Sign in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One person in one browser. The browser's token is not in it: only its SHA-256 is kept."""

    id: str
    """The beginning of the token's digest: names the session, opens nothing."""
    who: str
    """For the audit trail: the key's id, the name the identity provider gave, or `this machine`."""
    way: str
    """How they came in: `key`, `oidc` or `link`."""
    scopes: tuple[str, ...]
    began_at: datetime
    expires_at: datetime
    key: str | None = None
    secret: str | None = None
    """The digest of the key's secret it began with; when that secret is good no more, the session is over."""


class Sessions:
    """The sessions of one flywheel. Every question is answered from the store, so that an end counts at once.

    >>> import tempfile, flywheel
    >>> with flywheel.open(tempfile.mkdtemp()) as fw:
    ...     text, key = fw.keys.create("ana", ["read"])
    ...     token = fw.sessions.begin(text)
    ...     fw.sessions.find(token).scopes
    ('read',)
    """

    def __init__(self, state: State, lasts: timedelta = timedelta(hours=12)) -> None:
        self._state, self._lasts = state, lasts

    def begin(self, text: str, *, now: datetime | None = None) -> str:
        """Sign in with the text of a key; returns the browser's token, which nobody can show again.

        Raises `Unauthenticated` for a text that is no good key.
        """
        moment = now or _now()
        key = Keys(self._state).find(text, now=moment)
        return self._open(key.id, "key", key.scopes, moment, key=key.id, secret=secret_of(text))

    def welcome(self, who: str, scopes: Sequence[str], *, now: datetime | None = None) -> str:
        """Sign in somebody whom an identity provider vouches for; returns the browser's token."""
        return self._open(who, "oidc", tuple(scopes), now or _now())

    def link(self, *, now: datetime | None = None) -> str:
        """Make the secret of a link that signs in once, with every right, within ten minutes."""
        token = secrets.token_urlsafe(32)
        moment = now or _now()
        digest = _digest(token)
        self._state.forget_sessions(moment)
        made = Session(
            id=digest[:12], who="this machine", way=_LINK, scopes=(), began_at=moment, expires_at=moment + _LINK_LASTS
        )
        self._state.save_session(f"{_LINK}:{digest}", to_dict(made), made.expires_at)
        return token

    def redeem(self, token: str, *, now: datetime | None = None) -> str:
        """Sign in with the secret of a link. Raises `Unauthenticated` when it was used, or is too old."""
        moment = now or _now()
        doc = self._state.end_session(f"{_LINK}:{_digest(token)}")  # whoever takes it away may use it, nobody after
        if doc is None or from_dict(Session, doc).expires_at <= moment:
            raise Unauthenticated(
                "this link has been used, or is older than ten minutes. Make another with: flywheel keys link"
            )
        return self._open("this machine", _LINK, ("admin",), moment)

    def find(self, token: str, *, now: datetime | None = None) -> Session:
        """The session of a token. Raises `Unauthenticated` once it has ended, or its key is good no more."""
        digest, moment = _digest(token), now or _now()
        doc = self._state.session(digest)
        if doc is None:
            raise Unauthenticated(_OVER)
        session = from_dict(Session, doc)
        if session.key is None:
            good = session.expires_at > moment
        else:
            known = self._state.key(session.key)
            key = None if known is None else from_dict(Key, known)
            good = key is not None and session.expires_at > moment and _stands(key, session, moment)
            if key is not None:
                session = replace(session, scopes=key.scopes)
        if not good:
            self._state.end_session(digest)
            raise Unauthenticated(_OVER)
        return session

    def end(self, token: str) -> None:
        """Sign out."""
        self._state.end_session(_digest(token))

    def all(self, *, now: datetime | None = None) -> list[Session]:
        """The sessions that go on, the oldest first."""
        moment, found = now or _now(), []
        for digest, doc in self._state.sessions():
            session = from_dict(Session, doc)
            known = self._state.key(session.key) if session.key else None
            good = session.key is None or (known is not None and _stands(from_dict(Key, known), session, moment))
            if not digest.startswith(f"{_LINK}:") and session.expires_at > moment and good:
                found.append(session)
        return sorted(found, key=lambda session: (session.began_at, session.id))

    def revoke(self, id: str) -> Session:
        """End the session with this id, whoever's it is. Raises `NotFound`."""
        for digest, doc in self._state.sessions():
            if digest[:12] == id:
                self._state.end_session(digest)
                return from_dict(Session, doc)
        raise NotFound(f"there is no session {id!r}. List them with: flywheel keys sessions")

    def _open(self, who: str, way: str, scopes: tuple[str, ...], moment: datetime, **of: Any) -> str:
        token = secrets.token_urlsafe(32)
        digest = _digest(token)
        self._state.forget_sessions(moment)
        session = Session(
            id=digest[:12], who=who, way=way, scopes=scopes, began_at=moment, expires_at=moment + self._lasts, **of
        )
        self._state.save_session(digest, to_dict(session), session.expires_at)
        return token


def _stands(key: Key, session: Session, now: datetime) -> bool:
    """Is the key good, and is the secret that the session began with still one of its own?"""
    old = key.old_digest if key.old_until is not None and now < key.old_until else None
    own = [digest for digest in (key.digest, old) if digest is not None]
    return key.state(now) == "active" and any(hmac.compare_digest(session.secret or "", digest) for digest in own)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
