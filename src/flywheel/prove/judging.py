"""The gate: does the candidate fix more than it breaks? A conjunction of paired checks, each with its numbers in one
line.

**What is biased.** Fresh labels were chosen *because the champion looked wrong* on them. On such a set any other model
does better than the champion, even one that is no better: regression to the mean. Two trainings of one learner that
differ by the seed alone err on different cases, and only the champion's errors were selected. A McNemar test of
candidate against champion on these labels therefore refutes "the same model", not "no better".

**The placebo.** So a candidate must beat a placebo: its own learner trained again without the new labels, by another
seed. Placebo and candidate are equally strange to the champion, so selection favours both alike, and only the new
labels set them apart. All know the same old examples, near-duplicates of what is asked among them; what is held out
from the candidate is new (`folds.crossfit_fresh`). What is compared is how right each is, the probability that it gave
to the label where there is one: new labels move that on every case, and turn the answer itself on few. The sign-flip
test takes the cases as independent, which they are not quite: one training may be surer of everything than another by
luck. So the placebo is trained by several seeds, and what these trainings differ by as a whole is added to the error. A
learner whose trainings do not differ has no such luck. Where a model gives no probabilities, the answers must lean the
same way (McNemar at 0.25). Against the champion the candidate must then not lose: that comparison favours it, so a loss
that is no accident is damning.

**What earlier spins say.** A few dozen labels turn too few answers to prove a gain of two points, and a gate that waits
for proof serves the old champion meanwhile. Whether new labels pay in this product is known from the spins before: with
their gains as prior (`prove.history`) a candidate whose own labels lean towards it may pass while, of it and the four
releases before, no more than alpha is expected to have gained nothing: releases that were as good as proved leave room
for one that is only likely (the Bayesian false discovery rate; Müller et al. 2004). Where retraining has brought
nothing, the same prior lets nothing pass. `bench/gate.py` measures both ways: how often a candidate that learnt nothing
passes, at one look and over many.

**Where the two differ.** Fresh labels that are spread well teach different things and hardly one another, so a held-out
label shows little of what all of them together are worth. Where labels were asked on the disagreements of candidate
and champion (`prove.apart`), these may speak for a candidate in place of that proof, unless the fresh labels prove it
worse: their votes enter the proof (Fisher's combination of both p-values), and where retraining has paid lately, a gain
is as likely as not and a loss of more than a point unlikely, they let a candidate pass. The latter is a guard against
harm and no proof; alpha does not limit it.

**What is fair elsewhere.** The regression suite is made of examples the champion was trained on, answered on both
sides by cross-fitting, and of fresh *audit* labels, which were drawn uniformly. Fresh labels that were aimed at
failures stay out of it: they favour the candidate. They stay out of the budget of negative flips as well: where the
champion was right on them it was right by a hair, so they would overstate how often a good answer turns bad.

**Old cases and today's traffic.** The suite is made of what was known before, and the world may have moved on. Where
the fresh labels, weighted to today's traffic, prove a gain, what the suite loses as a whole no longer vetoes it; what
a class, a protected slice or a fixed mode loses does. A fixed mode of which the champion has fewer than five examples
right is the exception: they are alike, so they turn together and may do so by chance. They veto what is only likely to
be a gain, not what the new labels prove by themselves; the mode is then open again.

**Many looks.** Labels gather over spins until they decide, and every spin brings fresh ones. Looks are counted and
shown; what all looks at one champion may spend adds up to alpha (`exact.spent_alpha`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.config import GateSettings
from flywheel.prove import exact
from flywheel.prove.apart import Apart, apart_check
from flywheel.prove.history import allowed_no_gain, no_gain
from flywheel.prove.pairing import Pair
from flywheel.prove.slices import classes_check, reopened_check, slices_check
from flywheel.records import Check, Verdict

__all__ = ["gate"]

AGREES = 0.9
"""The final artefact must be right on this share of what the fold models got right unseen."""
_HARM_ALPHA = 0.05
"""Level of the checks that look for harm; the level of the proof of improvement is `gate.alpha`."""
_SAFE_ALPHA = 0.2
"""Level of the proof that the regression suite loses no more than the margin. At 5 % suites of three or four hundred
refused gains of ten points for losses of 0.2 % that might have been 2.2 %; what is surely lost fails at 5 %."""
_LEADS = 0.25
"""Where the luck of a training is not known, the answers must lean the same way, here or where the two differ."""
_ONE_SIDED = 1.645
_NOTICED_MS = 1.0
"""Nobody notices a slower answer below it, and the clock's own noise is a large part of it."""
_WORTH = 0.01
"""So much must candidates gain on the traffic at least, by these votes, to outweigh what a suite loses as a whole."""
_ENOUGH = 20
"""With so many fresh labels and no lead, more of the same would not help."""


