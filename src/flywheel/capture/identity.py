"""Who and what: time-ordered ids, and keyed pseudonyms in place of users' names."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.errors import CorruptStore, StoreUnavailable

if TYPE_CHECKING:
    from flywheel.store import State

__all__ = [
    "forget_pseudonyms",
    "known_as",
    "new_id",
    "pseudonym",
    "pseudonym_key",
    "pseudonym_ring",
    "rotate_pseudonyms",
]

_KEY_BYTES = 32
_DIGEST_BYTES = 16
_TAIL_BITS = 74  # what a UUIDv7 has left beside the time, the version and the variant


class _Clock:
    """The last id given out, so that the next one of the same millisecond is greater."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moment = -1
        self._tail = 0

    def next(self, moment: int, *, may_go_back: bool) -> tuple[int, int]:
        with self._lock:
            if moment != self._moment and (moment > self._moment or may_go_back):
                self._moment = moment
                self._tail = secrets.randbits(_TAIL_BITS - 1)  # the top bit stays free, so that there is room to count
            else:
                self._tail += 1 + secrets.randbits(32)
                if self._tail >> _TAIL_BITS:
                    self._moment, self._tail = self._moment + 1, secrets.randbits(_TAIL_BITS - 1)
            return self._moment, self._tail


_now, _told = _Clock(), _Clock()


