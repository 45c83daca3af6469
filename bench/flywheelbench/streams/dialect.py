"""The dialect stream, of xSID: an assistant that has learnt standard German comes to Switzerland and South Tyrol.

Twelve days of 400 requests. On the first all users write German; Swiss German and South Tyrolean grow, half and half,
by the same step each day until 40 % of requests are dialect. Half of the dialect speakers have smart speakers, and
report half as often: there is no screen to complain on. What is drawn, and how, is written down in `streams.md`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from flywheelbench.streams import text as texts
from flywheelbench.streams.crowd import Crowd, Person, chance, day_of, endless, hours, spread, zipf
from flywheelbench.streams.luck import draw_luck
from flywheelbench.world import Request, Sealed, World

__all__ = ["LOCALES", "MOST", "make"]

SPINS, REQUESTS = 12, 400

LOCALES = {"de": "de-DE", "gsw": "de-CH", "de-st": "de-IT"}
"""Variety in xSID → the locale that its speakers' requests carry."""

USERS = {"de": 160, "gsw": 80, "de-st": 80}

MOST = 0.40
"""Share of dialect in the last spin's requests, half of it Swiss German and half South Tyrolean; from none at first."""

ALIKE = 0.40
"""Less than for the English intents: with a few dozen sentences an intent, centroids lie further apart."""

_Float = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What may be learnt from and what is sealed, by variety; a sentence is in one of them in every variety."""

    seed: Sequence[texts.Said]
    used: Mapping[str, Sequence[texts.Said]]
    held: Mapping[str, Sequence[texts.Said]]
    labels: Sequence[str]


def make(seed: int, *, null: bool = False) -> World:
    """Draw the stream for a seed. With `null` all users write German on every day, and ask what the seed asks, intent
    by intent in its shares."""
    parts = _parts(seed, null)
    crowds = {variety: _crowd(seed, variety) for variety in parts.used}
    sealed, weights = _sealed(parts, crowds, seed, null)
    rows = chance(seed, "xsid", "seed").permutation(len(parts.seed))
    return World(
        name="dialect-null" if null else "dialect",
        seed=seed,
        kind="text",
        seed_inputs=[parts.seed[row][0] for row in rows],
        seed_labels=[parts.seed[row][1] for row in rows],
        spins=_spins(parts, crowds, seed, null),
        sealed=sealed,
        weights=weights,
        labels=parts.labels,
        confusable=texts.among(_confusable(), parts.labels),
        protected=("locale",),
        gains=not null,
    )


def shares(spin: int, null: bool) -> dict[str, float]:
    """The share of each variety in a spin's requests."""
    dialect = 0.0 if null else MOST * spin / (SPINS - 1)
    return {"de": 1.0 - dialect, "gsw": dialect / 2, "de-st": dialect / 2}


@cache
def _confusable() -> dict[str, tuple[str, ...]]:
    """Which intents people mix up, by all German sentences there are: that is of the language, and of no seed."""
    said: dict[str, list[str]] = {}
    for text, intent in texts.xsid()["de.valid"] + texts.xsid()["de.test"]:
        said.setdefault(intent, []).append(text)
    return texts.alike(said, least=ALIKE)


def _parts(seed: int, null: bool) -> _Parts:
    """Cut the test files in two by row, the same way in all varieties: one half for traffic, the other sealed.

    Sealed rows that say in any variety what may be learnt from are left out (59 of 500 rows say what valid says), and
    those of an intent that neither seed nor traffic has.
    """
    data = texts.xsid()
    order = chance(seed, "xsid", "halves").permutation(len(data["de.test"]))
    half = len(order) // 2
    known = {intent for _, intent in data["de.valid"]}
    varieties = ("de",) if null else tuple(LOCALES)
    used = {}
    for variety in varieties:
        rows = [data[f"{variety}.test"][row] for row in sorted(order[:half])]
        rows += data[f"{variety}.valid"] if variety != "de" else []
        used[variety] = [(text, intent) for text, intent in rows if not null or intent in known]
    open_ = {texts.plain(text) for rows in (data["de.valid"], *used.values()) for text, _ in rows}
    labels = sorted(known | {intent for rows in used.values() for _, intent in rows})
    free = [
        row
        for row in sorted(order[half:])
        if data["de.test"][row][1] in labels
        and not any(texts.plain(data[f"{variety}.test"][row][0]) in open_ for variety in varieties)
    ]
    held = {variety: [data[f"{variety}.test"][row] for row in free] for variety in varieties}
    return _Parts(data["de.valid"], used, held, labels)


