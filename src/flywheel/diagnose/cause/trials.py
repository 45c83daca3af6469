"""The single measurements, each a question about one mode; their numbers are what a cause is judged by.

All take the common ground and the rows of the mode's failures in it, and return numbers by name: NaN where the
question cannot be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flywheel.diagnose.cause.classes import key_of
from flywheel.diagnose.cause.shares import jeffreys
from flywheel.diagnose.embed import as_record
from flywheel.errors import FlywheelError
from flywheel.records import Dataset, Example, Failure, Interval

if TYPE_CHECKING:
    from flywheel.diagnose.cause.measure import Ground
    from flywheel.ports import Trainer

__all__ = ["counts", "damage", "density", "doubtful", "families", "labelled", "mending", "misjudged", "neighbourhood",
           "slice_of", "stuck", "support", "taught"]  # fmt: skip

Array = NDArray[Any]

_NOVEL = ("length", "words never seen before", "size", "values that are rare together", "digits", "capitals",
          "letters a word")  # fmt: skip
"""Signs that new but sound inputs show as well."""
_REFITS = 2


def labelled(ground: Ground, rows: Array) -> tuple[Array, Array]:
    """Rows of the failures that somebody has labelled, and the class numbers of their labels (-1: never taught)."""
    numbers = np.array([ground.classes.number(ground.failures[i].label) for i in rows], dtype=int)
    kept = numbers >= -1
    return rows[kept], numbers[kept]


def density(ground: Ground, rows: Array) -> dict[str, float]:
    """Do failures lie farther from the examples than these from each other? Share beyond the 95th percentile; log2 of
    the ratio of the median distances to the five nearest."""
    own = ground.own_distance[:, :5].mean(axis=1)
    away = ground.distance[rows, :5].mean(axis=1)
    usual = max(float(np.median(own)), 1e-9)
    apart = float("nan")
    if len(rows) >= 5:
        # Whose company do failures keep, each other's or the examples'? As many of each are looked at.
        among = np.sqrt(ground.view.among[np.ix_(rows, rows)])
        np.fill_diagonal(among, np.inf)
        mates = np.sort(among, axis=1)[:, :3].mean(axis=1)
        nearest = ground.distance[rows, :3].mean(axis=1)
        apart = float(np.clip(np.median(np.log2(np.maximum(nearest, 1e-9) / np.maximum(mates, 1e-9))), -3, 3))
    return {
        "apart": apart,
        "far": float(np.mean(away > np.quantile(own, 0.95))),
        "distance": float(np.clip(np.log2(max(float(np.median(away)), 1e-9) / usual), -4, 4)),
    }


def damage(ground: Ground, rows: Array) -> tuple[dict[str, float], tuple[str, float] | None]:
    """Are the inputs broken? Share that is out of the ordinary beyond what is usual, and the strongest shift of any
    sign of damage and of any sign of novelty, as the mean rank among the examples less its chance size."""
    q = ground.quality
    odd = q.odd[rows]
    chance = 1.7 / np.sqrt(3.0 * len(rows))
    shift = np.maximum(np.abs(q.rank[rows].mean(axis=0)) - chance, 0.0)
    novel = np.array([name in _NOVEL for name in q.names])
    any_odd = float(odd[:, ~novel].any(axis=1).mean())
    numbers = {
        "dirty": max(0.0, (float(odd.any(axis=1).mean()) - q.usual) / max(1.0 - q.usual, 1e-9)),
        "damaged": max(0.0, any_odd - q.usual),
        "shift": float(shift[~novel].max(initial=0.0)),
        "novel": float(shift[novel].max(initial=0.0)),
        "worst": max(0.0, float(odd[:, ~novel].mean(axis=0).max(initial=0.0)) - 0.02),
    }
    strength = odd.mean(axis=0) + shift + np.where(novel, 0.0, 1e-6)
    best = int(np.argmax(strength))
    return numbers, (q.names[best], float(odd[:, best].mean())) if strength[best] > 0.1 else None


def neighbourhood(ground: Ground, rows: Array) -> dict[str, float]:
    """What are the nearest examples like: doubtful, at odds with each other, easy to learn, easier than for the
    champion?"""
    near = ground.near[rows]
    here = float(ground.flagged[near].mean())
    out = {"suspected": here - float(ground.flagged.mean()), "suspected_here": here}
    names = ("mixed", "near_right", "near_slope", "beaten", "champion_near", "output_support")
    out |= dict.fromkeys(names, float("nan"))
    if ground.learned is None:
        return out
    right = best_right(ground)
    out["mixed"] = float(ground.mixed[near].mean() - ground.mixed.mean())
    out["near_right"] = float(right[near].mean() - right.mean())
    out["near_slope"] = _near_slope(ground, near)
    answered = np.array(sorted(ground.champion), dtype=int)
    if len(answered):
        wrong = np.full(len(ground.examples), np.nan)
        wrong[answered] = [ground.champion[int(i)] for i in answered]
        seen = wrong[near]
        if np.isfinite(seen).any():
            out["champion_near"] = float(np.nanmean(seen) - np.nanmean(wrong))
            out["beaten"] = float(np.nanmean(seen - ~right[near]) - np.nanmean(wrong - ~right))
    outputs = np.array([ground.classes.number(ground.failures[i].output) for i in rows])
    if (outputs >= 0).any():
        out["output_support"] = float((ground.labels[near] == outputs[:, None])[outputs >= 0].mean())
    return out


def best_right(ground: Ground) -> Array:
    """Is each example answered rightly, without itself, by the family that answers most examples rightly?"""
    assert ground.learned is not None
    right = {name: scores.argmax(axis=1) == ground.labels for name, scores in ground.learned.known.items()}
    out: Array = right[max(sorted(right), key=lambda name: float(right[name].mean()))]
    return out


def _near_slope(ground: Ground, near: Array) -> float:
    """Gain in accuracy on the nearest examples from a quarter of all examples to half of them, they held out."""
    assert ground.learned is not None
    rates = []
    for parts in (ground.learned.quarters, ground.learned.halves):
        right = np.full((len(parts), len(ground.labels)), np.nan)
        for i, part in enumerate(parts):
            right[i] = part.known.argmax(axis=1) == ground.labels
            right[i, part.inside] = np.nan
        with np.errstate(all="ignore"):
            counts = np.isfinite(right).sum(axis=0)
            mean = np.where(counts > 0, np.nansum(right, axis=0) / np.maximum(counts, 1), np.nan)
        seen = mean[near]
        rates.append(float(np.nanmean(seen)) if np.isfinite(seen).any() else float("nan"))
    return rates[1] - rates[0]


def support(ground: Ground, rows: Array, labels: Array) -> dict[str, float]:
    """Do the nearest examples have the label that people give, how far is the nearest that has it, and does a twin
    say otherwise?"""
    names = ("label_support", "label_distance", "untaught", "disputed", "label_doubt", "scatter", "misplaced")
    out = dict.fromkeys(names, float("nan"))
    if not len(rows) or not len(ground.classes):
        return out
    near = ground.near[rows]
    # Labels that scatter where the answers do not: people may be wrong; the other way round, the product is.
    outputs = [key_of(ground.failures[i].output) for i in rows]
    said = [key_of(ground.failures[i].label) for i in rows]
    out["scatter"] = _focus(outputs) - _focus(said)
    out["label_support"] = float((ground.labels[near] == labels[:, None]).mean())
    out["untaught"] = float(np.mean(labels == -1))
    usual = max(float(np.median(ground.own_distance[:, 0])), 1e-9)
    gaps = []
    for row, label in zip(rows, labels, strict=True):
        same = np.flatnonzero(ground.labels == label)
        d = float(np.sqrt(ground.view.away[row, same].min())) if len(same) else np.inf
        gaps.append(min(np.log2(max(d, 1e-9) / usual), 3.0))
    out["label_distance"] = float(np.clip(np.mean(gaps), -3, 3))
    out["misplaced"] = _misplaced(ground, rows, labels)
    twin = ground.distance[rows] < 0.25 * usual
    out["disputed"] = float((twin & (ground.labels[near] != labels[:, None])).any(axis=1).mean())
    if ground.learned is not None:
        # Near examples with another label that the learners, without them, would give the failure's label.
        guess = ground.learned.chances.argmax(axis=1)
        other = ground.labels[near] != labels[:, None]
        out["label_doubt"] = float((other & (guess[near] == labels[:, None])).mean())
    return out


def _misplaced(ground: Ground, rows: Array, labels: Array) -> float:
    """Share of the nearest examples that lie nearer to a labelled failure with another label than to any example with
    their own: they may have the wrong one."""
    close = np.unique(ground.near[rows][:, :5])
    misplaced = []
    for i in close:
        mine = ground.labels == ground.labels[i]
        mine[i] = False
        other = rows[labels != ground.labels[i]]
        if len(other):
            own = float(ground.view.own[i, mine].min()) if mine.any() else np.inf
            misplaced.append(float(ground.view.away[other, i].min()) < own)
    return float(np.mean(misplaced)) if misplaced else float("nan")


def _focus(values: Sequence[str]) -> float:
    """The chance that two of them are the same."""
    n = len(values)
    return sum(c * (c - 1) for c in Counter(values).values()) / max(n * (n - 1), 1)


def families(
    ground: Ground, rows: Array, told: Array, labels: Array
) -> tuple[dict[str, float], dict[str, float]]:  # fmt: skip
    """Who gets these right: other families, refits on halves; do they all say what the product said; does the right
    label gain with more examples? Also the share right by family."""
    names = ("other_right", "all_right", "all_same", "agree", "halves_vary", "halves_stuck", "slope", "level",
             "chance_output", "chance_label", "stuck")  # fmt: skip
    out = dict.fromkeys(names, float("nan"))
    refits = [ground.stuck[f.interaction_id] for i in told if (f := ground.failures[i]).interaction_id in ground.stuck]
    if refits:
        out["stuck"] = float(np.mean(refits))
    learned = ground.learned
    if learned is None:
        return out, {}
    outputs = np.array([ground.classes.number(ground.failures[i].output) for i in range(len(ground.failures))])
    answers = {name: scores.argmax(axis=1) for name, scores in learned.failed.items()}
    every = np.stack(list(answers.values()))
    out["agree"] = float((every[:, rows] == outputs[rows]).mean())
    usual = float(learned.chances[np.arange(len(ground.labels)), ground.labels].mean())
    out["chance_output"] = _chance(learned.failed_chances[rows], outputs[rows]) - usual
    halves = np.stack([part.failed.argmax(axis=1) for part in learned.halves])
    out["halves_vary"] = float(np.mean([1 - max(Counter(halves[:, i].tolist()).values()) / len(halves) for i in rows]))
    if not len(told):
        return out, {}
    right = {name: float((answer[told] == labels).mean()) for name, answer in answers.items()}
    out["other_right"] = max(right.values())
    out["all_right"] = float((every[:, told] == labels).mean())
    out["all_same"] = float((every[:, told] == outputs[told]).all(axis=0).mean())
    out["halves_stuck"] = float((halves[:, told] == outputs[told]).all(axis=0).mean())
    out["chance_label"] = _chance(learned.failed_chances[told], labels) - usual
    taught = labels >= 0
    if taught.any():
        whole, half, quarter = (
            float(np.mean([_margin(scores[told[taught]], labels[taught]) for scores in several]))
            for several in (
                [learned.failed["linear"], learned.failed["kernel"]],
                [part.failed for part in learned.halves],
                [part.failed for part in learned.quarters],
            )
        )
        out["slope"], out["level"] = half - quarter, whole
    return out, right


def _chance(chances: Array, numbers: Array) -> float:
    """Mean probability of the given classes; 0 for a class that was never taught."""
    taken = chances[np.arange(len(numbers)), np.maximum(numbers, 0)]
    return float(np.where(numbers >= 0, taken, 0.0).mean())


def _margin(scores: Array, labels: Array) -> float:
    """Mean lead of the right class over the best other one, in units of the scores' spread."""
    rows = np.arange(len(labels))
    mine = scores[rows, labels]
    rest = scores.copy()
    rest[rows, labels] = -np.inf
    return float(np.mean(np.clip((mine - rest.max(axis=1)) / 2.0, -1, 1)))


