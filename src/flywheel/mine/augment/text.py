"""Typing errors, cut texts, words run together: learnt from failing texts, done to those that work.

A failing word that nobody has used before but that is one edit away from a known word tells which edit happened. The
edits are counted by kind and by the letters that took each other's place: a noisy channel (Kernighan, Church and Gale
1990), estimated from the product's own failures. So a phone's keyboard, an autocorrection, and the spelling of a
dialect all come out of the same counting. What the examples show by themselves (plurals are one letter away from
singulars) is subtracted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flywheel.mine.augment.operation import Operation

__all__ = ["Words", "disturb", "found_in", "learn"]

_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_EDITS = ("replaced", "swapped", "dropped", "doubled", "added")
_SPACES = ("joined", "split")
_LEAST = 4
"""Shorter words are one letter away from too many others."""
_FEW = 8
"""Damage is learnt from no fewer failing texts."""
_EXCESS = 0.04
"""Failing texts must show a damage more often than the examples by this share."""
_DOUBT = 0.02
"""Chance with which texts like the examples would show as much."""
_MOST_PAIRS = 60
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True, slots=True)
class Words:
    """Known words, and their forms with one letter left out: (form, place) → the words that give it."""

    known: frozenset[str]
    shorter: Mapping[tuple[str, int], tuple[str, ...]] = field(repr=False)
    forms: Mapping[str, str] = field(repr=False)
    prefixes: frozenset[str] = field(repr=False)
    counts: Mapping[str, int] = field(repr=False)

    @staticmethod
    def of(texts: Iterable[str], trusted: int = 2) -> Words:
        """Words that at least `trusted` of the texts use: a typing error is nobody's habit. O(letters)."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update({word.lower() for word in _WORD.findall(text)})
        known = frozenset(word for word, n in counts.items() if n >= trusted)
        shorter: dict[tuple[str, int], list[str]] = {}
        forms: dict[str, str] = {}
        for word in sorted(known):
            if len(word) < _LEAST:
                continue
            for place in range(len(word)):
                form = word[:place] + word[place + 1 :]
                shorter.setdefault((form, place), []).append(word)
                forms.setdefault(form, word)
        prefixes = frozenset(word[:n] for word in known for n in range(1, len(word)))
        return Words(known, {key: tuple(words) for key, words in shorter.items()}, forms, prefixes, counts)

    def edit(self, word: str) -> tuple[str, str] | None:
        """How a known word became this unknown one: the kind of edit, and the two letters of a replacement."""
        if word in self.known or len(word) < _LEAST - 1:
            return None
        for i in range(len(word) - 1):
            if word[i] != word[i + 1] and word[:i] + word[i + 1] + word[i] + word[i + 2 :] in self.known:
                return "swapped", ""
        if len(word) > _LEAST:
            for i in range(len(word)):
                if word[:i] + word[i + 1 :] in self.known:
                    twice = (i > 0 and word[i - 1] == word[i]) or word[i] == word[i + 1 : i + 2]
                    return ("doubled", "") if twice else ("added", word[i])
        if word in self.forms:
            return "dropped", ""
        for i in range(len(word)):
            # Known words that differ from this one in the letter at place i alone.
            for other in self.shorter.get((word[:i] + word[i + 1 :], i), ()):
                return "replaced", other[i] + word[i]
        return None

    def joined(self, word: str) -> bool:
        """Is it two known words without their space?"""
        if word in self.known or len(word) < _LEAST + 1:
            return False
        return any(word[:i] in self.known and word[i:] in self.known for i in range(2, len(word) - 1))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one text shows: the edits of its words, and how many words it has."""

    edits: tuple[tuple[str, str], ...]
    cut: bool
    casing: str
    words: int

    def shows(self, name: str) -> bool:
        if name == "cutting":
            return self.cut
        if name in ("upper", "lower", "title"):
            return self.casing == name
        kinds = _EDITS if name == "typing" else _SPACES
        return any(kind in kinds for kind, _ in self.edits)


def _look(text: str, words: Words, own: bool = False) -> _Seen:
    """Read a text. `own`: it is one of those that the words come from, so what only two of them use is unknown here."""
    found = [word.lower() for word in _WORD.findall(text)]
    edits: list[tuple[str, str]] = []
    for place, word in enumerate(found):
        if word in words.known:
            continue
        before = found[place - 1] if place else ""
        if before and before + word in words.known and len(before + word) >= _LEAST:
            edits.append(("split", ""))
        elif words.joined(word):
            edits.append(("joined", ""))
        elif edit := words.edit(word):
            edits.append(edit)
    last = found[-1] if found else ""
    ends = text.rstrip()[-1:].isalpha()
    cut = bool(last) and ends and last not in words.known and last in words.prefixes
    if cut and edits and words.edit(last) is not None:
        edits.pop()  # an end that is a beginning of a word was cut off rather than mistyped
    return _Seen(tuple(edits), cut, _casing(text), len(found))


def _casing(text: str) -> str:
    letters = [c for c in text if c.isalpha()]
    if len(letters) < 4:
        return ""
    if all(c.isupper() for c in letters):
        return "upper"
    if all(c.islower() for c in letters):
        return "lower"
    starts = _WORD.findall(text)
    return "title" if len(starts) > 1 and all(w[0].isupper() for w in starts) else ""


def learn(failed: Sequence[str], known: Sequence[str], mode: str = "") -> list[Operation]:
    """Which damage failing texts show beyond the examples' own, as operations, the most frequent first.

    `typing` (letters replaced, swapped, dropped, doubled, added), `spacing` (words joined or split), `cutting` (the end
    is missing), `upper`, `lower` and `title` (letters' case). A damage is learnt when at least 4 % more failing texts
    than examples show it and chance would do as much in fewer than 2 of 100 tries; from fewer than 8 texts nothing is.
    The examples are held against the words of the other half of them, so that they have as many unknown words as any
    new text. O(letters).
    """
    if len(failed) < _FEW or len(known) < _FEW:
        return []
    words = Words.of(known)
    looked = [_look(text, words) for text in failed]
    usual = _usual(known)
    found = []
    for name in ("typing", "spacing", "cutting", "upper", "lower", "title"):
        shown = sum(seen.shows(name) for seen in looked)
        share, base = shown / len(looked), sum(seen.shows(name) for seen in usual) / len(usual)
        if share - base < _EXCESS or _chance(shown, len(looked), base, len(usual)) > _DOUBT:
            continue
        parameters = _parameters(name, looked, usual)
        if parameters is None:
            continue
        line = f"{_SAID[name]} in {share:.0%} of {len(looked)} failing texts, in {base:.0%} of the examples"
        found.append(
            Operation(
                name=name,
                kind="text",
                parameters=parameters,
                share=round(share - base, 4),
                n=len(looked),
                mode=mode,
                line=line,
            )
        )
    return sorted(found, key=lambda one: (-one.share, one.name))


_SAID = {
    "typing": "typing errors", "spacing": "words run together or apart", "cutting": "a missing end",
    "upper": "capitals only", "lower": "small letters only", "title": "capitals at each word",
}  # fmt: skip


def _usual(known: Sequence[str]) -> list[_Seen]:
    """What examples show when read with the words of the others: two halves, each with the words of its counterpart."""
    halves = (known[::2], known[1::2])
    return [
        _look(text, words)
        for half, others in zip(halves, halves[::-1], strict=True)
        for words in [Words.of(others, trusted=1)]
        for text in half
    ]


def _chance(shown: int, n: int, base: float, m: int) -> float:
    """One-sided chance of so many, by the normal approximation with both samples' errors."""
    pooled = (shown + base * m) / (n + m)
    error = math.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / n + 1 / m))
    return 0.5 * math.erfc((shown / n - base) / error / math.sqrt(2))


