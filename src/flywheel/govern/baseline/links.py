"""What belongs together: ids and their repeats, feedback and what it is about, the same question asked again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from flywheel.govern.baseline.clock import instant
from flywheel.govern.baseline.columns import spread_of
from flywheel.govern.baseline.result import FeedbackFound, Ids, Share, share_of
from flywheel.govern.baseline.sketches import KeySample, Quantiles, hash_of

__all__ = ["FEEDBACK", "Links"]

FEEDBACK = ("rating", "label", "comment", "outcome", "report")
_IDS, _INPUTS, _SESSIONS = 32_768, 16_384, 16_384
_MOST_TIMES = 256
_MINUTE = 60.0
_CLASSES = 2_000
_NEVER = math.inf


class _Link:
    """What is known about one interaction."""

    __slots__ = (
        "answer",
        "at",
        "conflict",
        "content",
        "label",
        "labelled_at",
        "named",
        "negative_at",
        "rated",
        "seen",
        "told",
        "told_at",
    )

    def __init__(self) -> None:
        self.seen = 0
        self.content: set[int] = set()
        self.conflict = self.named = False
        self.at: float | None = None
        self.told = self.rated = False
        self.told_at = self.negative_at = self.labelled_at = _NEVER
        self.answer: int | None = None
        self.label: int | None = None


class _Session:
    """How a session ended."""

    __slots__ = ("failed", "last")

    def __init__(self) -> None:
        self.last = -math.inf
        self.failed = False


class Links:
    """Ids, feedback, retries and sessions, for a sample of ids, inputs and sessions where there are too many.

    Memory: about 25 MiB at most.
    """

    def __init__(self) -> None:
        self.interactions = 0
        self.with_id = 0
        self.kinds: Counter[str] = Counter()
        self.negatives = 0
        self._links: KeySample[_Link] = KeySample(_IDS, _Link)
        self._askings: KeySample[list[float]] = KeySample(_INPUTS, list)
        self._inputs: KeySample[list[int]] = KeySample(_INPUTS, lambda: [0])
        self._sessions: KeySample[_Session] = KeySample(_SESSIONS, _Session)
        self._classes: Counter[int] = Counter()
        self._ratings = Quantiles()
        self._labelled_at = [math.inf, -math.inf]

    def interaction(self, draft: Mapping[str, Any], at: float | None) -> None:
        """Take one interaction, with what it says about itself (a label column, a rating column)."""
        self.interactions += 1
        known = draft.get("id")
        self.with_id += known is not None
        link = self._links.entry(hash_of(["#", draft]) if known is None else hash_of(str(known)))
        if link is not None:
            link.seen += 1
            link.at = at
            if known is None:
                link.content.add(0)
            else:
                link.named = True
                content = hash_of(draft)
                link.conflict |= bool(link.content) and content not in link.content
                if len(link.content) < 4:
                    link.content.add(content)
            if draft.get("output") is not None:
                link.answer = _answer(draft["output"])
        self._told(link, draft, None)
        self._asked(draft, at)
        self._ended(draft, at)

    def feedback(self, draft: Mapping[str, Any]) -> None:
        """Take one feedback that came on its own."""
        about = draft.get("interaction_id")
        link = None if about is None else self._links.entry(hash_of(str(about)))
        self._told(link, draft, instant(draft.get("at"))[0])

    def _told(self, link: _Link | None, draft: Mapping[str, Any], at: float | None) -> None:
        moment = math.nan if at is None else at
        for kind in FEEDBACK:
            value = draft.get(kind)
            if value is None or value == {}:
                continue
            self.kinds[kind] += len(value) if kind == "outcome" and isinstance(value, Mapping) else 1
            if link is not None:
                link.told = True
                link.told_at = min(link.told_at, at if at is not None else _NEVER)
            if kind == "rating" and isinstance(value, int | float) and math.isfinite(value):
                self._ratings.add(float(value))
            if kind in ("rating", "report"):
                bad = kind == "report" or (isinstance(value, int | float) and value < 0)
                self.negatives += bad
                if link is not None:
                    link.rated = True
                    link.negative_at = moment if bad else link.negative_at
            if kind == "label":
                hashed = _answer(value)
                if hashed in self._classes or len(self._classes) < _CLASSES:
                    self._classes[hashed] += 1
                if link is not None:
                    link.label, link.labelled_at = hashed, moment

    def _asked(self, draft: Mapping[str, Any], at: float | None) -> None:
        asked = draft.get("input")
        if asked is None:
            return
        content = hash_of(asked)
        times = self._inputs.entry(content)
        if times is not None:
            times[0] += 1
        who = draft.get("user") if draft.get("user") is not None else draft.get("session")
        if who is None or at is None:
            return
        askings = self._askings.entry(hash_of([str(who), content]))
        if askings is not None and len(askings) < _MOST_TIMES:
            askings.append(at)

    def _ended(self, draft: Mapping[str, Any], at: float | None) -> None:
        name = draft.get("session")
        if name is None:
            return
        session = self._sessions.entry(hash_of(str(name)))
        moment = -math.inf if at is None else at
        if session is not None and moment >= session.last:
            session.last = moment
            session.failed = bool(draft.get("error")) or draft.get("output") in (None, "", [], {})

    # --- what it comes to ---

    def ids(self) -> Ids:
        """Ids and duplicates."""
        links = [link for link in self._links.entries.values() if link.seen]
        sampled = self._links.sampled
        named = [link for link in links if link.named]
        inputs = self._inputs
        asked = sum(times[0] for times in inputs.entries.values())
        return Ids(
            with_id=share_of(self.with_id, self.interactions),
            repeated=_ratio([(0 if link.conflict else link.seen - 1, link.seen) for link in links], sampled=sampled),
            conflicts=share_of(sum(link.conflict for link in named), len(named), sampled=sampled),
            distinct_inputs=inputs.keys,
            repeated_inputs=share_of(asked - len(inputs.entries), asked, sampled=inputs.sampled),
        )

    def retries(self) -> Share:
        """Interactions that ask again what the same user asked at most a minute before."""
        pairs = []
        for askings in self._askings.entries.values():
            ordered = sorted(askings)
            again = sum(0 < late - early <= _MINUTE for early, late in pairwise(ordered))
            pairs.append((again, len(ordered)))
        return _ratio(pairs, sampled=self._askings.sampled)

    def abandoned(self) -> Share:
        """Sessions that end in an error or without an answer."""
        ends = self._sessions.entries.values()
        return share_of(sum(end.failed for end in ends), len(ends), sampled=self._sessions.sampled)

    def found(self, span_days: float) -> FeedbackFound:
        """What came back."""
        every = self._links.entries.values()
        links = [link for link in every if link.seen]
        sampled = self._links.sampled
        told = [link for link in every if link.told]
        rated = [link for link in links if link.rated]
        negative = [link for link in links if link.negative_at != _NEVER]
        judged = [link for link in links if link.answer is not None and link.label is not None]
        delay = Quantiles()
        for link in links:
            if link.at is not None and math.isfinite(link.told_at):
                delay.add(link.told_at - link.at)
        labels = self.kinds["label"]
        weeks = span_days / 7
        low, high = _poisson(labels)
        return FeedbackFound(
            kinds={kind: self.kinds[kind] for kind in FEEDBACK if self.kinds[kind]},
            told=_ratio([(link.seen * link.told, link.seen) for link in links], sampled=sampled),
            labelled=_ratio([(link.seen * (link.label is not None), link.seen) for link in links], sampled=sampled),
            delay=spread_of(delay),
            labels_a_week=labels / weeks if weeks >= 1 else None,
            labels_a_week_low=low / weeks if weeks >= 1 else None,
            labels_a_week_high=high / weeks if weeks >= 1 else None,
            negative=share_of(len(negative), len(rated), sampled=sampled),
            followed_up=share_of(sum(_followed(link) for link in negative), len(negative), sampled=sampled),
            ratings=spread_of(self._ratings),
            strangers=share_of(sum(not link.seen for link in told), len(told), sampled=sampled),
            classes=len(self._classes),
            smallest_class=min(self._classes.values(), default=None),
            disagreeing=_ratio(
                [(link.seen * (link.answer != link.label), link.seen) for link in judged], sampled=sampled
            ),
        )


def _answer(value: Any) -> int:
    """Answers compare as people read them: 1, 1.0 and "1" are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return hash_of(str(value) if isinstance(value, int | float | str) else value)


