"""What selection alone is good for: the product's `select` and its learner, beside margin sampling, in seconds a run.

The whole product takes half a minute to two for a stream and a seed, and what it loses may be lost anywhere. This plays
only the part that decides which labels are bought: the same audit, strategies, novelty and learner, signs of the users
at their true worth, no gate, no second looks, nothing learnt about signs or strategies. What lies
between its figure and that of `flywheel without gate` is lost in the rest of the loop, what lies between the latter and
`flywheel` in the gate.

    .venv/bin/python bench/flywheelbench/rehearse.py --streams dialect --seeds 100-107
    .venv/bin/python bench/flywheelbench/rehearse.py --streams images --seeds 0-4 --rounds 1,2,3

`--rounds` buys the targeted labels in so many parts, the model trained anew after each (the audit comes with the first
part), for the product and for margin alike. Figures of it are not published rows: keep to seeds 0 to 4, or from 100 on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import ibis
import numpy as np
from flywheelbench.habits import Shared
from flywheelbench.play import _end
from flywheelbench.run import _numbers
from flywheelbench.streams import STREAMS
from flywheelbench.users import Labeler, reports
from flywheelbench.world import Request, World

from flywheel import mine, plugins
from flywheel.config import CurateSettings
from flywheel.curate import assign_groups, select
from flywheel.curate.selection import audit_size
from flywheel.ports import Predictions
from flywheel.records import Example, Failure

__all__ = ["main", "rehearse"]

SIGN = 2.0
"""Log-odds that a complaint and a second try each add; their true worth in these streams is 2.1."""
_Float = np.ndarray[Any, np.dtype[np.float64]]


def rehearse(world: World, shared: Shared, *, rounds: int = 1, margin: bool = False, budget: int = 100) -> _Float:
    """Play one stream; gives the share of right answers of each spin.

    `rounds` is in how many parts the targeted labels are bought; with `margin` all are bought by the smallest margin,
    and none by an audit.
    """
    people, rng = Labeler(world), np.random.default_rng([world.seed, 7])
    examples, model, live = list(shared.seed_examples), shared.seed_model, []
    for number, requests in enumerate(world.spins):
        said = model.predict([request.input for request in requests])
        live.append(np.mean([o == r.truth for o, r in zip(said.outputs, requests, strict=True)]))
        labels = round(budget * len(requests) / 1000)
        audit = 0 if margin else audit_size(labels, 0.2)
        window = _Window(world, shared, number, requests, said, examples, rng)
        for part in range(rounds):
            targeted = (labels - audit) * (part + 1) // rounds - (labels - audit) * part // rounds
            doubt = window.doubts(model)
            if margin:
                chosen = [(i, False) for i in window.surest_last(doubt)[:targeted]]
            else:
                chosen = window.select(doubt, targeted + (audit if part == 0 else 0), audit if part == 0 else 0, part)
            window.asked += [i for i, _ in chosen]
            fresh = [
                Example(
                    id=i, input=window.by_id[i].input, label=people.label_of(window.by_id[i]), interaction_id=i,
                    spin=number + 1, audit=audited,
                )
                for i, audited in chosen
            ]  # fmt: skip
            examples = [*examples, *assign_groups(fresh, examples, CurateSettings())]
            model = shared.fit(examples)
    return np.asarray(live)


class _Window:
    """One spin's requests as selection sees them."""

    def __init__(
        self,
        world: World,
        shared: Shared,
        number: int,
        requests: Sequence[Request],
        said: Predictions,
        examples: Sequence[Example],
        rng: np.random.Generator,
    ) -> None:
        self.world, self.number, self.requests = world, number, requests
        self.by_id = {request.id: request for request in requests}
        self.asked: list[str] = []
        end = _end(requests)
        heard = dict.fromkeys(self.by_id, 0.0)
        for at, feedback in reports(world, requests, said.outputs):
            if at <= end:
                heard[feedback["interaction_id"]] += SIGN
        self.told = heard
        best = np.clip(np.asarray(said.scores, dtype=np.float64).max(axis=1), 1e-3, 1 - 1e-3)
        likely = 1 / (1 + best / (1 - best) * np.exp(-np.asarray([heard[r.id] for r in requests])))
        first = np.argsort(-likely, kind="stable")[: max(400, len(requests) * 8 // 10)]
        self.pool = [
            Failure(
                interaction_id=requests[k].id, at=requests[k].at, probability=float(likely[k]), input=requests[k].input,
                output=said.outputs[k], context=dict(requests[k].context),
            )
            for k in first
        ]  # fmt: skip
        table = {
            "id": [r.id for r in requests],
            "rand": rng.random(len(requests)).tolist(),
            "p_failure": likely.tolist(),
        }
        self.table = ibis.memtable(table)
        embedder = None if world.kind == "text" else plugins.create("embedders", "features")
        inputs, labels = [e.input for e in examples], [e.label for e in examples]
        seen = mine.look([failure.input for failure in self.pool], inputs, labels, embedder=embedder)
        self.novelty = {f.interaction_id: float(n) for f, n in zip(self.pool, seen.novelty(), strict=True)}

    def doubts(self, model: Any) -> dict[str, float]:
        """½ − half the margin of a model's two best answers, by request."""
        scores = np.asarray(model.predict([r.input for r in self.requests]).scores, dtype=np.float64)
        top = np.partition(scores, -2, axis=1)
        return {r.id: float(d) for r, d in zip(self.requests, (1 - (top[:, -1] - top[:, -2])) / 2, strict=True)}

    def surest_last(self, doubt: dict[str, float]) -> list[str]:
        """What was not asked yet, the most doubtful first."""
        taken = set(self.asked)
        return sorted((i for i in doubt if i not in taken), key=lambda i: -doubt[i])

    def select(self, doubt: dict[str, float], budget: int, audit: int, part: int) -> list[tuple[str, bool]]:
        """What the product would ask: id, and whether for the audit."""
        if budget < 1:
            return []
        settings = replace(CurateSettings(), audit_share=audit / budget)
        # Parts behind the first have no audit, which the product never allows.
        with mock.patch("flywheel.curate.selection._LEAST_AUDIT", 0.0):
            chosen = select(
                self.table, budget=budget, pool=self.pool, novelty=self.novelty, exclude=self.asked, settings=settings,
                spin=100 * part + self.number, seed=self.world.seed, doubt=doubt, told=self.told,
                protected=self.world.protected,
            )  # fmt: skip
        return [(one.interaction_id, one.audit) for one in chosen]


def main() -> None:
    """Print by how many points of live accuracy selection alone leads margin, by stream, seed and number of rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="dialect,images")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--rounds", default="1", help="such as 1,2,3")
    options = parser.parse_args()
    arms = [(n, margin) for n in _numbers(options.rounds) for margin in (True, False)]
    for stream in options.streams.split(","):
        found: dict[tuple[int, bool], list[float]] = {arm: [] for arm in arms}
        for seed in _numbers(options.seeds):
            world = STREAMS[stream](seed)
            shared = Shared(world, seed)
            for rounds, margin in arms:
                found[rounds, margin].append(100 * float(rehearse(world, shared, rounds=rounds, margin=margin).mean()))
            shown = ", ".join(f"{_name(arm)} {found[arm][-1]:.2f}" for arm in arms)
            print(f"{stream} {seed}: {shown}", flush=True)
        first = np.asarray(found[arms[0]])
        for arm in arms:
            lead = np.asarray(found[arm]) - first
            error = lead.std(ddof=1) / np.sqrt(len(lead)) if len(lead) > 1 else float("nan")
            versus = f"{lead.mean():+.2f} (± {error:.2f}) to {_name(arms[0])}"
            print(f"{stream}: {_name(arm)} {np.mean(found[arm]):.2f} %, {versus}")


def _name(arm: tuple[int, bool]) -> str:
    rounds, margin = arm
    return f"{'margin' if margin else 'selection'}{f' in {rounds} rounds' if rounds > 1 else ''}"


if __name__ == "__main__":
    main()
