"""Texts that moved: their words, length, writing, language and manner."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from flywheel.observe.drift.counting import number
from flywheel.observe.drift.ebh import ebh, evalue
from flywheel.observe.drift.effect import Effect, Side, apart, grown
from flywheel.observe.drift.moved import auc_of
from flywheel.observe.drift.vectors import drawn_rows, sides
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.records import Interval, Observation

__all__ = ["text_drift"]

Array = np.ndarray[Any, Any]
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
FEWEST = 50
TRIED = 400
"""Words and word pairs whose share of texts is tested on the half that did not suggest them."""
RARE = 0.01
"""A word is told when the share of texts that have it changed by at least this much."""
PRIOR = 100
"""How many texts' worth the prior counts for, which thinks both windows alike."""
TOLD = 8
LONGEST = 4000

STOP = {
    "de": "der die das und ist nicht ich mir mich ein eine wie für mit auf zu von den im wir sie bitte mein meine was",
    "en": "the and is not i me my a an how for with on to of in we you please what it this that do can",
    "fr": "le la les et est pas je me mon ma un une comment pour avec sur de des du nous vous quoi ce que il",
    "es": "el la los las y es no yo me mi un una como para con en de del nosotros por favor que lo se",
    "it": "il lo la i gli e è non io mi mio un una come per con su di del noi che questo ho sono",
    "nl": "de het en is niet ik mij mijn een hoe voor met op te van in wij u wat dit dat kan zijn",
    "pt": "o a os as e é não eu me meu um uma como para com em de do nós por que isso você",
    "gsw": "isch nöd nid mer mir mis mini es en e wie für mit uf z vo em d s mier ich ha chan gib wo öppis am im zum",
}


def text_drift(
    window: Seen,
    reference: Seen,
    *,
    sample: int = 20_000,
    seed: int = 0,
    minimum: float = 0.05,
    alpha: float = 0.05,
    column: str = "input_text",
) -> list[Observation]:
    """How the texts of a window moved: findings of kind `shift`, none of them an alarm, the largest first.

    - `text.words`: words and word pairs more or less frequent than before, found on one half of the days (log-odds with
      the reference as informative prior: Monroe, Colaresi & Quinn, "Fightin' words", Political Analysis 2008) and
      confirmed on the other, with e-BH over all that were tried;
    - `text.unknown`: the share of words that the reference's texts do not know, beside what half of the reference finds
      unknown in its other half;
    - `text.length`: words in a text; `text.script`: the alphabet most of its letters are of;
    - `text.language`: a guess from frequent small words (German, English, French, Spanish, Italian, Dutch, Portuguese,
      Swiss German); most short texts are `unsure`, so it is read as a share, never for one text;
    - `text.manner`: whether a linear classifier on hashed character pieces tells the windows apart (AUC above 0.55).

    Nothing pretrained is used. About `sample` texts of each are drawn by `rand`. O(characters sampled).
    """
    old, new = _Texts(reference, column, sample), _Texts(window, column, sample)
    if min(len(old.texts), len(new.texts)) < FEWEST:
        return []
    build = query_of(lambda seen, told: seen.filter(seen[column].notnull()).select("id", "at", "rand", column), window)
    scripts = [[_script(text) for text in side.texts] for side in (old, new)]
    languages = [[_language(words) for words in side.words] for side in (old, new)]
    tests: list[tuple[str, Effect, str, tuple[str, ...]]] = [
        _unknown(old, new, minimum),
        _lengths(old, new, minimum),
        _mix("text.script", "in another alphabet", scripts, old, new, minimum),
        _mix("text.language", "in another language, as small words suggest", languages, old, new, minimum),
    ]
    manner = _manner(old, new, seed)
    evidence = [effect.e for _, effect, _, _ in tests] + [evalue(manner[3])]
    kept = ebh(evidence, alpha)
    found = [_told(*test, len(new.texts), build) for test, yes in zip(tests, kept, strict=False) if yes]
    if kept[-1]:
        area, low, high, _ = manner
        found.append(
            Observation(
                kind="shift",
                name="text.manner",
                line=f"A classifier on pieces of words tells {area:.0%} of the window's texts from earlier ones "
                f"({low:.0%} to {high:.0%}; 50% is chance)",
                value=area,
                reference=0.5,
                effect=area - 0.5,
                interval=Interval(area - 0.5, low - 0.5, high - 0.5, len(new.texts)),
                n=len(new.texts),
                query=build,
                chart={"kind": "interval", "x": ["AUC"], "y": [area], "low": [low], "high": [high], "mark": [0.5]},
            )
        )
    found += _vocabulary(old, new, alpha, build)
    return sorted(found, key=lambda one: -abs(one.effect or 0.0))


