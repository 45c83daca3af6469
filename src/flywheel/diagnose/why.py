"""Why a mode fails, how grave it is, and a first chain of whys: each claim with the numbers it was tested on.

Four causes are scored between 0 and 1 from what can be counted, and a fifth, unknown, takes what is left. The
scores are a first judgement, not measured probabilities.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from flywheel.diagnose.evidence import Window, context_shares
from flywheel.diagnose.naming import say
from flywheel.records import Cause, Example, Failure, Mode, Risk

if TYPE_CHECKING:
    from flywheel.ports import Embedder, Task

__all__ = ["causes"]

_SAMPLE = 2000
_ALPHA = 0.01

_REMEDIES = {
    "data scarcity": "Label more of these: there is too little to learn them from",
    "algorithmic flaw": "Try another kind of model or other features: clean examples are near, and it still errs",
    "external noise": "Look at where these inputs come from; filter them, or train with inputs disturbed alike",
    "label noise": "Have the labels nearby checked by a second person before training on them",
    "unknown": "Label some of these first: there is not yet enough to say why",
}


@dataclass(frozen=True, slots=True)
class _Ground:
    """What one mode was examined on."""

    failures: int
    labelled: int
    label: str | None
    of_label: int
    usual: float
    far: float | None
    suspected: float
    suspected_overall: float
    place: tuple[str, float, float, float] | None
    """The context value it leans to: value, share here, share of the traffic (or other failures), p-value."""
    broken: float
    """Share with an error or a slow answer."""
    doubted: float


def causes(
    modes: Sequence[Mode],
    found_by_mode: Mapping[str, Sequence[Failure]],
    examples: Sequence[Example],
    *,
    embedder: Embedder,
    suspects: Collection[str] = (),
    task: Task | None = None,
    window: Window | None = None,
) -> list[Mode]:
    """Give each mode its likeliest cause, its risk and a drafted chain of whys.

    Looked at are: how many training examples there are of the label that people give and how far the failures lie
    from any (data scarcity); which context value is over-represented, by an exact binomial test against the
    window's traffic with Bonferroni's correction, and errors and slow answers (external noise); how many of the
    nearest training examples are in `suspects` (label noise); and whether examples are many, near and clean
    (algorithmic flaw). Risk follows FMEA: severity from the task, occurrence from the mode's share, detectability
    from how many of its failures nothing but a label has shown. At most 2,000 failures and as many examples are
    embedded.
    """
    shares = context_shares(window) if window is not None else {}
    used = _thin(examples, _SAMPLE)
    flat = [f for mode in modes for f in _thin(found_by_mode.get(mode.id, ()), max(20, _SAMPLE // max(len(modes), 1)))]
    near = _neighbours(flat, used, embedder)
    everyone = [f for mode in modes for f in found_by_mode.get(mode.id, ())]
    out = []
    for mode in modes:
        here = list(found_by_mode.get(mode.id, ()))
        if not here:
            out.append(mode)
            continue
        ground = _examine(here, everyone, used, examples, near, set(suspects), shares)
        cause = _judge(ground, len(examples))
        out.append(
            replace(mode, cause=cause, risk=_risk(mode, here, task), whys=_whys(mode, ground, cause, len(examples)))
        )
    return out


def _thin(items: Sequence[Any], most: int) -> list[Any]:
    """Evenly spaced members of a sequence, at most so many."""
    if len(items) <= most:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, most)]


def _neighbours(
    found: Sequence[Failure], examples: Sequence[Example], embedder: Embedder
) -> dict[str, tuple[bool, tuple[str, ...]]]:
    """Per failure: does it lie farther from the examples than they from each other, and its five nearest examples'
    ids."""
    from sklearn.neighbors import NearestNeighbors

    if not found or len(examples) < 3:
        return {}
    vectors = embedder.embed([f.input for f in found] + [e.input for e in examples])
    there, known = vectors[: len(found)], vectors[len(found) :]
    index = NearestNeighbors(n_neighbors=min(5, len(examples) - 1), algorithm="brute").fit(known)
    own, _ = index.kneighbors()
    limit = float(np.quantile(own[:, 0], 0.95))
    apart, which = index.kneighbors(there)
    return {
        f.interaction_id: (bool(apart[row, 0] > limit), tuple(examples[i].id for i in which[row]))
        for row, f in enumerate(found)
    }


def _examine(
    here: Sequence[Failure],
    everyone: Sequence[Failure],
    used: Sequence[Example],
    examples: Sequence[Example],
    near: Mapping[str, tuple[bool, tuple[str, ...]]],
    suspects: set[str],
    shares: Mapping[str, float],
) -> _Ground:
    labels = Counter(_key(f.label) for f in here if f.label is not None)
    per_label = Counter(_key(e.label) for e in examples)
    label, n = min(labels.items(), key=lambda item: (-item[1], item[0])) if labels else (None, 0)
    if label is not None and n * 2 < sum(labels.values()):
        label = None
    close = [near[f.interaction_id] for f in here if f.interaction_id in near]
    beside = [key for _, keys in close for key in keys]
    return _Ground(
        failures=len(here),
        labelled=sum(labels.values()),
        label=label,
        of_label=per_label.get(label, 0) if label is not None else 0,
        usual=float(median(per_label.values())) if per_label else 0.0,
        far=sum(far for far, _ in close) / len(close) if close else None,
        suspected=sum(key in suspects for key in beside) / len(beside) if beside else 0.0,
        suspected_overall=sum(e.id in suspects for e in used) / len(used) if used else 0.0,
        place=_place(here, everyone, shares),
        broken=sum(any(e.kind in ("error", "slow") for e in f.evidence) for f in here) / len(here),
        doubted=sum(any(e.kind == "doubt" for e in f.evidence) for f in here) / len(here),
    )


def _place(
    here: Sequence[Failure], everyone: Sequence[Failure], shares: Mapping[str, float]
) -> tuple[str, float, float, float] | None:
    """The context value that is most significantly over-represented."""
    from scipy.stats import binom

    def values(these: Sequence[Failure]) -> Counter[str]:
        return Counter(
            f"{key}={str(value).lower() if isinstance(value, bool) else value}"
            for f in these
            for key, value in f.context.items()
            if isinstance(value, str | bool)
        )

    mine, all_of_them = values(here), values(everyone)
    tests = []
    for value, n in sorted(mine.items()):
        others = len(everyone) - len(here)
        base = shares.get(value, (all_of_them[value] - n + 0.5) / (others + 1.0) if others else 1.0)
        p = min(1.0, float(binom.sf(n - 1, len(here), min(base, 1.0))) * len(mine))
        tests.append((p, -n / len(here), value, base))
    if not tests:
        return None
    p, share, value, base = min(tests)
    return (value, -share, base, p) if p < _ALPHA and -share > 1.3 * base else None


def _judge(g: _Ground, examples: int) -> Cause:
    few = _few(g.of_label, g.usual) if g.label is not None else 0.0
    far = g.far if g.far is not None else (1.0 if examples < 3 else 0.0)
    excess = max(g.suspected - 2.0 * g.suspected_overall, 0.0) if g.suspected > 0.1 else 0.0
    lean = 0.0
    if g.place is not None:
        _, share, base, _ = g.place
        lean = min(1.0, max(0.0, (share - base) / max(1.0 - base, 1e-9)))
    scores = {
        "data scarcity": max(few, min(1.0, 1.2 * max(far - 0.1, 0.0)) * (0.6 if lean > 0.5 else 0.8)),
        "external noise": max(lean * (1.0 - 0.7 * few), g.broken if g.broken >= 0.3 else 0.0),
        "label noise": min(1.0, 2.0 * excess),
        "algorithmic flaw": 0.0,
    }
    if examples >= 3 and g.label is not None and g.labelled >= 3:
        worst = max(scores.values())
        scores["algorithmic flaw"] = max(0.0, (1.0 - few) * (1.0 - far) * (1.0 - worst) * (1.0 - g.suspected))
    best = max(scores, key=lambda kind: scores[kind])
    if scores[best] < 0.3:
        return Cause(
            kind="unknown", probability=round(1.0 - scores[best], 3), evidence=_grounds(g), remedy=_REMEDIES["unknown"]
        )
    whole = sum(scores.values()) + max(0.0, 1.0 - scores[best])
    remedy = _REMEDIES[best]
    if best == "data scarcity" and g.label is not None:
        wanted = max(10, math.ceil(g.usual)) - g.of_label
        remedy = (
            f"Label about {max(wanted, 5)} more like these: {_count(g.of_label, 'example')} of {_read(g.label)} so far"
        )
    elif best == "external noise" and g.place is not None:
        remedy = (
            f"Look at what {g.place[0]} does to the inputs; filter them, or train with inputs disturbed in the same way"
        )
    return Cause(kind=best, probability=round(scores[best] / whole, 3), evidence=_grounds(g), remedy=remedy)


def _few(n: int, usual: float) -> float:
    """1 with no example of a label, 0.5 with a quarter of what other labels have, near 0 with as many."""
    return 1.0 / (1.0 + math.pow(4.0 * n / max(usual, 4.0), 1.5))


def _grounds(g: _Ground) -> tuple[str, ...]:
    lines = []
    if g.label is not None:
        lines.append(
            f"people say {_read(g.label)}; there are {_count(g.of_label, 'training example')} of it, "
            f"{g.usual:g} of the usual label"
        )
    if g.far is not None:
        lines.append(
            f"{g.far:.0%} lie farther from every training example than those lie from each other (5% would by chance)"
        )
    if g.place is not None:
        value, share, base, p = g.place
        lines.append(f"{share:.0%} have {value}, {base:.0%} elsewhere (p = {p:.1g})")
    if g.broken:
        lines.append(f"{g.broken:.0%} came with an error or a slow answer")
    if g.suspected:
        lines.append(
            f"{g.suspected:.0%} of the nearest training examples have a doubtful label, "
            f"of all examples {g.suspected_overall:.0%}"
        )
    return tuple(lines) or (f"only {_count(g.failures, 'failure')}, none of them labelled",)


def _risk(mode: Mode, here: Sequence[Failure], task: Task | None) -> Risk:
    """FMEA. Without labels severity is the middle, 5; occurrence falls by 3 for each tenth part of the traffic."""
    grave = [task.severity(f.output, f.label) for f in here if f.label is not None] if task is not None else []
    severity = round(1 + 9 * sum(grave) / len(grave)) if grave else 5
    occurrence = round(10 + 3 * math.log10(max(mode.share, 1e-6) / 0.1))
    unseen = sum(not any(e.kind != "label_wrong" for e in f.evidence) for f in here) / len(here)
    return Risk(severity=_ten(severity), occurrence=_ten(occurrence), detectability=_ten(round(1 + 9 * unseen)))


def _ten(value: int) -> int:
    return min(10, max(1, value))


def _whys(mode: Mode, g: _Ground, cause: Cause, examples: int) -> tuple[str, ...]:
    """Up to five answers to "why?", each a claim that the numbers in it support."""
    chain = [f"About {mode.count:.0f} answers, {mode.share:.1%} of the traffic, go wrong in the same way: {mode.name}"]
    if g.doubted >= 0.5:
        chain.append(f"Why? The model does not know these: it doubted {g.doubted:.0%} of its answers itself")
    elif g.labelled and g.doubted < 0.2:
        chain.append(f"Why? The model is wrongly sure: it doubted only {g.doubted:.0%} of these answers")
    if g.place is not None:
        value, share, base, p = g.place
        chain.append(f"Why there? {share:.0%} come from {value}, against {base:.0%} elsewhere (p = {p:.1g})")
    if g.far is not None and g.far > 0.15:
        chain.append(f"Why? {g.far:.0%} are unlike anything among the {_count(examples, 'training example')}")
    if g.label is not None and g.of_label < 0.5 * max(g.usual, 4.0):
        chain.append(
            f"Why? It was taught {_read(g.label)} by {_count(g.of_label, 'example')}, the usual label by {g.usual:g}"
        )
    elif cause.kind == "label noise":
        chain.append(f"Why? {g.suspected:.0%} of the nearest training examples have a doubtful label")
    elif cause.kind == "algorithmic flaw":
        chain.append("Why? Not for want of clean examples nearby: this kind of model seems unable to tell these apart")
    return tuple(chain[:5])


def _key(label: Any) -> str:
    return json.dumps(label, ensure_ascii=False, sort_keys=True)


def _read(key: str) -> str:
    return say(json.loads(key))


def _count(n: int, what: str) -> str:
    return f"{n if n else 'no'} {what}{'' if n == 1 else 's'}"