def counts(ground: Ground, told: Array, per_label: Counter[str], usual: float) -> dict[str, float]:
    """How few examples teach the labels that people give, against the usual label: powers of two, 0 to 6."""
    if not len(told) or not per_label:
        return {"few": float("nan")}
    gaps = [np.log2((usual + 1.0) / (per_label.get(key_of(ground.failures[i].label), 0) + 1.0)) for i in told]
    return {"few": float(np.mean(np.clip(gaps, -1.0, 6.0)))}


@dataclass(frozen=True, slots=True)
class Taught:
    """How many examples have each text or true/false value of input and context, each label, and both."""

    examples: int
    values: Counter[str]
    labels: Counter[str]
    both: Counter[tuple[str, str]]


def taught(examples: Sequence[Example]) -> Taught:
    """Count once for all modes; O(examples × fields)."""
    values: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    labels = [key_of(e.label) for e in examples]
    for example, label in zip(examples, labels, strict=True):
        here = _values(example.input, example.context)
        values.update(here)
        both.update((value, label) for value in here)
    return Taught(len(examples), values, Counter(labels), both)


def slice_of(here: Sequence[Failure], known: Taught, label: str | None) -> tuple[str, int, float] | None:
    """The input or context value of at least half of the failures that, with their label, is taught least: the value,
    its examples with that label, and how many there would be if value and label were independent."""
    if label is None or known.examples < 20:
        return None
    leaves = [_values(f.input, f.context) for f in here if f.label is not None and key_of(f.label) == label]
    common = {v for v, n in Counter(v for one in leaves for v in one).items() if n >= 0.5 * len(leaves)}
    if len(leaves) < 3 or not common:
        return None
    best: tuple[float, str, int, float] | None = None
    for value in sorted(common):
        both = known.both[value, label]
        usual = known.values[value] * known.labels[label] / known.examples
        short = (usual + 1.0) / (both + 1.0)
        if usual >= 3 and (best is None or short > best[0]):
            best = (short, value, both, usual)
    return best[1:] if best is not None else None


