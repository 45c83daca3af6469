"""Numbers in a text: payment cards, telephone numbers, national ids, and the many that are nobody's business to remove.

A *run* is what a reader sees as one number: groups of digits with spaces, dots, hyphens, slashes or brackets between
them. Inside a run every window of whole groups is tried, so that a card is found in front of its expiry date. What the
digits do not settle, the words beside the run do: "phone", "card", "BSN" speak for a window, "order" or "invoice"
against one.
"""

from __future__ import annotations

import re

from flywheel.capture.redaction.credentials import Found
from flywheel.capture.redaction.ids import BEFORE, LETTERED, LETTERED_BEHIND, NAMED, lettered, valid
from flywheel.capture.redaction.phones import Plans
from flywheel.capture.redaction.shapes import Shape, shape_of
from flywheel.capture.redaction.words import said_after, said_before

__all__ = ["find_numbers", "has_foreign_digits", "is_card"]

# Atomic, not possessive: until 3.11.5 Python kept what a possessive group's last, failed round had taken (gh-100061).
_RUN = r"[0-9]*+(?>(?:[\ .()/-]{1,3}[0-9]++)*)"
_CANDIDATE = re.compile(  # an id with letters, or a run of seven digits or more
    rf"""(?x) [0-9] (?<![0-9][0-9]) (?: {LETTERED}
    | (?<![^\W_][0-9]) (?=(?:[\ .()/-]{{0,3}}[0-9]){{6}}) (?:{LETTERED_BEHIND} | {_RUN}) )"""
)
_WHOLE_RUN = re.compile(f"[0-9](?<![^\\W_][0-9]){_RUN}")
_NEAR, _NEAR_BEHIND = 34, 24  # how far from a number the word that names it may stand

_FOREIGN_DIGITS = "".join(chr(code) for code in range(0x80, 0x10000) if chr(code).isdecimal())
_FOREIGN_MARKS = dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ") | dict.fromkeys(
    "\u2010\u2011\u2012\u2013\u2014\u2212\uff0d", "-"
)
_PLAIN = {digit: str(int(digit)) for digit in _FOREIGN_DIGITS} | _FOREIGN_MARKS | {"\uff0b": "+", "\uff0e": "."}
_FOREIGN = re.compile(f"[{_FOREIGN_DIGITS}]")
_ASCII = bytes(range(128))

_DATE = re.compile(
    r"(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?![0-9])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)?\d\d(?![0-9])"
)
_YEARS = re.compile(r"(?:1[89]|20)\d\d ?[-/] ?(?:1[89]|20)\d\d")
_MONEY_AFTER = re.compile(
    r"\s?(?:[$€£¥₹%]|(?:USD|EUR|GBP|CHF|SEK|PLN|INR|JPY|kr|zł|dollars?|euros?|pounds?)\b)", re.IGNORECASE
)
_EXTENSION = re.compile(r"[ ,]{0,2}(?:x|ext\.?|extension|#)[ .:]{0,2}[0-9]{1,6}(?![\w])", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_NOT_DIGIT = re.compile(r"[^0-9]+")
_LONG_RUN = 160  # characters; longer ones are rows of numbers
_USUAL = re.compile(
    r"(?<![0-9])(?:[0-9]{12,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}"
    r"|(?P<ssn>[0-9]{3}-[0-9]{2}-[0-9]{4}))(?![0-9])"
)
_HELD = re.compile(r"[^0-9\]\0]+")  # words do not speak across other numbers, removed things or texts
_CUT = re.compile(r"[0-9\[\0]")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

_BRANDS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11,16}|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|35\d{14,17}|62\d{14,17}"
)
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")

Span = tuple[int, int, str]


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


def _not_ascii(text: str) -> str:
    return text.encode("utf-8", "replace").translate(None, _ASCII).decode()


def has_foreign_digits(text: str) -> bool:
    """Does a text hold decimal digits of other scripts, such as ٤ or ４?"""
    return not text.isascii() and _FOREIGN.search(_not_ascii(text)) is not None


