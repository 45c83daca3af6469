"""A spin that asks in rounds: what people have just answered says what they are asked next.

The targeted labels are bought in parts, the audit with the first. Behind each part a model learns the answers so far,
for no other purpose than to be doubtful anew; the candidate is trained when all have come. One large batch asks
about near things that one label would have taught (batch-mode active learning; Settles 2010).

With `[gate] disagreements` the last labels are asked where the model that has learnt all others answers otherwise than
the champion: they tell the gate which is right there, and the candidate learns them like any other label.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flywheel import curate, diagnose, mine
from flywheel.loop.believing import believed
from flywheel.loop.spreading import groups_to_show, passed_on
from flywheel.loop.turn import Turn
from flywheel.loop.wanted import doubts, heard, offers, split_before
from flywheel.loop.wishes import PREFERRED
from flywheel.ports import Model
from flywheel.prove.apart import Apart
from flywheel.prove.playback import differences
from flywheel.records import Example, Interaction, Mode, Selection, from_dict, to_dict

__all__ = ["ask_next_round", "choose", "differing", "enqueue", "rounds_of", "voted"]

_APART = 1_000_003  # what a later round draws has a seed of its own
_WHY = "two models answer this differently: which is right helps to decide between them"
_FEWEST = 10
"""A round has at least so many targeted labels: fewer teach a model too little to ask anew."""


def rounds_of(work: Turn, targeted: int) -> list[int]:
    """How many of the targeted labels each round has, at least one round.

    One round where there is no champion or the answers are numbers: then there is no doubt to look at anew.
    """
    wished = work.shop.config.curate.rounds
    if work.incumbent_model is None or work.shop.config.product.task == "regression":
        wished = 1
    count = max(1, min(wished, targeted // _FEWEST))
    return [targeted * (turn + 1) // count - targeted * turn // count for turn in range(count)]


def differing(work: Turn) -> int:
    """How many labels are kept for the interactions on which the new model and the champion differ."""
    if work.incumbent_model is None or work.shop.config.product.task == "regression":
        return 0
    return round(work.spin.budget * work.shop.config.gate.disagreements)


def ask_next_round(work: Turn) -> bool:
    """Queue the next round, once the one before is answered; False where there is none left.

    What is chosen is kept before it is queued: after a kill between the two it is queued as it was chosen, also where
    an answer was changed meanwhile.
    """
    state, number = work.shop.store.state, work.spin.number
    if _queue_chosen(work):
        return True
    doc: dict[str, Any] = work.docs["select"]
    turn, parts = doc.get("round", 1), doc.get("rounds", [0])
    last = turn >= len(parts)
    if last and (not doc.get("differing") or "apart" in doc):
        return False
    asked = set(doc["wanted"])
    answered = [item for item in state.items(spin=number) if not item.relabel and item.interaction_id in asked]
    known = work.examples
    fresh = curate.examples_of(answered, correct=work.shop.task.correct)
    fresh += passed_on(work, answered, [*known, *fresh])
    fresh += believed(work, [*known, *fresh])
    learnt = [*known, *curate.assign_groups(fresh, known, work.shop.config.curate)]
    if not learnt:
        return False  # every item so far was skipped: nothing says what to ask next
    model = _taught(work, learnt)
    more: dict[str, Any] = {"round": turn + 1}
    opposed: list[Selection] = []
    if last:
        opposed, more["apart"] = _opposed(work, model, asked)
        asked |= set(more["apart"]["answers"])
    targeted = doc["differing"] - len(opposed) if last else parts[turn]
    chosen = choose(
        work,
        budget=targeted,
        audit_share=work.shop.config.curate.audit_share,
        exclude=asked,
        novelty=_novelty(work, learnt) if targeted else {},
        doubt=doubts(work, work.pool, model) if targeted else {},
        preferred=doc.get("preferred"),
        turn=turn + 1,
    )
    more["asked"] = doc["asked"] + len(chosen) + len(opposed)
    more["wanted"] = {**doc["wanted"], **offers(work, chosen)["wanted"]}
    more["chosen"] = [to_dict(one) for one in (*chosen, *opposed)]
    work.docs["select"] = {**doc, **more}
    state.save_step(number, "select", work.docs["select"], work.spin)
    return _queue_chosen(work)


def _queue_chosen(work: Turn) -> bool:
    """Queue what a round chose and has kept; False where nothing is kept."""
    doc: dict[str, Any] = work.docs["select"]
    if "chosen" not in doc:
        return False
    chosen = [from_dict(Selection, one) for one in doc["chosen"]]
    enqueue(work, [one for one in chosen if not one.blind])
    blind = [one for one in chosen if one.blind]
    curate.ReviewQueue(work.shop.store.state).fill(blind, _seen(work, blind), work.spin.number)
    work.docs["select"] = {name: value for name, value in doc.items() if name != "chosen"}
    work.shop.store.state.save_step(work.spin.number, "select", work.docs["select"], work.spin)
    return True


def _opposed(work: Turn, model: Model, asked: Collection[str]) -> tuple[list[Selection], dict[str, Any]]:
    """Draw from the interactions without a label on which a model and the champion differ, and count these."""
    assert work.incumbent_model is not None
    before = {item.interaction_id for item in work.shop.store.state.items() if item.spin != work.spin.number}
    answers = differences(work.window, work.incumbent_model, model)
    open_ = {key: both for key, both in answers.items() if key not in before and key not in asked}
    apart = {key: both for key, both in open_.items() if not work.shop.task.correct(*both)}
    rng = np.random.default_rng([work.spin.seed, work.spin.number, _APART])
    drawn = [sorted(apart)[place] for place in rng.permutation(len(apart))[: work.docs["select"]["differing"]]]
    chosen = [
        Selection(
            interaction_id=key, propensity=len(drawn) / len(apart), audit=False, later=True, blind=True, why=_WHY,
            suggestions=tuple(apart[key][place] for place in rng.permutation(2)),
        )
        for key in drawn
    ]  # fmt: skip
    return chosen, {"seen": len(open_), "differ": len(apart), "answers": {key: list(apart[key]) for key in drawn}}


def voted(work: Turn) -> Apart | None:
    """What the labels of the disagreements said, those that were skipped left out; None where none were asked for."""
    doc = work.docs["select"].get("apart")
    if doc is None:
        return None
    correct, dataset = work.shop.task.correct, work.dataset(work.docs["curate"]["dataset"])
    assert dataset is not None
    group_of = {example.interaction_id: example.group for example in dataset.examples}
    votes: dict[str, list[int]] = {}
    for item in work.shop.store.state.items(status="labelled", spin=work.spin.number):
        if item.interaction_id in doc["answers"] and not item.relabel:
            old, new = doc["answers"][item.interaction_id]
            vote = int(correct(new, item.label)) - int(correct(old, item.label))
            votes.setdefault(group_of.get(item.interaction_id) or item.id, []).append(vote)
    counted = votes.values()
    return Apart(doc["differ"], doc["seen"], tuple(map(sum, counted)), tuple(map(len, counted)))


def _taught(work: Turn, learnt: list[Example]) -> Model:
    """A model that knows the answers so far. Its training counts as training."""
    started = time.perf_counter()
    settings = work.shop.config.curate
    dataset = curate.build_dataset(
        learnt, spin=work.spin.number, settings=settings, seed=work.spin.seed, at=work.spin.started_at or work.at,
        cap=settings.max_examples, regression=False,
    )  # fmt: skip
    trainer = work.shop.trainer_for([example.input for example in dataset.examples])
    base = work.incumbent_model if work.incumbent and work.incumbent.trainer == trainer.name else None
    model = trainer.fit(dataset, base=base, seed=work.spin.seed)
    work.trials += time.perf_counter() - started
    return model


def _novelty(work: Turn, learnt: list[Example]) -> dict[str, float]:
    """How unlike all that is learnt by now each of the pool is."""
    if not work.shop.config.mine.novelty or not work.pool:
        return {}
    texts = [example.input for example in learnt]
    inputs, labels = [failure.input for failure in work.pool], [example.label for example in learnt]
    scores = mine.look(inputs, texts, labels, embedder=work.embedder(texts)).novelty()
    return {f.interaction_id: round(float(score), 4) for f, score in zip(work.pool, scores, strict=True)}


def choose(
    work: Turn,
    *,
    budget: int,
    audit_share: float,
    exclude: Collection[str],
    novelty: Mapping[str, float],
    doubt: Mapping[str, float],
    preferred: str | None,
    turn: int = 1,
) -> list[Selection]:
    """Select from the window for one round, the `turn`-th of the spin; `exclude` names what this spin has asked."""
    shop, spin = work.shop, work.spin
    settings = shop.config.curate
    assigned: dict[str, str] = work.docs["diagnose"]["assignments"]
    shares = (
        diagnose.follow([from_dict(Mode, mode) for mode in work.docs["diagnose"]["modes"]]).shares
        if settings.follow_causes
        else {}
    )
    if preferred is not None:
        shares = {**shares, preferred: PREFERRED * shares.get(preferred, 1.0)}
    before = {item.interaction_id for item in shop.store.state.items() if item.spin != spin.number}
    return curate.select(
        work.detected,
        budget=budget,
        pool=[replace(failure, mode=assigned.get(failure.interaction_id)) for failure in work.pool],
        novelty=novelty,
        exclude=before | set(exclude),
        window_size=work.docs["sync"]["interactions"],
        settings=replace(settings, audit_share=audit_share),
        spin=spin.number,
        seed=spin.seed + _APART * (turn - 1),
        worth=shares,
        doubt=doubt,
        told=heard(work, work.pool),
        protected=shop.config.product.protected,
        learnt=split_before(work),
        later=turn > 1,
    )


def enqueue(work: Turn, chosen: Sequence[Selection]) -> None:
    """Put what was selected into the queue, with the champion's guesses; its modes are in work from now on."""
    state = work.shop.store.state
    interactions = {seen.id: seen for seen in _seen(work, chosen)}
    offered = _with_suggestions(work, chosen, interactions)
    curate.ReviewQueue(state).fill(offered, interactions.values(), work.spin.number, groups_to_show(work))
    targeted = {c.mode for c in chosen if c.mode}
    state.save_modes(
        replace(mode, state="in work") if mode.id in targeted and mode.state in ("open", "reopened") else mode
        for mode in state.modes()
    )


def _seen(work: Turn, chosen: Sequence[Selection]) -> list[Interaction]:
    return list(work.snapshot.fetch([one.interaction_id for one in chosen]))


def _with_suggestions(work: Turn, chosen: Sequence[Selection], interactions: dict[str, Any]) -> list[Selection]:
    """Offer the champion's best guesses first, so that a reviewer answers with one key."""
    usable = [c for c in chosen if c.interaction_id in interactions]
    if work.incumbent_model is None or not usable:
        return list(usable)
    answers = work.incumbent_model.predict([interactions[c.interaction_id].input for c in usable])
    offered = []
    for row, choice in enumerate(usable):
        guesses: list[Any] = [answers.outputs[row]]
        if answers.scores is not None:
            best = answers.scores[row].argsort()[::-1][:4]
            guesses += [answers.labels[i] for i in best if answers.labels[i] != answers.outputs[row]]
        offered.append(replace(choice, suggestions=tuple(guesses[:4])))
    return offered
