"""Secrets: keys and tokens of services, private keys, what a word says to be a password, logins inside URLs.

A text is first asked for the few rare characters that a secret cannot do without (the `-` of `sk-`, the `=` of
`password=`); the full expressions only run where one of them stands behind the right letters. Every quantifier that
must be followed by something else is bounded, so that no text takes more than linear time.
"""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["Found", "find_assigned", "find_bearer", "find_login", "find_tokens"]

Found = defaultdict[str, int]
"""How many of each kind were removed."""

_HINT = re.compile(  # the last letters of every beginning in `_TOKENS`, so that ordinary hyphens cost little
    r"""(?x) [-_Jz] (?=[A-Za-z0-9_+/.=-]{6})
    (?: (?<= sk- | sk_ | pk- | pk_ | rk- | rk_ | hp_ | ho_ | hu_ | hs_ | hr_ | at_ | ca_ | pa_ | ss_ | ec_ | hf_ | pm_
           | pi_ | tn_ | ys_ | sa_ | gd_ | fw_ | v1_ | v2_ | r8_ | x[a-z]- | pp- | PX- | pi- | tp- | sp- | lx- | ey-
           | AK- | EY- | ai- | ly- | --- | eyJ | AIz )
      | (?<= lpat- | lptt- | lcbt- | loas- | gl[a-z]{2}- ) )"""
)
_TOKENS = re.compile(
    r"""(?xs)
    -----BEGIN\ [A-Z\ ]{0,30}PRIVATE\ KEY(?:\ BLOCK)?----- [^\0]*?
        (?: -----END\ [A-Z\ ]{0,30}PRIVATE\ KEY(?:\ BLOCK)?----- | (?=\0) | \Z )
    | (?<![A-Za-z0-9]) (?:
      eyJ[A-Za-z0-9_-]{8,1024}+ (?:\.[A-Za-z0-9_-]*+){2,4}             # JSON web token, signed or encrypted
    | A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])               # AWS
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
    | gl[a-z]{2,4}-[A-Za-z0-9_-]{16,}                                  # GitLab
    | [spr]k_(?:live|test)_[A-Za-z0-9]{10,}                            # Stripe
    | sk-(?:proj|ant|or|svcacct|admin)-[A-Za-z0-9_-]{16,}              # OpenAI, Anthropic, OpenRouter
    | sk-[A-Za-z0-9]{20,}
    | [spr]k[-_](?=[A-Za-z0-9_-]{0,64}?[0-9])(?=[A-Za-z0-9_-]{0,64}?[A-Za-z0-9]{12})[A-Za-z0-9_-]{16,}
    | xox[a-z]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{20,}              # Slack
    | AIza[A-Za-z0-9_-]{30,} | GOCSPX-[A-Za-z0-9_-]{20,} | ya29\.[A-Za-z0-9_-]{20,}  # Google
    | hf_[A-Za-z0-9]{20,} | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_-]{30,}
    | d[oa][op]_v1_[0-9a-f]{40,} | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,} | sq0[a-z]{3}-[A-Za-z0-9_-]{20,}
    | whsec_[A-Za-z0-9+/=]{20,} | gsk_[A-Za-z0-9]{20,} | r8_[A-Za-z0-9]{30,} | pplx-[A-Za-z0-9]{30,}
    | lin_api_[A-Za-z0-9]{30,} | ntn_[A-Za-z0-9]{30,} | nvapi-[A-Za-z0-9_-]{20,} | xai-[A-Za-z0-9]{20,}
    | tvly-[A-Za-z0-9_-]{16,} | lsv2_[a-z]{2}_[0-9a-f_]{20,} | key-[0-9a-f]{32} | figd_[A-Za-z0-9_-]{20,}
    | PMAK-[0-9a-f]{24}-[0-9a-f]{34} | NRAK-[A-Z0-9]{27} | sntrys_[A-Za-z0-9+/=_]{20,}
    | glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}
    | AGE-SECRET-KEY-1[A-Z0-9]{50,} | fw_[A-Za-z0-9]{1,40}_[A-Za-z0-9_-]{16,}
    | SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,} | hvs\.[A-Za-z0-9_-]{20,} | dapi[0-9a-f]{32}
    | ATATT3[A-Za-z0-9_=-]{30,} | [0-9]{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-]) )
    | (?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}"""
)
_AWS = re.compile(r"A[KS]IA[A-Z0-9]{16}")
_LONGEST_BEGINNING = 14  # characters from where a token begins to where `_HINT` sees it: AGE-SECRET-KEY-
_SHORTEST = 24  # of the tokens that `_HINT` does not see
_DOTTED = re.compile(r"\.(?:(?<=SG\.)|(?<=ya29\.)|(?<=hvs\.)|(?<=hooks\.slack\.))")
_TELEGRAM = re.compile(r":(?<=[0-9]{8}:)[A-Za-z0-9_-]{35}")


def _has_unhinted(text: str) -> bool:
    return (
        "dapi" in text
        or "ATATT3" in text
        or ("." in text and _DOTTED.search(text) is not None)
        or (":" in text and _TELEGRAM.search(text) is not None)
    )