def gate(
    pairs: Sequence[Pair],
    *,
    settings: GateSettings,
    protected: Sequence[str] = (),
    targeted: Sequence[str] = (),
    fixed_modes: Mapping[str, Sequence[str]] | None = None,
    latency: tuple[float, float] | None = None,
    cost: tuple[float, float] | None = None,
    look: int = 1,
    earlier: Sequence[tuple[float, float]] = (),
    released: Sequence[float] = (),
    apart: Apart | None = None,
    apart_before: Sequence[tuple[float, float]] = (),
    agreement: float | None = None,
) -> Verdict:
    """Judge a candidate by its pairs with the champion (see the module for the reasoning).

    `protected` names context fields each value of which must not get worse, `targeted` the failure modes in work,
    `fixed_modes` maps each fixed mode to the ids of its examples, `latency` and `cost` are (champion, candidate) an
    input, `look` counts the verdicts asked for since the champion was released, `earlier` holds what the labels of
    earlier spins said of their candidates (`spin_gain` and `spin_error` of their superiority check), `released` how
    likely each of those that were released on their account had gained nothing (`prove.history.no_gain`), `apart` what
    labels said where candidate and champion differ, with `apart_before` its gains and errors in earlier spins,
    `agreement` comes from `prove.agreement`.

    `reject` if any check fails, `promote` if all pass, else `need labels` with about how many more would decide.
    """
    fresh = [p for p in pairs if p.fresh]
    suite = [p for p in pairs if not p.fresh or p.example.audit]
    alpha = exact.spent_alpha(settings.alpha, look)
    allowed = allowed_no_gain(settings.alpha, released)
    votes = exact.sign_test(apart.wins, apart.losses) if apart is not None and apart.votes else None
    improvement, missing = _improvement(fresh, alpha, look, earlier, allowed, votes)
    regression, more = _regression(suite, settings.margin)
    traffic, gains = _traffic(fresh)
    differing = []
    if apart is not None:
        differing = [apart_check(apart, apart_before)]
        improvement[0] = _spoken_for(improvement[0], differing[0])
        sure = differing[0].values["low"]
        gains = max(gains, sure) if sure >= _WORTH else gains
        missing = 0 if improvement[0].outcome == "pass" else missing
    checks = [
        *improvement,
        *differing,
        traffic,
        _outweighed(regression, gains),
        classes_check(suite, settings.slice_margin, _HARM_ALPHA),
        *slices_check(suite, protected, settings.slice_margin, _HARM_ALPHA),
        _outweighed(_flips(suite, settings.max_broken_share), gains),
        _modes(pairs, fixed_modes or {}, improvement[0]),
    ]
    if latency is not None:
        checks.append(_latency(latency, settings))
    more = 0 if gains > 0 else more
    if cost is not None:
        checks.append(_ratio("cost", cost, settings.latency_ratio, "an input"))
    if agreement is not None:
        checks.append(_agreement(agreement))
    outcomes = {check.outcome for check in checks}
    decision = "reject" if "fail" in outcomes else "need labels" if "unsure" in outcomes else "promote"
    return _verdict(pairs, decision, checks, targeted, max(missing, more) if decision == "need labels" else 0)