def find_numbers(text: str, plans: Plans, key: str, found: Found) -> str:
    """Replace cards, telephone numbers, national ids and account numbers. `key` is what the text's key says of it."""
    plain = text
    if not text.isascii():  # digits and blanks of other scripts, sign for sign, so that places stay what they are
        for sign in _PLAIN.keys() & set(_not_ascii(text)):
            plain = plain.replace(sign, _PLAIN[sign])
    spans: list[Span] = []
    before = 0
    for match in _CANDIDATE.finditer(plain):
        start, end = match.span()
        form = match.lastgroup
        if form is not None:
            begin = start - BEFORE.get(form, 0)
            if begin < before:
                continue
            kind, end = lettered(form, plain, begin, match.end(form))
            if kind:
                spans.append((begin, end, kind))
                before = end
                continue
            whole = _WHOLE_RUN.match(plain, start)
            if whole is None:
                continue
            end = whole.end()
        if start < before:
            continue
        digits = plain[start:end]
        if 12 <= end - start <= 19 and digits.isdigit() and is_card(digits) and _stands_free(plain, start, end):
            spans.append((start, end, "card"))
        elif end - start > _LONG_RUN:
            _in_long(plain, start, end, spans)
        elif end - start >= 7:
            _Run(plain, start, end, before, plans, key).look(spans)
        before = end
    if not spans:
        return text
    parts: list[str] = []
    done = 0
    for start, end, kind in spans:
        if start >= done:
            found[kind] += 1
            parts += (text[done:start], f"[{kind}]")
            done = end
    parts.append(text[done:])
    return "".join(parts)


def _stands_free(plain: str, start: int, end: int) -> bool:
    """No word goes on behind these digits; and behind a word glued to them (`blk_-16…`) only usual lengths count."""
    if plain[end : end + 1].isalpha():
        return False
    glued = plain[max(0, start - 2) : start]
    return end - start in (15, 16) or not (glued.endswith("_") or (glued[1:] == "-" and glued[0] not in " ("))


def _in_long(plain: str, start: int, end: int, spans: list[Span]) -> None:
    """Find cards and social security numbers, as they are usually grouped, in a long row of numbers: a vector, a table.

    To try every window of such a row would take microseconds a number, and find telephone numbers in pixels.
    """
    for match in _USUAL.finditer(plain, start, end):
        written = match.group()
        if match.lastgroup == "ssn":
            if valid("us.ssn", written):
                spans.append((*match.span(), "national id"))
        elif is_card(_NOT_DIGIT.sub("", written)):
            spans.append((*match.span(), "card"))


