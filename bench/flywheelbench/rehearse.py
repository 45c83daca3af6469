"""What selection alone is good for: the product's `select` and its learner, beside margin sampling, in seconds a run.

The whole product takes half a minute to two for a stream and a seed, and what it loses may be lost anywhere. This plays
only the part that decides which labels are bought: the same audit, strategies, novelty and learner. Left out are the
gate, modes and their causes, second looks, corrections by users, synthetic examples, and what the product learns about
signs and strategies; signs have their true worth from the start, which the product has to learn. What lies between its
figure and that of `flywheel without gate` is lost in these, what lies between the latter and `flywheel` in the gate.

    .venv/bin/python bench/flywheelbench/rehearse.py --streams dialect --seeds 100-107
    .venv/bin/python bench/flywheelbench/rehearse.py --streams images --seeds 0-4 --rounds 1,2,3

`--rounds` buys the targeted labels in so many parts, for the product and for margin alike: the model is trained anew
after each, and doubt and novelty are the new model's (the audit comes with the first part; the pool stays that of the
champion). `--disagreements 0.15` spends that share of the labels where the new model answers a request of the window
otherwise than the champion, and ships it unless more of these labels speak for the champion; without it, all are
shipped. Figures of it are not published rows: keep to seeds 0 to 4, or from 100 on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import ibis
import numpy as np
from flywheelbench.habits import Shared
from flywheelbench.play import end_of
from flywheelbench.run import numbers
from flywheelbench.streams import STREAMS
from flywheelbench.users import Labeler, reports
from flywheelbench.world import Request, World

from flywheel import mine, plugins
from flywheel.config import CurateSettings
from flywheel.curate import assign_groups, select
from flywheel.curate.selection import audit_size
from flywheel.ports import Predictions
from flywheel.records import Example, Failure

__all__ = ["Rehearsed", "main", "rehearse"]

SIGN = 2.0
"""Log-odds that a complaint and a second try each add; their true worth in these streams is 2.1."""
_Float = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What one run gave."""

    live: _Float
    """The share of right answers, spin by spin."""
    kept_back: int
    """New models that were not shipped."""
    worse: int
    """Of those shipped, how many are wrong on at least two in a thousand more of their window than the one before."""


def rehearse(
    world: World,
    shared: Shared,
    *,
    rounds: int = 1,
    margin: bool = False,
    budget: int = 100,
    disagreements: float = 0.0,
) -> Rehearsed:
    """Play one stream.

    `rounds` is in how many parts the targeted labels are bought; with `margin` all are bought by the smallest margin,
    and none by an audit. Raises `ValueError` for a stream whose truth comes late: labels here come at once.
    """
    if world.late:
        raise ValueError(f"the labels of {world.name} come late; a rehearsal has them at once. Use run.py")
    people, rng = Labeler(world), np.random.default_rng([world.seed, 7])
    examples, champion, live = list(shared.seed_examples), shared.seed_model, []
    kept_back = worse = 0
    for number, requests in enumerate(world.spins):
        said, model = champion.predict([request.input for request in requests]), champion
        live.append(np.mean([o == r.truth for o, r in zip(said.outputs, requests, strict=True)]))
        labels = round(budget * len(requests) / 1000)
        audit = 0 if margin else audit_size(labels, 0.2)
        differing = 0 if margin else round(labels * disagreements)
        targets = labels - audit - differing
        window = _Window(world, number, requests, said, labels, rng)
        for part in range(rounds):
            targeted = targets * (part + 1) // rounds - targets * part // rounds
            window.look(model, examples)
            if margin:
                chosen = [(i, False) for i in window.surest_last()[:targeted]]
            else:
                chosen = window.select(targeted, audit if part == 0 else 0, part)
            fresh = window.labelled(people, chosen)
            examples = [*examples, *assign_groups(fresh, examples, CurateSettings())]
            model = shared.fit(examples)
        new = model.predict([request.input for request in requests]).outputs
        answers = {r.id: (a, b) for r, a, b in zip(requests, new, said.outputs, strict=True)}
        apart = [i for i, (a, b) in answers.items() if a != b and i not in window.asked]
        fresh = window.labelled(people, [(str(i), False) for i in rng.permutation(apart)[:differing]])
        examples = [*examples, *assign_groups(fresh, examples, CurateSettings())]
        if sum((answers[e.id][0] == e.label) - (answers[e.id][1] == e.label) for e in fresh) < 0:
            kept_back += 1
            continue
        gains = [int(a == r.truth) - int(b == r.truth) for r, (a, b) in zip(requests, answers.values(), strict=True)]
        worse += float(np.mean(gains)) <= -0.002
        champion = model
    return Rehearsed(np.asarray(live), kept_back, worse)


