"""The last part of a turn: the candidate is replayed, judged, released, and what that changed is measured."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flywheel import measure, prove
from flywheel.loop.rounds import voted
from flywheel.loop.turn import Turn, Workshop
from flywheel.loop.wanted import split_after, split_before
from flywheel.ports import Model
from flywheel.prove.history import no_gain
from flywheel.prove.opening import open_gate
from flywheel.prove.playback import REPLAYED
from flywheel.records import Candidate, Check, Example, Release, Verdict, from_dict, to_dict
from flywheel.store import Snapshot, State

__all__ = ["answers_of", "close_modes", "disagreement", "step_gate", "step_measure", "step_release", "step_replay"]

_NOTHING = "nothing"  # what a first model is held against


def step_replay(work: Turn) -> dict[str, Any]:
    """Run candidate and champion on the same inputs: where they differ, how fast they are, whether the files match."""
    shop = work.shop
    version = work.docs["train"]["candidate"]
    if version is None:
        return {}
    candidate, extra = _candidate(work)
    model = shop.load_model(_as_release(candidate, work.at))
    dataset = work.dataset(candidate.dataset)
    assert dataset is not None
    inputs = [example.input for example in dataset.examples]
    doc: dict[str, Any] = {"agreement": prove.agreement(model, dataset, _answers(extra["answers"]), shop.task)}
    if work.incumbent_model is not None:
        doc["latency"] = prove.compare_latency(work.incumbent_model, model, inputs)
        if work.docs["sync"]["interactions"]:
            doc["disagreement"] = disagreement(work.window, work.incumbent_model, model)
    return doc


def disagreement(window: Snapshot, one: Model, other: Model) -> float:
    """The share of a window, 0 to 1, on which two models answer differently; a random sample where it is large."""
    seen = window.interactions
    sample = seen.order_by(seen.rand).limit(REPLAYED).select("id", "input").cache()
    first, second = prove.replay(sample, one), prove.replay(sample, other)
    both = first.join(second.select("id", again=second.output), "id")
    return float((both.output != both.again).mean().to_pyarrow().as_py() or 0.0)


def _answers(stored: Mapping[str, Sequence[Any]] | None) -> dict[str, prove.Answer]:
    return {key: _answer(*kept) for key, kept in (stored or {}).items()}


def _answer(
    output: Any, confidence: float | None, likelihood: float | None, again: Sequence[float] = ()
) -> prove.Answer:
    return prove.Answer(output, confidence, likelihood, tuple(again))


def _candidate(work: Turn) -> tuple[Candidate, dict[str, Any]]:
    known = work.shop.store.state.candidate(work.docs["train"]["candidate"])
    assert known is not None
    return known


def _as_release(candidate: Candidate, at: datetime) -> Release:
    return Release(
        version=candidate.version,
        role="challenger",
        folder=candidate.folder,
        at=at,
        dataset=candidate.dataset,
        spin=candidate.spin,
        trainer=candidate.trainer,
    )


def _pairs(work: Turn) -> tuple[list[prove.Pair], str]:
    """Champion and candidate, side by side on every labelled example that both can answer fairly."""
    if work.paired is not None:
        return work.paired
    incumbent = work.incumbent
    candidate, extra = _candidate(work)
    dataset = work.dataset(candidate.dataset)
    assert dataset is not None
    known = work.dataset(incumbent.dataset) if incumbent and incumbent.dataset else None
    trained_on = {example.id for example in known.examples} if known else set()
    champion, rival = _champion_answers(work, dataset.examples)
    found: list[prove.Pair] = prove.pairs(
        dataset.examples,
        task=work.shop.task,
        fresh={example.id for example in dataset.examples if example.id not in trained_on},
        champion=champion,
        candidate={**_answers(extra["answers"]), **_answers(extra.get("fresh_answers"))},
        placebo=_answers(extra["placebo"]) if extra["placebo"] else None,
    )
    work.paired = found, rival
    return work.paired


def _champion_answers(work: Turn, examples: Sequence[Example]) -> tuple[dict[str, prove.Answer], str]:
    """What there is to beat: the champion's answers.

    Without a champion it is the product's own logged output; without that, always giving the most common label. The
    second value says which.
    """
    if work.incumbent is not None:
        return answers_of(work.shop, work.incumbent, examples), work.incumbent.version
    ids = [example.interaction_id for example in examples if example.interaction_id]
    logged = {seen.id: seen for seen in work.snapshot.fetch(ids) if seen.output is not None}
    answered = [(e.id, logged[e.interaction_id]) for e in examples if e.interaction_id in logged]
    if answered:
        return {key: prove.Answer(seen.output, seen.confidence) for key, seen in answered}, "the product"
    numbers = work.shop.config.product.task == "regression"
    constant = prove.Answer(_commonest([example.label for example in examples], numbers))
    return {example.id: constant for example in examples}, _NOTHING


def _commonest(labels: Sequence[Any], numbers: bool) -> Any:
    """What to always answer without a model: the median of numbers, else the most common label."""
    if numbers:
        return statistics.median_low(labels)
    counts = Counter(json.dumps(label, sort_keys=True) for label in labels)
    return json.loads(min(counts, key=lambda key: (-counts[key], key)))


def answers_of(shop: Workshop, release: Release, examples: Sequence[Example]) -> dict[str, prove.Answer]:
    """What a release answers to examples, by id: out of fold where it was trained on them, directly where not."""
    known = shop.store.state.candidate(release.version)
    kept = _answers(known[1]["answers"]) if known else {}
    found = {example.id: kept[example.id] for example in examples if example.id in kept}
    rest = [example for example in examples if example.id not in found]
    if rest:
        found |= prove.answers(shop.load_model(release), rest)
    return found


def step_gate(work: Turn) -> dict[str, Any]:
    """Ask the gate for its verdict on the candidate."""
    shop = work.shop
    if work.docs["train"]["candidate"] is None:
        check = Check("something new", "unsure", "no new label since the last candidate: there is nothing to prove")
        verdict = Verdict(decision="need labels", checks=(check,), need=max(20, work.spin.budget))
        work.spin = replace(work.spin, verdict=verdict)
        return {"verdict": to_dict(verdict)}
    pairs, rival = _pairs(work)
    modes = shop.store.state.modes()
    if rival == _NOTHING:
        verdict = open_gate(pairs, agreement=work.docs["replay"]["agreement"])
        work.spin = replace(work.spin, verdict=verdict)
        return {"verdict": to_dict(verdict)}
    verdict = prove.gate(
        pairs,
        settings=shop.config.gate,
        protected=shop.config.product.protected,
        targeted=[mode.id for mode in modes if mode.state == "in work"],
        fixed_modes={
            mode.id: [pair.example.id for pair in pairs if pair.example.mode == mode.id]
            for mode in modes
            if mode.state == "fixed"
        },
        latency=work.docs["replay"].get("latency"),
        look=_looks(work),
        **_earlier(work),
        apart=voted(work),
        apart_before=_apart_before(work),
        agreement=work.docs["replay"]["agreement"],
    )
    work.spin = replace(work.spin, verdict=verdict)
    return {"verdict": to_dict(verdict)}


def _looks(work: Turn) -> int:
    """How many candidates have been held against this champion, this one included: each look spends some of alpha."""
    state, number = work.shop.store.state, work.spin.number
    looks = 1
    for earlier in range(number - 1, 0, -1):
        sync, train = state.step(earlier, "sync"), state.step(earlier, "train")
        if not sync or sync["champion"] != work.docs["sync"]["champion"]:
            continue
        looks += bool(train and train["candidate"])
    return looks


def _earlier(work: Turn) -> dict[str, Any]:
    """What the labels of earlier spins said of their own candidates: gain and error of each that was judged, and of
    those released on their account the probability that they had gained nothing."""
    judged: list[tuple[float, float]] = []
    released = []
    for spin in work.shop.store.state.spins():
        if spin.number >= work.spin.number or spin.verdict is None:
            continue
        values = next((check.values for check in spin.verdict.checks if check.name == "superiority"), {})
        if values.get("spin_error", 0) > 0:
            gain, error = float(values["spin_gain"]), float(values["spin_error"])
            # What its votes let through, or proved, has a limit of its own.
            voted_for = values.get("spoken_for") or values["p"] > values["alpha"] >= values.get("p_both", values["p"])
            if not voted_for and (work.shop.store.state.step(spin.number, "release") or {}).get("released"):
                released.append(no_gain(gain, error, judged))
            judged.append((gain, error))
    return {"earlier": judged, "released": released}


def _apart_before(work: Turn) -> list[tuple[float, float]]:
    """Gain and error of what earlier spins' labels said where candidate and champion differed."""
    verdicts = [spin.verdict for spin in work.shop.store.state.spins() if spin.number < work.spin.number]
    checks = [check for verdict in verdicts if verdict for check in verdict.checks if check.name == "disagreements"]
    return [(float(c.values["gain"]), float(c.values["error"])) for c in checks if c.values["error"] > 0]


