"""Numbers in a text: payment cards, telephone numbers, national ids, and the many that are nobody's business to remove.

A *run* is what a reader sees as one number: groups of digits with spaces, dots, hyphens, slashes or brackets between
them. Inside a run every window of whole groups is tried, so that a card is found in front of its expiry date. What the
digits do not settle, the words beside the run do: "phone", "card", "BSN" speak for a window, "order" or "invoice"
against one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from flywheel.capture.redaction.credentials import Count
from flywheel.capture.redaction.ids import ALONE, NAMED, WORDS, find_lettered, valid
from flywheel.capture.redaction.phones import Plans

__all__ = ["FOREIGN", "find_numbers", "is_card", "meaning_of_key"]

_RUN = re.compile(r"[0-9](?<![^\W_][0-9])[0-9]*+(?:[ .()/-]{1,3}[0-9]++)*+")
_GROUP = re.compile(r"[0-9]+")
_TO_ZERO = str.maketrans("123456789", "000000000")
_MOST_GROUPS = 9  # in one card, telephone number or id
_NEAR = 40  # how far from a number the word that names it may stand

_FOREIGN_DIGITS = "".join(chr(c) for c in range(0x80, 0x10000) if chr(c).isdecimal())
_FOREIGN_MARKS = dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ") | dict.fromkeys(
    "\u2010\u2011\u2012\u2013\u2014\u2212\uff0d", "-"
)
_PLAIN = str.maketrans({d: str(int(d)) for d in _FOREIGN_DIGITS} | _FOREIGN_MARKS | {"\uff0b": "+", "\uff0e": "."})
FOREIGN = re.compile(f"[{_FOREIGN_DIGITS}]")
"""Finds decimal digits of other scripts."""
_FOREIGN_SPACES = re.compile(f"[{''.join(_FOREIGN_MARKS)}]")

_DATE = re.compile(
    r"(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?![0-9])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)?\d\d(?![0-9])"
)
_YEARS = re.compile(r"(?:1[89]|20)\d\d ?[-/] ?(?:1[89]|20)\d\d")
_MONEY_AFTER = re.compile(
    r"\s?(?:[$€£¥₹%]|(?:USD|EUR|GBP|CHF|SEK|PLN|INR|JPY|kr|zł|dollars?|euros?|pounds?)\b)", re.IGNORECASE
)
_EXTENSION = re.compile(r"[ ,]{0,2}(?:x|ext\.?|extension|#)[ .:]{0,2}[0-9]{1,6}(?![\w])", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

_BRANDS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11,16}|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|35\d{14,17}|62\d{14,17}"
)
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")

_PHONE = (
    r"(?:tele)?phones?|tel|telefon\w*|t(?:é|e)l(?:é|e)phone|tel(?:é|e)fono|telefo(?:ne|on)|tlf|mobiles?|mobil|m(?:ó|o)vil"
    r"|cell(?:phone|ular\w*)?|celular|handy|fax|whatsapp|sms|hotline|pager|msisdn|rufnummer|desk"
)
_PHONE_VERBS = (
    r"call(?:ed|ing)?|dial(?:ed|ing)?|text(?:ed|ing)?\ me|ring\ me|reach\ (?:me|us|him|her|them)|contact|messages?\ to"
    r"|answer(?:ing)?\ at|registered|anruf\w*|ruf\w*|appel\w*|llam\w*|chiam\w*|portable|my\ (?:new\ )?number"
)
_CARD = (
    r"(?:credit|debit|bank)?\s?-?cards?|visa|master\s?card|amex|american\ express|maestro|cc|kreditkarte|karte|carte"
    r"|tarjeta|carta"
)
_OTHER = (
    r"orders?|invoices?|tickets?|cases?|ref(?:erence)?|tracking|articles?|items?|sku|isbn|issn|imei|version|build|accounts?"
    r"|transaction|booking|serial|model|part|batch|id|ids|zip|plz|post\s?code|bestell\w*|rechnung\w*|commande|facture"
    r"|pedido|factura|population|total|amount|price|sum|timestamp|size|bytes|hash|commit|patent|doi|arxiv"
)
_WORD = "|".join(f"(?P<{name}>{words})" for name, words in WORDS.items())
_SAID = re.compile(
    rf"(?ix) (?<![\w\[]) (?: (?P<phone>{_PHONE}|{_PHONE_VERBS}) | (?P<card>{_CARD}) | {_WORD} | (?P<other>{_OTHER}) )"
    r" (?!\w)"
)
_KEY = re.compile(
    rf"(?ix) (?<!\w) (?: (?P<phone>{_PHONE}) | (?P<card>{_CARD}|pan) | {_WORD} )"
    rf"(?: \ (?:number|no|nr|num|value|raw|e164|home|work))? \Z"
)


def is_card(digits: str, branded: bool = True) -> bool:
    """Does a number begin like a card of a known brand, and end in the check digit of Luhn (ISO/IEC 7812-1)?

    >>> is_card("4111111111111111"), is_card("4111111111111112"), is_card("501864667909", branded=False)
    (True, False, True)
    """
    if branded and not _BRANDS.fullmatch(digits):
        return False
    turned = digits.encode("ascii")[::-1]
    doubled = turned[1::2].translate(_DOUBLED)
    return (sum(turned[::2]) + sum(doubled) - 48 * len(turned)) % 10 == 0


@lru_cache(maxsize=1024)
def meaning_of_key(words: str) -> str:
    """What a key says of its number: `"phone"`, `"card"`, a group of `WORDS`, or nothing.

    >>> meaning_of_key("customer phone number"), meaning_of_key("call duration")
    ('phone', '')
    """
    said = _KEY.search(words)
    return (said.lastgroup or "") if said else ""


def find_numbers(text: str, plans: Plans, key: str, count: Count) -> str:
    """Replace cards, telephone numbers, national ids and account numbers. `key` is what the text's key says of it."""
    plain = text
    if not text.isascii() and (FOREIGN.search(text) or _FOREIGN_SPACES.search(text)):
        plain = text.translate(_PLAIN)  # sign for sign, so that places stay what they are
    spans = find_lettered(plain)
    before = 0
    for match in _RUN.finditer(plain):
        start, end = match.span()
        if end - start >= 7:
            spans += _of_run(plain, start, end, before, plans, key)
        before = end
    if not spans:
        return text
    parts: list[str] = []
    done = 0
    for start, end, kind in sorted(spans):
        if start >= done:
            count(kind)
            parts += (text[done:start], f"[{kind}]")
            done = end
    return "".join((*parts, text[done:]))