def _forget() -> None:
    """A forked child must not go on counting where its parent does: they would give out the same ids."""
    global _now, _told
    _now, _told = _Clock(), _Clock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def new_id(at: datetime | None = None) -> str:
    """Make an id that sorts by time: a UUIDv7 (RFC 9562), each greater than the one before in the same process.

    With `at`, the id carries that moment (for backfills) and rises among ids made for the same millisecond.

    >>> new_id() < new_id()
    True
    """
    if at is None:
        moment, tail = _now.next(time.time_ns() // 1_000_000, may_go_back=False)
    else:
        moment, tail = _told.next(max(0, int(at.timestamp() * 1000)), may_go_back=True)
    number = (moment << 80) | (0x7 << 76) | ((tail >> 62) << 64) | (0b10 << 62) | (tail & ((1 << 62) - 1))
    return str(uuid.UUID(int=number))


def pseudonym(key: bytes | None, value: str, prefix: str = "u") -> str:
    """Turn a name into a pseudonym: HMAC-SHA256 under `key`, 128 bits, the same name always the same pseudonym.

    Whoever has no key can neither reverse it nor test a guess. Without a key it is a plain digest, which hides a value
    from the eye but not from a guess.

    >>> pseudonym(bytes(32), "ana@example.org") == pseudonym(bytes(32), "ana@example.org")
    True
    """
    text = value.encode("utf-8")
    digest = hmac.digest(key, text, "sha256") if key else hashlib.sha256(text).digest()
    return f"{prefix}_{digest[:16].hex()}"


def pseudonym_key(folder: Path, state: State | None = None) -> bytes:
    """Read the key of a flywheel's pseudonyms, making it on first use: 32 random bytes in `folder/pseudonym.key`.

    The file is readable by its owner alone (0600) and lies outside the database, so that a copy of the database does
    not carry it; deleting it makes every pseudonym anonymous for good. Several processes that begin at once agree on
    one key. With `state`, the key's fingerprint is remembered, and a key that was swapped or lost is noticed:
    `CorruptStore`.
    """
    path = folder / "pseudonym.key"
    fingerprint = state.get("pseudonym_key") if state is not None else None
    if not path.exists():
        if fingerprint is not None:
            raise CorruptStore(
                f"{path} is missing, but users were stored under it: new pseudonyms would not match the old ones. "
                "Put the file back from your backup"
            )
        _make_key(path)
        _sync(folder)  # a key that a power cut takes away would leave the users stored under it behind
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise CorruptStore(f"{path} holds {len(key)} bytes where a key has {_KEY_BYTES}. Put it back from your backup")
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    if state is not None:
        seen = _fingerprint(key)
        if fingerprint is None:
            state.set("pseudonym_key", seen)
        elif fingerprint != seen and state.get("pseudonym_next") == seen:
            _settle(state, fingerprint, seen, datetime.now(UTC))  # a rotation was cut off after the key was there
        elif fingerprint != seen:
            raise CorruptStore(
                f"{path} is not the key that this flywheel's users were stored under. Put the right one back"
            )
    return key


def pseudonym_ring(folder: Path, state: State | None = None) -> list[bytes]:
    """Every key that users may be stored under: the current one, then the older ones, the last retired first.

    The older ones lie in `folder/pseudonym.keys/`, each under its fingerprint. Raises `CorruptStore` when one that is
    still needed is missing: users stored under it could not be found.
    """
    keys = [pseudonym_key(folder, state)]
    retired: dict[str, str] = (state.get("pseudonym_ring") if state is not None else None) or {}
    ring = folder / "pseudonym.keys"
    for name in sorted(retired, key=lambda name: retired[name], reverse=True):
        path = ring / name
        if not path.is_file() or _fingerprint(path.read_bytes()) != name:
            raise CorruptStore(
                f"{path}, the key of users stored before {retired[name]}, is missing or not the right one. Put it back "
                "from your backup, or let it go for good with: flywheel pseudonyms forget --older-than 0d"
            )
        keys.append(path.read_bytes())
    if state is None and ring.is_dir():
        keys += [path.read_bytes() for path in sorted(ring.iterdir()) if len(path.name) == 2 * _DIGEST_BYTES]
    return keys


def known_as(name: str, keys: list[bytes]) -> list[str]:
    """Everything a name may be stored as: a user's pseudonym (`u_`), an id that was redacted (`id_`), a field that a
    policy hashes (`h_`); under each key, and without any.

    >>> len(known_as("ana", [bytes(32)]))
    6
    """
    found = [pseudonym(key, name, prefix) for key in (*keys, None) for prefix in ("u", "id", "h")]
    return list(dict.fromkeys(found))


def rotate_pseudonyms(folder: Path, state: State, at: datetime) -> str:
    """Make a new current key and keep the old one in the ring; return the new one's fingerprint.

    From the next opening of the flywheel the same user gets a new pseudonym. A kill at any point leaves either key as
    the current one and loses none. Hold a lock: two rotations must not run at once.
    """
    old, path, ring = pseudonym_key(folder, state), folder / "pseudonym.key", folder / "pseudonym.keys"
    ring.mkdir(mode=0o700, exist_ok=True)
    if not (ring / _fingerprint(old)).exists():
        _make_key(ring / _fingerprint(old), old)
    _sync(ring)
    new, draft = secrets.token_bytes(_KEY_BYTES), folder / "pseudonym.key.next"
    draft.unlink(missing_ok=True)  # of a rotation that was cut off before its key took effect
    _make_key(draft, new)
    state.set("pseudonym_next", _fingerprint(new))
    draft.replace(path)
    _sync(folder)
    _settle(state, _fingerprint(old), _fingerprint(new), at)
    return _fingerprint(new)


def forget_pseudonyms(folder: Path, state: State, before: datetime) -> list[str]:
    """Destroy the older keys that were retired before a moment; return their fingerprints.

    Nobody can then tell, or work out again, whom the pseudonyms under them stand for: they are anonymous, and an
    erasure by name does not find them any more.
    """
    retired: dict[str, str] = state.get("pseudonym_ring") or {}
    gone = [name for name, since in retired.items() if datetime.fromisoformat(since) <= before]
    for name in gone:
        path = folder / "pseudonym.keys" / name
        if path.is_file():
            with path.open("r+b") as file:
                file.write(bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
    if gone:
        state.set("pseudonym_ring", {name: since for name, since in retired.items() if name not in gone})
    return gone


def _settle(state: State, old: str, new: str, at: datetime) -> None:
    """The key file is the new one: now say so."""
    state.set("pseudonym_ring", {**(state.get("pseudonym_ring") or {}), old: at.astimezone(UTC).isoformat()})
    state.set("pseudonym_key", new)
    state.set("pseudonym_next", None)


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(b"flywheel pseudonym key" + key).hexdigest()[: 2 * _DIGEST_BYTES]


def _sync(folder: Path) -> None:
    """Bring the names in a folder to stable storage, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_key(path: Path, key: bytes | None = None) -> None:
    """Write a whole key beside `path`, then link it there: nobody reads half of one, and the first process wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key or secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another process was first: its key is the key
    except OSError as problem:
        raise StoreUnavailable(
            f"{path} cannot be written: {problem}. Free some space or check the folder's rights"
        ) from problem
    finally:
        draft.unlink(missing_ok=True)
