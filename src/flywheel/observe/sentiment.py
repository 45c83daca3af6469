"""How people feel: the sentiment of their comments and of what they say to the product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

import ibis
import numpy as np

from flywheel import plugins
from flywheel.errors import InvalidConfig
from flywheel.observe.contrast import average, contrast
from flywheel.observe.series import EVERY, Seen
from flywheel.records import Interval, Observation

__all__ = ["Lexicon", "Vader", "mood", "mood_findings", "sentiment", "turn_text"]

Array = np.ndarray[Any, Any]

SAMPLE = 50_000
_LONGEST = 2_000
_TEXTS = ("input.text", "input.message", "input.question", "input.query", "input.prompt")
HURTS = 0.05
"""Least fall of the mean sentiment, on -1..1, that raises an alarm …"""
SURE = 0.999
"""… when an interval of this level lies below it. Two kinds of text are looked at, so at most 1 window in 1,000 of
quiet ones raises one by chance."""


class Vader:
    """VADER: a lexicon of English words and emoji that people rated, with rules for negation, emphasis and "but".

    Hutto & Gilbert, ICWSM 2014, by the package `vaderSentiment`. About 10,000 short texts a second.
    """

    name = "vader"

    def __init__(self) -> None:
        self._rater = _analyzer()

    def score(self, texts: Sequence[str]) -> Array:
        """n texts to n floats, -1 (bad) to 1 (good)."""
        return np.array([self._rater.polarity_scores(text)["compound"] for text in texts], float)


@cache
def _analyzer() -> Any:
    """Reading the lexicon takes longer than rating a thousand texts."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


class Lexicon:
    """The plain sum of word valences, s / sqrt(s² + 15): for any language you have a list of words in.

    `path` names a file of lines `word<TAB>valence`, -4 to 4; without one, VADER's own English lexicon is summed,
    without its rules.
    """

    name = "lexicon"

    def __init__(self, path: str | Path | None = None) -> None:
        if path is None:
            self._words: dict[str, float] = dict(Vader()._rater.lexicon)
            return
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise InvalidConfig(f"the lexicon {path} cannot be read: {problem}. Give a UTF-8 file") from problem
        self._words = {}
        for number, line in enumerate(text.splitlines(), 1):
            word, _, rest = line.partition("\t")
            try:
                if line.strip():
                    self._words[word.strip().lower()] = float(rest.split("\t")[0])
            except ValueError as problem:
                raise InvalidConfig(
                    f"the lexicon {path} has line {number}: {line[:60]!r}. A line is a word, a tab, and a number"
                ) from problem

    def score(self, texts: Sequence[str]) -> Array:
        """n texts to n floats, -1 (bad) to 1 (good)."""
        get = self._words.get
        sums = np.array(
            [sum(get(w) or get(w.strip(".,;:!?\"'()")) or 0.0 for w in t.lower().split()) for t in texts], float
        )
        return sums / np.sqrt(sums**2 + 15.0)


def sentiment(texts: Sequence[str | None], *, by: str = "vader", **options: Any) -> Array:
    """The sentiment of n texts, -1 (bad) to 1 (good); NaN for those that are missing or blank.

    `by` names a plugin of `flywheel.sentiments`: `vader`, `lexicon`, or one of yours, which gets `options`. Distinct
    texts are scored once, and only their first 2,000 characters are read. O(distinct characters).

    >>> sentiment(["I love it", "this is wrong and awful", " "]).round(1).tolist()
    [0.6, -0.7, nan]
    """
    places: dict[str, int] = {}
    which = [
        places.setdefault(text[:_LONGEST], len(places)) if isinstance(text, str) and text.strip() else -1
        for text in texts
    ]
    if not places:
        return np.full(len(which), np.nan)
    scores = np.asarray(plugins.create("sentiments", by, **options).score(list(places)), float)
    found: Array = np.append(np.clip(scores, -1.0, 1.0), np.nan)[np.array(which, int)]
    return found


def turn_text(interactions: Any) -> Any:
    """What the user said, as an Ibis column: the input where it is a text, else its field text, message, question …"""
    columns = [
        interactions[name]
        for name in ("input_text", *_TEXTS)
        if name in interactions.columns and interactions[name].type().is_string()
    ]
    return ibis.coalesce(*columns) if columns else ibis.literal(None, "string")


def _said(seen: Seen, what: str, sample: int) -> Any:
    """`at`, `text` and `user` of at most about `sample` comments or user turns, as an Ibis table."""
    t = seen.interactions
    user = ibis.coalesce(t.user, t.session, t.id) if "user" in t.columns else t.id
    turns = t.select("id", "at", rand=t.rand, who=user, text=turn_text(t))
    if what == "turns":
        rows = turns.filter(turns.text.notnull())
    else:
        f = seen.feedback
        told = f.filter((f.kind == "comment") & f.text.notnull()).select("interaction_id", said="text", told="at")
        both = told.inner_join(turns.drop("text"), [("interaction_id", "id")])
        rows = both.select(id=both.id, at=both.told, rand=both.rand, who=both.who, text=both.said)
    n = int(rows.count().to_pyarrow().as_py())
    return rows if n <= sample else rows.filter(rows.rand < sample / n)


