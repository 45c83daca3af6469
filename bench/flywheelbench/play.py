"""One run: one arm, one world, one budget; a row of figures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from flywheelbench.compute import CAP, CapSpent, Meter, metered
from flywheelbench.habits import HABITS, Gatekeeper, Habit, Shared, Window, moved, told_labels
from flywheelbench.product import Product
from flywheelbench.referee import Promotion, Referee, Seen, mean_accuracy
from flywheelbench.users import Inbox, Labeler
from flywheelbench.world import Request, World

from flywheel.ports import Model
from flywheel.records import Example

__all__ = ["end_of", "play"]


class Book:
    """What is written down while an arm plays."""

    def __init__(self, world: World, referee: Referee) -> None:
        self.world, self.referee = world, referee
        self.live: list[float] = []
        self.groups: dict[str, list[tuple[int, int]]] = {"quiet": [], "usual": []}
        self.sealed: list[float] = []
        self.spent: list[int] = []
        self.promotions: list[Promotion] = []
        self._seen: dict[int, tuple[Model, Seen]] = {}

    def look(self, model: Model) -> Seen:
        """A model's sealed answers, asked for once."""
        if id(model) not in self._seen:
            self._seen = dict(list(self._seen.items())[-3:])
            self._seen[id(model)] = (model, self.referee.look(model))
        return self._seen[id(model)][1]

    def answered(self, requests: Sequence[Request], outputs: Sequence[Any]) -> None:
        """The traffic of a spin has been answered."""
        self.live.append(mean_accuracy(outputs, [request.truth for request in requests]))
        for group in self.groups:
            rows = [i for i, request in enumerate(requests) if (request.group == "quiet") == (group == "quiet")]
            right = mean_accuracy([outputs[i] for i in rows], [requests[i].truth for i in rows]) if rows else 0.0
            self.groups[group].append((round(right * len(rows)), len(rows)))

    def ended(self, spin: int, champion: Model, spent: int) -> None:
        """A spin is over."""
        self.sealed.append(self.referee.accuracy(self.look(champion), spin))
        self.spent.append(spent)

    def judged(self, spin: int, old: Model, new: Model, promoted: bool) -> None:
        """A candidate was held against a champion."""
        self.promotions.append(self.referee.judge(self.look(old), self.look(new), spin + 1, promoted))

    def row(self, champion: Model) -> dict[str, Any]:
        """The figures of the run."""
        shipped = [p for p in self.promotions if p.promoted]
        good = [p for p in self.promotions if p.good]
        found = {
            "preq": float(np.mean(self.live)),
            "live": [round(x, 4) for x in self.live],
            "sealed": [round(x, 4) for x in self.sealed],
            "spent": self.spent,
            "labels": self.spent[-1],
            "candidates": len(self.promotions),
            "promoted": len(shipped),
            "harmful": sum(p.harmful for p in shipped),
            "trials": [[p.spin, p.promoted, round(p.gain, 4), p.harmful, p.good] for p in self.promotions],
            "good": len(good),
            "refused_good": sum(not p.promoted for p in good),
            "flips": float(np.mean([p.flips for p in shipped])) if shipped else 0.0,
            **self.referee.closing(self.look(champion)),
        }
        for group, counts in self.groups.items():
            n = sum(size for _, size in counts)
            found[f"live_{group}"] = sum(right for right, _ in counts) / n if n else None
        return found