class _Texts:
    """A sample of texts with their words, and the blocks of time they lie in."""

    def __init__(self, seen: Seen, column: str, sample: int) -> None:
        self.texts: list[str] = []
        self.at: Array = np.zeros(0)
        if column in seen.interactions.columns:
            rows = drawn_rows(seen, (column,), sample, lambda t: t[column].notnull())
            self.texts = [text[:LONGEST] for text in rows[column].to_pylist()]
            self.at = rows["seconds"].to_numpy()
        self.words = [WORD.findall(text.lower()) for text in self.texts]
        self.side, self.of = sides(self.at)
        self.half = self.side.halves()[self.of] if self.texts else np.zeros(0, int)

    def blocked(self, values: Array, n: int) -> Side:
        """Counts of each text's cell (0 to n - 1) by block."""
        counts = np.zeros((len(self.side.start), n), np.int64)
        np.add.at(counts, (self.of, values), 1)
        return Side(counts, self.side.start)


def _told(name: str, effect: Effect, line: str, evidence: tuple[str, ...], n: int, build: str) -> Observation:
    return Observation(
        kind="shift",
        name=name,
        line=f"{name}: {effect.size:.0%} ({effect.low:.0%} to {effect.high:.0%}) {line}",
        effect=effect.size,
        interval=Interval(effect.size, effect.low, effect.high, n),
        n=n,
        evidence=evidence,
        query=build,
        chart={"kind": "interval", "x": [name], "y": [effect.size], "low": [effect.low], "high": [effect.high]},
    )


def _unknown(old: _Texts, new: _Texts, minimum: float) -> tuple[str, Effect, str, tuple[str, ...]]:
    """Words not in the other half of the reference: of the reference's own texts, and of the window's."""
    inside = [np.zeros((2, len(t.side.start))) for t in (old, new)]
    for half in (0, 1):
        known = {word for words, h in zip(old.words, old.half, strict=True) if h != half for word in words}
        for place, texts in enumerate((old, new)):
            missing = np.array([sum(word not in known for word in words) for words in texts.words], float)
            inside[place][half] = np.bincount(texts.of, missing, len(texts.side.start))
    sizes = [np.bincount(t.of, [len(words) for words in t.words], len(t.side.start)) for t in (old, new)]
    before, now = (
        Side(size.astype(np.int64)[:, None], t.side.start) for size, t in zip(sizes, (old, new), strict=True)
    )
    effect = grown(before, now, inside[0], inside[1], minimum)
    shares = [float(i.mean(axis=0).sum() / max(s.sum(), 1)) for i, s in zip(inside, sizes, strict=True)]
    known_words = {word for words in old.words for word in words}
    novel = Counter(word for words in new.words for word in set(words) if word not in known_words).most_common(TOLD)
    evidence = (
        f"unknown words {shares[0]:.1%} → {shares[1]:.1%}",
        "most frequent: " + ", ".join(f"{word!r}" for word, _ in novel) if novel else "each is rare",
    )
    return "text.unknown", effect, "more of the words are ones that earlier texts do not have", evidence


def _lengths(old: _Texts, new: _Texts, minimum: float) -> tuple[str, Effect, str, tuple[str, ...]]:
    before, now = (np.array([len(words) for words in t.words], float) for t in (old, new))
    edges = np.array(number("length", before).edges)
    cells = len(edges) + 2
    effect = apart(
        old.blocked(np.searchsorted(edges, before), cells), new.blocked(np.searchsorted(edges, now), cells), minimum
    )
    evidence = (f"median {np.median(before):.0f} → {np.median(now):.0f} words",)
    return "text.length", effect, "of the texts are of a length they did not have", evidence