class _Run:
    """One run of digits and the decisions about it. The words beside it are looked up when first asked for."""

    __slots__ = ("_all", "_around", "_behind", "before", "end", "follows", "key", "plain", "plans", "shape", "start")

    def __init__(self, plain: str, start: int, end: int, before: int, plans: Plans, key: str) -> None:
        self.plain, self.start, self.end, self.before, self.plans, self.key = plain, start, end, before, plans, key
        self.shape: Shape = shape_of(plain[start:end])
        self._around: str | None = None
        self._behind: str | None = None
        self._all = ""
        self.follows = ""

    def look(self, spans: list[Span]) -> None:
        """Add what is found to `spans`, in order."""
        following = self.plain[self.end : self.end + 1]
        count = len(self.shape.groups)
        if following.isalpha() and not _EXTENSION.match(self.plain, self.end):
            count -= 1  # the last group is the beginning of a word: 31T12, 4f
        place = 0
        for first, last, plausible in self.shape.cards:  # cards first: the longest window that is one
            if first >= place and last < count and self._is_card(first, last, plausible):
                self._rest(place, first, spans)
                spans.append((self._from(first), self._to(last), "card"))
                place = last + 1
        self._rest(place, count, spans)

    def _from(self, place: int) -> int:
        return self.start + self.shape.groups[place][0]

    def _to(self, place: int) -> int:
        return self.start + self.shape.groups[place][1]

    def _digits(self, first: int, last: int) -> str:
        if not self._all:
            self._all = "".join(_DIGITS.findall(self.plain, self.start, self.end))
        return self._all[self.shape.sums[first] : self.shape.sums[last + 1]]

    def _is_card(self, first: int, last: int, plausible: bool) -> bool:
        digits = self._digits(first, last)
        if first == 0 and self.plain[self.start - 1 : self.start] == "+":
            return False
        if is_card(digits):
            if first == last and not _stands_free(self.plain, self._from(first), self._to(last)):
                return self.said == "card"
            return (plausible or self.said == "card") and not (last > first and self._in_uuid(self._from(first)))
        return first == 0 and is_card(digits, branded=False) and self.said == "card"

    def _in_uuid(self, start: int) -> bool:
        found = _UUID.search(self.plain, max(0, start - 36), start + 36)
        return found is not None and found.start() <= start < found.end()

    def _rest(self, place: int, count: int, spans: list[Span]) -> None:
        """Find ids and telephone numbers among the groups from `place` on that hold no card."""
        shape, plain = self.shape, self.plain
        while place < count and shape.sums[count] - shape.sums[place] >= 7:
            start = self._from(place)
            if shape.may_date and (date := _DATE.match(plain, start)):
                while place < count and self._from(place) < date.end():
                    place += 1
                continue
            if not shape.opens[place] and not (place and spans and spans[-1][1] == self._to(place - 1)):
                place += 1
                continue
            kind = "national id"
            last = self._alone_at(place, count)
            if last < 0:
                last = self._named_at(place, count, self.said)
            if last < 0:
                last, kind = self._phone_at(place, count), "phone"
            if last < 0 and shape.sums[count] - shape.sums[place] >= 8 and (said := self.said_behind):
                last, kind = self._named_at(place, count, said), "national id"
            if last < 0:
                place += 1
                continue
            end = self._to(last)
            spans.append((*_around(plain, start, end), kind) if kind == "phone" else (start, end, kind))
            self.follows = kind
            place = last + 1

    @property
    def said(self) -> str:
        """What the nearest word in front says the number is, else what its key says."""
        if self._around is None:
            window = self.plain[max(self.before, self.start - _NEAR) : self.start]
            held = _HELD.match(window[::-1])
            self._around = said_before(window[-held.end() :] if held else "") or self.key
        return self._around

    @property
    def said_behind(self) -> str:
        """The same of the words behind it."""
        if self._behind is None:
            window = self.plain[self.end : self.end + _NEAR_BEHIND]
            cut = _CUT.search(window)
            self._behind = said_after(window[: cut.start()] if cut else window)
        return self._behind

    def _closes(self, last: int) -> bool:
        if last + 1 < len(self.shape.groups):
            return self.shape.closes[last]
        following = self.plain[self.end : self.end + 2]
        return not (following[:1] in ("-", "_") and following[1:].isalnum())

    def _stands_apart(self, start: int) -> bool:
        before = self.plain[start - 2 : start] if start > 1 else ""
        return not (before[1:] in ("-", "_", ".") and before[0].isalnum())

    def _alone_at(self, place: int, count: int) -> int:
        """The last group of an id that begins at `place` and is told by its form; -1 if none does."""
        forms = self.shape.alone.get(place)
        if forms and self._stands_apart(self._from(place)):
            for last, names in forms:
                if last < count and self._closes(last) and self._is_valid(place, last, names):
                    return last
        return -1

    def _named_at(self, place: int, count: int, said: str) -> int:
        """The last group of an id that begins at `place`, of the kind that a word beside it says; -1 if none does."""
        names = NAMED.get(said)
        if names and self._stands_apart(self._from(place)):
            for last in range(min(count, place + 9) - 1, place - 1, -1):
                length = self._to(last) - self._from(place)
                if 8 <= length < 22 and self._closes(last) and self._is_valid(place, last, names):
                    return last
        return -1

    def _is_valid(self, first: int, last: int, names: tuple[str, ...]) -> bool:
        start = self._from(first)
        written = self.plain[start : self._to(last)]
        return any(valid(name, written) for name in names) and not ("-" in written and self._in_uuid(start))

    def _phone_at(self, place: int, count: int) -> int:
        """The last group of the longest telephone number that begins at `place`: by `+`, by plan, or by its word."""
        start = self._from(place)
        before = self.plain[max(0, start - 2) : start]
        plus = before.endswith("+") or before == "+("
        if (
            not plus
            and before
            and (
                before[-1] in "#-_=$€£.,@"
                or (before[-1] == ":" and before[0].isdigit())  # the seconds of a time
                or (before[-1] == "/" and before[0].isalpha())  # Chrome/26.0.1410.58
            )
        ):
            return -1
        groups = self.shape.groups
        stop, digits = place, 0
        while stop < count and stop < place + 9:
            if stop > place and self.shape.may_date and _DATE.match(self.plain, self._from(stop)):
                break
            digits += groups[stop][1] - groups[stop][0]
            if digits > 17:
                break
            stop += 1
        single = place + 1 == stop
        if digits < 7 or (single and not plus and self.plain[start : start + 2] != "00" and self.said != "phone"):
            return -1
        for last in range(stop - 1, place - 1, -1):
            if self._closes(last) and self._is_phone(place, last, plus):
                return -1 if last > place and self._in_uuid(start) else last
        return -1

    def _is_phone(self, place: int, last: int, plus: bool) -> bool:
        digits = self._digits(place, last)
        if len(digits) < 7:
            return False
        if plus:
            return self.plans.international(digits)
        said = self.said if place == 0 or self.said == self.follows else ""
        if (
            place == 0
            and digits[:2] == "00"
            and digits[2:3] != "0"
            and said != "other"
            and self.plans.international(digits[2:])
        ):
            return said == "phone" or (self._is_plain(place, last, False) if last > place else len(digits) >= 12)
        if said == "phone":
            return len(digits) <= 15
        cut = place > 0 or last + 1 < len(self.shape.groups)
        if last == place or said == "other" or len(digits) > 13 or not self._is_plain(place, last, cut):
            return False
        if said == "number" or (not said and self.said_behind == "phone"):
            return True
        return self.plans.national(digits, self.shape.sizes[place : last + 1])

    def _is_plain(self, place: int, last: int, cut: bool) -> bool:
        """No years, no sum of money, no decimals, and not `cut` out of a longer row of numbers with blanks between."""
        written = self.plain[self._from(place) : self._to(last)]
        dots, blanks = "." in written, " " in written
        if cut and blanks and "(" not in written:
            return False
        if dots and ((last == place + 1 and not blanks) or (blanks and "(" not in written)):
            return False
        if _YEARS.fullmatch(written) or self.shape.sizes[place : last + 1] == (6, 6):  # 081109 203615
            return False
        if written[0] != "0" and not ("-" in written or "/" in written or "(" in written):
            sizes = self.shape.sizes[place : last + 1]
            if sizes[0] <= 3 and all(size == 3 for size in sizes[1:]):  # thousands
                return not dots and not _MONEY_AFTER.match(self.plain, self._to(last))
        return True


def _around(plain: str, start: int, end: int) -> tuple[int, int]:
    """Take in the `+`, an opening bracket and an extension that belong to a telephone number."""
    if start and plain[start - 1] in "+(":
        start -= 1
        other = "+" if plain[start] == "(" else "("
        if start and plain[start - 1] == other and (other == "+" or ")" in plain[start:end]):
            start -= 1
    if plain[end : end + 1] in ("x", "X", "e", "E", " ", ",", "#"):
        extension = _EXTENSION.match(plain, end)
        if extension:
            end = extension.end()
    return start, end
