"""The first half of a turn: what changed, what fails and why, and which labels to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flywheel import curate, diagnose, mine
from flywheel.curate.selection import audit_size
from flywheel.diagnose.evidence import context_shares
from flywheel.loop.rounds import choose, differing, enqueue, rounds_of
from flywheel.loop.shown import likeliest
from flywheel.loop.survey import Survey, survey
from flywheel.loop.turn import RECENT, Turn
from flywheel.loop.wanted import doubts, offers
from flywheel.loop.wishes import follow_wish
from flywheel.records import Mode, Selection, from_dict, to_dict

__all__ = ["step_diagnose", "step_mine", "step_observe", "step_select", "step_sync"]


def step_sync(work: Turn) -> dict[str, Any]:
    """Bring the tables up to the log and fix the window that this spin is about."""
    store = work.shop.store
    store.tables.sync(store.log, work.shop.progress)
    previous = store.state.step(work.spin.number - 1, "sync") if work.spin.number > 1 else None
    after = previous["upto"] if previous else 0
    snapshot = store.tables.snapshot()
    window = snapshot.window(after, snapshot.seq)
    return {
        "after": after,
        "upto": snapshot.seq,
        "interactions": window.count(),
        "champion": work.champion.version if work.champion else None,
        "modes": to_dict(store.state.modes()),
    }


def step_observe(work: Turn) -> dict[str, Any]:
    """Say what changed against the window before."""
    if not work.docs["sync"]["interactions"]:
        return {"observations": []}
    previous = work.shop.store.state.step(work.spin.number - 1, "sync") if work.spin.number > 1 else None
    reference = None
    if previous and previous["interactions"]:
        reference = work.recent.window(previous["after"], previous["upto"])
    look = Survey(
        window=work.window,
        reference=reference,
        scored=work.detected,
        config=work.shop.config,
        task=work.shop.task,
        whole=work.snapshot,
        labelled=_labelled(work),
        logs=work.shop.config.observe.logs,
        embedder_for=work.embedder,
        parts=work.shop.config.observe.parts,
        seed=work.spin.seed,
    )
    seen = survey(look)
    # The spin's own record is read often and whole: what is drawn from and asked again stays with the step.
    work.spin = replace(work.spin, observations=tuple(replace(one, chart={}, query="") for one in seen))
    return {"observations": to_dict(seen)}


_BESIDE = 2000  # examples whose texts teach the embedder which words are alike


def _labelled(work: Turn) -> tuple[Any, Any] | None:
    """The window before this one, whose labels have come by now, with this one; and the few before those."""
    state, number = work.shop.store.state, work.spin.number
    edges = [state.step(earlier, "sync") for earlier in range(max(1, number - RECENT), number)]
    known = [edge for edge in edges if edge]
    if len(known) < 2:
        return None
    newest = work.recent.window(known[-1]["after"], work.docs["sync"]["upto"])
    return newest, work.recent.window(known[0]["after"], known[-1]["after"])


def step_diagnose(work: Turn) -> dict[str, Any]:
    """Find the failures, group them into modes, and say why each fails and how much it matters."""
    size = work.docs["sync"]["interactions"]
    if not size:
        return {"modes": [], "assignments": {}, "expected": 0.0, "likeliest": []}
    shop, state = work.shop, work.shop.store.state
    settings = shop.config.diagnose
    floor = min(0.5, max(0.25, work.kth_largest(max(100, 3 * work.spin.budget))))
    found = [failure for failure in work.pool if failure.probability >= floor]
    expected = float(work.detected.p_failure.sum().to_pyarrow().as_py() or 0.0)
    known = [from_dict(Mode, mode) for mode in work.docs["sync"]["modes"]]
    current: list[Mode] = []
    assignments: dict[str, str] = {}
    if len(found) >= settings.min_mode:
        exemplars = [key for mode in known for key in mode.exemplars]
        inputs = {seen.id: seen.input for seen in work.snapshot.fetch(exemplars)}
        shares = context_shares(work.window)
        embedder = work.embedder([failure.input for failure in found])
        current, assignments = diagnose.group(
            found,
            known,
            spin=work.spin.number,
            total=expected,
            window_size=size,
            embedder=embedder,
            previous_inputs=inputs,
            settings=settings,
            task=shop.task,
            seed=work.spin.seed,
            shares=shares,
            beside=[example.input for example in work.examples[-_BESIDE:]],
        )
        by_mode = {mode.id: [f for f in found if assignments.get(f.interaction_id) == mode.id] for mode in current}
        doubted = set(work.suspects[:50])
        current = diagnose.causes(
            current,
            by_mode,
            work.examples,
            embedder=embedder,
            suspects=doubted,
            task=shop.task,
            window=work.window,
            champion_answers=work.incumbent_answers,
            value=shop.config.value,
            seed=work.spin.seed,
            shares=shares,
        )
    modes = diagnose.lifecycle(known, current, spin=work.spin.number, window_size=size)
    state.save_modes(modes)
    shown = tuple(sorted((m for m in modes if m.state != "fixed"), key=lambda m: -(m.risk.number if m.risk else 0)))
    work.spin = replace(work.spin, modes=shown)
    return {
        "modes": to_dict(modes),
        "assignments": assignments,
        "expected": expected,
        "likeliest": likeliest(found, assignments),
    }


def step_mine(work: Turn) -> dict[str, Any]:
    """Say how unlike the examples each doubtful input is, and find edge cases and groups that no class explains."""
    nothing: dict[str, Any] = {"novelty": {}, "edge_cases": [], "groups": []}
    if not work.docs["sync"]["interactions"] or not work.shop.config.mine.novelty:
        return nothing
    known = work.examples
    inputs = [failure.input for failure in work.pool]
    if not known or not inputs:
        return nothing
    learnt, labels = [example.input for example in known], [example.label for example in known]
    seen = mine.look(inputs, learnt, labels, embedder=work.embedder(learnt))
    scores = seen.novelty()
    novelty = {f.interaction_id: round(float(score), 4) for f, score in zip(work.pool, scores, strict=True)}
    p_failure = {failure.interaction_id: failure.probability for failure in work.pool}
    severity = _severity(work)
    cases = mine.edge_cases(work.pool, novelty, p_failure, severity=severity, seen=seen)
    groups = mine.discover(
        list(novelty),
        inputs,
        learnt,
        labels,
        p_failure=list(p_failure.values()),
        users=[failure.user for failure in work.pool],
        min_users=work.shop.config.diagnose.min_users,
        limit=max(20, work.spin.budget),
        seen=seen,
    )
    return {"novelty": novelty, "edge_cases": to_dict(cases), "groups": to_dict(groups)}


def _severity(work: Turn) -> dict[str, float]:
    """How bad it is when the answer is wrong, 0 to 1: as in the failure's mode, elsewhere as in the modes' middle."""
    graded = {mode.id: mode.risk.severity / 10 for mode in _modes(work) if mode.risk}
    middle = sorted(graded.values())[len(graded) // 2] if graded else 0.5
    mode_of = work.docs["diagnose"]["assignments"]
    return {f.interaction_id: graded.get(mode_of.get(f.interaction_id, ""), middle) for f in work.pool}


def _modes(work: Turn) -> list[Mode]:
    """The failure modes as this spin has found them."""
    return [from_dict(Mode, mode) for mode in work.docs["diagnose"]["modes"]]


def _second_looks(work: Turn, named: Sequence[str], limit: int) -> list[str]:
    """Examples to be labelled again: those that a mode's cause names, then those that are doubted anyway."""
    if limit < 1 or not work.shop.config.curate.label_noise:
        return []
    living = {example.id for example in work.examples} - work.looked_at
    first = [key for key in named if key in living]
    return list(dict.fromkeys([*first, *work.suspects[:limit]]))[:limit]


