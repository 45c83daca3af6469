"""Which words of a question or an answer go with people turning away."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

from flywheel.observe.contrast import Contrast, contrast, holm, level_of
from flywheel.observe.reproduce import query_of
from flywheel.observe.sentiment import mood_findings, sentiment
from flywheel.observe.series import Seen
from flywheel.observe.signals import QUIET, SIGNALS, signals, signals_of, turns_of
from flywheel.records import Observation

__all__ = ["mood_findings", "phrasings", "signals"]

Array = np.ndarray[Any, Any]

SHARED = 5
"""Words that fewer users share are never shown."""
LEAST_ROWS = 20
CANDIDATES = 5
EFFECT = 0.03
_VARIETY = 50
"""Answers with fewer distinct values are classes, not wording."""
_SHORT = 2_000
_SAME = 0.7

OUTCOMES = {
    "trouble": "are asked again, given up or handed to a person",
    "ended": "are the last of their session",
    "rated": "are rated badly",
    "displeased": "are followed by displeased words",
}


@dataclass(frozen=True, slots=True)
class _Sample:
    texts: dict[str, list[str]]
    users: Array
    half: Array
    outcomes: dict[str, Array]
    """NaN where an outcome is not known."""


def phrasings(seen: Seen, *, sample: int = 20_000, seed: int = 0) -> list[Observation]:
    """Words and pairs of words, of the input or of the answer, that go with lower engagement.

    Engagement is lower where a turn is asked again, given up or handed to a person (`signals`), is the last of its
    session, is rated badly, or is followed by displeased words; each is looked at by itself. On one half of the users
    of at most `sample` random interactions, the five clearest words for each are chosen; on the other half they are
    tested, as risk differences whose variance knows that a user's turns depend on one another, with Holm's correction
    over all of them, and shown when at least 3 points and five users lie behind them in that half. Words with digits
    are left out. Of kind `wording`; no alarm: words go with trouble, they need not make it. `seed` chooses the halves.

    The sample is fitted in memory; the sessions are made in the engine, O(n log n).
    """
    rows = _sample(seen, sample, seed)
    if rows is None:
        return []
    found: list[tuple[str, str, str, Array, Contrast]] = []
    for where, texts in rows.texts.items():
        words, matrix = _terms(texts, rows.users)
        if matrix is None:
            continue
        for outcome, bad in rows.outcomes.items():
            for place in _chosen(matrix, bad, rows.half == 0, words):
                mine = np.asarray(matrix[:, [place]].todense()).ravel() > 0
                found.append((where, outcome, words[place], mine, _tested(rows, bad, mine)))
    sure = holm([one[-1].p for one in found])
    shown = [
        (p, *one)
        for p, one in zip(sure, found, strict=True)
        if p <= 0.05 and one[-1].interval.estimate >= EFFECT and _shared(rows, rows.outcomes[one[1]], one[3])
    ]
    shown.sort(key=lambda one: (one[0], one[1], one[2], one[3]))
    return [
        _finding(seen, where, outcome, word, _tested(rows, rows.outcomes[outcome], mine, level_of(len(shown))), p)
        for p, where, outcome, word, mine, _ in shown
    ]


def _turns(interactions: Any, feedback: Any) -> Any:
    """One row a turn, with its words and what came of it; 0.0 or 1.0, null where it cannot be known."""
    turns, signs = turns_of(interactions), signals_of(interactions, feedback)
    f = feedback
    rated = f.filter((f.kind == "rating") & f.number.notnull())
    rated = rated.group_by("interaction_id").aggregate(worst=rated.number.min())
    t = turns.left_join(signs.rename(sign_id="id"), [("id", "sign_id")])
    t = t.left_join(rated, [("id", "interaction_id")])
    any_sign = ibis.or_(*[t[name] for name in SIGNALS])
    over = (t.wait.isnull() | (t.next_session != t.session)).ifelse(1.0, 0.0)
    answer = t.output if "output" in t.columns else ibis.literal(None, "string")
    return t.select(
        "id",
        "rand",
        "who",
        "next_text",
        input=t.words,
        output=answer,
        trouble=any_sign.ifelse(1.0, 0.0),
        ended=(t.session.notnull() & (t.silence >= QUIET)).ifelse(over, None),
        rated=(t.worst < 0).ifelse(1.0, 0.0).nullif(ibis.literal(-1.0)),
        has_rating=t.worst.notnull(),
        follows=(t.next_session == t.session) | (t.session.isnull() & (t.wait <= QUIET)),
    )


def _sample(seen: Seen, sample: int, seed: int) -> _Sample | None:
    n = int(seen.interactions.count().to_pyarrow().as_py())
    rows = _turns(seen.interactions, seen.feedback)
    if n > sample:
        rows = rows.filter(rows.rand < sample / n)
    who = seen.interactions
    user = ibis.coalesce(*[who[name] for name in ("user", "session") if name in who.columns], who.id)
    rows = rows.inner_join(who.select(user_id=who.id, user=user), [("id", "user_id")])
    table = rows.order_by("id").to_pyarrow()
    if len(table) < 4 * LEAST_ROWS:
        return None
    names, users = np.unique(np.array(table["user"].to_pylist(), str), return_inverse=True)
    side = np.array([zlib.crc32(f"{seed}/{name}".encode()) & 1 for name in names])
    outcomes = {name: table[name].to_numpy(zero_copy_only=False).astype(float) for name in ("trouble", "ended")}
    rating = table["has_rating"].to_numpy(zero_copy_only=False).astype(bool)
    outcomes["rated"] = np.where(rating, table["rated"].to_numpy(zero_copy_only=False).astype(float), np.nan)
    follows = np.array([one is True for one in table["follows"].to_pylist()])
    later = [text if there else None for text, there in zip(table["next_text"].to_pylist(), follows, strict=True)]
    mood = sentiment(later)
    outcomes["displeased"] = np.where(np.isfinite(mood), (mood <= -0.05).astype(float), np.nan)
    texts = {"input": [(one or "")[:_SHORT] for one in table["input"].to_pylist()]}
    answers = [_plain(one) for one in table["output"].to_pylist()]
    if len(set(answers)) >= _VARIETY:
        texts["answer"] = answers
    return _Sample(texts, users, side[users], outcomes)


def _plain(output: str | None) -> str:
    """The words of an answer, as `turns_of` has those of a question."""
    try:
        said = json.loads(output) if output else ""
    except ValueError:
        said = output
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    kept = "".join(c if c.isalnum() or c == "'" else " " for c in text[:_SHORT].lower())
    return f" {' '.join(kept.split())} "


def _terms(texts: list[str], users: Array) -> tuple[list[str], Any]:
    """Words and pairs in at least so many texts, and which text has which."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(
        token_pattern=r"\S+",  # noqa: S106
        ngram_range=(1, 2),
        binary=True,
        lowercase=False,
        min_df=2 * LEAST_ROWS,
    )
    try:
        matrix = counter.fit_transform(texts).tocsc()
    except ValueError:  # no word is in so many texts
        return [], None
    names = counter.get_feature_names_out().tolist()
    kept = [k for k, name in enumerate(names) if all(_telling(word) for word in name.split())]
    return [names[k] for k in kept], (matrix[:, kept] if kept else None)