def play(world: World, arm: str, budget: int, shared: Shared, referee: Referee, cap: float = CAP) -> dict[str, Any]:
    """Play one arm to the end; `arm` is a habit, a name of `product.WAYS`, or one of these with ` without <part>`.

    `budget` is labels a thousand requests: streams with shorter spins get as many fewer, so that it is everywhere the
    same share of what the oracle gets. `cap` is seconds of the processor that may be spent on training in each spin.
    """
    started, cpu = time.perf_counter(), time.process_time()
    book = Book(world, referee)
    labels = round(budget * len(world.spins[0]) / 1000)
    meter = Meter(cap)
    with metered(type(shared.trainer), meter):
        if arm.startswith("flywheel"):
            row = _play_product(world, arm, labels, book, meter)
        else:
            row = _play_habit(world, arm, HABITS[arm], labels, shared, book, meter)
    return {
        "stream": world.name, "seed": world.seed, "arm": arm, "budget": budget, **row, **meter.row(),
        "cpu": round(time.process_time() - cpu, 1), "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def end_of(requests: Sequence[Request]) -> datetime:
    """A spin begins at midnight behind its traffic."""
    from datetime import timedelta

    last = max(request.at for request in requests)
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _play_habit(
    world: World, arm: str, habit: Habit, budget: int, shared: Shared, book: Book, meter: Meter
) -> dict[str, Any]:
    champion = shared.seed_model
    keeper = Gatekeeper(shared) if habit.gated else None
    if keeper:
        keeper.opens(shared.seed_examples, shared.seed)
    inbox, people, rng = Inbox(world), Labeler(world), np.random.default_rng([world.seed, 77])
    examples, known, late = list(shared.seed_examples), [], []
    baseline, saved, spent, noise, train = None, 0, 0, 0, 0.0
    for number, requests in enumerate(world.spins):
        meter.begins()
        said = champion.predict([request.input for request in requests])
        book.answered(requests, said.outputs)
        inbox.add(number, requests, said.outputs)
        window = Window(number, requests, said, inbox.due(end_of(requests)), rng, shared, known)
        purse = 0 if arm == "frozen" else budget
        if habit.on_drift:
            confidence = np.asarray(said.confidence)
            saved += budget
            purse = saved if baseline is not None and moved(baseline, confidence) else 0
            baseline = confidence if baseline is None else baseline
            saved -= purse
        picked = _picked(habit, window, len(requests) if habit.oracle else purse, examples, people)
        wrong = {request.id for request, output in zip(requests, said.outputs, strict=True) if output != request.truth}
        fresh = [_example(people, request, number, habit) for request in picked]
        if habit.feedback_labels:
            fresh, picked = _believed(window, number), []
        spent += len(picked)
        noise += sum(request.noise for request in picked)
        known += picked
        if habit.only_failures:
            fresh = [example for example in fresh if example.interaction_id in wrong]
        due, late = (late, fresh) if world.late else (fresh, [])
        if due:
            examples = _with(examples, due)
            begun = time.perf_counter()
            try:
                candidate = shared.fit(examples)
                allowed = keeper.allows(champion, candidate, examples, shared.seed) if keeper else True
                book.judged(number, champion, candidate, allowed)
                champion = candidate if allowed else champion
            except CapSpent:
                pass  # the meter has it; the labels are there for the next spin
            train += time.perf_counter() - begun
        book.ended(number, champion, spent)
    return {**book.row(champion), "noise_share": noise / max(spent, 1), "train_seconds": round(train, 2)}


def _picked(habit: Habit, window: Window, purse: int, examples: Sequence[Example], people: Labeler) -> list[Request]:
    """What a habit asks about; in rounds, a model that has learnt the answers so far looks at the window anew."""
    requests, places = window.requests, []
    for part in range(habit.rounds):
        upto = purse * (part + 1) // habit.rounds
        taken = set(places)
        places += [i for i in habit.choose(window, upto) if i not in taken][: upto - len(places)]
        if part + 1 < habit.rounds and places:
            fresh = [_example(people, requests[i], window.number, habit) for i in places]
            try:
                model = window.shared.fit(_with(examples, fresh))
            except CapSpent:
                continue
            window = replace(window, said=model.predict([request.input for request in requests]))
    return [requests[i] for i in places]


def _example(people: Labeler, request: Request, number: int, habit: Habit) -> Example:
    label = request.truth if habit.oracle else people.label_of(request)
    return Example(
        id=request.id, input=request.input, label=label, interaction_id=request.id, spin=number + 1,
        audit=habit.choose.__name__ == "_random",
    )  # fmt: skip


def _believed(window: Window, number: int) -> list[Example]:
    """Users' own words as labels, those about earlier requests too."""
    place = {r.id: r for spin in window.shared.world.spins[: window.number + 1] for r in spin}
    named = told_labels(window.feedback)
    return [Example(id=i, input=place[i].input, label=y, interaction_id=i, spin=number + 1) for i, y in named.items()]


def _with(examples: Sequence[Example], fresh: Sequence[Example]) -> list[Example]:
    """Old and new examples, grouped as the product groups them."""
    from flywheel.config import CurateSettings
    from flywheel.curate import assign_groups

    return [*examples, *assign_groups(fresh, examples, CurateSettings())]


def _play_product(world: World, arm: str, budget: int, book: Book, meter: Meter) -> dict[str, Any]:
    product = Product(world, budget, world.seed, arm, label=Labeler(world).label_of)
    inbox = Inbox(world)
    of = {request.id: number for number, spin in enumerate(world.spins) for request in spin}
    noisy = {request.id for spin in world.spins for request in spin if request.noise}
    spins, verdicts = [], []
    try:
        for number, requests in enumerate(world.spins):
            meter.begins()
            outputs = product.answer(requests)
            book.answered(requests, outputs)
            inbox.add(number, requests, outputs)
            product.hear(inbox.due(end_of(requests)))
            before = len(product.candidates)
            spin = product.spin(end_of(requests), lambda r, n=number: not world.late or of[r.id] < n)
            spins.append(spin)
            for old, new, promoted in product.candidates[before:]:
                book.judged(number, old, new, promoted)
            book.ended(number, product.champion(), len(product.asked))
            if spin.verdict:
                verdicts.append(spin.verdict.decision)
        row = book.row(product.champion())
        done = product.fw.spins()[1:]
        own = [sum(s for step, s in one.seconds.items() if step not in ("train", "replay", "gate")) for one in done]
        whole = [sum(one.seconds.values()) for one in done]
        spent = max(len(product.asked), 1)
        return {
            **row,
            "verdicts": verdicts,
            "why": [_why(one) for one in done],
            "noise_share": sum(i in noisy for i in product.asked) / spent,
            "own_share": sum(own) / max(sum(whole), 1e-9),
            "spin_seconds": round(statistics.mean(whole), 2) if whole else 0.0,
            "steps": {
                step: round(statistics.mean(one.seconds.get(step, 0.0) for one in done), 3) for step in done[0].seconds
            }
            if done
            else {},
            "train_seconds": round(sum(sum(one.seconds.values()) for one in done) - sum(own), 2),
        }
    finally:
        product.close()


def _why(spin: Any) -> str:
    """The checks that kept a candidate back."""
    if spin.verdict is None:
        return ""
    return "; ".join(f"{c.name}: {c.outcome}: {c.line}" for c in spin.verdict.checks if c.outcome != "pass")