def _verdict(
    pairs: Sequence[Pair], decision: str, checks: Sequence[Check], targeted: Sequence[str], need: int
) -> Verdict:
    failures = [p for p in pairs if not p.champion_right]
    kept = [p for p in pairs if p.champion_right]
    fixed = tuple(p.example.id for p in failures if p.candidate_right)
    broke = tuple(p.example.id for p in kept if not p.candidate_right)
    return Verdict(
        decision=decision,
        checks=tuple(checks),
        fixed=len(fixed),
        failures=len(failures),
        broke=len(broke),
        kept=len(kept),
        need=need,
        fixed_ids=fixed,
        broke_ids=broke,
        modes_fixed=tuple(mode for mode in targeted if _mode_fixed(failures, mode)),
    )


def _mode_fixed(failures: Sequence[Pair], mode: str) -> bool:
    """At least three known failures of the mode, three quarters of them right now; if it recurs, it reopens by
    itself."""
    own = [p.candidate_right for p in failures if p.example.mode == mode]
    return len(own) >= 3 and sum(own) >= 0.75 * len(own)


# --- improvement on fresh labels -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Count:
    wins: int
    losses: int
    units: int

    @property
    def p(self) -> float:
        return exact.sign_test(self.wins, self.losses)


def _count(pairs: Sequence[Pair], old: Callable[[Pair], bool]) -> _Count:
    """Wins and losses of the candidate; near-duplicates (one group) count once, for the side that most of them
    favour."""
    net: dict[str, int] = {}
    for pair in pairs:
        unit = pair.example.group or pair.example.id
        net[unit] = net.get(unit, 0) + int(pair.candidate_right) - int(old(pair))
    return _Count(sum(v > 0 for v in net.values()), sum(v < 0 for v in net.values()), len(net))


def _improvement(
    fresh: Sequence[Pair],
    alpha: float,
    look: int,
    earlier: Sequence[tuple[float, float]],
    allowed: float,
    votes: float | None,
) -> tuple[list[Check], int]:
    """What the new labels taught, and about how many more labels would settle it."""
    controlled = [p for p in fresh if p.placebo_right is not None]
    if not controlled:
        judged = [p for p in fresh if p.example.audit]
        versus = _count(judged, lambda p: p.champion_right)
        line = _fixed(judged, "random audit labels (no placebo, so no others are fair)")
        check = _decide("superiority", versus, alpha, look, line)
        return [check], _short(versus, alpha, look) if check.outcome == "unsure" else 0
    versus = _count(controlled, lambda p: p.champion_right)
    lost = exact.sign_test(versus.losses, versus.wins)
    line = f"{_fixed(controlled, 'new labels')} (a loss is no accident at p = {_p(lost)}, not below {_HARM_ALPHA:g})"
    values = {"wins": versus.wins, "losses": versus.losses, "labels": versus.units, "p_loss": lost}
    champion = Check("champion", "fail" if lost <= _HARM_ALPHA else "pass", line, values)
    taught, missing = _taught(controlled, alpha, look, earlier, allowed, votes)
    return [taught, champion], missing


def _spoken_for(superiority: Check, differing: Check) -> Check:
    """What the fresh labels do not prove may be told by those of the disagreements; what they prove to be worse not."""
    worse = superiority.values.get("p_loss", 1.0) <= _HARM_ALPHA
    if superiority.outcome == "pass" or worse or not differing.values["leans"]:
        return superiority
    line = f"{superiority.line}; where it differs from the champion, labels speak for it"
    return Check(superiority.name, "pass", line, {**superiority.values, "spoken_for": True})


def _fixed(judged: Sequence[Pair], where: str) -> str:
    failures = sum(not p.champion_right for p in judged)
    fixed = sum(p.candidate_right for p in judged if not p.champion_right)
    broke = sum(not p.candidate_right for p in judged if p.champion_right)
    kept = len(judged) - failures
    return f"on {len(judged)} {where}: fixed {fixed} of {failures} known failures, broke {broke} of {kept}"


