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
        self._usual: dict[tuple[int, ...], bool] = {}
        self._compiled: tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]] | None = None

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
        if self._compiled is None:
            self._compiled = _compile(self.regions)
        leading, grouped, bare = self._compiled
        if digits[0] == "0" and sizes[0] > 1 and leading.fullmatch(digits):
            return True
        if sizes[0] == 1 and digits[0] == "1" and len(sizes) == 4:
            digits, sizes = digits[1:], sizes[1:]
        usual = self._usual.get(sizes)
        if usual is None:
            usual = grouped.fullmatch(" ".join("0" * size for size in sizes)) is not None
            if len(self._usual) < _MOST_GROUPINGS:
                self._usual[sizes] = usual
        return usual and bare.fullmatch(digits) is not None


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


def _compile(regions: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Put the plans together: numbers with a leading 0, usual groupings of the others, and the digits of those."""
    leading: list[str] = []
    grouped: list[str] = []
    bare: list[str] = []
    for region in regions:
        plan = _plan(region)
        if plan is None:
            if region in ("US", "CA"):
                grouped.append(r"\d{3} \d{3} \d{4}")
                bare.append(_AMERICAN)
            continue
        numbers = "|".join(f"(?:{number})" for number in plan[0])
        if plan[1]:
            leading.append(f"0(?:{numbers})")
        elif region == "IT":
            leading.append(rf"(?=0)(?:{numbers})")
        if plan[2]:
            grouped += plan[2]
            bare.append(f"(?:{numbers})")
    together = (leading, list(dict.fromkeys(grouped)), list(dict.fromkeys(bare)))
    first, second, third = (re.compile("|".join(parts) or _EMPTY) for parts in together)
    return first, second, third


def _plan(region: str) -> tuple[list[str], bool, list[str]] | None:
    """A country's numbers, whether it writes a 0 in front of them, and the groupings it uses without one."""
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
    groupings = []
    for form in plan.number_format or main.number_format:
        rule = form.national_prefix_formatting_rule
        if rule and "0" in rule and not form.national_prefix_optional_when_formatting:
            continue
        written = form.pattern.replace(")(", ") (").replace("(", "(?:")
        if " " in written:
            groupings.append(written)
            if written == r"(?:\d{3}) (?:\d{2}) (?:\d{2}) (?:\d{2})":
                groupings += [r"\d{3} \d{3} \d{3}", r"\d{2} \d{3} \d{2} \d{2}"]
    return numbers, plan.national_prefix == "0", groupings
