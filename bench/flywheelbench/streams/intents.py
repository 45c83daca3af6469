"""The intents streams, of CLINC150 and BANKING77: new intents, more out of scope, and typos on old devices.

Twelve days of a thousand requests to an assistant that was set up with part of the intents. On days 3, 6 and 9, counted
from 0, requests with a block of intents begin that nobody has seen; with CLINC150 a block is one of its domains, and
the share of requests out of scope grows from 10 to 20 %. What is drawn, and how, is written down in `streams.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from flywheelbench.streams import text as texts
from flywheelbench.streams.crowd import Crowd, Person, chance, day_of, endless, hours, is_evening, spread, zipf
from flywheelbench.streams.luck import draw_luck
from flywheelbench.streams.noise import damage
from flywheelbench.world import Request, Sealed, World

__all__ = ["ARRIVALS", "OUT_OF_SCOPE", "SPINS", "make"]

OUT_OF_SCOPE = "out of scope"

SPINS, REQUESTS, USERS, EACH = 12, 1000, 300, 20
"""Days, requests a day, users, and seed examples an intent."""

ARRIVALS = (3, 6, 9)
"""The spins, counted from 0, with whose traffic a new block of intents begins."""

BEYOND = (0.10, 0.20)
"""Share of requests out of scope in the first and the last spin; in between it grows by the same step each spin."""

DAMAGED_OLD, DAMAGED_ELSE = 0.80, 0.015
"""P(damaged) on an old device in the evening, and for every other request: together about 10 % of requests."""

_Float = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class _Plot:
    """What a seed decides about the classes: which there are from when on, and how often who asks for them."""

    data: texts.Texts
    name: str
    """Of the data: what is drawn for one data set says nothing of what is drawn for another."""
    classes: tuple[str, ...]
    """In alphabetical order."""
    arrival: Mapping[str, int]
    """Class → the spin it begins with; 0 for those of the seed."""
    domain: Mapping[str, str]
    popular: Mapping[str, _Float]
    """User group → weight of each class among those that are there, by Zipf's law."""
    beyond: Sequence[float]
    """Share out of scope for each spin."""
    calm: bool
    """Nothing is damaged."""

    def shares(self, spin: int, group: str) -> _Float:
        """P(class | in scope) in a spin and user group."""
        there = np.array([self.arrival[name] <= spin for name in self.classes])
        weight: _Float = self.popular[group] * there
        weight /= weight.sum()
        return weight


def make(seed: int, *, data: str = "clinc150", null: bool = False) -> World:
    """Draw the stream of `data` (`clinc150` or `banking77`) for a seed.

    The seed has 20 clean texts for each of its intents (105 of CLINC150's, 50 of BANKING77's), none out of scope. With
    `null`, traffic is drawn as the seed was: its intents alone, evenly, nothing damaged, nothing out of scope.

    The two user groups have favourite intents of their own. Otherwise whether the group that seldom reports is
    neglected could not be seen: the others would report its failures for it.
    """
    source = {"clinc150": texts.clinc150, "banking77": texts.banking77}[data]()
    name = {"clinc150": "intents", "banking77": "banking"}[data] + ("-null" if null else "")
    plot = _plot(source, data, seed, null)
    crowd = _crowd(plot, seed)
    examples, pools = _seed(plot, seed)
    sealed, weights = _sealed(plot, crowd, seed)
    hidden = source.every | {texts.plain(case.input) for case in sealed}
    spins = _spins(plot, crowd, pools, hidden, name, seed)
    beyond = bool(source.beyond) and not null
    return World(
        name=name,
        seed=seed,
        kind="text",
        seed_inputs=[said for said, _ in examples],
        seed_labels=[intent for _, intent in examples],
        spins=spins,
        sealed=sealed,
        weights=weights,
        labels=[*plot.classes, *([OUT_OF_SCOPE] if beyond else [])],
        confusable=texts.among(source.confusable, plot.classes),
        out_of_scope=OUT_OF_SCOPE if beyond else None,
        protected=("locale",),
        gains=not null,
    )