def _taught(
    controlled: Sequence[Pair],
    alpha: float,
    look: int,
    earlier: Sequence[tuple[float, float]],
    allowed: float,
    votes: float | None,
) -> tuple[Check, int]:
    """Is the candidate more right than its own learner without the new labels?

    Two ways lead to yes: all labels since the champion's release prove it by themselves, at what is left of alpha,
    together with the `votes` where the two differ (the p-value of these) if there are any; or this spin's own labels
    lean that way, and with what `earlier` spins of the product gained, no gain is at most as likely as is `allowed`.
    """
    gaps, luck = _gaps(controlled)
    p, gain = exact.sign_flip_test(gaps), float(gaps.mean())
    control = _count(controlled, lambda pair: bool(pair.placebo_right))
    led = control.p <= _LEADS or (votes is not None and votes <= _LEADS)
    if luck is not None:
        p, led = max(p, exact.shared_luck_test(gaps, luck)), True
    own, error = _this_spin(controlled)
    none = no_gain(own, error, earlier) if error > 0 else 1.0
    lost = exact.sign_flip_test(-gaps)
    both = p if votes is None else exact.combined(p, votes)
    proved = both <= alpha and led and lost > _HARM_ALPHA
    if proved or (earlier and own > 0 and none <= allowed):
        outcome = "pass"
    elif lost <= _HARM_ALPHA or (len(gaps) >= _ENOUGH and gain <= 0):
        outcome = "fail"
    else:
        outcome = "unsure"
    other = sum(bool(pair.placebo_right) for pair in controlled if not pair.champion_right)
    failures = sum(not pair.champion_right for pair in controlled)
    asked = f"needs {alpha:.2g}" + (f" at look {look}" if look > 1 else "")
    line = (
        f"{100 * gain:+.1f} points more right on {len(gaps)} new labels than the same learner without them, which "
        f"fixes {other} of those {failures} failures; the candidate beats it on {control.wins} and loses on "
        f"{control.losses} (p = {_p(p)}, {'' if votes is None else f'{_p(both)} with those votes, '}{asked})"
    )
    if earlier and error > 0:
        line += f"; with {len(earlier)} earlier spins, no gain has a probability of {_p(none)} (needs {allowed:.2g})"
    values = {
        "gain": gain, "wins": control.wins, "losses": control.losses, "labels": len(gaps), "p": p, "p_loss": lost,
        "p_both": both, "alpha": alpha, "look": look, "spin_gain": own, "spin_error": error, "no_gain": none,
        "allowed": allowed, "proved": proved,
    }  # fmt: skip
    missing = 0
    if outcome == "unsure":
        following = alpha * exact.spent_alpha(1.0, look + 1) / exact.spent_alpha(1.0, look)
        missing = max(1, exact.pairs_needed(gaps, following) - len(gaps))
    return Check("superiority", outcome, line, values), missing