def step_select(work: Turn) -> dict[str, Any]:
    """Spend the label budget: an audit at random, the rest where a label mends most, a few second looks."""
    shop, state, spin = work.shop, work.shop.store.state, work.spin
    chosen: list[Selection] = []
    queue = curate.ReviewQueue(state)
    following = diagnose.follow(_modes(work), looks=spin.budget // 20)
    doubted = _second_looks(work, following.relabel, spin.budget // 20)
    assigned: dict[str, str] = work.docs["diagnose"]["assignments"]
    preferred = follow_wish(work, _modes(work), set(assigned.values())) if spin.budget else None
    parts, apart = [0], 0
    if work.docs["sync"]["interactions"] and spin.budget:
        # Second looks come out of the targeted part: the audit stays its share of the whole budget.
        left = spin.budget - len(doubted)
        audit = min(left, audit_size(spin.budget, shop.config.curate.audit_share))
        apart = min(differing(work), left - audit)
        parts = rounds_of(work, max(0, left - audit - apart))
        chosen = choose(
            work,
            budget=audit + parts[0],
            audit_share=min(1.0, audit / max(1, audit + parts[0])),
            exclude=set(),
            novelty=work.docs["mine"]["novelty"],
            doubt=doubts(work, work.pool, work.incumbent_model),
            preferred=preferred.id if preferred else None,
        )
        enqueue(work, chosen)
    again = [example for example in work.examples if example.id in doubted]
    queue.ask_again(again, spin.number)
    asked_again = [item.id for item in state.items(spin=spin.number) if item.relabel]
    return {
        "second_looks": dict(zip(asked_again, (example.id for example in again), strict=True)),
        "asked": len(chosen) + len(doubted),
        "audit": sum(c.audit for c in chosen),
        "preferred": preferred.id if preferred else None,
        "rounds": parts,
        "round": 1,
        "differing": apart,
        **offers(work, chosen),
    }