def _verdict(work: Turn) -> Verdict:
    return from_dict(Verdict, work.docs["gate"]["verdict"])


def step_release(work: Turn) -> dict[str, Any]:
    """Ship a promoted candidate, or leave it as challenger where a person wants the last word."""
    shop, verdict = work.shop, _verdict(work)
    at = work.spin.started_at or work.at
    if verdict.decision != "promote":
        if verdict.decision == "need labels" and _frees_the_champion(work):
            # No worse, as far as can be told, and free of what was erased: a person decides whether that is enough.
            challenger = shop.releases.challenge(_candidate(work)[0], at).version
            return {"released": None, "challenger": challenger}
        return {"released": None}
    candidate, _ = _candidate(work)
    now, rival = shop.releases.champion_version(), work.docs["sync"]["champion"]
    known = candidate.version in {release.version for release in shop.releases.history()}
    if now not in (rival, candidate.version) or (known and now == rival and shop.releases.came_back()):
        return {"released": None, "overtaken": now}  # somebody adopted or rolled back since: that was not compared
    if now == candidate.version and not shop.config.release.automatic:
        return {"released": None, "challenger": candidate.version}  # a person promoted it already
    if not shop.config.release.automatic and work.incumbent is not None:
        shop.releases.challenge(candidate, at)
        return {"released": None, "challenger": candidate.version}
    shop.releases.promote(candidate, at)
    told = [line["subject"] for line in shop.store.state.trail() if line["action"] == "promote"]
    if candidate.version not in told:
        shop.trail.record("promote", candidate.version, by="gate", at=at, detail={"verdict": str(verdict)})
    close_modes(shop.store.state, verdict, candidate.version)
    return {"released": candidate.version}


