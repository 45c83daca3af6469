"""E-mail and network addresses."""

from __future__ import annotations

import ipaddress
import re

from flywheel.capture.redaction.credentials import Found

__all__ = ["find_emails", "find_ipv4", "find_ipv6"]

_NAMES = r"((?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62})"
_DOMAIN, _ENCODED = re.compile(f"@{_NAMES}"), re.compile(f"(?:@|%40){_NAMES}")
_LOCAL = re.compile(r"[\w.+%-]+(?:'[\w.+%-]+)?")  # read backwards from the @
_NO_DOMAIN = re.compile(r"\d+x\.(?:png|jpe?g|gif|webp|svg|avif)|\d+\.\d", re.IGNORECASE)  # logo@2x.png, lib@1.0-rc.x

_FOUR = re.compile(r"[0-9](?<![\w.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_VERSION = re.compile(r"(?i)(?:version|release|ver\.?|\bv)[ :=]{0,2}\Z")
_SIX_HINT = re.compile(r":(?::|[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){2}|[0-9A-Fa-f]{1,4}::)")
_SIX = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{1,4})?(?![\w:])")


def find_emails(text: str, found: Found) -> str:
    """Replace e-mail addresses, also with an encoded `%40`; a local part is followed back for 64 characters."""
    parts: list[str] = []
    done = 0
    for match in (_ENCODED if "%40" in text else _DOMAIN).finditer(text):
        at = match.start()
        before = _LOCAL.match(text[max(done, at - 64) : at][::-1])
        if before is None or _NO_DOMAIN.match(match.group(1)):
            continue
        start = at - before.end()
        while start < at and text[start] in ".-%":
            start += 1
        if start == at:
            continue
        found["email"] += 1
        parts += (text[done:start], "[email]")
        done = match.end()
    return "".join((*parts, text[done:])) if parts else text


def find_ipv4(text: str, found: Found) -> str:
    """Replace IPv4 addresses; `version 1.2.3.4` and five numbers in a row are none."""

    def one(match: re.Match[str]) -> str:
        written = match.group()
        octets = written.split(".")
        if any(int(octet) > 255 or (len(octet) > 1 and octet[0] == "0") for octet in octets):
            return written
        if _VERSION.search(text, max(0, match.start() - 12), match.start()):
            return written
        found["ip"] += 1
        return "[ip]"

    return _FOUR.sub(one, text)


def find_ipv6(text: str, found: Found) -> str:
    """Replace IPv6 addresses; `12:30:45` and `a::b` are none."""
    if not _SIX_HINT.search(text):
        return text

    def one(match: re.Match[str]) -> str:
        written = match.group()
        try:
            ipaddress.IPv6Address(written)
        except ValueError:
            return written
        # Programs are full of `a::b`: without a digit only three parts or more are taken for an address.
        if not any(letter.isdigit() for letter in written) and len(re.findall(r"\w+", written)) < 3:
            return written
        found["ip"] += 1
        return "[ip]"

    return _SIX.sub(one, text)