_ENDS = "ord|swd|pwd|ret|ken|key|ion|ase|ial|als|ass|sig|ure|uth|jwt|kie"
_ASSIGNED = re.compile(  # an `=` or `:` behind the end of such a word, and the value after it
    rf"""(?x) [:=] (?: (?i: (?<=(?:{_ENDS})[:=]) | (?<=(?:{_ENDS})["'\ ][:=]) | (?<=(?:{_ENDS})\\["'][:=]) ) )
    [:=>]{{0,2}}+ [\ \t]{{0,8}}+
    (?: \\?"(?P<double>[^"\\\n\[\0][^"\\\n\0]{{2,400}}) | \\?'(?P<single>[^'\\\n\[\0][^'\\\n\0]{{2,400}})
      | (?>(?:(?i:basic|bearer|token|digest|apikey|bot)[\ ]{{1,4}})?) (?P<bare>[A-Za-z0-9_\-.~+/=!@\#$%^&*]{{6,}}+) )"""
)
_SAYS = re.compile(
    r"""(?ix) (?: (?P<sure> pass(?:word|wd|phrase)? | pwd | passwd | credentials? | authorization
        | (?:client|app|consumer|shared|webhook|signing)[_-]?secret | secret[_-]?(?:access[_-]?)?key
        | (?:api|auth|access|private|account|encryption|subscription|license|master)[_-]?key
        | (?:access|auth|refresh|session|id|bearer|bot|csrf|xsrf|api|security)[_-]?token | set-cookie | cookie )
      | (?P<maybe> secret | token | jwt )
      | (?<=[?&;]) (?P<query> key | sig | signature | auth | x-amz-signature | x-amz-credential | x-goog-signature
          | x-goog-credential | sas ) )
    (?:\\?["']|\ )? \Z"""
)
_BEARER = re.compile(r"[bB](?:earer|EARER)(?<![A-Za-z]......)[ \t]{1,4}([A-Za-z0-9_\-.~+/=]{6,})")
_DIGIT = re.compile(r"[0-9]")
_LOGIN = re.compile(r"://(?=([^\s/?#\"'<>\\\0]{3,512}))")


def find_tokens(text: str, wary: bool, digits: bool, found: Found) -> str:
    """Replace tokens by `[secret]`. `wary`: may keys of AWS be there? `digits`: are there a few?"""
    if (wary and _AWS.search(text)) or (digits and len(text) >= _SHORTEST and _has_unhinted(text)):

        def one(_: re.Match[str]) -> str:
            found["secret"] += 1
            return "[secret]"

        return _TOKENS.sub(one, text)
    parts: list[str] = []
    done = 0
    for hint in _HINT.finditer(text):
        at = hint.start()
        for start in range(max(done, at - _LONGEST_BEGINNING), at + 1):
            token = _TOKENS.match(text, start)
            if token is not None:
                found["secret"] += 1
                parts += (text[done:start], "[secret]")
                done = token.end()
                break
    return "".join((*parts, text[done:])) if parts else text


def find_assigned(text: str, found: Found) -> str:
    """Replace the value behind `password=`, `"api_key":`, `?token=` and their like."""
    parts: list[str] = []
    done = 0
    for match in _ASSIGNED.finditer(text):
        at = match.start()
        said = _SAYS.search(text, max(0, at - 28), at)
        if said is None or match.start() < done:
            continue
        place: int | str = match.lastgroup or 0
        value = match.group(place)
        if place == "bare" and said.start() and text[said.start() - 1] in "?&;":
            value = value.split("&", 1)[0]
        if said["maybe"] and place != "bare" and " " in value:
            continue  # "token": "two words" is a word of a text
        if said["maybe"] and ("@" in value or (len(value) < 16 and not _DIGIT.search(value))):
            continue
        if len(value) < 6 and said["query"]:
            continue
        found["secret"] += 1
        start = match.start(place)
        parts += (text[done:start], "[secret]")
        done = start + len(value)
    return "".join((*parts, text[done:])) if parts else text


def find_bearer(text: str, found: Found) -> str:
    """Replace what follows the word Bearer, where it is no ordinary word."""

    def one(match: re.Match[str]) -> str:
        value = match.group(1)
        if len(value) < 20 and not _DIGIT.search(value):
            return match.group()
        found["secret"] += 1
        return match.group()[: -len(value)] + "[secret]"

    return _BEARER.sub(one, text)


def find_login(text: str, found: Found) -> str:
    """Replace `user:password@` and user names like tokens in URLs, up to the last `@` before the path."""
    parts: list[str] = []
    done = 0
    for match in _LOGIN.finditer(text):
        held = match.group(1)
        login = held[: held.rfind("@")] if "@" in held else ""
        named, colon, word = login.partition(":")
        if login.startswith("[") or not ((colon and word) or (not colon and len(named) >= 8 and _DIGIT.search(named))):
            continue
        found["url login"] += 1
        parts += (text[done : match.end()], "[url login]")
        done = match.end() + len(login)
    return "".join((*parts, text[done:])) if parts else text