def _plot(data: texts.Texts, name: str, seed: int, null: bool) -> _Plot:
    rng = chance(seed, name, "plot")
    arrival: dict[str, int] = {}
    domain: dict[str, str] = {}
    if data.blocks:
        order = [list(data.blocks)[i] for i in rng.permutation(len(data.blocks))]
        for place, block in enumerate(order):
            for intent in data.blocks[block]:
                domain[intent] = block
                arrival[intent] = 0 if place < 7 else ARRIVALS[place - 7]
    else:
        intents = list(data.train)
        for place, row in enumerate(rng.permutation(len(intents))):
            arrival[intents[row]] = 0 if place < 50 else ARRIVALS[(place - 50) // 9]
            domain[intents[row]] = "first" if place < 50 else f"new at {ARRIVALS[(place - 50) // 9]}"
    classes = tuple(sorted(intent for intent, spin in arrival.items() if not (null and spin)))
    even = np.full(len(classes), 1.0)
    popular = {
        group: even if null else zipf(len(classes))[rng.permutation(len(classes))] for group in ("usual", "quiet")
    }
    steps = np.linspace(*BEYOND, SPINS) if data.beyond and not null else np.zeros(SPINS)
    return _Plot(data, name, classes, arrival, domain, popular, steps.tolist(), null)


def _crowd(plot: _Plot, seed: int) -> Crowd:
    """300 users: a quarter of them quiet, all of these and no others with the locale en-GB; three in ten have old
    devices. Both hold in every run of twenty users of like activity, so that they hold of requests, too."""
    rng = chance(seed, plot.name, "crowd")
    quiet = spread(rng, ["quiet"] * 5 + ["usual"] * 15, USERS)
    devices = spread(rng, ["old"] * 6 + ["ios"] * 7 + ["android"] * 7, USERS)
    elsewhere = rng.random(USERS) < 0.2
    updates = rng.integers(2, SPINS, USERS)
    people = [
        Person(
            name=f"user-{n:03d}",
            group=quiet[n],
            locale="en-GB" if quiet[n] == "quiet" else "en-CA" if elsewhere[n] else "en-US",
            device=devices[n],
            updates=None if plot.calm or devices[n] == "old" else int(updates[n]),
        )
        for n in range(USERS)
    ]
    return Crowd(people, zipf(USERS))


def _context(person: Person, hour: float, spin: int) -> dict[str, Any]:
    version = "3.9" if person.device == "old" else "4.1" if person.updates is None or spin < person.updates else "4.2"
    return {"device": person.device, "hour": int(hour), "app_version": version, "locale": person.locale}


def _seed(plot: _Plot, seed: int) -> tuple[list[texts.Said], dict[str, list[str]]]:
    """Twenty examples an intent in one mixed order, and for each class what is left for traffic."""
    rng = chance(seed, plot.name, "seed")
    examples: list[texts.Said] = []
    pools: dict[str, list[str]] = {}
    for intent in plot.classes:
        said = [plot.data.train[intent][i] for i in rng.permutation(len(plot.data.train[intent]))]
        first = said[:EACH] if plot.arrival[intent] == 0 else []
        examples += [(text, intent) for text in first]
        taken = {texts.plain(text) for text in first}
        rest = [*said[len(first) :], *plot.data.more.get(intent, ())]
        pools[intent] = [text for text in rest if texts.plain(text) not in taken]
    pools[OUT_OF_SCOPE] = list(plot.data.beyond)
    return [examples[i] for i in rng.permutation(len(examples))], pools


def _spins(
    plot: _Plot, crowd: Crowd, pools: Mapping[str, Sequence[str]], hidden: AbstractSet[str], name: str, seed: int
) -> list[list[Request]]:
    texts_rng = chance(seed, plot.name, "texts")
    said = {intent: endless(pool, texts_rng) for intent, pool in pools.items()}
    who, what, when, slips, lucky = (chance(seed, plot.name, of) for of in ("who", "what", "when", "slips", "luck"))
    spins = []
    for spin in range(SPINS):
        people = crowd.draw(who, REQUESTS)
        times = np.sort(hours(when, REQUESTS))
        outside = what.random(REQUESTS) < plot.beyond[spin]
        place, hurt = what.random(REQUESTS), slips.random(REQUESTS)
        luck, moments = draw_luck(lucky, REQUESTS), day_of(spin, times)
        upto = {group: np.cumsum(plot.shares(spin, group)) for group in plot.popular}
        requests = []
        for n, person in enumerate(people):
            reached = int(np.searchsorted(upto[person.group], place[n], side="right"))
            truth = OUT_OF_SCOPE if outside[n] else plot.classes[min(reached, len(plot.classes) - 1)]
            text, hopeless = _typed(plot, person, times[n], next(said[truth]), hurt[n], hidden, slips)
            requests.append(
                Request(
                    id=f"{name}-{seed}-{spin:02d}-{n:04d}",
                    input=text,
                    truth=truth,
                    user=person.name,
                    group=person.group,
                    context=_context(person, times[n], spin),
                    at=moments[n],
                    luck=luck[n],
                    noise=hopeless,
                )
            )
        spins.append(requests)
    return spins


def _typed(
    plot: _Plot,
    person: Person,
    hour: float,
    text: str,
    hurt: float,
    others: AbstractSet[str],
    rng: np.random.Generator,
) -> tuple[str, bool]:
    """What arrives of a text: damaged where chance `hurt` says so, and whether it is then beyond use.

    Damage that makes one of `others` of it (a typo corrected, a message cut to another one's words) is drawn again, so
    that nothing sealed gets into traffic, nor traffic into what is sealed.
    """
    risk = DAMAGED_OLD if person.device == "old" and is_evening(hour) else DAMAGED_ELSE
    if hurt < risk and not plot.calm:
        for _ in range(20):
            found, hopeless = damage(text, rng)
            if texts.plain(found) not in others:
                return found, hopeless
    return text, False


def _sealed(plot: _Plot, crowd: Crowd, seed: int) -> tuple[list[Sealed], list[_Float]]:
    """The official test, sent by users like those of the traffic, and what each case weighs in each spin.

    Of every class the quiet group's share of cases, rounded, is theirs. A case weighs the share of its class and group
    in the spin, divided evenly among the cases of that class and group.
    """
    rng, slips = chance(seed, plot.name, "sealed"), chance(seed, plot.name, "sealed slips")
    by_class: dict[str, list[str]] = {intent: [] for intent in plot.classes}
    for text, intent in plot.data.sealed:
        if intent in by_class:
            by_class[intent].append(text)
    if any(plot.beyond):
        by_class[OUT_OF_SCOPE] = list(plot.data.sealed_beyond)
    cases: list[Sealed] = []
    columns: list[_Float] = []
    quiet = crowd.share("quiet")
    for intent, said in by_class.items():
        few = max(1, round(len(said) * quiet))
        order = rng.permutation(len(said))
        for group, rows in (("quiet", order[:few]), ("usual", order[few:])):
            share = quiet if group == "quiet" else 1.0 - quiet
            weight = np.array([share * _share(plot, spin, group, intent) / len(rows) for spin in range(SPINS)])
            people, times = crowd.draw(rng, len(rows), group), hours(rng, len(rows))
            hurt = slips.random(len(rows))
            for n, row in enumerate(rows):
                text, _ = _typed(plot, people[n], times[n], said[row], hurt[n], plot.data.every, slips)
                cases.append(Sealed(text, intent, _slices(plot, intent, people[n], times[n])))
                columns.append(weight)
    table = np.column_stack(columns)
    return cases, [row / row.sum() for row in table]


def _share(plot: _Plot, spin: int, group: str, intent: str) -> float:
    """P(class | user group) in a spin, out of scope among the classes."""
    if intent == OUT_OF_SCOPE:
        return plot.beyond[spin]
    return (1.0 - plot.beyond[spin]) * float(plot.shares(spin, group)[plot.classes.index(intent)])


def _slices(plot: _Plot, intent: str, person: Person, hour: float) -> tuple[str, ...]:
    found = []
    if person.group == "quiet":
        found.append("group=quiet")
    if person.device == "old":
        found.append("device=old")
    if is_evening(hour):
        found.append("hour=evening")
    if intent == OUT_OF_SCOPE:
        return (*found, "out of scope")
    found.append(f"domain={plot.domain[intent]}")
    return (*found, "new domain") if plot.arrival[intent] else tuple(found)