def _values(value: Any, context: dict[str, Any]) -> set[str]:
    leaves = as_record(value) if isinstance(value, dict) else {}
    return {f"{k}={v}" for k, v in {**leaves, **context}.items() if isinstance(v, str | bool)}


def doubtful(ground: Ground, rows: Array, most: int = 20) -> tuple[str, ...]:
    """Flagged examples among the nearest, the most doubtful first."""
    near = np.unique(ground.near[rows])
    near = near[ground.flagged[near]]
    order = near[np.argsort(-ground.doubt[near], kind="stable")]
    return tuple(ground.examples[int(i)].id for i in order[:most])


def misjudged(ground: Ground, told: Array, labels: Array) -> tuple[str, ...]:
    """Interactions whose label every quick learner contradicts, siding with the product: perhaps it was right."""
    if ground.learned is None or not len(told):
        return ()
    every = np.stack([scores[told].argmax(axis=1) for scores in ground.learned.failed.values()])
    outputs = np.array([ground.classes.number(ground.failures[i].output) for i in told])
    against = (every == outputs).all(axis=0) & (outputs != labels)
    return tuple(ground.failures[int(i)].interaction_id for i in told[against])


def mending(ground: Ground, told: Array, labels: Array) -> dict[str, Interval]:
    """Share of the mode's failures that each remedy would mend, by trial, with Jeffreys intervals.

    For scarcity: how often the best quick learner is right about examples it was not taught. For a flaw: how many of
    the labelled failures it gets right. For label noise: the same, taught without the doubtful examples. The learner
    is chosen by the examples, never by the failures.
    """
    learned = ground.learned
    if learned is None:
        return {}
    right = best_right(ground)
    out = {"data scarcity": jeffreys(float(right.sum()), len(right))}
    if len(told) >= 3:
        rates = {name: float(np.mean(scores.argmax(axis=1) == ground.labels)) for name, scores in learned.known.items()}
        best = max(sorted(rates), key=lambda name: rates[name])
        hits = float((learned.failed[best][told].argmax(axis=1) == labels).sum())
        out["algorithmic flaw"] = jeffreys(hits, len(told))
        if ground.cleaned is not None:
            again = ground.cleaned[told].argmax(axis=1)
            out["label noise"] = jeffreys(float((again == labels).sum()), len(told))
    return out


def stuck(trainer: Trainer, known: Sequence[Example], found: Sequence[Failure], seed: int) -> dict[str, bool]:
    """Refit the product's trainer on 70 % of the examples, twice, by chance: do both say what the product said?

    A trainer that cannot learn from these examples says nothing: no answer.
    """
    told = [f for f in found if f.label is not None]
    if not told or len(known) < 20:
        return {}
    rng = np.random.default_rng([seed, 7])
    answers = []
    for turn in range(_REFITS):
        half = np.sort(rng.choice(len(known), int(0.7 * len(known)), replace=False))
        part = tuple(replace(known[int(i)], fold=0) for i in half)
        try:
            model = trainer.fit(Dataset(hash=f"cause-{turn}", examples=part), None, seed + turn)
            answers.append([key_of(one) for one in model.predict([f.input for f in told]).outputs])
        except (FlywheelError, ValueError):
            return {}
    return {f.interaction_id: all(said[i] == key_of(f.output) for said in answers) for i, f in enumerate(told)}