def _mix(
    name: str, line: str, labelled: Sequence[Sequence[str]], old: _Texts, new: _Texts, minimum: float
) -> tuple[str, Effect, str, tuple[str, ...]]:
    before, now = labelled
    labels = sorted({*before, *now})
    at = {label: place for place, label in enumerate(labels)}
    codes = [np.array([at[value] for value in values], np.int64) for values in (before, now)]
    effect = apart(
        old.blocked(codes[0], len(labels) + 1), new.blocked(codes[1], len(labels) + 1), minimum, ordered=False
    )
    p, q = (np.bincount(code, minlength=len(labels)) / len(code) for code in codes)
    order = np.argsort(-np.abs(q - p), kind="stable")[:4]
    evidence = tuple(f"{labels[k]} {p[k]:.1%} → {q[k]:.1%}" for k in order if abs(q[k] - p[k]) >= 0.005)
    return name, effect, f"of the texts are {line}", evidence


@lru_cache(maxsize=20_000)
def _alphabet(letter: str) -> str:
    return unicodedata.name(letter, "other").split(" ")[0].split("-")[0].lower()


def _script(text: str) -> str:
    """The alphabet most letters of a text are of, by their Unicode names; `none` without a letter."""
    counts = Counter(_alphabet(letter) for letter in text[:200] if letter.isalpha())
    return min(counts, key=lambda name: (-counts[name], name)) if counts else "none"


_LANGUAGES: dict[str, list[str]] = {}
for _name, _small in STOP.items():
    for _word in _small.split():
        _LANGUAGES.setdefault(_word, []).append(_name)


def _language(words: Sequence[str]) -> str:
    """A guess from small words, each counting for the languages that have it; `unsure` where two are near."""
    votes: dict[str, float] = {}
    for word in words:
        for name in _LANGUAGES.get(word, ()):
            votes[name] = votes.get(name, 0.0) + 1 / len(_LANGUAGES[word])
    top = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:2]
    if not top or top[0][1] < 0.9 or (len(top) > 1 and top[1][1] > 0.7 * top[0][1]):
        return "unsure"
    return top[0][0]


