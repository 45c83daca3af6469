"""Which digits are a telephone number: by a `+` and a country's calling code, or by a country's own numbering plan.

The plans come from `phonenumbers` (Google's libphonenumber). Its own matcher takes 50 to 100 µs a candidate; here the
plans of the chosen countries are put together once as two expressions over the digits, which give the same verdicts in
one or two. Without the library only North American numbers are known by their form alone; numbers with a `+` and
numbers beside a word such as "phone" are found all the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from flywheel.errors import InvalidConfig

__all__ = ["REGIONS", "Plans", "plans_of"]

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "CA", "AU", "IN")
"""Countries whose national numbers are looked for unless others are named; the same as the setting's default."""

_CALLING = re.compile(  # ITU-T E.164, list of assigned country codes
    r"1|7|2(?:[07]|[1-46]\d|5\d|9[01789])|3(?:[0-469]|5\d|7\d|8[0-35-79])|4(?:[013-9]|2[013])|5(?:[1-8]|0\d|9\d)"
    r"|6(?:[0-6]|[789]\d)|8(?:[1246]|0[08]|5\d|7[08]|8[0-3568])|9(?:[0-58]|6[0-8]|7[0-79]|9[2-689])"
)
_KINDS = ("fixed_line", "mobile", "toll_free", "shared_cost", "personal_number", "voip", "pager", "uan", "premium_rate")
_AMERICAN = r"[2-9]\d\d[2-9]\d{6}"
_EMPTY = r"(?!)"
_MOST_GROUPINGS = 4096


class Plans:
    """The numbering plans of some countries. Make one with `plans_of`, which remembers them.

    >>> plans = plans_of(("GB", "US"))
    >>> plans.national("02079460958", (3, 4, 4)), plans.national("1234567890", (3, 3, 4))
    (True, False)
    """

    def __init__(self, regions: tuple[str, ...]) -> None:
        self.regions = regions
        self._leading: re.Pattern[str] | None = None
        self._forms: list[tuple[re.Pattern[str], re.Pattern[str]]] = []
        self._by_sizes: dict[tuple[int, ...], tuple[re.Pattern[str], ...]] = {}

    def international(self, digits: str) -> bool:
        """Is this a number behind a `+`? By its calling code and length (E.164), so that made-up numbers count too."""
        if not 8 <= len(digits) <= 15 or not _CALLING.match(digits):
            return False
        return digits[0] != "1" or len(digits) == 11

    def national(self, digits: str, sizes: tuple[int, ...]) -> bool:
        """Are these digits, written in groups of these sizes, a number that one of the countries gives out?

        Countries that write a 0 in front (Germany, France …) need it, then any grouping will do; in the others the
        grouping must be the usual one, because there any nine or ten digits could be a number.
        """
        if self._leading is None:
            self._leading, self._forms = _compile(self.regions)
        if digits[0] == "0" and sizes[0] > 1 and self._leading.fullmatch(digits):
            return True
        if sizes[0] == 1 and digits[0] == "1" and len(sizes) == 4:
            digits, sizes = digits[1:], sizes[1:]
        forms = self._by_sizes.get(sizes)
        if forms is None:
            written = " ".join("0" * size for size in sizes)
            forms = tuple(numbers for grouping, numbers in self._forms if grouping.fullmatch(written))
            if len(self._by_sizes) < _MOST_GROUPINGS:
                self._by_sizes[sizes] = forms
        return any(numbers.fullmatch(digits) for numbers in forms)


@lru_cache(maxsize=64)
def plans_of(regions: tuple[str, ...]) -> Plans:
    """Make or recall the plans of countries (two letters each, ISO 3166). An unknown one is `InvalidConfig`."""
    known = _supported()
    wrong = [region for region in regions if not re.fullmatch(r"[A-Z]{2}", region) or (known and region not in known)]
    if wrong:
        raise InvalidConfig(
            f"privacy.phone_regions has {wrong[0]!r}, which is no country with a numbering plan. "
            "Write two capital letters, such as 'US' or 'DE'"
        )
    return Plans(regions)


def _supported() -> frozenset[str]:
    try:
        from phonenumbers import SUPPORTED_REGIONS
    except ModuleNotFoundError:
        return frozenset()
    return frozenset(SUPPORTED_REGIONS)


def _compile(regions: tuple[str, ...]) -> tuple[re.Pattern[str], list[tuple[re.Pattern[str], re.Pattern[str]]]]:
    """Put the plans together: all numbers with a leading 0, and for each grouping without one the numbers it is for."""
    leading: list[str] = []
    forms: dict[tuple[str, str], None] = {}
    for region in regions:
        plan = _plan(region)
        if plan is None:
            if region in ("US", "CA"):
                forms[r"\d{3} \d{3} \d{4}", _AMERICAN] = None
            continue
        numbers = "|".join(f"(?:{number})" for number in plan[0])
        if plan[1]:
            leading.append(f"0(?:{numbers})")
        elif region == "IT":
            leading.append(rf"(?=0)(?:{numbers})")
        forms.update({(grouping, f"(?={begins})(?:{numbers})"): None for grouping, begins in plan[2]})
    return re.compile("|".join(leading) or _EMPTY), [(re.compile(one), re.compile(two)) for one, two in forms]


def _plan(region: str) -> tuple[list[str], bool, list[tuple[str, str]]] | None:
    """A country's numbers, whether it writes a 0 in front, and the groupings it uses without, with what they begin."""
    try:
        import phonenumbers
    except ModuleNotFoundError:
        return None
    of: Any = phonenumbers.PhoneMetadata.metadata_for_region
    plan = of(region)
    main = of(phonenumbers.region_code_for_country_code(plan.country_code))  # whose groupings the others share
    general = plan.general_desc.national_number_pattern
    numbers = [
        f"(?={general}\\Z){kind.national_number_pattern}"
        for kind in (getattr(plan, name) for name in _KINDS)
        if kind is not None and kind.national_number_pattern not in (None, "NA")
    ]
    groupings: list[tuple[str, str]] = []
    for form in plan.number_format or main.number_format:
        rule = form.national_prefix_formatting_rule
        if rule and "0" in rule and not form.national_prefix_optional_when_formatting:
            continue
        begins = form.leading_digits_pattern[-1] if form.leading_digits_pattern else ""
        written = form.pattern.replace(")(", ") (").replace("(", "(?:")
        if " " in written:
            groupings.append((written, begins))
            if written == r"(?:\d{3}) (?:\d{2}) (?:\d{2}) (?:\d{2})":  # people write Spain's in these ways too
                groupings += [(r"\d{3} \d{3} \d{3}", begins), (r"\d{2} \d{3} \d{2} \d{2}", begins)]
    return numbers, plan.national_prefix == "0", groupings
