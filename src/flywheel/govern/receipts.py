"""Signed receipts: what was done, in a form that anybody can check and nobody can change.

Ed25519 (RFC 8032), by `cryptography`. The key lies in `receipts.key` in the flywheel's folder, for its owner alone; the
public key, which others need to check a receipt, is inside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.errors import CorruptStore, InvalidRecord, StoreUnavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Receipts", "digest_of", "is_about"]

_KEY_BYTES = 32
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # about 50 ms a guess: names are few, so guessing them must be slow


def digest_of(name: str, salt: str | None = None) -> dict[str, str]:
    """What stands for a name where the name must not stand: a salted, slow digest (scrypt, RFC 7914).

    Whoever knows the name can tell that it is meant; whoever does not has to guess, 50 ms a guess.
    """
    salted = salt or secrets.token_hex(16)
    found = hashlib.scrypt(name.encode("utf-8", "surrogatepass"), salt=bytes.fromhex(salted), dklen=16, **_SCRYPT)
    return {"method": "scrypt-16384-8-1", "salt": salted, "digest": found.hex()}


def is_about(subject: dict[str, Any], name: str) -> bool:
    """Is this the digest of that name?"""
    try:
        return hmac.compare_digest(digest_of(name, str(subject["salt"]))["digest"], str(subject["digest"]))
    except (KeyError, ValueError):
        return False


class Receipts:
    """Signs and checks the receipts of one flywheel.

    >>> import tempfile
    >>> receipts = Receipts(Path(tempfile.mkdtemp()))
    >>> signed = receipts.sign({"kind": "erasure", "erased": {"interactions": 3}})
    >>> receipts.verify(signed)["ours"]
    True
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "receipts.key"

    def sign(self, receipt: dict[str, Any]) -> dict[str, Any]:
        """The receipt with the public key and a signature over everything else in it. Makes the key on first use."""
        key = self._key()
        whole = {**receipt, "public_key": _public(key)}
        return {**whole, "signature": base64.b64encode(key.sign(_canonical(whole))).decode()}

    def verify(self, receipt: dict[str, Any]) -> dict[str, Any]:
        """Check a receipt's signature; `ours` says whether the key is this folder's. Raises `CorruptStore`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            claimed = {name: value for name, value in receipt.items() if name != "signature"}
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(receipt["public_key"], validate=True))
            signature = base64.b64decode(receipt["signature"], validate=True)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise InvalidRecord(
                "receipt", f"it has no signature that can be read ({problem})", "Give the file as it was written"
            ) from problem
        try:
            public.verify(signature, _canonical(claimed))
        except InvalidSignature as problem:
            raise CorruptStore(
                "the receipt does not match its signature: it was changed after it was signed. Ask for the original"
            ) from problem
        ours = self._path.exists() and _public(self._key()) == receipt["public_key"]
        return {"valid": True, "ours": ours}

    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not self._path.exists():
            self._make()
        secret = self._path.read_bytes()
        if len(secret) != _KEY_BYTES:
            raise CorruptStore(
                f"{self._path} holds {len(secret)} bytes where a key has {_KEY_BYTES}. Put it back from your backup; "
                "or move it away, and a new key signs from now on"
            )
        if self._path.stat().st_mode & 0o077:
            self._path.chmod(0o600)
        return Ed25519PrivateKey.from_private_bytes(secret)

    def _make(self) -> None:
        """Write a whole key beside its place, then link it there: several processes agree on one."""
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self._path)
            except FileExistsError:
                return
        except OSError as problem:
            raise StoreUnavailable(
                f"{self._path} cannot be written: {problem}. Free some space or check the folder's rights"
            ) from problem
        finally:
            draft.unlink(missing_ok=True)


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