Span = tuple[int, int, str]


def _of_run(plain: str, start: int, end: int, before: int, plans: Plans, key: str) -> Iterable[Span]:
    """Find what is in one run of digits; `before` is where the run before it ended."""
    groups = [(start + group.start(), start + group.end()) for group in _GROUP.finditer(plain[start:end])]
    following = plain[end : end + 1]
    if following and (following.isalpha()) and not _EXTENSION.match(plain, end):
        groups.pop()  # the last one is the beginning of a word: 31T12, 4f
    if sum(right - left for left, right in groups) < 7:
        return ()
    said = _Said(plain, start, end, before, key)
    spans: list[Span] = []
    rest: list[tuple[int, int]] = []
    place = 0
    while place < len(groups):  # cards first: the longest window that is one
        last = _card_at(plain, groups, place, said)
        if last < 0:
            rest.append(groups[place])
            place += 1
            continue
        spans.append((groups[place][0], groups[last][1], "card"))
        spans += _of_groups(plain, rest, plans, said)
        rest = []
        place = last + 1
    return [*spans, *_of_groups(plain, rest, plans, said)]


def _card_at(plain: str, groups: list[tuple[int, int]], place: int, said: _Said) -> int:
    """The last group of the longest card that begins with the group at `place`; -1 if none does."""
    best, digits = -1, ""
    for last in range(place, min(len(groups), place + 19)):
        digits += plain[groups[last][0] : groups[last][1]]
        if len(digits) > 19:
            break
        if len(digits) < 12:
            continue
        size = last - place + 1
        plausible = size == 1 or len(digits) >= 3 * size  # not a list of small numbers
        spoken = said.before == "card"
        if (plausible and is_card(digits) and not _in_uuid(plain, groups[place][0])) or (
            spoken and is_card(digits, branded=place > 0)
        ):
            best = last
    return best


