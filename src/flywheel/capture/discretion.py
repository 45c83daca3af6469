"""What the recorder hides before a record leaves the product: personal data when asked, users behind pseudonyms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from flywheel.capture.outbox import INTERACTION
from flywheel.errors import InvalidConfig

__all__ = ["Discretion"]

_AS_THEY_ARE = ("id", "at", "sent_at", "consent", "confidence", "latency_ms", "propensity", "kind", "source", "rating")
_NAMES = ("user", "session", "model", "by", "interaction_id")


class Discretion:
    """Redacts lines and hashes users, in the background, before anything is sent or spooled.

    `redact`: True for the built-in patterns, a redactor (`redact(value) -> (value, counts)`), or a function that takes
    the free fields of a record as a dict and returns them. `hash_users`: the key of the pseudonyms.
    """

    def __init__(self, redact: Any, hash_users: str | bytes | None) -> None:
        self._key = hash_users.encode() if isinstance(hash_users, str) else hash_users
        if self._key is not None and (not isinstance(self._key, bytes) or len(self._key) < 16):
            raise InvalidConfig("hash_users is no key of 16 bytes or more. Make one: secrets.token_bytes(32)")
        self._redact = _redactor(redact)

    @property
    def idle(self) -> bool:
        """Is there nothing to hide?"""
        return self._redact is None and self._key is None

    def hidden(self, kind: str, line: bytes) -> bytes:
        """Return the line without what must not leave. Raises what the redactor raises: then the record stays here."""
        record: dict[str, Any] = json.loads(line)
        if self._redact is not None:
            free = {name: value for name, value in record.items() if name not in _AS_THEY_ARE and name not in _NAMES}
            cleaned, found = self._redact(free)
            record = {name: record[name] for name in record if name not in free} | dict(cleaned)
            if found:
                record["extra"] = {**(record.get("extra") or {}), "redacted": found}
            for name in _NAMES:
                self._name(record, name, hashed=self._key is not None and self._is_user(kind, record, name))
        if self._key is not None:
            for name in ("user", "by"):
                value = record.get(name)
                if isinstance(value, str) and self._is_user(kind, record, name):
                    record[name] = self._pseudonym(value, "u")
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")

    def _name(self, record: dict[str, Any], name: str, *, hashed: bool) -> None:
        """A name that holds personal data becomes a digest of itself, so that what belongs together stays together."""
        value = record.get(name)
        if isinstance(value, str) and not hashed and self._redact is not None:
            cleaned, _ = self._redact({name: value})
            if cleaned.get(name) != value:
                record[name] = self._pseudonym(value, "id")

    def _pseudonym(self, value: str, prefix: str) -> str:
        from flywheel.capture.identity import pseudonym

        return pseudonym(self._key, value, prefix)

    @staticmethod
    def _is_user(kind: str, record: dict[str, Any], name: str) -> bool:
        if kind == INTERACTION:
            return name == "user"
        return name == "by" and record.get("source", "user") == "user"


_Redact = Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, int]]]


def _redactor(redact: Any) -> _Redact | None:
    if redact is None or redact is False:
        return None
    if redact is True:
        from flywheel.capture.redact import Patterns

        return cast(_Redact, Patterns().redact)
    if callable(getattr(redact, "redact", None)):
        return cast(_Redact, redact.redact)
    if callable(redact):
        return lambda free: (redact(free), {})
    raise InvalidConfig(
        f"redact={redact!r} is neither True, nor a redactor, nor a function. A function takes a dict and returns one"
    )