class _Window:
    """One spin's requests as selection sees them."""

    def __init__(
        self,
        world: World,
        number: int,
        requests: Sequence[Request],
        said: Predictions,
        labels: int,
        rng: np.random.Generator,
    ) -> None:
        self.world, self.number, self.requests = world, number, requests
        self.by_id = {request.id: request for request in requests}
        self.asked: list[str] = []
        self.doubt: dict[str, float] = {}
        self.novelty: dict[str, float] = {}
        end = end_of(requests)
        self.told = dict.fromkeys(self.by_id, 0.0)
        for at, feedback in reports(world, requests, said.outputs):
            if at <= end:
                self.told[feedback["interaction_id"]] += SIGN
        best = np.clip(np.asarray(said.scores, dtype=np.float64).max(axis=1), 1e-3, 1 - 1e-3)
        likely = 1 / (1 + best / (1 - best) * np.exp(-np.asarray([self.told[r.id] for r in requests])))
        first = np.argsort(-likely, kind="stable")[: max(400, 8 * labels)]  # as large a pool as the product's
        self.pool = [
            Failure(
                interaction_id=requests[k].id, at=requests[k].at, probability=float(likely[k]), input=requests[k].input,
                output=said.outputs[k], context=dict(requests[k].context),
            )
            for k in first
        ]  # fmt: skip
        self.table = ibis.memtable(
            {"id": [r.id for r in requests], "rand": rng.random(len(requests)).tolist(), "p_failure": likely.tolist()}
        )

    def look(self, model: Any, examples: Sequence[Example]) -> None:
        """What a model doubts, ½ − half the margin of its two best answers, and what is new beside its examples."""
        scores = np.asarray(model.predict([r.input for r in self.requests]).scores, dtype=np.float64)
        top = np.partition(scores, -2, axis=1)
        doubts = (1 - (top[:, -1] - top[:, -2])) / 2
        self.doubt = {r.id: float(doubt) for r, doubt in zip(self.requests, doubts, strict=True)}
        embedder = None if self.world.kind == "text" else plugins.create("embedders", "features")
        inputs, labels = [e.input for e in examples], [e.label for e in examples]
        seen = mine.look([failure.input for failure in self.pool], inputs, labels, embedder=embedder)
        self.novelty = {f.interaction_id: float(n) for f, n in zip(self.pool, seen.novelty(), strict=True)}

    def labelled(self, people: Labeler, chosen: Sequence[tuple[str, bool]]) -> list[Example]:
        """Ask people about what was chosen, id and whether for the audit."""
        self.asked += [i for i, _ in chosen]
        return [
            Example(
                id=i, input=self.by_id[i].input, label=people.label_of(self.by_id[i]), interaction_id=i,
                spin=self.number + 1, audit=audited,
            )
            for i, audited in chosen
        ]  # fmt: skip

    def surest_last(self) -> list[str]:
        """What was not asked yet, the most doubtful first."""
        taken = set(self.asked)
        return sorted((i for i in self.doubt if i not in taken), key=lambda i: -self.doubt[i])

    def select(self, targeted: int, audit: int, part: int) -> list[tuple[str, bool]]:
        """What the product would ask: id, and whether for the audit."""
        budget = targeted + audit
        if budget < 1:
            return []
        # Parts behind the first have no audit, which the product never allows.
        least = nullcontext() if audit else mock.patch("flywheel.curate.selection._LEAST_AUDIT", 0.0)
        with least:
            chosen = select(
                self.table, budget=budget, pool=self.pool, novelty=self.novelty, exclude=self.asked,
                settings=replace(CurateSettings(), audit_share=audit / budget), spin=100 * part + self.number,
                seed=self.world.seed, doubt=self.doubt, told=self.told, protected=self.world.protected,
            )  # fmt: skip
        return [(one.interaction_id, one.audit) for one in chosen]


def main() -> None:
    """Print the live accuracy of both by stream, seed and rounds; then their leads: of the product's selection to
    margin in as many rounds, and of either to itself in the first number of rounds that was named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="dialect,images")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--rounds", default="1", help="such as 1,2,3")
    parser.add_argument("--disagreements", type=float, default=0.0, help="share of the labels, such as 0.15")
    options = parser.parse_args()
    rounds = numbers(options.rounds)
    arms = [(margin, n) for n in rounds for margin in (True, False)]
    for stream in options.streams.split(","):
        found: dict[tuple[bool, int], list[float]] = {arm: [] for arm in arms}
        kept: dict[tuple[bool, int], list[tuple[int, int]]] = {}
        for seed in numbers(options.seeds):
            world = STREAMS[stream](seed)
            shared = Shared(world, seed)
            for margin, n in arms:
                run = rehearse(world, shared, rounds=n, margin=margin, disagreements=options.disagreements)
                found[margin, n].append(100 * float(run.live.mean()))
                kept.setdefault((margin, n), []).append((run.kept_back, run.worse))
            shown = ", ".join(f"{_name(arm)} {found[arm][-1]:.2f}" for arm in arms)
            print(f"{stream} {seed}: {shown}", flush=True)
        for arm, counts in kept.items():
            back, worse = np.mean(counts, axis=0)
            print(f"{stream}: {_name(arm)} keeps back {back:.1f} a run, ships {worse:.1f} that are worse")
        for n in rounds:
            print(f"{stream}: {_lead(found, (False, n), (True, n))}")
        for margin in (True, False):
            for n in rounds[1:]:
                print(f"{stream}: {_lead(found, (margin, n), (margin, rounds[0]))}")


def _lead(found: dict[tuple[bool, int], list[float]], arm: tuple[bool, int], other: tuple[bool, int]) -> str:
    lead = np.asarray(found[arm]) - np.asarray(found[other])
    error = lead.std(ddof=1) / np.sqrt(len(lead)) if len(lead) > 1 else float("nan")
    return f"{_name(arm)} {np.mean(found[arm]):.2f} %, {lead.mean():+.2f} (± {error:.2f}) to {_name(other)}"


def _name(arm: tuple[bool, int]) -> str:
    margin, rounds = arm
    return f"{'margin' if margin else 'selection'}{f' in {rounds} rounds' if rounds > 1 else ''}"


if __name__ == "__main__":
    main()