def _crowd(seed: int, variety: str) -> Crowd:
    """Speakers of a variety: every other one with a smart speaker, who is quiet if it is a dialect."""
    n = USERS[variety]
    devices = spread(chance(seed, "xsid", "crowd", variety), ["phone", "speaker"], n)
    people = [
        Person(
            name=f"{variety}-{i:03d}",
            group="quiet" if device == "speaker" and variety != "de" else "usual",
            locale=LOCALES[variety],
            device=device,
        )
        for i, device in enumerate(devices)
    ]
    return Crowd(people, zipf(n))


def _german(parts: _Parts, null: bool, rng: np.random.Generator) -> Iterator[texts.Said]:
    """What German users say: the pool in mixed order; in the control, intents by their shares in the seed."""
    if not null:
        yield from endless(parts.used["de"], rng)
    pools: dict[str, list[texts.Said]] = {}
    for said in parts.used["de"]:
        pools.setdefault(said[1], []).append(said)
    counts = Counter(intent for _, intent in parts.seed if intent in pools)
    names = sorted(counts)
    weight = np.array([counts[name] for name in names], dtype=np.float64)
    mixed = {name: endless(pools[name], rng) for name in names}
    while True:
        yield next(mixed[names[int(rng.choice(len(names), p=weight / weight.sum()))]])


def _spins(parts: _Parts, crowds: Mapping[str, Crowd], seed: int, null: bool) -> list[list[Request]]:
    said_rng, who, what, when, lucky = (chance(seed, "xsid", of) for of in ("texts", "who", "what", "when", "luck"))
    said = {variety: endless(parts.used[variety], said_rng) for variety in parts.used if variety != "de"}
    said["de"] = _german(parts, null, said_rng)
    name = "dialect-null" if null else "dialect"
    spins = []
    for spin in range(SPINS):
        share = shares(spin, null)
        drawn = what.choice(len(share), size=REQUESTS, p=list(share.values()))
        times = np.sort(hours(when, REQUESTS))
        luck, moments = draw_luck(lucky, REQUESTS), day_of(spin, times)
        requests = []
        for n, place in enumerate(drawn):
            variety = list(share)[place]
            person = crowds[variety].draw(who, 1)[0]
            text, intent = next(said[variety])
            requests.append(
                Request(
                    id=f"{name}-{seed}-{spin:02d}-{n:04d}",
                    input=text,
                    truth=intent,
                    user=person.name,
                    group=person.group,
                    context={"device": person.device, "hour": int(times[n]), "locale": person.locale},
                    at=moments[n],
                    luck=luck[n],
                )
            )
        spins.append(requests)
    return spins


def _sealed(parts: _Parts, crowds: Mapping[str, Crowd], seed: int, null: bool) -> tuple[list[Sealed], list[_Float]]:
    """The other half of the tests. A case weighs its variety's and group's share of the spin, divided evenly among
    the cases of both; in the control, its intent's share of the seed among the cases of the intent."""
    rng = chance(seed, "xsid", "sealed")
    cases: list[Sealed] = []
    columns: list[_Float] = []
    in_seed = Counter(intent for _, intent in parts.seed)
    for variety, said in parts.held.items():
        mine = np.array([shares(spin, null)[variety] for spin in range(SPINS)])
        quiet = crowds[variety].share("quiet")
        order = rng.permutation(len(said))
        few = round(len(said) * quiet)
        in_test = Counter(intent for _, intent in said)
        for group, share, rows in (("quiet", quiet, order[:few]), ("usual", 1.0 - quiet, order[few:])):
            for row in rows:
                text, intent = said[row]
                slices = (f"variety={variety}", *(["group=quiet"] if group == "quiet" else []))
                cases.append(Sealed(text, intent, slices))
                part = in_seed[intent] / in_test[intent] if null else share / len(rows)
                columns.append(mine * part)
    table = np.column_stack(columns)
    return cases, [row / row.sum() for row in table]
