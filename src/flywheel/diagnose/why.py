"""Why a mode fails, how grave it is, and a first chain of whys: each claim with the numbers it was tested on.

What is counted and tried is in `flywheel.diagnose.cause`; here it becomes probabilities, sentences and a remedy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flywheel.diagnose.cause.likely import likely, named
from flywheel.diagnose.cause.measure import Measured, measure
from flywheel.diagnose.cause.remedy import remedy_of
from flywheel.diagnose.evidence import Window, context_shares
from flywheel.diagnose.naming import say
from flywheel.diagnose.risk import Ledger, ledger_of, risk_of
from flywheel.records import Cause, Example, Failure, Mode

if TYPE_CHECKING:
    from flywheel.config import ValueSettings
    from flywheel.ports import Embedder, Task, Trainer

__all__ = ["causes"]

_FEW = 3
"""So few failures, none of them labelled, are never explained."""


def causes(
    modes: Sequence[Mode],
    found_by_mode: Mapping[str, Sequence[Failure]],
    examples: Sequence[Example],
    *,
    embedder: Embedder,
    suspects: Collection[str] = (),
    task: Task | None = None,
    window: Window | None = None,
    trainer: Trainer | None = None,
    champion_answers: Mapping[str, Any] | None = None,
    value: ValueSettings | None = None,
    seed: int = 0,
    shares: Mapping[str, float] | None = None,
) -> list[Mode]:
    """Give each mode the probability of each cause, a remedy, its risk, and a drafted chain of whys.

    Counted and tried are: how dense the examples are around the failures, how many there are of the label and of the
    slice, and whether quick learners still gain from more of them (data scarcity); whether another family of learners,
    taught with the same examples, gets right what the product gets wrong, and whether all refits err alike
    (algorithmic flaw); whether inputs are broken, lean to one context by an exact test, or calls end in errors or
    late (external noise); whether the labels nearby are doubted by confident learning, disagree with each other, or
    whether every learner sides with the product against the label (label noise). `likely` turns the numbers into
    probabilities; where none is above 0.4 the cause is unknown.

    `suspects` are examples whose label is doubted already. `champion_answers` (example id → out-of-fold output, or a
    list that begins with it) and `trainer` make a flaw of the model easier to tell, and may be left out. `value`
    prices the risk, `shares` are the window's (`context_shares`) where they are known already. Looked at
    are at most 1,500 examples and 800 failures: a second or two for twenty modes, and twice that with a trainer. The
    same arguments give the same answer.
    """
    if shares is None:
        shares = context_shares(window) if window is not None else {}
    measured = measure(
        modes, found_by_mode, examples, embedder=embedder, suspects=suspects,
        shares=shares,
        trainer=trainer, champion_answers=champion_answers, seed=seed,
    )  # fmt: skip
    ledger = ledger_of(window, found_by_mode) if window is not None else Ledger()
    out = []
    for mode in modes:
        here = list(found_by_mode.get(mode.id, ()))
        if not here:
            out.append(mode)
            continue
        m = measured[mode.id]
        cause = judge(m)
        risk = risk_of(mode, here, task=task, ledger=ledger, value=value)
        out.append(replace(mode, cause=cause, risk=risk, whys=_whys(mode, m, cause)))
    return out


def judge(m: Measured) -> Cause:
    """From one mode's numbers to its cause, with the evidence in words."""
    if m.failures <= _FEW and m.labelled == 0:
        chances = dict.fromkeys(("data scarcity", "algorithmic flaw", "external noise", "label noise"), 0.05)
        chances["unknown"] = 0.8
    elif m.examples < 3:
        chances = {"data scarcity": 0.8, "algorithmic flaw": 0.0, "external noise": 0.05, "label noise": 0.0}
        chances["unknown"] = 0.15
    else:
        chances = likely(m.numbers, m.labelled)
    kind = named(chances)
    cure = remedy_of(kind, m)
    return Cause(
        kind=kind, probability=round(chances[kind], 3), evidence=evidence_of(m), remedy=cure.text,
        probabilities=chances, action=cure.action, relabel=m.doubtful if cure.action == "relabel" else (),
        wanted=cure.wanted, mends=cure.mends,
    )  # fmt: skip