def _in_uuid(plain: str, start: int) -> bool:
    found = _UUID.search(plain, max(0, start - 36), start + 36)
    return found is not None and found.start() <= start < found.end()


def _of_groups(plain: str, groups: list[tuple[int, int]], plans: Plans, said: _Said) -> list[Span]:
    """Find ids and telephone numbers among groups of digits that hold no card."""
    spans: list[Span] = []
    place = 0
    while place < len(groups):
        if plain[groups[place][1] : groups[place][1] + 1] in "-/." and (date := _DATE.match(plain, groups[place][0])):
            place += 1
            while place < len(groups) and groups[place][0] < date.end():
                place += 1
            continue
        found = None
        if _opens(plain, groups, place):
            found = _id_at(plain, groups, place, said) or _phone_at(plain, groups, place, plans, said)
        if found is None:
            place += 1
            continue
        last, kind = found
        start, end = groups[place][0], groups[last][1]
        if kind == "phone":
            start, end = _around(plain, start, end)
        spans.append((start, end, kind))
        said.follows = (end, kind)
        place = last + 1
    return spans


def _opens(plain: str, groups: list[tuple[int, int]], place: int) -> bool:
    """May a number begin here: at the run's start, or behind a blank or a bracket?"""
    start = groups[place][0]
    if place and groups[place - 1][1] == start:
        return False
    return start == 0 or plain[start - 1] in " (+\n\t" or place == 0


def _closes(plain: str, groups: list[tuple[int, int]], last: int) -> bool:
    """May a number end here: at the run's end, or before a blank?"""
    end = groups[last][1]
    following = plain[end : end + 1]
    if last + 1 < len(groups) and groups[last + 1][0] > end:
        return following == " " or (following == "/" and plain[end + 1 : end + 2] == " ")
    return not (following in "-_" and following and plain[end + 1 : end + 2].isalnum())


def _id_at(plain: str, groups: list[tuple[int, int]], place: int, said: _Said) -> tuple[int, str] | None:
    start = groups[place][0]
    before = plain[start - 1 : start] if start else ""
    if before in "-_." and before and plain[start - 2 : start - 1].isalnum():
        return None
    for last in range(min(len(groups), place + _MOST_GROUPS) - 1, place - 1, -1):
        end = groups[last][1]
        if not 8 < end - start < 22 or not _closes(plain, groups, last):
            continue
        written = plain[start:end]
        alone = ALONE.get(written.translate(_TO_ZERO), ())
        named = NAMED.get(said.id, ()) if said.id else ()
        if any(_fits(name, written) and valid(name, written) for name in (*alone, *named)):
            return last, "national id"
    return None


def _fits(name: str, written: str) -> bool:
    """What the check digits leave open: some ids begin with a date or a digit of their own."""
    if name == "cn.ric":
        return written[6:8] in ("19", "20")
    return True


