"""Does an operation help on real cases that no model had seen? Only then do its synthetic examples stay.

Each labelled case is answered twice out of fold, by the learner with the synthetic examples and without, and the log of
the probability that each gave to the label is compared: a proper score, which tells more than who was right. What an
operation is about is told by the inputs, never by who was right: among cases picked because a model failed on them, any
other model looks better.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import bdtr, stdtr

from flywheel.mine.augment.operation import Operation
from flywheel.records import Example

__all__ = ["Trial", "choose", "decide", "weigh"]

ALPHA = 0.1
"""Chance with which an operation that does nothing for its cases may enter: the gate still stands behind it."""
_FEWEST = 8
"""Cases that an operation is about, before it is tried."""
_NEWS = 1.25
"""An operation that was refused is tried again when its cases are so many times what they were."""
_MENDS = 0.2
"""What becomes right must also outweigh what becomes wrong, at least at this level of the exact McNemar test."""
_FLOOR = 0.01
"""A label's probability below this counts as this: one hopeless case must not outweigh the others."""
_STEADY = 5
"""Looks at the full share of alpha; later ones spend less and less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What changed with an operation: on the `cases` it is about, on the `rest`, and on the known `failures` of both.

    `gained` became right, `lost` became wrong.
    """

    cases: int = 0
    gained: int = 0
    lost: int = 0
    rest: int = 0
    rest_gained: int = 0
    rest_lost: int = 0
    failures: int = 0
    fixed: int = 0
    p: float | None = None
    """Chance of such a gain in the log of the probability of the label, on the cases, if it did nothing."""
    p_rest: float | None = None
    """Chance of such a loss on the rest."""

    @property
    def net(self) -> int:
        """Cases gained less cases lost, wherever."""
        return self.gained - self.lost + self.rest_gained - self.rest_lost


def weigh(
    cases: Sequence[Example],
    about: Collection[str],
    without: Mapping[str, tuple[bool, float | None]],
    with_it: Mapping[str, tuple[bool, float | None]],
) -> Trial:
    """Compare two answers to real labelled cases, by example id; `about` are those that the operation is about.

    An answer is whether it was right, and the probability it gave to the label (None where the learner has none).
    Synthetic examples and cases without both answers are left out.
    """
    count = dict.fromkeys((name for name in Trial.__dataclass_fields__ if name not in ("p", "p_rest")), 0)
    gains: dict[str, list[float]] = {"": [], "rest_": []}
    unknown = False
    for case in cases:
        if case.origin == "synthetic" or case.id not in without or case.id not in with_it:
            continue
        (before, low), (after, high) = without[case.id], with_it[case.id]
        side = "" if case.id in about else "rest_"
        count["cases" if case.id in about else "rest"] += 1
        count[f"{side}gained"] += after and not before
        count[f"{side}lost"] += before and not after
        count["failures"] += case.failure
        count["fixed"] += case.failure and after and not before
        if low is None or high is None:
            unknown = True
        else:
            gains[side].append(math.log(max(high, _FLOOR) / max(low, _FLOOR)))
    tests = (None, None) if unknown else (_t_test(gains[""]), _t_test([-gain for gain in gains["rest_"]]))
    return Trial(**count, p=tests[0], p_rest=tests[1])


def choose(
    operations: Sequence[Operation], known: Mapping[str, Mapping[str, Any]], about: Mapping[str, int]
) -> str | None:
    """Which operation to try in this spin: at most one, so that a spin stays cheap and few chances are taken.

    One that was refused is ready again when it has 25 % more cases than at its last trial. Of those that are ready the
    most telling comes first, but only every other time: the others have their turn, the least tried first. With none
    ready it is the admitted one that has waited longest, to see whether it still helps. `about` counts each operation's
    labelled cases; fewer than 8 are no trial. None where there is nothing to try.
    """
    ready = [
        one.name
        for one in operations
        if about.get(one.name, 0) >= _FEWEST
        and (
            one.name not in known
            or (not known[one.name]["admitted"] and about[one.name] >= _NEWS * known[one.name]["cases"])
        )
    ]
    if ready:
        looks = {name: int(known[name]["looks"]) if name in known else 0 for name in ready}
        first, others = ready[0], sum(int(record["looks"]) for name, record in known.items() if name != ready[0])
        return first if looks[first] <= others else min(ready, key=lambda name: (looks[name], ready.index(name)))
    inside = sorted((known[name]["spin"], name) for name in known if known[name]["admitted"])
    return inside[0][1] if inside else None


def decide(
    operation: Operation, trial: Trial, known: Mapping[str, Mapping[str, Any]], *, cases: int, spin: int
) -> dict[str, Any]:
    """The record of an operation after a trial: `admitted` or not, and why in one `line`.

    It enters when the cases it is about gain significantly (a one-sided paired t-test on the log of the probability
    that the label got, or without probabilities the exact McNemar test; at 0.1, shared among the operations tried so
    far as Bonferroni has it, and less from the sixth look on), when more of these cases become right than wrong
    (McNemar at 0.2) and more of all, and when the rest does not lose significantly at the same 0.1. One that is in
    stays as long as it does not break more than it fixes. `known` holds the records by operation name.
    """
    before = known.get(operation.name)
    looks = int(before["looks"]) + 1 if before else 1
    tried = len({*known, operation.name})
    level = ALPHA / tried * min(1.0, (_STEADY / looks) ** 2)
    p = _sign_test(trial.gained, trial.lost) if trial.p is None else trial.p
    p_rest = _sign_test(trial.rest_lost, trial.rest_gained) if trial.p_rest is None else trial.p_rest
    # Models that are a little surer everywhere give every label more probability, and mend nothing.
    mends = _sign_test(trial.gained, trial.lost) <= _MENDS
    loses = min(p_rest, _sign_test(trial.rest_lost, trial.rest_gained)) <= ALPHA
    inside = bool(before and before["admitted"])
    admitted = trial.net >= 0 and not loses if inside else p <= level and mends and trial.net > 0 and not loses
    said = (
        "stays" if inside and admitted else "left out again" if inside else "admitted" if admitted else "not admitted"
    )
    line = (
        f"{operation.name}: {said}. On {trial.cases} held-out real cases that show it, {trial.gained} become right and "
        f"{trial.lost} wrong (p {p:.2g}, needed {level:.2g}); on {trial.rest} others {trial.rest_gained} and "
        f"{trial.rest_lost}; {trial.fixed} of {trial.failures} known failures are fixed"
    )
    return {
        "admitted": admitted, "looks": looks, "cases": cases, "spin": spin, "trial": asdict(trial), "p": round(p, 6),
        "line": line, "operation": asdict(operation),
    }  # fmt: skip


def _t_test(gains: Sequence[float]) -> float:
    """One-sided: chance of so large a mean, if it were 0. 1 for fewer than 5 or where nothing differs."""
    n = len(gains)
    spread = math.sqrt(sum((gain - sum(gains) / n) ** 2 for gain in gains) / (n - 1)) if n >= 5 else 0.0
    return 1.0 if spread <= 1e-9 else float(stdtr(n - 1, -sum(gains) / n / (spread / math.sqrt(n))))


def _sign_test(wins: int, losses: int) -> float:
    """Chance of so many wins or more among those that differ, if both were as good."""
    return 1.0 if wins == 0 else float(bdtr(losses, wins + losses, 0.5))