def _gaps(controlled: Sequence[Pair]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """How much more right the candidate was than the placebo, a unit a row, in order of size; and the placebo's mean
    score in each of its trainings, None where it was trained once."""
    units: dict[str, list[tuple[float, ...]]] = {}
    for pair in controlled:
        control = (_score(pair.placebo_score, bool(pair.placebo_right)), *pair.placebo_again)
        new = _score(pair.candidate_score, pair.candidate_right)
        units.setdefault(pair.example.group or pair.example.id, []).append((new - float(np.mean(control)), *control))
    trainings = min((len(row) for unit in units.values() for row in unit), default=1)
    rows = np.array([np.mean([row[:trainings] for row in unit], axis=0) for unit in units.values()])
    return np.sort(rows[:, 0]), rows[:, 1:].mean(axis=0) if trainings > 2 else None


def _this_spin(controlled: Sequence[Pair]) -> tuple[float, float]:
    """Gain and standard error on the labels of the newest spin alone."""
    newest = max(pair.example.spin for pair in controlled)
    gaps, luck = _gaps([pair for pair in controlled if pair.example.spin == newest])
    if len(gaps) < 2:
        return 0.0, 0.0
    return float(gaps.mean()), exact.shared_error(gaps, luck)


def _score(given: float | None, right: bool) -> float:
    return float(right) if given is None else given


def _decide(name: str, count: _Count, alpha: float, look: int, line: str) -> Check:
    if count.p <= alpha:
        outcome = "pass"
    elif exact.sign_test(count.losses, count.wins) <= _HARM_ALPHA or (
        count.units >= _ENOUGH and count.wins <= count.losses
    ):
        outcome = "fail"
    else:
        outcome = "unsure"
    asked = f"needs {alpha:.2g}" + (f" at look {look}" if look > 1 else "")
    values = {
        "wins": count.wins,
        "losses": count.losses,
        "labels": count.units,
        "p": count.p,
        "alpha": alpha,
        "look": look,
        "proved": outcome == "pass",
    }
    return Check(name, outcome, f"{line} (p = {_p(count.p)}, {asked})", values)


def _short(count: _Count, alpha: float, look: int) -> int:
    """Labels still missing for the next look, whose alpha may be smaller."""
    following = alpha * exact.spent_alpha(1.0, look + 1) / exact.spent_alpha(1.0, look)
    return max(1, exact.labels_needed(count.wins, count.losses, count.units, following) - count.units)


# --- what it means for today's traffic -------------------------------------------------------------------------------


def _traffic(fresh: Sequence[Pair]) -> tuple[Check, float]:
    """The change of accuracy on the traffic since the champion's release, from the fresh labels alone, and what it is
    at least (one-sided, 5 %).

    Each label weighs by the inverse of the probability with which it was asked for, so that what was aimed at failures
    does not pass for the traffic (Hájek 1971). Near-duplicates count once. Few labels speak for the bulk of the
    traffic, and what is rare is easily missed by all of them: each limit therefore counts one more of the heaviest, the
    lower as a loss and the upper as a gain. One heavy label alone proves nothing, either way.
    """
    units: dict[str, list[tuple[float, float]]] = {}
    for pair in fresh:
        if pair.example.propensity is None:
            continue  # asked for in a later round: it speaks for no other
        change = float(pair.candidate_right) - float(pair.champion_right)
        units.setdefault(pair.example.group or pair.example.id, []).append((1 / pair.example.propensity, change))
    if len(units) < _ENOUGH:
        return Check("traffic", "pass", f"{len(units)} labels are too few to say what it means for the traffic"), 0.0
    weights = np.array([sum(weight for weight, _ in own) for own in units.values()])
    changes = np.array([sum(w * change for w, change in own) for own in units.values()]) / weights
    gain, _ = _weighted_mean(weights, changes)
    heavier = np.append(weights, weights.max())
    wary, below = _weighted_mean(heavier, np.append(changes, -1.0))
    hopeful, above = _weighted_mean(heavier, np.append(changes, 1.0))
    low, high = wary - _ONE_SIDED * below, hopeful + _ONE_SIDED * above
    spread = f"{100 * low:+.1f} to {100 * high:+.1f}"
    line = f"on the traffic since the champion's release {100 * gain:+.1f} points ({spread}, from {len(units)} labels)"
    values = {"gain": gain, "low": low, "high": high, "labels": len(units)}
    return Check("traffic", "fail" if high < 0 else "pass", line, values), low


def _weighted_mean(weights: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    shares = weights / weights.sum()
    mean = float(shares @ values)
    return mean, float(np.sqrt(shares**2 @ (values - mean) ** 2))


def _outweighed(check: Check, gains: float) -> Check:
    """What the whole suite of old cases loses is no veto where today's traffic is proved to gain; classes, slices and
    fixed modes keep theirs."""
    if check.outcome == "pass" or gains <= 0:
        return check
    line = f"{check.line}; outweighed by at least {100 * gains:.1f} points on today's traffic"
    return Check(check.name, "pass", line, {**check.values, "outweighed": gains})


def _modes(pairs: Sequence[Pair], fixed: Mapping[str, Sequence[str]], superiority: Check) -> Check:
    """No fixed mode may come back; the few examples of a small one do not outweigh a gain that is proved."""
    check, small = reopened_check(pairs, fixed)
    if not small or not superiority.values["proved"]:
        return check
    p = _p(superiority.values.get("p_both", superiority.values["p"]))
    line = f"{check.line}: too few examples to rule out chance, and the new labels prove a gain (p = {p})"
    return Check(check.name, "pass", line, check.values)


# --- harm ------------------------------------------------------------------------------------------------------------


def _regression(suite: Sequence[Pair], margin: float) -> tuple[Check, int]:
    """Non-inferiority on the regression suite.

    Pass when the upper limit of the loss is within the margin. A suite too small to see so little, even from a
    candidate without net loss, cannot give that proof: it refuses a loss that is more than chance would give, and the
    line says what it could have missed. The suite grows with every spin until the proof is asked for. Fail when the
    loss is above the margin and more losses than gains is no accident; else unsure.
    """
    count = _count(suite, lambda p: p.champion_right)
    n, losses, wins = count.units, count.losses, count.wins
    if n == 0:
        return Check("regression", "pass", "no regression suite yet: no earlier label and no audit label", {"n": 0}), 0
    loss = (losses - wins) / n
    low, high = exact.loss_interval(losses, wins, n, _SAFE_ALPHA)
    seen = exact.smallest_loss_seen(losses + wins, n, _HARM_ALPHA)
    p = exact.sign_test(losses, wins)
    proven = high <= margin
    if proven or loss <= 0 or (seen > margin and p > _HARM_ALPHA):
        outcome = "pass"
    elif loss > margin and p <= _HARM_ALPHA:
        outcome = "fail"
    else:
        outcome = "unsure"
    change = f"loses {loss:.1%}" if loss > 0 else f"gains {-loss:.1%}" if loss < 0 else "neither loses nor gains"
    line = (
        f"on the suite of {n}: fixed {wins}, broke {losses}; {change}, at most {max(high, 0):.1%} lost "
        f"(margin {margin:.1%}; the smallest loss it could have seen is {seen:.1%})"
    )
    values = {
        "n": n, "wins": wins, "losses": losses, "loss": loss, "low": low, "high": high,
        "margin": margin,
        "proven": proven, "smallest_loss_seen": seen, "p": p,
    }  # fmt: skip
    more = 0
    if outcome == "unsure":
        needed = (losses + wins) / n * (0.842 / max(margin, 0.005)) ** 2
        more = min(2000, max(1, round(needed) - n))
    return Check("regression", outcome, line, values), more


def _flips(pairs: Sequence[Pair], budget: float) -> Check:
    """Budget of negative flips: fails when the budget is overspent beyond chance (exact lower limit above it)."""
    kept = [p for p in pairs if p.champion_right]
    broke = sum(not p.candidate_right for p in kept)
    low, high = exact.proportion(broke, len(kept), _HARM_ALPHA)
    line = f"broke {broke} of {len(kept)} right answers: between {low:.1%} and {high:.1%} (budget {budget:.1%})"
    values = {"broke": broke, "kept": len(kept), "low": low, "high": high, "budget": budget}
    return Check("negative flips", "fail" if low > budget else "pass", line, values)


def _latency(latency: tuple[float, float], settings: GateSettings) -> Check:
    check = _ratio("latency", latency, settings.latency_ratio, "ms an input", _NOTICED_MS)
    limit = settings.latency_ms
    if limit > 0:
        outcome = "fail" if latency[1] > limit else check.outcome
        return Check("latency", outcome, f"{check.line}; limit {limit:g} ms", {**check.values, "limit_ms": limit})
    return check


def _ratio(name: str, figures: tuple[float, float], most: float, unit: str, least: float = 0.0) -> Check:
    spared = f", or {least:g} {unit}" if least else ""
    old, new = figures
    ratio = new / old if old > 0 else float("inf") if new > 0 else 1.0
    line = f"{new:.3g} {unit}, {ratio:.2f} times the champion's {old:.3g} (at most {most:g} times{spared})"
    outcome = "fail" if ratio > most and new > least else "pass"
    return Check(name, outcome, line, {"champion": old, "candidate": new, "ratio": ratio})


def _agreement(share: float) -> Check:
    line = f"the final model is right on {share:.1%} of what its fold models got right unseen (at least {AGREES:.0%})"
    return Check("artefact", "pass" if share >= AGREES else "fail", line, {"agreement": share, "least": AGREES})


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 0.0001 else f"{value:.1e}"