def _frees_the_champion(work: Turn) -> bool:
    """Was this candidate trained because the champion has learnt from somebody who was erased since?"""
    queued, champion = work.shop.store.state.get("retrain") or {}, work.shop.releases.champion_version()
    trained = work.docs["train"]["candidate"] is not None and champion != work.docs["train"]["candidate"]
    return trained and queued.get("spin") == work.spin.number and champion in queued["versions"]


def close_modes(state: State, verdict: Verdict | None, version: str) -> None:
    """Mark the failure modes that a released version has fixed, and those that it brought back knowingly."""
    if verdict is None:
        return
    back = {mode for check in verdict.checks for mode in check.values.get("modes", ())}
    changed = [replace(m, state="fixed", fixed_in=version) for m in state.modes() if m.id in verdict.modes_fixed]
    changed += [replace(m, state="reopened") for m in state.modes() if m.id in back and m.state == "fixed"]
    state.save_modes(changed)


def step_measure(work: Turn) -> dict[str, Any]:
    """Write the receipt: what this spin changed, with its interval, and what it cost."""
    shop, spin, verdict = work.shop, work.spin, _verdict(work)
    released = work.docs["release"]["released"] is not None
    judged = []
    split = split_before(work)
    if work.docs["train"]["candidate"] is not None:
        found, rival = _pairs(work)
        this_spin = {p.example.id: p for p in found if p.example.spin == spin.number and rival != _NOTHING}
        judged = [
            measure.Judgement(
                right_before=pair.champion_right,
                right_after=pair.candidate_right if released else pair.champion_right,
                propensity=pair.example.propensity,
                audit=pair.example.audit,
                differs=released and not work.shop.task.correct(pair.champion, pair.candidate),
            )
            for pair in this_spin.values()
            if pair.example.propensity is not None
        ]
        split = split_after(work, list(this_spin.values()))
    receipt = measure.receipt(
        judged,
        spin=spin.number,
        decision=verdict.decision,
        released=released,
        population=work.docs["sync"]["interactions"],
        disagreement=work.docs["replay"].get("disagreement"),
        labels=work.docs["curate"]["labels"],
        audit_labels=work.docs["curate"]["audit"],
        seconds=round(sum(spin.seconds.values()), 3),
        per_year=_per_year(work),
        settings=shop.config.value,
    )
    work.spin = replace(work.spin, receipt=receipt)
    return {"receipt": to_dict(receipt), "split": split}


def _per_year(work: Turn) -> float:
    """Interactions a year: as configured, or at the rate of this window."""
    configured = work.shop.config.value.interactions_per_year
    if configured or not work.docs["sync"]["interactions"]:
        return configured
    seen = work.window.interactions
    row = seen.aggregate(first=seen.at.min(), last=seen.at.max()).to_pyarrow().to_pylist()[0]
    days = max((row["last"] - row["first"]) / timedelta(days=1), 1 / 24)
    return float(work.docs["sync"]["interactions"] * 365.25 / days)