def _phone_at(
    plain: str, groups: list[tuple[int, int]], place: int, plans: Plans, said: _Said
) -> tuple[int, str] | None:
    """The longest window from the group at `place` on that is a telephone number, by `+`, by plan, or by its word."""
    start = groups[place][0]
    before = plain[max(0, start - 2) : start]
    plus = before.endswith("+") or before == "+("
    if not plus and before[-1:] in "#-_=$€£.,@" and before[-1:]:
        return None
    spoken = said.word(place == 0) == "phone"
    refused = said.word(place == 0) == "other"
    written = [plain[left:right] for left, right in groups[place : place + _MOST_GROUPS]]
    best = -1
    for size in range(1, len(written) + 1):
        digits = "".join(written[:size])
        if len(digits) > 17:
            break
        if size > 1 and _DATE.match(plain, groups[place + size - 1][0]):
            break
        if len(digits) < 7 or not _closes(plain, groups, place + size - 1):
            continue
        if plus:
            good = plans.international(digits)
        elif digits.startswith("00") and digits[2:3] != "0":
            good = plans.international(digits[2:]) and (size > 1 or spoken or len(digits) >= 12) and not refused
        elif spoken:
            good = len(digits) <= 15
        else:
            good = size > 1 and not refused and _national(plain, groups, place, size, written, plans)
        if good:
            best = place + size - 1
    if best < 0 and plus and len("".join(written[:1])) >= 7 and _closes(plain, groups, place):
        best = place if plans.international("".join(written[:1])) else -1
    return None if best < 0 else (best, "phone")


def _national(
    plain: str, groups: list[tuple[int, int]], place: int, size: int, written: list[str], plans: Plans
) -> bool:
    """Is a window a number as one of the countries writes it, and neither years, a sum of money nor a decimal?"""
    start, end = groups[place][0], groups[place + size - 1][1]
    whole = plain[start:end]
    marks = {mark for mark in whole if not mark.isdigit()}
    if _YEARS.fullmatch(whole) or (marks == {"."} and size == 2) or (marks >= {".", " "} and "(" not in marks):
        return False
    thousands = written[0][0] != "0" and len(written[0]) <= 3 and all(len(group) == 3 for group in written[1:size])
    if thousands and (marks == {"."} or (marks == {" "} and _MONEY_AFTER.match(plain, end))):
        return False
    return plans.national(written[:size])


def _around(plain: str, start: int, end: int) -> tuple[int, int]:
    """Take in the `+`, an opening bracket and an extension that belong to a telephone number."""
    if plain[max(0, start - 2) : start] == "+(":
        start -= 2
    elif start and plain[start - 1] in "+(":
        start -= 1
        if plain[start] == "(" and start and plain[start - 1] == "+":
            start -= 1
    extension = _EXTENSION.match(plain, end)
    return start, extension.end() if extension else end


class _Said:
    """What the words beside a run say it is; looked up once, when first asked."""

    def __init__(self, plain: str, start: int, end: int, before: int, key: str) -> None:
        self._plain, self._start, self._end, self._earliest, self._key = plain, start, end, before, key
        self._before: str | None = None
        self._id: str | None = None
        self.follows: tuple[int, str] = (0, "")

    @property
    def before(self) -> str:
        """The nearest word in front, else what the key says."""
        if self._before is None:
            begin = max(self._earliest, self._start - _NEAR)
            window = self._plain[begin : self._start]
            found = list(_SAID.finditer(window[window.rfind("]") + 1 :]))
            self._before = (found[-1].lastgroup or "") if found else self._key
        return self._before

    def word(self, first: bool) -> str:
        """What is said of a window: the words in front speak for the run's first one, and for its like after it."""
        return self.before if first or self.before == self.follows[1] else ""

    @property
    def id(self) -> str:
        """The group of `WORDS` that stands before or after the run, if any."""
        if self._id is None:
            said = self.before
            if said not in NAMED:
                window = self._plain[self._end : self._end + 24]
                cut = re.search(r"[0-9\[]", window)
                found = _SAID.search(window[: cut.start()] if cut else window)
                said = (found.lastgroup or "") if found else ""
            self._id = said if said in NAMED else ""
        return self._id