def evidence_of(m: Measured) -> tuple[str, ...]:
    """What was counted and tried, a sentence each; what could not be is left out."""
    lines: list[str] = []
    n = m.numbers
    if m.label is not None:
        lines.append(
            f"people say {_read(m.label)}; there are {_count(m.of_label, 'training example')} of it, "
            f"{m.usual:g} of the usual label"
        )
    if m.slice is not None and n.get("slice_few", 0.0) >= 1.0:
        value, has, usual = m.slice
        lines.append(f"{_count(has, 'example')} with {value} have that label, where {usual:.0f} would be usual")
    if "far" in n:
        lines.append(
            f"{n['far']:.0%} lie farther from the training examples than those from each other (5% would by chance)"
        )
    if m.families:
        best = max(sorted(m.families), key=lambda name: m.families[name])
        lines.append(
            f"taught with the same examples, quick learners get {min(m.families.values()):.0%} to "
            f"{m.families[best]:.0%} of the {m.labelled} labelled ones right ({best} most)"
        )
    if _there(n, "all_same") and n["all_same"] >= 0.1:
        lines.append(f"in {n['all_same']:.0%} every one of them says what the product said")
    if _there(n, "stuck"):
        lines.append(f"refitted twice, the product's own trainer repeats {n['stuck']:.0%} of the wrong answers")
    if _there(n, "near_slope"):
        lines.append(f"twice the examples bring {100 * n['near_slope']:+.0f} points of accuracy on examples like these")
    if m.place is not None:
        p = m.place
        lines.append(f"{p.share:.0%} have {p.value}, {p.base:.0%} elsewhere (p = {p.p:.1g})")
    if m.sign is not None and m.sign[1] >= 0.05 and max(n.get("worst", 0.0), n.get("shift", 0.0)) > 0.1:
        name, share = m.sign
        lines.append(f"their {name} is out of the ordinary: {share:.0%} beyond 99% of the training examples")
    if n.get("broken", 0.0) > 0:
        lines.append(f"{n['broken']:.0%} came with an error or a slow answer")
    if n.get("suspected", 0.0) > 0.03 or m.doubtful:
        lines.append(
            f"{n.get('suspected_here', 0.0):.0%} of the nearest training examples have a doubtful label, of all "
            f"examples {n.get('suspected_here', 0.0) - n.get('suspected', 0.0):.0%}"
        )
    return tuple(lines) or (f"only {_count(m.failures, 'failure')}, {_count(m.labelled, 'label')} among them",)


def _there(numbers: Mapping[str, float], name: str) -> bool:
    return not math.isnan(numbers.get(name, math.nan))


def _whys(mode: Mode, m: Measured, cause: Cause) -> tuple[str, ...]:
    """Up to five answers to "why?", each a claim that the numbers in it support."""
    n = m.numbers
    chain = [f"About {mode.count:.0f} answers, {mode.share:.1%} of the traffic, go wrong in the same way: {mode.name}"]
    if n.get("doubted", 0.0) >= 0.5:
        chain.append(f"Why? The model does not know these: it doubted {n['doubted']:.0%} of its answers itself")
    elif m.labelled and n.get("doubted", 0.0) < 0.2:
        chain.append(f"Why? The model is wrongly sure: it doubted only {n.get('doubted', 0.0):.0%} of these answers")
    if m.place is not None:
        p = m.place
        chain.append(f"Why there? {p.share:.0%} come from {p.value}, against {p.base:.0%} elsewhere (p = {p.p:.1g})")
    if n.get("far", 0.0) > 0.15:
        chain.append(f"Why? {n['far']:.0%} are unlike anything among the {_count(m.examples, 'training example')}")
    if m.label is not None and m.of_label < 0.5 * max(m.usual, 4.0):
        chain.append(
            f"Why? It was taught {_read(m.label)} by {_count(m.of_label, 'example')}, the usual label by {m.usual:g}"
        )
    elif cause.kind == "label noise":
        chain.append(f"Why? {n.get('suspected_here', 0.0):.0%} of the nearest training examples have a doubtful label")
    elif cause.kind == "external noise" and m.sign is not None:
        chain.append(f"Why? The inputs are damaged: {m.sign[0]} out of the ordinary in {m.sign[1]:.0%}")
    elif cause.kind == "algorithmic flaw" and m.families:
        chain.append(
            f"Why? Not for want of clean examples nearby: another learner gets {max(m.families.values()):.0%} right "
            "from the same ones"
        )
    return tuple(chain[:5])


def _read(key: str) -> str:
    return say(json.loads(key))


def _count(n: int, what: str) -> str:
    return f"{n if n else 'no'} {what}{'' if n == 1 else 's'}"