def _manner(old: _Texts, new: _Texts, seed: int) -> tuple[float, float, float, float]:
    """AUC of a linear classifier on hashed character pieces, learned on one half of the days, used on the other."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    pieces = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**17, alternate_sign=False)
    rows = sparse.vstack([pieces.transform(old.texts), pieces.transform(new.texts)]).tocsr()
    is_new = np.repeat([0, 1], [len(old.texts), len(new.texts)])
    half = np.concatenate([old.half, new.half])
    scores = np.zeros(len(is_new))
    for part in (0, 1):
        train, here = half != part, half == part
        if len(np.unique(is_new[train])) < 2 or not here.any():
            continue
        model = SGDClassifier(
            loss="log_loss", alpha=1e-5, class_weight="balanced", random_state=seed, max_iter=20, tol=None
        )
        found = model.fit(rows[train], is_new[train]).decision_function(rows[here])
        scores[here] = (found - found.mean()) / (found.std() or 1.0)
    return auc_of(old.at, scores[is_new == 0], new.at, scores[is_new == 1], 0.55)


def _vocabulary(old: _Texts, new: _Texts, alpha: float, build: str) -> list[Observation]:
    """Words and pairs whose share of texts changed: suggested by each half, confirmed on the other."""
    terms = [[{*words, *map(" ".join, pairwise(words))} for words in side.words] for side in (old, new)]
    tried = [_suggested(terms[0], terms[1], old.half != half, new.half != half) for half in (0, 1)]
    has = [_holders(some, {*tried[0], *tried[1]}) for some in terms]
    held: dict[str, list[tuple[Effect, float]]] = {}
    for half in (0, 1):
        before, now = _Half(old, half), _Half(new, half)
        if not (len(before.rows) and len(now.rows)):
            continue
        for term in tried[half]:
            p, q = before.inside(has[0][term]), now.inside(has[1][term])
            change = float(q.mean() - p.mean())
            held.setdefault(term, []).append((_grew(before, now, p, q, 1.0 if change >= 0 else -1.0), change))
    if not held:
        return []
    names = list(held)
    evidence = [sum(effect.e for effect, _ in held[name]) / 2 for name in names]
    moves = [float(np.mean([change for _, change in held[name]])) for name in names]
    kept = [k for k, yes in enumerate(ebh(evidence, alpha)) if yes]
    if not kept:
        return []
    kept.sort(key=lambda k: -abs(moves[k]))
    lines = []
    for k in kept[: 2 * TOLD]:
        share_p, share_q = (len(index[names[k]]) / len(side.texts) for index, side in zip(has, (old, new), strict=True))
        lines.append(f"{names[k]!r} {share_p:.1%} → {share_q:.1%} of the texts")
    top = kept[0]
    best = max((effect for effect, _ in held[names[top]]), key=lambda effect: effect.e)
    sign = 1.0 if moves[top] > 0 else -1.0
    low, high = sorted((sign * best.low, sign * best.high))
    shown = kept[: 2 * TOLD]
    return [
        Observation(
            kind="shift",
            name="text.words",
            line=f"{len(kept)} words and pairs moved, most of all {', '.join(lines[:3])}",
            effect=moves[top],
            interval=Interval(moves[top], min(low, moves[top]), max(high, moves[top]), len(new.texts)),
            n=len(new.texts),
            evidence=tuple(lines),
            query=build,
            chart={"kind": "bars", "x": [names[k] for k in shown], "y": [round(moves[k], 5) for k in shown]},
        )
    ]


class _Half:
    """The texts of one half of the days, and their blocks."""

    def __init__(self, texts: _Texts, half: int) -> None:
        self.rows = np.flatnonzero(texts.half == half)
        self._all = len(texts.texts)
        self.side, self.of = sides(texts.at[self.rows])

    def inside(self, holders: list[int]) -> Array:
        """1.0 for each text of this half that has the term."""
        has = np.zeros(self._all)
        has[holders] = 1.0
        return has[self.rows]


def _grew(old: _Half, new: _Half, p: Array, q: Array, sign: float) -> Effect:
    """The change of a term's share of texts on this half only, tested against `RARE`."""
    counts = []
    for values, half in ((p, old), (q, new)):
        inside = np.bincount(half.of, values if sign > 0 else 1 - values, len(half.side.start))
        counts.append(np.stack([inside] * 2))
    return grown(old.side, new.side, counts[0], counts[1], RARE)


def _holders(terms: list[set[str]], wanted: set[str]) -> dict[str, list[int]]:
    """Which texts have each of these terms."""
    out: dict[str, list[int]] = {term: [] for term in wanted}
    for place, some in enumerate(terms):
        for term in some & wanted:
            out[term].append(place)
    return out


def _counted(terms: list[set[str]], kept: Array) -> Counter[str]:
    return Counter(term for some, yes in zip(terms, kept, strict=True) if yes for term in some)


def _suggested(old: list[set[str]], new: list[set[str]], kept_old: Array, kept_new: Array) -> list[str]:
    """The terms whose log-odds moved most for their uncertainty, by the texts of one half."""
    before, now = _counted(old, kept_old), _counted(new, kept_new)
    n, m = max(int(kept_old.sum()), 1), max(int(kept_new.sum()), 1)
    names = [term for term in {*before, *now} if max(before[term] / n, now[term] / m) >= RARE]
    if not names:
        return []
    y, x = np.array([before[t] for t in names], float), np.array([now[t] for t in names], float)
    prior = (y + x) / (n + m) * PRIOR
    # A term may be in every text: half a text without it keeps its odds finite.
    odds = np.log((x + prior) / (m + PRIOR + 0.5 - x - prior)) - np.log((y + prior) / (n + PRIOR + 0.5 - y - prior))
    z = odds / np.sqrt(1 / (x + prior) + 1 / (y + prior))
    order = sorted(range(len(names)), key=lambda k: (-abs(z[k]), names[k]))
    return [names[k] for k in order[:TRIED] if abs(z[k]) > 3]