def _followed(link: _Link) -> bool:
    """Was it labelled, and not only before the complaint? Where a time is not known, the label counts."""
    if link.label is None:
        return False
    return not (math.isfinite(link.labelled_at) and math.isfinite(link.negative_at)) or (
        link.labelled_at >= link.negative_at
    )


def _ratio(pairs: list[tuple[int, int]], *, sampled: bool) -> Share:
    """A share of rows from a sample of keys: a ratio estimate with its linearised variance (Cochran, 1977, 6.3)."""
    count, n = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    whole = share_of(count, n, sampled=sampled)
    if not sampled or whole.share is None or len(pairs) < 2:
        return whole
    square = sum((again - whole.share * asked) ** 2 for again, asked in pairs) * len(pairs) / (len(pairs) - 1)
    half = 1.959964 * math.sqrt(square) / n
    simple_low, simple_high = whole.low or 0.0, whole.high or 0.0
    low, high = max(0.0, whole.share - half), min(1.0, whole.share + half)
    return Share(count, n, whole.share, min(low, simple_low), max(high, simple_high))


def _poisson(count: int) -> tuple[float, float]:
    """95 % limits of a Poisson mean, by Byar's approximation (Breslow and Day, 1987)."""
    low = count * (1 - 1 / (9 * count) - 1.959964 / (3 * math.sqrt(count))) ** 3 if count else 0.0
    more = count + 1
    return max(0.0, low), more * (1 - 1 / (9 * more) + 1.959964 / (3 * math.sqrt(more))) ** 3