def _parameters(name: str, looked: Sequence[_Seen], usual: Sequence[_Seen]) -> dict[str, Any] | None:
    """Rates a word among the damaged texts, by kind, less what the examples show; and letters that were confused."""
    if name in ("cutting", "upper", "lower", "title"):
        return {}
    kinds = _EDITS if name == "typing" else _SPACES
    damaged = [seen for seen in looked if seen.shows(name)]
    size = max(sum(seen.words for seen in looked), 1)
    size_usual = max(sum(seen.words for seen in usual), 1)
    counts = Counter(kind for seen in looked for kind, _ in seen.edits if kind in kinds)
    noise = Counter(kind for seen in usual for kind, _ in seen.edits if kind in kinds)
    excess = {kind: max(counts[kind] / size - noise[kind] / size_usual, 0.0) for kind in kinds}
    total = sum(excess.values())
    if total <= 0:
        return None
    # Within a damaged text so many of its words are damaged; texts without any are left as the examples have them.
    rate = sum(sum(kind in kinds for kind, _ in seen.edits) for seen in damaged) / max(sum(s.words for s in damaged), 1)
    found: dict[str, Any] = {"rate": round(min(rate, 0.5), 4)}
    found |= {kind: round(value / total, 4) for kind, value in excess.items() if value > 0}
    if name == "typing":
        pairs = Counter(letters for seen in looked for kind, letters in seen.edits if kind == "replaced")
        found["letters"] = dict(sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_MOST_PAIRS])
    return found


