"""Personal data and secrets: how much of which kind, in which fields. Values are counted and forgotten."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.govern.baseline.result import Personal, share_of
from flywheel.govern.baseline.shown import Shown

__all__ = ["PersonalData"]

_TIMES = ("at", "sent_at", "kind", "confidence", "latency_ms", "propensity", "consent", "rating")
_MACHINES = ("ip", "url login", "secret")
_DESCRIBING = re.compile(
    r"""(?ix) (?:^|[._\s-]) (?:
    (?: first|last|full|middle|given|family|maiden|customer|client|patient|employee ) [_\s-]? name | surname
    | (?: birth[_\s-]? )(?: name|date|day|place ) | dob | date[_\s-]?of[_\s-]?birth
    | age | sex | gender | race
    | ethnicity | nationality | native[_\s-]?country | citizenship | religion
    | marital (?: [_\s-]?status )? | disability | diagnosis
    | e?[_-]?mail (?: [_\s-]?address )? | (?: phone|mobile|telephone ) (?: [_\s-]?number )? | street | address
    | post (?: al )? [_\s-]? code | zip (?: [_\s-]?code )? | ssn | social[_\s-]?security | passport
    | national[_\s-]?id | tax[_\s-]?id | iban | salary | income
    ) (?:$|[._\s-])"""
)
_NAME = re.compile(r"[^\W\d_](?:[^\W\d_]|['’.-])*(?: [^\W\d_](?:[^\W\d_]|['’.-])*){1,3}")
_SAID = 10_000


class PersonalData:
    """What a redactor finds in the records of a log."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.records = 0
        self._touched = 0
        self._finds: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._kinds: dict[str, Counter[str]] = {}
        self._paths: dict[str, None] = {}
        self.users = self.identifiable = self.consent = self.refused = self.interactions = 0

    def take(self, draft: Mapping[str, Any], opened: Sequence[tuple[str, Any]]) -> None:
        """Take one record, an interaction or feedback, with its leaves."""
        self.records += 1
        if len(self._paths) < _SAID:
            self._paths.update(dict.fromkeys(path for path, _ in opened))
        finds = self._shown.finds((path, value) for path, value in opened if path not in _TIMES)
        self._touched += bool(finds)
        for path, found in finds:
            self._finds.update(found)
            self._rows[path] += 1
            self._kinds.setdefault(path, Counter()).update(found)
        if draft.get("kind") == "feedback":
            return
        self.interactions += 1
        user = draft.get("user")
        if user is not None:
            self.users += 1
            found = dict(finds).get("user", {})
            named = isinstance(user, str) and len(user) <= 100 and _NAME.fullmatch(user.strip()) is not None
            self.identifiable += bool(named or any(kind not in _MACHINES for kind in found))
        consent = draft.get("consent")
        self.consent += consent is not None
        self.refused += consent is False

    def found(self, *, sampled: bool) -> Personal:
        """Counts by kind and by field, the field with the most records first."""
        return Personal(
            redactor=self._shown.name,
            rows=share_of(self._touched, self.records, sampled=sampled),
            finds=dict(self._finds.most_common()),
            by_field=tuple(
                {
                    "path": self._shown.text(path, 80),
                    "rows": rows,
                    "share": rows / self.records,
                    "kinds": dict(self._kinds[path].most_common()),
                }
                for path, rows in sorted(self._rows.items(), key=lambda pair: (-pair[1], pair[0]))
            ),
            describing=tuple(self._shown.text(path, 80) for path in self._paths if _DESCRIBING.search(path)),
            users=share_of(self.users, self.interactions, sampled=sampled),
            identifiable=share_of(self.identifiable, self.users, sampled=sampled),
            consent=share_of(self.consent, self.interactions, sampled=sampled),
            refused=self.refused,
        )
