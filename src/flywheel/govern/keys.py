"""Keys of the server: who may do what. Shown once, stored hashed, with an expiry and the time of their last use."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flywheel.errors import Forbidden, InvalidConfig, NotFound, Unauthenticated
from flywheel.records import from_dict, to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flywheel.store import State

__all__ = ["ROLES", "SCOPES", "Key", "Keys", "role_of", "secret_of"]

SCOPES = ("ingest", "read", "label", "release", "admin")
"""`ingest` writes and reads nothing; `admin` may do everything."""

ROLES: dict[str, tuple[str, ...]] = {
    "viewer": ("read",),
    "labeler": ("read", "label"),
    "releaser": ("read", "release"),
    "admin": ("admin",),
}
"""What people are, and the scopes that makes: a viewer looks, a labeler also answers, a releaser also spins, promotes
and rolls back."""

_FORM = re.compile(r"fw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, without its secret. `digest` is the SHA-256 of the secret, which has 256 random bits."""

    id: str
    name: str
    scopes: tuple[str, ...]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used: datetime | None = None
    old_digest: str | None = None
    """After a rotation: the secret before, good until `old_until`."""
    old_until: datetime | None = None

    def allows(self, scope: str) -> bool:
        """May its holder do what needs this scope?"""
        return scope in self.scopes or "admin" in self.scopes

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class Keys:
    """The keys of one flywheel.

    >>> import tempfile, flywheel
    >>> with flywheel.open(tempfile.mkdtemp()) as fw:
    ...     text, key = fw.keys.create("shop", ["ingest"])
    ...     fw.keys.check(text, "ingest").name
    'shop'
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def exist(self) -> bool:
        """Is there any key, good or not? Then the server asks for one."""
        return bool(self._state.server_keys())

    def all(self) -> list[Key]:
        """Every key, the oldest first."""
        return sorted(
            (from_dict(Key, doc) for doc in self._state.server_keys()), key=lambda key: (key.created_at, key.id)
        )

    def create(
        self, name: str, scopes: Sequence[str], *, expires_at: datetime | None = None, now: datetime | None = None
    ) -> tuple[str, Key]:
        """Make a key and return its text, which nobody can show again, and the record of it."""
        wanted = tuple(dict.fromkeys(scopes))
        unknown = [scope for scope in wanted if scope not in SCOPES]
        if unknown or not wanted:
            raise InvalidConfig(f"{', '.join(unknown) or 'nothing'} is no scope. There are: {', '.join(SCOPES)}")
        if not name.strip() or len(name) > 200:
            raise InvalidConfig(f"{name[:50]!r} is no name for a key. Say who uses it, in 1 to 200 characters")
        if expires_at is not None and expires_at.tzinfo is None:
            raise InvalidConfig(f"{expires_at.isoformat()} has no time zone. Write it with an offset, such as …Z")
        secret = secrets.token_urlsafe(32)
        key = Key(
            id=secrets.token_hex(6),
            name=name,
            scopes=wanted,
            digest=_digest(secret),
            created_at=now or _now(),
            expires_at=expires_at,
        )
        self._state.save_key(key.id, _doc(key))
        return f"fw_{key.id}_{secret}", key

    def rotate(self, id: str, *, grace: timedelta = timedelta(0), now: datetime | None = None) -> tuple[str, Key]:
        """Give a key a new secret; the old one is good for `grace` longer, so that clients can be moved."""
        moment = now or _now()
        secret = secrets.token_urlsafe(32)

        def turned(key: Key) -> Key:
            if key.state(moment) != "active":
                raise InvalidConfig(f"key {id} is {key.state(moment)}. Make a new one with: flywheel keys create")
            kept = (key.digest, moment + grace) if grace else (None, None)
            return replace(key, digest=_digest(secret), old_digest=kept[0], old_until=kept[1])

        return f"fw_{id}_{secret}", self._change(id, turned)

    def revoke(self, id: str, *, now: datetime | None = None) -> Key:
        """End a key for good. Servers that run notice within two seconds."""
        moment = now or _now()
        return self._change(id, lambda key: key if key.revoked_at else replace(key, revoked_at=moment))

    def find(self, text: str, *, now: datetime | None = None) -> Key:
        """The key a text belongs to. Raises `Unauthenticated` for a text that is none, or not good any more."""
        match = _FORM.fullmatch(text)
        doc = self._state.key(match.group(1)) if match else None
        if match is None or doc is None:
            raise Unauthenticated("this is no key of this flywheel. Make one with: flywheel keys create")
        key, moment = from_dict(Key, doc), now or _now()
        digest = _digest(match.group(2))
        old = key.old_digest is not None and key.old_until is not None and moment < key.old_until
        if not (hmac.compare_digest(digest, key.digest) or (old and hmac.compare_digest(digest, str(key.old_digest)))):
            raise Unauthenticated("this is no key of this flywheel. Make one with: flywheel keys create")
        state = key.state(moment)
        if state != "active":
            raise Unauthenticated(f"the key {key.id} is {state}. Make a new one with: flywheel keys create")
        if key.last_used is None or moment - key.last_used >= _SEEN_EVERY:
            key = self._change(key.id, lambda newest: replace(newest, last_used=moment))
        return key

    def check(self, text: str, scope: str, *, now: datetime | None = None) -> Key:
        """The key a text belongs to, which must allow `scope`. Raises `Unauthenticated` or `Forbidden`."""
        key = self.find(text, now=now)
        if not key.allows(scope):
            raise Forbidden(f"the key {key.id} has the scopes {', '.join(key.scopes)}; this needs {scope}")
        return key

    def _change(self, id: str, change: Callable[[Key], Key]) -> Key:
        doc = self._state.change_key(id, lambda known: _doc(change(from_dict(Key, known))))
        if doc is None:
            raise NotFound(f"there is no key {id!r}. List them with: flywheel keys list")
        return from_dict(Key, doc)


def role_of(scopes: Sequence[str]) -> str:
    """What somebody with these scopes is called.

    >>> role_of(("read",)), role_of(("read", "label")), role_of(("read", "admin")), role_of(("ingest",))
    ('viewer', 'labeler', 'admin', 'no role')
    """
    named = (("admin", "admin"), ("release", "releaser"), ("label", "labeler"), ("read", "viewer"))
    return next((role for scope, role in named if scope in scopes), "no role")


def secret_of(text: str) -> str:
    """The digest of the secret in a key's text; of nothing for a text that is no key."""
    match = _FORM.fullmatch(text)
    return _digest(match.group(2)) if match else ""


def _doc(key: Key) -> dict[str, Any]:
    doc: dict[str, Any] = to_dict(key)
    return doc


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
