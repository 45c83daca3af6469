"""Does a mode lean to one context: a device, a network, a version?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flywheel.records import Failure

__all__ = ["Place", "place_of"]

_ALPHA = 0.01
_OVER = 1.3


_WHO = frozenset(
    {"locale", "language", "lang", "dialect", "country", "region", "market", "segment", "tenant", "customer", "team"}
    | {"audience", "population", "tier", "plan", "age_group", "gender", "nationality"}
)
"""Context keys that say who asks. How these people write is no disturbance of the input: what they lack is examples."""


@dataclass(frozen=True, slots=True)
class Place:
    """A context value, its share of the mode, its share elsewhere, and the corrected p-value of the difference."""

    value: str
    share: float
    base: float
    p: float

    @property
    def of_people(self) -> bool:
        """Does it say who asks, and not through what: a locale, a market, against a device or a network?"""
        return self.value.partition("=")[0].rsplit(".", 1)[-1].lower() in _WHO

    @property
    def lean(self) -> float:
        """How far it leans, 0 (not at all) to 1 (all failures and no one else)."""
        return min(1.0, max(0.0, (self.share - self.base) / max(1.0 - self.base, 1e-9)))


def place_of(here: Sequence[Failure], everyone: Sequence[Failure], shares: Mapping[str, float]) -> Place | None:
    """The context value that is most significantly over-represented; None when no one is.

    An exact binomial test of each text or true/false value against its share in the traffic (`shares`, by `key=value`),
    or among the other failures where the traffic's is not known, with Bonferroni's correction; at p < 0.01 and 1.3
    times the share.
    """
    from scipy.stats import binom

    mine, all_of_them = _values(here), _values(everyone)
    others = len(everyone) - len(here)
    tests = []
    for value, n in sorted(mine.items()):
        base = shares.get(value, (all_of_them[value] - n + 0.5) / (others + 1.0) if others else 1.0)
        p = min(1.0, float(binom.sf(n - 1, len(here), min(base, 1.0))) * len(mine))
        tests.append((p, -n / len(here), value, base))
    if not tests:
        return None
    p, share, value, base = min(tests)
    return Place(value, -share, base, p) if p < _ALPHA and -share > _OVER * base else None


def _values(these: Sequence[Failure]) -> Counter[str]:
    return Counter(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for f in these
        for key, value in f.context.items()
        if isinstance(value, str | bool)
    )