def _scored(seen: Seen, what: str, by: str, sample: int, every: str | None = None) -> tuple[list[Any], Array, Array]:
    """Times (cut to `every`), scores and user numbers of what was said; blank texts are left out."""
    rows = _said(seen, what, sample)
    at = rows["at"].truncate(EVERY[every]) if every else rows["at"]
    table = rows.select(at=at, text=rows.text, who=rows.who, id=rows.id).order_by(["at", "id"]).to_pyarrow()
    scores = sentiment(table["text"].to_pylist(), by=by)
    kept = np.isfinite(scores)
    users = np.unique(np.array(table["who"].to_pylist(), str), return_inverse=True)[1]
    times = [
        moment.replace(tzinfo=moment.tzinfo or UTC)
        for moment, keep in zip(table["at"].to_pylist(), kept, strict=True)
        if keep
    ]
    return times, scores[kept], users[kept]


def mood(seen: Seen, every: str = "day", *, by: str = "vader", sample: int = SAMPLE) -> list[dict[str, Any]]:
    """Mean sentiment of comments and of user turns by `minute`, `hour` or `day`, in order of time.

    Rows have `at`, `what` (`comments` or `turns`), `mean`, `low`, `high` (95 %; -1 and 1 where fewer than five users
    spoke, and a user's texts count as depending on one another) and `n`. Above `sample` texts a random sample of them,
    by the interactions' `rand`, speaks for all.
    """
    if every not in EVERY:
        raise InvalidConfig(f"mood every {every!r}: there are {', '.join(EVERY)}")
    out = []
    for what in ("comments", "turns"):
        times, scores, users = _scored(seen, what, by, sample, every)
        starts, place = np.unique(np.array([one.timestamp() for one in times]), return_inverse=True)
        for number in range(len(starts)):
            here = place == number
            start = times[int(np.argmax(here))]
            mean = _mean(scores[here], users[here])
            out.append(
                {"at": start, "what": what, "mean": mean.estimate, "low": mean.low, "high": mean.high, "n": mean.n}
            )
    return sorted(out, key=lambda row: (row["at"], row["what"]))


def _mean(scores: Array, users: Array) -> Interval:
    """The mean with its interval over users, within -1..1."""
    found = average(scores, users)
    return Interval(found.estimate, max(found.low, -1.0), min(found.high, 1.0), found.n)


def mood_findings(seen: Seen, reference: Seen | None, *, by: str = "vader", sample: int = SAMPLE) -> list[Observation]:
    """Mean sentiment of comments and of user turns in a window, held against an earlier one.

    Of kind `wording`. An alarm is a fall whose 99.9 % interval lies below -0.05 on the scale -1..1; texts of one user
    count as depending on one another. Without `reference`, or without texts in it, levels alone.
    """
    out = []
    for what, words in (("comments", "comments"), ("turns", "user turns")):
        times, scores, users = _scored(seen, what, by, sample)
        if not len(scores):
            continue
        level = _mean(scores, users)
        line = f"The mean sentiment of {len(scores):,} {words} is {level.estimate:+.2f}"
        common = {
            "kind": "wording",
            "name": f"sentiment of {words}",
            "value": level.estimate,
            "n": len(scores),
            "since": times[0],
            "until": times[-1],
        }
        _, old, before = _scored(reference, what, by, sample) if reference is not None else ([], scores[:0], users[:0])
        if not len(old):
            out.append(Observation(line=line, interval=level, **common))
            continue
        both = np.append(scores, old)
        apart = np.append(users, before + users.max() + 1)
        is_new = np.arange(len(both)) < len(scores)
        shown, sure = contrast(both, is_new, apart), contrast(both, is_new, apart, level=SURE)
        alarm = sure.interval.high < -HURTS
        gap = shown.interval
        line += f", {shown.there:+.2f} before" + (": a fall that hurts" if alarm else "")
        evidence = [
            f"difference {gap.estimate:+.3f}, 95 % interval {gap.low:+.3f} to {gap.high:+.3f}",
            f"{np.mean(scores <= -0.05):.0%} of the texts are negative, {np.mean(old <= -0.05):.0%} before",
            f"scored by {by}; {len(np.unique(users)):,} users now, {len(np.unique(before)):,} before",
        ]
        out.append(
            Observation(
                line=line, reference=shown.there, effect=gap.estimate, interval=gap, alarm=bool(alarm),
                evidence=tuple(evidence), chart=_chart(level, _mean(old, before)), **common,
            )
        )  # fmt: skip
    return out


def _chart(now: Interval, before: Interval) -> dict[str, Any]:
    return {
        "kind": "interval",
        "x": ["before", "now"],
        "y": [before.estimate, now.estimate],
        "low": [before.low, now.low],
        "high": [before.high, now.high],
    }