def found_in(name: str, texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """Which of these texts show an operation's damage, read with the words of the known ones."""
    words = Words.of(known)
    return [_look(text, words).shows(name) for text in texts]


def disturb(text: str, name: str, parameters: Mapping[str, Any], rng: np.random.Generator) -> tuple[str, list[str]]:
    """Do an operation to a text: the text, and what was done, an entry an edit. Nothing to do gives the text itself.

    >>> disturb("where is my card", "upper", {}, np.random.default_rng(0))
    ('WHERE IS MY CARD', ['upper'])
    """
    if name in ("upper", "lower", "title"):
        changed = {"upper": text.upper, "lower": text.lower, "title": text.title}[name]()
        return changed, [name] if changed != text else []
    if name == "cutting":
        return _cut(text, rng)
    if name == "spacing":
        return _space(text, parameters, rng)
    return _type(text, parameters, rng)


def _cut(text: str, rng: np.random.Generator) -> tuple[str, list[str]]:
    """Keep the first 35 to 95 % of the letters."""
    keep = max(3, round(len(text) * rng.uniform(0.35, 0.95)))
    return (text, []) if keep >= len(text) else (text[:keep], [f"cut {len(text) - keep}"])


def _space(text: str, parameters: Mapping[str, Any], rng: np.random.Generator) -> tuple[str, list[str]]:
    gaps = [m.start() for m in re.finditer(r"(?<=\w) (?=\w)", text)]
    middles = [m.start() + int(rng.integers(2, len(m.group()) - 1)) for m in _WORD.finditer(text) if len(m.group()) > 4]
    places = [("joined", place) for place in gaps] + [("split", place) for place in middles]
    chances = np.array([float(parameters.get(kind, 0.0)) for kind, _ in places])
    if not chances.sum():
        return text, []
    wanted = max(1, int(rng.binomial(len(_WORD.findall(text)), float(parameters["rate"]))))
    size = min(wanted, int((chances > 0).sum()))
    chosen = rng.choice(len(places), size=size, replace=False, p=chances / chances.sum())
    done = []
    for kind, place in sorted((places[int(i)] for i in chosen), key=lambda one: -one[1]):
        text = text[:place] + (text[place + 1 :] if kind == "joined" else " " + text[place:])
        done.append(f"{kind} {place}")
    return text, done


def _type(text: str, parameters: Mapping[str, Any], rng: np.random.Generator) -> tuple[str, list[str]]:
    spots = [m for m in _WORD.finditer(text) if len(m.group()) >= _LEAST - 1]
    if not spots:
        return text, []
    kinds = [kind for kind in _EDITS if parameters.get(kind, 0.0) > 0]
    chances = np.array([float(parameters[kind]) for kind in kinds])
    wanted = min(len(spots), max(1, int(rng.binomial(len(spots), float(parameters["rate"])))))
    lengths = np.array([len(m.group()) for m in spots], dtype=float)
    chosen = rng.choice(len(spots), size=wanted, replace=False, p=lengths / lengths.sum())
    done = []
    for i in sorted((int(i) for i in chosen), reverse=True):
        start, word = spots[i].start(), spots[i].group()
        kind = kinds[int(rng.choice(len(kinds), p=chances / chances.sum()))]
        changed = _edit(word, kind, parameters.get("letters", {}), rng)
        if changed != word:
            text = text[:start] + changed + text[start + len(word) :]
            done.append(f"{kind} {word}→{changed}")
    return text, done


def _edit(word: str, kind: str, letters: Mapping[str, int], rng: np.random.Generator) -> str:
    place = int(rng.integers(len(word)))
    if kind == "swapped":
        place = min(place, len(word) - 2)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == "dropped":
        return word[:place] + word[place + 1 :]
    if kind == "doubled":
        return word[: place + 1] + word[place] + word[place + 1 :]
    if kind == "added":
        return word[:place] + _other(word[place], {}, rng) + word[place:]
    options = [place for place, letter in enumerate(word.lower()) if any(pair[0] == letter for pair in letters)]
    # Half of the time a confusion that was seen, half of the time any: few failures show few of them.
    if options and rng.random() < 0.5:
        place = options[int(rng.integers(len(options)))]
        return word[:place] + _other(word[place].lower(), letters, rng) + word[place + 1 :]
    return word[:place] + _other(word[place].lower(), {}, rng) + word[place + 1 :]


def _other(letter: str, letters: Mapping[str, int], rng: np.random.Generator) -> str:
    """What stands in a letter's place: as seen, else its neighbour on the keyboard, else any letter."""
    seen = {pair[1]: n for pair, n in letters.items() if pair[0] == letter}
    if seen:
        options, chances = list(seen), np.array(list(seen.values()), dtype=float)
        return options[int(rng.choice(len(options), p=chances / chances.sum()))]
    near = _NEAR.get(letter) or "abcdefghijklmnopqrstuvwxyz"
    return near[int(rng.integers(len(near)))]


def _neighbours(rows: Collection[str]) -> dict[str, str]:
    """Letters beside each other on a keyboard of offset rows."""
    places = {letter: (y, x + 0.25 * y + 0.25 * (y > 1)) for y, row in enumerate(rows) for x, letter in enumerate(row)}
    return {
        a: "".join(b for b, (v, u) in places.items() if b != a and abs(v - y) <= 1 and abs(u - x) < 1.1)
        for a, (y, x) in places.items()
    }


_NEAR = _neighbours(_ROWS)