def _telling(word: str) -> bool:
    return not any(c.isdigit() for c in word)


def _chosen(matrix: Any, bad: Array, part: Array, words: list[str]) -> list[int]:
    """The words that go most clearly with an outcome in one half; of words that come together, the clearest.

    Of words that are equally clear, the longest; none that nearly always come with one that is chosen already.
    """
    use = part & np.isfinite(bad)
    if use.sum() < 2 * LEAST_ROWS or bad[use].std() == 0:
        return []
    some, y = matrix[use], bad[use]
    n = np.asarray(some.sum(axis=0)).ravel().astype(float)
    hits = some.T @ y
    rest = len(y) - n
    fit = (n >= LEAST_ROWS) & (rest >= LEAST_ROWS)
    here, there = hits / np.maximum(n, 1), (y.sum() - hits) / np.maximum(rest, 1)
    base = y.mean()
    z = (here - there) / np.sqrt(base * (1 - base) * (1 / np.maximum(n, 1) + 1 / np.maximum(rest, 1)))
    fit &= (here - there >= EFFECT) & (z > 2)
    chosen: list[int] = []
    order = sorted(np.flatnonzero(fit).tolist(), key=lambda k: (-round(z[k], 6), -len(words[k]), words[k]))
    for place in order[: 10 * CANDIDATES]:
        both = np.asarray(some[:, chosen].multiply(some[:, [place]]).sum(axis=0)).ravel() if chosen else np.zeros(0)
        if all(shared < _SAME * n[place] for shared in both):
            chosen.append(place)
        if len(chosen) == CANDIDATES:
            break
    return chosen


def _tested(rows: _Sample, bad: Array, mine: Array, level: float = 0.95) -> Contrast:
    use = (rows.half == 1) & np.isfinite(bad)
    clusters = np.unique(rows.users[use], return_inverse=True)[1]
    return contrast(bad[use], mine[use], clusters, level=level)


def _shared(rows: _Sample, bad: Array, mine: Array) -> bool:
    """Do enough users share the words, and enough of them the trouble?"""
    use = (rows.half == 1) & np.isfinite(bad) & mine
    return len(np.unique(rows.users[use])) >= SHARED and use.sum() >= LEAST_ROWS


def _finding(seen: Seen, where: str, outcome: str, word: str, found: Contrast, p: float) -> Observation:
    gap = found.interval
    said = "questions" if where == "input" else "answers"
    line = (
        f"{found.here:.0%} of the turns with “{word}” in the {where} {OUTCOMES[outcome]}, "
        f"{found.there:.0%} of the others"
    )
    return Observation(
        kind="wording",
        name=f"{where}: {word} ({outcome})",
        line=line,
        value=found.here,
        reference=found.there,
        effect=gap.estimate,
        interval=gap,
        n=gap.n,
        evidence=(
            f"difference {gap.estimate:+.1%}, {gap.level:.1%} interval {gap.low:+.1%} to {gap.high:+.1%}",
            f"chosen on one half of the users, confirmed on the other in {gap.n:,} {said}: p = {p:.2g}, corrected",
            f"at least {SHARED} users share it; it goes with the trouble and need not make it",
        ),
        query=query_of(lambda t, f: _asked(t, f, where, outcome, word), seen),
        chart={
            "kind": "bars",
            "x": [f"with “{word}”", "without"],
            "y": [found.here, found.there],
        },
    )


def _asked(interactions: Any, feedback: Any, where: str, outcome: str, word: str) -> Any:
    """The same shares over all interactions, both halves."""
    t = _turns(interactions, feedback)
    text = t.input
    if where == "answer":
        text = (" " + t.output.lower().re_replace(r"[^\p{L}\p{N}']+", " ") + " ").re_replace(" +", " ")
    known = t.mutate(has=text.contains(f" {word} "))
    if outcome == "displeased":  # the engine has no sentiment: it gives the words that follow
        return known.filter(known.has & known.follows).select("id", "next_text")
    if outcome == "rated":
        known = known.filter(known.has_rating)
    return known.group_by("has").aggregate(share=known[outcome].mean(), n=known.count())
