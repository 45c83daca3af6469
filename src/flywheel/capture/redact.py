"""Redaction: personal data and secrets are taken out of a payload before its first byte is written.

`Patterns` knows what has a shape of its own: e-mail addresses, payment cards (with their check digit), IP addresses,
international telephone numbers, keys and tokens of well-known services, addresses with a password in them. Names of
people have no such shape; for those, bring a redactor of your own (port `Redactor`).
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["Nothing", "Patterns"]

_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # JSON web token
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bglpat-[A-Za-z0-9_-]{16,}"
    r"|\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, Stripe
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bAIza[A-Za-z0-9_-]{30,}"  # Google
    r"|\bhf_[A-Za-z0-9]{20,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}",
    re.DOTALL,
)
_SPOKEN_SECRET = re.compile(  # what a word before it says to be a secret
    r"""(?ix) \b( bearer\s+ | (?:api[_-]?key|access[_-]?token|auth[_-]?token|secret|passwd|password|token) ["']?
    \s*[:=]\s* ["']? )
    ([A-Za-z0-9_\-.~+/=!@\#$%^&*]{6,})"""
)
_URL_LOGIN = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{1,20}://)([^\s/:@]*:[^\s/@]+|[^\s/:@]{8,})@")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}", re.UNICODE)
_CARD = re.compile(r"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{1,4})?(?![\w:])")
_PHONE = re.compile(r"(?<![\w+.])(?:\+|00)[1-9](?:[ ./()-]{0,3}\d){6,14}(?![\w])")
_SECRET_NAME = re.compile(
    r"(?i)^(?:.*[_.-])?(?:password|passwd|pwd|secret|client_secret|api[_-]?key|access[_-]?token|auth[_-]?token|refresh[_-]?token|authorization|private[_-]?key)$"
)
_BRANDS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11,16}|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|35\d{14,17}|62\d{14,17}"
)


def _is_card(digits: str) -> bool:
    """Does a number begin like a card of a known brand, and end in the check digit of Luhn (ISO/IEC 7812-1)?"""
    if not _BRANDS.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_address(written: str) -> bool:
    try:
        ipaddress.ip_address(written)
    except ValueError:
        return False
    # Programs are full of `a::b`: without a digit only three parts or more are taken for an address.
    return any(letter.isdigit() for letter in written) or len(re.findall(r"\w+", written)) > 2


class Patterns:
    """The redactor `patterns`: replaces each find with its kind in brackets and counts it.

    Text is searched wherever it stands: values, keys, nested lists. A value under a key that names a secret
    (`password`, `api_key` …) goes as a whole, and so does a whole number that is a payment card. Time: O(length).

    >>> Patterns().redact({"text": "write to ana@example.org from 10.0.0.7"})
    ({'text': 'write to [email] from [ip]'}, {'email': 1, 'ip': 1})
    """

    name = "patterns"

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value without personal data, and how many of each kind were removed; never what they were."""
        found: Counter[str] = Counter()
        return self._of(value, found), dict(sorted(found.items()))

    def _of(self, value: Any, found: Counter[str]) -> Any:
        if isinstance(value, str):
            return _clean(value, found)
        if isinstance(value, bool) or value is None or isinstance(value, float):
            return value
        if isinstance(value, int):
            if value >= 10**12 and _is_card(str(value)):
                found["card"] += 1
                return "[card]"
            return value
        if isinstance(value, list | tuple):
            return [self._of(item, found) for item in value]
        if isinstance(value, dict):
            return self._dict(value, found)
        return value

    def _dict(self, value: dict[Any, Any], found: Counter[str]) -> dict[Any, Any]:
        cleaned: dict[Any, Any] = {}
        for key, item in value.items():
            name = _clean(key, found) if isinstance(key, str) else key
            if name != key:
                plain, number = name, 2
                while name in cleaned or name in value:  # two addresses as keys stay two keys
                    name, number = f"{plain} {number}", number + 1
            if isinstance(key, str) and isinstance(item, str) and item and _SECRET_NAME.match(key):
                found["secret"] += 1
                cleaned[name] = "[secret]"
            else:
                cleaned[name] = self._of(item, found)
        return cleaned


def _clean(text: str, found: Counter[str]) -> str:
    """Search one text. The order matters: a token may contain what looks like a telephone number."""

    def replace(kind: str, accept: Callable[[str], bool] | None = None) -> Callable[[re.Match[str]], str]:
        def one(match: re.Match[str]) -> str:
            if accept is not None and not accept(match.group()):
                return match.group()
            found[kind] += 1
            return f"[{kind}]"

        return one

    def told(match: re.Match[str]) -> str:
        if match.group(2).startswith("["):
            return match.group()
        found["secret"] += 1
        return f"{match.group(1)}[secret]"

    def login(match: re.Match[str]) -> str:
        found["url login"] += 1
        return f"{match.group(1)}[url login]@"

    if len(text) < 5:
        return text
    if "@" in text and "://" in text:
        text = _URL_LOGIN.sub(login, text)
    if len(text) >= 12:
        text = _SECRETS.sub(replace("secret"), text)
        text = _SPOKEN_SECRET.sub(told, text)
    if "@" in text:
        text = _EMAIL.sub(replace("email"), text)
    if ":" in text:
        text = _IPV6.sub(replace("ip", _is_address), text)
    if any(digit in text for digit in "0123456789"):
        text = _IPV4.sub(replace("ip", _is_address), text)
        text = _CARD.sub(replace("card", lambda written: _is_card(re.sub(r"\D", "", written))), text)
        if "+" in text or "00" in text:
            text = _PHONE.sub(replace("phone"), text)
    return text


class Nothing:
    """The redactor `none`: leaves everything as it is, where the product has no personal data or has removed it.

    >>> Nothing().redact("ana@example.org")
    ('ana@example.org', {})
    """

    name = "none"

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value itself."""
        return value, {}
