"""Names for groups of failures in plain words: what sets a group apart from the other failures and from the traffic.

Grootendorst (2022), "BERTopic: neural topic modeling with a class-based TF-IDF procedure", for the weight of a term
in a group.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from flywheel.diagnose.embed import UNTELLING, as_record, as_text, choose_embedder
from flywheel.records import Failure

__all__ = ["Described", "crowd", "describe", "say"]

_TERMS = 3
_DOMINATES = 0.6
_COMPARED = 500
"""The values of a group's records are held against those of about so many others."""
_SURE = 0.7
"""Confidence from which an answer is called sure."""
_WORD = re.compile(r"[^\W_][\w'’-]+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Described:
    """A group's name and the weighted terms and values behind it."""

    name: str
    signature: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Trait:
    """Something most members of a group share and others do not: how it reads, and how much it tells."""

    key: str
    words: str
    weight: float


def crowd(these: Iterable[Failure]) -> float:
    """How many users these failures come from: the logged ones, and all without a user together as one.

    Infinite where no user is logged at all, as then nobody can be told apart.
    """
    users = {failure.user for failure in these}
    return math.inf if users <= {None} else float(len(users))


def describe(
    found: Sequence[Failure],
    members: Sequence[np.ndarray[Any, Any]],
    shares: Mapping[str, float] | None = None,
    min_users: int = 1,
) -> list[Described]:
    """Name each group; two groups never get the same name.

    `members` holds row numbers into `found`; `shares` the traffic's share of each context value, where it is known.
    No word, answer, label or value enters a name or a signature that fewer than `min_users` users of the group share.
    """
    textual = choose_embedder([f.input for f in found]) == "text"
    limit = min_users if any(f.user is not None for f in found) else 1
    terms = _terms(found, members, limit) if textual else [[] for _ in members]
    values = [] if textual else [as_record(f.input) if isinstance(f.input, dict) else {} for f in found]
    named: list[Described] = []
    used: set[str] = set()
    pictures = not textual and not isinstance(found[0].input, dict)
    places, outputs = _places(found), Counter(say(f.output) for f in found)
    for place, rows in enumerate(members):
        group = [found[row] for row in rows]
        context = _contexts(group, places, len(found), shares or {})
        answer = _answer(group, outputs, len(found), pictures, limit)
        features: list[_Trait] = []
        if values:
            rest = np.setdiff1d(np.arange(len(found)), rows, assume_unique=True)
            rest = rest[:: max(1, len(rest) // _COMPARED)]
            features = _features([values[row] for row in rows], [values[row] for row in rest])
        traits = sorted(context + features, key=lambda t: (-t.weight, t.key))
        if limit > 1:
            traits = [t for t in traits if crowd(_having(t.key, group, values, rows)) >= limit]
        about = terms[place][:_TERMS]
        options = [_compose(about[:2] or about, traits[:1], answer), _compose(about, traits[:2], answer)]
        options += _apart(options[0], group, limit)
        options += [_compose(terms[place][:more], traits[:more], answer) for more in (4, 6, 8)]
        name = next((option for option in options if option not in used), "")
        number = 2
        while not name or name in used:
            name = f"{options[0]}, group {number}"
            number += 1
        used.add(name)
        signature = {t.key: t.weight for t in [*terms[place][:12], *traits[:6], *answer]}
        named.append(Described(name, {key: round(weight, 4) for key, weight in sorted(signature.items())}))
    return named


def _apart(name: str, group: Sequence[Failure], limit: int) -> list[str]:
    """What else could tell a group from another of the same name: what it is taken for, what it is, and how surely."""
    said = name.replace(",", " ").split()
    options = []
    for words, values in (
        ("often as", [(say(f.output), f) for f in group]),
        ("some are", [(say(f.label), f) for f in group if f.label is not None]),
    ):
        for value, n in sorted(Counter(v for v, _ in values).items(), key=lambda pair: (-pair[1], pair[0]))[:2]:
            if n >= 2 and value not in said and crowd(f for v, f in values if v == value) >= limit:
                options.append(f"{name}, {words} {value}")
    sure = [f.confidence for f in group if f.confidence is not None]
    if sure:
        options.append(f"{name}, {'surely' if float(np.median(sure)) >= _SURE else 'unsurely'}")
    return options


def _having(
    key: str, group: Sequence[Failure], values: Sequence[dict[str, Any]], rows: np.ndarray[Any, Any]
) -> list[Failure]:
    """The members of a group that have a context value or a value of their record; of a number, those that have one."""
    name, _, value = key.partition("=")
    column = key.rpartition(":")[0]
    here = []
    for failure, row in zip(group, rows, strict=True):
        record = values[row] if values else {}
        held = failure.context.get(name, record.get(name))
        if (value and held is not None and say(held) == say(value)) or (not value and column):
            here.append(failure)
    return here


def _compose(terms: Sequence[_Trait], traits: Sequence[_Trait], answer: Sequence[_Trait]) -> str:
    """Put together what the inputs are about, what the model said, and where it happened."""
    strong = [t.words for t in traits]
    said = answer[0].words if answer else ""
    if terms:
        about = f'"{", ".join(t.words for t in terms)}"'
        head = f"{about} {said}" if said else about
        return " · ".join([head, *(t.words for t in traits if t.weight >= 0.5)])
    if strong and said and answer[0].weight < traits[0].weight:
        return " · ".join([*strong, said])
    return " · ".join([said, *strong]) if said else " · ".join(strong) or "other failures"


def _terms(found: Sequence[Failure], members: Sequence[np.ndarray[Any, Any]], limit: int = 1) -> list[list[_Trait]]:
    """Per group, terms by class-based TF-IDF: share of the group's texts × log(1 + how much oftener than elsewhere)."""
    per_text = [_words(as_text(f.input)) for f in found]
    everywhere = Counter(term for terms in per_text for term in terms)
    out = []
    for rows in members:
        here = Counter(term for row in rows for term in per_text[row])
        least = 2 if len(rows) >= 4 else 1
        scored = []
        for term, count in here.items():
            if count < least:
                continue
            share, rest = count / len(rows), len(found) - len(rows)
            elsewhere = (everywhere[term] - count + 0.5) / (rest + 1.0) if rest else 0.05
            if share > elsewhere:
                scored.append(_Trait(term, term, share * math.log(1.0 + share / elsewhere)))
        scored.sort(key=lambda t: (-round(t.weight, 9), t.key))
        if limit > 1:
            users: dict[str, set[str | None]] = {}
            for row in rows:
                for term in per_text[row]:
                    users.setdefault(term, set()).add(found[row].user)
            scored = [t for t in scored if len(users[t.key]) >= limit]
        out.append(_distinct(scored))
    return out


def _distinct(terms: Sequence[_Trait]) -> list[_Trait]:
    """Leave out a term that another, better or longer and nearly as good, already says."""
    kept: list[_Trait] = []
    for term in terms[:60]:
        parts = set(term.words.split())
        double = [k for k in kept if parts & set(k.words.split())]
        if not double:
            kept.append(term)
        elif len(double) == 1 and len(parts) > len(double[0].words.split()) and term.weight >= 0.7 * double[0].weight:
            kept[kept.index(double[0])] = term
    return kept


def _words(text: str) -> set[str]:
    words = _WORD.findall(text.lower()[:5000])
    single = {w for w in words if w not in UNTELLING}
    pairs = {f"{a} {b}" for a, b in pairwise(words) if a not in UNTELLING and b not in UNTELLING}
    return single | pairs


def _places(these: Iterable[Failure]) -> Counter[str]:
    """How many failures have each context value that names something."""
    return Counter(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for f in these
        for key, value in f.context.items()
        if isinstance(value, str | bool)
    )


def _contexts(
    group: Sequence[Failure], everywhere: Counter[str], total: int, shares: Mapping[str, float]
) -> list[_Trait]:
    others = total - len(group)
    traits = []
    for value, n in _places(group).items():
        share = n / len(group)
        elsewhere = (everywhere[value] - n + 0.5) / (others + 1.0)
        base = max(shares.get(value, 0.0), elsewhere) if others or value in shares else 1.0
        if share >= _DOMINATES and share > 1.3 * base and base < 0.5 and n >= 2:
            traits.append(_Trait(value, value, share * math.log2(share / base)))
    return traits


def _answer(
    group: Sequence[Failure], everywhere: Counter[str], total: int, pictures: bool, limit: int = 1
) -> list[_Trait]:
    """What the model says and what people say instead, where one of either dominates."""
    verb = "reads" if pictures else "answered as"
    outputs = Counter(say(f.output) for f in group)
    labels = Counter(say(f.label) for f in group if f.label is not None)
    known = sum(labels.values())
    output, n = min(outputs.items(), key=lambda item: (-item[1], item[0]))
    label, m = min(labels.items(), key=lambda item: (-item[1], item[0])) if labels else ("", 0)
    one_output = n / len(group) >= _DOMINATES and n >= 2 and crowd(f for f in group if say(f.output) == output) >= limit
    one_label = known >= 2 and m / known >= _DOMINATES
    one_label = one_label and crowd(f for f in group if f.label is not None and say(f.label) == label) >= limit
    others = total - len(group)
    elsewhere = (everywhere[output] - n + 0.5) / (others + 1.0)
    weight = n / len(group) * max(math.log2(n / len(group) / elsewhere), 0.0) if others else 1.0
    traits = []
    if one_output and one_label and output != label:
        words = (
            f"reads {output} where people say {label}" if pictures else f"answered as {output} where people say {label}"
        )
        traits.append(_Trait(f"output={output}", words, weight))
        traits.append(_Trait(f"label={label}", label, m / known))
    elif one_label:
        traits.append(_Trait(f"label={label}", f"misses {label}", m / known))
    elif one_output:
        traits.append(_Trait(f"output={output}", f"{verb} {output}", weight))
    elif pictures:
        top = sorted(outputs.items(), key=lambda item: (-item[1], item[0]))[:3]
        top = [item for item in top if crowd(f for f in group if say(f.output) == item[0]) >= limit]
        if top and sum(c for _, c in top) / len(group) >= _DOMINATES:
            words = " or ".join([", ".join(o for o, _ in top[:-1]), top[-1][0]] if len(top) > 1 else [top[0][0]])
            traits.append(_Trait(f"output={top[0][0]}", f"{verb} {words}", 0.4))
    return traits


def _features(group: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> list[_Trait]:
    """Values of record inputs that are far from the other failures': numbers high or low, one category, or missing."""
    if not others:
        return []
    traits = []
    for key in sorted({key for record in group for key in record}):
        here, there = [r.get(key) for r in group], [r.get(key) for r in others]
        a, b = _numbers(here), _numbers(there)
        if len(a) >= 2 and len(b) >= 2:
            middle, spread = float(np.median(b)), float(np.std(np.concatenate([a, b])))
            gap = (float(np.median(a)) - middle) / spread if spread > 0 else 0.0
            if abs(gap) >= 0.8:
                traits.append(
                    _Trait(f"{key}:{'high' if gap > 0 else 'low'}", f"{key} {'high' if gap > 0 else 'low'}", abs(gap))
                )
        counts = Counter(say(v) for v in here if isinstance(v, str | bool))
        for value, n in counts.items():
            share = n / len(group)
            base = (sum(say(v) == value for v in there) + 0.5) / (len(others) + 1.0)
            if share >= _DOMINATES and share > 1.5 * base:
                traits.append(_Trait(f"{key}={value}", f"{key}={value}", share * math.log2(share / base)))
        missing = sum(v is None for v in here) / len(group)
        if missing >= _DOMINATES and missing > 1.5 * (sum(v is None for v in there) + 0.5) / (len(others) + 1.0):
            traits.append(_Trait(f"{key}:missing", f"no {key}", missing))
    return traits


def _numbers(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    return np.array([float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)])


def say(value: Any) -> str:
    """A value as people would write it, short.

    >>> say(8), say("card_lost"), say(True)
    ('8', 'card_lost', 'true')
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 40 else text[:39] + "…"
